//! The transforms of F(2, 2) and F(2, 3), and their application to the channels of images, filters
//! and products.
//!
//! F(2, r) computes two neighbouring outputs y of r taps g from the N = r + 1 inputs x that they
//! see, with N multiplications instead of 2 r:
//!
//! ```text
//! y = A^T [(G g) * (B^T x)]                          * is elementwise
//!
//! F(2, 2):       | 1 -1  0 |       | 1  0 |          | 1  1  0 |
//!          B^T = | 0  1  0 |   G = | 1  1 |    A^T = | 0  1 -1 |
//!                | 0  1 -1 |       | 0  1 |
//!
//! F(2, 3):       | 1  0 -1  0 |       |  1    0    0  |          | 1  1  1  0 |
//!          B^T = | 0  1  1  0 |   G = | 1/2  1/2  1/2 |    A^T = | 0  1 -1 -1 |
//!                | 0 -1  1  0 |       | 1/2 -1/2  1/2 |
//!                | 0  1  0 -1 |       |  0    0    1  |
//! ```
//!
//! Written out, F(2, 3) is four products:
//!
//! ```text
//! m0 = (x0 - x2) g0                       m1 = (x1 + x2) (g0 + g1 + g2) / 2
//! m2 = (x2 - x1) (g0 - g1 + g2) / 2       m3 = (x1 - x3) g2
//! y0 = m0 + m1 + m2                       y1 = m1 - m2 - m3
//! ```
//!
//! By hand: m1 + m2 is x1 g1 + x2 (g0 + g2), and m0 adds x0 g0 - x2 g0, which leaves y0 = x0 g0 +
//! x1 g1 + x2 g2. m1 - m2 is x1 (g0 + g2) + x2 g1, and -m3 adds x3 g2 - x1 g2.
//!
//! Along both axes that is F(2x2, rxr), Y = A^T [(G g G^T) * (B^T X B)] A, and its gradient with
//! respect to g is G^T [(A dY A^T) * (B^T X B)] G (`weight` says why).

use std::ops::Range;

use super::components::Component;
use super::tiles::{Outputs, TileWindow, TileWindows};
use crate::Stored;
use crate::cpu::conv::plan::{ConvPlan, Direction};
use crate::cpu::simd::{Kernel, Lanes};

/// F(2, R), with N = R + 1 products.
pub(super) trait MinimalFilter<const R: usize, const N: usize> {
    /// G g.
    fn filter_transform<V: Lanes<f32>>(g: [V; R]) -> [V; N];
    /// B^T x.
    fn input_transform<V: Lanes<f32>>(x: [V; N]) -> [V; N];
    /// A^T m.
    fn output_transform<V: Lanes<f32>>(m: [V; N]) -> [V; 2];
    /// A dy.
    fn output_gradient_transform<V: Lanes<f32>>(dy: [V; 2]) -> [V; N];
    /// G^T dm.
    fn filter_gradient_transform<V: Lanes<f32>>(dm: [V; N]) -> [V; R];
}

/// F(2, 2): two outputs of two taps.
pub(super) struct F22;
impl MinimalFilter<2, 3> for F22 {
    #[inline(always)]
    fn filter_transform<V: Lanes<f32>>([g0, g1]: [V; 2]) -> [V; 3] {
        [g0, g0.add(g1), g1]
    }
    #[inline(always)]
    fn input_transform<V: Lanes<f32>>([x0, x1, x2]: [V; 3]) -> [V; 3] {
        [x0.sub(x1), x1, x1.sub(x2)]
    }
    #[inline(always)]
    fn output_transform<V: Lanes<f32>>([m0, m1, m2]: [V; 3]) -> [V; 2] {
        [m0.add(m1), m1.sub(m2)]
    }
    #[inline(always)]
    fn output_gradient_transform<V: Lanes<f32>>([y0, y1]: [V; 2]) -> [V; 3] {
        [y0, y0.add(y1), V::splat(0.0).sub(y1)]
    }
    #[inline(always)]
    fn filter_gradient_transform<V: Lanes<f32>>([m0, m1, m2]: [V; 3]) -> [V; 2] {
        [m0.add(m1), m1.add(m2)]
    }
}

