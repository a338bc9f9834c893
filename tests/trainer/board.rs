//! The events for TensorBoard: read back record by record, and by TensorBoard itself.

use std::collections::BTreeMap;
use std::io::Write;
use std::process::Command;

use super::*;
use crate::events::{field, fields, files, scalars, values};

fn told(out: &Path) -> Config {
    Config {
        epochs: 3,
        tensorboard: true,
        ..config(out)
    }
}

#[test]
fn every_step_and_every_epoch_is_told() {
    let out = folder("events");
    finished(train(told(&out)));
    assert_eq!(files(&out).len(), 1);
    // 200 samples an epoch: six batches of 32 and one of 8.
    let losses = scalars(&out, "step/loss");
    assert_eq!(
        losses.iter().map(|(step, _)| *step).collect::<Vec<_>>(),
        (1..=21).collect::<Vec<_>>()
    );
    for (i, line) in lines(&out)[..3].iter().enumerate() {
        let sizes = [32., 32., 32., 32., 32., 32., 8.];
        let sum: f64 = losses[7 * i..][..7]
            .iter()
            .zip(sizes)
            .map(|((_, loss), n)| f64::from(*loss) * n)
            .sum();
        let loss = line["train_loss"].as_f64().unwrap();
        // Each is rounded to f32.
        assert!(
            (sum / 200.0 - loss).abs() <= loss * f64::from(f32::EPSILON),
            "{sum} {loss}"
        );
        for key in [
            "train_loss",
            "val_top1",
            "test_top1",
            "test_top5",
            "waited_for_data",
        ] {
            let told = scalars(&out, &format!("epoch/{key}"))[i];
            assert_eq!(
                told,
                (7 * (i as u64 + 1), line[key].as_f64().unwrap() as f32),
                "{key}"
            );
        }
        assert_eq!(
            scalars(&out, "step/learning_rate")[7 * i + 6].1,
            line["lr"].as_f64().unwrap() as f32
        );
    }
    for tag in ["step/images_per_s", "step/gradient_norm"] {
        let numbers = scalars(&out, tag);
        assert!(
            numbers.len() == 21 && numbers.iter().all(|(_, x)| x.is_finite() && *x > 0.0),
            "{tag}"
        );
    }
    let values = values(&out);
    for (name, count) in [
        ("hidden.weight", 32.0),
        ("hidden.bias", 16.0),
        ("output.weight", 64.0),
    ] {
        let histograms = &values[&format!("weights/{name}")];
        assert_eq!(
            histograms.iter().map(|(step, _)| *step).collect::<Vec<_>>(),
            [7, 14, 21]
        );
        let histogram = field(&histograms[2].1, 5).unwrap();
        let list = |number| {
            let list = field(histogram.bytes(), number).unwrap();
            let numbers = list
                .bytes()
                .chunks(8)
                .map(|x| f64::from_le_bytes(x.try_into().unwrap()));
            numbers.collect::<Vec<f64>>()
        };
        let (ends, counts) = (list(6), list(7));
        assert_eq!(
            (ends.len(), counts.iter().sum::<f64>()),
            (counts.len(), count),
            "{name}"
        );
        assert!(ends.is_sorted() && list(1)[0] < ends[0], "{name}");
    }
    // Points are no pictures.
    assert!(!values.contains_key("mistakes"));
}

#[test]
fn the_settings_are_told_with_what_runs_are_compared_by() {
    let out = folder("events-settings");
    finished(train(told(&out)));
    let values = values(&out);
    let text = String::from_utf8_lossy(&values["config"][0].1).into_owned();
    assert!(
        text.contains("\"rule\": \"momentum\"") && text.contains("```json"),
        "{text}"
    );
    let plugin = |tag: &str| {
        let metadata = field(&values[&format!("_hparams_/{tag}")][0].1, 9).unwrap();
        let plugin = field(metadata.bytes(), 1).unwrap();
        assert_eq!(field(plugin.bytes(), 1).unwrap().bytes(), b"hparams");
        field(plugin.bytes(), 2).unwrap()
    };
    let experiment = field(plugin("experiment").bytes(), 2).unwrap();
    let metric = field(experiment.bytes(), 5).unwrap();
    let metric = field(field(metric.bytes(), 1).unwrap().bytes(), 2).unwrap();
    assert_eq!(metric.bytes(), b"epoch/val_top1");
    let session = field(plugin("session_start_info").bytes(), 3).unwrap();
    let settings = fields(session.bytes())
        .into_iter()
        .filter(|(number, _)| *number == 1);
    let settings: BTreeMap<Vec<u8>, Vec<u8>> = settings
        .map(|(_, pair)| {
            [1, 2]
                .map(|n| field(pair.bytes(), n).unwrap().bytes().to_vec())
                .into()
        })
        .collect();
    // Text that is a number is one.
    assert_eq!(
        field(&settings[&b"lr"[..]], 2).unwrap().bytes(),
        0.1f64.to_le_bytes()
    );
    assert_eq!(
        field(&settings[&b"rule"[..]], 3).unwrap().bytes(),
        b"momentum"
    );
    assert_eq!(
        field(plugin("session_end_info").bytes(), 4)
            .map(|end| field(end.bytes(), 1).unwrap().number()),
        Some(1)
    );
}

