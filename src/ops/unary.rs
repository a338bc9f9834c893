//! Functions of one operand, element by element: a row each, with its derivative.
//!
//! The backward rule computes from the output where the derivative is simple in it (y for exp, 1 -
//! y^2 for tanh), as the next op most often keeps that alive anyway, and from the input otherwise.
//!
//! A wrong derivative changes no value and no shape; training merely goes worse. `gradients` in
//! `tests/ops/unary.rs` compares that of each row with differences.

use crate::autograd::Backward;
use crate::autograd::trace::{Attributes, Op};
use crate::cpu::unary::{self as cpu, Kind, Saves};
use crate::cuda::unary as cuda;
use crate::{Error, Result, Tensor, Var};

/// A method for each row: name(arguments), what it is, its kind, its backward rule, what it saves,
/// its source.
macro_rules! functions {
    ($($name:ident($($arg:ident),*), $does:literal, $kind:expr, $backward:literal, $saves:literal, $source:literal;)*) => {
        impl Var {$(
            #[doc = concat!($does, ".")]
            #[doc = ""]
            #[doc = concat!("**Shapes**: any. **Backward**: ", $backward, ". **Saves**: ", $saves, ".")]
            #[doc = concat!("**Errors**: elements that are not floats. **Source**: `torch.", $source, "`.")]
            #[track_caller]
            pub fn $name(&self $(, $arg: f64)*) -> Result<Var> {
                apply($kind, self)
            }
        )*}
    };
}
functions! {
    neg(), "-x", Kind::Neg, "dx = -dy", "nothing", "neg";
    abs(), "|x|", Kind::Abs, "dx = sign(x) dy, 0 at 0", "x", "abs";
    exp(), "e^x", Kind::Exp, "dx = y dy", "y", "exp";
    log(), "The natural logarithm of x", Kind::Log, "dx = dy / x, infinite at 0", "x", "log";
    sqrt(), "The square root of x", Kind::Sqrt, "dx = dy / (2 y), infinite at 0, so that the chain rule makes not-a-number of a norm of zeros: add a small number before the root", "y", "sqrt";
    square(), "x^2", Kind::Square, "dx = 2 x dy", "x", "square";
    recip(), "1 / x", Kind::Recip, "dx = -y^2 dy, -infinite at 0", "y", "reciprocal";
    powf(p), "x^p; not a number for a negative x and a p that is no integer", Kind::Powf(p), "dx = p x^(p-1) dy, infinite at 0 for p < 1, and 0 everywhere for p = 0", "x", "pow";
    tanh(), "The hyperbolic tangent of x", Kind::Tanh, "dx = (1 - y^2) dy", "y", "tanh";
    sigmoid(), "1 / (1 + e^-x)", Kind::Sigmoid, "dx = y (1 - y) dy", "y", "sigmoid";
    relu(), "max(x, 0)", Kind::Relu, "dx = 0 where y <= 0, else dy, where x is not a number too", "y", "relu";
    silu(), "x sigmoid(x), the swish", Kind::Silu, "dx = s (1 + x (1 - s)) dy with s = sigmoid(x), not a number at both infinities", "x", "nn.functional.silu";
    leaky_relu(slope), "x above 0, slope x below", Kind::LeakyRelu(slope), "dx = dy where x > 0, else slope dy", "x", "nn.functional.leaky_relu";
    elu(alpha), "x above 0, alpha (e^x - 1) below", Kind::Elu(alpha), "dx = dy where x > 0, else alpha e^x dy", "x", "nn.functional.elu";
    relu6(), "min(max(x, 0), 6)", Kind::Relu6, "dx = dy where 0 < x < 6, else 0", "x", "nn.functional.relu6";
    hardswish(), "x relu6(x + 3) / 6", Kind::Hardswish, "dx = 0 where x <= -3, dy where x >= 3, else (x / 3 + 1/2) dy", "x", "nn.functional.hardswish";
    softplus(), "ln(1 + e^x)", Kind::Softplus, "dx = sigmoid(x) dy", "x", "nn.functional.softplus";
    log1p(), "ln(1 + x), exact for a small x too", Kind::Log1p, "dx = dy / (1 + x), infinite at -1", "x", "log1p";
    sin(), "The sine of x", Kind::Sin, "dx = cos(x) dy", "x", "sin";
    cos(), "The cosine of x", Kind::Cos, "dx = -sin(x) dy", "x", "cos";
    erf(), "The error function, 2 / sqrt(pi) times the integral of e^(-t^2) from 0 to x", Kind::Erf, "dx = 2 / sqrt(pi) e^(-x^2) dy", "x", "erf";
    add_scalar(c), "x + c", Kind::AddScalar(c), "dx = dy", "nothing", "add";
    mul_scalar(c), "c x", Kind::MulScalar(c), "dx = c dy", "nothing", "mul";
    div_scalar(c), "x / c", Kind::DivScalar(c), "dx = dy / c", "nothing", "div";
}

