//! Convolutions cut into many tasks, against their definition.
//!
//! How an image is cut depends on how much work a task is worth starting for, which small images
//! never reach. So the size of a task is drawn too, down to one row of outputs. All values are
//! small integers: every sum is exact in any order and any algorithm, and results have to be equal
//! bit for bit.

use std::sync::Mutex;

use half::bf16;

use super::numbers::Numbers;
use crate::Stored;
use crate::cpu::conv::plan::{ConvPlan, Tuning};
use crate::cpu::conv::{self as conv, reference};
use crate::cpu::gemm::{Epilogue, GemmElement};
use crate::tensor::window::{Geometry, Window};

/// Multiply-adds of one case, and elements of one operand, at most.
const MOST: usize = 1 << 18;

/// Numbers of channels: odd ones, vectors and panels of every width, and as many as Winograd's
/// algorithm starts at.
const CHANNELS: [usize; 14] = [1, 2, 3, 4, 5, 7, 8, 16, 17, 32, 33, 48, 64, 72];

/// Both directions, the gradient of the weight, and what is reported of a finished part, in one
/// dtype.
pub fn convolution(bytes: &[u8]) {
    let mut bytes = Numbers(bytes);
    let (dtype, task) = (bytes.small(3), 1usize << bytes.small(22));
    let Some(g) = geometry(&mut bytes) else {
        return;
    };
    match dtype {
        0 => check::<f32>(&g, task),
        1 => check::<f64>(&g, task),
        _ => check::<bf16>(&g, task),
    }
}

/// A window of strides up to 17 and kernels up to 19 over some images, unless that is too much
/// work.
fn geometry(bytes: &mut Numbers) -> Option<Geometry> {
    let mut pair = |most: usize| [1 + bytes.small(most), 1 + bytes.small(most)];
    let (size, kernel, stride, dilation) = (pair(64), pair(19), pair(17), pair(3));
    // Half of the kernels are as wide as tall, with a stride and without dilation, as in most
    // layers.
    let (kernel, stride, dilation) = match bytes.small(2) {
        0 => ([kernel[0]; 2], [stride[0]; 2], [1, 1]),
        _ => (kernel, stride, dilation),
    };
    let padding = [0, 1].map(|axis| bytes.small(kernel[axis] * dilation[axis] + 1));
    let [a, b] = [0, 1].map(|_| CHANNELS[bytes.small(CHANNELS.len())]);
    let (groups, channels) = match bytes.small(6) {
        0 => (a, [a, a]),
        1 => (2, [2 * a, 2 * b]),
        _ => (1, [a, b]),
    };
    let window = Window {
        stride,
        padding,
        dilation,
        groups,
        ..Window::default()
    };
    let small = window.output_size("fuzz", size, kernel).ok()?;
    let n = 1 + bytes.small(5);
    let g = Geometry::new(
        n,
        [size[0], size[1], channels[0]],
        [small[0], small[1], channels[1]],
        kernel,
        window,
    );
    let elements = [
        n * size[0] * size[1] * channels[0],
        n * small[0] * small[1] * channels[1],
        g.flops() as usize / 2,
    ];
    (elements.into_iter().max()? <= MOST).then_some(g)
}

/// The same integers of -2 to 2 in any type.
fn integers<T: Stored>(count: usize, step: usize) -> Vec<T> {
    (0..count)
        .map(|i| T::from_f64((i * step % 5) as f64 - 2.0))
        .collect()
}

fn check<T: GemmElement>(g: &Geometry, task: usize) {
    let [big, small] = [g.big, g.small].map(|size| g.n * size.iter().product::<usize>());
    let (big, small, weight) = (
        integers(big, 7919),
        integers(small, 104_729),
        integers(g.small[2] * g.columns(), 1_299_709),
    );
    let bias = [g.small[2], g.big[2]].map(|channels| integers::<T>(channels, 3));

    let mut want = vec![T::default(); small.len()];
    reference::forward(g, &big, &weight, Some(&bias[0]), &mut want);
    let plan = ConvPlan::forward(g, &weight, Some(&bias[0]));
    run(plan, task, &big, &want);

    let mut want = vec![T::default(); big.len()];
    reference::transposed(g, &small, &weight, Some(&bias[1]), &mut want);
    let plan = ConvPlan::transposed(g, &weight, Some(&bias[1]));
    run(plan, task, &small, &want);

    let [mut want, mut got, mut general] =
        [(); 3].map(|()| vec![<T::Compute as crate::Float>::ZERO; weight.len()]);
    reference::backward_weight(g, &small, &big, &mut want);
    conv::backward_weight(g, &small, &big, &mut got);
    assert!(got == want, "the gradient of the weight: {g:?}");
    let tuning = Tuning {
        min_task_pixels: task,
        winograd: false,
        ..Tuning::default()
    };
    conv::backward_weight_as::<T, T::Compute>(g, tuning, [&small, &big], &mut general);
    assert!(
        general == want,
        "the gradient of the weight in tasks of {task}: {g:?}"
    );
}

/// By the algorithm that is chosen for such shapes, and without Winograd's, in tasks of `task`
/// multiply-adds.
fn run<T: GemmElement>(mut plan: ConvPlan<T>, task: usize, x: &[T], want: &[T]) {
    type Compute<T> = <T as Stored>::Compute;
    let algorithms: [(&str, bool, fn(&ConvPlan<T>, &[T], &mut [T], Epilogue<T>)); 3] = [
        ("chosen", true, conv::convolve::<T>),
        ("own type", false, conv::convolve_as::<T, T>),
        ("compute type", false, conv::convolve_as::<T, Compute<T>>),
    ];
    plan.tuning.min_task = task;
    let g = plan.geometry;
    for (name, winograd, algorithm) in algorithms {
        plan.tuning.winograd = winograd;
        let (mut y, parts) = (vec![T::from_f64(77.0); want.len()], Mutex::new(Vec::new()));
        algorithm(&plan, x, &mut y, &|start, part| {
            let right = part == &want[start..start + part.len()];
            assert!(
                right,
                "{name}: a part reported as finished, tasks of {task}: {g:?}"
            );
            parts
                .lock()
                .unwrap_or_else(|e| e.into_inner())
                .push((start, part.len()));
        });
        assert!(y == want, "{name}, tasks of {task}: {g:?}");
        let mut parts = parts.into_inner().unwrap_or_else(|e| e.into_inner());
        parts.sort_unstable();
        let end = parts.iter().fold(
            0,
            |at, &(start, len)| if start == at { at + len } else { usize::MAX },
        );
        assert!(end == want.len(), "each output is reported once: {g:?}");
    }
}
