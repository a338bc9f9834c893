//! The two schemes, and their additions over the channels of pixels.

use std::ops::Range;

use super::polyphase::PolyphaseComponent;
use crate::Stored;
use crate::cpu::conv::plan::{ConvPlan, Direction};
use crate::cpu::simd::{Kernel, Lanes};

/// A scheme of R taps g and N = R + 1 products m: m = weight(g) input(x), element by element, and y
/// = output(m).
pub(super) trait MinimalFilter<const R: usize, const N: usize> {
    fn filter_transform<V: Lanes<f32>>(g: [V; R]) -> [V; N];
    fn input_transform<V: Lanes<f32>>(x: [V; N]) -> [V; N];
    fn output_transform<V: Lanes<f32>>(m: [V; N]) -> [V; 2];
    /// The transpose of `output`, as gradients need it.
    fn output_gradient_transform<V: Lanes<f32>>(dy: [V; 2]) -> [V; N];
    /// The transpose of `weight`.
    fn filter_gradient_transform<V: Lanes<f32>>(dm: [V; N]) -> [V; R];
}

/// Of two taps, as above.
pub(super) struct F2x2;
impl MinimalFilter<2, 3> for F2x2 {
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

/// Of three taps.
struct F2x3;
impl MinimalFilter<3, 4> for F2x3 {
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

/// The linear map `f` along both axes of a square.
#[inline(always)]
pub(super) fn both<V: Lanes<f32>, const I: usize, const O: usize>(
    x: [[V; I]; I],
    f: impl Fn([V; I]) -> [V; O],
) -> [[V; O]; O] {
    let mut columns = [[V::splat(0.0); I]; O];
    for i in 0..I {
        let line = f(x[i]);
        for j in 0..O {
            columns[j][i] = line[j];
        }
    }
    let mut y = [[V::splat(0.0); O]; O];
    for j in 0..O {
        let column = f(columns[j]);
        for i in 0..O {
            y[i][j] = column[i];
        }
    }
    y
}

/// A square of pixels in an image: where its first begins, and which of its rows and of its columns
/// exist, a bit for each. Pixels that do not exist are zeros to read, and nowhere to write.
#[derive(Clone, Copy)]
pub(super) struct TileWindow {
    pub start: usize,
    pub rows: u8,
    pub columns: u8,
}

impl TileWindow {
    /// Where pixel (i, j) begins, if it exists, with rows and columns that lie `apart` numbers from
    /// one another.
    #[inline(always)]
    pub fn pixel(self, [i, j]: [usize; 2], apart: [usize; 2]) -> Option<usize> {
        let exists = self.rows >> i & self.columns >> j & 1 == 1;
        exists.then(|| self.start.wrapping_add(i * apart[0] + j * apart[1]))
    }

    /// Whether all of n x n pixels exist.
    #[inline(always)]
    fn is_whole(self, n: usize) -> bool {
        self.rows & self.columns == (1 << n) - 1
    }

    /// All pixels' channels from `c` on.
    #[inline(always)]
    pub fn read<V: Lanes<f32>, T: Stored<Compute = f32>, const N: usize>(
        self,
        x: &[T],
        apart: [usize; 2],
        c: usize,
    ) -> [[V; N]; N] {
        if self.is_whole(N) {
            return V::read_square(&x[self.start + c..], apart);
        }
        let mut square = [[V::splat(0.0); N]; N];
        for i in 0..N {
            for j in 0..N {
                if let Some(at) = self.pixel([i, j], apart) {
                    square[i][j] = V::read(&x[at + c..]);
                }
            }
        }
        square
    }
}

/// input() or spread() of squares of pixels, along both axes.
pub(super) struct PixelTransform<'a, T> {
    pub taps: usize,
    /// spread(), of 2 x 2 pixels.
    pub spread: bool,
    pub x: &'a [T],
    pub tile_windows: &'a [TileWindow],
    pub apart: [usize; 2],
    pub channels: Range<usize>,
    /// A square's elements go `step[0]` numbers from one another, and each element's channels
    /// `step[1]` from those of the square before.
    pub step: [usize; 2],
    /// The channels go in panels of `panel.0`, `panel.1` numbers from one another.
    pub panel: [usize; 2],
    pub to: &'a mut [f32],
}

impl<T: Stored<Compute = f32>> PixelTransform<'_, T> {
    #[inline(always)]
    fn by<V: Lanes<f32>, const I: usize, const N: usize>(self, map: impl Fn([V; I]) -> [V; N]) {
        for (i, square) in self.tile_windows.iter().enumerate() {
            for c in (0..self.channels.len()).step_by(V::N) {
                let x = square.read::<V, T, I>(self.x, self.apart, self.channels.start + c);
                let at = i * self.step[1] + c / self.panel[0] * self.panel[1] + c % self.panel[0];
                V::write_square(
                    both(x, &map),
                    &mut self.to[at..],
                    [N * self.step[0], self.step[0]],
                );
            }
        }
    }
}

impl<T: Stored<Compute = f32>> Kernel for PixelTransform<'_, T> {
    #[inline(always)]
    fn run<V: Lanes<f32>>(self) {
        match (self.taps, self.spread) {
            (2, false) => self.by::<V, 3, 3>(F2x2::input_transform),
            (2, true) => self.by::<V, 2, 3>(F2x2::output_gradient_transform),
            (_, false) => self.by::<V, 4, 4>(F2x3::input_transform),
            (_, true) => self.by::<V, 2, 4>(F2x3::output_gradient_transform),
        }
    }
}

