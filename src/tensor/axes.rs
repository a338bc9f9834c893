//! Which dimensions an op works along.

use std::ops::RangeFull;

/// The dimensions that a reduction goes over: one, several, or all of them.
///
/// ```
/// use wavemix::{Tensor, Var};
/// let x = Var::from(Tensor::from_vec(vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0], [2, 3])?);
/// assert_eq!(x.sum(1)?.to_vec::<f64>()?, [6.0, 15.0]);
/// assert_eq!(x.sum([0, 1])?.item()?, 21.0);
/// assert_eq!(x.sum(..)?.item()?, 21.0);
/// assert_eq!(x.sum_keep(0)?.shape()[..], [1, 3]);
/// # Ok::<(), wavemix::Error>(())
/// ```
///
/// Dimensions are counted from 0, the outermost.
#[derive(Clone, Debug)]
pub struct Axes(Listed);

#[derive(Clone, Debug)]
enum Listed {
    All,
    Some(Vec<usize>),
}

impl Axes {
    /// The axes of a tensor with this many dimensions. Those that it does not have are listed too:
    /// the op's own check names them.
    pub(crate) fn of(self, rank: usize) -> Vec<usize> {
        match self.0 {
            Listed::All => (0..rank).collect(),
            Listed::Some(axes) => axes,
        }
    }
}

impl From<usize> for Axes {
    fn from(axis: usize) -> Axes {
        Axes(Listed::Some(vec![axis]))
    }
}

impl From<RangeFull> for Axes {
    fn from(_: RangeFull) -> Axes {
        Axes(Listed::All)
    }
}

impl From<Vec<usize>> for Axes {
    fn from(axes: Vec<usize>) -> Axes {
        Axes(Listed::Some(axes))
    }
}

impl From<&[usize]> for Axes {
    fn from(axes: &[usize]) -> Axes {
        Axes(Listed::Some(axes.to_vec()))
    }
}

impl From<&Vec<usize>> for Axes {
    fn from(axes: &Vec<usize>) -> Axes {
        Axes::from(&axes[..])
    }
}

impl<const N: usize> From<[usize; N]> for Axes {
    fn from(axes: [usize; N]) -> Axes {
        Axes::from(&axes[..])
    }
}

impl<const N: usize> From<&[usize; N]> for Axes {
    fn from(axes: &[usize; N]) -> Axes {
        Axes::from(&axes[..])
    }
}
