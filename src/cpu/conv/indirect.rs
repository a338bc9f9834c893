//! Indirect convolution (M. Dukhan, "The Indirect Convolution Algorithm", arXiv 1907.02129): im2col
//! and GEMM without the matrix that im2col would write.
//!
//! im2col turns a convolution into one GEMM, whose A has a row for each output pixel: the window it
//! sees, taps side by side. That is kh kw c_in elements an output: with stride 1, kh kw times the
//! image. But a micro-kernel reads only MR rows of A at a time, and it can be told where they lie,
//! by one offset for each row of A. (Dukhan keeps a pointer for each tap of each row; here the taps
//! are at the same distances from the offset in all rows.)
//!
//! ```text
//! for each band of output rows, group of channels:   a band is a task
//!     copy what it reads, zero-padded                unless the image itself can be read (below)
//!     for each pair of phases:                       one, in a forward convolution
//!         for each KC of (tap, channel):             the same offsets from every window
//!             for each panel of NR output channels:
//!                 for each MR outputs:               offsets of their MR windows
//!                     [MR, KC] x [KC, NR] -> [MR, NR]
//! ```
//!
//! The offsets are two integers for each output pixel of a band, where its window begins and where
//! its result goes, and three for each segment, which the next paragraph explains. With 3 x 3 taps
//! of 64 channels in f32 that is 16 bytes an output, where im2col's matrix has 2,304.
//!
//! The image itself is read where all windows of a band lie inside of it, and its elements are of
//! the type that is multiplied, in as many channels as are multiplied. Else, with any padding for
//! instance, each band copies what it reads, with its zeros: about the image once, where im2col
//! would write it kh kw times.
//!
//! The axis that is summed over, k = (tap, channel), is cut into *segments*: taps that are adjacent
//! in memory are one segment. A 3 x 3 kernel without dilation has three segments of 3 c_in
//! elements, one for each kernel row. Offsets of windows and segments are the same for the same
//! band of every image and are computed once ([`IndirectBand`]).

use std::ops::Range;

use crate::Stored;
use crate::cpu::Scratch;
use crate::cpu::conv::bands::TaskSplit;
use crate::cpu::conv::padded::Pixels;
use crate::cpu::conv::plan::{ConvPlan, Direction, InputView, Phase};
use crate::cpu::gemm::{
    Accumulate, Epilogue, KC, KSegment, Microkernel, OutputPanel, RowOffsets, TileProduct,
    dot_width, nr, to_operand,
};

/// y = the convolution of each image of x, multiplied in type F.
pub(crate) fn convolve<T: Stored, F: Microkernel<Compute = T::Compute>>(
    plan: &ConvPlan<T>,
    split: &TaskSplit,
    x: &[T],
    y: &mut [T],
    epilogue: Epilogue<T>,
) {
    let indirect = Indirect {
        plan,
        weight: pack_weight::<T, F>(plan),
    };
    let bands: Vec<IndirectBand> = split
        .bands(plan)
        .map(|rows| IndirectBand::of::<T, F>(plan, rows))
        .collect();
    let image_len: usize = plan.input().iter().product();
    split.for_each_band(plan, &bands, y, epilogue, |image, band, copy, y| {
        indirect.band(&x[image * image_len..][..image_len], band, copy, y);
    });
}

/// Elements of the packed weight.
pub(crate) fn packed_len<T: Stored, F: Stored<Compute = T::Compute>>(plan: &ConvPlan<T>) -> usize {
    let (g, [_, c_out]) = (&plan.geometry, plan.group_channels());
    let taps = g.kernel[0] * g.kernel[1];
    g.window.groups * taps * plan.k_channels::<F>() * c_out.next_multiple_of(nr::<F>())
}

