//! Convolution on the CPU, NHWC.
//!
//! A window slides over the *big* image, and the *small* image has one pixel for each of its
//! places: input and output of conv2d, output and input of conv_transpose2d. Pixel (i, j) of the
//! small image meets, through kernel element (ky, kx), pixel (y, x) = (i, j) stride - padding +
//! (ky, kx) dilation of the big one. The three operations of a layer are one loop nest, summed into
//! one of its three operands:
//!
//! ```text
//! for each image n, pixel (i, j), kernel element (ky, kx) with (y, x) inside the big image,
//!     channel s of the small and b of the big image:
//!         forward:          small[n, i, j, s] += big[n, y, x, b]   weight[s, ky, kx, b]
//!         transposed:       big[n, y, x, b]   += small[n, i, j, s] weight[s, ky, kx, b]
//!         backward_weight:  dw[s, ky, kx, b]  += small[n, i, j, s] big[n, y, x, b]
//! ```
//!
//! Why these are the gradients: `forward` adds big\[y, x, b\] weight\[s, ky, kx, b\] to small\[i,
//! j, s\]. By the chain rule the gradient of small, dy\[i, j, s\], times weight\[s, ky, kx, b\] is
//! then added to dx\[y, x, b\], and times big\[y, x, b\] to dw\[s, ky, kx, b\]. The first of these
//! scatters each pixel of a small image over a window of a big one, which is the definition of
//! conv_transpose2d. So `transposed` is that op's forward pass and conv2d's input gradient, and
//! `forward` is conv2d and the input gradient of conv_transpose2d: each is the other's adjoint (as
//! a matrix, its transpose). [`reference`](mod@reference) is this loop nest in code.
//!
//! What makes it fast:
//!
//! 1. Channels are the innermost axis, so every algorithm is vectorised along them, whatever the
//!    window. GEMM's micro-kernel does the multiply-adds of the indirect algorithm, of Winograd's
//!    where it does not run in registers, and of the weight's gradients but the depthwise one.
//! 2. im2col's matrix is not written: the micro-kernel is told where each window begins
//!    ([`indirect`]).
//! 3. A transposed convolution is split by output phase into convolutions of stride 1 ([`plan`]),
//!    so no inserted zero is multiplied: with a kernel of k x k and stride s an output takes
//!    (k / s)^2 multiplications for each input channel, on average, instead of k^2.
//! 4. Kernels that split into 3 x 3 or 2 x 2 ones of stride 1 take 2.25 and 1.8 times fewer
//!    multiplications ([`winograd`]).
//! 5. Padding costs no branch in the multiply-add loops. An indirect convolution without padding
//!    reads the image itself, if that holds the type and the channels that are multiplied; else
//!    each band is copied with its zeros ([`padded`]), about once the image, where im2col would
//!    write it kh kw times. Depthwise ones copy into blocks of channels. Winograd's transforms read
//!    a whole tile after one check, and branch at the border only, once for a pixel and a vector of
//!    channels. Gradients of the weight, Winograd's excepted, take a padded copy, or know for each
//!    row which pixels exist: im2col's, and a depthwise one in f64, with dilated rows, or whose
//!    copy would be nearly all padding.
//! 6. The bias is added where y is computed, as a pass of its own would read and write all of y
//!    again: the accumulators of the first block of terms start from it, and Winograd's output
//!    transform adds it. The statistics for a BatchNorm behind a transposed convolution are taken
//!    by an epilogue from each part of y while that is in a cache, so y is read once less. conv2d
//!    takes none: of WaveMix only the variants without a wavelet transform (`Mixing::Identity`,
//!    `Mixing::Dft`) have a BatchNorm right behind one. ResNet, U-Net and MobileNet do, and read y
//!    once more for it.
//!
//! | the first row that fits, of `forward` and `transposed` (for f32 and 64 -> 64 channels, unless the row names others) | algorithm |
//! |---|---|
//! | conv2d of 1 x 1, stride 1, no padding, one group | none of these: the op is `linear` |
//! | splits into 2 x 2 kernels (2 x 2; 4 x 4 of stride 2), 16 or 32 -> up to 64, on CPUs with AVX-512 or NEON | Winograd F(2x2, 2x2) in registers |
//! | splits into 3 x 3 kernels (3 x 3; 6 x 6 of stride 2), c_in c_out of at least 2048 | Winograd F(2x2, 3x3) |
//! | splits into 2 x 2 kernels (2 x 2; 4 x 4 of stride 2), c_in c_out of at least 2048 | Winograd F(2x2, 2x2) |
//! | what a task reads spans more than 2^24 elements, padding included | the definition |
//! | depthwise, any window | depthwise |
//! | all others: 3 x 3 or 5 x 5 of stride 2, 7 x 7, dilated | indirect |
//!
//! Winograd's rows are for one group, channels in multiples of 16, and products in f32: neither f64
//! nor bf16 that is multiplied by AMX tiles or in VNNI pairs takes them. A strided conv2d is split
//! into components, a transposed convolution into phases; all of them must have 2 taps along both
//! axes, or all 3. With stride 2 a 3 x 3 kernel has 2 and 1, a 5 x 5 has 3 and 2, a 7 x 7 has 4 and
//! 3: so these are indirect, forward and in the input gradient. A 4 x 4 of stride 2 is four 2 x 2
//! kernels: Winograd's, with enough channels.
//!
//! Which of these computes a given layer is decided in one place, [`choose`] and, for the weight's
//! gradient, [`choose_for_weight`], once the op has sent plain 1 x 1 kernels to `linear`, and
//! [`convolve`] or [`backward_weight`] has chosen the type that is multiplied.
//!
//! From the op to the innermost loop, of an indirect convolution: `conv2d` and `convolved` in `ops`
//! (which call [`forward`] by `on_device!`), [`convolve`], [`convolve_as`] (which asks [`choose`]),
//! `indirect::convolve`, `TaskSplit::for_each_band`, for each band `Indirect::band` and `multiply`,
//! `TileProduct::tiles` and `Microkernel::run` (`gemm::dispatch`), `x86::avx512` or its like, and
//! in `gemm::microkernel` `row_tiles`, `micro_kernel` and `rank_1_updates`. Of Winograd's:
//! `Winograd::convolve`, in `winograd::convolution` `run`, `rows`, `phase`, `phase_by_gemm` and
//! `multiply`, then `TileProduct::tiles` as above.

