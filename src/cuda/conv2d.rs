//! Convolutions as implicit GEMMs: rows are output pixels, columns are output channels, and the sum
//! runs over taps and input channels. The im2col matrix is never stored.

use super::reduce::finish;
use super::runtime::launch::{Axes, Columns, together};
use super::runtime::profile::{of_kernel, profile};
use super::{Gpu, Scratch, Slice, SliceMut, Source, gpu};
use crate::tensor::window::{Geometry, Window};
use crate::{DType, Error, Result};

pub(super) static SOURCE: Source = Source::new("conv2d", include_str!("../../kernels/conv2d.cu"));

/// `struct Window` of common.cuh.
pub(super) fn window(gpu: &Gpu, g: &Geometry) -> Result<[u32; 16]> {
    window_words(g).map_err(|n| {
        Error::Device(format!(
            "cuda:{}: a window with {n} in it is beyond the kernels' 32-bit counters",
            gpu.ordinal()
        ))
    })
}

/// Its words, or the number that does not fit 31 bits: a size, or the count of all pixels of one
/// side, which kernels count in an int too.
fn window_words(g: &Geometry) -> std::result::Result<[u32; 16], usize> {
    let Window {
        stride,
        padding,
        dilation,
        groups,
        ..
    } = g.window;
    let ([bh, bw, bc], [sh, sw, sc], [kh, kw]) = (g.big, g.small, g.kernel);
    let numbers = [
        g.n,
        bh,
        bw,
        bc,
        sh,
        sw,
        sc,
        kh,
        kw,
        stride[0],
        stride[1],
        padding[0],
        padding[1],
        dilation[0],
        dilation[1],
        groups,
    ];
    let fits = |n: usize| i32::try_from(n).map_err(|_| n);
    for [h, w] in [[bh, bw], [sh, sw]] {
        fits(g.n.saturating_mul(h).saturating_mul(w))?;
    }
    let mut words = [0; 16];
    for (word, n) in words.iter_mut().zip(numbers) {
        *word = fits(n)? as u32;
    }
    Ok(words)
}

/// Whether tensor cores take f32 as TF32, as from Ampere on. Elsewhere the kernels of f32 are as fast,
/// and round nothing.
fn has_tf32(gpu: &Gpu) -> bool {
    gpu.arch >= 80
}

/// The output tile of a thread block, and the multiply-adds that compute it.
pub(super) struct Tile {
    pub width: usize,
    /// The prefix of the width in the kernel's name.
    pub kind: &'static str,
    pub threads: u32,
}

impl Tile {
    /// For `c` output channels a group: the width that wastes the fewest columns, and of equals the
    /// widest.
    pub fn new(gpu: &Gpu, dtype: DType, tf32: bool, c: usize) -> Tile {
        let tf32 = tf32 && has_tf32(gpu);
        let plain = dtype == DType::F32 && !tf32;
        // Accumulators of 144 columns leave enough registers only where two operand elements share
        // one, and the instruction takes them so: Turing's needs more.
        let widths = if dtype == DType::F32 || gpu.arch < 80 {
            &[32, 64, 128][..]
        } else {
            &[32, 64, 128, 144]
        };
        let width = *widths
            .iter()
            .rev()
            .min_by_key(|&&width| c.div_ceil(width) * width)
            .unwrap_or(&32);
        let kind = if dtype == DType::F32 && tf32 {
            "tf32_"
        } else {
            ""
        };
        Tile {
            width,
            kind,
            threads: if plain { 256 } else { 128 },
        }
    }

    /// The kernel's name; names are `'static`.
    pub fn name(&self, transposed: bool) -> &'static str {
        macro_rules! names {
            ($($kind:literal $width:literal)*) => {
                match (transposed, self.kind, self.width) {
                    $((false, $kind, $width) => concat!("conv2d_", $kind, $width),
                      (true, $kind, $width) => concat!("conv_transpose2d_", $kind, $width),)*
                    _ => unreachable!("the widths above"),
                }
            };
        }
        names! { "" 32 "" 64 "" 128 "" 144 "tf32_" 32 "tf32_" 64 "tf32_" 128 }
    }
}

