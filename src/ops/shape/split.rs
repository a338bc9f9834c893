//! Several parts of a tensor at once, each as [`Var::slice`] gives it.

use super::check_axis;
use crate::{Error, Result, Var};

/// The most parts that are cut without being named one by one. Each is a node of the graph, so a
/// number beyond this is taken for a mistake.
const MOST_PARTS: usize = 1 << 16;

impl Var {
    /// Consecutive parts of axis `axis`, of these lengths.
    ///
    /// **Shapes**: x's, but for that axis. **Backward**: dx = each part's dy at its place.
    /// **Saves**: nothing. **Errors**: lengths that do not add up to the axis's, an axis out of
    /// range. **Source**: `torch.split`.
    #[track_caller]
    pub fn split(&self, lengths: &[usize], axis: usize) -> Result<Vec<Var>> {
        check_axis("split", self.shape(), axis)?;
        let (whole, total) = (
            self.shape()[axis],
            lengths.iter().fold(0usize, |sum, &n| sum.saturating_add(n)),
        );
        if total != whole {
            return Err(Error::operand(
                "split",
                "lengths",
                format!("a sum of {whole}"),
                format!("{lengths:?}"),
            ));
        }
        let mut parts = Vec::new();
        let mut start = 0;
        for &length in lengths {
            parts.push(self.slice(axis, start..start + length)?);
            start += length;
        }
        Ok(parts)
    }

    /// Axis `axis` in `parts` consecutive parts of one length, but for the last, which may be
    /// shorter. As in PyTorch there are fewer parts where they use up the axis before: 5 elements
    /// in 4 parts are 2, 2 and 1.
    ///
    /// **Shapes**: x's, but for that axis, of ceil(length / parts). **Backward**: dx = each part's
    /// dy at its place. **Saves**: nothing. **Errors**: an axis out of range, no parts, more than
    /// 65,536 of them. **Source**: `torch.chunk`.
    ///
    /// ```
    /// use wavemix::{DType, Tensor, Var};
    /// let x = Var::from(Tensor::zeros([2, 6], DType::F32));
    /// let parts = x.chunk(3, 1)?;
    /// assert_eq!((parts.len(), &parts[0].shape()[..]), (3, &[2, 2][..]));
    /// # Ok::<(), wavemix::Error>(())
    /// ```
    #[track_caller]
    pub fn chunk(&self, parts: usize, axis: usize) -> Result<Vec<Var>> {
        check_axis("chunk", self.shape(), axis)?;
        let whole = self.shape()[axis];
        let count = if whole == 0 { parts } else { parts.min(whole) };
        check_parts("chunk", "parts", count)?;
        let length = whole.div_ceil(parts);
        let starts = (0..count).map(|i| i * length);
        let lengths = starts.map(|start| length.min(whole.saturating_sub(start)));
        let lengths: Vec<_> = lengths.take_while(|&n| n > 0 || whole == 0).collect();
        self.split(&lengths, axis)
    }

    /// x at each position of axis `axis`, without that axis.
    ///
    /// **Shapes**: x's without the axis, as many as the axis is long. **Backward**: dx = each
    /// part's dy at its place. **Saves**: nothing. **Errors**: an axis out of range, or longer than
    /// 65,536. **Source**: `torch.unbind`.
    #[track_caller]
    pub fn unbind(&self, axis: usize) -> Result<Vec<Var>> {
        check_axis("unbind", self.shape(), axis)?;
        let length = self.shape()[axis];
        if length > 0 {
            check_parts("unbind", "x", length)?;
        }
        (0..length)
            .map(|i| self.slice(axis, i..i + 1)?.squeeze(axis))
            .collect()
    }
}

#[track_caller]
fn check_parts(op: &'static str, operand: &'static str, count: usize) -> Result<()> {
    if !(1..=MOST_PARTS).contains(&count) {
        let expected = format!("1 to {MOST_PARTS} parts");
        return Err(Error::operand(op, operand, expected, count));
    }
    Ok(())
}
