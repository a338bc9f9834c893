//! A class for each pixel: losses and measures against their definitions, and whole runs on small
//! files in Cityscapes' layout.

mod files;
mod helpers;

use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use files::Folder;
use helpers::message;
use serde_json::Value;
use wavemix::cli::{self, Job, Settings};
use wavemix::data::{Augment, Dataset, Source, TensorDataset, VoidClass};
use wavemix::gradcheck::gradcheck;
use wavemix::metrics::{Confusion, papers_iou};
use wavemix::prelude::*;
use wavemix::train::{Loss, evaluate_pixels};

/// Maps of 20 classes, and predictions of which this share is right and the rest anything.
fn maps(pixels: usize, right: f64, seed: u64) -> [Vec<i64>; 2] {
    let rng = Rng::new(seed);
    let draw = |stream: u64, i: usize| f64::from(rng.stream(stream).word(i as u64)) / 2f64.powi(32);
    let class = |stream: u64, i: usize| (20.0 * draw(stream, i)) as i64;
    let labels: Vec<i64> = (0..pixels).map(|i| class(0, i)).collect();
    let predicted = |i: usize| match draw(1, i) < right {
        true => labels[i],
        false => class(2, i),
    };
    let predicted = (0..pixels).map(predicted).collect();
    [labels, predicted]
}

/// What both measures say of maps with 90, 80 and 50 % right pixels. Where the others are drawn
/// from all 20 classes, a share s is right by choice and (1 - s) / 20 by chance; the IoU of each
/// class is r / (2 - r) for the share r that is right in all.
#[test]
fn the_papers_ratio_is_not_the_intersection_over_union() {
    for (right, papers) in [(0.9, 0.8), (0.8, 0.6), (0.5, 0.1)] {
        let [labels, predicted] = maps(200_000, right, 7);
        let mut confusion = Confusion::new(20);
        for (&label, &predicted) in labels.iter().zip(&predicted) {
            confusion.add(label as usize, predicted as usize).unwrap();
        }
        let share = right + (1.0 - right) / 20.0;
        let iou = share / (2.0 - share);
        // Of 10,000 pixels a class.
        assert!((confusion.mean_iou() - iou).abs() < 0.01, "{right}");
        assert_eq!(
            papers_iou(&labels, &predicted, Some(0), 20),
            papers,
            "{right}"
        );
    }
}

#[test]
fn the_papers_ratio_numbers_classes_from_void() {
    // As the authors number them, and as the data set does: void is 0 there and 255 here.
    let theirs = papers_iou(&[0, 1, 19, 4], &[3, 1, 19, 5], Some(0), 20);
    let ours = papers_iou(&[255, 0, 18, 3], &[2, 0, 18, 4], Some(255), 19);
    // 0&3 + 1&1 + 19&19 + 4&5 = 24, 0|3 + 1|1 + 19|19 + 4|5 = 28; 20 (24/28 - 1/2) = 7.14.
    assert_eq!([theirs, ours], [0.8, 0.8]);
    assert_eq!(papers_iou(&[255], &[0], Some(255), 19), 0.0);
    assert_eq!(papers_iou(&[0, 0], &[0, 0], Some(0), 20), 1.0);
    assert_eq!(papers_iou(&[], &[], None, 20), 1.0);
}

#[test]
fn what_is_ignored_has_no_iou() {
    let mut confusion = Confusion::new(3).ignoring(0);
    for (label, predicted) in [(0, 1), (1, 0), (1, 1), (2, 2)] {
        confusion.add(label, predicted).unwrap();
    }
    assert_eq!(confusion.iou(), [None, Some(0.5), Some(1.0)]);
    assert_eq!(confusion.mean_iou(), 0.75);
}

