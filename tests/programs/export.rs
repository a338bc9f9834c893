//! `export`: a run's folder or a file of weights becomes an ONNX file.

use super::*;

#[test]
fn export_takes_runs_and_weights_and_refuses_in_a_sentence() {
    let folder = with_digits("export");
    succeeds(&mut train(
        folder.path(),
        &["--out", "run", "--epochs", "1"],
    ));
    let export = |arguments: &[&str]| run_in(folder.path(), "export", arguments);
    let weights = "run/best/model.safetensors";
    let said = succeeds(&mut export(&[weights, "a.onnx"]));
    assert!(said.starts_with("a.onnx: WaveMixLite-8/1, 0.0"), "{said}");
    let ports = "\n  in: images: f32 [batch, 1, height, width]\n  out: output: f32 [batch, 10]\n";
    assert!(said.ends_with(ports), "{said}");
    succeeds(&mut export(&["run", "b.onnx"]));
    let read = |name: &str| fs::read(folder.path().join(name)).unwrap();
    assert_eq!(read("a.onnx"), read("b.onnx"));
    let said = succeeds(&mut export(&[
        "run",
        "c.onnx",
        "--opset",
        "20",
        "--with-preprocessing",
    ]));
    let ports =
        "\n  in: images: u8 [batch, height, width, 1]\n  out: probabilities: f32 [batch, 10]\n";
    assert!(said.ends_with(ports), "{said}");

    let refused = [
        (
            export(&["run", "d.onnx", "--opset", "18"]),
            "the version of ONNX's operators is 17 or 20, got 18",
        ),
        (
            export(&["none.safetensors", "d.onnx"]),
            "cannot read none.safetensors",
        ),
        (
            export(&["data", "d.onnx"]),
            "cannot read data/best/model.safetensors",
        ),
        (export(&["a.onnx", "d.onnx"]), "a.onnx"),
        (
            export(&["run", "no/such/d.onnx"]),
            "cannot write no/such/d.onnx",
        ),
    ];
    for (mut command, start) in refused {
        let said = fails(&mut command);
        assert!(said.starts_with(start), "{said}");
    }
    assert!(!folder.path().join("d.onnx").exists());
}

#[test]
fn convert_writes_what_is_read_again_or_leaves_the_file_as_it_was() {
    let folder = with_digits("convert");
    succeeds(&mut train(
        folder.path(),
        &["--out", "run", "--epochs", "1"],
    ));
    let convert = |more: &[&str]| {
        let always = ["run/best/model.safetensors", "a.safetensors"];
        run_in(folder.path(), "convert", &[&always, more].concat())
    };
    let of = ["--model", "WaveMixLite-8/1", "--channels", "1", "--size"];
    let said = succeeds(&mut convert(&[&of[..], &["28"]].concat()));
    assert!(said.starts_with("a.safetensors: WaveMixLite-8/1"), "{said}");
    let path = folder.path().join("a.safetensors");
    let good = fs::read(&path).unwrap();
    for (mean, std, start) in [("0.1,0.2", "0.3", "2 means"), ("0.1", "nan", "")] {
        let card = ["28", "--mean", mean, "--std", std];
        let said = fails(&mut convert(&[&of[..], &card].concat()));
        assert!(said.contains(start), "{said}");
        assert!(fs::read(&path).unwrap() == good, "{mean} {std}");
    }
    let entries = fs::read_dir(folder.path())
        .unwrap()
        .map(|e| e.unwrap().file_name());
    assert_eq!(entries.count(), 3, "data, run and one file");
}
