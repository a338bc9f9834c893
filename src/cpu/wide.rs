//! Numbers of 16 bits are computed as f32: widened piece by piece into rooms that stay in the
//! first-level cache, where the loops for f32 find them; so no op needs loops of its own for them.

use crate::Real;
use crate::cpu::{Scratch, lanes, vectorize};
use crate::tensor::dtype::{as_type, as_type_mut};

/// Numbers of a piece: four rooms of 4 KiB fit in the first-level cache.
pub(crate) const PIECE: usize = 1024;

/// Calls `body(inputs, part)` for parts of y, with all numbers in the type they are computed in:
/// once where that is how they are stored, else for each `piece` of them.
pub(crate) fn pieces<T: Real, const N: usize>(
    x: [&[T]; N],
    y: &mut [T],
    piece: usize,
    mut body: impl FnMut([&[T::Wide]; N], &mut [T::Wide]),
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
            widen(&x[i * piece..][..count], &mut room[..count]);
        }
        body(
            std::array::from_fn(|k| &rooms[k * piece..][..count]),
            &mut out[..count],
        );
        round(&out[..count], y);
    }
}

/// Numbers widened or to be rounded, from the pool: taken where they are needed, and kept from one
/// call to the next.
pub(crate) type Room<T> = Option<Scratch<<T as Real>::Wide>>;

/// Numbers in the type they are computed in: themselves, or widened into `room`.
pub(crate) fn widened<'a, T: Real>(x: &'a [T], room: &'a mut Room<T>) -> &'a [T::Wide] {
    as_type(x).unwrap_or_else(|| {
        let room = reserve::<T>(room, x.len());
        widen(x, room);
        room
    })
}

/// Calls `body` on y in the type it is computed in: y itself, or `room`, which is then rounded into
/// y.
pub(crate) fn narrowed<T: Real>(
    y: &mut [T],
    room: &mut Room<T>,
    body: impl FnOnce(&mut [T::Wide]),
) {
    if let Some(y) = as_type_mut(y) {
        return body(y);
    }
    let room = reserve::<T>(room, y.len());
    body(room);
    round(room, y);
}

/// As [`narrowed`], with the numbers of y in what `body` gets.
pub(crate) fn edited<T: Real>(y: &mut [T], room: &mut Room<T>, body: impl FnOnce(&mut [T::Wide])) {
    if let Some(y) = as_type_mut(y) {
        return body(y);
    }
    let room = reserve::<T>(room, y.len());
    widen(y, room);
    body(room);
    round(room, y);
}

/// The first `count` numbers of a room, of one as large as that at least.
fn reserve<T: Real>(room: &mut Room<T>, count: usize) -> &mut [T::Wide] {
    let room = match room.take() {
        Some(large) if large.len() >= count => room.insert(large),
        _ => room.insert(Scratch::new(count)),
    };
    &mut room[..count]
}

/// y = x.
pub(crate) fn widen<T: Real>(x: &[T], y: &mut [T::Wide]) {
    widen_loop(x, y);
}

/// y = x, rounded to nearest.
pub(crate) fn narrow<T: Real>(x: &[T::Wide], y: &mut [T]) {
    narrow_loop(x, y);
}

/// As [`narrow`], by the processor's own instruction where it has one, which takes subnormal
/// numbers for 0.
fn round<T: Real>(x: &[T::Wide], y: &mut [T]) {
    if !as_type(x)
        .zip(as_type_mut(y))
        .is_some_and(|(x, y)| lanes::round(x, y))
    {
        narrow(x, y);
    }
}

vectorize! {
    fn widen_loop<T: Real>(x: &[T], y: &mut [T::Wide]) {
        for (y, &x) in y.iter_mut().zip(x) {
            *y = x.wide();
        }
    }

    fn narrow_loop<T: Real>(x: &[T::Wide], y: &mut [T]) {
        for (y, &x) in y.iter_mut().zip(x) {
            *y = T::narrow(x);
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
        narrow(&x, &mut plain);
        round(&x, &mut quick);
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
            round(&x, &mut y[..count]);
            assert!(
                y.iter().zip(&x).all(|(y, x)| *y == bf16::from_f32(*x)) && y[count] == bf16::ONE,
                "{count}"
            );
        }
    }
}
