//! Shapes and windows from any bytes: each op either refuses them or gives what its formula says,
//! and a gradient.

use super::numbers::Numbers;
use crate::ops::{Interpolation, avg_pool2d, conv_transpose2d, conv2d, max_pool2d};
use crate::{DType, Result, Tensor, Var, Window};

/// Elements that an operand or a result may have here: ops may be asked for more, but not by a
/// fuzzer.
const LARGEST: usize = 1 << 12;

/// One op on shapes that the bytes say. Whatever is refused is refused by an error; a result has
/// the shape it should have, and a backward pass goes through it.
pub fn geometry(bytes: &[u8]) {
    let mut bytes = Numbers(bytes);
    let dtype = if bytes.small(2) == 0 {
        DType::F32
    } else {
        DType::F64
    };
    let op = bytes.small(9);
    let x = bytes.shape(if !(4..=6).contains(&op) { 4 } else { 0 });
    if let Some(x) = bytes.tensor(&x, dtype) {
        let (y, shape) = match op {
            0 | 1 => convolution(&x, op == 1, &mut bytes),
            2 | 3 => pooling(&x, op == 3, &mut bytes),
            4 => slice(&x, &mut bytes),
            5 => pad(&x, &mut bytes),
            6 => permute(&x, &mut bytes),
            7 => upsample(&x, &mut bytes),
            _ => wavelets(&x, &mut bytes),
        };
        if let Some(y) = y.and_then(Result::ok) {
            assert!(
                shape.is_none_or(|shape| **y.shape() == shape[..]),
                "op {op}: {} is not as announced",
                y.shape()
            );
            let gradients = y.backward_from(Tensor::ones(y.shape(), dtype), &[]);
            assert!(
                gradients.is_ok_and(|gradients| gradients.of(&x).is_some()),
                "op {op}: no way back to {}",
                x.shape()
            );
        }
    }
}

/// A result, unless it would be too large to ask for; and its shape where that was known before.
type Outcome = (Option<Result<Var>>, Option<Vec<usize>>);

impl Numbers<'_> {
    fn tensor(&mut self, shape: &[usize], dtype: DType) -> Option<Var> {
        let elements = fits(shape).then(|| shape.iter().product())?;
        Tensor::arange(-1.0, 0.25, elements, dtype)
            .reshape(crate::Shape::new(shape).ok()?)
            .ok()
            .map(Var::leaf)
    }

    /// A window over an image of `channels` channels.
    fn window(&mut self, channels: usize) -> Window {
        let [stride, padding, dilation] = [self.pair(), self.pair(), self.pair()];
        let output_padding = [
            self.small(3).saturating_sub(1),
            self.small(3).saturating_sub(1),
        ];
        let groups = match self.small(6) {
            0..3 => 1,
            3 => 2,
            4 => channels,
            _ => self.any(),
        };
        Window {
            stride,
            padding,
            output_padding,
            dilation,
            groups,
        }
    }
}

/// Whether there are few elements, also where a length of 0 makes none of many.
fn fits(shape: &[usize]) -> bool {
    shape
        .iter()
        .try_fold(1usize, |n, &length| n.checked_mul(length.max(1)))
        .is_some_and(|n| n <= LARGEST)
}

/// What `run` gives, where the announced shape is small or the announcement an error that the op
/// has to repeat.
fn announced(shape: Result<Vec<usize>>, run: impl FnOnce() -> Result<Var>) -> Outcome {
    match shape {
        Ok(shape) if !fits(&shape) => (None, None),
        Ok(shape) => (Some(run()), Some(shape)),
        Err(_) => {
            assert!(
                run().is_err(),
                "the window was refused by itself, but not by the op"
            );
            (None, None)
        }
    }
}

