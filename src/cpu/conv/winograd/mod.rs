//! Convolution with fewer multiplications, by Winograd's minimal filtering.
//!
//! Two neighbouring outputs of a kernel with two taps,
//!
//! ```text
//! y0 = x0 g0 + x1 g1        y1 = x1 g0 + x2 g1,
//! ```
//!
//! take four multiplications as they stand. F(2, 2) takes three:
//!
//! ```text
//! m0 = (x0 - x1) g0         m1 = x1 (g0 + g1)         m2 = (x1 - x2) g1
//! y0 = m0 + m1              y1 = m1 - m2
//! ```
//!
//! Both outputs contain x1 times a tap, and share m1 = x1 g0 + x1 g1. For y0 the part x1 g0 is
//! wrong and x0 g0 is missing, so m0 = x0 g0 - x1 g0 is added. For y1 the part x1 g1 is wrong and
//! x2 g1 is missing, so m2 = x1 g1 - x2 g1 is subtracted.
//!
//! Along both axes a tile of 2 x 2 outputs takes 9 multiplications instead of 16; with three taps,
//! F(2x2, 3x3), 16 instead of 36, which is 4 an output instead of 9. These 9 or 16 are the
//! *products* of a tile. With channels, the factors of product p are one element p of a transformed
//! tile for each input channel, and of a transformed filter for each pair of channels: so p is a
//! GEMM of its own, run by GEMM's micro-kernel. The transforms before and after are few additions
//! in comparison: with C channels, about C for every C^2 multiplications.
//!
//! ```text
//! for each phase pair and component:
//!     U[p] = (G g G^T)[p]  for each p           [c_in, c_out]         filter transform
//! for each phase pair and batch of 64 tiles:
//!     for each component:
//!         V[p] = (B^T X B)[p]  for each p       [tiles, c_in]         input transform
//!         M[p] += V[p] U[p]  for each p         [tiles, c_in] x [c_in, c_out] -> [tiles, c_out]
//!     Y = A^T M A + bias                        [tiles, 2, 2, c_out]  output transform
//! ```
//!
//! With few channels the transforms are most of the work, and [`in_registers`] keeps transformed
//! inputs in L1 and products in registers.
//!
//! **Rounding.** All coefficients are 0, 1, -1 and 1/2. So for each axis an input transform adds
//! one rounding, a filter transform two and an output transform two, and no factor is large.
//! Results are about as exact as plain sums: for operands of variance 1 `tests/ops/conv2d/fast.rs`
//! holds each within 2 eps times the number of its terms of what f64 gives, as products are held
//! in `tests/ops/matmul.rs`, and `cpu/conv/tests.rs` derives from the coefficients what the errors
//! may be in the mean. Larger tiles, such as F(4, 3), have coefficients up to 8 and are less
//! exact.
//!
//! A strided convolution is split into components of stride 1 ([`components`]), a transposed one by
//! output phase. So a kernel of 4 x 4 with stride 2 is four kernels of 2 x 2: components that are
//! summed (conv2d), or phases whose outputs are interleaved (conv_transpose2d).
//!
//! Source: S. Winograd, "Arithmetic Complexity of Computations" (1980); A. Lavin and S. Gray, "Fast
//! Algorithms for Convolutional Neural Networks" (arXiv 1509.09308).

mod components;
mod convolution;
mod in_registers;
mod tiles;
mod transforms;
mod weight;

pub(crate) use components::Components;
pub(crate) use in_registers::MAX_CHANNELS_IN;
pub(crate) use tiles::VECTOR;
pub(crate) use weight::backward_weight;

use half::bf16;

use convolution::Convolution;

use crate::cpu::conv::plan::ConvPlan;
use crate::cpu::gemm::Epilogue;
use crate::tensor::dtype::{as_type, as_type_mut};
use crate::{DType, Stored};

/// How a convolution is computed, from the choice in `conv`.
pub(crate) struct Winograd {
    pub components: Components,
    /// Whether products stay in registers, and transformed inputs in L1.
    pub in_registers: bool,
}

impl Winograd {
    /// y = the convolution of each image of x, which is of f32 or bf16.
    pub fn convolve<T: Stored>(
        self,
        plan: &ConvPlan<T>,
        x: &[T],
        y: &mut [T],
        epilogue: Epilogue<T>,
    ) {
        match T::DTYPE {
            DType::F32 => self.convolve_as::<T, f32>(plan, x, y, epilogue),
            _ => self.convolve_as::<T, bf16>(plan, x, y, epilogue),
        }
    }

    /// As `convolve`, where T is S.
    fn convolve_as<T: Stored, S: Stored<Compute = f32>>(
        self,
        plan: &ConvPlan<T>,
        x: &[T],
        y: &mut [T],
        epilogue: Epilogue<T>,
    ) {
        let (Some(plan), Some(x), Some(y)) = (plan.as_type::<S>(), as_type(x), as_type_mut(y))
        else {
            unreachable!("Winograd's algorithm is chosen for f32 and bf16 only");
        };
        let convolution = Convolution {
            plan: &plan,
            components: &self.components,
            in_registers: self.in_registers,
        };
        convolution.run(x, y, &|start, part| {
            let part = as_type_mut(part).expect("T is S");
            epilogue(start, part);
        });
    }
}
