//! A short tour for those who come from NumPy or PyTorch.
//!
//! `cargo run --release --example tensors`
//!
//! | NumPy, PyTorch                | here                                             |
//! |-------------------------------|--------------------------------------------------|
//! | `np.array`, `torch.tensor`    | `Tensor`: numbers with a shape, never a gradient |
//! | `requires_grad_()`            | `Var::leaf(tensor)`                              |
//! | `a + b` raises                | `(&a + &b)?`: shapes are checked, errors returned|
//! | `x.grad`, `zero_grad()`       | `loss.backward()?` returns the gradients         |
//! | `with torch.no_grad()` | `Pass::eval(&params)`, or `x.detach()` for one value: constants record no graph |
//! | NCHW                          | NHWC, channels last                              |
//! | `x[:, 1:3]`                   | `x.slice(1, 1..3)?`                              |
//! | `torch.manual_seed`           | `Rng::new(seed)`, passed to what draws           |

use std::process::ExitCode;

use wavemix::console::{Stdout, exit_status};
use wavemix::ops::{concat, one_hot, select};
use wavemix::{DType, Result, Rng, Tensor, Var};

fn main() -> ExitCode {
    exit_status(tour())
}

fn tour() -> Result<()> {
    // Tensors are made from values, or filled. dtypes are fixed: f32 by the literals here.
    let a = Tensor::from_vec(vec![1.0f32, 2.0, 3.0, 4.0, 5.0, 6.0], [2, 3])?;
    writeln!(Stdout, "a =\n{a}\n{a:?}\n")?;
    arithmetic(&a)?;
    shapes(&a)?;
    masks(&a)?;
    random_numbers()?;
    gradients(&a)?;
    errors(&a)
}

fn arithmetic(a: &Tensor) -> Result<()> {
    // Mathematics is done on `Var`, which a tensor becomes for free. Shapes broadcast as in NumPy.
    let x = Var::from(a);
    let row = Var::from(Tensor::arange(10.0, 10.0, 3, DType::F32));
    writeln!(Stdout, "a + [10, 20, 30] =\n{}\n", (&x + &row)?)?;
    // A Result can go on: one `?` at the end serves the whole line.
    writeln!(Stdout, "a * row / a =\n{}\n", (&x * &row / &x)?)?;

    // Reductions name their axes. `keep` leaves axes of length 1, ready to broadcast.
    writeln!(Stdout, "mean over axis 0: {}", x.mean(0)?)?;
    writeln!(Stdout, "rows without their mean =\n{}", (&x - &x.mean_keep(1)?)?)?;
    writeln!(Stdout, "largest of each row at {}\n", a.argmax(1)?)
}

fn shapes(a: &Tensor) -> Result<()> {
    // Reshape is free, the rest copies.
    let x = Var::from(a);
    writeln!(Stdout, "transposed =\n{}", x.transpose(0, 1)?)?;
    writeln!(Stdout, "columns 1 and 2 =\n{}", x.slice(1, 1..3)?)?;
    writeln!(Stdout, "beside itself =\n{}", concat(&[&x, &x], 1)?)?;
    writeln!(Stdout, "padded =\n{}\n", x.pad(&[(1, 0), (0, 1)])?)
}

fn masks(a: &Tensor) -> Result<()> {
    // Comparisons give masks of u8, which choose.
    let mask = a.gt(&Tensor::scalar(3.5f32))?;
    writeln!(Stdout, "a > 3.5 =\n{mask}")?;
    writeln!(
        Stdout,
        "where a > 3.5, else 0 =\n{}",
        select(&mask, &a.into(), &Var::from(Tensor::scalar(0f32)))?
    )?;
    writeln!(
        Stdout,
        "one-hot of [2, 0] =\n{}\n",
        one_hot(&Tensor::from_vec(vec![2i64, 0], [2])?, 3, DType::U8)?
    )
}

fn random_numbers() -> Result<()> {
    // Random numbers come from a seed and a place in its stream: the same on any machine, with any
    // number of threads.
    let rng = Rng::new(7);
    writeln!(Stdout, "normal: {}\n", Tensor::normal([4], 0.0, 1.0, DType::F32, &rng))
}

fn gradients(a: &Tensor) -> Result<()> {
    // Gradients are returned, not hidden in the tensors: least squares by three steps of gradient
    // descent.
    let x = Var::from(a);
    let target = Tensor::from_vec(vec![1.0f32, -1.0], [2, 1])?;
    let mut weight = Tensor::zeros([3, 1], DType::F32);
    for step in 0..3 {
        let w = Var::leaf(weight);
        let error = (&x.matmul(&w)? - &Var::from(&target))?;
        let loss = error.square()?.mean_all()?;
        writeln!(Stdout, "step {step}: loss {loss}")?;
        let gradients = loss.backward()?;
        let Some(dw) = gradients.of(&w) else { break };
        weight = (&w.detach() - &Var::from(dw).mul_scalar(0.01)?)?.into_value();
    }
    Ok(())
}

fn errors(a: &Tensor) -> Result<()> {
    // What does not fit is an error that names the op, both shapes, and your line.
    if let Err(error) = &Var::from(a) + &Var::from(Tensor::zeros([4], DType::F32)) {
        writeln!(Stdout, "\nerror: {error}")?;
    }
    Ok(())
}
