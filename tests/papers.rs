//! The program that prints the papers' tables: its data agree with themselves and with the
//! library.

// Formatted as the examples are.
#[allow(dead_code)]
#[rustfmt::skip]
#[path = "../examples/papers/main.rs"]
mod papers;

mod files;

#[path = "papers/training.rs"]
mod training;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;

use papers::measure::{Effort, Ours, Speed, measure};
use papers::print::{self, Line};
use papers::table::{Part, Row, Set, Table};
use papers::{TABLES, lines};
use serde_json::Value;
use wavemix::models::Config;
use wavemix::{Device, Error};

fn run(args: &[&str]) -> wavemix::Result<()> {
    let args = ["papers"].iter().chain(args);
    papers::papers(args.map(OsString::from))
}

/// All rows, each with its table and part.
fn rows() -> impl Iterator<Item = (&'static Table, &'static Part, &'static Row)> {
    let parts = |table: &'static Table| table.parts.iter().map(move |part| (table, part));
    TABLES
        .into_iter()
        .flat_map(parts)
        .flat_map(|(table, part)| part.rows.iter().map(move |row| (table, part, row)))
}

/// The row of this table with this model, on its first data set of this name.
fn find(table: &str, model: &str, data: &str) -> (Config, &'static Set) {
    let found = rows().find_map(|(of, part, row)| {
        let set = part.sets(row).iter().find(|set| set.to_string() == data)?;
        (of.name == table && row.model == model).then_some((row, set))
    });
    let (row, set) = found.unwrap_or_else(|| panic!("{table} has no {model} on {data}"));
    (row.config(set).unwrap().unwrap(), set)
}

/// A number for every column; settings that the models have.
#[test]
fn every_row_is_whole() {
    for (table, part, row) in rows() {
        let what = format!("{}: {}", table.name, row.model);
        let printed: Vec<&str> = row.printed.split(' ').collect();
        assert_eq!(printed.len(), table.printed.len(), "{what}");
        for figure in printed {
            let number = figure.trim_end_matches('%').parse::<f64>();
            assert!(figure == "-" || number.is_ok(), "{what}: {figure}");
        }
        for set in part.sets(row) {
            let known = Config::parse(row.name()).is_ok();
            let config = row.config(set).unwrap_or_else(|e| panic!("{what}: {e}"));
            assert_eq!(config.is_some(), known, "{what}");
        }
    }
}

/// Names of models that the library has not, or not everywhere yet, are of these families; all
/// others have to parse.
#[test]
fn only_these_models_may_be_missing() {
    let allowed = ["2D-FNet-", "2D-MLP-Mixer-", "MLP-Mixer-"];
    for (table, part, row) in rows() {
        if row.config(&part.sets[0]).unwrap().is_none() {
            let may = allowed.iter().any(|family| row.model.starts_with(family));
            assert!(may, "{}: {} is no model", table.name, row.model);
        }
    }
}

/// What the papers and a count of the reference implementations say.
#[test]
fn counts_are_those_of_the_references() {
    // Without the difference of the stems, where the images are small.
    let stem = 7_680;
    for (table, model, data, parameters) in [
        ("W1", "ResNet-18", "C10 32x32", 11_181_642 - stem),
        ("W2", "ResNet-34", "Byclass 28x28", 21_316_478 - stem),
        ("W3", "ResNet-18", "Caltech 256x256", 11_308_353),
        ("W1", "ResNet-50", "C100 32x32", 23_712_932 - stem),
        ("L1", "CPV-128/5x4", "IN64 64x64", 1_473_704),
        ("W1", "WaveMix-16/5", "C10 32x32", 182_202),
        ("W1", "WaveMix-32/5", "C10 32x32", 722_538),
        ("W1", "WaveMix-64/5", "C10 32x32", 2_877_642),
        ("L2", "WaveMixLite-16/7", "C10 32x32", 38_550),
        ("L2", "WaveMixLite-144/7", "C10 32x32", 3_042_550),
        ("W3", "WaveMixLite-256/7", "iNat 256x256", 12_169_680),
        ("L1", "WaveMixLite-128/7", "IN64 64x64", 2_532_680),
        ("L1", "WaveMixLite-128/14", "IN64 64x64", 4_860_712),
        ("L4", "ConvMixer-512/16", "Cityscapes 256x512", 7_418_260),
        ("L4", "UNet-ResNet-18", "Cityscapes 512x1024", 14_330_964),
        ("L4", "SegFormer", "Cityscapes 512x1024", 7_722_356),
    ] {
        let (config, _) = find(table, model, data);
        let ours = config.parameters().unwrap();
        assert_eq!(ours, parameters, "{table}: {model} on {data}");
    }
}

