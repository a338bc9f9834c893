//! The computation graph, apart from any op: how it is freed, and how one looks at it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use wavemix::autograd::Backward;
use wavemix::params::{FileLayout, Init};
use wavemix::{DType, Params, Pass, Result, Rng, Tensor, Var};

/// Passes the gradient on, and keeps a `Var`, as a rule that recomputes may; counts when it is
/// dropped.
struct Holds(Var, Arc<AtomicUsize>);

impl Backward for Holds {
    fn backward(self: Box<Self>, dy: Tensor, wanted: &[bool]) -> Result<Vec<Option<Tensor>>> {
        Ok(wanted
            .iter()
            .map(|wanted| wanted.then(|| dy.clone()))
            .collect())
    }

    fn saves(&self) -> Vec<&Tensor> {
        vec![self.0.value()]
    }
}

impl Drop for Holds {
    fn drop(&mut self) {
        self.1.fetch_add(1, Ordering::Relaxed);
    }
}

const DEEP: usize = 1_000_000;
/// Deep enough for a stack of 64 KiB by far, where the question is another one.
const LESS_DEEP: usize = 100_000;

/// On a thread whose stack would not hold a thousand nested drops.
fn on_a_small_stack(body: impl FnOnce() + Send + 'static) {
    std::thread::Builder::new()
        .stack_size(64 << 10)
        .spawn(body)
        .unwrap()
        .join()
        .unwrap();
}

fn one() -> Tensor {
    Tensor::ones([], DType::F32)
}

#[test]
fn a_million_rules_that_each_hold_the_one_before_are_dropped() {
    on_a_small_stack(|| {
        let dropped = Arc::new(AtomicUsize::new(0));
        let mut y = Var::leaf(one());
        for _ in 0..DEEP {
            // Its input is a leaf of its own: only the rule leads on.
            y = Var::record("holds", &[&Var::leaf(one())], one(), || {
                Holds(y, dropped.clone())
            });
        }
        drop(y);
        assert_eq!(dropped.load(Ordering::Relaxed), DEEP);
    });
}

#[test]
fn rules_that_hold_their_input_are_dropped_before_and_after_a_backward_pass() {
    on_a_small_stack(|| {
        for backward in [false, true] {
            let (dropped, x) = (Arc::new(AtomicUsize::new(0)), Var::leaf(one()));
            let mut y = x.clone();
            for _ in 0..LESS_DEEP {
                y = Var::record("holds", &[&y], one(), || Holds(y.clone(), dropped.clone()));
            }
            if backward {
                assert_eq!(y.backward().unwrap().of(&x).unwrap().item().unwrap(), 1.0);
            }
            drop(y);
            assert_eq!(dropped.load(Ordering::Relaxed), LESS_DEEP);
        }
    });
}

/// A backward pass that fails at the first rule leaves all others behind it to be dropped.
#[test]
fn a_backward_pass_that_fails_leaves_nothing_behind() {
    struct Fails(Var);
    impl Backward for Fails {
        fn backward(self: Box<Self>, _dy: Tensor, _wanted: &[bool]) -> Result<Vec<Option<Tensor>>> {
            Err(wavemix::Error::Graph("as it should".into()))
        }
        fn saves(&self) -> Vec<&Tensor> {
            vec![self.0.value()]
        }
    }
    on_a_small_stack(|| {
        let dropped = Arc::new(AtomicUsize::new(0));
        let mut y = Var::leaf(one());
        for _ in 0..LESS_DEEP {
            y = Var::record("holds", &[&y], one(), || Holds(y.clone(), dropped.clone()));
        }
        let last = Var::record("fails", &[&y], one(), || Fails(y.clone()));
        drop(y);
        assert_eq!(last.backward().err().unwrap().to_string(), "as it should");
        drop(last);
        assert_eq!(dropped.load(Ordering::Relaxed), LESS_DEEP);
    });
}

/// A rule whose own drop panics does not keep later graphs from being freed.
#[test]
fn a_drop_that_panics_does_not_stop_later_ones() {
    struct Panics;
    impl Drop for Panics {
        fn drop(&mut self) {
            panic!("in a rule's drop");
        }
    }
    struct Rule(Panics);
    impl Backward for Rule {
        fn backward(self: Box<Self>, dy: Tensor, _wanted: &[bool]) -> Result<Vec<Option<Tensor>>> {
            let Rule(_) = &*self;
            Ok(vec![Some(dy)])
        }
        fn saves(&self) -> Vec<&Tensor> {
            vec![]
        }
    }
    on_a_small_stack(|| {
        let y = Var::record("panics", &[&Var::leaf(one())], one(), || Rule(Panics));
        assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| drop(y))).is_err());
        let dropped = Arc::new(AtomicUsize::new(0));
        drop(Var::record("holds", &[&Var::leaf(one())], one(), || {
            Holds(Var::leaf(one()), dropped.clone())
        }));
        assert_eq!(dropped.load(Ordering::Relaxed), 1);
    });
}

/// In every floating-point type: on the CPU f16 is only stored and cast.
#[test]
fn gradients_of_two_uses_add_up_in_every_type() {
    for dtype in [DType::F32, DType::F64, DType::BF16, DType::F16] {
        let x = Var::leaf(Tensor::full([3], 1.5, dtype));
        let wide = || x.cast(DType::F64).unwrap();
        let y = (&wide() + &wide()).unwrap();
        let dx = y
            .backward_from(Tensor::full([3], 0.25, DType::F64), &[])
            .unwrap()
            .of(&x)
            .unwrap()
            .clone();
        assert_eq!(
            (
                dx.dtype(),
                dx.cast(DType::F64).unwrap().to_vec::<f64>().unwrap()
            ),
            (dtype, vec![0.5; 3]),
            "{dtype}"
        );
    }
}

