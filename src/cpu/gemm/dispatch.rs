//! Which micro-kernel runs: chosen by the element type at compile time, by the CPU at run time, and
//! for bf16 on CPUs with AMX by the sizes too.
//!
//! | the CPU has | f32 | bf16 | f64 |
//! |---|---|---|---|
//! | AMX (Intel) | AVX-512 | AMX tiles, a last panel of at most 16 columns by VDPBF16PS; products of fewer than 16 terms or at most 16 columns as f32 | portable |
//! | AVX512-BF16 (except Intel's) | AVX-512 | VNNI pairs, by VDPBF16PS | portable |
//! | AVX-512 otherwise (Intel's with AVX512-BF16 but not AMX too) | AVX-512 | converted to f32 while it is packed | portable |
//! | AVX2 | AVX2 | the same | portable |
//! | NEON | NEON | the same | portable |
//! | none of these | portable | the same | portable |
//!
//! f64 multiplies by this loop in convolutions alone; its matrix products are the crate
//! `matrixmultiply`'s.

use half::bf16;

use super::accumulator::Accumulator;
#[cfg(target_arch = "x86_64")]
use super::amx;
use super::blocking::{MR, MR_F64, dot_width, nr};
use super::epilogue::Accumulate;
use super::indirection::RowOffsets;
use super::microkernel::{OutputPanel, PanelTiles, TileProduct};
#[cfg(target_arch = "aarch64")]
use super::neon;
#[cfg(target_arch = "x86_64")]
use super::x86;
#[cfg(target_arch = "x86_64")]
use crate::cpu::simd::has_bf16;
#[cfg(target_arch = "x86_64")]
use crate::cpu::simd::{has_avx2, has_avx512, is_intel};
use crate::{Element, Stored};

/// An element type that micro-kernels multiply: operands are packed as it.
pub(crate) trait Microkernel: Stored {
    /// Computes the tiles of a panel with the widest micro-kernel that this CPU has.
    ///
    /// # Safety
    /// The largest offsets have been compared with the lengths of A, B and C.
    unsafe fn run<O: Stored<Compute = Self::Compute>>(
        product: &TileProduct<'_, Self>,
        to: &mut PanelTiles<'_, O>,
    );
}

/// Whether this CPU multiplies elements of type T as they are stored, in sums of so many `terms`
/// (in a convolution, the input channels of one tap) and so many columns of C. Others are converted
/// to their compute type while they are packed.
pub(crate) fn multiplies_natively<T: Stored>(terms: usize, columns: usize) -> bool {
    if T::DTYPE == T::Compute::DTYPE {
        return true;
    }
    // AMX tiles pay from half a tile of terms on, and from more than half a panel of columns; with
    // less they are mostly empty, and f32 is faster.
    let fills_tiles = 2 * terms >= TILE_TERMS && 2 * columns > nr::<T>();
    has_fast_bf16() && (fills_tiles || !multiplies_by_tiles::<T>())
}

/// Terms of an AMX tile: a product by tiles takes so many at a time.
pub(crate) const TILE_TERMS: usize = 32;

/// Whether elements of type F are multiplied by AMX tiles, which read the VNNI pairs of a row of A
/// side by side.
pub(crate) fn multiplies_by_tiles<F: Stored>() -> bool {
    #[cfg(target_arch = "x86_64")]
    return F::DTYPE == bf16::DTYPE && amx::has_amx();
    #[cfg(not(target_arch = "x86_64"))]
    false
}

/// Whether bf16 is multiplied faster as it is than converted to f32.
///
/// AMX tiles are 16 times as fast as f32's FMAs. VDPBF16PS has twice the rate of these on AMD's
/// CPUs and half of it on Intel's, where f32 moreover takes Winograd's algorithm. This is asked of
/// the vendor, not of a clock: results must not depend on a measurement.
fn has_fast_bf16() -> bool {
    #[cfg(target_arch = "x86_64")]
    return amx::has_amx() || has_bf16() && !is_intel();
    #[cfg(not(target_arch = "x86_64"))]
    false
}

