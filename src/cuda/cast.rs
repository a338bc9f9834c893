//! Elements as other types.

use super::runtime::launch::pack;
use super::{Slice, SliceMut, Source};
use crate::{DType, Error, Result};

pub(super) static SOURCE: Source = Source::new("cast", include_str!("../../kernels/cast.cu"));

/// y = x, rounded to nearest; to integers towards zero, saturating.
pub(crate) fn forward(x: Slice, y: &mut SliceMut) -> Result<()> {
    let (from, to, n) = (x.dtype, y.as_slice().dtype, x.elements);
    let bytes = x.bytes() + y.as_slice().bytes();
    // Conversions from and to f32 have vectorized kernels; all others go element by element.
    let (name, real) = match (from, to) {
        (DType::F32, DType::BF16 | DType::F16) => ("narrow", to),
        (DType::BF16 | DType::F16, DType::F32) => ("widen", from),
        _ => {
            let launch = x
                .gpu
                .kernel(&SOURCE, "cast", DType::F32)?
                .arg(code(from)?)
                .arg(x)
                .arg(code(to)?)
                .arg(y);
            return launch.count(n).each(n).moves(bytes).launch();
        }
    };
    x.gpu
        .kernel(&SOURCE, name, real)?
        .arg(x)
        .arg(y)
        .count(n)
        .each(n.div_ceil(pack(real)))
        .moves(bytes)
        .launch()
}

/// Copies each piece to its offset in y, which is f32; a launch takes up to a hundred pieces
/// (`struct Pieces` of the kernel).
pub(crate) fn gather(pieces: &[(Slice, usize)], y: &mut SliceMut) -> Result<()> {
    const PIECES: usize = 100;
    for pieces in pieces.chunks(PIECES) {
        let mut words = [0; 4 * PIECES];
        for (piece, (x, start)) in words.chunks_mut(4).zip(pieces) {
            assert!(
                start + x.elements <= y.as_slice().elements,
                "a piece lies within the whole"
            );
            piece.copy_from_slice(&[
                x.address,
                *start as u64,
                x.elements as u64,
                code(x.dtype)? as u64,
            ]);
        }
        let longest = pieces.iter().map(|(x, _)| x.elements).max().unwrap_or(0);
        let bytes = pieces.iter().map(|(x, _)| x.bytes() + 4 * x.elements).sum();
        let launch =
            y.0.gpu
                .kernel(&SOURCE, "gather_pieces", DType::F32)?
                .arg(words)
                .arg(&mut *y);
        launch
            .blocks([longest.div_ceil(256).min(512), pieces.len(), 1])
            .moves(bytes)
            .launch()?;
    }
    Ok(())
}

/// y = scale x + shift for bytes `[.., c]`, with a scale and a shift for each channel.
pub(crate) fn images(x: Slice, scale: Slice, shift: Slice, y: &mut SliceMut) -> Result<()> {
    let (n, real) = (x.elements, y.as_slice().dtype);
    let bytes = x.bytes() + y.as_slice().bytes();
    let launch = x
        .gpu
        .kernel(&SOURCE, "images", real)?
        .arg(x)
        .arg(y)
        .count(n)
        .sizes([scale.elements])?
        .arg(scale)
        .arg(shift);
    launch.each(n.div_ceil(pack(real))).moves(bytes).launch()
}

fn code(dtype: DType) -> Result<i32> {
    match dtype {
        DType::F32 => Ok(0),
        DType::BF16 => Ok(1),
        DType::F16 => Ok(2),
        DType::U8 => Ok(3),
        DType::I64 => Ok(4),
        DType::F64 => Err(Error::Device(
            "cast: f64 is not there on a GPU; it is the oracle of tests, on the cpu".into(),
        )),
    }
}