/// Depthwise convolution of x, by the kernel of this name: `depthwise` or `depthwise_transposed`.
pub(super) fn depthwise(
    name: &'static str,
    g: &Geometry,
    [x, weight]: [Slice; 2],
    bias: Option<Slice>,
    y: &mut SliceMut,
) -> Result<()> {
    let (gpu, c, taps, n) = (x.gpu, g.big[2], g.columns(), y.as_slice().elements);
    let mut transposed = gpu.scratch(weight.elements, weight.dtype)?;
    let axes = Axes::new([(taps, [1, c as isize]), (c, [taps as isize, 1])]);
    super::shape::copy_box((weight, 0), (&mut transposed.write(), 0), axes)?;
    let v = together(c, &[x, y.as_slice(), transposed.read(), bias.unwrap_or(x)]);
    let launch = gpu
        .kernel(&SOURCE, name, x.dtype)?
        .arg(x)
        .arg(transposed.read())
        .arg(bias)
        .arg(y)
        .arg(window(gpu, g)?);
    let launch = launch
        .sizes([v])?
        .each(n / v)
        .moves(x.bytes() + n * x.dtype.bytes());
    launch.counts(g.flops()).launch()
}

/// y if there are no input channels, by which the kernels would divide: each pixel is the bias, or
/// 0.
pub(super) fn of_no_channels(bias: Option<Slice>, c: usize, y: &mut SliceMut) -> Result<()> {
    let Some(bias) = bias else { return y.fill(0.0) };
    let pixels = y.as_slice().elements / c;
    super::shape::copy_box(
        (bias, 0),
        (y, 0),
        Axes::new([(pixels, [0, c as isize]), (c, [1, 1])]),
    )
}

/// small = the convolution of big: the forward pass of conv2d, the input gradient of
/// conv_transpose2d.
pub(crate) fn forward(
    g: &Geometry,
    big: Slice,
    weight: Slice,
    bias: Option<Slice>,
    tf32: bool,
    small: &mut SliceMut,
) -> Result<()> {
    if g.big[2] == 0 {
        return of_no_channels(bias, g.small[2], small);
    }
    if g.is_depthwise() {
        return depthwise("depthwise", g, [big, weight], bias, small);
    }
    let (gpu, groups) = (big.gpu, g.window.groups);
    let (c, pixels) = (g.small[2] / groups, g.n * g.small[0] * g.small[1]);
    let (tile, v) = (
        Tile::new(gpu, big.dtype, tf32, c),
        together(g.big[2] / groups, &[big, weight]),
    );
    let bytes = big.bytes() + weight.bytes() + small.as_slice().bytes();
    let launch = gpu
        .kernel(&SOURCE, tile.name(false), big.dtype)?
        .arg(big)
        .arg(weight)
        .arg(bias)
        .arg(small);
    let launch = launch.arg(window(gpu, g)?).sizes([v])?;
    launch
        .grid(
            [pixels.div_ceil(128), groups * c.div_ceil(tile.width), 1],
            tile.threads,
        )
        .moves(bytes)
        .counts(g.flops())
        .launch()
}

/// dw[s, ky, kx, b] = the sum over all pixels p of the small image of small[p, s] big[under p at
/// (ky, kx), b], in f32.
pub(crate) fn backward_weight(
    g: &Geometry,
    small: Slice,
    big: Slice,
    tf32: bool,
    dw: &mut SliceMut,
) -> Result<()> {
    let (gpu, groups, weights) = (small.gpu, g.window.groups, dw.as_slice().elements);
    let pixels = g.n * g.small[0] * g.small[1];
    if pixels == 0 {
        return dw.fill(0.0);
    }
    if g.is_depthwise() {
        return depthwise_weight(g, small, big, dw);
    }
    let tf32 = tf32 && has_tf32(gpu);
    let tensor_cores = small.dtype != DType::F32 || tf32;
    let threads = if tensor_cores { 128 } else { 256 };
    let name = if small.dtype == DType::F32 && tf32 {
        "conv2d_weight_tf32"
    } else {
        "conv2d_weight"
    };
    let kernel = gpu.kernel(&SOURCE, name, small.dtype)?;
    let tiles = groups * (g.small[2] / groups).div_ceil(128) * g.columns().div_ceil(128);
    let splits = splits(kernel.blocks_at_once(threads)?, tiles, pixels);
    let span = pixels.div_ceil(splits);
    let splits = pixels.div_ceil(span);
    let [v_small, v_big] =
        [(small, g.small[2]), (big, g.big[2])].map(|(x, c)| together(c / groups, &[x]));
    let mut part: Scratch = gpu.scratch(splits * weights, DType::F32)?;
    let launch = kernel
        .arg(small)
        .arg(big)
        .arg(&mut part.write())
        .arg(window(gpu, g)?);
    let launch = launch
        .sizes([v_small, v_big, span])?
        .grid([tiles, splits, 1], threads);
    launch
        .moves(small.bytes() + big.bytes())
        .counts(g.flops())
        .launch()?;
    finish(part.read(), small.dtype, [1, splits, weights], 1.0, dw)
}

/// Split-k: into how many parts of its pixels a weight gradient of so many tiles is cut. As many
/// blocks as fit on the device at once, since one more would run alone after all others; but parts
/// of at least 1024 pixels, to be worth writing their partial sums.
fn splits(at_once: usize, tiles: usize, pixels: usize) -> usize {
    (at_once / tiles.max(1)).clamp(1, pixels.div_ceil(1024).max(1))
}

