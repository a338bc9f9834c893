//! Vector registers of all instruction sets behind one trait, and the portable one, an array.

use crate::tensor::rng::Words;
use crate::{Float, Stored};

/// A vector register of floats: what micro-kernels and Winograd's transforms are written with.
pub(crate) trait Lanes<T: Float>: Copy {
    /// How many lanes it has.
    const N: usize;
    /// A register as wide, of random words.
    type Words: Words;
    /// All lanes the same.
    fn splat(x: T) -> Self;
    /// # Safety
    /// N elements are readable at `from`; for the types of x86 the CPU has the instructions.
    unsafe fn load(from: *const T) -> Self;
    /// # Safety
    /// N elements are writable at `to`; for the types of x86 the CPU has the instructions.
    unsafe fn store(self, to: *mut T);
    /// As `load`, of the first `count` lanes; the others are 0.
    ///
    /// # Safety
    /// As `load`, of `count` elements, at most N.
    #[inline(always)]
    unsafe fn load_first(count: usize, from: *const T) -> Self {
        let mut lanes = [T::default(); 16];
        // SAFETY: the caller's promise, and no type has more than 16 lanes.
        unsafe {
            std::ptr::copy_nonoverlapping(from, lanes.as_mut_ptr(), count);
            Self::load(lanes.as_ptr())
        }
    }
    /// As `store`, of the first `count` lanes.
    ///
    /// # Safety
    /// As `store`, of `count` elements, at most N.
    #[inline(always)]
    unsafe fn store_first(self, count: usize, to: *mut T) {
        let mut lanes = [T::default(); 16];
        // SAFETY: the caller's promise, and no type has more than 16 lanes.
        unsafe {
            self.store(lanes.as_mut_ptr());
            std::ptr::copy_nonoverlapping(lanes.as_ptr(), to, count);
        }
    }
    /// As `load_first`, converted from a storage type.
    ///
    /// # Safety
    /// As `load_first`.
    #[inline(always)]
    unsafe fn load_converted<S: Stored<Compute = T>>(count: usize, from: *const S) -> Self {
        // SAFETY: the caller's promise; types with one name are one type; no type has more than 16
        // lanes.
        unsafe {
            if S::DTYPE == T::DTYPE {
                return if count == Self::N {
                    Self::load(from.cast())
                } else {
                    Self::load_first(count, from.cast())
                };
            }
            let (mut stored, mut lanes) = ([S::default(); 16], [T::ZERO; 16]);
            std::ptr::copy_nonoverlapping(from, stored.as_mut_ptr(), count);
            // A loop, not `map`: a closure may not be compiled for these instructions.
            for i in 0..Self::N {
                lanes[i] = stored[i].to_compute();
            }
            Self::load(lanes.as_ptr())
        }
    }
    /// As `store_first`, rounded to a storage type.
    ///
    /// # Safety
    /// As `store_first`.
    #[inline(always)]
    unsafe fn store_converted<S: Stored<Compute = T>>(self, count: usize, to: *mut S) {
        // SAFETY: as in `load_converted`.
        unsafe {
            if S::DTYPE == T::DTYPE {
                return if count == Self::N {
                    self.store(to.cast())
                } else {
                    self.store_first(count, to.cast())
                };
            }
            let (mut stored, mut lanes) = ([S::default(); 16], [T::ZERO; 16]);
            self.store(lanes.as_mut_ptr());
            for i in 0..Self::N {
                stored[i] = S::from_compute(lanes[i]);
            }
            std::ptr::copy_nonoverlapping(stored.as_ptr(), to, count);
        }
    }
    /// The first N elements of a slice.
    #[inline(always)]
    fn read<S: Stored<Compute = T>>(from: &[S]) -> Self {
        assert!(from.len() >= Self::N, "a register is filled");
        // SAFETY: the length was compared; only kernels compiled for its instructions use this
        // type.
        unsafe { Self::load_converted(Self::N, from.as_ptr()) }
    }
    /// Writes the first N elements of a slice.
    #[inline(always)]
    fn write<S: Stored<Compute = T>>(self, to: &mut [S]) {
        assert!(to.len() >= Self::N, "a register is written whole");
        // SAFETY: as in `read`.
        unsafe { self.store_converted(Self::N, to.as_mut_ptr()) }
    }
    /// N x N registers of a slice, whose rows and columns are `apart` elements from one another.
    #[inline(always)]
    fn read_square<S: Stored<Compute = T>, const N: usize>(
        from: &[S],
        apart: [usize; 2],
    ) -> [[Self; N]; N] {
        assert!(
            from.len() >= reach(N, apart, Self::N),
            "the square lies within the slice"
        );
        let mut square = [[Self::splat(T::ZERO); N]; N];
        for i in 0..N {
            for j in 0..N {
                // SAFETY: the length was compared with where the last register ends; as to
                // instructions, as in `read`.
                square[i][j] = unsafe {
                    Self::load_converted(Self::N, from.as_ptr().add(i * apart[0] + j * apart[1]))
                };
            }
        }
        square
    }
    /// Writes N x N registers to a slice, as `read_square` reads them.
    #[inline(always)]
    fn write_square<S: Stored<Compute = T>, const N: usize>(
        square: [[Self; N]; N],
        to: &mut [S],
        apart: [usize; 2],
    ) {
        assert!(
            to.len() >= reach(N, apart, Self::N),
            "the square lies within the slice"
        );
        for i in 0..N {
            for j in 0..N {
                // SAFETY: as in `read_square`.
                unsafe {
                    square[i][j]
                        .store_converted(Self::N, to.as_mut_ptr().add(i * apart[0] + j * apart[1]))
                };
            }
        }
    }
    /// self + b.
    fn add(self, b: Self) -> Self;
    /// self - b.
    fn sub(self, b: Self) -> Self;
    /// self + a b, by an FMA where the CPU has one.
    fn add_product(self, a: Self, b: Self) -> Self;
}