mod bands;
mod depthwise;
mod im2col;
mod indirect;
mod padded;
pub(crate) mod plan;
pub(crate) mod reference;
mod weight;
mod winograd;

use bands::TaskSplit;
use plan::{ConvPlan, Direction, Phase, Tuning};
use winograd::{Components, Winograd};

use crate::cpu::batch_norm::{Collector, Moments};
use crate::cpu::chunks;
use crate::cpu::gemm::{
    Epilogue, GemmElement, Microkernel, multiplies_by_tiles, multiplies_natively,
};
use crate::cpu::simd::has_32_registers;
use crate::tensor::window::Geometry;
use crate::{DType, Float, Stored};

/// small = the convolution of big: conv2d, and the input gradient of conv_transpose2d.
pub(crate) fn forward<T: GemmElement>(
    g: &Geometry,
    big: &[T],
    weight: &[T],
    bias: Option<&[T]>,
    small: &mut [T],
) {
    convolve(&ConvPlan::forward(g, weight, bias), big, small, &|_, _| {});
}

/// big = the transposed convolution of small: the input gradient of conv2d, and conv_transpose2d,
/// which may add a bias.
pub(crate) fn transposed<T: GemmElement>(
    g: &Geometry,
    small: &[T],
    weight: &[T],
    bias: Option<&[T]>,
    big: &mut [T],
) {
    convolve(
        &ConvPlan::transposed(g, weight, bias),
        small,
        big,
        &|_, _| {},
    );
}