/// The parameters of WaveMix-Lite with a head for 20 classes a pixel, written out.
fn for_segmentation(config: &Config) -> usize {
    let json = config.to_json();
    let setting = |name: &str| json[name].as_u64().unwrap() as usize;
    let (_, sizes) = json["name"].as_str().unwrap().split_once('-').unwrap();
    let (d, n) = sizes.split_once('/').unwrap();
    let (d, n) = (d.parse::<usize>().unwrap(), n.parse::<usize>().unwrap());
    let (h, q, m, f) = (d / 2, d / 4, setting("mult"), setting("ff"));
    let stem = 27 * h + h + 9 * h * d + d;
    let block = d * q + q + d * (m * d) + m * d + (m * d) * f + f + 16 * f * d + 3 * d;
    let head = 16 * d * h + h + 16 * h * q + q + 20 * q + 20;
    stem + n * block + head
}

/// Where a table prints millions of a WaveMix-Lite for segmentation, or exact counts, ours are those.
#[test]
fn printed_counts_are_near_ours() {
    let mut seen = 0;
    for (table, part, row) in rows().filter(|(table, ..)| ["L5", "L8", "L9"].contains(&table.name))
    {
        let set = &part.sets[0];
        let config = row.config(set).unwrap().unwrap();
        let figure = |column: &str| {
            let i = table.printed.iter().position(|name| *name == column)?;
            row.printed.split(' ').nth(i)?.parse::<f64>().ok()
        };
        let what = format!("{}: {}", table.name, row.model);
        match figure("parameters") {
            Some(exact) => {
                assert_eq!(config.parameters().unwrap() as f64, exact, "{what}");
            }
            None => {
                let ours = for_segmentation(&config) as f64 / 1e6;
                let printed = figure("M").unwrap();
                // The paper cuts off digits.
                assert!((ours / printed - 1.0).abs() < 0.025, "{what}: {ours} M");
            }
        }
        seen += 1;
    }
    assert_eq!(seen, 4 + 4 + 37);
    let config = |model: &str| find("L9", model, "Cityscapes 256x512").0;
    let smallest = config("WaveMixLite-128/8");
    assert_eq!(
        (smallest.parameters().unwrap(), for_segmentation(&smallest)),
        (2_900_852, 2_900_852)
    );
    let written_out = |model: &str| for_segmentation(&config(model));
    assert_eq!(written_out("WaveMixLite-256/16 ff=512 mult=3"), 44_243_156);
    assert_eq!(
        written_out("WaveMixLite-512/12 ff=1024 mult=3"),
        133_623_700
    );
}

/// A row with figures of any kind in place of those that take time.
fn line(part: &'static Part, row: &'static Row) -> Line {
    let sets = part.sets(row);
    let known = Config::parse(row.name()).is_ok();
    let speed = Speed {
        train: 1.0,
        infer: 2.0,
        batch: 3,
        image: sets[0].image,
    };
    let ours = Ours {
        parameters: 1234,
        saved_bytes: 1 << 20,
        inference_bytes: 1 << 18,
        speed: Some(speed),
    };
    Line {
        part,
        row,
        ours: known.then_some(ours),
        parameters: vec![1234; sets.len()],
        accuracy: vec![None; sets.len()],
        papers_iou: vec![None; sets.len()],
    }
}

