//! Wide vectors, chosen at run time.
//!
//! The compiler turns a plain loop over slices into vector instructions, but only into those it may assume. A release
//! binary may assume SSE2; this machine may have AVX-512. So each hot loop is compiled three times and the widest
//! version that the processor has is run.

/// Runs `body` with its loops compiled for the widest vectors this processor has.
///
/// `body` should be one loop nest over slices that calls nothing the compiler would not inline. It computes the same
/// numbers in every version: Rust never contracts a multiplication and an addition by itself.
#[inline]
pub(crate) fn vectorize<R>(body: impl FnOnce() -> R) -> R {
    #[cfg(target_arch = "x86_64")]
    {
        if is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512vl")
            && is_x86_feature_detected!("avx512dq")
            && is_x86_feature_detected!("avx512bw")
        {
            // SAFETY: the processor was just asked for these features.
            return unsafe { x86::avx512(body) };
        }
        if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
            // SAFETY: the processor was just asked for these features.
            return unsafe { x86::avx2(body) };
        }
    }
    body()
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    /// # Safety
    /// The processor has these features.
    #[target_feature(enable = "avx512f,avx512vl,avx512dq,avx512bw,avx2,fma")]
    pub unsafe fn avx512<R>(body: impl FnOnce() -> R) -> R {
        body()
    }

    /// # Safety
    /// The processor has these features.
    #[target_feature(enable = "avx2,fma")]
    pub unsafe fn avx2<R>(body: impl FnOnce() -> R) -> R {
        body()
    }
}