impl Var {
    /// x Phi(x), with Phi the standard normal distribution's cumulative function (1 + erf(x / sqrt
    /// 2)) / 2: the exact form.
    ///
    /// **Shapes**: any. **Backward**: dx = (Phi(x) + x phi(x)) dy, with the density phi(x) =
    /// e^(-x^2/2) / sqrt(2 pi); value and slope at infinity are the limits.
    /// **Saves**: x. **Errors**: elements that are not floats.
    /// **Source**: Hendrycks and Gimpel, "Gaussian error linear units" (2016), section 2;
    /// `torch.nn.functional.gelu`.
    #[track_caller]
    pub fn gelu(&self) -> Result<Var> {
        apply(Kind::Gelu, self)
    }

    /// x, but `low` where it is smaller and `high` where it is larger.
    ///
    /// **Shapes**: any. **Backward**: dx = dy where low <= x <= high, else 0, as at not-a-number.
    /// **Saves**: x.
    /// **Errors**: elements that are not floats; `low` above `high`, or not a number. **Source**:
    /// `torch.clamp`.
    #[track_caller]
    pub fn clamp(&self, low: f64, high: f64) -> Result<Var> {
        if low.is_nan() || high.is_nan() || low > high {
            return Err(Error::operand(
                "clamp",
                "bounds",
                "low <= high",
                format!("{low} and {high}"),
            ));
        }
        apply(Kind::Clamp(low, high), self)
    }
}

/// y = f(x).
#[track_caller]
fn apply(kind: Kind, x: &Var) -> Result<Var> {
    crate::ops::float(kind.name(), ("x", x.value()))?;
    let from = x.value();
    let y = on_device!(kind.name(), from in [f32, f64, bf16] => x.shape(); forward(kind, @from))?;
    let kept = match kind.saves() {
        Saves::Nothing => None,
        Saves::Input => Some(x.value().clone()),
        Saves::Output => Some(y.clone()),
    };
    let op = Op::from(kind.name()).with_attributes(Attributes::Numbers(kind.parameters()));
    Ok(Var::record(op, &[x], y, || Unary { kind, kept }))
}

/// The rule of [`Var::gelu`] of x.
pub(crate) fn gelu_rule(x: Tensor) -> Box<dyn Backward> {
    Box::new(Unary {
        kind: Kind::Gelu,
        kept: Some(x),
    })
}

struct Unary {
    kind: Kind,
    /// x or y, as [`Kind::saves`] tells.
    kept: Option<Tensor>,
}

impl Backward for Unary {
    /// dx = f'(x) dy.
    fn backward(self: Box<Self>, dy: Tensor, _wanted: &[bool]) -> Result<Vec<Option<Tensor>>> {
        if matches!(self.kind, Kind::AddScalar(_)) {
            return Ok(vec![Some(dy)]);
        }
        let (kind, kept) = (self.kind, self.kept.as_ref().unwrap_or(&dy));
        let dx = on_device!(kind.name(), dy in [f32, f64, bf16] => dy.shape();
            backward(kind, @kept, @dy))?;
        Ok(vec![Some(dx)])
    }

    fn saves(&self) -> Vec<&Tensor> {
        self.kept.iter().collect()
    }
}