/// As [`transposed`], and the moments of big's channels, for the BatchNorm behind it.
pub(crate) fn transposed_with_moments<T: GemmElement>(
    g: &Geometry,
    small: &[T],
    weight: &[T],
    bias: Option<&[T]>,
    big: &mut [T],
) -> Moments {
    let (plan, collector) = (
        ConvPlan::transposed(g, weight, bias),
        Collector::new(g.big[2]),
    );
    convolve(&plan, small, big, &|start, part| collector.add(start, part));
    collector.finish()
}

/// dw = the gradient of the weight, in the compute type.
pub(crate) fn backward_weight<T: GemmElement>(
    g: &Geometry,
    small: &[T],
    big: &[T],
    dw: &mut [T::Compute],
) {
    let tuning = Tuning::default();
    if multiplies_natively::<T>(g.n * g.small[0] * g.small[1], g.columns()) {
        backward_weight_as::<T, T>(g, tuning, [small, big], dw)
    } else {
        backward_weight_as::<T, T::Compute>(g, tuning, [small, big], dw)
    }
}

/// y = the convolution of each image of x.
pub(crate) fn convolve<T: GemmElement>(
    plan: &ConvPlan<T>,
    x: &[T],
    y: &mut [T],
    epilogue: Epilogue<T>,
) {
    let [c_in, c_out] = plan.group_channels();
    if multiplies_natively::<T>(c_in, c_out) {
        convolve_as::<T, T>(plan, x, y, epilogue)
    } else {
        convolve_as::<T, T::Compute>(plan, x, y, epilogue)
    }
}

/// How y is computed.
///
/// conv2d with a kernel of 1 x 1, stride 1, no padding and one group ([`Geometry::is_matrix`]) does
/// not come here: on either device the op is `linear`, one GEMM over all pixels.
///
/// Another algorithm is a file beside these, a variant here, its condition in [`choose`], its call
/// in [`convolve_as`], a line in the table at the head of this file, and a case in `tests`, which
/// names the algorithms that are chosen for it. (A switch in [`Tuning`] lets tests compare with the
/// others.) For the weight's gradient likewise: [`WeightAlgorithm`], [`choose_for_weight`],
/// [`backward_weight_as`]. One for plain 1 x 1 kernels of conv2d replaces `cpu::linear`, or
/// branches before it where `is_matrix` is asked: in `ops::conv2d` forward and backward, and in the
/// backward pass of `ops::gelu_dropout`, which computes GELU's derivative in the product's
/// epilogue. It has to ask for the CPU there, as `ops::linear` serves both devices, and its tests
/// are those of the op, `tests/ops/conv2d.rs`: the ones here call [`convolve`] past it. (A change
/// of `cpu::linear` itself changes linear layers too.) A transposed 1 x 1 convolution is never
/// `linear`: it comes here.
enum Algorithm {
    WinogradInRegisters(Components),
    Winograd(Components),
    Reference,
    Depthwise(TaskSplit),
    Indirect(TaskSplit),
}

/// Input times output channels from which Winograd's algorithm pays: with fewer its transforms (of
/// C channels to C, F(2x2, 3x3) makes 56 C additions a tile, beside 16 C^2 multiplications) cost
/// more than the multiplications that it saves.
const WINOGRAD_CHANNELS: usize = 32 * 64;

/// Output channels up to which Winograd's algorithm runs in registers. Every three tiles read the
/// filters of all of them: 72 KiB for 32 x 64 channels, which stay in L2.
const IN_REGISTERS_CHANNELS_OUT: usize = 64;

/// Elements that the windows of a task may span, padding included: 64 MiB of f32.
const MAX_PADDED: usize = 1 << 24;