impl Microkernel for f32 {
    /// # Safety
    /// As declared.
    unsafe fn run<O: Stored<Compute = f32>>(
        product: &TileProduct<'_, f32>,
        to: &mut PanelTiles<'_, O>,
    ) {
        // SAFETY: the caller's promise, and the CPU was asked for the instructions.
        unsafe {
            #[cfg(target_arch = "x86_64")]
            if has_avx512() {
                return x86::avx512(product, to);
            } else if has_avx2() {
                return x86::avx2(product, to);
            }
            #[cfg(target_arch = "aarch64")]
            neon::neon(product, to);
            #[cfg(not(target_arch = "aarch64"))]
            portable::<_, _, MR>(product, to);
        }
    }
}

impl Microkernel for bf16 {
    /// # Safety
    /// As declared.
    unsafe fn run<O: Stored<Compute = f32>>(
        product: &TileProduct<'_, bf16>,
        to: &mut PanelTiles<'_, O>,
    ) {
        // SAFETY: the caller's promise, and the CPU was asked for the instructions.
        unsafe {
            #[cfg(target_arch = "x86_64")]
            if amx::has_amx() && amx::applies(product, to) {
                return amx::amx(product, to);
            } else if has_bf16() {
                return x86::avx512_bf16(product, to);
            }
            // In tests alone: such a CPU multiplies bf16 as f32.
            portable::<_, _, MR>(product, to)
        }
    }
}

/// The oracle, for convolutions (GEMM itself uses `dgemm`): the micro-kernel's loop over plain
/// arrays for vectors, without the instructions of the kernels that it judges.
impl Microkernel for f64 {
    /// # Safety
    /// As declared.
    unsafe fn run<O: Stored<Compute = f64>>(
        product: &TileProduct<'_, f64>,
        to: &mut PanelTiles<'_, O>,
    ) {
        // SAFETY: the caller's promise.
        unsafe { portable::<_, _, MR_F64>(product, to) }
    }
}

impl<T: Microkernel> TileProduct<'_, T> {
    /// C\[i, first + j\] = `accumulate` + the sum over all terms p of A\[i, p\] B\[p, j\], for each
    /// of `rows` and each of the columns of `output`. `rows` says where row i begins in A and in C,
    /// `panel` at which element of B its panel begins, the segments where term p lies from both.
    pub fn tiles<O: Stored<Compute = T::Compute>>(
        &self,
        rows: &RowOffsets,
        panel: usize,
        accumulate: Accumulate<'_, O>,
        output: OutputPanel<'_, O>,
    ) {
        // Without rows nothing is read or written, so there is nothing to compare: a band of a
        // strided convolution's output may hold no row of some phase, whose terms then need not lie
        // within the band's input.
        if rows.tiles.is_empty() {
            return;
        }
        let accumulate = accumulate.skip(output.first);
        assert!(
            output.columns <= nr::<T>(),
            "a tile is at most as wide as a panel"
        );
        assert!(
            !matches!(accumulate, Accumulate::Bias(bias) if bias.len() < output.columns),
            "the bias is as long as a row"
        );
        let [last_a, last_c] = rows.last;
        assert!(
            last_c + output.first + output.columns <= output.c.len(),
            "rows lie within C"
        );
        let [end_a, end_b] = self.ends;
        if end_a > 0 {
            assert!(last_a + end_a <= self.a.len(), "terms lie within A");
            // Half a panel is read, or a whole one.
            let width = output.columns.next_multiple_of(nr::<T>() / 2);
            assert!(
                panel + end_b + (width - 1) * dot_width::<T>() <= self.b.len(),
                "and within B"
            );
        }
        let mut to = PanelTiles {
            rows,
            panel,
            accumulate,
            output,
        };
        // SAFETY: the largest offsets were compared with the lengths.
        unsafe { T::run(self, &mut to) };
    }
}

