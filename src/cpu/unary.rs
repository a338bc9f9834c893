//! One operand, element by element.

use crate::cpu::simd::convert::{BLOCK, for_each_block};
use crate::cpu::{GRAIN, chunks, vectorize};
use crate::{Float, Stored};

/// Which function of a number; see [`crate::ops`] for what each is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Kind {
    Neg,
    Abs,
    Exp,
    Log,
    Sqrt,
    Square,
    Recip,
    Powf(f64),
    Tanh,
    Sigmoid,
    Relu,
    Silu,
    Gelu,
    Clamp(f64, f64),
    AddScalar(f64),
    MulScalar(f64),
}

/// What a backward rule computes from.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Saves {
    Nothing,
    Input,
    Output,
}

impl Kind {
    pub fn name(self) -> &'static str {
        match self {
            Kind::Neg => "neg",
            Kind::Abs => "abs",
            Kind::Exp => "exp",
            Kind::Log => "log",
            Kind::Sqrt => "sqrt",
            Kind::Square => "square",
            Kind::Recip => "recip",
            Kind::Powf(_) => "powf",
            Kind::Tanh => "tanh",
            Kind::Sigmoid => "sigmoid",
            Kind::Relu => "relu",
            Kind::Silu => "silu",
            Kind::Gelu => "gelu",
            Kind::Clamp(..) => "clamp",
            Kind::AddScalar(_) => "add_scalar",
            Kind::MulScalar(_) => "mul_scalar",
        }
    }

    /// The output where it gives the derivative, as it is most often kept alive by the next op
    /// anyway.
    pub fn saves(self) -> Saves {
        match self {
            Kind::Neg | Kind::AddScalar(_) | Kind::MulScalar(_) => Saves::Nothing,
            Kind::Exp | Kind::Sqrt | Kind::Recip | Kind::Tanh | Kind::Sigmoid | Kind::Relu => {
                Saves::Output
            }
            Kind::Abs
            | Kind::Log
            | Kind::Square
            | Kind::Powf(_)
            | Kind::Silu
            | Kind::Gelu
            | Kind::Clamp(..) => Saves::Input,
        }
    }
}

/// y = f(x).
pub(crate) fn forward<T: Stored>(kind: Kind, x: &[T], y: &mut [T]) {
    chunks(y, GRAIN, |start, y| {
        for_each_block([&x[start..][..y.len()]], y, BLOCK, |[x], y| {
            apply_chunk(kind, x, y)
        });
    });
}

/// dx = f'(x) dy, where `kept` is what [`Kind::saves`] names: x, or y, or anything of dy's size.
pub(crate) fn backward<T: Stored>(kind: Kind, kept: &[T], dy: &[T], dx: &mut [T]) {
    chunks(dx, GRAIN, |start, dx| {
        let inputs = [kept, dy].map(|x| &x[start..][..dx.len()]);
        for_each_block(inputs, dx, BLOCK, |[kept, dy], dx| {
            backward_chunk(kind, kept, dy, dx)
        });
    });
}

vectorize! {
    fn apply_chunk<T: Float>(kind: Kind, x: &[T], y: &mut [T]) {
        let (zero, one) = (T::ZERO, T::ONE);
        match kind {
            Kind::Neg => map(x, y, |x| -x),
            Kind::Abs => map(x, y, |x| x.abs()),
            Kind::Exp => map(x, y, |x| x.exp()),
            Kind::Log => map(x, y, |x| x.ln()),
            Kind::Sqrt => map(x, y, |x| x.sqrt()),
            Kind::Square => map(x, y, |x| x * x),
            Kind::Recip => map(x, y, |x| one / x),
            Kind::Powf(p) => map(x, y, |x| x.powf(T::from_f64(p))),
            Kind::Tanh => map(x, y, |x| x.tanh()),
            Kind::Sigmoid => map(x, y, |x| x.sigmoid()),
            // Written so that not-a-number passes through.
            Kind::Relu => map(x, y, |x| if x < zero { zero } else { x }),
            Kind::Silu => map(x, y, |x| x * x.sigmoid()),
            Kind::Gelu => {
                for (y, &x) in y.iter_mut().zip(x) {
                    *y = x.gelu::<FUSED>();
                }
            }
            Kind::Clamp(low, high) => {
                let (low, high) = (T::from_f64(low), T::from_f64(high));
                map(x, y, |x| {
                    if x < low {
                        low
                    } else if x > high {
                        high
                    } else {
                        x
                    }
                });
            }
            Kind::AddScalar(c) => map(x, y, |x| x + T::from_f64(c)),
            Kind::MulScalar(c) => map(x, y, |x| x * T::from_f64(c)),
        }
    }

    fn backward_chunk<T: Float>(kind: Kind, kept: &[T], dy: &[T], dx: &mut [T]) {
        let (zero, one, two) = (T::ZERO, T::ONE, T::from_f64(2.0));
        match kind {
            Kind::Neg => map(dy, dx, |dy| -dy),
            Kind::Abs => zip(kept, dy, dx, |x, dy| {
                if x > zero {
                    dy
                } else if x < zero {
                    -dy
                } else {
                    zero
                }
            }),
            Kind::Exp => zip(kept, dy, dx, |y, dy| y * dy),
            Kind::Log => zip(kept, dy, dx, |x, dy| dy / x),
            Kind::Sqrt => zip(kept, dy, dx, |y, dy| dy / (two * y)),
            Kind::Square => zip(kept, dy, dx, |x, dy| two * x * dy),
            Kind::Recip => zip(kept, dy, dx, |y, dy| -(y * y * dy)),
            Kind::Powf(0.0) => dx.fill(zero),
            Kind::Powf(p) => zip(kept, dy, dx, |x, dy| T::from_f64(p) * x.powf(T::from_f64(p - 1.0)) * dy),
            Kind::Tanh => zip(kept, dy, dx, |y, dy| (one - y * y) * dy),
            Kind::Sigmoid => zip(kept, dy, dx, |y, dy| y * (one - y) * dy),
            // As PyTorch's threshold_backward: the gradient passes where y is not-a-number.
            Kind::Relu => zip(kept, dy, dx, |y, dy| if y <= zero { zero } else { dy }),
            Kind::Silu => zip(kept, dy, dx, |x, dy| {
                let s = x.sigmoid();
                s * (one + x * (one - s)) * dy
            }),
            // A loop of its own: the compiler leaves a closure this long a call.
            Kind::Gelu => {
                for ((dx, &x), &dy) in dx.iter_mut().zip(kept).zip(dy) {
                    *dx = x.gelu_slope::<FUSED>() * dy;
                }
            }
            Kind::Clamp(low, high) => {
                let (low, high) = (T::from_f64(low), T::from_f64(high));
                zip(kept, dy, dx, |x, dy| if x >= low && x <= high { dy } else { zero });
            }
            Kind::AddScalar(_) => map(dy, dx, |dy| dy),
            Kind::MulScalar(c) => map(dy, dx, |dy| dy * T::from_f64(c)),
        }
    }
}

#[inline(always)]
fn map<T: Float>(x: &[T], y: &mut [T], f: impl Fn(T) -> T) {
    for (y, &x) in y.iter_mut().zip(x) {
        *y = f(x);
    }
}

#[inline(always)]
fn zip<T: Float>(a: &[T], b: &[T], y: &mut [T], f: impl Fn(T, T) -> T) {
    for ((y, &a), &b) in y.iter_mut().zip(a).zip(b) {
        *y = f(a, b);
    }
}
