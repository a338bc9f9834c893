//! One operand, element by element: a row for each function, with its value and its derivative.

use crate::cpu::float::{LoopFloat, LoopStored};
use crate::cpu::simd::convert::{BLOCK, for_each_block};
use crate::cpu::{GRAIN, chunks, vectorize};
use crate::{Element, Float};

/// What a backward rule computes from.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Saves {
    Nothing,
    Input,
    Output,
}

/// From rows `name Kind(parameters): x => y, what is saved(its name) dy => dx;` makes the enum
/// `Kind` and the loops. x, y and what is saved are of type `T`, parameters are f64. A row of the
/// same name in [`crate::ops`] documents the function and makes it a method; one in
/// kernels/unary.cu computes it on a GPU, which the order of the rows numbers it for.
macro_rules! functions {
    ($($name:literal $kind:ident $(($($p:ident),+))?: $x:ident => $y:expr, $saves:ident($kept:tt) $dy:ident => $dx:expr;)*) => {
        /// Which function of an element; see [`crate::ops`] for what each is.
        #[derive(Clone, Copy, Debug, PartialEq)]
        pub(crate) enum Kind {
            $($kind $(($(functions!(@f64 $p)),+))?,)*
        }

        impl Kind {
            pub fn name(self) -> &'static str {
                match self {
                    $(Kind::$kind { .. } => $name,)*
                }
            }

            /// The output where it gives the derivative, as it is most often kept alive by the next
            /// op anyway.
            pub fn saves(self) -> Saves {
                match self {
                    $(Kind::$kind { .. } => Saves::$saves,)*
                }
            }

            /// Its row, counted from 0: the constant of kernels/unary.cu.
            pub fn number(self) -> i32 {
                enum Row {
                    $($kind,)*
                }
                match self {
                    $(Kind::$kind { .. } => Row::$kind as i32,)*
                }
            }

            /// Its parameters, as a kernel takes them.
            pub fn parameters(self) -> [f32; 2] {
                let first_two = |given: &[f64]| [0, 1].map(|i| given.get(i).map_or(0.0, |&p| p as f32));
                match self {
                    $(Kind::$kind $(($($p),+))? => first_two(&[$($($p),+)?]),)*
                }
            }
        }

        // Loops, not closures: the compiler leaves a long closure a call.
        vectorize! {
            #[allow(unused_variables)]
            fn apply_chunk<T: LoopFloat>(kind: Kind, x: &[T], y: &mut [T]) {
                match kind {
                    $(Kind::$kind $(($($p),+))? => for (y, &$x) in y.iter_mut().zip(x) {
                        *y = $y;
                    },)*
                }
            }

            #[allow(unused_variables)]
            fn backward_chunk<T: LoopFloat>(kind: Kind, kept: &[T], dy: &[T], dx: &mut [T]) {
                match kind {
                    $(Kind::$kind $(($($p),+))? => for ((dx, &$kept), &$dy) in dx.iter_mut().zip(kept).zip(dy) {
                        *dx = $dx;
                    },)*
                }
            }
        }
    };
    (@f64 $p:ident) => { f64 };
}

functions! {
    "neg" Neg: x => -x, Nothing(_) dy => -dy;
    "abs" Abs: x => x.abs(), Input(x) dy => if x > T::ZERO { dy } else if x < T::ZERO { -dy } else { T::ZERO };
    "exp" Exp: x => x.exp(), Output(y) dy => y * dy;
    "log" Log: x => x.ln(), Input(x) dy => dy / x;
    "sqrt" Sqrt: x => x.sqrt(), Output(y) dy => dy / (T::from_f64(2.0) * y);
    "square" Square: x => x * x, Input(x) dy => T::from_f64(2.0) * x * dy;
    "recip" Recip: x => T::ONE / x, Output(y) dy => -(y * y * dy);
    "powf" Powf(p): x => x.powf(T::from_f64(p)), Input(x) dy => power_slope(p, x) * dy;
    "tanh" Tanh: x => x.tanh(), Output(y) dy => (T::ONE - y * y) * dy;
    "sigmoid" Sigmoid: x => x.sigmoid(), Output(y) dy => y * (T::ONE - y) * dy;
    // Not-a-number passes through; as in PyTorch's threshold_backward, so does its gradient.
    "relu" Relu: x => if x < T::ZERO { T::ZERO } else { x }, Output(y) dy => if y <= T::ZERO { T::ZERO } else { dy };
    "silu" Silu: x => x * x.sigmoid(), Input(x) dy => silu_slope(x) * dy;
    "gelu" Gelu: x => x.gelu::<FUSED>(), Input(x) dy => x.gelu_slope::<FUSED>() * dy;
    "clamp" Clamp(low, high): x => clamp(x, T::from_f64(low), T::from_f64(high)),
        Input(x) dy => if x >= T::from_f64(low) && x <= T::from_f64(high) { dy } else { T::ZERO };
    "add_scalar" AddScalar(c): x => x + T::from_f64(c), Nothing(_) dy => dy;
    "mul_scalar" MulScalar(c): x => x * T::from_f64(c), Nothing(_) dy => dy * T::from_f64(c);
    "div_scalar" DivScalar(c): x => x / T::from_f64(c), Nothing(_) dy => dy / T::from_f64(c);
    "leaky_relu" LeakyRelu(slope): x => if x > T::ZERO { x } else { T::from_f64(slope) * x },
        Input(x) dy => if x > T::ZERO { dy } else { T::from_f64(slope) * dy };
    "elu" Elu(alpha): x => if x > T::ZERO { x } else { T::from_f64(alpha) * expm1_below_0(x) },
        Input(x) dy => if x > T::ZERO { dy } else { T::from_f64(alpha) * x.exp() * dy };
    "relu6" Relu6: x => clamp(x, T::ZERO, T::from_f64(6.0)),
        Input(x) dy => if x > T::ZERO && x < T::from_f64(6.0) { dy } else { T::ZERO };
    "hardswish" Hardswish: x => x * clamp(x + T::from_f64(3.0), T::ZERO, T::from_f64(6.0)) / T::from_f64(6.0),
        Input(x) dy => hardswish_slope(x, dy);
    "softplus" Softplus: x => softplus(x), Input(x) dy => x.sigmoid() * dy;
    "log1p" Log1p: x => log1p(x), Input(x) dy => dy / (T::ONE + x);
    // Where x is far from 0, `repeat_far` does it again.
    "sin" Sin: x => x.sin_near(), Input(x) dy => x.cos_near() * dy;
    "cos" Cos: x => x.cos_near(), Input(x) dy => -x.sin_near() * dy;
    "erf" Erf: x => x.erf(),
        Input(x) dy => T::from_f64(std::f64::consts::FRAC_2_SQRT_PI) * (-x * x).exp() * dy;
}