/// The micro-kernel for any CPU: R rows, four columns wide.
///
/// # Safety
/// As `TileProduct::row_tiles`.
unsafe fn portable<T: Stored, O: Stored<Compute = T::Compute>, const R: usize>(
    product: &TileProduct<'_, T>,
    to: &mut PanelTiles<'_, O>,
) where
    [T::Compute; 4]: Accumulator<T>,
{
    for first in (0..to.output.columns).step_by(4) {
        // SAFETY: the caller's promise.
        unsafe { product.row_tiles::<[T::Compute; 4], O, 1, R>(to, first) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::gemm::blocking::tile_rows;
    #[cfg(target_arch = "x86_64")]
    use crate::cpu::gemm::blocking::tile_rows_avx2;
    use crate::cpu::gemm::microkernel::KSegment;

    /// A micro-kernel, and the rows of its tiles of some columns.
    ///
    /// # Safety
    /// As `Microkernel::run`.
    type Kernel<T, O> = (
        unsafe fn(&TileProduct<'_, T>, &mut PanelTiles<'_, O>),
        fn(usize) -> usize,
    );

    fn integers<T: Stored>(count: usize) -> Vec<T> {
        (0..count)
            .map(|i| T::from_f64((i * 7919 % 17) as f64))
            .collect()
    }

    /// Integers, so that every order of additions and every instruction set gives the same bits.
    fn kernels_agree<T: Microkernel, O: Stored<Compute = T::Compute>>(others: &[Kernel<T, O>]) {
        let (width, terms, t) = (nr::<T>(), 37, dot_width::<T>());
        let (a, b, bias) = (
            integers::<T>(2 * MR * terms * t),
            integers::<T>(terms * width * t),
            integers::<O>(width),
        );
        let segments = [KSegment {
            a: 0,
            b: 0,
            len: terms,
        }];
        let product = TileProduct::new(&a, &b, [t, t * width], &segments);
        let dispatched: Kernel<T, O> = (T::run, tile_rows::<T>);
        for (columns, rows) in [1, 3, 4, 8, width / 2, width - 5, width]
            .into_iter()
            .flat_map(|columns| [3, MR + 7].map(|rows| (columns, rows)))
        {
            // By the definition. Elements outside the columns stay as they are.
            let want = |i: usize, j: usize| {
                let b = |p: usize| b[(p / t * width + j) * t + p % t].to_f64();
                let products = (0..terms * t).map(|p| a[i * terms * t + p].to_f64() * b(p));
                match j < columns {
                    true => O::from_f64(products.sum::<f64>() + bias[j].to_f64()),
                    false => O::from_f64(1.0),
                }
            };
            let want: Vec<O> = (0..rows * width)
                .map(|at| want(at / width, at % width))
                .collect();
            for (kernel, height) in others.iter().chain([&dispatched]) {
                let steps = [terms * t, width];
                let rows =
                    RowOffsets::of_height(height(columns), [[0, 0]].into_iter(), rows, steps);
                let mut c = vec![O::from_f64(1.0); want.len()];
                let mut to = PanelTiles {
                    rows: &rows,
                    panel: 0,
                    accumulate: Accumulate::Bias(&bias),
                    output: OutputPanel {
                        c: &mut c,
                        first: 0,
                        columns,
                    },
                };
                // SAFETY: all offsets lie within the slices made above; `others` are micro-kernels
                // that this CPU has.
                unsafe { kernel(&product, &mut to) };
                assert!(c == want, "{columns} columns");
            }
        }
    }

    #[test]
    fn every_micro_kernel_computes_the_same() {
        // AVX2's is compared on CPUs too that have AVX-512.
        #[cfg(target_arch = "x86_64")]
        if has_avx2() {
            kernels_agree::<f32, f32>(&[(x86::avx2, tile_rows_avx2::<f32>)]);
            kernels_agree::<f32, bf16>(&[(x86::avx2, tile_rows_avx2::<f32>)]);
        }
        kernels_agree::<f32, f32>(&[(portable::<_, _, MR>, |_| MR)]);
        kernels_agree::<f32, bf16>(&[(portable::<_, _, MR>, |_| MR)]);
        kernels_agree::<f64, f64>(&[]);
        // VNNI pairs are compared on CPUs too that have tiles.
        #[cfg(target_arch = "x86_64")]
        if has_bf16() {
            kernels_agree::<bf16, f32>(&[(x86::avx512_bf16, |_| MR)]);
            kernels_agree::<bf16, bf16>(&[(x86::avx512_bf16, |_| MR)]);
        }
        kernels_agree::<bf16, f32>(&[(portable::<_, _, MR>, |_| MR)]);
        kernels_agree::<bf16, bf16>(&[(portable::<_, _, MR>, |_| MR)]);
    }
}
