//! Convolution in both directions, as a matrix product that gathers its rows.
//!
//! Seen from one output pixel a convolution is a sum over the kernel's elements (taps) of an input
//! pixel's channels times a matrix. So eight output pixels side by side are a tile of a matrix
//! product, whose rows of A begin where each pixel's window does. The taps then lie at the same
//! distances from there for all eight: neither the windows nor an intermediate of 16 times the size
//! is ever written. What is copied is the part of one image that a task reads, framed by the zeros
//! of the padding, and not even that where there is no padding and nothing to be widened.
//!
//! A transposed convolution of stride 2 with a kernel of 4 is four convolutions of stride 1 with a
//! kernel of 2, one for each parity of the output's row and column: each output is written once, by
//! whoever owns it.

use std::ops::Range;

use crate::Stored;
use crate::cpu::conv::{depthwise, reference, winograd};
use crate::cpu::gemm::{
    Accumulate, GemmElement, KC, KSegment, Microkernel, OutputTile, RowOffsets, TileProduct,
    copy_many, dot_width, factor, multiplies_natively, nr,
};
use crate::cpu::{Scratch, chunks};
use crate::tensor::dtype::as_type;
use crate::tensor::window::Geometry;

/// Outputs at `start + step j` along one axis, for j below `count`, and where their inputs are.
#[derive(Clone, Debug)]
pub(crate) struct Phase {
    pub start: usize,
    pub step: usize,
    pub count: usize,
    /// Output j's input for a tap is at `stride j + offset`.
    pub stride: usize,
    /// Kernel index and offset of each tap, by rising offset.
    pub taps: Vec<(usize, isize)>,
}

impl Phase {
    /// The inputs that outputs `range` read, padding included.
    fn inputs(&self, range: &Range<usize>) -> Option<Range<isize>> {
        let (&(_, first), &(_, last)) = (self.taps.first()?, self.taps.last()?);
        let at = |j: usize, offset: isize| (j * self.stride) as isize + offset;
        (!range.is_empty()).then(|| at(range.start, first)..at(range.end - 1, last) + 1)
    }

    /// Those j whose outputs lie in `rows`.
    pub fn within(&self, rows: &Range<usize>) -> Range<usize> {
        let index = |row: usize| {
            row.saturating_sub(self.start)
                .div_ceil(self.step)
                .min(self.count)
        };
        index(rows.start)..index(rows.end)
    }
}

/// A convolution in either direction, ready to run.
pub(crate) struct ConvPlan<'a, T> {
    /// Of all images.
    pub geometry: Geometry,
    /// Height, width, channels.
    pub input: [usize; 3],
    pub output: [usize; 3],
    pub groups: usize,
    /// Vertical and horizontal phases; together they meet each output once.
    pub phases: [Vec<Phase>; 2],
    /// kh x kw.
    pub kernel: [usize; 2],
    /// The weight, [channels of the small image, kh, kw, channels of the big one / groups].
    pub weight: &'a [T],
    /// Whether the output is the small image, so that the weight's first axis is the output's
    /// channels.
    pub to_small: bool,
    pub bias: Option<&'a [T]>,
    /// Multiply-adds of a task, at least: [`TASK`], but that tests take less to have many tasks of
    /// small images.
    pub task: usize,
}

/// What is called with each part of an output that is done.
pub(crate) type Epilogue<'a, T> = dyn Fn(usize, &[T]) + Sync + 'a;

/// Multiply-adds a task is worth starting for: some twenty microseconds.
pub(crate) const TASK: usize = 1 << 20;

/// Tasks that are enough for the threads of any processor: fewer and larger ones fill their tiles
/// better, and copy less.
const TASKS: usize = 64;

/// Elements of a frame that stays in the second-level cache, and of the largest one that a task may
/// take.
const L2_ELEMENTS: usize = 1 << 18;
const MAX_PADDED: usize = 1 << 24;

