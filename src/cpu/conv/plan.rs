//! What every convolution algorithm is given: sizes, weight, and which inputs each output reads.
//!
//! Seen from one output a convolution is a sum over *taps*: the kernel elements that meet it, each
//! with the input that it is multiplied by. Along one axis, with kernel element k,
//!
//! ```text
//! forward:     output i reads input i stride - padding + k dilation
//! transposed:  output o reads input i  where  o = i stride - padding + k dilation
//! ```
//!
//! Forward, all outputs have the same taps. Transposed, k meets o only if o + padding - k dilation
//! is a multiple of the stride, so outputs that are a stride apart have the same taps. This is the
//! polyphase decomposition by outputs (`winograd::components` has the one by inputs): a transposed
//! convolution of stride s is s x s convolutions of stride 1, whose outputs are interleaved and
//! whose kernels together are the one kernel. A kernel of 4 x 4 with stride 2 becomes four kernels
//! of 2 x 2. The textbook's way, zeros inserted between the inputs and then a convolution with all
//! 4 x 4 elements, multiplies four times as much, most of it by zero. Along one axis, with kernel
//! g of 4, stride 2 and padding 1:
//!
//! ```text
//! y[2 j]     = x[j] g[1] + x[j - 1] g[3]         even outputs: a kernel of 2
//! y[2 j + 1] = x[j + 1] g[0] + x[j] g[2]         odd outputs: another one
//! ```
//!
//! A [`Phase`] is one axis of one of these convolutions.

use std::ops::Range;

use crate::Stored;
use crate::cpu::gemm::{TILE_TERMS, dot_width, multiplies_by_tiles};
use crate::tensor::dtype::as_type;
use crate::tensor::window::Geometry;

/// A kernel element along one axis that meets an output, and the input that it multiplies.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tap {
    /// Index into the kernel.
    pub kernel: usize,
    /// Output j's input is at `stride j + offset`, with the phase's stride.
    pub offset: isize,
}

/// Outputs along one axis that have the same taps: those at `start + step j`, for j below `count`.
#[derive(Clone, Debug)]
pub(crate) struct Phase {
    pub start: usize,
    pub step: usize,
    pub count: usize,
    /// From the input of one output to the input of the next.
    pub stride: usize,
    /// By rising offset.
    pub taps: Vec<Tap>,
}

impl Phase {
    /// All outputs of a forward convolution.
    pub fn forward(g: &Geometry, axis: usize) -> Phase {
        let [padding, dilation] = [g.window.padding, g.window.dilation].map(|pair| pair[axis]);
        let tap = |kernel: usize| Tap {
            kernel,
            offset: (kernel * dilation) as isize - padding as isize,
        };
        Phase {
            start: 0,
            step: 1,
            count: g.small[axis],
            stride: g.window.stride[axis],
            taps: (0..g.kernel[axis]).map(tap).collect(),
        }
    }

    /// The outputs of a transposed convolution: as many phases as the stride.
    pub fn transposed(g: &Geometry, axis: usize) -> Vec<Phase> {
        let [stride, padding, dilation] =
            [g.window.stride, g.window.padding, g.window.dilation].map(|pair| pair[axis]);
        let phase = |start: usize| {
            let distance = |k: usize| (start + padding) as isize - (k * dilation) as isize;
            // From the last kernel element to the first: by rising offset.
            let meeting = (0..g.kernel[axis])
                .rev()
                .filter(|&k| distance(k) % stride as isize == 0);
            let tap = |kernel: usize| Tap {
                kernel,
                offset: distance(kernel) / stride as isize,
            };
            Phase {
                start,
                step: stride,
                count: g.big[axis].saturating_sub(start).div_ceil(stride),
                stride: 1,
                taps: meeting.map(tap).collect(),
            }
        };
        (0..stride.min(g.big[axis])).map(phase).collect()
    }

