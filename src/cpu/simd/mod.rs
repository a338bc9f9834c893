//! Compute vectors, chosen at run time.
//!
//! The compiler turns a plain loop over slices into vector instructions, but only into those it may
//! assume. A release binary may assume SSE2; this machine may have AVX-512. So each hot loop is
//! compiled three times and the widest version that the processor has is run. Loops over f64, the
//! oracle's type, are compiled once: that halves what a build of this crate takes.

pub(crate) mod convert;
mod lanes;
pub(crate) mod math;
#[cfg(target_arch = "aarch64")]
mod neon;
#[cfg(target_arch = "x86_64")]
mod words;
#[cfg(target_arch = "x86_64")]
pub(crate) mod x86;

use half::bf16;

pub(crate) use lanes::Lanes;

/// Defines functions of numbers of type `T` whose loops are compiled for the widest vectors this
/// processor has.
///
/// The body becomes a function that is inlined, always, into one wrapper for each set of
/// instructions: only what is inlined there is compiled for them. A closure in place of the body
/// would be called from all the wrappers, and what several callers share the compiler inlines only
/// if it is small. So a body should be plain loops over slices that call `#[inline(always)]`
/// functions; where it has a choice of formulas, let it match first and then run a loop of its own
/// for each. It computes the same numbers in every version, as Rust never contracts a product and a
/// sum by itself; but for what asks for it by the constant `FUSED`, which a body may name: whether
/// this version has an instruction for both.
///
/// ```text
/// vectorize! {
///     /// y = x factor.
///     fn scale<T: Float>(x: &[T], factor: T, y: &mut [T]) {
///         for (y, &x) in y.iter_mut().zip(x) {
///             *y = x * factor;
///         }
///     }
/// }
/// ```
macro_rules! vectorize {
    ($($(#[$attribute:meta])* fn $name:ident<T: $bound:ident>($($x:ident: $type:ty),* $(,)?) $(-> $result:ty)? $body:block)*) => {$(
        $(#[$attribute])*
        fn $name<T: $bound>($($x: $type),*) $(-> $result)? {
            #[inline(always)]
            fn body<T: $bound, const FUSED: bool>($($x: $type),*) $(-> $result)? $body

            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx512f,avx512vl,avx512dq,avx512bw,avx2,fma")]
                fn avx512<T: $bound>($($x: $type),*) $(-> $result)? {
                    body::<T, true>($($x),*)
                }
                #[target_feature(enable = "avx2,fma")]
                fn avx2<T: $bound>($($x: $type),*) $(-> $result)? {
                    body::<T, true>($($x),*)
                }
                // A wrapper here too keeps the body in one piece until all three take it in.
                #[target_feature(enable = "sse2")]
                fn sse2<T: $bound>($($x: $type),*) $(-> $result)? {
                    body::<T, false>($($x),*)
                }
                if const { matches!(<T as $crate::Element>::DTYPE, $crate::DType::F32 | $crate::DType::BF16) } {
                    if $crate::cpu::simd::has_avx512() {
                        // SAFETY: the processor was just asked for these features.
                        return unsafe { avx512($($x),*) };
                    }
                    if $crate::cpu::simd::has_avx2() {
                        // SAFETY: the processor was just asked for these features.
                        return unsafe { avx2($($x),*) };
                    }
                }
                // SAFETY: every processor of this architecture has SSE2.
                unsafe { sse2($($x),*) }
            }
            #[cfg(not(target_arch = "x86_64"))]
            body::<T, { cfg!(target_arch = "aarch64") }>($($x),*)
        }
    )*};
}
pub(crate) use vectorize;

/// Whether this processor has the parts of AVX-512 that loops are compiled for.
#[inline(always)]
pub(crate) fn has_avx512() -> bool {
    #[cfg(target_arch = "x86_64")]
    return is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512vl")
        && is_x86_feature_detected!("avx512dq")
        && is_x86_feature_detected!("avx512bw");
    #[cfg(not(target_arch = "x86_64"))]
    false
}

/// Whether this processor multiplies and rounds bf16, 16 at a time; others do so in f32.
#[inline(always)]
pub(crate) fn has_bf16() -> bool {
    #[cfg(target_arch = "x86_64")]
    return has_avx512() && is_x86_feature_detected!("avx512bf16");
    #[cfg(not(target_arch = "x86_64"))]
    false
}

/// Whether this processor has AVX2 and its companion for products and sums.
#[inline(always)]
pub(crate) fn has_avx2() -> bool {
    #[cfg(target_arch = "x86_64")]
    return is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma");
    #[cfg(not(target_arch = "x86_64"))]
    false
}

/// Whether there are 32 vector registers. On x86 only AVX-512 has them; before there are 16.
#[inline(always)]
pub(crate) fn has_32_registers() -> bool {
    has_avx512() || cfg!(target_arch = "aarch64")
}

/// A computation in f32 that is written with registers.
pub(crate) trait Kernel {
    /// Does it with registers of type V. To be `#[inline(always)]`, with all it calls.
    fn run<V: Lanes<f32>>(self);
}

/// Runs a kernel with the widest registers that this processor has.
#[inline]
pub(crate) fn run_widest(kernel: impl Kernel) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{__m256, __m512};
        #[target_feature(enable = "avx512f,avx512vl,avx512dq,avx512bw,avx2,fma")]
        fn avx512(kernel: impl Kernel) {
            kernel.run::<__m512>();
        }
        #[target_feature(enable = "avx2,fma")]
        fn avx2(kernel: impl Kernel) {
            kernel.run::<__m256>();
        }
        if has_avx512() {
            // SAFETY: the processor was just asked for these features.
            return unsafe { avx512(kernel) };
        }
        if has_avx2() {
            // SAFETY: the processor was just asked for these features.
            return unsafe { avx2(kernel) };
        }
    }
    #[cfg(target_arch = "aarch64")]
    kernel.run::<std::arch::aarch64::float32x4_t>();
    #[cfg(not(target_arch = "aarch64"))]
    kernel.run::<[f32; 4]>();
}

/// y = x, by the instruction that rounds 16 at once to bf16, and takes those that are subnormal for
/// 0; false where there is none.
pub(crate) fn round(x: &[f32], y: &mut [bf16]) -> bool {
    #[cfg(target_arch = "x86_64")]
    if has_bf16() {
        // SAFETY: the processor was just asked.
        unsafe { x86::round(x, y) };
        return true;
    }
    let _ = (x, y);
    false
}

/// Begins to fetch what lies at an address, on x86; any address will do.
#[inline(always)]
pub(crate) fn prefetch(at: *const i8) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a prefetch of any address is harmless.
    unsafe {
        std::arch::x86_64::_mm_prefetch::<{ std::arch::x86_64::_MM_HINT_T0 }>(at)
    };
    #[cfg(not(target_arch = "x86_64"))]
    let _ = at;
}
