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
//! In two dimensions x_i and g_i are rows, and each of the three products is a convolution of two
//! rows, which takes three multiplications in its turn: 9 for a tile of 2 x 2 outputs, instead of
//! 16. With three taps, F(2x2, 3x3), it is 16 instead of 36, which is 4 an output instead of 9.
//! These 9 or 16 are the *products* of a tile. With channels, the factors of product p are one
//! element p of a transformed tile for each input channel, and of a transformed filter for each
//! pair of channels: so p is a GEMM of its own, run by GEMM's micro-kernel. The transforms before
//! and after are additions whose number grows with the channels C, that of the multiplications
//! with C^2: 56 C and 16 C^2 a tile of F(2x2, 3x3).
//!
//! ```text
//! for each phase pair (`plan`: a vertical and a horizontal phase) and component:
//!     U[p] = (G g G^T)[p]  for each p           [c_in, c_out]         filter transform
//! for each phase pair and batch of 64 tiles:
//!     M = 0
//!     for each component of the pair:
//!         V[p] = (B^T X B)[p]  for each p       [tiles, c_in]         input transform
//!         M[p] += V[p] U[p]  for each p         [tiles, c_in] x [c_in, c_out] -> [tiles, c_out]
//!     Y = A^T M A + bias                        [tiles, 2, 2, c_out]  output transform
//! ```
//!
//! With few channels the transforms are most of the work. For kernels of 2 x 2 taps
//! [`in_registers`] then keeps transformed inputs in L1 and products in registers. (The 16 products
//! of 3 x 3 taps leave room for one tile in 32 registers, where each vector of the filter that is
//! loaded would serve one FMA: with few channels such kernels are indirect.) GPUs have no kernel of
//! this algorithm.
//!
//! **Rounding.** All coefficients are 0, 1, -1 and 1/2, and halving is exact. For each axis an
//! element of a transformed input is one addition, of a filter or an output at most two.
//! `cpu/conv/tests.rs` derives from the coefficients what the errors may be in the mean, for
//! operands of variance 1. Compared with plain sums, each in one chain, that is 5/9 for many
//! channels in F(2x2, 3x3), whose chains have c_in terms instead of 9 c_in, and 0.64 for 64
//! channels, where the transforms' roundings count; in F(2x2, 2x2) it is 1, and 1.16.
//! `tests/ops/conv2d/fast.rs` holds each result within 2 eps times the number of its terms, as
//! products are held in `tests/ops/matmul.rs`. Larger tiles, such as F(4, 3), have coefficients up
//! to 8 and are less exact.
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
