//! SIMD, with the instruction set chosen at run time.
//!
//! The compiler vectorizes plain loops over slices, but only with instructions that every CPU of
//! the target has: SSE2 on x86-64, while this CPU may have AVX-512. So [`vectorize`] compiles a hot
//! loop for SSE2, AVX2 and AVX-512 and runs the widest version that the CPU has. Loops over f64,
//! which tests compute in, are the same text compiled for SSE2 only, which halves the time that a
//! build takes. So where f64 judges f32 it judges rounding and instructions, not the text: that is
//! compared with plain definitions.
//!
//! What a plain loop cannot express, such as keeping a tile in registers, is written with
//! [`Lanes`], one type for each register width, and run by [`run_widest`].

pub(crate) mod convert;
mod lanes;
pub(crate) mod math;
#[cfg(target_arch = "aarch64")]
mod neon;
pub(crate) mod trig;
#[cfg(target_arch = "x86_64")]
mod words;
#[cfg(target_arch = "x86_64")]
pub(crate) mod x86;

use half::bf16;

pub(crate) use lanes::Lanes;

/// Defines functions over elements of type `T` whose loops are compiled for several instruction
/// sets; each call runs the widest version that this CPU has.
///
/// The body is inlined into one wrapper for each instruction set, since only what is inlined there
/// is compiled for it. (A closure would be called by all wrappers, and the compiler inlines what
/// has several callers only if it is small.) So a body should be plain loops over slices that call
/// `#[inline(always)]` functions. Where it has a choice of formulas, it should match first and then
/// run a loop for each.
///
/// All versions give the same bits, since Rust never contracts a multiplication and an addition to
/// an FMA by itself. A body may ask for an FMA where the constant `FUSED` says that this version
/// has one; then bits differ between CPUs.
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
    ($($(#[$attribute:meta])* $vis:vis fn $name:ident<T: $bound:ident>($($x:ident: $type:ty),* $(,)?) $(-> $result:ty)? $body:block)*) => {$(
        $(#[$attribute])*
        $vis fn $name<T: $bound>($($x: $type),*) $(-> $result)? {
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
                // Without a wrapper here the body could be split before it is inlined.
                #[target_feature(enable = "sse2")]
                fn sse2<T: $bound>($($x: $type),*) $(-> $result)? {
                    body::<T, false>($($x),*)
                }
                if const { matches!(<T as $crate::Element>::DTYPE, $crate::DType::F32 | $crate::DType::BF16) } {
                    if $crate::cpu::simd::has_avx512() {
                        // SAFETY: the CPU was just asked for these features.
                        return unsafe { avx512($($x),*) };
                    }
                    if $crate::cpu::simd::has_avx2() {
                        // SAFETY: the CPU was just asked for these features.
                        return unsafe { avx2($($x),*) };
                    }
                }
                // SAFETY: every CPU of this architecture has SSE2.
                unsafe { sse2($($x),*) }
            }
            #[cfg(not(target_arch = "x86_64"))]
            body::<T, { cfg!(target_arch = "aarch64") }>($($x),*)
        }
    )*};
}
pub(crate) use vectorize;

/// Whether this CPU has the parts of AVX-512 that loops are compiled for.
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

/// Whether this CPU multiplies VNNI pairs of bf16 and rounds f32 to bf16 (AVX512-BF16).
#[cfg(target_arch = "x86_64")]
#[inline(always)]
pub(crate) fn has_bf16() -> bool {
    has_avx512() && is_x86_feature_detected!("avx512bf16")
}

/// Whether Intel made this CPU.
#[cfg(target_arch = "x86_64")]
pub(crate) fn is_intel() -> bool {
    static INTEL: std::sync::OnceLock<bool> = std::sync::OnceLock::new();
    *INTEL.get_or_init(|| {
        let vendor = std::arch::x86_64::__cpuid(0);
        [vendor.ebx, vendor.edx, vendor.ecx]
            .map(u32::to_le_bytes)
            .as_flattened()
            == b"GenuineIntel"
    })
}

/// Whether this CPU has AVX2 and FMA.
#[inline(always)]
pub(crate) fn has_avx2() -> bool {
    #[cfg(target_arch = "x86_64")]
    return is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma");
    #[cfg(not(target_arch = "x86_64"))]
    false
}

/// Whether there are 32 vector registers. On x86-64 only AVX-512 has them; AVX2 has 16.
#[inline(always)]
pub(crate) fn has_32_registers() -> bool {
    has_avx512() || cfg!(target_arch = "aarch64")
}

/// A computation in f32 that is written with vector registers.
pub(crate) trait Kernel {
    /// Runs it with registers of type V. It and all that it calls have to be `#[inline(always)]`.
    fn run<V: Lanes<f32>>(self);
}

/// Runs a kernel with the widest registers that this CPU has.
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
            // SAFETY: the CPU was just asked for these features.
            return unsafe { avx512(kernel) };
        }
        if has_avx2() {
            // SAFETY: the CPU was just asked for these features.
            return unsafe { avx2(kernel) };
        }
    }
    #[cfg(target_arch = "aarch64")]
    kernel.run::<std::arch::aarch64::float32x4_t>();
    #[cfg(not(target_arch = "aarch64"))]
    kernel.run::<[f32; 4]>();
}

/// y = x, rounded to bf16 by the CPU's instruction, which flushes subnormals to 0. False where it
/// has none.
pub(crate) fn round(x: &[f32], y: &mut [bf16]) -> bool {
    #[cfg(target_arch = "x86_64")]
    if has_bf16() {
        // SAFETY: the CPU was just asked.
        unsafe { x86::round(x, y) };
        return true;
    }
    let _ = (x, y);
    false
}

/// Prefetches a cache line, on x86-64. Any address will do.
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
