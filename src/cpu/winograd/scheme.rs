//! The two schemes, and their additions over the channels of pixels.

use crate::cpu::lanes::{Kernel, Lanes};

/// A scheme of R taps g and N = R + 1 products m: m = weight(g) input(x), element by element, and y = output(m).
trait Scheme<const R: usize, const N: usize> {
    fn weight<V: Lanes<f32>>(g: [V; R]) -> [V; N];
    fn input<V: Lanes<f32>>(x: [V; N]) -> [V; N];
    fn output<V: Lanes<f32>>(m: [V; N]) -> [V; 2];
    /// The transpose of `output`, as gradients need it.
    fn spread<V: Lanes<f32>>(dy: [V; 2]) -> [V; N];
    /// The transpose of `weight`.
    fn collect<V: Lanes<f32>>(dm: [V; N]) -> [V; R];
}

/// Of two taps, as above.
struct Two;
impl Scheme<2, 3> for Two {
    #[inline(always)]
    fn weight<V: Lanes<f32>>([g0, g1]: [V; 2]) -> [V; 3] {
        [g0, g0.add(g1), g1]
    }
    #[inline(always)]
    fn input<V: Lanes<f32>>([x0, x1, x2]: [V; 3]) -> [V; 3] {
        [x0.sub(x1), x1, x1.sub(x2)]
    }
    #[inline(always)]
    fn output<V: Lanes<f32>>([m0, m1, m2]: [V; 3]) -> [V; 2] {
        [m0.add(m1), m1.sub(m2)]
    }
    #[inline(always)]
    fn spread<V: Lanes<f32>>([y0, y1]: [V; 2]) -> [V; 3] {
        [y0, y0.add(y1), V::splat(0.0).sub(y1)]
    }
    #[inline(always)]
    fn collect<V: Lanes<f32>>([m0, m1, m2]: [V; 3]) -> [V; 2] {
        [m0.add(m1), m1.add(m2)]
    }
}

/// Of three taps.
struct Three;
impl Scheme<3, 4> for Three {
    #[inline(always)]
    fn weight<V: Lanes<f32>>([g0, g1, g2]: [V; 3]) -> [V; 4] {
        let ends = g0.add(g2);
        [g0, half(ends.add(g1)), half(ends.sub(g1)), g2]
    }
    #[inline(always)]
    fn input<V: Lanes<f32>>([x0, x1, x2, x3]: [V; 4]) -> [V; 4] {
        [x0.sub(x2), x1.add(x2), x2.sub(x1), x1.sub(x3)]
    }
    #[inline(always)]
    fn output<V: Lanes<f32>>([m0, m1, m2, m3]: [V; 4]) -> [V; 2] {
        [m0.add(m1).add(m2), m1.sub(m2).sub(m3)]
    }
    #[inline(always)]
    fn spread<V: Lanes<f32>>([y0, y1]: [V; 2]) -> [V; 4] {
        [y0, y0.add(y1), y0.sub(y1), V::splat(0.0).sub(y1)]
    }
    #[inline(always)]
    fn collect<V: Lanes<f32>>([m0, m1, m2, m3]: [V; 4]) -> [V; 3] {
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
fn both<V: Lanes<f32>, const I: usize, const O: usize>(x: [[V; I]; I], f: impl Fn([V; I]) -> [V; O]) -> [[V; O]; O] {
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

/// A square of vectors that lie `apart` numbers from one another.
#[inline(always)]
fn read_square<V: Lanes<f32>, const N: usize>(from: &[f32], apart: usize) -> [[V; N]; N] {
    let mut x = [[V::splat(0.0); N]; N];
    for i in 0..N {
        for j in 0..N {
            x[i][j] = V::read(&from[(i * N + j) * apart..]);
        }
    }
    x
}

#[inline(always)]
fn write_square<V: Lanes<f32>, const N: usize>(x: [[V; N]; N], apart: usize, to: &mut [f32]) {
    for i in 0..N {
        for j in 0..N {
            x[i][j].write(&mut to[(i * N + j) * apart..]);
        }
    }
}

/// input() or spread() of a square of pixels, along both axes; its elements go `apart` numbers from one another, and of
/// each the channels in panels of `panel.0`, `panel.1` numbers from one another.
pub(super) struct TransformPixels<'a> {
    pub taps: usize,
    /// spread(), of 2 x 2 pixels.
    pub spread: bool,
    pub x: &'a [&'a [f32]; 16],
    pub apart: usize,
    pub panel: [usize; 2],
    pub to: &'a mut [f32],
}

impl TransformPixels<'_> {
    #[inline(always)]
    fn by<V: Lanes<f32>, const I: usize, const N: usize>(self, map: impl Fn([V; I]) -> [V; N]) {
        for c in (0..self.x[0].len()).step_by(V::N) {
            let mut x = [[V::splat(0.0); I]; I];
            for i in 0..I {
                for j in 0..I {
                    x[i][j] = V::read(&self.x[i * I + j][c..]);
                }
            }
            let at = c / self.panel[0] * self.panel[1] + c % self.panel[0];
            write_square(both(x, &map), self.apart, &mut self.to[at..]);
        }
    }
}

