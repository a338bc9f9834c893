//! The registers of x86-64, from SSE to AVX-512.

use std::arch::x86_64::*;

use half::bf16;

use super::lanes::{Lanes, registers};

registers! {
    f32, __m128, 4, __m256i: _mm_set1_ps _mm_loadu_ps _mm_storeu_ps _mm_add_ps _mm_sub_ps _mm_fmadd_ps;
    f32, __m256, 8, __m256i: _mm256_set1_ps _mm256_loadu_ps _mm256_storeu_ps _mm256_add_ps _mm256_sub_ps _mm256_fmadd_ps;
    f32, __m512, 16, __m512i: _mm512_set1_ps _mm512_loadu_ps _mm512_storeu_ps _mm512_add_ps _mm512_sub_ps _mm512_fmadd_ps
        __mmask16 _mm512_maskz_loadu_ps _mm512_mask_storeu_ps;
}

/// Writes the first `count` lanes, rounded to bf16 by VCVTNEPS2BF16, which flushes subnormals to 0.
///
/// # Safety
/// `count` elements, at most 16, are writable at `to`; the CPU has AVX512-BF16.
#[inline(always)]
pub(crate) unsafe fn store_rounded(x: __m512, count: usize, to: *mut bf16) {
    // SAFETY: the caller's promise; both types are 32 bytes; lanes that are masked out are not
    // touched.
    unsafe {
        let rounded = std::mem::transmute::<__m256bh, __m256i>(_mm512_cvtneps_pbh(x));
        _mm256_mask_storeu_epi16(to.cast(), ((1u32 << count) - 1) as u16, rounded);
    }
}

/// y = x, rounded as `store_rounded` does.
///
/// # Safety
/// The CPU has AVX512-BF16.
#[target_feature(enable = "avx512f,avx512vl,avx512dq,avx512bw,avx512bf16,avx2,fma")]
pub(super) unsafe fn round(x: &[f32], y: &mut [bf16]) {
    let ((x, rest_x), (y, rest_y)) = (x.as_chunks::<16>(), y.as_chunks_mut::<16>());
    // SAFETY: arrays of 16 are read and written, and then less than 16 elements of both slices.
    unsafe {
        x.iter()
            .zip(y)
            .for_each(|(x, y)| store_rounded(_mm512_loadu_ps(x.as_ptr()), 16, y.as_mut_ptr()));
        let count = rest_x.len().min(rest_y.len());
        store_rounded(
            __m512::load_first(count, rest_x.as_ptr()),
            count,
            rest_y.as_mut_ptr(),
        );
    }
}
