//! Micro-kernels in the registers of x86-64: AVX2 with FMA, AVX-512, and AVX512-BF16's VNNI pairs.

use std::arch::x86_64::{
    __m128, __m256, __m512, __m512bh, __m512i, _mm512_dpbf16_ps, _mm512_loadu_si512,
    _mm512_set1_epi32, _mm512_shuffle_i32x4, _mm512_storeu_si512, _mm512_unpackhi_epi32,
    _mm512_unpackhi_epi64, _mm512_unpacklo_epi32, _mm512_unpacklo_epi64,
};

use half::bf16;

use super::accumulator::Accumulator;
use super::blocking::{MR, MR_AVX2, nr};
use super::microkernel::{PanelTiles, TileProduct};
use crate::cpu::simd::Lanes;
use crate::cpu::simd::x86::store_rounded;
use crate::{DType, Stored};

/// # Safety
/// As `TileProduct::row_tiles`.
#[target_feature(enable = "avx512f,avx512vl,avx512dq,avx512bw,avx2,fma")]
pub(super) unsafe fn avx512<O: Stored<Compute = f32>>(
    product: &TileProduct<'_, f32>,
    to: &mut PanelTiles<'_, O>,
) {
    // SAFETY: the caller's promise.
    unsafe {
        match to.output.columns {
            // 4 and 8 columns fill a narrower register exactly. Many CPUs have two units that
            // multiply those, where only one takes 512 bits.
            4 => product.row_tiles::<__m128, O, 1, MR>(to, 0),
            8 => product.row_tiles::<__m256, O, 1, MR>(to, 0),
            ..=16 => product.row_tiles::<__m512, O, 1, MR>(to, 0),
            _ => product.row_tiles::<__m512, O, 2, MR>(to, 0),
        }
    }
}

/// # Safety
/// As `TileProduct::row_tiles`.
#[target_feature(enable = "avx512f,avx512vl,avx512dq,avx512bw,avx512bf16,avx2,fma")]
pub(super) unsafe fn avx512_bf16<O: Stored<Compute = f32>>(
    product: &TileProduct<'_, bf16>,
    to: &mut PanelTiles<'_, O>,
) {
    // SAFETY: the caller's promise.
    unsafe {
        match 2 * to.output.columns > nr::<bf16>() {
            true => product.row_tiles::<__m512, O, 2, MR>(to, 0),
            false => product.row_tiles::<__m512, O, 1, MR>(to, 0),
        }
    }
}

/// Transposes 16 x 16 words of 32 bits: VNNI pairs, say. Words change places within pairs of rows,
/// then pairs of words, then quarters of registers.
///
/// # Safety
/// 16 words are readable at each of 16 rows from `from` on, and writable from `to` on, rows being
/// so many words apart; the CPU has AVX-512.
#[target_feature(enable = "avx512f")]
pub(super) unsafe fn transpose_16x16(
    from: *const u32,
    from_row: usize,
    to: *mut u32,
    to_row: usize,
) {
    // SAFETY: the caller's promise.
    let rows: [__m512i; 16] =
        std::array::from_fn(|i| unsafe { _mm512_loadu_si512(from.add(i * from_row).cast()) });
    // Register 2 i and 2 i + 1: the low and the high words of rows 2 i and 2 i + 1.
    let pairs: [__m512i; 16] = std::array::from_fn(|i| {
        let (a, b) = (rows[i / 2 * 2], rows[i / 2 * 2 + 1]);
        match i % 2 {
            0 => _mm512_unpacklo_epi32(a, b),
            _ => _mm512_unpackhi_epi32(a, b),
        }
    });
    // Quarter q of register 4 g + k: column 4 q + k of rows 4 g to 4 g + 3.
    let fours: [__m512i; 16] = std::array::from_fn(|i| {
        let (a, b) = (
            pairs[i / 4 * 4 + i % 4 / 2],
            pairs[i / 4 * 4 + i % 4 / 2 + 2],
        );
        match i % 2 {
            0 => _mm512_unpacklo_epi64(a, b),
            _ => _mm512_unpackhi_epi64(a, b),
        }
    });
    for k in 0..4 {
        let [a, b, c, d] = [0, 4, 8, 12].map(|g| fours[g + k]);
        // Quarters 0 and 1, and 2 and 3, of two registers each.
        let (low, high) = (
            _mm512_shuffle_i32x4(a, b, 0x44),
            _mm512_shuffle_i32x4(a, b, 0xee),
        );
        let (low2, high2) = (
            _mm512_shuffle_i32x4(c, d, 0x44),
            _mm512_shuffle_i32x4(c, d, 0xee),
        );
        let columns = [
            _mm512_shuffle_i32x4(low, low2, 0x88),
            _mm512_shuffle_i32x4(low, low2, 0xdd),
            _mm512_shuffle_i32x4(high, high2, 0x88),
            _mm512_shuffle_i32x4(high, high2, 0xdd),
        ];
        for (q, column) in columns.into_iter().enumerate() {
            // SAFETY: the caller's promise.
            unsafe { _mm512_storeu_si512(to.add((4 * q + k) * to_row).cast(), column) };
        }
    }
}

