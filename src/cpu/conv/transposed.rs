//! Convolution from the small image to the big one, by output phases.

use crate::cpu::batch_norm::{Collector, Moments};
use crate::cpu::conv::indirect::{ConvPlan, Phase, TASK};
use crate::cpu::gemm::GemmElement;
use crate::tensor::window::Geometry;

/// big = the transposed convolution of small: conv_transpose2d forwards, conv2d's input gradient.
pub(crate) fn conv_transpose2d<T: GemmElement>(
    g: &Geometry,
    small: &[T],
    weight: &[T],
    bias: Option<&[T]>,
    big: &mut [T],
) {
    plan(g, weight, bias).run(small, big, &|_, _| {});
}

/// The same, and the moments of big's channels.
pub(crate) fn with_moments<T: GemmElement>(
    g: &Geometry,
    small: &[T],
    weight: &[T],
    bias: Option<&[T]>,
    big: &mut [T],
) -> Moments {
    let collector = Collector::new(g.big[2]);
    plan(g, weight, bias).run(small, big, &|start, part| collector.add(start, part));
    collector.finish()
}

pub(crate) fn plan<'a, T>(g: &Geometry, weight: &'a [T], bias: Option<&'a [T]>) -> ConvPlan<'a, T> {
    let (groups, phases) = (g.window.groups, [0, 1].map(|axis| phases(g, axis)));
    let (input, output, kernel) = (g.small, g.big, g.kernel);
    ConvPlan {
        geometry: *g,
        input,
        output,
        groups,
        phases,
        kernel,
        weight,
        to_small: false,
        bias,
        task: TASK,
    }
}

/// Output o gets from input i through tap k where o = stride i - padding + dilation k. Outputs that
/// are a stride apart have the same taps, so there are as many phases as the stride.
fn phases(g: &Geometry, axis: usize) -> Vec<Phase> {
    let [stride, padding, dilation] =
        [g.window.stride, g.window.padding, g.window.dilation].map(|pair| pair[axis] as isize);
    let phase = |start: usize| {
        let offset = |k: usize| start as isize + padding - k as isize * dilation;
        let reached = (0..g.kernel[axis])
            .rev()
            .filter(|&k| offset(k) % stride == 0);
        let count = g.big[axis].saturating_sub(start).div_ceil(stride as usize);
        Phase {
            start,
            step: stride as usize,
            count,
            stride: 1,
            taps: reached.map(|k| (k, offset(k) / stride)).collect(),
        }
    };
    (0..(stride as usize).min(g.big[axis])).map(phase).collect()
}