/// Clipping knows the norm too, in another way.
#[test]
fn norms_are_those_before_clipping() {
    let [plain, clipped] = ["events-plain", "events-clipped"].map(folder);
    finished(train(told(&plain)));
    let unreached = Config {
        max_norm: Some(1e9),
        ..told(&clipped)
    };
    finished(train(unreached));
    let norms = scalars(&plain, "step/gradient_norm");
    assert_eq!(norms.len(), 21);
    assert_eq!(norms, scalars(&clipped, "step/gradient_norm"));
}

/// The old file keeps steps that a killed run had done after its last checkpoint, and may end within
/// a record; none of them is shown twice. The events go on without being asked for again.
#[test]
fn a_run_that_goes_on_has_each_step_once() {
    let [whole, first, parts] = ["events-whole", "events-first", "events-parts"].map(folder);
    finished(train(told(&whole)));
    for (out, epochs) in [(&first, 1), (&parts, 2)] {
        let stop = Config {
            stop_after: Some(epochs),
            ..told(out)
        };
        train(stop).unwrap();
    }
    let state = "last/state.safetensors";
    fs::copy(first.join(state), parts.join(state)).unwrap();
    let [file] = &files(&parts)[..] else {
        panic!("one file");
    };
    let length = fs::metadata(file).unwrap().len();
    let file = fs::File::options().write(true).open(file).unwrap();
    file.set_len(length - 5).unwrap();
    let resume = Config {
        resume: true,
        tensorboard: false,
        ..told(&parts)
    };
    finished(train(resume));
    assert_eq!(files(&parts).len(), 2);
    for tag in [
        "step/loss",
        "step/learning_rate",
        "epoch/val_top1",
        "epoch/train_loss",
    ] {
        let told = scalars(&whole, tag);
        assert_eq!(told.len(), if tag.starts_with("step") { 21 } else { 3 });
        assert_eq!(scalars(&parts, tag), told, "{tag}");
    }
    let values = values(&parts);
    assert_eq!(
        [values["config"].len(), values["_hparams_/experiment"].len()],
        [1, 1]
    );
    by_tensorboard(&parts);

    // A new run in its place begins with files of its own, and one that is not asked for has none.
    let again = |tensorboard| Config {
        force: true,
        tensorboard,
        ..told(&parts)
    };
    finished(train(again(true)));
    assert_eq!(
        (files(&parts).len(), scalars(&parts, "step/loss").len()),
        (1, 21)
    );
    finished(train(again(false)));
    assert!(files(&parts).is_empty());
}

#[cfg(feature = "pictures")]
#[test]
fn mistakes_are_a_picture_and_a_table() {
    let out = folder("events-mistakes");
    // Any model misreads some of what has no class.
    let pixels = (0..64 * 64).map(|i: u32| (i.wrapping_mul(2_654_435_761) >> 24) as u8);
    let labels = (0..64).map(|i| i64::from(i % 3 == 0)).collect();
    let set = ImageSet::new(
        "noise",
        [8, 8, 1],
        pixels.collect(),
        labels,
        vec!["a|b".into(), "c".into()],
    );
    let loader = Loader::new(set.unwrap(), 16).unwrap();
    let loader = loader.normalised(&[0.5], &[0.25]).unwrap();
    let config = models::Config {
        channels: 1,
        size: 8,
        task: models::Task::Classify { classes: 2 },
        ..models::Config::parse("WaveMixLite-8/1").unwrap()
    };
    let (model, params) = config.build(DType::F32, &Rng::new(0)).unwrap();
    let data = Data {
        test: Some(loader.clone()),
        ..loader.into()
    };
    let told = Config {
        epochs: 1,
        tensorboard: true,
        out: Some(out.clone()),
        ..Config::default()
    };
    let results = finished(Trainer::new(model, params, data, told).unwrap().run());
    let Some(wavemix::train::Score::Classes(test)) = results.test else {
        panic!("a classifier");
    };
    let values = values(&out);
    let [[(4, picture)], [(4, text)]] = ["mistakes", "mistakes/table"].map(|tag| &values[tag][..])
    else {
        panic!("a picture and a text of step 4");
    };
    let picture = field(picture, 4).unwrap();
    let [height, width] = [1, 2].map(|n| field(picture.bytes(), n).unwrap().number());
    let png = out.join("mistakes.png");
    fs::write(&png, field(picture.bytes(), 4).unwrap().bytes()).unwrap();
    let read = wavemix::data::read_pictures(&png, 1, false).unwrap();
    assert_eq!(read[0].size[..2], [height as usize, width as usize]);
    let rows = test.mistakes.len().div_ceil(8);
    assert!(
        rows > 0 && height as usize == 8 + 104 * rows,
        "{height} for {rows}"
    );
    let text = String::from_utf8_lossy(text);
    assert_eq!(text.matches(" → ").count(), test.mistakes.len());
    assert!(
        text.contains("a\\|b → c") || text.contains("c → a\\|b"),
        "{text}"
    );
}

