//! Comparisons, which give masks, and the choice between two values by a mask.

use crate::autograd::Backward;
use crate::cpu::binary::Broadcast;
use crate::cpu::compare::{self as cpu, EQUAL, GREATER, LESS, UNORDERED};
use crate::cuda::compare as cuda;
use crate::{DType, Error, Result, Shape, Tensor, Var};

macro_rules! comparisons {
    ($($name:ident, $sign:literal, $holds:expr;)*) => {
        /// Comparisons, element by element: u8, 1 where it holds and 0 elsewhere. Shapes broadcast.
        impl Tensor {$(
            #[doc = concat!("Where a ", $sign, " b.")]
            #[doc = ""]
            #[doc = concat!("**Shapes**: any two that broadcast; any dtype, the same for both. **Source**: `torch.", stringify!($name), "`.")]
            #[doc = ""]
            #[doc = "# Errors"]
            #[doc = "Shapes that do not broadcast, dtypes that differ."]
            #[track_caller]
            pub fn $name(&self, other: &Tensor) -> Result<Tensor> {
                compare(stringify!($name), $holds, self, other)
            }
        )*}
    };
}
comparisons! {
    eq, "=", EQUAL;
    ne, "!=", LESS | GREATER | UNORDERED;
    lt, "<", LESS;
    le, "<=", LESS | EQUAL;
    gt, ">", GREATER;
    ge, ">=", GREATER | EQUAL;
}

#[track_caller]
fn compare(op: &'static str, holds: u8, a: &Tensor, b: &Tensor) -> Result<Tensor> {
    if a.dtype() != b.dtype() {
        return Err(Error::operand(
            op,
            "b",
            format!("the dtype of a, {}", a.dtype()),
            b.dtype(),
        ));
    }
    let shape = broadcast(op, "b", a.shape(), b.shape())?;
    super::same_device(op, ("a", a), ("b", b))?;
    let shape = Tensor::checked_shape(op, a.device(), &shape, DType::U8)?;
    let shapes = Broadcast {
        operands: [*a.shape(), *b.shape()],
        result: shape,
    };
    on_device!(op, a in any => shape, of u8; forward(holds, @[a, b], &shapes))
}

/// a where the mask is not 0, b elsewhere.
///
/// **Shapes**: any three that broadcast; the mask is u8, a and b of one dtype.
/// **Backward**: da = dy where the mask is not 0, db = dy where it is, 0 elsewhere; each summed
/// over the axes it was repeated along. **Saves**: the mask. **Errors**: shapes that do not
/// broadcast, a mask of another dtype, a and b of two.
/// **Source**: `torch.where`.
///
/// ```
/// use wavemix::{DType, Tensor, Var, ops::select};
/// let x = Tensor::from_vec(vec![-1.0, 2.0, -3.0], [3])?;
/// let zero = Tensor::zeros([], DType::F64);
/// let y = select(&x.gt(&zero)?, &Var::from(&x), &Var::from(zero))?;
/// assert_eq!(y.value().to_vec::<f64>()?, [0.0, 2.0, 0.0]);
/// # Ok::<(), wavemix::Error>(())
/// ```
#[doc(alias = "where")]
#[track_caller]
pub fn select(mask: &Tensor, a: &Var, b: &Var) -> Result<Var> {
    if mask.dtype() != DType::U8 {
        return Err(Error::operand("select", "mask", "u8", mask.dtype()));
    }
    if a.dtype() != b.dtype() {
        return Err(Error::operand(
            "select",
            "b",
            format!("the dtype of a, {}", a.dtype()),
            b.dtype(),
        ));
    }
    super::same_device("select", ("mask", mask), ("a", a.value()))?;
    super::same_device("select", ("mask", mask), ("b", b.value()))?;
    let shape = broadcast("select", "b", a.shape(), b.shape())?;
    let shape = broadcast("select", "mask", &shape, mask.shape())?;
    let mask = mask.expand(&Tensor::checked_shape(
        "select",
        mask.device(),
        &shape,
        a.dtype(),
    )?)?;
    let y = chosen(&mask, a.value(), b.value())?;
    let shapes = [*a.shape(), *b.shape()];
    Ok(Var::record("select", &[a, b], y, || Select {
        mask,
        shapes,
    }))
}

struct Select {
    mask: Tensor,
    shapes: [Shape; 2],
}

impl Backward for Select {
    /// da = dy where the mask is not 0, db = dy where it is.
    fn backward(self: Box<Self>, dy: Tensor, wanted: &[bool]) -> Result<Vec<Option<Tensor>>> {
        let zero = Tensor::full_on(dy.device(), [], 0.0, dy.dtype())?;
        let da = wanted[0]
            .then(|| chosen(&self.mask, &dy, &zero)?.sum_to(&self.shapes[0]))
            .transpose()?;
        let db = wanted[1]
            .then(|| chosen(&self.mask, &zero, &dy)?.sum_to(&self.shapes[1]))
            .transpose()?;
        Ok(vec![da, db])
    }

    fn saves(&self) -> Vec<&Tensor> {
        vec![&self.mask]
    }
}

/// a or b, repeated to the mask's shape.
fn chosen(mask: &Tensor, a: &Tensor, b: &Tensor) -> Result<Tensor> {
    let (a, b) = (a.expand(mask.shape())?, b.expand(mask.shape())?);
    on_device!("select", a in any => mask.shape(); select(@mask, @a, @b))
}

#[track_caller]
fn broadcast(op: &'static str, operand: &'static str, a: &Shape, b: &Shape) -> Result<Shape> {
    a.broadcast(b)
        .ok_or_else(|| Error::operand(op, operand, format!("a shape that broadcasts with {a}"), b))
}