/// The gradient of a weight is f32 in 16 bits, also where the weight is cut and reshaped before it
/// is used; ops that compute with it get it rounded.
#[test]
fn gradients_of_weights_stay_f32_through_ops_that_move_elements() {
    let normal = |shape: &[usize], seed| {
        Tensor::normal(shape, 0.0, 1.0, DType::BF16, &wavemix::Rng::new(seed))
    };
    let (x, dy) = (Var::from(normal(&[50, 4], 1)), normal(&[50, 3], 2));
    let gradient = |weight: &Var, of: &Var| {
        let y = wavemix::ops::linear(&x, weight, None).unwrap();
        let gradients = y.backward_from(dy.clone(), &[]).unwrap();
        gradients.of(of).unwrap().clone()
    };
    let plain = Var::leaf(normal(&[3, 4], 3));
    let want = gradient(&plain, &plain);
    assert_eq!(want.dtype(), DType::F32);
    let whole = Var::leaf(normal(&[4, 6], 3));
    let cut = whole.slice(1, 0..3).unwrap().transpose(0, 1).unwrap();
    let got = gradient(&cut, &whole);
    let got = Var::from(&got).slice(1, 0..3).unwrap();
    let got = got.transpose(0, 1).unwrap();
    assert_eq!(got.dtype(), DType::F32);
    assert_eq!(got.to_vec::<f32>().unwrap(), want.to_vec::<f32>().unwrap());
    // Twice as large, and once rounded to bf16.
    let twice = plain.mul_scalar(2.0).unwrap();
    let got = gradient(&twice, &plain);
    let want = want.cast(DType::BF16).unwrap();
    let want = Var::from(want).mul_scalar(2.0).unwrap();
    assert_eq!(got.dtype(), DType::BF16);
    let floats = |x: &Tensor| x.cast(DType::F32).unwrap().to_vec::<f32>().unwrap();
    assert_eq!(floats(&got), floats(want.value()));
}

/// The ops of a graph and the places of their inputs.
fn outline(var: &Var) -> Vec<(&'static str, Vec<Option<usize>>)> {
    let graph = var.graph();
    let nodes = graph.nodes().iter();
    nodes.map(|node| (node.op, node.inputs.clone())).collect()
}

#[test]
fn a_graph_has_what_a_value_was_computed_from_and_nothing_else() -> Result<()> {
    let x = Var::leaf(Tensor::ones([2, 3], DType::F64));
    let unused = x.exp()?;
    let y = (&x * &x)?;
    let z = (&y + &Var::from(Tensor::ones([3], DType::F64)))?;
    let loss = (&z - &y)?.sum_all()?;
    let want = [
        ("leaf", vec![]),
        ("mul", vec![Some(0), Some(0)]),
        ("add", vec![Some(1), None]),
        ("sub", vec![Some(2), Some(1)]),
        ("sum", vec![Some(3)]),
    ];
    assert_eq!(outline(&loss), want);
    assert_eq!(loss.graph().nodes()[2].shape.to_string(), "[2, 3]");
    // The backward pass uses the rules up, not the graph.
    loss.backward()?;
    assert_eq!(outline(&loss), want);
    assert_eq!(outline(&unused), [("leaf", vec![]), ("exp", vec![Some(0)])]);
    assert!(x.detach().graph().nodes().is_empty());
    assert_eq!(
        x.detach().dot(),
        "digraph {\n  node [shape=box, fontname=\"sans-serif\"];\n}\n"
    );
    Ok(())
}

#[test]
fn a_graph_is_labelled_and_written_for_graphviz() -> Result<()> {
    let (w, params) = Params::declare(DType::F64, &Rng::new(0), |names| {
        let mut names = names.within("head");
        Ok(names.param("weight", [2], Init::Constant(1.0), FileLayout::Same))
    })?;
    let pass = Pass::train(&params, Rng::new(0));
    let x = Var::from(Tensor::ones([2], DType::F64));
    let _layer = pass.enter("head");
    let y = (pass.var(w)? * &x)?;
    let graph = y
        .graph()
        .with_params(&params)
        .with_label(&y, "a \"b\" \\")?;
    let text = graph.to_string();
    for line in [
        "  n0 [label=\"head.weight\\nparam\\n[2] f64\", style=filled, fillcolor=\"#dce9f7\"];",
        "  n1 [label=\"a \\\"b\\\" \\\\\\nmul\\nhead\\n[2] f64\"];",
        "  n0 -> n1;",
        "  n1c1 [label=\"constant\", style=dashed];",
        "  n1c1 -> n1;",
    ] {
        assert!(
            text.lines().any(|l| l == line),
            "`{line}` is not in\n{text}"
        );
    }
    let error = y.graph().with_label(&x, "x").unwrap_err().to_string();
    assert!(error.contains("`x`"), "{error}");
    Ok(())
}

#[test]
fn a_graph_of_many_paths_is_walked_once() -> Result<()> {
    let x = Var::leaf(Tensor::scalar(1.0));
    let mut y = x.clone();
    for _ in 0..DEEP / 10 {
        y = (&y + &y)?;
    }
    assert_eq!(y.graph().nodes().len(), DEEP / 10 + 1);
    Ok(())
}
