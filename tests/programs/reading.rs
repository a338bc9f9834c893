//! `predict` on IDX files: whether they keep images row by row or column by column.

use super::*;
use wavemix::io::weights;
use wavemix::models::{Config, ImageMeta, Task};
use wavemix::{DType, Rng, Tensor};

/// Writes a model with a head of random weights, trained on a set whose files keep images column by
/// column or not.
fn write_model(path: &Path, transposed: bool, head: u64) {
    let config = Config {
        channels: 1,
        size: 28,
        task: Task::Classify { classes: 3 },
        ..Config::parse("WaveMixLite-8/1").unwrap()
    };
    let (_, mut params) = config.build(DType::F32, &Rng::new(0)).unwrap();
    let shape = *params.get("pool.2.weight").unwrap().shape();
    let weight = Tensor::normal(shape, 0.0, 10.0, DType::F32, &Rng::new(head));
    params.set("pool.2.weight", &weight).unwrap();
    let card = ImageMeta {
        classes: ["a", "b", "c"].map(String::from).to_vec(),
        mean: vec![0.5],
        std: vec![0.5],
        transposed,
        ..ImageMeta::default()
    };
    weights::save(path, &params, &card.to_metadata(&config)).unwrap();
}

/// Flags count first, then the file's name, then what the model was trained on.
#[test]
fn predict_reads_idx_files_as_flag_name_or_weights_say() {
    let folder = Folder::new("reading");
    let (rows, columns) = ("rows.safetensors", "columns.safetensors");
    // A bright band at the top.
    let band: Vec<u8> = (0..784).map(|i| if i < 196 { 255 } else { 0 }).collect();
    let (own, emnist, mnist) = (
        "own.idx",
        "emnist-x-images-idx3-ubyte",
        "t10k-images.idx3-ubyte",
    );
    for name in [own, emnist, mnist] {
        folder.write(name, &idx_images(1, 28, 28, &band));
    }
    let answer = |flags: &[&str], weights: &str, file: &str| {
        let arguments = [flags, &[weights, file]].concat();
        let said = succeeds(&mut run_in(folder.path(), "predict", &arguments));
        said.split_once("[0]: ").unwrap().1.to_owned()
    };
    // A head that tells the band from one at the left.
    let (upright, turned) = (1..50)
        .find_map(|head| {
            write_model(&folder.path().join(rows), false, head);
            write_model(&folder.path().join(columns), true, head);
            let upright = answer(&["--upright"], rows, own);
            let turned = answer(&["--transposed"], rows, own);
            (upright != turned).then_some((upright, turned))
        })
        .expect("some head differs");
    for weights in [rows, columns] {
        for file in [own, emnist, mnist] {
            assert_eq!(answer(&["--upright"], weights, file), upright, "{file}");
            assert_eq!(answer(&["--transposed"], weights, file), turned, "{file}");
        }
        assert_eq!(answer(&[], weights, emnist), turned);
        assert_eq!(answer(&[], weights, mnist), upright);
    }
    assert_eq!(answer(&[], rows, own), upright);
    assert_eq!(answer(&[], columns, own), turned);
}
