//! What ONNX Runtime makes of the files.

use std::io::Write;
use std::process::Command;

use serde_json::{Value, json};
use wavemix::models::{ImageMeta, Saved, Task};
use wavemix::onnx::{self, Options};
use wavemix::{DType, Module, Params, Pass, Rng, Tensor, Var};

use crate::cases::{Case, all, trained};
use crate::every_op;
use crate::files::Folder;
use crate::structure::check_model;

/// A Python that has `onnx` and `onnxruntime`: that of `WAVEMIX_PYTHON`, or the one in the path.
fn python() -> Option<String> {
    let python = std::env::var("WAVEMIX_PYTHON").unwrap_or_else(|_| "python3".into());
    let found = Command::new(&python)
        .args(["-c", "import numpy, onnx, onnxruntime"])
        .output();
    if found.is_ok_and(|run| run.status.success()) {
        return Some(python);
    }
    let line = "skipped: exported models in ONNX Runtime: no Python with onnx and onnxruntime (set WAVEMIX_PYTHON)";
    assert!(std::env::var_os("WAVEMIX_NO_SKIP").is_none(), "{line}");
    let _ = writeln!(std::io::stderr(), "{line}");
    None
}

/// The elements in the order of ONNX: channels of images behind the batch.
fn channels_first(x: &Var) -> Tensor {
    let x = match x.shape().len() {
        4 => x.permute(&[0, 3, 1, 2]).unwrap(),
        _ => x.clone(),
    };
    x.into_value()
}

/// Writes a tensor as its bare elements, and says where and of which shape.
fn written(folder: &Folder, name: &str, x: &Tensor) -> Value {
    let bytes: Vec<u8> = x
        .to_vec::<f32>()
        .unwrap()
        .into_iter()
        .flat_map(f32::to_le_bytes)
        .collect();
    let path = folder.write(name, &bytes);
    json!({"path": path, "shape": x.shape()[..]})
}

/// The files of a model, one for each version of the operators, with what is expected of them.
fn exported(folder: &Folder, number: usize, case: &Case) -> Vec<Value> {
    let (model, params) = trained(&case.config);
    let (size, channels) = (case.config.size, case.config.channels);
    let sides = match case.any_size {
        // Even ones, and odd ones at each halving.
        true => vec![[2, 32, 48], [3, 45, 33], [1, 50, 71]],
        false => vec![[2, size, size], [3, size, size]],
    };
    let runs = sides.into_iter().enumerate().map(|(i, [n, h, w])| {
        let shape = [n, h, w, channels];
        let images = Tensor::normal(shape, 0.0, 1.0, DType::F32, &Rng::new(3).child(i as u64));
        let images = Var::from(images);
        let logits = model.forward(&Pass::eval(&params), &images).unwrap();
        let name = |what| format!("{number}-{i}.{what}");
        json!({
            "input": written(folder, &name("input"), &channels_first(&images)),
            "output": written(folder, &name("output"), &channels_first(&logits)),
        })
    });
    let runs: Vec<Value> = runs.collect();
    let of = |opset: usize| {
        let options = Options {
            opset,
            ..Options::default()
        };
        let file = onnx::export(&model, &params, &[size, size, channels], &options).unwrap();
        check_model(case, &params, &file, opset as i64);
        let path = folder.write(&format!("{number}-{opset}.onnx"), &file.bytes);
        json!({"name": format!("{} ({opset})", case.name), "path": path, "runs": runs})
    };
    [17, 20].map(of).into()
}

/// A model that has every op.
fn every_op(folder: &Folder, opset: usize) -> Value {
    let (_, params) = Params::declare(DType::F32, &Rng::new(0), |_| Ok(())).unwrap();
    let options = Options {
        opset,
        ..Options::default()
    };
    let model = every_op::model;
    let file = onnx::export(&model, &params, &[8, 8, 4], &options).unwrap();
    assert_eq!(file.fixed, None);
    let runs = [[2, 8, 12], [3, 11, 7]].map(|[n, h, w]| {
        let images = Tensor::normal([n, h, w, 4], 0.0, 1.0, DType::F32, &Rng::new(5));
        let images = Var::from(images);
        let output = model(&Pass::eval(&params), &images).unwrap();
        let name = |what| format!("ops-{opset}-{n}.{what}");
        json!({
            "input": written(folder, &name("input"), &channels_first(&images)),
            "output": written(folder, &name("output"), output.value()),
        })
    });
    let path = folder.write(&format!("ops-{opset}.onnx"), &file.bytes);
    json!({"name": format!("every op ({opset})"), "path": path, "runs": runs})
}

/// A model with what stands before and behind it.
fn with_preprocessing(folder: &Folder) -> Value {
    let case = all().into_iter().next().unwrap();
    let (model, params) = trained(&case.config);
    let card = ImageMeta {
        classes: ["a", "b", "c", "d", "\"é\""].map(String::from).to_vec(),
        mean: vec![0.4, 0.5, 0.6],
        std: vec![0.2, 0.25, 0.3],
        ..ImageMeta::default()
    };
    let saved = Saved {
        model,
        params,
        card,
    };
    assert!(matches!(saved.model.config().task, Task::Classify { .. }));
    let file = saved.to_onnx(17, true).unwrap();
    let path = folder.write("pictures.onnx", &file.bytes);
    let bytes: Vec<u8> = (0..2 * 40 * 36 * 3).map(|i| (i * 97 % 251) as u8).collect();
    let normalise = |(i, &byte): (usize, &u8)| {
        (f32::from(byte) / 255.0 - saved.card.mean[i % 3]) / saved.card.std[i % 3]
    };
    let images: Vec<f32> = bytes.iter().enumerate().map(normalise).collect();
    let images = Tensor::from_vec(images, [2, 40, 36, 3]).unwrap();
    let probabilities = saved.probabilities(&images).unwrap();
    json!({
        "name": "with preprocessing", "path": path,
        "metadata": {"names": "[\"a\",\"b\",\"c\",\"d\",\"\\\"é\\\"\"]", "config": saved.model.config().to_json().to_string()},
        "runs": [{
            "input": {"path": folder.write("pictures", &bytes), "shape": [2, 40, 36, 3], "bytes": true},
            "output": written(folder, "probabilities", &probabilities),
        }],
    })
}

/// Each model at both versions of the operators. Where there is no ONNX Runtime, that its file is
/// sound.
#[test]
fn onnx_runtime_computes_the_same() {
    let folder = Folder::new("onnx");
    let mut jobs = vec![with_preprocessing(&folder)];
    for opset in [17, 20] {
        jobs.push(every_op(&folder, opset));
    }
    for (i, case) in all().iter().enumerate() {
        jobs.extend(exported(&folder, i, case));
    }
    let Some(python) = python() else { return };
    let list = folder.write("jobs.json", Value::from(jobs).to_string().as_bytes());
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/onnx/check.py");
    let run = Command::new(python)
        .arg(script)
        .arg(&list)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&run.stdout);
    let errors = String::from_utf8_lossy(&run.stderr);
    assert!(run.status.success(), "{said}{errors}");
    let last = said.lines().last().unwrap_or_default();
    let _ = writeln!(std::io::stderr(), "{last}");
}