/// The first of these algorithms that applies and pays, for products in type F.
fn choose<T: Stored, F: Stored<Compute = T::Compute>>(plan: &ConvPlan<T>) -> Algorithm {
    let (g, [c_in, c_out]) = (&plan.geometry, [plan.input()[2], plan.output()[2]]);
    if winograd_applies::<F>(g, &plan.tuning)
        && let Some(components) = Components::of(plan.phases.each_ref().map(|phases| &phases[..]))
    {
        // 1. Kernels that split into 2 x 2 ones, few channels: transforms that are written to
        // memory and read again would be most of the work. Here products stay in 32 vector
        // registers, and transformed inputs in L1. Several components are summed one after the
        // other, with y between them: y must not round, so it must be f32.
        let sums_fit = components.has_one_component() || T::DTYPE == DType::F32;
        let few = c_in <= winograd::MAX_CHANNELS_IN && c_out <= IN_REGISTERS_CHANNELS_OUT;
        if few && sums_fit && components.taps == 2 && has_32_registers() {
            return Algorithm::WinogradInRegisters(components);
        }
        // 2. Kernels that split into 2 x 2 or 3 x 3 ones, many channels: 1.8 or 2.25 times fewer
        // multiplications.
        if c_in * c_out >= WINOGRAD_CHANNELS {
            return Algorithm::Winograd(components);
        }
    }
    let packed_weight = if g.is_depthwise() {
        depthwise::packed_len(plan)
    } else {
        indirect::packed_len::<T, F>(plan)
    };
    let split = TaskSplit::of(plan, packed_weight);
    // 3. Windows so large or so far apart that a task would copy more than MAX_PADDED elements,
    // nearly all of them unused: the definition, which needs no copy. (This is asked also where the
    // image would be read without a copy.)
    if plan.padded_elements(0..split.rows) > MAX_PADDED {
        return Algorithm::Reference;
    }
    // 4. One channel a group: each group's GEMM would have one column and few terms (`depthwise`).
    if g.is_depthwise() {
        return Algorithm::Depthwise(split);
    }
    // 5. Everything else is a GEMM, with any window and any number of groups.
    Algorithm::Indirect(split)
}

/// Whether Winograd's algorithm may be chosen, as far as types and channels go.
///
/// It multiplies f32. Where bf16 is multiplied as it is, Winograd's algorithm would gain nothing:
/// AMX tiles take a sixteenth of f32's time, and VNNI pairs half of it, which is about what
/// Winograd's algorithm saves (2.25 times fewer multiplications, less the time of its transforms),
/// without copies in f32. Its sums of inputs are no bf16 either: they would be rounded. Elsewhere
/// bf16 is converted to f32, and takes it. f64 never does, so that tests can measure the
/// algorithm's rounding against f64. Transforms run over whole vectors of channels, of one group.
fn winograd_applies<F: Stored>(g: &Geometry, tuning: &Tuning) -> bool {
    let whole_vectors = [g.small[2], g.big[2]]
        .iter()
        .all(|c| c.is_multiple_of(winograd::VECTOR));
    tuning.winograd && F::DTYPE == DType::F32 && g.window.groups == 1 && whole_vectors
}

/// As [`convolve`], multiplied in type F.
pub(crate) fn convolve_as<T: Stored, F: Microkernel<Compute = T::Compute>>(
    plan: &ConvPlan<T>,
    x: &[T],
    y: &mut [T],
    epilogue: Epilogue<T>,
) {
    if y.is_empty() {
        return;
    }
    match choose::<T, F>(plan) {
        Algorithm::WinogradInRegisters(components) => {
            let in_registers = true;
            Winograd {
                components,
                in_registers,
            }
            .convolve(plan, x, y, epilogue)
        }
        Algorithm::Winograd(components) => {
            let in_registers = false;
            Winograd {
                components,
                in_registers,
            }
            .convolve(plan, x, y, epilogue)
        }
        Algorithm::Reference => convolve_by_definition(plan, x, y, epilogue),
        Algorithm::Depthwise(split) => depthwise::convolve(plan, &split, x, y, epilogue),
        Algorithm::Indirect(split) => indirect::convolve::<T, F>(plan, &split, x, y, epilogue),
    }
}

