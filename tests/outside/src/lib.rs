//! What a user of wavemix may write outside of it: an op with its own CUDA kernel, a model, a data
//! set, an optimizer.

use wavemix::Float;
use wavemix::autograd::Backward;
use wavemix::cuda::Kernel;
use wavemix::optim::{DeviceStep, Rule, Step};
use wavemix::prelude::*;

// SAFETY: both kernels read n elements of their inputs and write n of their output.
const MISH: Kernel = unsafe { Kernel::new("mish", "mish", include_str!("../kernels/mish.cu")) };
const MISH_BACKWARD: Kernel =
    unsafe { Kernel::new("mish", "mish_backward", include_str!("../kernels/mish.cu")) };
// SAFETY: it stays within the segments, as this crate's own optimizers do.
const SIGNUM: Kernel =
    unsafe { Kernel::new("signum", "signum", include_str!("../kernels/signum.cu")) };

/// y = x tanh(ln(1 + e^x)): Misra, "Mish" (BMVC 2020).
pub fn mish(x: &Var) -> Result<Var> {
    let from = x.value();
    let y = match from.device() {
        Device::Cpu => {
            let t = x.detach().softplus()?.tanh()?;
            (x.detach() * t)?.into_value()
        }
        gpu => {
            let mut y = Tensor::full_on(gpu, from.shape(), 0.0, from.dtype())?;
            let call = MISH.on(gpu, from.dtype())?.input(from)?.output(&mut y)?;
            call.count(from.elements()).each(from.elements())?;
            y
        }
    };
    Ok(Var::record("mish", &[x], y, || Mish { x: from.clone() }))
}

struct Mish {
    x: Tensor,
}

impl Backward for Mish {
    /// dx = dy (t + x (1 - t^2) sigmoid(x)), t = tanh(ln(1 + e^x)).
    fn backward(self: Box<Self>, dy: Tensor, _wanted: &[bool]) -> Result<Vec<Option<Tensor>>> {
        let n = dy.elements();
        Ok(vec![Some(match dy.device() {
            Device::Cpu => {
                let x = Var::from(&self.x);
                let t = x.softplus()?.tanh()?;
                let slope = (&t + (&x * (1.0 - t.square()?)? * x.sigmoid()?)?)?;
                (slope * Var::from(dy))?.into_value()
            }
            gpu => {
                let mut dx = Tensor::full_on(gpu, dy.shape(), 0.0, dy.dtype())?;
                let call = MISH_BACKWARD.on(gpu, dy.dtype())?.input(&self.x)?;
                call.input(&dy)?.output(&mut dx)?.count(n).each(n)?;
                dx
            }
        })])
    }

    fn saves(&self) -> Vec<&Tensor> {
        vec![&self.x]
    }
}

/// Two linear layers with a mish between them.
pub struct Mlp {
    hidden: Linear,
    last: Linear,
}

impl Mlp {
    /// For points of the plane and three classes.
    pub fn new(names: &mut Names) -> Result<Mlp> {
        Ok(Mlp {
            hidden: Linear::new(names, "hidden", [2, 32])?,
            last: Linear::new(names, "last", [32, 3])?,
        })
    }
}

impl Module for Mlp {
    fn forward(&self, pass: &Pass, x: &Var) -> Result<Var> {
        let x = self.hidden.forward(pass, &pass.input(x)?)?;
        pass.output(self.last.forward(pass, &mish(&x)?)?)
    }
}

/// Points of three spirals.
pub struct Spirals {
    /// How many there are.
    pub points: usize,
    /// Where their angles' errors come from.
    pub seed: u64,
}

impl Dataset for Spirals {
    fn len(&self) -> usize {
        self.points
    }

    fn sample(&self, index: usize) -> Result<Sample> {
        let class = index % 3;
        let r = 0.3 + 0.7 * (index / 3) as f64 / (self.points / 3) as f64;
        let error = Tensor::normal(
            [],
            0.0,
            0.1,
            DType::F64,
            &Rng::new(self.seed).child(index as u64),
        );
        let angle = 2.1 * class as f64 + 2.0 * r + error.item()?;
        let point = [r * angle.cos(), r * angle.sin()].map(|x| x as f32);
        Ok(Sample {
            input: Tensor::from_slice(&point, 2)?,
            target: Tensor::scalar(class as i64),
        })
    }

    fn name(&self) -> &str {
        "three spirals"
    }

    fn classes(&self) -> &[String] {
        static NAMES: std::sync::OnceLock<Vec<String>> = std::sync::OnceLock::new();
        NAMES.get_or_init(|| ["a", "b", "c"].map(String::from).to_vec())
    }
}

/// Steps of one size along the sign of the momentum: Bernstein et al., "signSGD" (ICML 2018).
pub struct Signum {
    /// How much of the momentum stays from step to step.
    pub beta: f64,
}

impl Rule for Signum {
    fn name(&self) -> &str {
        "signum"
    }

    fn moments(&self) -> &[&'static str] {
        &["momentum"]
    }

    fn update<T: Float>(&self, step: &Step, w: &mut [T], dw: &[T], moments: &mut [&mut [T]]) {
        let [m] = moments else {
            unreachable!("one moment")
        };
        let [beta, rest, lr] = [self.beta, 1.0 - self.beta, step.lr].map(T::from_f64);
        for ((w, m), &dw) in w.iter_mut().zip(m.iter_mut()).zip(dw) {
            *m = beta * *m + rest * dw;
            let by = if *m > T::ZERO {
                lr
            } else if *m < T::ZERO {
                -lr
            } else {
                T::ZERO
            };
            *w = *w - by;
        }
    }

    fn launch(&self, step: DeviceStep) -> Result<()> {
        step.run(&SIGNUM, &[self.beta])
    }
}
