//! The kernel of all products, in the registers of NEON.

use std::arch::aarch64::{float32x4_t, float64x2_t};

use half::bf16;

use super::accumulator::Products;
use super::blocking::MR;
use super::indirection::Tile;
use super::microkernel::{Accumulate, OutputTile, TileProduct, same, same_mut};
use crate::{DType, Stored};

/// # Safety
/// As `TileProduct::columns`; T is f32 or f64.
pub(super) unsafe fn neon<T: Stored, O: Stored>(
    sums: &TileProduct<T>,
    tiles: &[Tile],
    at: usize,
    begin: Accumulate<O>,
    to: &mut OutputTile<O>,
) {
    // SAFETY: the caller's promise; T and O are the types that their DTYPEs name.
    unsafe {
        match (T::DTYPE, O::DTYPE) {
            (DType::F32, DType::F32) => {
                by::<f32, f32, float32x4_t>(same(sums), tiles, at, *same(&begin), same_mut(to))
            }
            (DType::F32, _) => {
                by::<f32, bf16, float32x4_t>(same(sums), tiles, at, *same(&begin), same_mut(to))
            }
            _ => by::<f64, f64, float64x2_t>(same(sums), tiles, at, *same(&begin), same_mut(to)),
        }
    }
}

/// Two vectors of columns at a time: with 8 rows 16 of the 32 registers hold sums.
///
/// # Safety
/// As `TileProduct::columns`.
unsafe fn by<T: Stored, O: Stored<Compute = T::Compute>, V: Products<T>>(
    sums: &TileProduct<T>,
    tiles: &[Tile],
    at: usize,
    begin: Accumulate<O>,
    to: &mut OutputTile<O>,
) {
    for first in (0..to.columns).step_by(2 * V::N) {
        // SAFETY: the caller's promise.
        unsafe {
            match to.columns - first > V::N {
                true => sums.columns::<V, O, 2, MR>(tiles, at, begin, to, first),
                false => sums.columns::<V, O, 1, MR>(tiles, at, begin, to, first),
            }
        }
    }
}
