//! `+ - * /` and the larger or smaller of two, element by element, broadcasting as NumPy does.
//!
//! ```
//! use wavemix::{Tensor, Var};
//! let (x, w) = (Var::from(Tensor::from_vec(vec![1.0, 2.0], [2])?), Var::leaf(Tensor::scalar(3.0)));
//! // Each step may fail, as shapes may not fit, and gives a `Result<Var>`.
//! let y = ((2.0 * (&x * &w)? + &x)? / 4.0)?;
//! assert_eq!(y.value().to_vec::<f64>()?, [1.75, 3.5]);
//! # Ok::<(), wavemix::Error>(())
//! ```

use std::ops::{Add, Div, Mul, Neg, Sub};

use crate::autograd::Backward;
use crate::cpu::binary::{self as cpu, Broadcast, Kind, Partial};
use crate::cuda::binary as cuda;
use crate::{Error, Result, Shape, Tensor, Var};

/// `a op b` for operands that are borrowed, owned, or the outcome of another op; and with a number
/// on either side, as the two functions say. All give a `Result<Var>`.
macro_rules! operator {
    ($trait:ident, $method:ident, $kind:expr, $doc:literal, $with:expr, $of:expr) => {
        operator!(@impl $trait $method $doc
            &Var, &Var: |a, b| apply($kind, a, b);
            &Var, Var: |a, b| apply($kind, a, &b);
            Var, &Var: |a, b| apply($kind, &a, b);
            Var, Var: |a, b| apply($kind, &a, &b);
            &Var, Result<Var>: |a, b| apply($kind, a, &b?);
            Var, Result<Var>: |a, b| apply($kind, &a, &b?);
            Result<Var>, &Var: |a, b| apply($kind, &a?, b);
            Result<Var>, Var: |a, b| apply($kind, &a?, &b);
            &Var, f64: |x, c| $with(x, c);
            Var, f64: |x, c| $with(&x, c);
            f64, &Var: |c, x| $of(c, x);
            f64, Var: |c, x| $of(c, &x);
        );
    };
    (@impl $trait:ident $method:ident $doc:literal $($a:ty, $b:ty: |$x:ident, $y:ident| $result:expr;)*) => {$(
        impl $trait<$b> for $a {
            type Output = Result<Var>;
            #[doc = $doc]
            #[track_caller]
            fn $method(self, other: $b) -> Result<Var> {
                let ($x, $y) = (self, other);
                $result
            }
        }
    )*};
}
operator!(
    Add,
    add,
    Kind::Add,
    "a + b; da = dy, db = dy, each summed over the axes that were broadcast.",
    |x: &Var, c: f64| x.add_scalar(c),
    |c: f64, x: &Var| x.add_scalar(c)
);
operator!(
    Sub,
    sub,
    Kind::Sub,
    "a - b; da = dy, db = -dy, each summed over the axes that were broadcast.",
    |x: &Var, c: f64| x.add_scalar(-c),
    |c: f64, x: &Var| x.neg()?.add_scalar(c)
);
operator!(
    Mul,
    mul,
    Kind::Mul,
    "a b; da = b dy, db = a dy, each summed over the axes that were broadcast.",
    |x: &Var, c: f64| x.mul_scalar(c),
    |c: f64, x: &Var| x.mul_scalar(c)
);
operator!(
    Div,
    div,
    Kind::Div,
    "a / b; da = dy / b, db = -a dy / b^2, each summed over the axes that were broadcast.",
    |x: &Var, c: f64| x.div_scalar(c),
    |c: f64, x: &Var| x.recip()?.mul_scalar(c)
);

impl Neg for &Var {
    type Output = Result<Var>;
    /// -x, as [`Var::neg`].
    #[track_caller]
    fn neg(self) -> Result<Var> {
        Var::neg(self)
    }
}

impl Neg for Var {
    type Output = Result<Var>;
    /// -x, as [`Var::neg`].
    #[track_caller]
    fn neg(self) -> Result<Var> {
        Var::neg(&self)
    }
}