    /// The inputs that outputs `range` read, padding included; none without taps or outputs.
    fn inputs(&self, range: &Range<usize>) -> Option<Range<isize>> {
        let (first, last) = (self.taps.first()?, self.taps.last()?);
        let at = |j: usize, tap: &Tap| (j * self.stride) as isize + tap.offset;
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

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    /// The small image from the big one: conv2d, or the input gradient of conv_transpose2d.
    Forward,
    /// The big image from the small one: conv_transpose2d, or the input gradient of conv2d.
    Transposed,
}

/// Limits that tests lower, to reach every path with small images.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tuning {
    /// Multiply-adds that a task does at least: some twenty microseconds' worth, so that starting
    /// it pays.
    pub min_task: usize,
    /// The fewest pixels in one task of the weight's gradient; each task has a dw of its own.
    pub min_task_pixels: usize,
    /// Whether Winograd's algorithm may be chosen.
    pub winograd: bool,
}

impl Default for Tuning {
    fn default() -> Tuning {
        Tuning {
            min_task: 1 << 20,
            min_task_pixels: 2048,
            winograd: true,
        }
    }
}

/// All of a convolution, in either direction, except its input and output.
pub(crate) struct ConvPlan<'a, T> {
    pub geometry: Geometry,
    pub direction: Direction,
    /// Vertical and horizontal phases. Each output belongs to one pair of them.
    pub phases: [Vec<Phase>; 2],
    /// [channels of the small image, kh, kw, channels of the big image / groups].
    pub weight: &'a [T],
    /// One element for each channel of the output.
    pub bias: Option<&'a [T]>,
    pub tuning: Tuning,
}

impl<'a, T: Stored> ConvPlan<'a, T> {
    /// small = the convolution of big.
    pub fn forward(g: &Geometry, weight: &'a [T], bias: Option<&'a [T]>) -> Self {
        ConvPlan {
            geometry: *g,
            direction: Direction::Forward,
            phases: [0, 1].map(|axis| vec![Phase::forward(g, axis)]),
            weight,
            bias,
            tuning: Tuning::default(),
        }
    }

    /// big = the transposed convolution of small.
    pub fn transposed(g: &Geometry, weight: &'a [T], bias: Option<&'a [T]>) -> Self {
        ConvPlan {
            direction: Direction::Transposed,
            phases: [0, 1].map(|axis| Phase::transposed(g, axis)),
            ..ConvPlan::forward(g, weight, bias)
        }
    }

