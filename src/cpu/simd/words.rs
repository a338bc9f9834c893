//! Random words in the registers of x86-64.

use std::arch::x86_64::*;

use crate::tensor::rng::Words;

macro_rules! words {
    ($($words:ty, $n:literal: $splat:ident $counts:expr, $add:ident $mul:ident $xor:ident $shift:ident, $write:ident;)*) => {$(
        impl Words for $words {
            const N: usize = $n;
            #[inline(always)]
            fn splat(word: u32) -> Self {
                // SAFETY: only kernels compiled for these instructions use this type.
                unsafe { $splat(i64::from(word)) }
            }
            #[inline(always)]
            fn count_from(first: u64) -> Self {
                // SAFETY: as above.
                unsafe { $add($splat(first.cast_signed()), $counts) }
            }
            #[inline(always)]
            fn times(self, b: Self) -> Self {
                // SAFETY: as above.
                unsafe { $mul(self, b) }
            }
            #[inline(always)]
            fn xor(self, b: Self) -> Self {
                // SAFETY: as above.
                unsafe { $xor(self, b) }
            }
            #[inline(always)]
            fn upper(self) -> Self {
                // SAFETY: as above.
                unsafe { $shift::<32>(self) }
            }
            #[inline(always)]
            fn write(block: [Self; 4], to: &mut [u64]) {
                assert!(to.len() >= 2 * $n, "two words a block");
                // SAFETY: the length was compared; as to instructions, as above.
                unsafe { $write(block, to.as_mut_ptr()) }
            }
        }
    )*};
}
words! {
    __m256i, 4: _mm256_set1_epi64x _mm256_setr_epi64x(0, 1, 2, 3), _mm256_add_epi64 _mm256_mul_epu32 _mm256_xor_si256 _mm256_srli_epi64, write_4;
    __m512i, 8: _mm512_set1_epi64 _mm512_setr_epi64(0, 1, 2, 3, 4, 5, 6, 7), _mm512_add_epi64 _mm512_mul_epu32 _mm512_xor_si512
        _mm512_srli_epi64, write_8;
}

/// # Safety
/// 8 words are writable at `to`; the CPU has AVX2.
#[inline(always)]
unsafe fn write_4([a, b, c, d]: [__m256i; 4], to: *mut u64) {
    // SAFETY: the caller's promise.
    unsafe {
        let (first, second) = (
            _mm256_blend_epi32::<0b1010_1010>(a, _mm256_slli_epi64::<32>(b)),
            _mm256_blend_epi32::<0b1010_1010>(c, _mm256_slli_epi64::<32>(d)),
        );
        // Of blocks 0 and 2, and of 1 and 3.
        let (even, odd) = (
            _mm256_unpacklo_epi64(first, second),
            _mm256_unpackhi_epi64(first, second),
        );
        _mm256_storeu_si256(to.cast(), _mm256_permute2x128_si256::<0x20>(even, odd));
        _mm256_storeu_si256(
            to.add(4).cast(),
            _mm256_permute2x128_si256::<0x31>(even, odd),
        );
    }
}

/// # Safety
/// 16 words are writable at `to`; the CPU has AVX-512.
#[inline(always)]
unsafe fn write_8([a, b, c, d]: [__m512i; 4], to: *mut u64) {
    // SAFETY: the caller's promise.
    unsafe {
        let first = _mm512_mask_blend_epi32(0xaaaa, a, _mm512_slli_epi64::<32>(b));
        let second = _mm512_mask_blend_epi32(0xaaaa, c, _mm512_slli_epi64::<32>(d));
        let blocks = |from: i64| {
            let [i, j, k] = [from + 1, from + 2, from + 3];
            _mm512_setr_epi64(from, 8 + from, i, 8 + i, j, 8 + j, k, 8 + k)
        };
        _mm512_storeu_si512(
            to.cast(),
            _mm512_permutex2var_epi64(first, blocks(0), second),
        );
        _mm512_storeu_si512(
            to.add(8).cast(),
            _mm512_permutex2var_epi64(first, blocks(4), second),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Rng;
    use crate::cpu::simd::{has_avx2, has_avx512};

    #[target_feature(enable = "avx2,fma")]
    fn avx2(rng: &Rng, first: u64, words: &mut [u64]) {
        rng.fill::<__m256i, 2>(first, words);
    }

    #[target_feature(enable = "avx512f,avx512vl,avx512dq,avx512bw,avx2,fma")]
    fn avx512(rng: &Rng, first: u64, words: &mut [u64]) {
        rng.fill::<__m512i, 2>(first, words);
    }

    #[test]
    fn registers_draw_the_same_words() {
        // Where the counter's lower half ends.
        let (rng, first) = (
            Rng::new(0x0123_4567_89ab_cdef).stream(u64::MAX - 5),
            u64::from(u32::MAX) - 7,
        );
        let [mut plain, mut narrow, mut wide] = [[0; 64]; 3];
        rng.fill::<[u64; 1], 1>(first, &mut plain);
        if has_avx2() {
            // SAFETY: the CPU was just asked.
            unsafe { avx2(&rng, first, &mut narrow) };
            assert_eq!(narrow, plain);
        }
        if has_avx512() {
            // SAFETY: the CPU was just asked.
            unsafe { avx512(&rng, first, &mut wide) };
            assert_eq!(wide, plain);
        }
    }
}
