//! What backward rules say that they save: watchers count its memory.

use wavemix::autograd::trace::{Event, Watcher, watch};
use wavemix::ops::{
    BatchNormOptions, CrossEntropyOptions, batch_norm, cross_entropy, layer_norm, nll_loss,
    rms_norm,
};
use wavemix::{DType, Result, Rng, Tensor, Var};

/// Where each saved tensor begins in memory.
#[derive(Default)]
struct Saved(Vec<usize>);

impl Watcher for Saved {
    fn forward(&mut self, event: Event<'_>) {
        self.0.extend(event.saves.iter().map(|x| address(x)));
    }
}

fn address(x: &Tensor) -> usize {
    match x.dtype() {
        DType::I64 => x.as_slice::<i64>().unwrap().as_ptr() as usize,
        DType::F64 => x.as_slice::<f64>().unwrap().as_ptr() as usize,
        _ => x.as_slice::<f32>().unwrap().as_ptr() as usize,
    }
}

/// Vectors of one element a channel and labels too, not the large operands alone.
#[test]
fn rules_list_all_operands_that_they_save() {
    let draw = |shape: &[usize], seed| {
        let shape = wavemix::Shape::new(shape).unwrap();
        Var::leaf(Tensor::normal(shape, 1.0, 0.1, DType::F32, &Rng::new(seed)))
    };
    let [x, residual] = [1, 2].map(|seed| draw(&[6, 4], seed));
    let [gamma, beta] = [3, 4].map(|seed| draw(&[4], seed));
    let labels = Tensor::from_vec(vec![0i64, 1, 2, 3, 0, 1], [6]).unwrap();
    let normalised = |residual| {
        let options = BatchNormOptions {
            residual,
            ..BatchNormOptions::default()
        };
        batch_norm(&x, &gamma, &beta, options).map(|(y, _)| y)
    };
    let [xv, gv, bv, rv] = [&x, &gamma, &beta, &residual].map(Var::value);
    type Op<'a> = &'a dyn Fn() -> Result<Var>;
    let cases: [(&str, &[&Tensor], Op); 6] = [
        ("batch_norm", &[xv, gv], &|| normalised(None)),
        ("batch_norm with a residual", &[rv, bv, gv], &|| {
            normalised(Some(&residual))
        }),
        ("layer_norm", &[xv, gv], &|| {
            layer_norm(&x, &gamma, &beta, 1e-5)
        }),
        ("rms_norm", &[xv, gv], &|| rms_norm(&x, &gamma, 1e-5)),
        ("cross_entropy", &[xv, &labels], &|| {
            cross_entropy(&x, &labels, CrossEntropyOptions::default())
        }),
        ("nll_loss", &[&labels], &|| nll_loss(&x, &labels, None)),
    ];
    for (name, operands, run) in cases {
        let (Saved(saved), y) = watch(Saved::default(), run);
        y.unwrap();
        for (i, operand) in operands.iter().enumerate() {
            assert!(
                saved.contains(&address(operand)),
                "{name} does not list operand {i} of those that it saves"
            );
        }
    }
}