impl<T: Stored> ConvPlan<'_, T> {
    /// y = the convolution of each image of x, and calls `done` with where it begins and all of it
    /// for each part of y that is done.
    pub fn run(&self, x: &[T], y: &mut [T], done: &Epilogue<T>)
    where
        T: GemmElement,
    {
        if y.is_empty() || winograd::convolve(self, x, y, done) {
            return;
        }
        if multiplies_natively::<T>() {
            self.run_of::<T>(x, y, done)
        } else {
            self.run_of::<T::Compute>(x, y, done)
        }
    }

    /// As [`ConvPlan::run`], of factors of type F.
    pub fn run_of<F: Microkernel<Compute = T::Compute>>(
        &self,
        x: &[T],
        y: &mut [T],
        done: &Epilogue<T>,
    ) {
        let [_, w, c] = self.output;
        let (size_x, size_y) = (
            self.input.iter().product::<usize>(),
            self.output.iter().product::<usize>(),
        );
        let packed: &[F] = if self.is_depthwise() {
            &depthwise::pack(self)
        } else {
            &self.pack()
        };
        let work = |rows: usize| {
            rows * w * packed.len() / (self.phases[0].len() * self.phases[1].len()).max(1)
        };
        // Rows that make a task, a whole image where it is small or one of many whose frames stay
        // near; and images, if tiny.
        let frame = |rows| {
            self.spans(&(0..rows))
                .iter()
                .fold(self.input[2].max(1), |n, span| n.saturating_mul(span.len()))
        };
        let near = L2_ELEMENTS.saturating_mul(self.output[0]) / frame(self.output[0]).max(1);
        let share = self.output[0]
            .div_ceil(TASKS.div_ceil(y.len() / size_y))
            .min(near);
        let rows = self
            .task
            .div_ceil(work(1).max(1))
            .max(share)
            .min(self.output[0]);
        if frame(rows) > MAX_PADDED {
            return chunks(y, size_y, |start, y| {
                let (g, x) = (
                    Geometry {
                        n: 1,
                        ..self.geometry
                    },
                    &x[start / size_y * size_x..][..size_x],
                );
                match self.to_small {
                    true => reference::forward(&g, x, self.weight, self.bias, y),
                    false => reference::transposed(&g, x, self.weight, self.bias, y),
                }
                done(start, y);
            });
        }
        let images = self.task.div_ceil(work(self.output[0]).max(1));
        let parts = (0..self.output[0])
            .step_by(rows)
            .map(|first| self.part::<F>(first..self.output[0].min(first + rows)));
        let parts: Vec<RowBand> = parts.collect();
        chunks(y, images * size_y, |start, y| {
            let mut frame = None;
            for (image, y) in (start / size_y..).zip(y.chunks_mut(size_y)) {
                let x = &x[image * size_x..][..size_x];
                match &parts[..] {
                    [whole] => self.rows(x, whole, packed, &mut frame, y),
                    parts => chunks(y, rows * w * c, |start, y| {
                        self.rows(x, &parts[start / (rows * w * c)], packed, &mut None, y);
                        done(image * size_y + start, y);
                    }),
                }
            }
            if parts.len() == 1 {
                done(start, y);
            }
        });
    }

    /// Channels in and out of each group.
    fn channels(&self) -> [usize; 2] {
        [self.input[2] / self.groups, self.output[2] / self.groups]
    }

    /// Channels into each group, filled up to those that go together.
    fn terms<F: Stored>(&self) -> usize {
        self.channels()[0].next_multiple_of(dot_width::<F>())
    }

    /// The weight as the right side of matrix products: for each group, pair of phases and panel of
    /// output channels, the panel's columns for each tap and input channel.
    fn pack<F: Stored<Compute = T::Compute>>(&self) -> Scratch<F> {
        let ([_, c_out], wide) = (self.channels(), nr::<F>());
        let panels = c_out.div_ceil(wide);
        let mut packed = Scratch::new(
            self.groups * self.kernel[0] * self.kernel[1] * self.terms::<F>() * panels * wide,
        );
        packed.fill(F::default());
        let mut rest = &mut packed[..];
        for group in 0..self.groups {
            for (vertical, horizontal) in self.pairs() {
                for first in (0..c_out).step_by(wide) {
                    let columns = wide.min(c_out - first);
                    for &(ky, _) in &vertical.taps {
                        for &(kx, _) in &horizontal.taps {
                            let (block, after) = rest.split_at_mut(self.terms::<F>() * wide);
                            self.pack_tap(
                                group,
                                ky * self.kernel[1] + kx,
                                first..first + columns,
                                block,
                            );
                            rest = after;
                        }
                    }
                }
            }
        }
        packed
    }

    /// One tap's [c_in, panel] of the weight; rows that go together lie element by element.
    fn pack_tap<F: Stored<Compute = T::Compute>>(
        &self,
        group: usize,
        tap: usize,
        columns: Range<usize>,
        block: &mut [F],
    ) {
        let ([c_in, c_out], taps, t) = (
            self.channels(),
            self.kernel[0] * self.kernel[1],
            dot_width::<F>(),
        );
        for (i, row) in (0..c_in).map(|i| (i, i / t * t * nr::<F>() + i % t)) {
            let row = block[row..].iter_mut().step_by(t);
            if self.to_small {
                let at = |o: usize| ((group * c_out + o) * taps + tap) * c_in + i;
                row.zip(columns.clone())
                    .for_each(|(w, o)| *w = factor(self.weight[at(o)]));
            } else {
                let at = ((group * c_in + i) * taps + tap) * c_out;
                row.zip(&self.weight[at..][columns.clone()])
                    .for_each(|(to, &w)| *to = factor(w));
            }
        }
    }

    /// Whether each channel has a kernel of its own: then there are no sums over channels for a
    /// matrix product to do.
    fn is_depthwise(&self) -> bool {
        self.groups == self.input[2] && self.groups == self.output[2]
    }

    pub fn pairs(&self) -> impl Iterator<Item = (&Phase, &Phase)> {
        self.phases[0]
            .iter()
            .flat_map(|v| self.phases[1].iter().map(move |h| (v, h)))
    }

    /// One part of an image's output rows.
    fn rows<F: Microkernel<Compute = T::Compute>>(
        &self,
        x: &[T],
        part: &RowBand,
        packed: &[F],
        scratch: &mut Option<Scratch<F>>,
        y: &mut [T],
    ) {
        let [c_in, c_out] = self.channels();
        if self.is_depthwise() {
            let data = self.frame(x, part.view, 0..self.input[2], scratch);
            return depthwise::rows(self, (data, part.view), &part.rows, packed, y);
        }
        let mut packed = packed;
        for group in 0..self.groups {
            let data = self.frame(x, part.view, group * c_in..(group + 1) * c_in, scratch);
            for phase in &part.phases {
                let (weight, rest) =
                    packed.split_at(phase.terms * c_out.next_multiple_of(nr::<F>()));
                packed = rest;
                self.phase(phase, group, (data, weight), y);
            }
        }
    }

    /// What output rows `rows` of all images have in common.
    fn part<F: Stored>(&self, rows: Range<usize>) -> RowBand {
        let view = self.view::<F>(&rows);
        let (wide, t) = (nr::<F>(), dot_width::<F>());
        let phase = |pair| {
            let runs = runs(pair, view.width, (self.terms::<F>(), t), wide);
            let terms = runs.iter().map(|run| run.len * t).sum::<usize>();
            // Where y rounds what it holds, all terms are added up at once.
            let room = if size_of::<T>() == size_of::<T::Compute>() {
                KC
            } else {
                terms.max(1)
            };
            let blocks = blocks(&runs, (t, wide), room);
            BandPhase {
                tiles: self.tiles::<F>(pair, view, &rows),
                terms,
                blocks,
            }
        };
        let pairs = self
            .pairs()
            .map(|(v, h)| [v, h])
            .filter(|_| !self.is_depthwise());
        RowBand {
            phases: pairs.map(phase).collect(),
            rows,
            view,
        }
    }

    /// The rows and columns of an image, padding included, that output rows `rows` read.
    fn spans(&self, rows: &Range<usize>) -> [Range<isize>; 2] {
        let span = |phases: &[Phase], range: &dyn Fn(&Phase) -> Range<usize>| {
            let parts = || {
                phases
                    .iter()
                    .filter_map(|phase| phase.inputs(&range(phase)))
            };
            parts().map(|p| p.start).min().unwrap_or(0)..parts().map(|p| p.end).max().unwrap_or(0)
        };
        [
            span(&self.phases[0], &|phase| phase.within(rows)),
            span(&self.phases[1], &|phase| 0..phase.count),
        ]
    }

    /// Where output rows `rows` read: in the image itself, if nothing has to be added or widened,
    /// or in a frame.
    fn view<F: Stored>(&self, rows: &Range<usize>) -> InputView {
        let [h, w, c] = self.input;
        let [vertical, horizontal] = self.spans(rows);
        let inside =
            |span: &Range<isize>, size: usize| span.start >= 0 && span.end <= size as isize;
        let channels = if self.is_depthwise() {
            c
        } else {
            self.terms::<F>()
        };
        // One channel a group, filled up to a pair, may be as many as the image has: but the pair
        // is not the group's own.
        let whole = channels == c && (self.groups == 1 || self.is_depthwise());
        if whole && F::DTYPE == T::DTYPE && inside(&vertical, h) && inside(&horizontal, w) {
            return InputView {
                top: 0,
                left: 0,
                height: h,
                width: w,
                channels,
                padded: false,
            };
        }
        let (top, left, height, width) = (
            vertical.start,
            horizontal.start,
            vertical.len(),
            horizontal.len(),
        );
        InputView {
            top,
            left,
            height,
            width,
            channels,
            padded: true,
        }
    }

    /// Some channels of an image, as `view` sees them; in memory that all frames of this view may
    /// share.
    fn frame<'s, F: Stored<Compute = T::Compute>>(
        &self,
        x: &'s [T],
        view: InputView,
        channels: Range<usize>,
        scratch: &'s mut Option<Scratch<F>>,
    ) -> &'s [F] {
        if let Some(x) = as_type(x).filter(|_| !view.padded) {
            return x;
        }
        let (
            [h, w, c],
            InputView {
                top,
                left,
                height,
                width,
                channels: c_in,
                ..
            },
        ) = (self.input, view);
        let scratch = scratch.get_or_insert_with(|| Scratch::new(height * width * c_in));
        let columns = left.max(0)..(left + width as isize).min(w as isize);
        for (row, line) in (top..).zip(scratch.chunks_mut((width * c_in).max(1))) {
            if row < 0 || row >= h as isize || columns.is_empty() {
                line.fill(F::default());
                continue;
            }
            let from = &x[(row as usize * w + columns.start as usize) * c..][..columns.len() * c];
            let (before, rest) = line.split_at_mut((columns.start - left) as usize * c_in);
            let (to, behind) = rest.split_at_mut(columns.len() * c_in);
            before.fill(F::default());
            behind.fill(F::default());
            if c_in == c && channels.len() == c {
                copy_many(from, to);
            } else {
                let pixels = to.chunks_mut(c_in).zip(from.chunks(c));
                pixels.for_each(|(to, from)| {
                    let (to, odd) = to.split_at_mut(channels.len());
                    copy_many(&from[channels.clone()], to);
                    odd.fill(F::default());
                });
            }
        }
        scratch
    }

    /// The outputs of one pair of phases within a part, for one group.
    fn phase<F: Microkernel<Compute = T::Compute>>(
        &self,
        phase: &BandPhase,
        group: usize,
        (data, weight): (&[F], &[F]),
        y: &mut [T],
    ) {
        let ([_, c_out], wide, t) = (self.channels(), nr::<F>(), dot_width::<F>());
        for (i, runs) in phase.blocks.iter().enumerate() {
            let sums = TileProduct::new(data, weight, [t, t * wide], runs);
            let begin = match self.bias {
                Some(bias) if i == 0 => Accumulate::Bias(bias),
                None if i == 0 => Accumulate::Zero,
                _ => Accumulate::Existing,
            };
            for (panel, first) in (0..c_out).step_by(wide).enumerate() {
                let target = OutputTile {
                    c: y,
                    first: group * c_out + first,
                    columns: wide.min(c_out - first),
                };
                sums.tiles(&phase.tiles, panel * phase.terms * wide, begin, target);
            }
        }
    }

    /// The pixels of a pair of phases: where their windows begin in the view, and their results
    /// among the output rows `rows`.
    fn tiles<F: Stored>(
        &self,
        [v, h]: [&Phase; 2],
        view: InputView,
        rows: &Range<usize>,
    ) -> RowOffsets {
        let ([_, width, c], lines) = (self.output, v.within(rows));
        let step = lines.clone().next().map_or(0, |j| view.window([v, h], j).1);
        let line = |j| {
            [
                view.window([v, h], j).0,
                ((v.start + j * v.step - rows.start) * width + h.start) * c,
            ]
        };
        RowOffsets::lines::<F>(
            lines.map(line),
            h.count,
            [step, h.step * c],
            self.channels()[1].min(nr::<F>()),
        )
    }
}

