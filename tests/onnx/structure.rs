//! That files are what the format asks for, by a reader of its own.

use std::collections::{BTreeMap, BTreeSet};

use wavemix::Params;
use wavemix::io::weights;
use wavemix::models::{Config, ImageMeta, Saved, Task};
use wavemix::onnx::Exported;

use crate::cases::{Case, trained};
use crate::reader::File;

/// That each name is given once, and before it is taken; that bytes fill the dimensions.
fn check(file: &File, name: &str) {
    let mut given: BTreeSet<&str> = BTreeSet::from([""]);
    let ports = file.inputs.iter().map(|port| &port.name);
    for new in ports.chain(file.tensors.iter().map(|tensor| &tensor.name)) {
        assert!(given.insert(new), "{name}: `{new}` is there twice");
    }
    for node in &file.nodes {
        for input in &node.inputs {
            assert!(
                given.contains(&**input),
                "{name}: `{}` takes `{input}`, which is not there",
                node.name
            );
        }
        for output in &node.outputs {
            assert!(given.insert(output), "{name}: `{output}` is there twice");
        }
    }
    assert!(given.contains(&*file.outputs[0].name), "{name}");
    let taken: BTreeSet<&String> = file.nodes.iter().flat_map(|node| &node.inputs).collect();
    for tensor in &file.tensors {
        assert!(
            taken.contains(&tensor.name),
            "{name}: nothing takes `{}`",
            tensor.name
        );
        let size = match tensor.kind {
            1 => 4,
            7 => 8,
            other => panic!("{name}: type {other}"),
        };
        let elements: i64 = tensor.dims.iter().product();
        assert_eq!(
            tensor.data.len() as i64,
            elements * size,
            "{name}: {}",
            tensor.name
        );
    }
    for (attribute, kind) in file.nodes.iter().flat_map(|node| &node.attributes) {
        assert!(
            [1, 2, 3, 7].contains(kind),
            "{name}: `{attribute}` is of kind {kind}"
        );
    }
}

/// That an exported model is sound, takes and gives what the model does, and has each weight once, in
/// the layout of state dicts.
pub fn check_model(case: &Case, params: &Params, exported: &Exported, opset: i64) {
    let (name, size) = (&case.name, case.config.size);
    let file = File::read(&exported.bytes);
    check(&file, name);
    let format = if opset == 17 { 8 } else { 9 };
    assert_eq!((file.format, file.opset), (format, opset));
    assert_eq!(exported.nodes, file.nodes.len());
    let side = size.to_string();
    let [h, w] = match case.any_size {
        true => ["height", "width"],
        false => [&*side, &*side],
    };
    assert_eq!(
        exported.fixed.is_none(),
        case.any_size,
        "{name}: {:?}",
        exported.fixed
    );
    assert_eq!(file.inputs[0].axes, ["batch", "3", h, w], "{name}");
    assert_eq!((file.inputs[0].kind, file.outputs[0].kind), (1, 1));
    let outputs = &file.outputs[0].axes;
    let (Task::Classify { classes: count }
    | Task::Segment { classes: count }
    | Task::Upscale { channels: count }) = case.config.task;
    assert_eq!(outputs[..2], ["batch".to_owned(), count.to_string()]);
    assert_eq!(
        outputs.len(),
        if matches!(case.config.task, Task::Classify { .. }) {
            2
        } else {
            4
        }
    );
    let state = weights::to_file(params).unwrap();
    for tensor in &file.tensors {
        let Some(own) = state.get(&tensor.name) else {
            continue;
        };
        let values = own.to_vec::<f32>().unwrap();
        let bytes: Vec<u8> = values.into_iter().flat_map(f32::to_le_bytes).collect();
        // Those files have convolutions of unfolded windows.
        let unfolded = name.starts_with("SegFormer,");
        assert!(tensor.data == bytes || unfolded, "{name}: {}", tensor.name);
    }
}

/// A file with all that it may say: its bytes must not change without a reason.
#[test]
fn a_classifier_has_these_nodes() {
    let mut config = Config::parse("WaveMixLite-8/1").unwrap();
    config.task = Task::Classify { classes: 2 };
    let (model, params) = trained(&config);
    let card = ImageMeta {
        classes: vec!["cat".into(), "dog".into()],
        mean: vec![0.5],
        std: vec![0.25],
        ..ImageMeta::default()
    };
    let saved = Saved {
        model,
        params,
        card,
    };
    let exported = saved.to_onnx(17, true).unwrap();
    let file = File::read(&exported.bytes);
    check(&file, "WaveMixLite-8/1");
    assert_eq!(
        exported.ports,
        [
            "images: u8 [batch, height, width, 3]",
            "probabilities: f32 [batch, 2]"
        ]
    );
    assert_eq!((file.format, file.opset, file.inputs[0].kind), (8, 17, 2));
    let metadata: BTreeMap<_, _> = file.metadata.into_iter().collect();
    assert_eq!(metadata["names"], r#"["cat","dog"]"#);
    assert_eq!((&*metadata["mean"], &*metadata["std"]), ("[0.5]", "[0.25]"));
    assert_eq!(metadata["config"], config.to_json().to_string());
    let ops: Vec<&str> = file.nodes.iter().map(|node| &*node.op).collect();
    let (before, stem) = (["Cast", "Mul", "Add", "Transpose"], ["Conv", "Conv"]);
    let mixing = ["Conv", "Conv", "Conv", "Concat"];
    let mlp = [
        "Conv",
        "Mul",
        "Erf",
        "Add",
        "Mul",
        "Mul",
        "Conv",
        "ConvTranspose",
    ];
    let crop = ["Shape", "Slice", "Shape", "Slice"];
    let behind = [
        "BatchNormalization",
        "Add",
        "GlobalAveragePool",
        "Flatten",
        "Gemm",
        "Softmax",
    ];
    assert_eq!(
        ops,
        [&before[..], &stem, &mixing, &mlp, &crop, &behind].concat()
    );
}