/// A table with as many lines as rows; those of the models with numbers, the others with dashes.
#[test]
fn every_table_prints() {
    for table in TABLES {
        let rows = table
            .parts
            .iter()
            .flat_map(|part| part.rows.iter().map(move |row| (part, row)));
        let lines: Vec<Line> = rows.map(|(part, row)| line(part, row)).collect();
        let text = print::markdown(table, &lines, "how");
        let body: Vec<&str> = text.lines().filter(|line| line.starts_with('|')).collect();
        assert_eq!(body.len(), 2 + lines.len(), "{text}");
        let columns = body[0].matches('|').count();
        assert!(
            body.iter().all(|line| line.matches('|').count() == columns),
            "{text}"
        );
        let json = print::json(table, &lines, "how");
        for ((line, text), row) in lines
            .iter()
            .zip(&body[2..])
            .zip(json["rows"].as_array().unwrap())
        {
            let known = line.ours.is_some();
            assert_eq!(row["ours"]["saved_bytes"] == 1 << 20, known, "{row}");
            // 16e9 less 16 and 4 bytes a parameter, by 2^20 and 2^18 bytes.
            let batches = "| 15,258 | 61,035 |";
            assert_eq!(text.contains(batches), known, "{text}");
            assert_eq!(text.contains("| 1,234 |"), known, "{text}");
            assert_eq!(
                text.contains("| 1.00 (batch 3) | 2.00 (batch 3) |"),
                known,
                "{text}"
            );
        }
        let absent = lines.iter().any(|line| line.ours.is_none());
        assert_eq!(text.contains("no model called"), absent, "{text}");
    }
}

/// Every data set's parameters, and no speed where none was asked for.
#[test]
fn lines_have_the_counts_of_every_data_set() {
    let table = TABLES.into_iter().find(|table| table.name == "L7").unwrap();
    let lines = lines(table, Effort::Counts, Device::Cpu).unwrap();
    let counts: Vec<usize> = lines
        .iter()
        .flat_map(|line| line.parameters.clone())
        .collect();
    assert_eq!(
        counts,
        [2_411_678, 2_409_743, 4_136_522, 4_134_714, 10_123_567]
    );
    assert!(
        lines
            .iter()
            .all(|line| line.ours.as_ref().unwrap().speed.is_none())
    );
}

/// Models of classes and of maps, in steps so short that the images are made smaller.
#[test]
fn speeds_are_measured() {
    for (name, model, data, shrinks) in [
        ("L5", "WaveMixLite-8/5", "Fashion 28x28", false),
        ("L9", "WaveMixLite-128/8", "Cityscapes 256x512", true),
    ] {
        let (config, set) = find(name, model, data);
        let ours = measure(&config, set, Effort::Quick(0.01), Device::Cpu).unwrap();
        let speed = ours.speed.unwrap();
        assert!(speed.train > 0.0 && speed.infer > 0.0, "{model}");
        assert_eq!(speed.image != set.image, shrinks, "{model}");
    }
}

#[test]
fn json_is_written_where_it_is_asked_for() {
    let folder = std::env::temp_dir().join(format!("wavemix-papers-{}", std::process::id()));
    let path = folder.join("new/L5.json");
    run(&["L5", "--counts-only", "--out", path.to_str().unwrap()]).unwrap();
    let json: Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
    fs::remove_dir_all(&folder).unwrap();
    assert_eq!(json["table"], "L5");
    let counts: BTreeMap<&str, &Value> = json["rows"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| {
            (
                row["model"].as_str().unwrap(),
                &row["ours"]["parameters"][0],
            )
        })
        .collect();
    assert_eq!(counts["WaveMixLite-8/10 resize=bilinear"], 3_566);
    assert_eq!(counts["WaveMixLite-64/6"], 520_106);
}

#[test]
fn what_is_unknown_is_an_error_that_says_so() {
    let said = |args: &[&str]| match run(args) {
        Err(Error::Argument(what)) => what,
        other => panic!("{args:?}: {other:?}"),
    };
    assert!(said(&["W7"]).starts_with("no table is called `W7`; tables are W1, W2,"));
    assert!(said(&["W1", "--fast"]).contains("unexpected argument '--fast'"));
    assert!(said(&["W1", "--quick", "--counts-only"]).contains("cannot be used with"));
    assert!(said(&[]).contains("required"));
    assert!(run(&["W1", "--device", "tpu"]).is_err());
    run(&["list"]).unwrap();
}

