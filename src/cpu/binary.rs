//! Two operands, element by element, with broadcasting.

use crate::cpu::simd::convert::{BLOCK, as_compute, for_each_block, write_as_compute};
use crate::cpu::{GRAIN, chunks, vectorize};
use crate::{Element, Float, Shape, Stored};

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

/// The partial derivative of y = a (op) b with respect to an operand.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Partial {
    pub kind: Kind,
    /// 0 for a, 1 for b.
    pub side: usize,
}

/// The shapes of two operands, and the one that both are broadcast to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Broadcast {
    pub operands: [Shape; 2],
    pub result: Shape,
}

impl Broadcast {
    /// The steps of each operand; see [`steps`].
    pub fn steps(&self) -> [Shape; 2] {
        self.operands.map(|own| steps(&own, &self.result))
    }
}

/// y = a (op) b, both broadcast to the shape of y.
pub(crate) fn forward<T: Stored>(kind: Kind, [a, b]: [&[T]; 2], shapes: &Broadcast, y: &mut [T]) {
    rows([a, b], shapes, y, &|_, [a, b], y| {
        if a.len() == y.len() && b.len() == y.len() {
            return for_each_block([a, b], y, BLOCK, |[a, b], y| apply_row(kind, a, b, y));
        }
        let [mut buffer_a, mut buffer_b, mut buffer_y] = [const { None }; 3];
        let (a, b) = (as_compute(a, &mut buffer_a), as_compute(b, &mut buffer_b));
        write_as_compute(y, &mut buffer_y, |y| apply_row(kind, a, b, y));
    });
}

/// dx = the partial derivative times dy, all in the shape of dy.
pub(crate) fn backward<T: Stored>(
    partial: Partial,
    [a, b, dy]: [&[T]; 3],
    shapes: &Broadcast,
    dx: &mut [T],
) {
    rows([a, b], shapes, dx, &|start, [a, b], dx| {
        let dy = &dy[start..][..dx.len()];
        let row = |a: &_, b: &_, dy: &[T::Compute], dx: &mut [T::Compute]| {
            dx.copy_from_slice(dy);
            backward_row(partial, a, b, dx);
        };
        if a.len() == dx.len() && b.len() == dx.len() {
            return for_each_block([a, b, dy], dx, BLOCK, |[a, b, dy], dx| row(a, b, dy, dx));
        }
        let [mut buffer_a, mut buffer_b, mut buffer_dy, mut buffer_dx] = [const { None }; 4];
        let (a, b, dy) = (
            as_compute(a, &mut buffer_a),
            as_compute(b, &mut buffer_b),
            as_compute(dy, &mut buffer_dy),
        );
        write_as_compute(dx, &mut buffer_dx, |dx| row(a, b, dy, dx));
    });
}

/// sum += x.
pub(crate) fn add_assign<T: Stored>(sum: &mut [T], x: &[T]) {
    chunks(sum, GRAIN, |start, sum| add_chunk(sum, &x[start..]));
}

vectorize! {
    fn apply_row<T: Float>(kind: Kind, a: &[T], b: &[T], y: &mut [T]) {
        match kind {
            Kind::Add => zip(a, b, y, |_, a, b| a + b),
            Kind::Sub => zip(a, b, y, |_, a, b| a - b),
            Kind::Mul => zip(a, b, y, |_, a, b| a * b),
            Kind::Div => zip(a, b, y, |_, a, b| a / b),
            Kind::Max => zip(a, b, y, |_, a, b| if a.is_nan() || a > b { a } else { b }),
            Kind::Min => zip(a, b, y, |_, a, b| if a.is_nan() || a < b { a } else { b }),
        }
    }

    /// dy, which is in place of dx, times the partial derivative.
    fn backward_row<T: Float>(partial: Partial, a: &[T], b: &[T], dx: &mut [T]) {
        match (partial.kind, partial.side) {
            (Kind::Add, _) | (Kind::Sub, 0) => {}
            (Kind::Sub, _) => zip(a, b, dx, |dy, _, _| -dy),
            (Kind::Mul, 0) => zip(a, b, dx, |dy, _, b| b * dy),
            (Kind::Mul, _) => zip(a, b, dx, |dy, a, _| a * dy),
            (Kind::Div, 0) => zip(a, b, dx, |dy, _, b| dy / b),
            // Not a / b^2: the square overflows in f32 from 2e19 on, and vanishes below 1e-23.
            (Kind::Div, _) => zip(a, b, dx, |dy, a, b| -dy * (a / b / b)),
            (Kind::Max, 0) | (Kind::Min, 1..) => zip(a, b, dx, |dy, a, b| unless_less(a, b, dy)),
            (Kind::Max, _) | (Kind::Min, 0) => zip(a, b, dx, |dy, a, b| unless_less(b, a, dy)),
        }
    }

    fn add_chunk<T: Stored>(sum: &mut [T], x: &[T]) {
        for (sum, &x) in sum.iter_mut().zip(x) {
            *sum = T::from_compute(sum.to_compute() + x.to_compute());
        }
    }
}