/// The losses' definitions in plain loops.
#[test]
fn losses_are_what_they_say() {
    let (pixels, classes) = (60, 5);
    let logits = Tensor::normal([3, 4, 5, classes], 0.0, 1.5, DType::F64, &Rng::new(3));
    let label = |i: usize| {
        if i % 7 == 2 {
            255
        } else {
            (i * i % classes) as i64
        }
    };
    let labels: Vec<i64> = (0..pixels).map(label).collect();
    let values = logits.to_vec::<f64>().unwrap();
    let log_p = |i: usize| {
        let row = &values[i * classes..][..classes];
        let all: f64 = row.iter().map(|x| x.exp()).sum();
        row[labels[i] as usize] - all.ln()
    };
    let counted: Vec<f64> = (0..pixels)
        .filter(|&i| labels[i] != 255)
        .map(log_p)
        .collect();
    let mean = |f: &dyn Fn(f64) -> f64| {
        counted.iter().map(|&log_p| f(log_p)).sum::<f64>() / counted.len() as f64
    };
    let entropy = mean(&|log_p| -log_p);
    let focal = mean(&|log_p: f64| -(1.0 - log_p.exp()).powi(2) * log_p);
    let papers = (1.0 - (-entropy).exp()).powi(2) * entropy;
    let labels = Tensor::from_vec(labels.clone(), [3, 4, 5]).unwrap();
    for (name, want) in [
        ("cross-entropy", entropy),
        ("focal", focal),
        ("papers-focal", papers),
    ] {
        let loss: Loss = name.parse().unwrap();
        assert_eq!(loss.to_string(), name);
        let got = loss.of(&(&logits).into(), &labels, Some(255)).unwrap();
        assert!((got.item().unwrap() - want).abs() < 1e-13, "{name}");
        gradcheck(
            |v| loss.of(&v[0], &labels, Some(255)),
            std::slice::from_ref(&logits),
        )
        .unwrap();
    }
    assert_eq!(
        message("mse".parse::<Loss>()),
        "unknown loss `mse`; choose one of cross-entropy, focal, papers-focal"
    );
}

/// A model whose logits are its images.
struct Identity;

impl Module for Identity {
    fn forward(&self, _: &Pass, x: &Var) -> Result<Var> {
        Ok(x.clone())
    }
}

/// Images of three channels, the largest of which is the prediction, with labels.
fn loader(predicted: &[usize], labels: Vec<i64>, shape: [usize; 3]) -> Loader {
    let [n, h, w] = shape;
    let logits = predicted
        .iter()
        .flat_map(|&p| (0..3).map(move |c| f32::from(u8::from(c == p))));
    let logits = Tensor::from_vec(logits.collect(), [n, h, w, 3]).unwrap();
    let labels = Tensor::from_vec(labels, shape).unwrap();
    Loader::new(TensorDataset::new(logits, labels).unwrap(), 2).unwrap()
}

fn evaluated(samples: &Loader) -> Result<wavemix::train::Segmentation> {
    let (_, params) = Params::declare(DType::F32, &Rng::new(0), |_| Ok(()))?;
    evaluate_pixels(
        &Identity,
        &params,
        wavemix::Precision::F32,
        samples,
        Some(255),
    )
}

#[test]
fn all_pixels_of_a_set_are_counted_together() {
    // Three images of two pixels: the last batch is a single one.
    let samples = loader(&[0, 0, 1, 2, 2, 0], vec![0, 1, 1, 255, 2, 2], [3, 1, 2]);
    let got = evaluated(&samples).unwrap();
    // Class 0: 1 of 3; class 1: 1 of 2; class 2: 1 of 2; the ignored pixel is in none.
    assert!((got.mean_iou - (1.0 / 3.0 + 0.5 + 0.5) / 3.0).abs() < 1e-15);
    assert_eq!((got.pixel_accuracy, got.confusion.total()), (3.0 / 5.0, 5));
    // 1&1 + 2&1 over 1|1 + 2|1; 2&2 + 0&3 over 2|2 + 0|3; 3&3 + 3&1 over 3|3 + 3|1.
    let by_hand = [1.0 / 4.0, 2.0 / 5.0, 4.0 / 6.0];
    let ratio = |r: f64| (20.0 * (r - 0.5)).clamp(0.0, 10.0).ceil() / 10.0;
    let mean = by_hand.map(ratio).iter().sum::<f64>() / 3.0;
    assert!((got.papers_iou - mean).abs() < 1e-15);
    let wrong = evaluated(&loader(&[0, 0], vec![0, 7], [1, 1, 2])).unwrap_err();
    let what = "confusion: a label of 7 is not below 3, the number of classes";
    assert_eq!(wrong.to_string(), what);
    let negative = evaluated(&loader(&[0, 0], vec![0, -100], [1, 1, 2])).unwrap_err();
    assert_eq!(
        negative.to_string(),
        "the data set: a label of -100 is no class"
    );
}