fn depthwise_weight(g: &Geometry, small: Slice, big: Slice, dw: &mut SliceMut) -> Result<()> {
    /// Taps of a kernel row that a block computes: RUN of conv2d.cu.
    const RUN: usize = 5;
    let (gpu, c, pixels, weights) = (
        small.gpu,
        g.big[2],
        g.n * g.small[0] * g.small[1],
        dw.as_slice().elements,
    );
    let Columns {
        v, splits, span, ..
    } = Columns::summing(pixels, c, together(c, &[small, big]));
    let mut part = gpu.scratch(splits * weights, DType::F32)?;
    let launch = gpu
        .kernel(&SOURCE, "depthwise_weight", small.dtype)?
        .arg(small)
        .arg(big)
        .arg(&mut part.write());
    let launch = launch.arg(window(gpu, g)?).sizes([v, span])?;
    let grid = [
        c.div_ceil(v).div_ceil(256),
        splits,
        g.kernel[0] * g.kernel[1].div_ceil(RUN),
    ];
    launch
        .blocks(grid)
        .moves(small.bytes() + big.bytes())
        .counts(g.flops())
        .launch()?;
    finish(part.read(), small.dtype, [1, splits, weights], 1.0, dw)
}

/// Floating-point operations a second, a multiply-add counting as two, of the instruction that the
/// convolutions use for this type: `mma.sync` for 16-bit floats and for f32 with `tf32`, scalar
/// multiply-adds for f32 otherwise. Operands are in registers.
///
/// # Errors
/// As [`usable`](super::usable).
pub fn matrix_rate(ordinal: usize, dtype: DType, tf32: bool) -> Result<f64> {
    const ROUNDS: usize = 4096;
    let gpu = gpu(ordinal)?;
    let tf32 = tf32 && has_tf32(gpu);
    let (blocks, on_tensor_cores) = (
        4 * gpu.multiprocessors as usize,
        dtype != DType::F32 || tf32,
    );
    // On the stand-in the rate means nothing, and many rounds would take minutes.
    let rounds = if gpu.exact { 4 } else { ROUNDS };
    let mut out = gpu.scratch(blocks * 256, DType::F32)?;
    // A round is eight products of 16 x 8 x 16 (f32: 16 x 8 x 8) by each of a block's eight warps,
    // or eight multiply-adds a thread.
    let terms = if dtype == DType::F32 { 8 } else { 16 };
    let products = if on_tensor_cores {
        8 * 8 * 16 * 8 * terms
    } else {
        8 * 256
    };
    let flops = 2 * (blocks * rounds * products) as u64;
    let mut run = || {
        let launch = gpu
            .kernel(&SOURCE, "matrix_rate", dtype)?
            .arg(&mut out.write())
            .sizes([rounds, usize::from(on_tensor_cores)])?;
        launch.blocks([blocks, 1, 1]).counts(flops).launch()
    };
    run()?;
    let time = of_kernel(
        &format!("matrix_rate {dtype}"),
        profile(ordinal, || (0..4).try_for_each(|_| run()))?.1,
    );
    Ok(time.flops as f64 / time.seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An H200 runs 264 blocks of a weight gradient at once, an A100 216, a small GPU 40.
    #[test]
    fn a_weight_gradient_fits_on_the_device_at_once() {
        for at_once in [264, 216, 40] {
            for tiles in [1, 2, 3, 5, 16, 40, 300] {
                for pixels in [1, 1000, 100_352, 802_816] {
                    let splits = splits(at_once, tiles, pixels);
                    assert!(splits >= 1 && splits <= pixels.div_ceil(1024));
                    assert!(splits == 1 || tiles * splits <= at_once);
                    // Nor could there be one more.
                    let more = tiles * (splits + 1) <= at_once;
                    assert!(!more || splits == pixels.div_ceil(1024));
                }
            }
        }
    }

    #[test]
    fn pixels_beyond_31_bits_are_found() {
        let of = |n, big, small| Geometry::new(n, big, small, [1, 1], Window::default());
        let [h, w] = [1 << 15, 1 << 15];
        assert!(window_words(&of(1, [h, w, 1], [h, w, 1])).is_ok());
        assert_eq!(window_words(&of(2, [h, w, 1], [h, w, 1])), Err(1 << 31));
        assert_eq!(window_words(&of(3, [h, w, 1], [8, 8, 1])), Err(3 << 30));
        let huge = 1 << 40;
        assert_eq!(window_words(&of(1, [8, 8, huge], [8, 8, 1])), Err(huge));
    }
}
