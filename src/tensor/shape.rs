//! Shapes: up to six dimensions, row-major, known at run time.

use std::fmt;
use std::ops::Deref;

use crate::{Error, Result};

/// The most dimensions a tensor can have.
pub const MAX_RANK: usize = 6;

/// The product of sizes that came from a caller or a file. `None` where values of 8 bytes each, as
/// many, are more than a pointer can address.
///
/// A length of 0 counts as 1 in this check, as in NumPy: strides, and products of only some of the
/// sizes, are then within bounds too.
pub(crate) fn checked_product(sizes: &[usize]) -> Option<usize> {
    let bytes = sizes
        .iter()
        .try_fold(size_of::<u64>(), |n, &size| n.checked_mul(size.max(1)));
    bytes.filter(|&bytes| isize::try_from(bytes).is_ok())?;
    Some(sizes.iter().product())
}

/// Floating-point operations of a product of matrices or a convolution of these sizes, two for each
/// multiply-add; at most `u64::MAX`.
pub(crate) fn flops(sizes: &[usize]) -> u64 {
    sizes
        .iter()
        .fold(2u64, |n, &size| n.saturating_mul(size as u64))
}

/// The lengths of a tensor's dimensions, outermost first. Reads like a slice: `shape[0]`,
/// `shape.iter()`.
///
/// ```
/// let shape = wavemix::Shape::from([8, 28, 28, 1]);
/// assert_eq!((shape.len(), shape.elements(), shape[3]), (4, 6272, 1));
/// assert_eq!(shape.to_string(), "[8, 28, 28, 1]");
/// ```
///
/// Functions that take a shape take arrays, slices, vectors, tuples and a single length for it. A
/// shape made from one of these, or by [`Shape::with`], may be larger than any tensor: what takes
/// one checks that, as [`Shape::new`] does. No tensor has such a shape.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Shape {
    dims: [usize; MAX_RANK],
    rank: u8,
}

impl Shape {
    /// A shape from a slice of lengths.
    ///
    /// # Errors
    /// With more than six dimensions, or where elements of 8 bytes would need more than
    /// `isize::MAX` bytes. Lengths of 0 count as 1 in that: `[0, 1 << 63]` is refused too.
    pub fn new(dims: &[usize]) -> Result<Shape> {
        if dims.len() > MAX_RANK {
            return Err(Error::Argument(format!(
                "a shape has at most {MAX_RANK} dimensions, got {}",
                dims.len()
            )));
        }
        if checked_product(dims).is_none() {
            return Err(Error::Argument(format!(
                "a tensor of shape {dims:?} does not fit in memory"
            )));
        }
        Ok(Shape::fitting(dims))
    }

    /// What stands for more than six dimensions, which only [`Shape::from`] a slice can be given:
    /// no tensor has this shape.
    const TOO_MANY: Shape = Shape {
        dims: [usize::MAX; MAX_RANK],
        rank: MAX_RANK as u8,
    };

    fn fitting(dims: &[usize]) -> Shape {
        let mut shape = Shape {
            dims: [0; MAX_RANK],
            rank: dims.len() as u8,
        };
        shape.dims[..dims.len()].copy_from_slice(dims);
        shape
    }

    /// The same, once a tensor can have it: a shape from a caller.
    #[track_caller]
    pub(crate) fn checked(self, op: &'static str) -> Result<Shape> {
        // No closure: it would have a line of its own.
        if Shape::new(&self).is_ok() {
            Ok(self)
        } else if self == Shape::TOO_MANY {
            Err(Error::operand(op, "shape", "at most 6 dimensions", "more"))
        } else {
            Err(Error::operand(op, "shape", "one that fits in memory", self))
        }
    }

    /// Number of elements; 1 for a scalar's empty shape, `usize::MAX` where there would be more
    /// than that.
    pub fn elements(&self) -> usize {
        if self.contains(&0) {
            0
        } else {
            self.iter()
                .fold(1, |n: usize, &length| n.saturating_mul(length))
        }
    }

    /// How far apart, in elements, neighbours along each dimension lie; at most `usize::MAX`.
    pub fn strides(&self) -> Shape {
        let mut strides = *self;
        let mut step = 1;
        for axis in (0..self.len()).rev() {
            strides.dims[axis] = step;
            step = step.saturating_mul(self[axis]);
        }
        strides
    }

    /// The shape both broadcast to, NumPy's rule: aligned at the last dimension, equal or 1. `None`
    /// where they differ.
    pub fn broadcast(&self, other: &Shape) -> Option<Shape> {
        let rank = self.len().max(other.len());
        let mut out = Shape {
            dims: [0; MAX_RANK],
            rank: rank as u8,
        };
        for i in 0..rank {
            // The i-th dimension from the end; missing ones count as 1.
            let from_end = |s: &Shape| if i < s.len() { s[s.len() - 1 - i] } else { 1 };
            out.dims[rank - 1 - i] = match (from_end(self), from_end(other)) {
                (a, b) if a == b => a,
                (1, b) => b,
                (a, 1) => a,
                _ => return None,
            };
        }
        Some(out)
    }

    /// The same shape with dimension `axis` of another length.
    ///
    /// # Panics
    /// Where `axis` is not below the rank.
    pub fn with(&self, axis: usize, length: usize) -> Shape {
        assert!(axis < self.len(), "axis {axis} of {self}");
        let mut out = *self;
        out.dims[axis] = length;
        out
    }
}