/// The weight as B of the GEMMs: for each group, phase pair and panel of NR output channels, the
/// panel's [taps c_in, NR], in the order in which they are multiplied.
fn pack_weight<T: Stored, F: Stored<Compute = T::Compute>>(plan: &ConvPlan<T>) -> Scratch<F> {
    let (g, [_, c_out], panel) = (&plan.geometry, plan.group_channels(), nr::<F>());
    let mut packed = Scratch::new(packed_len::<T, F>(plan));
    packed.fill(F::default());
    let mut blocks = packed.chunks_mut((plan.k_channels::<F>() * panel).max(1));
    for group in 0..g.window.groups {
        for [v, h] in plan.phase_pairs() {
            for first in (0..c_out).step_by(panel) {
                let columns = first..c_out.min(first + panel);
                for (y, x) in v
                    .taps
                    .iter()
                    .flat_map(|y| h.taps.iter().map(move |x| (y, x)))
                {
                    let tap = y.kernel * g.kernel[1] + x.kernel;
                    if let Some(block) = blocks.next() {
                        pack_tap(plan, [group, tap], columns.clone(), block);
                    }
                }
            }
        }
    }
    packed
}

/// One tap's [c_in, NR] of a panel, for output channels `columns` of the group. Where elements are
/// multiplied in pairs, the rows of a pair are interleaved.
fn pack_tap<T: Stored, F: Stored<Compute = T::Compute>>(
    plan: &ConvPlan<T>,
    [group, tap]: [usize; 2],
    columns: Range<usize>,
    block: &mut [F],
) {
    let ([c_in, c_out], t) = (plan.group_channels(), dot_width::<F>());
    let taps = plan.geometry.kernel[0] * plan.geometry.kernel[1];
    for i in 0..c_in {
        let row = block[i / t * t * nr::<F>() + i % t..].iter_mut().step_by(t);
        match plan.direction {
            // Output channels are the weight's first axis.
            Direction::Forward => {
                let at = |o: usize| ((group * c_out + o) * taps + tap) * c_in + i;
                row.zip(columns.clone())
                    .for_each(|(to, o)| *to = to_operand(plan.weight[at(o)]));
            }
            // And its last.
            Direction::Transposed => {
                let at = ((group * c_in + i) * taps + tap) * c_out;
                row.zip(&plan.weight[at..][columns.clone()])
                    .for_each(|(to, &w)| *to = to_operand(w));
            }
        }
    }
}

/// A band of output rows of any image.
struct IndirectBand {
    view: InputView,
    /// One for each phase pair.
    phases: Vec<BandPhase>,
}

/// The GEMM that computes the outputs of one phase pair in a band.
struct BandPhase {
    /// Where the outputs' windows begin in the view (rows of A), and the outputs in y (rows of C).
    rows: RowOffsets,
    /// Length of k: taps times channels.
    k: usize,
    /// The segments of k, in blocks of KC, whose part of a panel stays in the L1 cache.
    blocks: Vec<Vec<KSegment>>,
}

impl IndirectBand {
    fn of<T: Stored, F: Stored<Compute = T::Compute>>(
        plan: &ConvPlan<T>,
        rows: Range<usize>,
    ) -> IndirectBand {
        let view = plan.view::<F>(&rows);
        let phase = |pair| {
            let segments = k_segments::<F>(&view, pair);
            let k = segments.iter().map(|s| s.len * dot_width::<F>()).sum();
            // Blocks after the first add to what y holds. If y rounds what it holds, there is one.
            let block = if size_of::<T>() == size_of::<T::Compute>() {
                KC
            } else {
                usize::max(k, 1)
            };
            BandPhase {
                rows: row_offsets::<T, F>(plan, &view, pair, &rows),
                k,
                blocks: k_blocks::<F>(&segments, block),
            }
        };
        let phases = plan.phase_pairs().map(phase).collect();
        IndirectBand { view, phases }
    }
}

