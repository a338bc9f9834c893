//! Convolution along rows.

use super::conv2d;
use crate::tensor::window::Window1d;
use crate::{Error, Result, Var};

/// y\[n, i, o\] = bias\[o\] + the sum over k, c of x[n, i stride - padding + k dilation, c]
/// weight[o, k, c], x being 0 outside: [`conv2d`] of images of one row.
///
/// **Shapes**: x [n, length, c_in], weight [c_out, k, c_in / groups], bias `[c_out]`, y [n, length',
/// c_out] with length' = (length + 2 padding - dilation (k - 1) - 1) / stride + 1, rounded down.
/// **Backward**: as for [`conv2d`]. **Saves**: x and the weight. **Errors**: shapes, dtypes or
/// window sizes that do not fit. **Source**: `torch.nn.functional.conv1d`, channels last.
#[track_caller]
pub fn conv1d(x: &Var, weight: &Var, bias: Option<&Var>, window: Window1d) -> Result<Var> {
    let &[n, length, c_in] = &x.shape()[..] else {
        let expected = "[n, length, c_in]";
        return Err(Error::operand("conv1d", "x", expected, x.shape()));
    };
    let &[c_out, k, own] = &weight.shape()[..] else {
        let expected = "[c_out, k, c_in / groups]";
        return Err(Error::operand("conv1d", "weight", expected, weight.shape()));
    };
    if window.groups == 1 && own != c_in {
        let expected = format!(
            "[c_out, k, c_in = {c_in}] for x [n, length, c_in] = {}",
            x.shape()
        );
        return Err(Error::operand("conv1d", "weight", expected, weight.shape()));
    }
    let (row, kernel) = (
        x.reshape([n, 1, length, c_in])?,
        weight.reshape([c_out, 1, k, own])?,
    );
    let y = conv2d(&row, &kernel, bias, window.into())?;
    y.reshape([n, y.shape()[2], c_out])
}