impl Deref for Shape {
    type Target = [usize];
    fn deref(&self) -> &[usize] {
        &self.dims[..self.rank as usize]
    }
}

impl<const N: usize> From<[usize; N]> for Shape {
    fn from(dims: [usize; N]) -> Shape {
        const { assert!(N <= MAX_RANK, "a shape has at most six dimensions") };
        Shape::fitting(&dims)
    }
}

impl<const N: usize> From<&[usize; N]> for Shape {
    fn from(dims: &[usize; N]) -> Shape {
        Shape::from(*dims)
    }
}

impl From<&[usize]> for Shape {
    /// More than six dimensions give a shape that every function refuses.
    fn from(dims: &[usize]) -> Shape {
        if dims.len() > MAX_RANK {
            return Shape::TOO_MANY;
        }
        Shape::fitting(dims)
    }
}

impl From<Vec<usize>> for Shape {
    fn from(dims: Vec<usize>) -> Shape {
        Shape::from(&dims[..])
    }
}

impl From<&Vec<usize>> for Shape {
    fn from(dims: &Vec<usize>) -> Shape {
        Shape::from(&dims[..])
    }
}

impl From<usize> for Shape {
    /// One dimension.
    fn from(length: usize) -> Shape {
        Shape::from([length])
    }
}

/// Tuples of lengths, by their number.
macro_rules! from_tuples {
    ($(($($length:ident),+))*) => {$(
        impl From<($(from_tuples!(@usize $length),)+)> for Shape {
            fn from(($($length,)+): ($(from_tuples!(@usize $length),)+)) -> Shape {
                Shape::from([$($length),+])
            }
        }
    )*};
    (@usize $length:ident) => { usize };
}

from_tuples! { (a) (a, b) (a, b, c) (a, b, c, d) (a, b, c, d, e) (a, b, c, d, e, f) }

impl From<&Shape> for Shape {
    fn from(shape: &Shape) -> Shape {
        *shape
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", &**self)
    }
}

impl fmt::Debug for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", &**self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn broadcasting_follows_numpy() {
        let cases: [(&[usize], &[usize], Option<&[usize]>); 5] = [
            (&[2, 3], &[3], Some(&[2, 3])),
            (&[2, 1, 4], &[5, 1], Some(&[2, 5, 4])),
            (&[], &[2], Some(&[2])),
            (&[0, 3], &[1, 3], Some(&[0, 3])),
            (&[2], &[3], None),
        ];
        for (a, b, want) in cases {
            let got = Shape::new(a).unwrap().broadcast(&Shape::new(b).unwrap());
            assert_eq!(got.as_deref(), want, "{a:?} with {b:?}");
        }
    }

    #[test]
    fn impossible_shapes_are_errors() {
        assert_eq!(
            Shape::new(&[1; 7]).unwrap_err().to_string(),
            "a shape has at most 6 dimensions, got 7"
        );
        assert!(
            Shape::new(&[usize::MAX, 2])
                .unwrap_err()
                .to_string()
                .ends_with("does not fit in memory")
        );
        for lengths in [
            &[1 << 60, 2][..],
            &[1 << 63, 2],
            &[1 << 63, 0],
            &[3, 7, 29, 36760123, 823996703],
        ] {
            assert!(
                Shape::new(lengths)
                    .unwrap_err()
                    .to_string()
                    .ends_with("does not fit in memory"),
                "{lengths:?}"
            );
        }
        assert_eq!(
            Shape::new(&[(1 << 60) - 1, 0]).unwrap().strides()[..],
            [0, 1]
        );
    }

    #[test]
    fn shapes_are_made_of_whatever_lists_lengths() {
        let want = Shape::from([2, 3, 4]);
        assert_eq!(Shape::from(&[2, 3, 4][..]), want);
        assert_eq!(Shape::from(&[2, 3, 4]), want);
        assert_eq!(Shape::from(vec![2, 3, 4]), want);
        assert_eq!(Shape::from((2, 3, 4)), want);
        assert_eq!(Shape::from(5)[..], [5]);
        assert_eq!(Shape::from((1, 2, 3, 4, 5, 6))[..], [1, 2, 3, 4, 5, 6]);
        let seven = Shape::from(vec![1; 7]).checked("reshape").unwrap_err();
        assert!(
            seven
                .to_string()
                .starts_with("reshape: shape expects at most 6 dimensions, got more"),
            "{seven}"
        );
    }

    #[test]
    fn counts_of_impossible_shapes_do_not_wrap() {
        let shape = Shape::from([3, 7, 29, 36760123, 823996703]);
        // The product is 2^64 + 5; that of the last four, a third of it, still fits.
        assert_eq!(
            (shape.elements(), shape.strides()[0]),
            (usize::MAX, 6_148_914_691_236_517_207)
        );
        assert_eq!(
            Shape::from([1, 1 << 63, 2]).strides()[..],
            [usize::MAX, 2, 1]
        );
        assert_eq!(Shape::from([1 << 63, 2]).elements(), usize::MAX);
        assert_eq!(Shape::from([1 << 63, 2, 0]).elements(), 0);
    }
}