/// The outputs of a phase pair within output rows `rows`: where their windows begin in the view,
/// and where they begin in those rows.
fn row_offsets<T: Stored, F: Stored>(
    plan: &ConvPlan<T>,
    view: &InputView,
    [v, h]: [&Phase; 2],
    rows: &Range<usize>,
) -> RowOffsets {
    let [_, width, c] = plan.output();
    let output = |j: usize| ((v.start + j * v.step - rows.start) * width + h.start) * c;
    RowOffsets::lines::<F>(
        v.within(rows)
            .map(|j| [view.window_start([v, h], j), output(j)]),
        h.count,
        [view.window_step([v, h]), h.step * c],
        plan.group_channels()[1].min(nr::<F>()),
    )
}

/// The segments of k: where taps begin, from the beginning of a window on. Taps that are adjacent
/// in memory are one segment.
fn k_segments<F: Stored>(view: &InputView, pair: [&Phase; 2]) -> Vec<KSegment> {
    let (t, mut segments) = (dot_width::<F>(), Vec::<KSegment>::new());
    for (tap, a) in view.tap_distances(pair).into_iter().enumerate() {
        match segments.last_mut() {
            Some(last) if last.a + last.len * t == a => last.len += view.channels / t,
            _ => segments.push(KSegment {
                a,
                b: tap * view.channels * nr::<F>(),
                len: view.channels / t,
            }),
        }
    }
    segments
}

/// Segments cut into blocks of `size`, at least one block.
fn k_blocks<F: Stored>(segments: &[KSegment], size: usize) -> Vec<Vec<KSegment>> {
    let (t, mut block, mut left) = (dot_width::<F>(), Vec::new(), size);
    let mut blocks = Vec::new();
    for segment in segments {
        let mut done = 0;
        while done < segment.len {
            if left == 0 {
                blocks.push(std::mem::take(&mut block));
                left = size;
            }
            let len = left.min(segment.len - done);
            block.push(KSegment {
                a: segment.a + done * t,
                b: segment.b + done * t * nr::<F>(),
                len,
            });
            left -= len;
            done += len;
        }
    }
    blocks.push(block);
    blocks
}

struct Indirect<'a, T, F> {
    plan: &'a ConvPlan<'a, T>,
    /// Packed.
    weight: Scratch<F>,
}

impl<T: Stored, F: Microkernel<Compute = T::Compute>> Indirect<'_, T, F> {
    /// One band of an image x.
    fn band(&self, x: &[T], band: &IndirectBand, copy: &mut Option<Scratch<F>>, y: &mut [T]) {
        let ([c_in, c_out], mut weight) = (self.plan.group_channels(), &self.weight[..]);
        for group in 0..self.plan.geometry.window.groups {
            let pixels = Pixels {
                image: x,
                size: self.plan.input(),
                channels: group * c_in..(group + 1) * c_in,
            };
            let a = pixels.seen(&band.view, copy);
            for phase in &band.phases {
                let (b, rest) = weight.split_at(phase.k * c_out.next_multiple_of(nr::<F>()));
                weight = rest;
                self.multiply(phase, group, [a, b], y);
            }
        }
    }

    /// The outputs of one phase pair, for one group:
    /// `[outputs, taps c_in] x [taps c_in, c_out] -> [outputs, c_out]`.
    fn multiply(&self, phase: &BandPhase, group: usize, [a, b]: [&[F]; 2], y: &mut [T]) {
        let ([_, c_out], panel, t) = (self.plan.group_channels(), nr::<F>(), dot_width::<F>());
        for (i, segments) in phase.blocks.iter().enumerate() {
            let product = TileProduct::new(a, b, [t, t * panel], segments);
            let accumulate = match self.plan.bias {
                _ if i > 0 => Accumulate::Existing,
                Some(bias) => Accumulate::Bias(bias),
                None => Accumulate::Zero,
            };
            for first in (0..c_out).step_by(panel) {
                let to = OutputPanel {
                    c: y,
                    first: group * c_out + first,
                    columns: panel.min(c_out - first),
                };
                // Panel first / NR of B begins k NR elements after the one before it.
                product.tiles(&phase.rows, first * phase.k, accumulate, to);
            }
        }
    }
}