/// Some output rows, of any image.
struct RowBand {
    rows: Range<usize>,
    view: InputView,
    /// For each pair of phases.
    phases: Vec<BandPhase>,
}

/// The products that make the outputs of a pair of phases.
struct BandPhase {
    tiles: RowOffsets,
    /// Of each output.
    terms: usize,
    /// The terms, so many at a time as stay in the first-level cache.
    blocks: Vec<Vec<KSegment>>,
}

/// Where a part of an image lies: it begins at row `top` and column `left`, and is a copy with
/// zeros around if `framed`.
#[derive(Clone, Copy)]
pub(crate) struct InputView {
    top: isize,
    left: isize,
    height: usize,
    pub width: usize,
    channels: usize,
    padded: bool,
}

impl InputView {
    /// Where the window of the first output of line j begins, and how far apart the windows of its
    /// outputs lie.
    pub fn window(self, [v, h]: [&Phase; 2], j: usize) -> (usize, usize) {
        let (Some(&(_, dy)), Some(&(_, dx))) = (v.taps.first(), h.taps.first()) else {
            return (0, 0);
        };
        let row = (j * v.stride) as isize + dy - self.top;
        (
            (row as usize * self.width + (dx - self.left) as usize) * self.channels,
            h.stride * self.channels,
        )
    }
}

