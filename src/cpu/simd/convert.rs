//! Numbers of 16 bits are computed as f32: widened piece by piece into rooms that stay in the
//! first-level cache, where the loops for f32 find them; so no op needs loops of its own for them.

use crate::Stored;
use crate::cpu::{Scratch, simd, vectorize};
use crate::tensor::dtype::{as_type, as_type_mut};

/// Numbers of a piece: four rooms of 4 KiB fit in the first-level cache.
pub(crate) const BLOCK: usize = 1024;

/// Calls `body(inputs, part)` for parts of y, with all numbers in the type they are computed in:
/// once where that is how they are stored, else for each `piece` of them.
pub(crate) fn for_each_block<T: Stored, const N: usize>(
    x: [&[T]; N],
    y: &mut [T],
    piece: usize,
    mut body: impl FnMut([&[T::Compute]; N], &mut [T::Compute]),
) {
    if let Some(y) = as_type_mut(y) {
        return body(
            x.map(|x| as_type(x).expect("inputs are of the output's type")),
            y,
        );
    }
    let mut rooms = Scratch::new((N + 1) * piece);
    let (out, rooms) = rooms.split_at_mut(piece);
    for (i, y) in y.chunks_mut(piece).enumerate() {
        let count = y.len();
        for (room, x) in rooms.chunks_mut(piece).zip(x) {
            convert(&x[i * piece..][..count], &mut room[..count]);
        }
        body(
            std::array::from_fn(|k| &rooms[k * piece..][..count]),
            &mut out[..count],
        );
        round_fast(&out[..count], y);
    }
}

/// Numbers widened or to be rounded, from the pool: taken where they are needed, and kept from one
/// call to the next.
pub(crate) type ConvertBuffer<T> = Option<Scratch<<T as Stored>::Compute>>;

/// Numbers in the type they are computed in: themselves, or widened into `room`.
pub(crate) fn as_compute<'a, T: Stored>(
    x: &'a [T],
    room: &'a mut ConvertBuffer<T>,
) -> &'a [T::Compute] {
    as_type(x).unwrap_or_else(|| {
        let room = reserve::<T>(room, x.len());
        convert(x, room);
        room
    })
}

/// Calls `body` on y in the type it is computed in: y itself, or `room`, which is then rounded into
/// y.
pub(crate) fn write_as_compute<T: Stored>(
    y: &mut [T],
    room: &mut ConvertBuffer<T>,
    body: impl FnOnce(&mut [T::Compute]),
) {
    if let Some(y) = as_type_mut(y) {
        return body(y);
    }
    let room = reserve::<T>(room, y.len());
    body(room);
    round_fast(room, y);
}

/// As [`narrowed`], with the numbers of y in what `body` gets.
pub(crate) fn update_as_compute<T: Stored>(
    y: &mut [T],
    room: &mut ConvertBuffer<T>,
    body: impl FnOnce(&mut [T::Compute]),
) {
    if let Some(y) = as_type_mut(y) {
        return body(y);
    }
    let room = reserve::<T>(room, y.len());
    convert(y, room);
    body(room);
    round_fast(room, y);
}

/// The first `count` numbers of a room, of one as large as that at least.
fn reserve<T: Stored>(room: &mut ConvertBuffer<T>, count: usize) -> &mut [T::Compute] {
    let room = match room.take() {
        Some(large) if large.len() >= count => room.insert(large),
        _ => room.insert(Scratch::new(count)),
    };
    &mut room[..count]
}

/// y = x.
pub(crate) fn convert<T: Stored>(x: &[T], y: &mut [T::Compute]) {
    convert_loop(x, y);
}

/// y = x, rounded to nearest.
pub(crate) fn round<T: Stored>(x: &[T::Compute], y: &mut [T]) {
    round_loop(x, y);
}

/// As [`round`], by the CPU's own instruction where it has one, which takes subnormal numbers for
/// 0.
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

    /// By an instruction and by the definition: every normal number of bf16, what lies between it
    /// and the next; and any count.
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
