//! Linear layers: cuBLAS, and a kernel for the bias.

use super::runtime::launch::pack;
use super::{Matrix, Product, Slice, SliceMut, Source, gemm};
use crate::Result;

pub(super) static SOURCE: Source = Source::new("linear", include_str!("../../kernels/linear.cu"));

/// y = x w^T + bias; x is [rows, k], w [n, k], y [rows, n].
pub(crate) fn forward(
    x: Slice,
    w: Slice,
    bias: Option<Slice>,
    [n, k]: [usize; 2],
    tf32: bool,
    y: &mut SliceMut,
) -> Result<()> {
    let rows = y.as_slice().elements.checked_div(n).unwrap_or(0);
    let product = Product {
        batch: 1,
        m: rows,
        k,
        n,
        a: Matrix::new(x, false),
        b: Matrix::new(w, true),
        tf32,
    };
    gemm(product, y)?;
    bias.map_or(Ok(()), |bias| add_bias(bias, y))
}

/// y += bias, in each row.
fn add_bias(bias: Slice, y: &mut SliceMut) -> Result<()> {
    let (n, dtype) = (y.as_slice().elements, bias.dtype);
    let launch = bias
        .gpu
        .kernel(&SOURCE, "add_bias", dtype)?
        .arg(y)
        .arg(bias)
        .count(n)
        .sizes([bias.elements])?;
    launch
        .each(n.div_ceil(pack(dtype)))
        .moves(2 * n * dtype.bytes())
        .launch()
}

/// dx = dy w.
pub(crate) fn backward_input(
    dy: Slice,
    w: Slice,
    [n, k]: [usize; 2],
    tf32: bool,
    dx: &mut SliceMut,
) -> Result<()> {
    let rows = dx.as_slice().elements.checked_div(k).unwrap_or(0);
    let product = Product {
        batch: 1,
        m: rows,
        k: n,
        n: k,
        a: Matrix::new(dy, false),
        b: Matrix::new(w, false),
        tf32,
    };
    gemm(product, dx)
}

/// dw = dy^T x, in f32.
pub(crate) fn backward_weight(
    dy: Slice,
    x: Slice,
    [n, k]: [usize; 2],
    tf32: bool,
    dw: &mut SliceMut,
) -> Result<()> {
    let rows = x.elements.checked_div(k).unwrap_or(0);
    let product = Product {
        batch: 1,
        m: n,
        k: rows,
        n: k,
        a: Matrix::new(dy, true),
        b: Matrix::new(x, false),
        tf32,
    };
    gemm(product, dw)
}