impl Kernel for TransformPixels<'_> {
    #[inline(always)]
    fn run<V: Lanes<f32>>(self) {
        match (self.taps, self.spread) {
            (2, false) => self.by::<V, 3, 3>(Two::input),
            (2, true) => self.by::<V, 2, 3>(Two::spread),
            (_, false) => self.by::<V, 4, 4>(Three::input),
            (_, true) => self.by::<V, 2, 4>(Three::spread),
        }
    }
}

/// output() of a square of products, along both axes, plus bias, to those outputs that exist.
pub(super) struct Restore<'a> {
    pub taps: usize,
    pub products: &'a [f32],
    pub apart: usize,
    pub bias: &'a [f32],
    pub out: [Option<usize>; 4],
    pub y: &'a mut [f32],
}

impl Restore<'_> {
    #[inline(always)]
    fn by<S: Scheme<R, N>, V: Lanes<f32>, const R: usize, const N: usize>(self) {
        for c in (0..self.bias.len()).step_by(V::N) {
            let y = both(read_square::<V, N>(&self.products[c..], self.apart), S::output);
            let bias = V::read(&self.bias[c..]);
            for i in 0..2 {
                for j in 0..2 {
                    if let Some(at) = self.out[2 * i + j] {
                        y[i][j].add(bias).write(&mut self.y[at + c..]);
                    }
                }
            }
        }
    }
}

impl Kernel for Restore<'_> {
    #[inline(always)]
    fn run<V: Lanes<f32>>(self) {
        match self.taps {
            2 => self.by::<Two, V, 2, 3>(),
            _ => self.by::<Three, V, 3, 4>(),
        }
    }
}

/// weight() or collect() of a square of numbers, along both axes, for some channels; the elements of each square lie
/// `apart` numbers from one another.
pub(super) struct TransformSquare<'a> {
    pub taps: usize,
    pub collect: bool,
    pub from: &'a [f32],
    pub apart: [usize; 2],
    pub channels: usize,
    pub to: &'a mut [f32],
}

impl TransformSquare<'_> {
    #[inline(always)]
    fn by<V: Lanes<f32>, const I: usize, const O: usize>(self, map: impl Fn([V; I]) -> [V; O]) {
        for c in (0..self.channels).step_by(V::N) {
            let x = read_square::<V, I>(&self.from[c..], self.apart[0]);
            write_square(both(x, &map), self.apart[1], &mut self.to[c..]);
        }
    }
}

impl Kernel for TransformSquare<'_> {
    #[inline(always)]
    fn run<V: Lanes<f32>>(self) {
        match (self.taps, self.collect) {
            (2, false) => self.by::<V, 2, 3>(Two::weight),
            (2, true) => self.by::<V, 3, 2>(Two::collect),
            (_, false) => self.by::<V, 3, 4>(Three::weight),
            (_, true) => self.by::<V, 4, 3>(Three::collect),
        }
    }
}