    /// The same for elements of type S, if that is T.
    pub fn as_type<S: Stored>(&self) -> Option<ConvPlan<'a, S>> {
        Some(ConvPlan {
            geometry: self.geometry,
            direction: self.direction,
            phases: self.phases.clone(),
            weight: as_type(self.weight)?,
            bias: self.bias.and_then(as_type),
            tuning: self.tuning,
        })
    }

    /// Height, width and channels of an input image.
    pub fn input(&self) -> [usize; 3] {
        match self.direction {
            Direction::Forward => self.geometry.big,
            Direction::Transposed => self.geometry.small,
        }
    }

    /// Height, width and channels of an output image.
    pub fn output(&self) -> [usize; 3] {
        match self.direction {
            Direction::Forward => self.geometry.small,
            Direction::Transposed => self.geometry.big,
        }
    }

    /// Input and output channels of one group.
    pub fn group_channels(&self) -> [usize; 2] {
        [self.input(), self.output()].map(|size| size[2] / self.geometry.window.groups)
    }

    /// Input channels of one group as they are multiplied: zero-padded to whole VNNI pairs where
    /// elements of type F are multiplied in pairs, and to whole rows of a tile where AMX multiplies
    /// them. Such a row is a cache line: one that begins within a line takes six times as long to
    /// load.
    pub fn k_channels<F: Stored>(&self) -> usize {
        self.group_channels()[0].next_multiple_of(if multiplies_by_tiles::<F>() {
            TILE_TERMS
        } else {
            dot_width::<F>()
        })
    }

    /// A vertical and a horizontal phase, in each combination.
    pub fn phase_pairs(&self) -> impl Iterator<Item = [&Phase; 2]> {
        let [vertical, horizontal] = &self.phases;
        vertical
            .iter()
            .flat_map(move |v| horizontal.iter().map(move |h| [v, h]))
    }

    /// The rows and columns of an input image, padding included, that output rows `rows` read.
    fn input_span(&self, rows: &Range<usize>) -> [Range<isize>; 2] {
        let span = |phases: &[Phase], outputs: &dyn Fn(&Phase) -> Range<usize>| {
            let inputs = || phases.iter().filter_map(|p| p.inputs(&outputs(p)));
            let start = inputs().map(|range| range.start).min().unwrap_or(0);
            start..inputs().map(|range| range.end).max().unwrap_or(0)
        };
        [
            span(&self.phases[0], &|phase| phase.within(rows)),
            span(&self.phases[1], &|phase| 0..phase.count),
        ]
    }

    /// Elements of a zero-padded copy of what output rows `rows` read.
    pub fn padded_elements(&self, rows: Range<usize>) -> usize {
        let [vertical, horizontal] = self.input_span(&rows).map(|span| span.len());
        self.input()[2]
            .max(1)
            .saturating_mul(vertical)
            .saturating_mul(horizontal)
    }

    /// Where output rows `rows` read elements of type F: in the image itself if it holds them all
    /// as they are, or in a zero-padded copy.
    pub fn view<F: Stored>(&self, rows: &Range<usize>) -> InputView {
        let [h, w, c] = self.input();
        let [vertical, horizontal] = self.input_span(rows);
        let inside =
            |span: &Range<isize>, size: usize| span.start >= 0 && span.end <= size as isize;
        let channels = self.k_channels::<F>();
        // Two groups of one channel, each padded to a pair, have `channels == c` too, but the
        // second channel of such a pair is the other group's.
        let all_channels = channels == c && self.geometry.window.groups == 1;
        let as_stored = all_channels && F::DTYPE == T::DTYPE;
        if as_stored && inside(&vertical, h) && inside(&horizontal, w) {
            return InputView {
                top: 0,
                left: 0,
                height: h,
                width: w,
                channels,
                copied: false,
            };
        }
        self.copied_view(rows, channels)
    }

    /// A zero-padded copy of what output rows `rows` read, of so many channels.
    pub fn copied_view(&self, rows: &Range<usize>, channels: usize) -> InputView {
        let [vertical, horizontal] = self.input_span(rows);
        InputView {
            top: vertical.start,
            left: horizontal.start,
            height: vertical.len(),
            width: horizontal.len(),
            channels,
            copied: true,
        }
    }
}

/// The part of an image that some outputs read, [height, width, channels]: the whole image, or a
/// zero-padded copy of the part from row `top` and column `left` on.
#[derive(Clone, Copy)]
pub(crate) struct InputView {
    pub top: isize,
    pub left: isize,
    pub height: usize,
    pub width: usize,
    pub channels: usize,
    pub copied: bool,
}

impl InputView {
    /// Where the window of the first output of row j of a phase pair begins.
    pub fn window_start(&self, [v, h]: [&Phase; 2], j: usize) -> usize {
        let (Some(first_row), Some(first_column)) = (v.taps.first(), h.taps.first()) else {
            return 0;
        };
        let row = (j * v.stride) as isize + first_row.offset - self.top;
        let column = first_column.offset - self.left;
        (row as usize * self.width + column as usize) * self.channels
    }

    /// From the window of one output to the window of the next one in its row.
    pub fn window_step(&self, [_, h]: [&Phase; 2]) -> usize {
        h.stride * self.channels
    }

    /// From the beginning of a window to each of its taps, row by row.
    pub fn tap_distances(&self, [v, h]: [&Phase; 2]) -> Vec<usize> {
        let distance = |y: &Tap, x: &Tap| {
            let below = (y.offset - v.taps[0].offset) as usize;
            let right = (x.offset - h.taps[0].offset) as usize;
            (below * self.width + right) * self.channels
        };
        v.taps
            .iter()
            .flat_map(|y| h.taps.iter().map(move |x| distance(y, x)))
            .collect()
    }
}