/// Half a panel at a time, which is two vectors, or a quarter of it:
///
/// | columns left | of which half | kernel: rows x vectors |
/// |---|---|---|
/// | 4 | any | 8 x 1, of 128 bits |
/// | up to 8 | the first | 8 x 1 |
/// | up to 8 | the second | 6 x 1 |
/// | more | any | 6 x 2 |
///
/// Tiles have 8 rows if all of C is at most 8 columns wide, else 6 (`tile_rows_avx2`). A kernel of
/// 8 rows on tiles of 6 computes the first row twice more, and does not store it: with 4 columns
/// left, or up to 8 in a first half.
///
/// # Safety
/// As `TileProduct::row_tiles`.
#[target_feature(enable = "avx2,fma")]
pub(super) unsafe fn avx2<O: Stored<Compute = f32>>(
    product: &TileProduct<'_, f32>,
    to: &mut PanelTiles<'_, O>,
) {
    for first in (0..to.output.columns).step_by(nr::<f32>() / 2) {
        // SAFETY: the caller's promise.
        unsafe {
            match to.output.columns - first {
                4 => product.row_tiles::<__m128, O, 1, MR>(to, first),
                ..=8 if first > 0 => product.row_tiles::<__m256, O, 1, MR_AVX2>(to, first),
                ..=8 => product.row_tiles::<__m256, O, 1, MR>(to, first),
                _ => product.row_tiles::<__m256, O, 2, MR_AVX2>(to, first),
            }
        }
    }
}

/// VNNI pairs of bf16, multiplied and accumulated by VDPBF16PS.
impl Accumulator<bf16> for __m512 {
    type Operand = __m512bh;
    #[inline(always)]
    unsafe fn broadcast(from: *const bf16) -> __m512bh {
        // SAFETY: the caller's promise; both types are 64 bytes for which every pattern is a value.
        unsafe { std::mem::transmute(_mm512_set1_epi32(from.cast::<i32>().read_unaligned())) }
    }
    #[inline(always)]
    unsafe fn load_columns(from: *const bf16) -> __m512bh {
        // SAFETY: as above.
        unsafe { std::mem::transmute(_mm512_loadu_si512(from.cast())) }
    }
    #[inline(always)]
    fn multiply_accumulate(self, a: __m512bh, b: __m512bh) -> Self {
        // SAFETY: only kernels compiled for these instructions use this type.
        unsafe { _mm512_dpbf16_ps(self, a, b) }
    }
    /// By the instruction that rounds 16 elements.
    #[inline(always)]
    unsafe fn store_output<O: Stored<Compute = f32>>(self, count: usize, to: *mut O) {
        // SAFETY: the caller's promise.
        unsafe {
            if O::DTYPE == DType::BF16 {
                store_rounded(self, count, to.cast())
            } else {
                self.store_converted(count, to)
            }
        }
    }
}
