//! The kernels' sources, which are compiled into the program.

use crate::{Error, Result};

/// The source of a kernel file.
pub(super) fn source(file: &str) -> Result<&'static str> {
    let found = SOURCES
        .iter()
        .find(|(name, _)| *name == file)
        .map(|(_, text)| *text);
    found.ok_or_else(|| Error::Device(format!("{file}: there is no kernel of this name")))
}

macro_rules! sources {
    ($($file:literal)*) => {
        &[$(($file, include_str!(concat!("../../../kernels/", $file, ".cu")))),*]
    };
}

/// Every file of kernels/ but the headers.
const SOURCES: &[(&str, &str)] = sources! {
    "adamw"
    "attention"
    "batch_norm"
    "binary"
    "cast"
    "clip"
    "compare"
    "conv2d"
    "conv_transpose2d"
    "cross_entropy"
    "cumsum"
    "dropout"
    "dwt"
    "ema"
    "focal_loss"
    "gelu_dropout"
    "index"
    "layer_norm"
    "linear"
    "lion"
    "nll_loss"
    "pointwise_loss"
    "pool"
    "reduce"
    "sgd"
    "shape"
    "softmax"
    "sort"
    "unary"
    "upsample"
};
