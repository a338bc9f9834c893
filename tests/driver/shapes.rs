//! Creation, shapes, parts and repetitions.

use wavemix::ops::{concat, stack};
use wavemix::{Device, Error, Result, Shape, Tensor, Var};

use super::Call;
use super::draw::Draw;

pub const CALLS: &[Call] = &[
    ("full_on", |d| {
        let (shape, dtype) = (d.target(), d.any_dtype());
        d.say(format!("{shape} {dtype}"));
        Tensor::full_on(Device::Cpu, shape, 1.0, dtype).map(Var::from)
    }),
    ("from_vec", |d| {
        let (count, shape) = (d.length(), d.target());
        d.say(format!("{count} {shape}"));
        Tensor::from_vec(vec![1.0f32; count], shape).map(Var::from)
    }),
    ("Shape::new", |d| {
        let lengths: Vec<usize> = (0..d.below(9)).map(|_| d.number()).collect();
        let other = d.target();
        d.say(format!("{lengths:?} {other}"));
        let shape = Shape::new(&lengths)?;
        let broadcast = shape.broadcast(&other);
        let counts = [shape, other, broadcast.unwrap_or(shape)]
            .map(|shape| (shape.elements(), shape.strides()));
        Ok(Var::from(Tensor::scalar(counts[0].0 as f64)))
    }),
    ("rows", |d| {
        let x = d.any_var();
        let range = d.number()..d.number();
        d.say(format!("{range:?}"));
        x.value().rows(range).map(Var::from)
    }),
    ("item", |d| {
        d.any_var()
            .value()
            .item()
            .map(|x| Var::from(Tensor::scalar(x)))
    }),
    ("to_vec", |d| {
        d.any_var()
            .value()
            .to_vec::<f32>()
            .map(|x| Var::from(Tensor::scalar(x.len() as f64)))
    }),
    ("Tensor::cast", |d| {
        let (shape, dtype) = (d.any_shape(), d.any_dtype());
        d.tensor(&shape, dtype).cast(d.any_dtype()).map(Var::from)
    }),
    ("reshape", |d| {
        let x = d.any_var();
        let shape = match d.below(3) {
            0 => d.target(),
            1 => Shape::from([x.value().elements()]),
            // As many elements, which have no place in memory where there are none.
            _ => Shape::from([x.value().elements(), d.number()]),
        };
        d.say(shape);
        x.reshape(shape)
    }),
    ("flatten", |d| {
        let x = d.any_var();
        x.flatten(d.axis(x.shape().len()))
    }),
    ("squeeze", |d| {
        let x = d.any_var();
        x.squeeze(d.axis(x.shape().len()))
    }),
    ("unsqueeze", |d| {
        let x = d.any_var();
        x.unsqueeze(d.axis(x.shape().len() + 1))
    }),
    ("permute", |d| {
        let x = d.any_var();
        let mut order: Vec<usize> = (0..x.shape().len()).collect();
        if d.once_in(8) {
            order = d.axes(x.shape().len());
        } else if order.len() > 1 {
            (0..order.len()).for_each(|i| order.swap(i, d.below(x.shape().len())));
        }
        d.say(format!("{order:?}"));
        x.permute(&order)
    }),
    ("transpose", |d| {
        let x = d.any_var();
        let [a, b] = [d.axis(x.shape().len()), d.axis(x.shape().len())];
        d.say(format!("{a} {b}"));
        x.transpose(a, b)
    }),
    ("flip", |d| {
        let x = d.any_var();
        let axis = d.axis(x.shape().len());
        d.say(axis);
        x.flip(axis)
    }),
    ("slice", |d| {
        let x = d.any_var();
        let (axis, range) = (d.axis(x.shape().len()), d.number()..d.number());
        d.say(format!("{axis} {range:?}"));
        x.slice(axis, range)
    }),
    ("split", |d| {
        let x = d.any_var();
        let axis = d.axis(x.shape().len());
        let mut lengths: Vec<usize> = (0..d.below(4)).map(|_| d.number()).collect();
        if let Some(&whole) = x.shape().get(axis) {
            // Mostly as long as the axis.
            let sum = lengths
                .iter()
                .fold(0usize, |sum, &length| sum.saturating_add(length));
            lengths.push(whole.saturating_sub(sum));
        }
        d.say(format!("{axis} {lengths:?}"));
        one_of(x.split(&lengths, axis)?)
    }),
    ("chunk", |d| {
        let x = d.any_var();
        let (axis, parts) = (d.axis(x.shape().len()), d.number());
        d.say(format!("{axis} {parts}"));
        one_of(x.chunk(parts, axis)?)
    }),
    ("unbind", |d| {
        let x = d.any_var();
        let axis = d.axis(x.shape().len());
        d.say(axis);
        one_of(x.unbind(axis)?)
    }),
    ("tril", |d| {
        let (x, diagonal) = (d.any_var(), diagonal(d));
        x.tril(diagonal)
    }),
    ("triu", |d| {
        let (x, diagonal) = (d.any_var(), diagonal(d));
        x.triu(diagonal)
    }),
    ("pad", |d| {
        let x = d.any_var();
        let pairs = if d.once_in(12) {
            d.below(9)
        } else {
            x.shape().len()
        };
        let around: Vec<(usize, usize)> = (0..pairs).map(|_| (pad(d), pad(d))).collect();
        d.say(format!("{around:?}"));
        x.pad(&around)
    }),
    ("sum_to", |d| {
        let x = d.any_var();
        let shape = d.broadcasting(x.shape());
        d.say(format!("{shape:?}"));
        x.sum_to(shape)
    }),
    ("expand", |d| {
        let shape = d.any_shape();
        let own = d.broadcasting(&shape);
        let dtype = d.dtype();
        let x = d.var(&own, dtype);
        let shape = if d.once_in(6) {
            d.target()
        } else {
            Shape::new(&shape)?
        };
        d.say(shape);
        x.expand(shape)
    }),
    ("concat", |d| {
        let (shape, dtype) = (d.any_shape(), d.dtype());
        let axis = d.axis(shape.len());
        d.say(axis);
        let parts: Vec<Var> = (0..d.below(5))
            .map(|_| {
                let mut own = shape.clone();
                if let Some(length) = own.get_mut(axis).filter(|length| **length < 100) {
                    *length = d.length();
                }
                let own = d.possible(own);
                d.var(&own, dtype)
            })
            .collect();
        concat(&parts.iter().collect::<Vec<_>>(), axis)
    }),
    ("stack", |d| {
        let (shape, dtype) = (d.any_shape(), d.dtype());
        let axis = d.axis(shape.len() + 1);
        d.say(axis);
        let parts: Vec<Var> = (0..d.below(5))
            .map(|_| {
                let other = if d.once_in(12) { d.any_dtype() } else { dtype };
                d.var(&shape, other)
            })
            .collect();
        stack(&parts.iter().collect::<Vec<_>>(), axis)
    }),
];

/// The last of several results.
fn one_of(mut parts: Vec<Var>) -> Result<Var> {
    parts
        .pop()
        .ok_or_else(|| Error::Argument("no parts".into()))
}

/// The number of a diagonal, at times far away from any matrix.
fn diagonal(d: &mut Draw) -> i64 {
    let diagonal = d.number() as i64;
    let diagonal = if d.once_in(2) {
        diagonal
    } else {
        diagonal.wrapping_neg()
    };
    d.say(diagonal);
    diagonal
}

/// Elements before or after: few, as six axes get some, or too many.
fn pad(d: &mut Draw) -> usize {
    match d.number() {
        n @ 4..100 => n % 4,
        n => n,
    }
}
