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
use wavemix::{DType, Module, Params, Pass, Rng, Shape, Tensor, Var};

#[path = "weights/damage.rs"]
mod damage;
#[path = "weights/formats.rs"]
mod formats;
#[path = "weights/pth.rs"]
mod pth;

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
        "the parameter `w`: channels first is an order of three or four axes, its shape is [3, 8]";
    assert_eq!(declared(&[3, 8], FileLayout::ChannelsFirst), wrong);
    assert_eq!(declared(&[3, 3, 8], FileLayout::ChannelsFirst), "no error");
    let wrong = "the parameter `w`: a convolution of unfolded windows has four axes, its shape is [3, 3, 8]";
    assert_eq!(declared(&[3, 3, 8], FileLayout::Unfolded), wrong);
    assert_eq!(declared(&[3, 2, 2, 8], FileLayout::Unfolded), "no error");
}
