//! From samples to the tensors of a batch.

use super::Augment;
use super::dataset::{Form, Sample};
use super::normalise::Normalisation;
use crate::{DType, Element, Error, Result, Rng, Shape, Tensor};

/// What a crop leaves in a map of classes where it reaches beyond the image, unless the data set
/// has a label for that: PyTorch's `ignore_index`.
pub(super) const NO_CLASS: i64 = -100;

/// What is done to images.
pub(super) struct Images<'a> {
    /// Channels that a model sees: one grey value serves all of them.
    pub channels: usize,
    pub normalisation: Option<&'a Normalisation>,
    pub augment: &'a Augment,
    /// The label of a pixel that is none of the image's.
    pub no_class: i64,
    /// Sample i is changed as child i says.
    pub rng: &'a Rng,
}

/// The inputs `[n, ..]` of the samples, which all have this form.
pub(super) fn inputs(samples: &[(usize, Sample)], form: &Form, how: &Images) -> Result<Tensor> {
    let (shape, dtype) = form.input;
    let own = shape.last().copied().unwrap_or(1);
    let changed = how.augment.is_active() || how.channels != own || how.normalisation.is_some();
    if !changed {
        return Ok(stacked(samples.iter().map(|(_, s)| &s.input), shape, dtype));
    }
    let &[h, w, c] = &shape[..] else {
        if how.augment.is_active() {
            return Err(Error::Argument(format!(
                "images [h, w, c] are changed at random, not inputs of {shape}"
            )));
        }
        // Its channels are all that is known of it.
        let pixels = shape.elements() / own.max(1);
        return images(samples, [1, pixels, own], shape, dtype, how);
    };
    images(samples, [h, w, c], shape, dtype, how)
}

/// Inputs of this shape, which are images of this size.
fn images(
    samples: &[(usize, Sample)],
    size: [usize; 3],
    shape: Shape,
    dtype: DType,
    how: &Images,
) -> Result<Tensor> {
    let shape = shape.with(shape.len() - 1, how.channels);
    let shape = batched(samples.len(), &shape);
    let grey = |i: usize| how.augment.fill.get(i).copied().unwrap_or(0);
    Ok(match (dtype, how.normalisation) {
        (DType::U8, Some(by)) => Tensor::build(shape, |out: &mut [f32]| {
            fill(samples, size, how, out, grey, |channel, x| {
                by.byte(channel, x)
            })
        }),
        (DType::U8, None) => Tensor::build(shape, |out: &mut [u8]| {
            fill(samples, size, how, out, grey, |_, x| x)
        }),
        (DType::F32, by) => Tensor::build(shape, |out: &mut [f32]| {
            let grey = |i: usize| f32::from(grey(i)) / 255.0;
            fill(samples, size, how, out, grey, |channel, x| {
                by.map_or(x, |by| by.value(channel, x))
            })
        }),
        (other, _) => {
            return Err(Error::Argument(format!(
                "images are bytes or f32 where they are changed, not {other}"
            )));
        }
    })
}

/// Writes the images one after the other, changed at random, each value as `number(channel,
/// value)`.
fn fill<T: Element, U>(
    samples: &[(usize, Sample)],
    [h, w, c]: [usize; 3],
    how: &Images,
    out: &mut [U],
    background: impl Fn(usize) -> T,
    number: impl Fn(usize, T) -> U,
) {
    let wide = how.channels;
    let mut changed = vec![T::default(); h * w * c];
    for ((i, sample), out) in samples
        .iter()
        .zip(out.chunks_exact_mut((h * w * wide).max(1)))
    {
        let (image, rng) = (sample.input.data::<T>(), how.rng.child(*i as u64));
        how.augment
            .change(image, [h, w, c], &rng, &mut changed, &background);
        for (pixel, out) in changed
            .chunks_exact(c.max(1))
            .zip(out.chunks_exact_mut(wide))
        {
            out.iter_mut()
                .enumerate()
                .for_each(|(channel, out)| *out = number(channel, pixel[channel.min(c - 1)]));
        }
    }
}

/// The targets `[n, ..]` of the samples. Those with a value for each pixel are changed as the
/// images are.
pub(super) fn targets(samples: &[(usize, Sample)], form: &Form, how: &Images) -> Tensor {
    let ((input, _), (shape, dtype)) = (form.input, form.target);
    let per_pixel = input.len() == 3 && shape.len() >= 2 && shape[..2] == input[..2];
    if !how.augment.is_active() || !per_pixel {
        return stacked(samples.iter().map(|(_, s)| &s.target), shape, dtype);
    }
    let size = [shape[0], shape[1], shape[2..].iter().product()];
    let background = if dtype == DType::I64 { how.no_class } else { 0 };
    dispatch_dtype!(dtype, T in any => Tensor::build(batched(samples.len(), &shape), |out: &mut [T]| {
        let parts = out.chunks_exact_mut(shape.elements().max(1));
        for ((i, sample), out) in samples.iter().zip(parts) {
            let (map, rng) = (sample.target.data::<T>(), how.rng.child(*i as u64));
            how.augment.change(map, size, &rng, out, &|_| T::from_f64(background as f64));
        }
    }))
}

/// Tensors of one shape and type, one after the other.
fn stacked<'a>(
    parts: impl ExactSizeIterator<Item = &'a Tensor>,
    shape: Shape,
    dtype: DType,
) -> Tensor {
    dispatch_dtype!(dtype, T in any => Tensor::build(batched(parts.len(), &shape), |out: &mut [T]| {
        for (part, out) in parts.zip(out.chunks_exact_mut(shape.elements().max(1))) {
            out.copy_from_slice(part.data());
        }
    }))
}

/// The shape of n tensors of this shape.
fn batched(n: usize, shape: &Shape) -> Shape {
    Shape::from([&[n][..], shape].concat())
}