/// Cuts runs into blocks of so many terms that their part of a panel stays in the first-level
/// cache. At least one block.
fn blocks(runs: &[KSegment], (t, wide): (usize, usize), size: usize) -> Vec<Vec<KSegment>> {
    let (mut blocks, mut room) = (vec![Vec::new()], size);
    for run in runs {
        let mut done = 0;
        while done < run.len {
            if room == 0 {
                blocks.push(Vec::new());
                room = size;
            }
            let len = room.min(run.len - done);
            let part = KSegment {
                a: run.a + done * t,
                b: run.b + done * t * wide,
                len,
            };
            blocks
                .last_mut()
                .into_iter()
                .for_each(|block| block.push(part));
            room -= len;
            done += len;
        }
    }
    blocks
}

/// Where the terms of a pixel's sum lie, from the first tap on. Taps side by side make one run.
fn runs(
    [v, h]: [&Phase; 2],
    width: usize,
    (c_in, t): (usize, usize),
    wide: usize,
) -> Vec<KSegment> {
    let mut runs: Vec<KSegment> = Vec::new();
    let mut terms = 0;
    for &(_, dy) in &v.taps {
        for &(_, dx) in &h.taps {
            let (below, right) = ((dy - v.taps[0].1) as usize, (dx - h.taps[0].1) as usize);
            let a = (below * width + right) * c_in;
            match runs.last_mut() {
                Some(last) if last.a + last.len * t == a => last.len += c_in / t,
                _ => runs.push(KSegment {
                    a,
                    b: terms * wide,
                    len: c_in / t,
                }),
            }
            terms += c_in;
        }
    }
    runs
}
