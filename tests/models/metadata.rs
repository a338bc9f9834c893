//! The metadata of a weight file, which anyone may have written.

use super::*;

/// A weight file of a small model whose metadata was changed by hand.
fn with_metadata(folder: &Folder, entry: &str, key: &str, value: serde_json::Value) -> PathBuf {
    let config = named("WaveMixLite-8/1", 1, 3);
    let (_, params) = config.build(DType::F32, &Rng::new(0)).unwrap();
    let card = ImageMeta {
        classes: ["a", "b", "c"].map(String::from).to_vec(),
        mean: vec![0.5],
        std: vec![0.25],
        ..ImageMeta::default()
    };
    let mut metadata = card.to_metadata(&config);
    let mut json: serde_json::Value = serde_json::from_str(&metadata[entry]).unwrap();
    json[key] = value;
    metadata.insert(entry.into(), json.to_string());
    let path = folder.path().join("model.safetensors");
    weights::save(&path, &params, &metadata).unwrap();
    path
}

#[test]
fn metadata_of_a_weight_file_is_not_trusted() {
    let folder = Folder::new("metadata");
    let huge = serde_json::json!(u64::MAX);
    let json = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
    let misfit = "the weights do not fit the model: ";
    let cases: [(&str, &str, serde_json::Value, &str); 21] = [
        (
            "config",
            "size",
            json("100000"),
            "WaveMixLite-8/1: the size must be between 1 and 65536, got 100000",
        ),
        (
            "config",
            "size",
            json("1099511627776"),
            "WaveMixLite-8/1: the size must be between 1 and 65536, got 1099511627776",
        ),
        (
            "config",
            "size",
            json("65536"),
            "it names images of 65536x65536 pixels, of which a single map would have 34359738368 values",
        ),
        (
            "config",
            "outputs",
            huge.clone(),
            "WaveMixLite-8/1: the number of outputs must be between 1 and 65536, got 18446744073709551615",
        ),
        (
            "config",
            "channels",
            huge.clone(),
            "WaveMixLite-8/1: the number of channels must be between 1 and 65536",
        ),
        (
            "config",
            "stem",
            json("\"patchify:0\""),
            "WaveMixLite-8/1: patches need a side of at least 1",
        ),
        (
            "config",
            "stem",
            json("\"strided:4294967296,4294967296\""),
            "WaveMixLite-8/1: the stem `strided:4294967296,4294967296` reduces ",
        ),
        (
            "config",
            "levels",
            json("\"many\""),
            "model configuration: `levels` is missing or malformed",
        ),
        (
            "config",
            "levels",
            json("-1"),
            "model configuration: `levels` is missing or malformed",
        ),
        // In range, and yet more memory than any machine has: the file's tensors do not bear them
        // out.
        ("config", "name", json("\"WaveMixLite-65536/1024\""), misfit),
        ("config", "mult", json("65536"), misfit),
        (
            "config",
            "outputs",
            json("65536"),
            "its metadata `images`: 3 names for 65536 classes",
        ),
        (
            "images",
            "std",
            json("[0]"),
            "its metadata `images`: a standard deviation must be above 0, got 0",
        ),
        (
            "images",
            "std",
            json("[-1]"),
            "its metadata `images`: a standard deviation must be above 0, got -1",
        ),
        (
            "images",
            "std",
            json("[1e-60]"),
            "its metadata `images`: a standard deviation must be above 0, got 0",
        ),
        (
            "images",
            "std",
            json("[1e60]"),
            "its metadata `images`: `std` holds something other than finite numbers",
        ),
        (
            "images",
            "mean",
            json("[null]"),
            "its metadata `images`: `mean` holds something other than finite numbers",
        ),
        (
            "images",
            "mean",
            json("0.5"),
            "its metadata `images`: `mean` is not a list",
        ),
        (
            "images",
            "mean",
            json("[0.5, 0.5]"),
            "its metadata `images`: 2 means and 1 deviations for 1 channels",
        ),
        (
            "images",
            "classes",
            json("[\"a\", \"b\"]"),
            "its metadata `images`: 2 names for 3 classes",
        ),
        (
            "images",
            "classes",
            json("[1, 2, 3]"),
            "its metadata `images`: `classes` holds something other than names",
        ),
    ];
    for (entry, key, value, message) in cases {
        let path = with_metadata(&folder, entry, key, value.clone());
        let error = Saved::load(&path, None)
            .err()
            .unwrap_or_else(|| panic!("{key} {value} was read"))
            .to_string();
        assert!(
            error.starts_with(&format!("{}: {message}", path.display())),
            "{key} {value}: {error}"
        );
    }
    let good = Saved::load(with_metadata(&folder, "config", "size", json("200")), None).unwrap();
    let probabilities = good
        .probabilities(&Tensor::ones([2, 28, 28, 1], DType::F32))
        .unwrap()
        .to_vec::<f32>()
        .unwrap();
    assert!(
        probabilities
            .chunks(3)
            .all(|image| (image.iter().sum::<f32>() - 1.0).abs() < 1e-6),
        "{probabilities:?}"
    );
}
