//! GEMM in f64, by the crate `matrixmultiply`. The tests' oracle computes in f64, and an oracle
//! should not run through the micro-kernels that it judges. Convolutions in f64 share the
//! micro-kernel's loop, but none of its vector instructions (`dispatch`); `conv::reference` judges
//! those.

use super::blocking::{Size, rows_per_task};
use super::epilogue::{Accumulate, Epilogue};
use super::operand::Operand;
use crate::Stored;
use crate::cpu::chunks;
use crate::tensor::dtype::as_type_mut;

/// [m, k] x [k, n] -> [m, n]: C = `accumulate` + A B, and calls `epilogue` for all rows of C. Rows
/// are cut into tasks by size alone, so any number of threads gives the same bits.
pub(super) fn gemm<O: Stored<Compute = f64>>(
    size: Size,
    a: Operand<'_, f64>,
    b: Operand<'_, f64>,
    accumulate: Accumulate<'_, O>,
    c: &mut [O],
    epilogue: Epilogue<'_, O>,
) {
    let Size { k, n, .. } = size;
    let mut computed = None;
    let b = b.rows(k, &mut computed);
    chunks(c, rows_per_task(size) * n, |start, c| {
        for row in c.chunks_mut(n) {
            match accumulate {
                Accumulate::Zero => row.fill(O::default()),
                Accumulate::Bias(bias) => row.copy_from_slice(&bias[..n]),
                Accumulate::Existing => {}
            }
        }
        let f64s = as_type_mut(c).expect("f64 is accumulated and stored in f64");
        add_product(a.skip(start / n, 0), b, [k, n], f64s);
        epilogue(start, c);
    });
}

/// C += A B on this thread, [m, k] x [k, n] -> [m, n].
fn add_product(a: Operand<'_, f64>, b: Operand<'_, f64>, [k, n]: [usize; 2], c: &mut [f64]) {
    let m = c.len() / n;
    let reach = |x: Operand<'_, f64>, rows: usize, columns: usize| {
        (rows - 1) * x.row_stride + (columns - 1) * x.col_stride
    };
    assert!(
        reach(a, m, k) < a.data.len() && reach(b, k, n) < b.data.len() && m * n == c.len(),
        "operands lie within their slices"
    );
    let signed = |stride: usize| stride as isize;
    // SAFETY: the last element of each matrix, which all others precede, was compared with its
    // slice's length; C is borrowed mutably, so it overlaps neither operand.
    unsafe {
        matrixmultiply::dgemm(
            m,
            k,
            n,
            1.0,
            a.data.as_ptr(),
            signed(a.row_stride),
            signed(a.col_stride),
            b.data.as_ptr(),
            signed(b.row_stride),
            signed(b.col_stride),
            1.0,
            c.as_mut_ptr(),
            signed(n),
            1,
        );
    }
}
