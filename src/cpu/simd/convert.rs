//! bf16 inputs are converted to f32 in blocks that fit in L1; every op has f32 and f64 loops only.

use crate::Stored;
use crate::cpu::{Scratch, simd, vectorize};
use crate::tensor::dtype::{as_type, as_type_mut};

/// Elements of a block: four buffers of 4 KiB fit in L1.
pub(crate) const BLOCK: usize = 1024;

/// Calls `body(inputs, output)` with blocks of x and y in their compute type: once with all of them
/// where they are stored in it, else for each block of `size` elements.
pub(crate) fn for_each_block<T: Stored, const N: usize>(
    x: [&[T]; N],
    y: &mut [T],
    size: usize,
    mut body: impl FnMut([&[T::Compute]; N], &mut [T::Compute]),
) {
    if let Some(y) = as_type_mut(y) {
        return body(
            x.map(|x| as_type(x).expect("inputs are of the output's type")),
            y,
        );
    }
    let mut buffers = Scratch::new((N + 1) * size);
    let (out, buffers) = buffers.split_at_mut(size);
    for (i, y) in y.chunks_mut(size).enumerate() {
        let count = y.len();
        for (buffer, x) in buffers.chunks_mut(size).zip(x) {
            convert(&x[i * size..][..count], &mut buffer[..count]);
        }
        body(
            std::array::from_fn(|k| &buffers[k * size..][..count]),
            &mut out[..count],
        );
        round_fast(&out[..count], y);
    }
}

/// A buffer for elements in their compute type, allocated when it is first needed and kept for the
/// next call.
pub(crate) type ConvertBuffer<T> = Option<Scratch<<T as Stored>::Compute>>;

/// Elements in their compute type: x itself, or converted into `buffer`.
pub(crate) fn as_compute<'a, T: Stored>(
    x: &'a [T],
    buffer: &'a mut ConvertBuffer<T>,
) -> &'a [T::Compute] {
    as_type(x).unwrap_or_else(|| {
        let buffer = reserve::<T>(buffer, x.len());
        convert(x, buffer);
        buffer
    })
}

/// Calls `body` to write y in its compute type: y itself, or `buffer`, which is then rounded to y.
pub(crate) fn write_as_compute<T: Stored>(
    y: &mut [T],
    buffer: &mut ConvertBuffer<T>,
    body: impl FnOnce(&mut [T::Compute]),
) {
    if let Some(y) = as_type_mut(y) {
        return body(y);
    }
    let buffer = reserve::<T>(buffer, y.len());
    body(buffer);
    round_fast(buffer, y);
}

/// As [`write_as_compute`], but `body` finds the elements of y in what it gets.
pub(crate) fn update_as_compute<T: Stored>(
    y: &mut [T],
    buffer: &mut ConvertBuffer<T>,
    body: impl FnOnce(&mut [T::Compute]),
) {
    if let Some(y) = as_type_mut(y) {
        return body(y);
    }
    let buffer = reserve::<T>(buffer, y.len());
    convert(y, buffer);
    body(buffer);
    round_fast(buffer, y);
}

/// The first `count` elements of the buffer, which is replaced if it is smaller.
fn reserve<T: Stored>(buffer: &mut ConvertBuffer<T>, count: usize) -> &mut [T::Compute] {
    let buffer = match buffer.take() {
        Some(large) if large.len() >= count => buffer.insert(large),
        _ => buffer.insert(Scratch::new(count)),
    };
    &mut buffer[..count]
}

/// y = x.
pub(crate) fn convert<T: Stored>(x: &[T], y: &mut [T::Compute]) {
    convert_loop(x, y);
}

/// y = x, rounded to nearest.
pub(crate) fn round<T: Stored>(x: &[T::Compute], y: &mut [T]) {
    round_loop(x, y);
}

/// As [`round`], by the CPU's instruction where it has one, which flushes subnormals to 0.
fn round_fast<T: Stored>(x: &[T::Compute], y: &mut [T]) {
    if !as_type(x)
        .zip(as_type_mut(y))
        .is_some_and(|(x, y)| simd::round(x, y))
    {
        round(x, y);
    }
}

vectorize! {
    fn convert_loop<T: Stored>(x: &[T], y: &mut [T::Compute]) {
        for (y, &x) in y.iter_mut().zip(x) {
            *y = x.to_compute();
        }
    }

    fn round_loop<T: Stored>(x: &[T::Compute], y: &mut [T]) {
        for (y, &x) in y.iter_mut().zip(x) {
            *y = T::from_compute(x);
        }
    }
}

#[cfg(test)]
mod tests {
    use half::bf16;

    use super::*;

    /// By the CPU's instruction and by the definition: all normal bf16, values between neighbours,
    /// and any count.
    #[test]
    fn rounding_is_to_nearest_and_even() {
        let between = [0x0000, 0x0001, 0x7fff, 0x8000, 0x8001, 0xffff];
        let normal = (0..=u16::MAX).filter(|bits| bits & 0x7f80 != 0);
        let x: Vec<f32> = normal
            .flat_map(|bits| between.map(|low| f32::from_bits(u32::from(bits) << 16 | low)))
            .chain([0.0, -0.0])
            .collect();
        let [mut plain, mut quick] = [vec![bf16::ZERO; x.len()], vec![bf16::ZERO; x.len()]];
        round(&x, &mut plain);
        round_fast(&x, &mut quick);
        for ((x, plain), quick) in x.iter().zip(plain).zip(quick) {
            let want = bf16::from_f32(*x);
            assert!(
                if x.is_nan() {
                    plain.is_nan() && quick.is_nan()
                } else {
                    plain == want && quick == want
                },
                "{x:e}"
            );
        }
        for count in 0..50 {
            let x: Vec<f32> = (0..count).map(|i| i as f32 + 0.001).collect();
            let mut y = vec![bf16::ONE; count + 1];
            round_fast(&x, &mut y[..count]);
            assert!(
                y.iter().zip(&x).all(|(y, x)| *y == bf16::from_f32(*x)) && y[count] == bf16::ONE,
                "{count}"
            );
        }
    }
}