fn convolution(x: &Var, transposed: bool, bytes: &mut Numbers) -> Outcome {
    let (channels, mut shape) = (x.shape()[3], bytes.shape(4));
    let window = bytes.window(channels);
    // Mostly a weight that fits: of those that do not there are too many.
    if bytes.small(8) > 0 && window.groups > 0 {
        let fitting = if transposed {
            (0, channels)
        } else {
            (3, channels / window.groups)
        };
        shape[fitting.0] = fitting.1;
    }
    let Some(weight) = bytes.tensor(&shape, x.dtype()) else {
        return (None, None);
    };
    let (size, kernel) = ([x.shape()[1], x.shape()[2]], [shape[1], shape[2]]);
    if transposed {
        let size = window.transposed_size("fuzz", size, kernel);
        let c_out = shape[3].saturating_mul(window.groups);
        return announced(size.map(|[h, w]| vec![x.shape()[0], h, w, c_out]), || {
            conv_transpose2d(x, &weight, None, window)
        });
    }
    let size = window.output_size("fuzz", size, kernel);
    announced(
        size.map(|[h, w]| vec![x.shape()[0], h, w, shape[0]]),
        || conv2d(x, &weight, None, window),
    )
}

fn pooling(x: &Var, maximum: bool, bytes: &mut Numbers) -> Outcome {
    // A kernel costs time as its area is.
    let (kernel, window) = ([bytes.small(64), bytes.small(64)], bytes.window(1));
    let size = window.output_size("fuzz", [x.shape()[1], x.shape()[2]], kernel);
    announced(
        size.map(|[h, w]| vec![x.shape()[0], h, w, x.shape()[3]]),
        || match maximum {
            true => max_pool2d(x, kernel, window),
            false => avg_pool2d(x, kernel, window),
        },
    )
}

fn slice(x: &Var, bytes: &mut Numbers) -> Outcome {
    let (axis, start, end) = (bytes.any(), bytes.any(), bytes.any());
    (Some(x.slice(axis, start..end)), None)
}

fn pad(x: &Var, bytes: &mut Numbers) -> Outcome {
    let pairs = bytes.small(8);
    let around: Vec<(usize, usize)> = (0..pairs).map(|_| (bytes.any(), bytes.any())).collect();
    let length =
        |(&length, &(a, b)): (&usize, &(usize, usize))| length.saturating_add(a).saturating_add(b);
    let shape: Vec<usize> = x.shape().iter().zip(&around).map(length).collect();
    let run = || x.pad(&around);
    if crate::Shape::new(&shape).is_err() || pairs != x.shape().len() {
        return announced(Err(crate::Error::Argument(String::new())), run);
    }
    announced(Ok(shape), run)
}

fn permute(x: &Var, bytes: &mut Numbers) -> Outcome {
    let order: Vec<usize> = (0..bytes.small(8)).map(|_| bytes.any()).collect();
    (Some(x.permute(&order)), None)
}

fn upsample(x: &Var, bytes: &mut Numbers) -> Outcome {
    let kinds = [
        Interpolation::Nearest,
        Interpolation::Bilinear,
        Interpolation::Bicubic,
    ];
    let (kind, size) = (kinds[bytes.small(3)], bytes.pair());
    let shape = vec![x.shape()[0], size[0], size[1], x.shape()[3]];
    if crate::Shape::new(&shape).is_err() {
        return announced(Err(crate::Error::Argument(String::new())), || {
            x.upsample(size, kind)
        });
    }
    announced(Ok(shape), || x.upsample(size, kind))
}

/// There and back: the inverse of the transform is the image again.
fn wavelets(x: &Var, bytes: &mut Numbers) -> Outcome {
    let size = bytes.pair();
    let shape = vec![x.shape()[0], size[0], size[1], x.shape()[3] / 4];
    if fits(&shape) {
        let _ = x.idwt(size);
    }
    let there_and_back = || x.dwt()?.idwt([x.shape()[1], x.shape()[2]]);
    (Some(there_and_back()), Some(x.shape().to_vec()))
}