/// 0 where a is less than b, dy / 2 where they are equal, else dy: as in PyTorch, that is also
/// where one is not a number. Chosen, not multiplied: an infinite dy times 0 would be not-a-number.
#[inline(always)]
fn unless_less<T: Float>(a: T, b: T, dy: T) -> T {
    let share = if a == b { T::from_f64(0.5) * dy } else { dy };
    if a < b { T::ZERO } else { share }
}

/// y = f(y, a, b), where an operand of one element is repeated.
#[inline(always)]
pub(crate) fn zip<T: Element, Y: Element>(a: &[T], b: &[T], y: &mut [Y], f: impl Fn(Y, T, T) -> Y) {
    match (a, b) {
        (&[a], &[b]) => {
            for y in y {
                *y = f(*y, a, b);
            }
        }
        (a, &[b]) => {
            for (y, &a) in y.iter_mut().zip(a) {
                *y = f(*y, a, b);
            }
        }
        (&[a], b) => {
            for (y, &b) in y.iter_mut().zip(b) {
                *y = f(*y, a, b);
            }
        }
        (a, b) => {
            for ((y, &a), &b) in y.iter_mut().zip(a).zip(b) {
                *y = f(*y, a, b);
            }
        }
    }
}

/// Calls `body(start, operands, row)` for the rows of y, which begin at `start`. An operand that is
/// repeated along the row is a slice of one element.
pub(crate) fn rows<T: Element, Y: Element>(
    operands: [&[T]; 2],
    shapes: &Broadcast,
    y: &mut [Y],
    body: &(dyn Fn(usize, [&[T]; 2], &mut [Y]) + Sync),
) {
    if shapes.operands[0] == shapes.operands[1] {
        return chunks(y, GRAIN, |start, y| {
            body(start, operands.map(|x| &x[start..][..y.len()]), y)
        });
    }
    let (shape, steps) = (&shapes.result, shapes.steps());
    let row = shape.last().copied().unwrap_or(1).max(1);
    // Chunks of whole rows: along the last axis an operand either walks (step 1) or stands still
    // (step 0).
    chunks(y, (GRAIN / row).max(1) * row, |start, y| {
        for (i, y) in y.chunks_mut(row).enumerate() {
            let first = start + i * row;
            let slice = |side: usize| {
                let length = if steps[side].last() == Some(&1) {
                    row
                } else {
                    1
                };
                &operands[side][locate(first, &steps[side], shape)..][..length]
            };
            body(first, [slice(0), slice(1)], y);
        }
    });
}

/// How far an operand moves for a step along each axis of the broadcast shape; 0 along axes it is
/// repeated on.
pub(crate) fn steps(operand: &Shape, shape: &Shape) -> Shape {
    let mut out = *shape;
    let strides = operand.strides();
    for axis in 0..shape.len() {
        let own = (axis + operand.len()).checked_sub(shape.len());
        out = out.with(
            axis,
            own.map_or(0, |own| if operand[own] == 1 { 0 } else { strides[own] }),
        );
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