/// output() of squares of products, along both axes, plus bias.
pub(super) struct OutputTransform<'a, T> {
    pub taps: usize,
    /// Those of the first square, the next one's as many channels further on; its elements `step`
    /// numbers from one another.
    pub products: &'a [f32],
    pub step: usize,
    pub bias: &'a [T],
    pub tile_windows: &'a [TileWindow],
    pub apart: [usize; 2],
    pub y: &'a mut [T],
}

impl<T: Stored<Compute = f32>> OutputTransform<'_, T> {
    #[inline(always)]
    fn by<S: MinimalFilter<R, N>, V: Lanes<f32>, const R: usize, const N: usize>(self) {
        let channels = self.bias.len();
        for (i, square) in self.tile_windows.iter().enumerate() {
            for c in (0..channels).step_by(V::N) {
                let products: [[V; N]; N] = V::read_square(
                    &self.products[i * channels + c..],
                    [N * self.step, self.step],
                );
                write_outputs(
                    both(products, S::output_transform),
                    square,
                    self.apart,
                    (Some(self.bias), c),
                    self.y,
                );
            }
        }
    }
}

/// Writes those of 2 x 2 pixels that exist, from channel `c` on: plus bias, or else plus what is
/// there.
#[inline(always)]
pub(super) fn write_outputs<V: Lanes<f32>, T: Stored<Compute = f32>>(
    pixels: [[V; 2]; 2],
    square: &TileWindow,
    apart: [usize; 2],
    (bias, c): (Option<&[T]>, usize),
    y: &mut [T],
) {
    let mut sums = match bias {
        Some(bias) => [[V::read(&bias[c..]); 2]; 2],
        None => square.read(y, apart, c),
    };
    for i in 0..2 {
        for j in 0..2 {
            sums[i][j] = sums[i][j].add(pixels[i][j]);
        }
    }
    if square.is_whole(2) {
        return V::write_square(sums, &mut y[square.start + c..], apart);
    }
    for i in 0..2 {
        for j in 0..2 {
            if let Some(at) = square.pixel([i, j], apart) {
                sums[i][j].write(&mut y[at + c..]);
            }
        }
    }
}

impl<T: Stored<Compute = f32>> Kernel for OutputTransform<'_, T> {
    #[inline(always)]
    fn run<V: Lanes<f32>>(self) {
        match self.taps {
            2 => self.by::<F2x2, V, 2, 3>(),
            _ => self.by::<F2x3, V, 3, 4>(),
        }
    }
}

/// weight() of the taps of a pair of lattices, along both axes, for some output channels.
pub(super) struct FilterTransform<'a, T> {
    pub plan: &'a ConvPlan<'a, T>,
    pub pair: [&'a PolyphaseComponent; 2],
    pub columns: Range<usize>,
    /// An input channel's vectors go `step[0]` numbers from the last one's, and the elements of its
    /// square `step[1]`.
    pub step: [usize; 2],
    pub to: &'a mut [f32],
}

impl<T: Stored<Compute = f32>> FilterTransform<'_, T> {
    #[inline(always)]
    fn by<S: MinimalFilter<R, N>, V: Lanes<f32>, const R: usize, const N: usize>(self) {
        for k in 0..self.plan.input()[2] {
            for o in (0..self.columns.len()).step_by(V::N) {
                let mut taps = [[V::splat(0.0); R]; R];
                for i in 0..R {
                    for j in 0..R {
                        taps[i][j] = self.tap(
                            [self.pair[0].taps[i], self.pair[1].taps[j]],
                            k,
                            self.columns.start + o,
                        );
                    }
                }
                let [channel, element] = self.step;
                V::write_square(
                    both(taps, S::filter_transform),
                    &mut self.to[k * channel + o..],
                    [N * element, element],
                );
            }
        }
    }

    /// The weights of one tap from input channel k to output channels from `o` on.
    #[inline(always)]
    fn tap<V: Lanes<f32>>(&self, [ky, kx]: [usize; 2], k: usize, o: usize) -> V {
        let (plan, [kh, kw]) = (self.plan, self.plan.geometry.kernel);
        let [c_in, c_out] = plan.group_channels();
        let weight = plan.weight;
        if plan.direction == Direction::Transposed {
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
        match self.pair[0].taps.len() {
            2 => self.by::<F2x2, V, 2, 3>(),
            _ => self.by::<F2x3, V, 3, 4>(),
        }
    }
}

/// collect() of a square of numbers, along both axes, for some channels; the elements of each
/// square lie `apart` numbers from one another.
pub(super) struct FilterGradientTransform<'a> {
    pub taps: usize,
    pub from: &'a [f32],
    pub apart: usize,
    pub channels: usize,
    pub to: &'a mut [f32],
}

impl FilterGradientTransform<'_> {
    #[inline(always)]
    fn by<S: MinimalFilter<R, N>, V: Lanes<f32>, const R: usize, const N: usize>(self) {
        for c in (0..self.channels).step_by(V::N) {
            let x: [[V; N]; N] = V::read_square(&self.from[c..], [N * self.apart, self.apart]);
            V::write_square(
                both(x, S::filter_gradient_transform),
                &mut self.to[c..],
                [R * self.apart, self.apart],
            );
        }
    }
}

impl Kernel for FilterGradientTransform<'_> {
    #[inline(always)]
    fn run<V: Lanes<f32>>(self) {
        match self.taps {
            2 => self.by::<F2x2, V, 2, 3>(),
            _ => self.by::<F2x3, V, 3, 4>(),
        }
    }
}
