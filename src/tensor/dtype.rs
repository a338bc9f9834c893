//! Element types.

use std::fmt;

use half::{bf16, f16};

/// What one element of a tensor is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DType {
    /// 32-bit float: the type of training.
    F32,
    /// 64-bit float: the oracle that tests compare with.
    F64,
    /// 16-bit float with f32's range. Ops take it: they compute in f32, and products multiply it
    /// as it is where that is faster, and sum in f32.
    BF16,
    /// IEEE 16-bit float. Ops take it on a GPU, and compute in f32; on the CPU it is read, written
    /// and converted only.
    F16,
    /// Bytes: pixels, and the truth values of comparisons.
    U8,
    /// 64-bit signed integers: labels and indices.
    I64,
}

impl DType {
    /// Size of one element in bytes.
    pub fn bytes(self) -> usize {
        match self {
            DType::U8 => 1,
            DType::BF16 | DType::F16 => 2,
            DType::F32 => 4,
            DType::F64 | DType::I64 => 8,
        }
    }
}

impl fmt::Display for DType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            DType::F32 => "f32",
            DType::F64 => "f64",
            DType::BF16 => "bf16",
            DType::F16 => "f16",
            DType::U8 => "u8",
            DType::I64 => "i64",
        })
    }
}

mod sealed {
    /// Plain numbers of at most eight bytes for which every bit pattern is a value: what
    /// [`Buffer`](super::pool::Buffer) relies on.
    pub trait Plain: Copy + Send + Sync + 'static {}
}

/// A Rust type that a tensor can hold.
pub trait Element: sealed::Plain + fmt::Debug + PartialEq + PartialOrd + Default {
    /// Its run-time name.
    const DTYPE: DType;
    /// The nearest f64.
    fn to_f64(self) -> f64;
    /// The nearest value to `x`; integers round towards zero and saturate.
    fn from_f64(x: f64) -> Self;
}

macro_rules! element {
    ($($t:ty, $dtype:ident, $x:ident => $to:expr, $from:expr;)*) => {$(
        impl sealed::Plain for $t {}
        impl Element for $t {
            const DTYPE: DType = DType::$dtype;
            #[inline(always)]
            fn to_f64(self) -> f64 { let $x = self; $to }
            #[inline(always)]
            fn from_f64($x: f64) -> Self { $from }
        }
    )*};
}
element! {
    f32,  F32,  x => f64::from(x), x as f32;
    f64,  F64,  x => x,            x;
    bf16, BF16, x => x.to_f64(),   bf16::from_f64(x);
    f16,  F16,  x => x.to_f64(),   f16::from_f64(x);
    u8,   U8,   x => f64::from(x), x as u8;
    i64,  I64,  x => x as f64,     x as i64;
}

/// The same memory as bytes.
pub(crate) fn as_bytes<T: Element>(x: &[T]) -> &[u8] {
    // SAFETY: a Plain T has no padding, and bytes need no alignment.
    unsafe { std::slice::from_raw_parts(x.as_ptr().cast(), size_of_val(x)) }
}

/// The same memory as bytes, to write.
pub(crate) fn as_bytes_mut<T: Element>(x: &mut [T]) -> &mut [u8] {
    // SAFETY: a Plain T has no padding, and any bytes make one.
    unsafe { std::slice::from_raw_parts_mut(x.as_mut_ptr().cast(), size_of_val(x)) }
}

/// Bytes that [`as_bytes_mut`] gave, or a part of them, as elements again.
///
/// # Panics
/// Where they begin or end within an element.
pub(crate) fn from_bytes_mut<T: Element>(bytes: &mut [u8]) -> &mut [T] {
    // SAFETY: any bytes make a Plain T.
    let (before, elements, after) = unsafe { bytes.align_to_mut() };
    assert!(before.is_empty() && after.is_empty(), "whole elements");
    elements
}

/// The same elements, where S is T under another name: how generic code reaches a path for one
/// type.
pub(crate) fn as_type<S: Element, T: Element>(x: &[S]) -> Option<&[T]> {
    // SAFETY: each Rust type has a DTYPE of its own, so S and T are one type.
    (S::DTYPE == T::DTYPE)
        .then(|| unsafe { std::slice::from_raw_parts(x.as_ptr().cast(), x.len()) })
}

/// As [`as_type`], to write.
pub(crate) fn as_type_mut<S: Element, T: Element>(x: &mut [S]) -> Option<&mut [T]> {
    // SAFETY: as above.
    (S::DTYPE == T::DTYPE)
        .then(|| unsafe { std::slice::from_raw_parts_mut(x.as_mut_ptr().cast(), x.len()) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn casts_saturate() {
        assert_eq!(
            (u8::from_f64(-3.7), u8::from_f64(300.0), i64::from_f64(-2.9)),
            (0, 255, -2)
        );
    }
}
