//! Shapes: up to six dimensions, row-major, known at run time.

use std::fmt;
use std::ops::Deref;

use crate::{Error, Result};

/// The most dimensions a tensor can have.
pub const MAX_RANK: usize = 6;

/// The lengths of a tensor's dimensions, outermost first. Reads like a slice: `shape[0]`, `shape.iter()`.
///
/// ```
/// let shape = wavemix::Shape::from([8, 28, 28, 1]);
/// assert_eq!((shape.len(), shape.elements(), shape[3]), (4, 6272, 1));
/// assert_eq!(shape.to_string(), "[8, 28, 28, 1]");
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Shape {
    dims: [usize; MAX_RANK],
    rank: u8,
}

impl Shape {
    /// A shape from a slice of lengths.
    ///
    /// # Errors
    /// With more than six dimensions, or more elements than an address can count.
    pub fn new(dims: &[usize]) -> Result<Shape> {
        if dims.len() > MAX_RANK {
            return Err(Error::Argument(format!("a shape has at most {MAX_RANK} dimensions, got {}", dims.len())));
        }
        if dims.iter().try_fold(8usize, |n, &d| n.checked_mul(d.max(1))).is_none_or(|bytes| bytes > isize::MAX as usize) {
            return Err(Error::Argument(format!("a tensor of shape {dims:?} does not fit in memory")));
        }
        Ok(Shape::fitting(dims))
    }

    fn fitting(dims: &[usize]) -> Shape {
        let mut shape = Shape { dims: [0; MAX_RANK], rank: dims.len() as u8 };
        shape.dims[..dims.len()].copy_from_slice(dims);
        shape
    }

    /// Number of elements; 1 for a scalar's empty shape.
    pub fn elements(&self) -> usize {
        self.iter().product()
    }

    /// How far apart, in elements, neighbours along each dimension lie.
    pub fn strides(&self) -> Shape {
        let mut strides = *self;
        let mut step = 1;
        for axis in (0..self.len()).rev() {
            strides.dims[axis] = step;
            step *= self[axis];
        }
        strides
    }

    /// The shape both broadcast to, NumPy's rule: aligned at the last dimension, equal or 1. `None` where they differ.
    pub fn broadcast(&self, other: &Shape) -> Option<Shape> {
        let rank = self.len().max(other.len());
        let mut out = Shape { dims: [0; MAX_RANK], rank: rank as u8 };
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
        assert_eq!(Shape::new(&[1; 7]).unwrap_err().to_string(), "a shape has at most 6 dimensions, got 7");
        assert!(Shape::new(&[usize::MAX, 2]).unwrap_err().to_string().ends_with("does not fit in memory"));
    }
}