/// p x^(p-1), 0 for p = 0.
#[inline(always)]
fn power_slope<T: Float>(p: f64, x: T) -> T {
    if p == 0.0 {
        return T::ZERO;
    }
    T::from_f64(p) * x.powf(T::from_f64(p - 1.0))
}

#[inline(always)]
fn silu_slope<T: Float>(x: T) -> T {
    let s = x.sigmoid();
    s * (T::ONE + x * (T::ONE - s))
}

/// Not-a-number passes through.
#[inline(always)]
fn clamp<T: Float>(x: T, low: T, high: T) -> T {
    if x < low {
        low
    } else if x > high {
        high
    } else {
        x
    }
}

/// e^x - 1 for x <= 0, without losing the digits of a small x: 2 t / (1 - t) with t = tanh(x / 2).
#[inline(always)]
fn expm1_below_0<T: Float>(x: T) -> T {
    let t = (x / T::from_f64(2.0)).tanh();
    (t + t) / (T::ONE - t)
}

#[inline(always)]
fn hardswish_slope<T: Float>(x: T, dy: T) -> T {
    let three = T::from_f64(3.0);
    if x <= -three {
        T::ZERO
    } else if x >= three {
        dy
    } else {
        dy * (x / three + T::from_f64(0.5))
    }
}

/// ln(1 + x), without losing the digits of a small x: with u = 1 + x as it is rounded, ln u is too
/// large or small by the factor (u - 1) / x, but for a rounding error. Source: Goldberg, "What
/// every computer scientist should know about floating-point arithmetic" (1991), theorem 4.
#[inline(always)]
pub(crate) fn log1p<T: Float>(x: T) -> T {
    let u = T::ONE + x;
    let (y, rounded) = (u.ln(), u - T::ONE);
    if rounded == T::ZERO {
        x
    } else if rounded == x {
        // Infinity too, which is not to be divided by itself.
        y
    } else {
        y * (x / rounded)
    }
}

/// ln(1 + e^x) = max(x, 0) + ln(1 + e^-|x|): the exponential cannot overflow.
#[inline(always)]
fn softplus<T: Float>(x: T) -> T {
    let above = if x < T::ZERO { T::ZERO } else { x };
    above + log1p((-x.abs()).exp())
}

/// y = f(x).
pub(crate) fn forward<T: LoopStored>(kind: Kind, x: &[T], y: &mut [T]) {
    chunks(y, GRAIN, |start, y| {
        for_each_block([&x[start..][..y.len()]], y, BLOCK, |[x], y| {
            apply_chunk(kind, x, y);
            if let Some([value, _]) = in_f64(kind) {
                repeat_far(x, y, |i| T::Compute::from_f64(value(x[i].to_f64())));
            }
        });
    });
}

/// dx = f'(x) dy, where `kept` is what [`Kind::saves`] names: x, or y, or anything of dy's size.
pub(crate) fn backward<T: LoopStored>(kind: Kind, kept: &[T], dy: &[T], dx: &mut [T]) {
    chunks(dx, GRAIN, |start, dx| {
        let inputs = [kept, dy].map(|x| &x[start..][..dx.len()]);
        for_each_block(inputs, dx, BLOCK, |[kept, dy], dx| {
            backward_chunk(kind, kept, dy, dx);
            if let Some([_, slope]) = in_f64(kind) {
                repeat_far(kept, dx, |i| {
                    T::Compute::from_f64(slope(kept[i].to_f64())) * dy[i]
                });
            }
        });
    });
}

/// Value and slope of the functions whose loops are right near 0 only: see [`LoopFloat::FAR`].
fn in_f64(kind: Kind) -> Option<[fn(f64) -> f64; 2]> {
    match kind {
        Kind::Sin => Some([f64::sin, f64::cos]),
        Kind::Cos => Some([f64::cos, |x| -x.sin()]),
        _ => None,
    }
}

/// y[i] = again(i) where x is far from 0.
fn repeat_far<T: LoopFloat>(x: &[T], y: &mut [T], again: impl Fn(usize) -> T) {
    if any_far(x) {
        for i in (0..x.len()).filter(|&i| x[i].abs() > T::FAR) {
            y[i] = again(i);
        }
    }
}

vectorize! {
    fn any_far<T: LoopFloat>(x: &[T]) -> bool {
        let mut far = false;
        for &x in x {
            far |= x.abs() > T::FAR;
        }
        far
    }
}