/// The end of the last of n x n registers.
#[inline(always)]
fn reach(n: usize, apart: [usize; 2], register: usize) -> usize {
    (n - 1)
        .saturating_mul(apart[0].saturating_add(apart[1]))
        .saturating_add(register)
}

impl<T: Float> Lanes<T> for [T; 4] {
    const N: usize = 4;
    type Words = [u64; 16];
    #[inline(always)]
    fn splat(x: T) -> Self {
        [x; 4]
    }
    #[inline(always)]
    unsafe fn load(from: *const T) -> Self {
        // SAFETY: the caller's promise; an array is aligned as its elements.
        unsafe { *from.cast() }
    }
    #[inline(always)]
    unsafe fn store(self, to: *mut T) {
        // SAFETY: the caller's promise; an array is aligned as its elements.
        unsafe { *to.cast() = self }
    }
    #[inline(always)]
    fn add(self, b: Self) -> Self {
        std::array::from_fn(|i| self[i] + b[i])
    }
    #[inline(always)]
    fn sub(self, b: Self) -> Self {
        std::array::from_fn(|i| self[i] - b[i])
    }
    #[inline(always)]
    fn add_product(self, a: Self, b: Self) -> Self {
        std::array::from_fn(|i| self[i] + a[i] * b[i])
    }
}

/// Implements [`Lanes`] for registers by the names of their intrinsics. Masked loads and stores are
/// left out where there are none.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
macro_rules! registers {
    ($($t:ty, $v:ty, $n:literal, $words:ty: $splat:ident $load:ident $store:ident $add:ident $sub:ident $fma:ident $($mask:ident $load_first:ident $store_first:ident)?;)*) => {$(
        impl Lanes<$t> for $v {
            const N: usize = $n;
            type Words = $words;
            #[inline(always)]
            fn splat(x: $t) -> Self {
                // SAFETY: only kernels compiled for these instructions use this type.
                unsafe { $splat(x) }
            }
            #[inline(always)]
            unsafe fn load(from: *const $t) -> Self {
                // SAFETY: the caller's promise; no alignment is asked for.
                unsafe { $load(from) }
            }
            #[inline(always)]
            unsafe fn store(self, to: *mut $t) {
                // SAFETY: the caller's promise; no alignment is asked for.
                unsafe { $store(to, self) }
            }
            $(
                #[inline(always)]
                unsafe fn load_first(count: usize, from: *const $t) -> Self {
                    // SAFETY: the caller's promise; lanes that are masked out are not touched.
                    unsafe { $load_first(((1u32 << count) - 1) as $mask, from) }
                }
                #[inline(always)]
                unsafe fn store_first(self, count: usize, to: *mut $t) {
                    // SAFETY: the caller's promise; lanes that are masked out are not touched.
                    unsafe { $store_first(to, ((1u32 << count) - 1) as $mask, self) }
                }
            )?
            #[inline(always)]
            fn add(self, b: Self) -> Self {
                // SAFETY: only kernels compiled for these instructions use this type.
                unsafe { $add(self, b) }
            }
            #[inline(always)]
            fn sub(self, b: Self) -> Self {
                // SAFETY: only kernels compiled for these instructions use this type.
                unsafe { $sub(self, b) }
            }
            #[inline(always)]
            fn add_product(self, a: Self, b: Self) -> Self {
                // SAFETY: only kernels compiled for these instructions use this type.
                unsafe { $fma(a, b, self) }
            }
        }
    )*};
}
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
pub(super) use registers;
