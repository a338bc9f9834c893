//! Two operands, element by element, with broadcasting.

use crate::cpu::{GRAIN, chunks, vectorize};
use crate::{Element, Float, Shape};

/// Which function of two numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Add,
    Sub,
    Mul,
    Div,
    Max,
    Min,
}

impl Kind {
    pub fn name(self) -> &'static str {
        match self {
            Kind::Add => "add",
            Kind::Sub => "sub",
            Kind::Mul => "mul",
            Kind::Div => "div",
            Kind::Max => "maximum",
            Kind::Min => "minimum",
        }
    }
}

/// y = a (op) b, both broadcast to `shape`.
pub(crate) fn apply<T: Float>(kind: Kind, a: (&[T], &Shape), b: (&[T], &Shape), shape: &Shape, y: &mut [T]) {
    match kind {
        Kind::Add => zip(a, b, shape, y, |a, b| a + b),
        Kind::Sub => zip(a, b, shape, y, |a, b| a - b),
        Kind::Mul => zip(a, b, shape, y, |a, b| a * b),
        Kind::Div => zip(a, b, shape, y, |a, b| a / b),
        Kind::Max => zip(a, b, shape, y, |a, b| if a.is_nan() || a > b { a } else { b }),
        Kind::Min => zip(a, b, shape, y, |a, b| if a.is_nan() || a < b { a } else { b }),
    }
}

/// dx = (partial of y with respect to operand `side`) dy, all in the shape of dy.
pub(crate) fn backward<T: Float>(
    kind: Kind,
    side: usize,
    [a, b]: [(&[T], &Shape); 2],
    (dy, shape): (&[T], &Shape),
    dx: &mut [T],
) {
    let (half, one, zero) = (T::from_f64(0.5), T::from_f64(1.0), T::from_f64(0.0));
    let share = move |mine: T, other: T, larger: bool| match mine.partial_cmp(&other) {
        Some(std::cmp::Ordering::Equal) => half,
        Some(order) if (order == std::cmp::Ordering::Greater) == larger => one,
        _ => zero,
    };
    match (kind, side) {
        (Kind::Add, _) | (Kind::Sub, 0) => zip(a, b, shape, dx, |_, _| one),
        (Kind::Sub, _) => zip(a, b, shape, dx, |_, _| -one),
        (Kind::Mul, 0) => zip(a, b, shape, dx, |_, b| b),
        (Kind::Mul, _) => zip(a, b, shape, dx, |a, _| a),
        (Kind::Div, 0) => zip(a, b, shape, dx, |_, b| one / b),
        (Kind::Div, _) => zip(a, b, shape, dx, |a, b| -a / (b * b)),
        (Kind::Max, 0) => zip(a, b, shape, dx, |a, b| share(a, b, true)),
        (Kind::Max, _) => zip(a, b, shape, dx, |a, b| share(b, a, true)),
        (Kind::Min, 0) => zip(a, b, shape, dx, |a, b| share(a, b, false)),
        (Kind::Min, _) => zip(a, b, shape, dx, |a, b| share(b, a, false)),
    }
    chunks(dx, GRAIN, |start, dx| vectorize::<T, _>(|| dx.iter_mut().zip(&dy[start..]).for_each(|(dx, &dy)| *dx = *dx * dy)));
}

/// sum += x.
pub(crate) fn add_assign<T: Float>(sum: &mut [T], x: &[T]) {
    chunks(sum, GRAIN, |start, sum| vectorize::<T, _>(|| sum.iter_mut().zip(&x[start..]).for_each(|(sum, &x)| *sum = *sum + x)));
}

/// y = f(a, b), both broadcast to `shape`.
pub(crate) fn zip<T: Element, Y: Element>(
    a: (&[T], &Shape),
    b: (&[T], &Shape),
    shape: &Shape,
    y: &mut [Y],
    f: impl Fn(T, T) -> Y + Sync + Copy,
) {
    if a.1 == b.1 {
        return chunks(y, GRAIN, |start, y| {
            vectorize::<T, _>(|| y.iter_mut().zip(&a.0[start..]).zip(&b.0[start..]).for_each(|((y, &a), &b)| *y = f(a, b)))
        });
    }
    let row = shape.last().copied().unwrap_or(1).max(1);
    let (steps_a, steps_b) = (steps(a.1, shape), steps(b.1, shape));
    // Chunks of whole rows: along the last axis an operand either walks (step 1) or stands still (step 0).
    chunks(y, (GRAIN / row).max(1) * row, |start, y| {
        for (i, y) in y.chunks_mut(row).enumerate() {
            let first = start + i * row;
            let (a0, b0) = (locate(first, &steps_a, shape), locate(first, &steps_b, shape));
            match (steps_a.last() == Some(&1), steps_b.last() == Some(&1)) {
                (true, true) => {
                    vectorize::<T, _>(|| y.iter_mut().zip(&a.0[a0..]).zip(&b.0[b0..]).for_each(|((y, &a), &b)| *y = f(a, b)))
                }
                (true, false) => vectorize::<T, _>(|| y.iter_mut().zip(&a.0[a0..]).for_each(|(y, &a)| *y = f(a, b.0[b0]))),
                (false, true) => vectorize::<T, _>(|| y.iter_mut().zip(&b.0[b0..]).for_each(|(y, &b)| *y = f(a.0[a0], b))),
                (false, false) => y.fill(f(a.0[a0], b.0[b0])),
            }
        }
    });
}

/// How far an operand moves for a step along each axis of the broadcast shape; 0 along axes it is repeated on.
pub(crate) fn steps(operand: &Shape, shape: &Shape) -> Shape {
    let mut out = *shape;
    let strides = operand.strides();
    for axis in 0..shape.len() {
        let own = (axis + operand.len()).checked_sub(shape.len());
        out = out.with(axis, own.map_or(0, |own| if operand[own] == 1 { 0 } else { strides[own] }));
    }
    out
}

/// Where element `index` of the broadcast shape lies in an operand.
pub(crate) fn locate(mut index: usize, steps: &Shape, shape: &Shape) -> usize {
    let mut at = 0;
    for axis in (0..shape.len()).rev() {
        at += index % shape[axis] * steps[axis];
        index /= shape[axis];
    }
    at
}