impl Var {
    /// The larger of both, element by element.
    ///
    /// **Shapes**: any two that broadcast.
    /// **Backward**: dy goes to the larger one; where both are equal, half to each, and where one
    /// is not a number, all to each.
    /// **Saves**: both operands. **Errors**: shapes that do not broadcast, dtypes that differ.
    /// **Source**: `torch.maximum`.
    #[track_caller]
    pub fn maximum(&self, other: &Var) -> Result<Var> {
        apply(Kind::Max, self, other)
    }

    /// The smaller of both, element by element; otherwise as [`Var::maximum`].
    #[track_caller]
    pub fn minimum(&self, other: &Var) -> Result<Var> {
        apply(Kind::Min, self, other)
    }
}

/// y = a (op) b.
///
/// **Shapes**: any two that broadcast. **Backward**: as at each operator. Each gradient is summed
/// over the axes that its operand was broadcast along: an element took part in each of its copies,
/// so its gradient is the sum of theirs (`Tensor::sum_to`).
/// **Saves**: nothing for + and -, the operands otherwise. **Errors**: shapes that do not
/// broadcast, dtypes that differ.
/// **Source**: NumPy's broadcasting rules.
#[track_caller]
fn apply(kind: Kind, a: &Var, b: &Var) -> Result<Var> {
    crate::ops::same_float(kind.name(), ("a", a.value()), ("b", b.value()))?;
    let Some(shape) = a.shape().broadcast(b.shape()) else {
        return Err(Error::operand(
            kind.name(),
            "b",
            format!("a shape that broadcasts with {}", a.shape()),
            b.shape(),
        ));
    };
    let (va, vb) = (a.value(), b.value());
    let shape = Tensor::checked_shape(kind.name(), va.device(), &shape, a.dtype())?;
    let shapes = [*a.shape(), *b.shape()];
    let broadcast = Broadcast {
        operands: shapes,
        result: shape,
    };
    let y = on_device!(kind.name(), va in [f32, f64, bf16] => shape;
        forward(kind, @[va, vb], &broadcast))?;
    Ok(match kind {
        Kind::Add | Kind::Sub => Var::record(kind.name(), &[a, b], y, || Sum {
            shapes,
            negative: kind == Kind::Sub,
        }),
        _ => Var::record(kind.name(), &[a, b], y, || Product {
            kind,
            a: a.value().clone(),
            b: b.value().clone(),
        }),
    })
}

/// y = a + b or a - b.
struct Sum {
    shapes: [Shape; 2],
    negative: bool,
}

impl Backward for Sum {
    /// da = dy, db = dy or -dy.
    fn backward(self: Box<Self>, dy: Tensor, wanted: &[bool]) -> Result<Vec<Option<Tensor>>> {
        let db = || {
            if self.negative {
                Var::from(&dy).neg().map(Var::into_value)
            } else {
                Ok(dy.clone())
            }
        };
        let db = wanted[1]
            .then(|| db()?.sum_to(&self.shapes[1]))
            .transpose()?;
        let da = wanted[0].then(|| dy.sum_to(&self.shapes[0])).transpose()?;
        Ok(vec![da, db])
    }

    fn saves(&self) -> Vec<&Tensor> {
        vec![]
    }
}

/// y = a b, a / b, max(a, b) or min(a, b).
struct Product {
    kind: Kind,
    a: Tensor,
    b: Tensor,
}

impl Backward for Product {
    /// Element by element, the partial derivatives times dy: see [`cpu::backward`].
    fn backward(self: Box<Self>, dy: Tensor, wanted: &[bool]) -> Result<Vec<Option<Tensor>>> {
        let Product { kind, a, b } = &*self;
        let broadcast = Broadcast {
            operands: [*a.shape(), *b.shape()],
            result: *dy.shape(),
        };
        let (kind, mut out) = (*kind, vec![None, None]);
        for (side, x) in [a, b].into_iter().enumerate() {
            if wanted[side] {
                let partial = Partial { kind, side };
                let dx = on_device!(kind.name(), dy in [f32, f64, bf16] => dy.shape();
                    backward(partial, @[a, b, dy], &broadcast))?;
                out[side] = Some(dx.sum_to(x.shape())?);
            }
        }
        Ok(out)
    }

    fn saves(&self) -> Vec<&Tensor> {
        vec![&self.a, &self.b]
    }
}
