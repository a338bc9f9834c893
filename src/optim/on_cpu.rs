//! Steps on the CPU: each segment of the arena, in parts that threads work on at once.

use super::rule::{AnyRule, Step};
use super::segment::segments;
use crate::cpu::{GRAIN, part_of_an_op};
use crate::tensor::timeline;
use crate::{DType, Element, Params, Tensor};

/// What a rule changes in one call, and what it reads: the same places of several long arrays.
struct Part<'a, T> {
    w: &'a mut [T],
    dw: &'a [T],
    moments: Vec<&'a mut [T]>,
}

/// A rule's update of one part, for one type of elements.
type Update<'a, T> = &'a (dyn Fn(&Step, Part<T>) + Sync);

/// Step `number` with learning rate `lr`: new weights and moments.
pub(super) fn make(
    rule: &AnyRule,
    (number, lr): (u64, f64),
    params: &mut Params,
    gradients: &Tensor,
    moments: &mut [Tensor],
) {
    let steps: Vec<_> = segments(params)
        .into_iter()
        .filter(|(_, group)| !group.frozen)
        .map(|(range, group)| {
            let step = Step {
                number,
                lr: lr * group.lr_scale,
                decay_scale: group.decay_scale,
            };
            (range, step)
        })
        .collect();
    let rule = &rule.0;
    match params.dtype() {
        DType::F64 => each(&steps, params, gradients, moments, &|step, mut part| {
            rule.update_f64(step, part.w, part.dw, &mut part.moments)
        }),
        _ => each(&steps, params, gradients, moments, &|step, mut part| {
            rule.update_f32(step, part.w, part.dw, &mut part.moments)
        }),
    }
}

/// Updates all segments.
fn each<T: Element>(
    steps: &[(std::ops::Range<usize>, Step)],
    params: &mut Params,
    gradients: &Tensor,
    moments: &mut [Tensor],
    update: Update<T>,
) {
    let (w, dw) = (params.arena_mut().data_mut::<T>(), gradients.data::<T>());
    let mut moments: Vec<&mut [T]> = moments.iter_mut().map(Tensor::data_mut::<T>).collect();
    for (range, step) in steps {
        let part = Part {
            w: &mut w[range.clone()],
            dw: &dw[range.clone()],
            moments: moments.iter_mut().map(|m| &mut m[range.clone()]).collect(),
        };
        over_threads(step, part, update);
    }
}

/// Updates a part, by halves on two threads where it is long. Where it is cut depends on its length
/// alone.
fn over_threads<T: Element>(step: &Step, part: Part<T>, update: Update<T>) {
    let length = part.w.len();
    if length <= GRAIN {
        let _busy = part_of_an_op(timeline::is_on());
        return update(step, part);
    }
    let middle = (length / 2).next_multiple_of(GRAIN);
    let ((w, w2), (dw, dw2)) = (part.w.split_at_mut(middle), part.dw.split_at(middle));
    let halves = part.moments.into_iter().map(|m| m.split_at_mut(middle));
    let (moments, moments2) = halves.unzip();
    let [first, second] =
        [(w, dw, moments), (w2, dw2, moments2)].map(|(w, dw, moments)| Part { w, dw, moments });
    rayon::join(
        || over_threads(step, first, update),
        || over_threads(step, second, update),
    );
}