/// A run of the trainer in `one`, that of this model on this set, with such a best line.
fn with_run(name: &str, (config, set): (&Config, &Set), best: &str) -> Vec<papers::runs::Run> {
    let folder = std::env::temp_dir().join(format!("wavemix-papers-{name}-{}", std::process::id()));
    fs::create_dir_all(folder.join("one/best")).unwrap();
    fs::create_dir_all(folder.join("empty")).unwrap();
    let trained = Config {
        dropout: 0.25,
        ..config.clone()
    };
    let images = wavemix::models::ImageMeta {
        data_set: set.source.to_string(),
        trained_on: format!("{}, training", set.source.title()),
        ..Default::default()
    };
    let file = wavemix::io::safetensors::TensorFile {
        metadata: images.to_metadata(&trained),
        ..Default::default()
    };
    file.write(folder.join("one/best/model.safetensors"))
        .unwrap();
    let metrics = format!(
        "{{\"epoch\":1,\"phase\":\"train\",\"test_top1\":0.9}}\n{{\"epoch\":1,\"phase\":\"best\",{best}}}\n"
    );
    fs::write(folder.join("one/metrics.jsonl"), metrics).unwrap();
    // A run on a part of the images is passed over.
    let config_file = |settings: &str| fs::write(folder.join("one/config.json"), settings).unwrap();
    config_file("{\"settings\":{\"limit\":\"100\"}}");
    assert!(papers::runs::finished(&folder).is_empty());
    config_file("{\"settings\":{}}");
    let runs = papers::runs::finished(&folder);
    fs::remove_dir_all(&folder).unwrap();
    runs
}

/// A run of the trainer that names the same model and data set.
#[test]
fn accuracies_are_those_of_the_same_model_and_data() {
    let (config, set) = find("L5", "WaveMixLite-8/5", "Fashion 28x28");
    let runs = with_run("classes", (&config, set), "\"test_top1\":0.875");
    let of = |config: &Config, set: &Set| papers::runs::accuracy(&runs, config, set);
    assert_eq!(of(&config, set), Some(87.5));
    let (other, mnist) = find("L5", "WaveMixLite-8/10 resize=bilinear", "MNIST 28x28");
    assert_eq!(
        (of(&other, mnist), of(&config, mnist), of(&other, set)),
        (None, None, None)
    );
}

/// The mIoU of a run on maps, and in a column of its own the ratio of the papers' scripts.
#[test]
fn mious_stand_beside_the_papers_ratio() {
    let (config, set) = find("L4", "UNet-MobileNetV2", "Cityscapes 512x1024");
    let best = "\"test_miou\":0.625,\"test_papers_iou\":0.5";
    let runs = with_run("maps", (&config, set), best);
    let shares = [papers::runs::accuracy, papers::runs::papers_iou];
    assert_eq!(
        shares.map(|of| of(&runs, &config, set)),
        [Some(62.5), Some(50.0)]
    );
    let table = TABLES.into_iter().find(|table| table.name == "L4").unwrap();
    let (part, row) = (&table.parts[0], &table.parts[0].rows[1]);
    let line = Line {
        accuracy: vec![Some(62.5)],
        papers_iou: vec![Some(50.0)],
        ..line(part, row)
    };
    let text = print::markdown(table, std::slice::from_ref(&line), "how");
    assert!(
        text.contains("| ours: mIoU % | ours: papers-iou % |"),
        "{text}"
    );
    assert!(text.contains("| 62.50 | 50.00 |"), "{text}");
    let json = print::json(table, &[line], "how");
    assert_eq!(json["rows"][0]["ours"]["test_miou_percent"][0], 62.5);
    assert_eq!(json["rows"][0]["ours"]["test_papers_iou_percent"][0], 50.0);
}
