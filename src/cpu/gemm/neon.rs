//! Micro-kernels in the registers of NEON.

use super::accumulator::Accumulator;
use super::blocking::MR;
use super::microkernel::{PanelTiles, TileProduct};
use crate::Stored;

/// Two vectors of columns at a time: with 8 rows 16 of the 32 registers are accumulators.
///
/// # Safety
/// As `TileProduct::row_tiles`.
pub(super) unsafe fn neon<T: Stored, O: Stored<Compute = T::Compute>, V: Accumulator<T>>(
    product: &TileProduct<'_, T>,
    to: &mut PanelTiles<'_, O>,
) {
    for first in (0..to.output.columns).step_by(2 * V::N) {
        // SAFETY: the caller's promise.
        unsafe {
            match to.output.columns - first > V::N {
                true => product.row_tiles::<V, O, 2, MR>(to, first),
                false => product.row_tiles::<V, O, 1, MR>(to, first),
            }
        }
    }
}