/// F(2, 3): two outputs of three taps.
struct F23;
impl MinimalFilter<3, 4> for F23 {
    #[inline(always)]
    fn filter_transform<V: Lanes<f32>>([g0, g1, g2]: [V; 3]) -> [V; 4] {
        let ends = g0.add(g2);
        [g0, half(ends.add(g1)), half(ends.sub(g1)), g2]
    }
    #[inline(always)]
    fn input_transform<V: Lanes<f32>>([x0, x1, x2, x3]: [V; 4]) -> [V; 4] {
        [x0.sub(x2), x1.add(x2), x2.sub(x1), x1.sub(x3)]
    }
    #[inline(always)]
    fn output_transform<V: Lanes<f32>>([m0, m1, m2, m3]: [V; 4]) -> [V; 2] {
        [m0.add(m1).add(m2), m1.sub(m2).sub(m3)]
    }
    #[inline(always)]
    fn output_gradient_transform<V: Lanes<f32>>([y0, y1]: [V; 2]) -> [V; 4] {
        [y0, y0.add(y1), y0.sub(y1), V::splat(0.0).sub(y1)]
    }
    #[inline(always)]
    fn filter_gradient_transform<V: Lanes<f32>>([m0, m1, m2, m3]: [V; 4]) -> [V; 3] {
        let sum = half(m1.add(m2));
        [m0.add(sum), half(m1.sub(m2)), sum.add(m3)]
    }
}

#[inline(always)]
fn half<V: Lanes<f32>>(x: V) -> V {
    V::splat(0.0).add_product(V::splat(0.5), x)
}

/// M x M^T, where `m` multiplies a vector by M.
#[inline(always)]
pub(super) fn along_both_axes<V: Lanes<f32>, const I: usize, const O: usize>(
    x: [[V; I]; I],
    m: impl Fn([V; I]) -> [V; O],
) -> [[V; O]; O] {
    let mut columns = [[V::splat(0.0); I]; O];
    for i in 0..I {
        let row = m(x[i]);
        for j in 0..O {
            columns[j][i] = row[j];
        }
    }
    let mut y = [[V::splat(0.0); O]; O];
    for j in 0..O {
        let column = m(columns[j]);
        for i in 0..O {
            y[i][j] = column[i];
        }
    }
    y
}

/// What a [`TileTransform`] reads.
#[derive(Clone, Copy)]
pub(super) enum TileSource {
    /// Windows of N x N inputs: B^T X B.
    Input,
    /// 2 x 2 gradients of outputs: A dY A^T.
    OutputGradient,
}

/// Where a [`TileTransform`] writes: channel c of product p of tile t is element
/// `p product_stride + t tile_stride + c / panel_width panel_stride + c % panel_width`.
#[derive(Clone, Copy)]
pub(super) struct TileLayout {
    pub product_stride: usize,
    pub tile_stride: usize,
    pub panel_width: usize,
    pub panel_stride: usize,
}

/// Transforms some channels of the tiles of an image.
pub(super) struct TileTransform<'a, T> {
    pub taps: usize,
    pub source: TileSource,
    pub image: &'a [T],
    pub tiles: &'a TileWindows,
    pub channels: Range<usize>,
    pub layout: TileLayout,
    pub to: &'a mut [f32],
}

impl<T: Stored<Compute = f32>> TileTransform<'_, T> {
    #[inline(always)]
    fn by<V: Lanes<f32>, const I: usize, const N: usize>(self, m: impl Fn([V; I]) -> [V; N]) {
        let layout = self.layout;
        for (t, window) in self.tiles.windows.iter().enumerate() {
            for c in (0..self.channels.len()).step_by(V::N) {
                let (strides, channel) = (self.tiles.strides, self.channels.start + c);
                let x = window.read::<V, T, I>(self.image, strides, channel);
                let (panel, column) = (c / layout.panel_width, c % layout.panel_width);
                let at = t * layout.tile_stride + panel * layout.panel_stride + column;
                V::write_square(
                    along_both_axes(x, &m),
                    &mut self.to[at..],
                    [N * layout.product_stride, layout.product_stride],
                );
            }
        }
    }
}

impl<T: Stored<Compute = f32>> Kernel for TileTransform<'_, T> {
    #[inline(always)]
    fn run<V: Lanes<f32>>(self) {
        match (self.taps, self.source) {
            (2, TileSource::Input) => self.by::<V, 3, 3>(F22::input_transform),
            (2, TileSource::OutputGradient) => self.by::<V, 2, 3>(F22::output_gradient_transform),
            (_, TileSource::Input) => self.by::<V, 4, 4>(F23::input_transform),
            (_, TileSource::OutputGradient) => self.by::<V, 2, 4>(F23::output_gradient_transform),
        }
    }
}

/// Transforms the products of tiles to outputs, A^T M A, and adds the bias.
pub(super) struct OutputTransform<'a, T> {
    pub taps: usize,
    /// `[N N products, tiles, channels]`, products `product_stride` elements apart.
    pub products: &'a [f32],
    pub product_stride: usize,
    pub channels: usize,
    pub windows: &'a [TileWindow],
    pub outputs: Outputs<'a, T>,
}

