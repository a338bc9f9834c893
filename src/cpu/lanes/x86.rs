//! The registers of x86, from SSE to AVX-512.

use std::arch::x86_64::*;

use super::Lanes;

registers! {
    f32, __m128, 4, __m256i: _mm_set1_ps _mm_loadu_ps _mm_storeu_ps _mm_add_ps _mm_sub_ps _mm_fmadd_ps;
    f32, __m256, 8, __m256i: _mm256_set1_ps _mm256_loadu_ps _mm256_storeu_ps _mm256_add_ps _mm256_sub_ps _mm256_fmadd_ps;
    f64, __m256d, 4, __m256i: _mm256_set1_pd _mm256_loadu_pd _mm256_storeu_pd _mm256_add_pd _mm256_sub_pd _mm256_fmadd_pd;
    f32, __m512, 16, __m512i: _mm512_set1_ps _mm512_loadu_ps _mm512_storeu_ps _mm512_add_ps _mm512_sub_ps _mm512_fmadd_ps
        __mmask16 _mm512_maskz_loadu_ps _mm512_mask_storeu_ps;
    f64, __m512d, 8, __m512i: _mm512_set1_pd _mm512_loadu_pd _mm512_storeu_pd _mm512_add_pd _mm512_sub_pd _mm512_fmadd_pd
        __mmask8 _mm512_maskz_loadu_pd _mm512_mask_storeu_pd;
}
