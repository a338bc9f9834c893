//! The kernel of all products, in the registers of x86.

use std::arch::x86_64::{__m128, __m256, __m256d, __m512, __m512d};

use half::bf16;

use super::blocking::{MR, MR_AVX2, nr};
use super::indirection::Tile;
use super::microkernel::{Accumulate, OutputTile, TileProduct, same, same_mut};
use crate::{DType, Stored};

/// # Safety
/// As `TileProduct::columns`.
#[target_feature(enable = "avx512f,avx512vl,avx512dq,avx512bw,avx2,fma")]
pub(super) unsafe fn avx512<T: Stored, O: Stored>(
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
                avx512_f32::<f32>(same(sums), tiles, at, *same(&begin), same_mut(to))
            }
            (DType::F32, _) => {
                avx512_f32::<bf16>(same(sums), tiles, at, *same(&begin), same_mut(to))
            }
            _ => {
                let sums = same::<_, TileProduct<f64>>(sums);
                match 2 * to.columns > nr::<T>() {
                    true => sums.columns::<__m512d, f64, 2, MR>(
                        tiles,
                        at,
                        *same(&begin),
                        same_mut(to),
                        0,
                    ),
                    false => sums.columns::<__m512d, f64, 1, MR>(
                        tiles,
                        at,
                        *same(&begin),
                        same_mut(to),
                        0,
                    ),
                }
            }
        }
    }
}

/// # Safety
/// As `TileProduct::columns`.
#[target_feature(enable = "avx512f,avx512vl,avx512dq,avx512bw,avx2,fma")]
unsafe fn avx512_f32<O: Stored<Compute = f32>>(
    sums: &TileProduct<f32>,
    tiles: &[Tile],
    at: usize,
    begin: Accumulate<O>,
    to: &mut OutputTile<O>,
) {
    // SAFETY: the caller's promise.
    unsafe {
        match to.columns {
            // Two of the narrower registers are multiplied at a time.
            4 => sums.columns::<__m128, O, 1, MR>(tiles, at, begin, to, 0),
            8 => sums.columns::<__m256, O, 1, MR>(tiles, at, begin, to, 0),
            ..=16 => sums.columns::<__m512, O, 1, MR>(tiles, at, begin, to, 0),
            _ => sums.columns::<__m512, O, 2, MR>(tiles, at, begin, to, 0),
        }
    }
}

/// # Safety
/// As `TileProduct::columns`; T is bf16.
#[target_feature(enable = "avx512f,avx512vl,avx512dq,avx512bw,avx512bf16,avx2,fma")]
pub(super) unsafe fn avx512_bf16<T: Stored, O: Stored>(
    sums: &TileProduct<T>,
    tiles: &[Tile],
    at: usize,
    begin: Accumulate<O>,
    to: &mut OutputTile<O>,
) {
    let wide = 2 * to.columns > nr::<T>();
    // SAFETY: the caller's promise; O is the type that its DTYPE names.
    unsafe {
        let sums = same::<_, TileProduct<bf16>>(sums);
        match (O::DTYPE, wide) {
            (DType::BF16, true) => {
                sums.columns::<__m512, bf16, 2, MR>(tiles, at, *same(&begin), same_mut(to), 0)
            }
            (DType::BF16, false) => {
                sums.columns::<__m512, bf16, 1, MR>(tiles, at, *same(&begin), same_mut(to), 0)
            }
            (_, true) => {
                sums.columns::<__m512, f32, 2, MR>(tiles, at, *same(&begin), same_mut(to), 0)
            }
            (_, false) => {
                sums.columns::<__m512, f32, 1, MR>(tiles, at, *same(&begin), same_mut(to), 0)
            }
        }
    }
}

/// # Safety
/// As `TileProduct::columns`.
#[target_feature(enable = "avx2,fma")]
pub(super) unsafe fn avx2<T: Stored, O: Stored>(
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
                avx2_f32::<f32>(same(sums), tiles, at, *same(&begin), same_mut(to))
            }
            (DType::F32, _) => avx2_f32::<bf16>(same(sums), tiles, at, *same(&begin), same_mut(to)),
            _ => {
                let (sums, to) = (
                    same::<_, TileProduct<f64>>(sums),
                    same_mut::<_, OutputTile<f64>>(to),
                );
                for first in (0..to.columns).step_by(nr::<T>() / 2) {
                    match 4 * (to.columns - first) > nr::<T>() {
                        true => sums.columns::<__m256d, f64, 2, MR_AVX2>(
                            tiles,
                            at,
                            *same(&begin),
                            to,
                            first,
                        ),
                        false => {
                            sums.columns::<__m256d, f64, 1, MR>(tiles, at, *same(&begin), to, first)
                        }
                    }
                }
            }
        }
    }
}

/// # Safety
/// As `TileProduct::columns`.
#[target_feature(enable = "avx2,fma")]
unsafe fn avx2_f32<O: Stored<Compute = f32>>(
    sums: &TileProduct<f32>,
    tiles: &[Tile],
    at: usize,
    begin: Accumulate<O>,
    to: &mut OutputTile<O>,
) {
    // Half a panel, or a quarter of it.
    for first in (0..to.columns).step_by(nr::<f32>() / 2) {
        // SAFETY: the caller's promise.
        unsafe {
            match to.columns - first {
                4 => sums.columns::<__m128, O, 1, MR>(tiles, at, begin, to, first),
                // What is left of wider tiles.
                ..=8 if first > 0 => {
                    sums.columns::<__m256, O, 1, MR_AVX2>(tiles, at, begin, to, first)
                }
                ..=8 => sums.columns::<__m256, O, 1, MR>(tiles, at, begin, to, first),
                _ => sums.columns::<__m256, O, 2, MR_AVX2>(tiles, at, begin, to, first),
            }
        }
    }
}