impl<T: Stored<Compute = f32>> OutputTransform<'_, T> {
    #[inline(always)]
    fn by<F: MinimalFilter<R, N>, V: Lanes<f32>, const R: usize, const N: usize>(mut self) {
        for (t, window) in self.windows.iter().enumerate() {
            for c in (0..self.channels).step_by(V::N) {
                let products: [[V; N]; N] = V::read_square(
                    &self.products[t * self.channels + c..],
                    [N * self.product_stride, self.product_stride],
                );
                let pixels = along_both_axes(products, F::output_transform);
                self.outputs.add(*window, c, pixels);
            }
        }
    }
}

impl<T: Stored<Compute = f32>> Kernel for OutputTransform<'_, T> {
    #[inline(always)]
    fn run<V: Lanes<f32>>(self) {
        match self.taps {
            2 => self.by::<F22, V, 2, 3>(),
            _ => self.by::<F23, V, 3, 4>(),
        }
    }
}

/// Where transformed filters lie: in panels of `panel_width` output channels, `panel_len` elements
/// each. In a panel, the row of input channel k and product p begins at
/// `k channel_stride + p product_stride`.
#[derive(Clone, Copy)]
pub(super) struct FilterLayout {
    pub panel_width: usize,
    pub panel_len: usize,
    pub channel_stride: usize,
    pub product_stride: usize,
}

/// Transforms one component's taps, G g G^T, for all input channels and a panel of output channels.
pub(super) struct FilterTransform<'a, T> {
    pub plan: &'a ConvPlan<'a, T>,
    pub components: [&'a Component; 2],
    /// Output channels.
    pub columns: Range<usize>,
    pub layout: FilterLayout,
    pub to: &'a mut [f32],
}

impl<T: Stored<Compute = f32>> FilterTransform<'_, T> {
    #[inline(always)]
    fn by<F: MinimalFilter<R, N>, V: Lanes<f32>, const R: usize, const N: usize>(self) {
        let FilterLayout {
            channel_stride,
            product_stride,
            ..
        } = self.layout;
        for k in 0..self.plan.input()[2] {
            for o in (0..self.columns.len()).step_by(V::N) {
                let mut taps = [[V::splat(0.0); R]; R];
                for i in 0..R {
                    for j in 0..R {
                        let tap = [self.components[0].taps[i], self.components[1].taps[j]];
                        taps[i][j] = self.tap(tap, k, self.columns.start + o);
                    }
                }
                V::write_square(
                    along_both_axes(taps, F::filter_transform),
                    &mut self.to[k * channel_stride + o..],
                    [N * product_stride, product_stride],
                );
            }
        }
    }

    /// The weight of one tap from input channel k to a vector of output channels from `o` on.
    #[inline(always)]
    fn tap<V: Lanes<f32>>(&self, [ky, kx]: [usize; 2], k: usize, o: usize) -> V {
        let (weight, [kh, kw]) = (self.plan.weight, self.plan.geometry.kernel);
        let [c_in, c_out] = [self.plan.input()[2], self.plan.output()[2]];
        if self.plan.direction == Direction::Transposed {
            return V::read(&weight[((k * kh + ky) * kw + kx) * c_out + o..]);
        }
        let mut lanes = [0.0; 16];
        for i in 0..V::N {
            lanes[i] = weight[(((o + i) * kh + ky) * kw + kx) * c_in + k].to_compute();
        }
        V::read(&lanes[..])
    }
}

impl<T: Stored<Compute = f32>> Kernel for FilterTransform<'_, T> {
    #[inline(always)]
    fn run<V: Lanes<f32>>(self) {
        match self.components[0].taps.len() {
            2 => self.by::<F22, V, 2, 3>(),
            _ => self.by::<F23, V, 3, 4>(),
        }
    }
}

/// Transforms the gradients of transformed filters back to taps, G^T dU G, for some channels: from
/// `[N N products, channels]` to `[R R taps, channels]`.
pub(super) struct FilterGradientTransform<'a> {
    pub taps: usize,
    pub products: &'a [f32],
    pub channels: usize,
    pub to: &'a mut [f32],
}

impl FilterGradientTransform<'_> {
    #[inline(always)]
    fn by<F: MinimalFilter<R, N>, V: Lanes<f32>, const R: usize, const N: usize>(self) {
        let channels = self.channels;
        for c in (0..channels).step_by(V::N) {
            let dm: [[V; N]; N] = V::read_square(&self.products[c..], [N * channels, channels]);
            V::write_square(
                along_both_axes(dm, F::filter_gradient_transform),
                &mut self.to[c..],
                [R * channels, channels],
            );
        }
    }
}

impl Kernel for FilterGradientTransform<'_> {
    #[inline(always)]
    fn run<V: Lanes<f32>>(self) {
        match self.taps {
            2 => self.by::<F22, V, 2, 3>(),
            _ => self.by::<F23, V, 3, 4>(),
        }
    }
}