/// A record of which a part was written, as where a disk was full, is cut off; a file that somebody
/// removed is begun anew.
#[test]
fn events_go_on_behind_what_is_broken() {
    use wavemix::io::tensorboard::EventFile;
    let out = folder("events-broken");
    fs::create_dir_all(&out).unwrap();
    let mut events = EventFile::create(&out).unwrap();
    let mut told = |step: u64| {
        events.scalars(step, &[("loss", step as f64)]).unwrap();
        events.flush().unwrap();
    };
    told(1);
    let file = &files(&out)[0];
    let torn = [fs::read(file).unwrap(), vec![24, 0, 0, 0, 0, 0]].concat();
    fs::write(file, torn).unwrap();
    told(2);
    assert_eq!(scalars(&out, "loss"), [(1, 1.0), (2, 2.0)]);
    fs::remove_file(file).unwrap();
    told(3);
    told(4);
    assert_eq!(scalars(&out, "loss"), [(3, 3.0), (4, 4.0)]);
}

/// TensorBoard's own reader finds the same scalars as the one above, and the rest.
fn by_tensorboard(folder: &Path) {
    let python = std::env::var("WAVEMIX_PYTHON").unwrap_or_else(|_| "python3".into());
    let can = Command::new(&python)
        .args(["-c", "import tensorboard"])
        .output();
    if !can.is_ok_and(|output| output.status.success()) {
        let line = "skipped: events in TensorBoard's own reader: no Python with tensorboard (set WAVEMIX_PYTHON)";
        assert!(std::env::var_os("WAVEMIX_NO_SKIP").is_none(), "{line}");
        let _ = writeln!(std::io::stderr(), "{line}");
        return;
    }
    const READ: &str = "
import json, sys
from tensorboard.backend.event_processing import event_accumulator, plugin_event_accumulator
events = event_accumulator.EventAccumulator(sys.argv[1], size_guidance={'scalars': 0, 'histograms': 0, 'tensors': 0}).Reload()
fresh = plugin_event_accumulator.EventAccumulator(sys.argv[1], size_guidance={'tensors': 0}).Reload()
tags = events.Tags()
print(json.dumps({
    'scalars': {tag: [[x.step, x.value] for x in events.Scalars(tag)] for tag in tags['scalars']},
    'histograms': {tag: [[x.step, sum(x.histogram_value.bucket)] for x in events.Histograms(tag)] for tag in tags['histograms']},
    'text': events.Tensors('config/text_summary' if 'config/text_summary' in tags['tensors'] else 'config')[0].tensor_proto.string_val[0].decode(),
    'steps': {tag: [x.step for x in fresh.Tensors(tag)] for tag in fresh.Tags()['tensors']},
    'plugins': sorted(events.summary_metadata[tag].plugin_data.plugin_name for tag in events.summary_metadata),
}))";
    let output = Command::new(&python)
        .args(["-c", READ])
        .arg(folder)
        .output()
        .unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{error}");
    let read: Value = serde_json::from_slice(&output.stdout).unwrap();
    let tags = read["scalars"].as_object().unwrap();
    assert!(tags.len() > 8, "{tags:?}");
    for (tag, values) in tags {
        let theirs = values.as_array().unwrap().iter();
        let theirs = theirs.map(|x| (x[0].as_u64().unwrap(), x[1].as_f64().unwrap() as f32));
        assert_eq!(theirs.collect::<Vec<_>>(), scalars(folder, tag), "{tag}");
        // The program itself reads by another class.
        let steps: Vec<u64> = scalars(folder, tag).iter().map(|(step, _)| *step).collect();
        assert_eq!(read["steps"][tag], serde_json::json!(steps), "{tag}");
    }
    let histograms = &read["histograms"]["weights/output.weight"];
    assert_eq!(
        *histograms,
        serde_json::json!([[7, 64.0], [14, 64.0], [21, 64.0]])
    );
    assert!(read["text"].as_str().unwrap().contains("momentum"));
    let plugins = read["plugins"].as_array().unwrap();
    assert_eq!(
        plugins.iter().filter(|plugin| *plugin == "hparams").count(),
        3,
        "{plugins:?}"
    );
}