/// One image a task, by the definition.
fn convolve_by_definition<T: Stored>(
    plan: &ConvPlan<T>,
    x: &[T],
    y: &mut [T],
    epilogue: Epilogue<T>,
) {
    let [x_len, y_len] = [plan.input(), plan.output()].map(|size| size.iter().product::<usize>());
    let g = Geometry {
        n: 1,
        ..plan.geometry
    };
    chunks(y, y_len, |start, y| {
        let x = &x[start / y_len * x_len..][..x_len];
        match plan.direction {
            Direction::Forward => reference::forward(&g, x, plan.weight, plan.bias, y),
            Direction::Transposed => reference::transposed(&g, x, plan.weight, plan.bias, y),
        }
        epilogue(start, y);
    });
}

/// How the gradient of the weight is computed.
enum WeightAlgorithm {
    Winograd(Components),
    Depthwise,
    Padded,
    Im2col,
}

/// The first of these algorithms that applies and pays, for products in type F.
fn choose_for_weight<F: Stored>(g: &Geometry, tuning: &Tuning) -> WeightAlgorithm {
    // 1. As in `choose`, without the variant in registers: here a sum runs over all tiles, so it
    // would have to stay in a register from the first tile to the last, and each of the 9 or 16
    // products has c_small c_big of them.
    if winograd_applies::<F>(g, tuning)
        && g.small[2] * g.big[2] >= WINOGRAD_CHANNELS
        && let phases = [0, 1].map(|axis| [Phase::forward(g, axis)])
        && let Some(components) = Components::of([&phases[0], &phases[1]])
    {
        return WeightAlgorithm::Winograd(components);
    }
    // 2. One channel a group: each group's GEMM would have one row, of kh kw columns.
    if g.is_depthwise() {
        return WeightAlgorithm::Depthwise;
    }
    // 3. GEMM with the zero-padded image itself as B, if that is not much larger than the image. Not
    // by tiles: those want many terms in one piece, and a row of pixels has few.
    if weight::fits_padded::<F>(g) && !multiplies_by_tiles::<F>() {
        return WeightAlgorithm::Padded;
    }
    // 4. GEMM with a B packed by im2col: dilated kernels, several groups, windows far apart.
    WeightAlgorithm::Im2col
}

/// As [`backward_weight`], multiplied in type F.
pub(crate) fn backward_weight_as<T: Stored, F: Microkernel<Compute = T::Compute>>(
    g: &Geometry,
    tuning: Tuning,
    [small, big]: [&[T]; 2],
    dw: &mut [T::Compute],
) {
    let [h, w, _] = g.small;
    if g.n * h * w == 0 || dw.is_empty() {
        return dw.fill(T::Compute::ZERO);
    }
    let (images, min_pixels) = ([small, big], tuning.min_task_pixels);
    match choose_for_weight::<F>(g, &tuning) {
        WeightAlgorithm::Winograd(components) => {
            winograd::backward_weight(g, &components, images, dw);
        }
        WeightAlgorithm::Depthwise => weight::sum_over_rows(g, min_pixels, dw, |rows, dw| {
            depthwise::add_weight_gradient(g, images, rows, dw);
        }),
        WeightAlgorithm::Padded => weight::sum_over_rows(g, min_pixels, dw, |rows, dw| {
            weight::add_padded::<T, F>(g, images, rows, dw);
        }),
        WeightAlgorithm::Im2col => weight::sum_over_rows(g, min_pixels, dw, |rows, dw| {
            im2col::add_weight_gradient::<T, F>(g, images, rows, dw);
        }),
    }
}

#[cfg(test)]
mod tests;
