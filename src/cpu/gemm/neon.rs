//! The kernel of all products, in the registers of NEON.

use std::arch::aarch64::{float32x4_t, float64x2_t};

use super::rows::Tile;
use super::tile::{Begin, Sums, TILE, Target, panel, same, same_mut};
use crate::{DType, Real};

/// Two vectors of columns at a time: with 8 rows 16 of the 32 registers hold sums.
///
/// # Safety
/// As `Sums::columns`; T is f32 or f64.
pub(super) unsafe fn neon<T: Real, O: Real>(sums: &Sums<T>, tiles: &[Tile], at: usize, begin: Begin<O>, to: &mut Target<O>) {
    for first in (0..to.columns).step_by(panel::<T>() / 4) {
        let wide = 8 * (to.columns - first) > panel::<T>();
        // SAFETY: the caller's promise; T is the type that its DTYPE names.
        unsafe {
            if T::DTYPE == DType::F64 {
                let sums = same::<_, Sums<f64>>(sums);
                match wide {
                    true => sums.columns::<float64x2_t, f64, 2, TILE>(tiles, at, *same(&begin), same_mut(to), first),
                    false => sums.columns::<float64x2_t, f64, 1, TILE>(tiles, at, *same(&begin), same_mut(to), first),
                }
                continue;
            }
            let sums = same::<_, Sums<f32>>(sums);
            match wide {
                true => sums.columns::<float32x4_t, f32, 2, TILE>(tiles, at, *same(&begin), same_mut(to), first),
                false => sums.columns::<float32x4_t, f32, 1, TILE>(tiles, at, *same(&begin), same_mut(to), first),
            }
        }
    }
}
