//! Micro-kernels in the registers of NEON.

use std::arch::aarch64::float32x4_t;

use super::blocking::MR;
use super::microkernel::{PanelTiles, TileProduct};
use crate::Stored;
use crate::cpu::simd::Lanes;

/// Two vectors of columns at a time: with 8 rows 16 of the 32 registers are accumulators.
///
/// # Safety
/// As `TileProduct::row_tiles`.
pub(super) unsafe fn neon<O: Stored<Compute = f32>>(
    product: &TileProduct<'_, f32>,
    to: &mut PanelTiles<'_, O>,
) {
    let vector = <float32x4_t as Lanes<f32>>::N;
    for first in (0..to.output.columns).step_by(2 * vector) {
        // SAFETY: the caller's promise.
        unsafe {
            match to.output.columns - first > vector {
                true => product.row_tiles::<float32x4_t, O, 2, MR>(to, first),
                false => product.row_tiles::<float32x4_t, O, 1, MR>(to, first),
            }
        }
    }
}