/// A PNG of this size.
fn png(size: [usize; 2], color: png::ColorType, bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut encoder = png::Encoder::new(&mut out, size[1] as u32, size[0] as u32);
    encoder.set_color(color);
    let mut writer = encoder.write_header().unwrap();
    writer.write_image_data(bytes).unwrap();
    drop(writer);
    out
}

/// Scenes of 32x64 pixels in Cityscapes' layout: sky over road, with the horizon at many heights, a
/// building in the middle, and at the right border what is not judged.
fn write_scenes(folder: &Folder, within: &str) {
    for (part, city, scenes) in [("train", "aachen", 10), ("val", "lindau", 4)] {
        for i in 0..scenes {
            let id = |k: usize| match (k / 64, k % 64) {
                (_, 60..) => 1,
                (y, x) if (8..28).contains(&y) && x / 8 == 2 + i % 4 => 11,
                (y, _) if y < 12 + i % 8 => 23,
                _ => 7,
            };
            let ids: Vec<u8> = (0..32 * 64).map(id).collect();
            let colour = |&id: &u8| match id {
                7 => [110, 60, 120],
                11 => [70, 70, 70],
                23 => [70, 130, 180],
                _ => [0, 0, 0],
            };
            let pixels: Vec<u8> = ids.iter().flat_map(colour).collect();
            let stem = format!("{part}/{city}/{city}_000000_{i:06}");
            let image = png([32, 64], png::ColorType::Rgb, &pixels);
            folder.write(
                &format!("{within}/leftImg8bit/{stem}_leftImg8bit.png"),
                &image,
            );
            let map = png([32, 64], png::ColorType::Grayscale, &ids);
            folder.write(&format!("{within}/gtFine/{stem}_gtFine_labelIds.png"), &map);
        }
    }
}

fn cityscapes(folder: &Folder) -> Arc<dyn Dataset> {
    let set = Source::Cityscapes.open(folder.path().join("scenes"), Some([32, 64]));
    set.unwrap().train
}

/// The labels that crops leave, over some epochs.
fn cropped(data: Arc<dyn Dataset>) -> Vec<i64> {
    let augment = Augment {
        flip: true,
        crop: 4,
        ..Augment::default()
    };
    let loader = Loader::new(data, 5).unwrap().with_augment(augment);
    let mut seen = std::collections::BTreeSet::new();
    for epoch in 0..3 {
        for batch in loader.epoch(&Rng::new(0), epoch, 0).unwrap() {
            seen.extend(batch.unwrap().targets.to_vec::<i64>().unwrap());
        }
    }
    seen.into_iter().collect()
}

/// Beyond the border there is what losses ignore: 255, or void where that is a class, never -100.
#[test]
fn a_crop_fills_maps_with_what_the_set_ignores() {
    let folder = Folder::new("scenes-cropped");
    write_scenes(&folder, "scenes");
    assert_eq!(cropped(cityscapes(&folder)), [0, 2, 10, 255]);
    let void = VoidClass::new(cityscapes(&folder));
    assert_eq!((void.classes().len(), &*void.classes()[0]), (20, "void"));
    assert_eq!(&*void.classes()[19], "bicycle");
    assert!(void.fingerprint().ends_with("void as a class"));
    assert_eq!(cropped(Arc::new(void)), [0, 1, 3, 11]);
}

const JOB: Job = Job {
    name: "train",
    about: "",
    splits: &[],
    model: "WaveMixLite-16/2",
    stem: None,
    batch_size: "5",
    epochs: "2",
    dropout: "0",
    lr: 0.01,
    glyphs: [0, 0],
    mirrors: true,
};

fn settings(folder: &Folder, flags: &[&str]) -> Settings {
    let scenes = folder.path().join("scenes");
    let always = ["train", "--data", scenes.to_str().unwrap(), "--size", "32"];
    let always = [
        &always[..],
        &["--device", "cpu", "--threads", "2", "--augment"],
    ]
    .concat();
    let arguments = always.iter().chain(flags).map(OsString::from);
    Settings::parse(&JOB, arguments).unwrap().unwrap()
}

/// The last line of `metrics.jsonl`, that of the best weights.
fn best(run: &Path) -> Value {
    let lines = fs::read_to_string(run.join("metrics.jsonl")).unwrap();
    serde_json::from_str(lines.lines().last().unwrap()).unwrap()
}

