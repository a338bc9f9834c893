//! Weight files and training states: layouts, every mistake a file can make, and what is left after
//! a failed write.

mod helpers;

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

use half::{bf16, f16};
use helpers::assert_starts;
use wavemix::io::atomic::write_atomic;
use wavemix::io::checkpoint::State;
use wavemix::io::safetensors::TensorFile;
use wavemix::io::weights;
use wavemix::nn::Linear;
use wavemix::params::{FileLayout, Init, Names};
use wavemix::{DType, Params, Pass, Rng, Shape, Tensor, Var};

/// A folder of its own for one test, removed at the end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let path =
            std::env::temp_dir().join(format!("wavemix-weights-{}-{name}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Folder(path)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(&self.0)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A convolution [2, 1, 2, 3] in memory, a linear layer and BatchNorm's buffers.
fn model(dtype: DType, seed: u64) -> Params {
    let declare = |names: &mut Names| {
        names.param(
            "conv.weight",
            [2, 1, 2, 3],
            Init::Uniform(1.0),
            FileLayout::ChannelsFirst,
        );
        names.param("head.weight", [4, 3], Init::Uniform(1.0), FileLayout::Same);
        names.buffer("norm.running_mean", [3], 0.25);
        names.counter("norm.num_batches_tracked");
        Ok(())
    };
    let mut params = Params::declare(dtype, &Rng::new(seed), declare).unwrap().1;
    params
        .set(
            "norm.num_batches_tracked",
            &Tensor::scalar(seed as i64 + (1 << 60)),
        )
        .unwrap();
    params
}

fn values(params: &Params) -> (Vec<f64>, Vec<f64>, i64) {
    let wide = |x: &Tensor| x.cast(DType::F64).unwrap().to_vec::<f64>().unwrap();
    let count = params
        .get("norm.num_batches_tracked")
        .unwrap()
        .to_vec::<i64>()
        .unwrap()[0];
    (
        wide(params.arena()),
        wide(&params.get("norm.running_mean").unwrap()),
        count,
    )
}

fn message<T>(result: wavemix::Result<T>, path: &Path) -> String {
    let message = result.err().unwrap().to_string();
    let rest = message.strip_prefix(&format!("{}: ", path.display()));
    rest.unwrap_or_else(|| panic!("no file in `{message}`"))
        .to_owned()
}

#[test]
fn weights_come_back_bit_for_bit_and_equal_ones_make_equal_files() {
    let folder = Folder::new("round-trip");
    let strings: BTreeMap<String, String> = [
        ("config", "{\"dim\": 8}"),
        ("classes", "0 1 é\n\""),
        ("a", "b"),
        ("z", ""),
    ]
    .map(|(k, v)| (k.into(), v.into()))
    .into();
    for dtype in [DType::F32, DType::F64] {
        let (first, second) = (
            folder.file("first.safetensors"),
            folder.file("second.safetensors"),
        );
        let params = model(dtype, 1);
        weights::save(&first, &params, &strings).unwrap();
        let mut copy = model(dtype, 2);
        assert_eq!(weights::load(&first, &mut copy).unwrap(), strings);
        assert_eq!(weights::read_metadata(&first).unwrap(), strings);
        assert_eq!(values(&copy), values(&params));
        weights::save(&second, &copy, &strings).unwrap();
        assert!(fs::read(&first).unwrap() == fs::read(&second).unwrap());
    }
    assert_eq!(
        folder.names(),
        ["first.safetensors", "second.safetensors"],
        "nothing else is left behind"
    );
}

#[test]
fn convolutions_are_channels_first_in_files() {
    let mut params = model(DType::F64, 1);
    let in_memory: Vec<f64> = (0..12).map(f64::from).collect();
    params
        .set(
            "conv.weight",
            &Tensor::from_vec(in_memory, [2, 1, 2, 3]).unwrap(),
        )
        .unwrap();
    let file = weights::to_file(&params).unwrap();
    assert_eq!(file["conv.weight"].shape(), &Shape::from([2, 3, 1, 2]));
    assert_eq!(
        file["conv.weight"].to_vec::<f64>().unwrap(),
        [0., 3., 1., 4., 2., 5., 6., 9., 7., 10., 8., 11.]
    );
    assert_eq!(file["head.weight"].shape(), &Shape::from([4, 3]));
}

#[test]
fn a_state_dict_of_pytorch_is_read_and_written_unchanged() {
    let folder = Folder::new("pytorch");
    let original = TensorFile::read("tests/goldens/pypi_strided.safetensors").unwrap();
    let declare = |names: &mut Names| {
        for (name, tensor) in &original.tensors {
            match tensor.shape()[..] {
                _ if name.ends_with("num_batches_tracked") => _ = names.counter(name),
                _ if name.contains("running") => _ = names.buffer(name, tensor.shape(), 0.0),
                [a, b, kh, kw] => {
                    _ = names.param(
                        name,
                        [a, kh, kw, b],
                        Init::Constant(0.0),
                        FileLayout::ChannelsFirst,
                    )
                }
                _ => _ = names.param(name, tensor.shape(), Init::Constant(0.0), FileLayout::Same),
            }
        }
        Ok(())
    };
    let mut params = Params::declare(DType::F32, &Rng::new(0), declare)
        .unwrap()
        .1;
    weights::load("tests/goldens/pypi_strided.safetensors", &mut params).unwrap();
    let (ours, theirs) = (
        params.get("conv.0.weight").unwrap(),
        &original.tensors["conv.0.weight"],
    );
    let [out, kh, kw, from] = ours.shape()[..] else {
        panic!("a convolution has four axes")
    };
    let (ours, theirs) = (
        ours.to_vec::<f32>().unwrap(),
        theirs.to_vec::<f32>().unwrap(),
    );
    for (o, y, x, i) in [
        (0, 0, 0, 0),
        (1, 2, 0, 1),
        (out - 1, kh - 1, kw - 1, from - 1),
    ] {
        assert_eq!(
            ours[((o * kh + y) * kw + x) * from + i],
            theirs[((o * from + i) * kh + y) * kw + x]
        );
    }
    let path = folder.file("again.safetensors");
    weights::save(&path, &params, &BTreeMap::new()).unwrap();
    let again = TensorFile::read(&path).unwrap();
    assert!(again.metadata.is_empty() && again.tensors.keys().eq(original.tensors.keys()));
    for (name, tensor) in &original.tensors {
        let same = tensor.shape() == again.tensors[name].shape()
            && tensor.dtype() == again.tensors[name].dtype();
        let wide = |x: &Tensor| x.cast(DType::F64).unwrap().to_vec::<f64>().unwrap();
        assert!(same && wide(tensor) == wide(&again.tensors[name]), "{name}");
    }
}

#[test]
fn other_float_types_are_converted() {
    let params = model(DType::F64, 5);
    let file = weights::to_file(&params).unwrap();
    for (narrow, wide) in [
        (DType::F64, DType::F32),
        (DType::F32, DType::F64),
        (DType::F16, DType::F32),
        (DType::BF16, DType::F32),
    ] {
        let cast = |tensor: &Tensor| {
            if tensor.dtype() == DType::I64 {
                tensor.clone()
            } else {
                tensor.cast(narrow).unwrap()
            }
        };
        let converted: BTreeMap<String, Tensor> = file
            .iter()
            .map(|(name, tensor)| (name.clone(), cast(tensor)))
            .collect();
        let mut bytes = Vec::new();
        TensorFile {
            tensors: converted,
            metadata: BTreeMap::new(),
        }
        .write_to(&mut bytes)
        .unwrap();
        let mut copy = model(wide, 6);
        let fit = weights::from_file(
            &mut copy,
            &TensorFile::from_bytes("x", &bytes).unwrap().tensors,
        )
        .unwrap();
        assert!(fit.is_exact(), "{fit}");
        let want: Vec<f64> = params
            .arena()
            .cast(narrow)
            .unwrap()
            .cast(wide)
            .unwrap()
            .cast(DType::F64)
            .unwrap()
            .to_vec::<f64>()
            .unwrap();
        assert_eq!(
            values(&copy),
            (want, vec![0.25; 3], 5 + (1 << 60)),
            "{narrow} to {wide}"
        );
    }
}

#[test]
fn every_type_survives_a_file() {
    let mut file = TensorFile::default();
    let mut put = |name: &str, tensor| drop(file.tensors.insert(name.to_owned(), tensor));
    put(
        "f32",
        Tensor::from_vec(vec![f32::MIN_POSITIVE / 3.0, -0.0, f32::INFINITY], [3]).unwrap(),
    );
    put(
        "f64",
        Tensor::from_vec(vec![std::f64::consts::PI, -1e-310], [1, 2]).unwrap(),
    );
    put(
        "f16",
        Tensor::from_vec(vec![f16::from_f64(0.1), f16::MAX], [2]).unwrap(),
    );
    put(
        "bf16",
        Tensor::from_vec(vec![bf16::from_f64(0.1)], [1, 1, 1]).unwrap(),
    );
    put("u8", Tensor::from_vec(vec![0u8, 255, 7], [3]).unwrap());
    put("i64", Tensor::scalar(i64::MIN));
    put("empty", Tensor::zeros([0, 4], DType::F32));
    let mut bytes = Vec::new();
    file.write_to(&mut bytes).unwrap();
    let copy = TensorFile::from_bytes("x", &bytes).unwrap();
    assert!(copy.tensors.keys().eq(file.tensors.keys()));
    let mut again = Vec::new();
    copy.write_to(&mut again).unwrap();
    assert!(bytes == again);
    assert_eq!(
        copy.tensors["f64"].to_vec::<f64>().unwrap(),
        [std::f64::consts::PI, -1e-310]
    );
    assert_eq!(
        copy.tensors["f16"].to_vec::<f16>().unwrap(),
        [f16::from_f64(0.1), f16::MAX]
    );
    assert_eq!(
        copy.tensors["bf16"].to_vec::<bf16>().unwrap(),
        [bf16::from_f64(0.1)]
    );
    assert_eq!(copy.tensors["i64"].to_vec::<i64>().unwrap(), [i64::MIN]);
    assert_eq!(copy.tensors["empty"].shape(), &Shape::from([0, 4]));
    file.tensors
        .insert("__metadata__".into(), Tensor::scalar(1.0));
    assert_eq!(
        file.write_to(&mut Vec::new()).unwrap_err().to_string(),
        "no tensor can be named __metadata__"
    );
}

#[test]
fn weights_that_do_not_fit_are_listed_and_nothing_is_written() {
    let folder = Folder::new("misfit");
    let path = folder.file("model.safetensors");
    let mut tensors = weights::to_file(&model(DType::F32, 1)).unwrap();
    tensors.remove("norm.running_mean");
    tensors.insert(
        "conv.weight".into(),
        Tensor::zeros([2, 1, 2, 3], DType::F32),
    );
    tensors.insert("norm.num_batches_tracked".into(), Tensor::scalar(1.0f32));
    tensors.insert("head.weight".into(), Tensor::zeros([4, 3], DType::U8));
    tensors.insert("head.bias".into(), Tensor::zeros([4], DType::F32));
    TensorFile {
        tensors: tensors.clone(),
        ..Default::default()
    }
    .write(&path)
    .unwrap();
    let mut params = model(DType::F32, 2);
    let expected = "the weights do not fit the model: 1 missing (norm.running_mean); 1 unknown (head.bias); \
        1 of another shape (conv.weight should be [2, 3, 1, 2], is [2, 1, 2, 3]); \
        2 of another type (head.weight should be f32, is u8, norm.num_batches_tracked should be i64, is f32)";
    assert_eq!(message(weights::load(&path, &mut params), &path), expected);
    assert_eq!(values(&params), values(&model(DType::F32, 2)));

    for i in 0..12 {
        tensors.insert(format!("x{i:02}"), Tensor::scalar(0.0));
    }
    let fit = weights::from_file(&mut params, &tensors).unwrap();
    let expected = "13 unknown (head.bias, x00, x01, x02, x03, x04, x05, x06, x07, x08, ...); ";
    assert!(fit.to_string().contains(expected), "{fit}");
    assert_eq!(
        weights::Fit::default().to_string(),
        "the weights fit the model"
    );
}

#[test]
fn what_matches_can_be_loaded_alone() {
    let folder = Folder::new("matching");
    let path = folder.file("model.safetensors");
    let trained = model(DType::F32, 1);
    let mut tensors = weights::to_file(&trained).unwrap();
    tensors.insert("head.weight".into(), Tensor::zeros([9, 3], DType::F32));
    TensorFile {
        tensors,
        ..Default::default()
    }
    .write(&path)
    .unwrap();
    let mut params = model(DType::F32, 2);
    let fit = weights::load_matching(&path, &mut params).unwrap();
    assert_eq!(
        fit.to_string(),
        "loaded 3 of 4; left as they were: head.weight ([4, 3] here, [9, 3] in the file)"
    );
    assert_eq!(
        fit.loaded,
        [
            "conv.weight",
            "norm.running_mean",
            "norm.num_batches_tracked"
        ]
    );
    let of = |params: &Params, name| params.get(name).unwrap().to_vec::<f32>().unwrap();
    assert_eq!(of(&params, "conv.weight"), of(&trained, "conv.weight"));
    assert_eq!(
        of(&params, "head.weight"),
        of(&model(DType::F32, 2), "head.weight")
    );
    assert_eq!(values(&params).2, values(&trained).2);
}

/// The bytes of a file with more tensors than the model asks for, in dtypes and of a rank that this
/// crate has not; each of one element. `weight` is the dtype and shape of `head.weight`.
fn file_of_other_types(
    tensors: &BTreeMap<String, Tensor>,
    weight: Option<(&str, [usize; 2])>,
) -> Vec<u8> {
    let mut header = serde_json::Map::from_iter([(
        "__metadata__".to_owned(),
        serde_json::json!({ "made": "elsewhere" }),
    )]);
    let mut data = Vec::new();
    let mut put = |name: &str, dtype: &str, shape: &[usize], bytes: &[u8]| {
        let offsets = [data.len(), data.len() + bytes.len()];
        header.insert(
            name.to_owned(),
            serde_json::json!({ "dtype": dtype, "shape": shape, "data_offsets": offsets }),
        );
        data.extend_from_slice(bytes);
    };
    for (name, tensor) in tensors {
        let bytes = match tensor.dtype() {
            DType::I64 => tensor
                .to_vec::<i64>()
                .unwrap()
                .iter()
                .flat_map(|x| x.to_le_bytes())
                .collect::<Vec<u8>>(),
            _ => tensor
                .to_vec::<f32>()
                .unwrap()
                .iter()
                .flat_map(|x| x.to_le_bytes())
                .collect(),
        };
        put(
            name,
            if tensor.dtype() == DType::I64 {
                "I64"
            } else {
                "F32"
            },
            tensor.shape(),
            &bytes,
        );
    }
    if let Some((dtype, shape)) = weight {
        put(
            "head.weight",
            dtype,
            &shape,
            &vec![0; 4 * shape[0] * shape[1]],
        );
    }
    for (name, dtype, bytes) in [
        ("a.mask", "BOOL", 1),
        ("a.index", "I32", 4),
        ("a.scale", "F8_E8M0", 1),
        ("a.eighth", "F8_E4M3", 1),
    ] {
        put(name, dtype, &[1], &[1; 4][..bytes]);
    }
    put("a.deep", "F32", &[1; 7], &[0; 4]);
    let header = serde_json::to_vec(&header).unwrap();
    [&(header.len() as u64).to_le_bytes()[..], &header, &data].concat()
}

#[test]
fn tensors_that_nobody_asks_for_may_be_of_any_dtype_and_rank() {
    let folder = Folder::new("others");
    let path = folder.file("model.safetensors");
    let unused = "a.deep, a.eighth, a.index, a.mask, a.scale";
    for dtype in [DType::F32, DType::F64] {
        let trained = model(DType::F32, 1);
        let all = weights::to_file(&trained).unwrap();
        fs::write(&path, file_of_other_types(&all, None)).unwrap();
        let mut params = model(dtype, 2);
        assert_eq!(
            weights::load_matching(&path, &mut params)
                .unwrap()
                .to_string(),
            format!("loaded 4 of 4; not used: {unused}")
        );
        assert_eq!(values(&params), values(&trained));
        assert_eq!(weights::read_metadata(&path).unwrap()["made"], "elsewhere");
        // Where all must fit, they are unknown names like others.
        let error = message(weights::load(&path, &mut params), &path);
        assert_eq!(
            error,
            format!("the weights do not fit the model: 5 unknown ({unused})")
        );

        // A name of the model in a form that cannot be read stays as it was.
        let mut rest = all.clone();
        rest.remove("head.weight");
        for (weight, why) in [
            (
                Some(("I32", [4, 3])),
                format!("head.weight ({dtype} here, i32 in the file)"),
            ),
            (
                Some(("U32", [9, 3])),
                "head.weight ([4, 3] here, [9, 3] in the file)".to_owned(),
            ),
            (None, "head.weight (not in the file)".to_owned()),
        ] {
            fs::write(&path, file_of_other_types(&rest, weight)).unwrap();
            let mut params = model(dtype, 2);
            let matching = weights::load_matching(&path, &mut params).unwrap();
            assert_eq!(
                matching.to_string(),
                format!("loaded 3 of 4; left as they were: {why}; not used: {unused}")
            );
            let of = |params: &Params| {
                params
                    .get("head.weight")
                    .unwrap()
                    .cast(DType::F64)
                    .unwrap()
                    .to_vec::<f64>()
                    .unwrap()
            };
            assert_eq!(of(&params), of(&model(dtype, 2)));
        }
    }
}

#[test]
fn files_of_other_formats_are_named() {
    let of = |bytes: &[u8]| message(TensorFile::from_bytes("x", bytes), Path::new("x"));
    let torch = "write the state dict with safetensors.torch.save_file";
    let zip = of(b"PK\x03\x04\0\0\x08\x08\0\0\0\0\0\0");
    assert_eq!(
        zip,
        format!("not a safetensors file but a zip archive, as torch.save writes: {torch}")
    );
    // The magic number of torch.save's old format; protocol 4, with a frame.
    for pickle in [
        &b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8"[..],
        b"\x80\x04\x95\x8b\x01\0\0\0\0\0\0}",
    ] {
        assert_eq!(
            of(pickle),
            format!("not a safetensors file but a Python pickle, which runs code: {torch}")
        );
    }
    let pointer = of(b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n");
    assert_eq!(
        pointer,
        "not a safetensors file but a pointer of Git LFS: fetch the file itself with git lfs pull"
    );
    // A header of 640 bytes that is cut short begins as a pickle does.
    assert_eq!(
        of(b"\x80\x02\0\0\0\0\0\0{\"a\""),
        "not a whole safetensors file: invalid header length"
    );
}

/// PyTorch's `Sequential(Flatten(), Linear(24, 2))` on maps of 3 channels of 2x4 pixels, whose
/// inputs are in order `[channel, row, column]`, against a layer here, whose inputs are in order
/// `[row, column, channel]`. Values are small integers: sums are exact in every dtype.
#[test]
fn a_linear_layer_behind_flatten_reads_and_writes_pytorchs_order() {
    let (n, [c, h, w], outputs) = (2, [3, 2, 4], 2);
    let pixel = |image: usize, channel: usize, y: usize, x: usize| {
        ((image * 7 + channel * 5 + y * 3 + x * x) % 9) as f64
    };
    let weight: Vec<f64> = (0..outputs * c * h * w)
        .map(|i| ((i * i + 3 * i) % 13) as f64 - 6.0)
        .collect();
    let bias = [3.0, -2.0];
    // y[n][o] = b[o] + sum over channel, row, column of x[n][channel][row][column] * w[o][(channel
    // * h + row) * w + column]
    let mut want = Vec::new();
    for image in 0..n {
        for o in 0..outputs {
            let mut sum = bias[o];
            for (channel, y, x) in (0..c * h * w).map(|i| (i / (h * w), i / w % h, i % w)) {
                sum += pixel(image, channel, y, x) * weight[((o * c + channel) * h + y) * w + x];
            }
            want.push(sum);
        }
    }
    let nhwc = (0..n * h * w * c)
        .map(|i| pixel(i / (h * w * c), i % c, i / (w * c) % h, i / c % w))
        .collect();
    let images = Tensor::from_vec(nhwc, [n, h, w, c]).unwrap();
    let pytorchs = BTreeMap::from([
        (
            "1.weight".to_owned(),
            Tensor::from_vec(weight, [outputs, c * h * w]).unwrap(),
        ),
        (
            "1.bias".to_owned(),
            Tensor::from_vec(bias.to_vec(), [outputs]).unwrap(),
        ),
    ]);
    for dtype in [DType::F32, DType::F64] {
        let declare = |names: &mut Names| Linear::flattened(names, "1", [h, w, c], outputs);
        let (layer, mut params) = Params::declare(dtype, &Rng::new(0), declare).unwrap();
        assert!(
            weights::from_file(&mut params, &pytorchs)
                .unwrap()
                .is_exact()
        );
        let x = Var::from(images.cast(dtype).unwrap())
            .reshape([n, c * h * w])
            .unwrap();
        let y = layer
            .forward(&Pass::eval(&params), &x)
            .unwrap()
            .into_value();
        assert_eq!(
            y.cast(DType::F64).unwrap().to_vec::<f64>().unwrap(),
            want,
            "{dtype}"
        );
        for (name, tensor) in weights::to_file(&params).unwrap() {
            let tensor = tensor.cast(DType::F64).unwrap();
            assert_eq!(tensor.shape(), pytorchs[&name].shape(), "{name}, {dtype}");
            assert_eq!(
                tensor.to_vec::<f64>().unwrap(),
                pytorchs[&name].to_vec::<f64>().unwrap(),
                "{name}, {dtype}"
            );
        }
    }
}

#[test]
fn a_layout_that_does_not_fit_a_shape_is_an_error() {
    let declared = |shape: &[usize], layout| {
        let declare = |names: &mut Names| {
            Ok(names.param("w", Shape::new(shape)?, Init::Constant(0.0), layout))
        };
        Params::declare(DType::F32, &Rng::new(0), declare)
            .map_or_else(|e| e.to_string(), |_| "no error".into())
    };
    let flattened = FileLayout::Flattened {
        channels: 3,
        height: 2,
        width: 4,
    };
    assert_eq!(declared(&[5, 24], flattened), "no error");
    assert_eq!(declared(&[24], flattened), "no error");
    let wrong =
        "the parameter `w`: 3 channels of 2x4 pixels, flattened, are not the last axis of [24, 5]";
    assert_eq!(declared(&[24, 5], flattened), wrong);
    let huge = FileLayout::Flattened {
        channels: 1 << 63,
        height: 2,
        width: 1,
    };
    assert!(declared(&[5, 0], huge).ends_with("are not the last axis of [5, 0]"));
    let wrong =
        "the parameter `w`: channels first is an order of four axes, its shape is [3, 3, 8]";
    assert_eq!(declared(&[3, 3, 8], FileLayout::ChannelsFirst), wrong);
}

#[test]
fn damaged_files_are_errors() {
    let mut bytes = Vec::new();
    let file = TensorFile {
        tensors: weights::to_file(&model(DType::F32, 1)).unwrap(),
        ..Default::default()
    };
    file.write_to(&mut bytes).unwrap();
    let of = |bytes: &[u8]| message(TensorFile::from_bytes("x", bytes), Path::new("x"));
    for length in 0..bytes.len() {
        assert!(
            of(&bytes[..length]).starts_with("not a whole safetensors file: "),
            "cut at {length}"
        );
    }
    assert_eq!(of(b""), "not a whole safetensors file: header too small");
    assert_eq!(
        of(&bytes[..100]),
        "not a whole safetensors file: invalid header length"
    );
    let cut = &bytes[..bytes.len() - 1];
    assert_eq!(
        of(cut),
        "not a whole safetensors file: incomplete metadata, file not fully covered"
    );
    assert_eq!(
        of(&[0xff; 64]),
        "not a whole safetensors file: header too large"
    );
    let header = |json: &str| [&(json.len() as u64).to_le_bytes(), json.as_bytes()].concat();
    assert!(
        of(&header("{]")).starts_with("not a whole safetensors file: invalid JSON in header: ")
    );
    let huge =
        header(r#"{"a":{"dtype":"F32","shape":[4611686018427387904,4],"data_offsets":[0,16]}}"#);
    assert_eq!(
        of(&huge),
        "not a whole safetensors file: overflow computing buffer size from shape and/or element type"
    );
    let hole = [
        header(r#"{"a":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}}"#),
        vec![0; 2],
    ]
    .concat();
    assert_eq!(
        of(&hole),
        "not a whole safetensors file: invalid offset for tensor `a`"
    );
    let integer = [
        header(r#"{"a":{"dtype":"I32","shape":[1],"data_offsets":[0,4]}}"#),
        vec![0; 4],
    ]
    .concat();
    assert_eq!(
        of(&integer),
        "tensor `a`: elements of type I32; this crate has f32, f64, bf16, f16, u8, i64"
    );
    let deep = [
        header(r#"{"a":{"dtype":"U8","shape":[1,1,1,1,1,1,1],"data_offsets":[0,1]}}"#),
        vec![0],
    ]
    .concat();
    assert_eq!(
        of(&deep),
        "tensor `a`: a shape has at most 6 dimensions, got 7"
    );
    let absent = Path::new("no/such/file.safetensors");
    assert_starts(
        &weights::load(absent, &mut model(DType::F32, 1))
            .unwrap_err()
            .to_string(),
        "cannot read no/such/file.safetensors: ",
    );
}

#[test]
fn a_failed_write_leaves_the_old_file_and_nothing_else() {
    let folder = Folder::new("atomic");
    let path = folder.file("config.json");
    write_atomic(&path, |out| out.write_all(b"old")).unwrap();
    let fails = |out: &mut dyn Write| {
        out.write_all(&vec![b'n'; 3 << 20])?;
        Err(io::Error::new(io::ErrorKind::StorageFull, "no space left"))
    };
    let error = write_atomic(&path, fails).unwrap_err().to_string();
    assert_eq!(
        error,
        format!("cannot write {}: no space left", path.display())
    );
    assert_eq!(
        (fs::read(&path).unwrap(), folder.names()),
        (b"old".to_vec(), vec!["config.json".to_owned()])
    );
    write_atomic(&path, |out| out.write_all(b"new")).unwrap();
    assert_eq!(
        (fs::read(&path).unwrap(), folder.names()),
        (b"new".to_vec(), vec!["config.json".to_owned()])
    );
    let error = write_atomic(folder.file("absent/x"), |_| Ok(()))
        .unwrap_err()
        .to_string();
    assert!(
        error.starts_with("cannot write ") && error.contains("absent/x: "),
        "{error}"
    );
    let folder_in_the_way = folder.file("taken");
    fs::create_dir(&folder_in_the_way).unwrap();
    fs::write(folder_in_the_way.join("x"), "").unwrap();
    assert!(write_atomic(&folder_in_the_way, |out| out.write_all(b"new")).is_err());
    assert_eq!(folder.names(), ["config.json", "taken"]);
}

/// The system itself refuses: a child process may write files of some kilobytes only. Told so, it
/// ends with an error; killed by the signal in the middle of writing, it ends at once. Both times
/// the old state is whole.
#[cfg(unix)]
#[test]
fn a_full_disk_and_a_kill_leave_the_old_state_whole() {
    let (key, name) = (
        "WAVEMIX_TEST_LIMITED_FILE",
        "a_full_disk_and_a_kill_leave_the_old_state_whole",
    );
    let state = |epoch: u64| {
        let mut state = State::new();
        state.put("epoch", epoch);
        state.put_section(
            "weights",
            [(
                "w".to_owned(),
                Tensor::full([100_000], epoch as f64, DType::F32),
            )],
        );
        state
    };
    if let Ok(path) = std::env::var(key) {
        assert_starts(
            &state(2).write(&path).unwrap_err().to_string(),
            &format!("cannot write {path}: "),
        );
        assert!(!Path::new(&format!("{path}.tmp")).exists());
        return;
    }
    let folder = Folder::new("limited");
    let path = folder.file("state.safetensors");
    state(1).write(&path).unwrap();
    for (told, prelude) in [(true, "trap '' XFSZ"), (false, "ulimit -c 0")] {
        let script = format!("{prelude}; ulimit -f 16; exec \"$0\" --exact {name}");
        let mut child = Command::new("sh");
        child
            .args(["-c", &script])
            .arg(std::env::current_exe().unwrap())
            .env(key, &path);
        assert_eq!(
            child.output().unwrap().status.success(),
            told,
            "told: {told}"
        );
        let old = State::read(&path).unwrap();
        assert_eq!(
            (
                old.get::<u64>("epoch").unwrap(),
                old.section("weights").unwrap()["w"].elements()
            ),
            (1, 100_000)
        );
        assert_eq!(
            folder.file("state.safetensors.tmp").exists(),
            !told,
            "a killed process cannot clear up"
        );
    }
    state(3).write(&path).unwrap();
    assert_eq!(
        (
            State::read(&path).unwrap().get::<u64>("epoch").unwrap(),
            folder.names().len()
        ),
        (3, 1)
    );
}

#[test]
fn a_training_state_comes_back_exactly() {
    let folder = Folder::new("state");
    let path = folder.file("state.safetensors");
    let mut state = State::new();
    let best = 0.1f64 + 0.2;
    state.put("epoch", 7);
    state.put("seed", u64::MAX);
    state.put("best", best);
    state.put("phase", "adamw");
    let params = model(DType::F32, 1);
    state.put_section("weights", weights::to_file(&params).unwrap());
    state.put_section("weights_best", [("a".to_owned(), Tensor::scalar(1i64))]);
    state.write(&path).unwrap();
    let copy = State::read(&path).unwrap();
    assert_eq!(
        (
            copy.get::<u32>("epoch").unwrap(),
            copy.get::<u64>("seed").unwrap()
        ),
        (7, u64::MAX)
    );
    assert_eq!(copy.get::<f64>("best").unwrap().to_bits(), best.to_bits());
    assert_eq!(copy.get::<String>("phase").unwrap(), "adamw");
    let mut loaded = model(DType::F32, 2);
    assert!(
        weights::from_file(&mut loaded, &copy.section("weights").unwrap())
            .unwrap()
            .is_exact()
    );
    assert_eq!(values(&loaded), values(&params));
    assert_eq!(copy.section("weights_best").unwrap().len(), 1);
    assert!(
        copy.has("best")
            && !copy.has("worst")
            && copy.has_section("weights")
            && !copy.has_section("weight")
    );
    assert!(copy.to_bytes().unwrap() == fs::read(&path).unwrap());

    assert_eq!(
        message(copy.get::<u64>("step"), &path),
        "the training state lacks `step`"
    );
    assert_eq!(
        message(copy.get::<u64>("phase"), &path),
        "the training state's `phase` is `adamw`, not of type u64"
    );
    assert_eq!(
        message(copy.section("ema"), &path),
        "the training state has no tensors in section `ema`"
    );
}

#[test]
fn states_of_other_formats_are_refused() {
    let with = |format: Option<&str>| {
        let mut file = TensorFile::default();
        file.metadata
            .extend(format.map(|format| ("format".to_owned(), format.to_owned())));
        let mut bytes = Vec::new();
        file.write_to(&mut bytes).unwrap();
        message(State::from_bytes("s", &bytes), Path::new("s"))
    };
    assert_eq!(
        with(Some("2")),
        "a training state of format `2`; this version reads `1`"
    );
    assert_eq!(
        with(Some("pt")),
        "a training state of format `pt`; this version reads `1`"
    );
    assert_eq!(with(None), "not a training state: it names no format");
    assert_eq!(
        message(State::from_bytes("s", b"{}"), Path::new("s")),
        "not a whole safetensors file: header too small"
    );
}