#[test]
fn runs_on_scenes_train_and_report_both_measures() {
    let folder = Folder::new("scenes-trained");
    write_scenes(&folder, "scenes");
    let run = folder.path().join("run");
    for (model, flags) in [
        ("WaveMixLite-16/2", &[][..]),
        ("UNet-ResNet-18", &["--select-on-test"][..]),
        ("WaveMixLite-16/2", &["--loss", "papers-focal"][..]),
    ] {
        let out = ["--model", model, "--force", "--out", run.to_str().unwrap()];
        cli::run(settings(&folder, &[&out[..], flags].concat())).unwrap();
        let best = best(&run);
        let number = |key: &str| {
            best[key]
                .as_f64()
                .unwrap_or_else(|| panic!("{key}: {best}"))
        };
        let shares = ["test_miou", "test_papers_iou", "test_pixel_accuracy"].map(number);
        assert!(shares.iter().all(|x| (0.0..=1.0).contains(x)), "{best}");
        assert!(number("train_loss") > 0.0, "{best}");
        assert_eq!(
            best["val_miou"].is_null(),
            flags == ["--select-on-test"],
            "{best}"
        );
        // Void, where it is a class, is not judged.
        let classes = best["class_iou"].as_array().unwrap();
        let void = flags.contains(&"papers-focal");
        assert_eq!(classes.len(), 19 + usize::from(void));
        assert!(!void || classes[0].is_null());
        for picture in ["curves.svg", "confusion.svg"] {
            assert!(run.join(picture).exists(), "{picture}");
        }
        // The same weights give the same again.
        let weights = run.join("best/model.safetensors");
        let saved = wavemix::models::Saved::load(&weights, None).unwrap();
        let set = Source::Cityscapes
            .open(folder.path().join("scenes"), Some([32, 64]))
            .unwrap();
        let test: Arc<dyn Dataset> = match void {
            true => Arc::new(VoidClass::new(set.test)),
            false => set.test,
        };
        let ignored = test.ignore_index();
        let test = Loader::new(test, 3).unwrap();
        let test = test.normalised(&saved.card.mean, &saved.card.std).unwrap();
        let precision = wavemix::Precision::F32;
        let again = evaluate_pixels(&saved.model, &saved.params, precision, &test, ignored);
        let again = again.unwrap();
        let [miou, papers, _] = shares;
        assert_eq!(
            [again.mean_iou, again.papers_iou],
            [miou, papers],
            "{model}"
        );
        let flags = [&["--evaluate", weights.to_str().unwrap()][..], flags].concat();
        cli::run(settings(&folder, &flags)).unwrap();
    }
}

/// With enough epochs the few scenes are learned: sky, road and building.
#[test]
fn a_small_model_learns_the_scenes() {
    let folder = Folder::new("scenes-learned");
    write_scenes(&folder, "scenes");
    let run = folder.path().join("run");
    for loss in ["focal", "papers-focal"] {
        let out = ["--force", "--out", run.to_str().unwrap()];
        let flags = ["--epochs", "30", "--select-on-test", "--loss", loss];
        cli::run(settings(&folder, &[&flags[..], &out].concat())).unwrap();
        let miou = best(&run)["test_miou"].as_f64().unwrap();
        assert!(miou > 0.5, "{loss}: mIoU {miou}");
    }
}

#[test]
fn a_folder_without_maps_is_named() {
    let folder = Folder::new("scenes-lacking");
    write_scenes(&folder, "scenes");
    fs::remove_dir_all(folder.path().join("scenes/gtFine")).unwrap();
    let said = message(settings(&folder, &[]).trainer());
    let want = "Cityscapes is not whole: gtFine/train or gtFine_trainvaltest.zip missing";
    assert!(said.ends_with(want), "{said}");
    let said = message(settings(&folder, &["--model", "ResNet-18"]).trainer());
    assert!(said.ends_with(want), "{said}");
}

#[test]
fn a_model_that_only_segments_does_not_classify() {
    let folder = Folder::new("scenes-none");
    for (class, tone) in [("dark", 10), ("light", 240)] {
        for i in 0..4 {
            let picture = png([8, 8], png::ColorType::Grayscale, &[tone; 64]);
            folder.write(&format!("scenes/{class}/{i}.png"), &picture);
        }
    }
    let said = message(settings(&folder, &["--model", "SegFormer-B0"]).trainer());
    assert_eq!(
        said,
        "SegFormer-B0: it segments images, and has no head for other tasks"
    );
}
