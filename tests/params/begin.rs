//! What parameters begin with, beside what layers ask for: the truncated normal distribution.

use wavemix::params::{FileLayout, Init};
use wavemix::{DType, Params, Rng, Tensor};

/// The first values of a parameter of n elements.
fn begun(init: Init, n: usize, seed: u64) -> Vec<f64> {
    let declare =
        |names: &mut wavemix::params::Names| Ok(names.param("x", [n], init, FileLayout::Same));
    let (_, params) = Params::declare(DType::F64, &Rng::new(seed), declare).unwrap();
    params.arena().to_vec().unwrap()
}

/// Values that must be those of a normal distribution of this standard deviation within -2..=2:
/// the share below each tenth of the interval, within six of its standard deviations, which are at
/// most 1 / (2 sqrt(n)). The distribution function is a sum of 20,000 terms of the density.
fn assert_truncated(values: &[f64], std: f64) {
    let (n, steps) = (values.len() as f64, 20_000);
    assert!(values.iter().all(|x| x.abs() <= 2.0), "std {std}");
    let at = |i: usize| 4.0 * (i as f64 + 0.5) / steps as f64 - 2.0;
    let density: Vec<f64> = (0..steps)
        .map(|i| (-0.5 * (at(i) / std).powi(2)).exp())
        .collect();
    let total: f64 = density.iter().sum();
    for tenth in 1..10 {
        let bound = 0.4 * tenth as f64 - 2.0;
        let want = density[..tenth * steps / 10].iter().sum::<f64>() / total;
        let got = values.iter().filter(|&&x| x < bound).count() as f64 / n;
        assert!(
            (got - want).abs() < 3.0 / n.sqrt(),
            "std {std}: {got} of all below {bound}, not {want}"
        );
    }
}

#[test]
fn truncated_normal_is_one() {
    for std in [0.3, 1.0, 1.99, 2.01, 5.0, 1e300] {
        assert_truncated(&begun(Init::TruncatedNormal(std), 40_000, 5), std);
    }
    let narrow = begun(Init::TruncatedNormal(0.02), 40_000, 5);
    let mean_square = narrow.iter().map(|x| x * x).sum::<f64>() / 40_000.0;
    // The deviation of a mean of n squares is sqrt(2 / n) of it.
    let off = mean_square / 0.0004 - 1.0;
    assert!(off.abs() < 6.0 * (2.0f64 / 40_000.0).sqrt(), "{off}");
}

#[test]
fn truncated_normal_ends_for_any_deviation() {
    assert_eq!(begun(Init::TruncatedNormal(0.0), 5, 1), [0.0; 5]);
    let nan = begun(Init::TruncatedNormal(f64::NAN), 5, 1);
    assert!(nan.iter().all(|x| x.is_nan()));
    let uniform = begun(Init::TruncatedNormal(f64::INFINITY), 5, 1);
    assert!(uniform.iter().all(|x| x.abs() <= 2.0));
}

/// A longer tensor begins with the elements of a shorter one, on any number of threads.
#[test]
fn truncated_normal_depends_on_seed_and_index_alone() {
    let draw = |n: usize| {
        let x = Tensor::truncated_normal([n], 1.5, DType::F32, &Rng::new(7));
        x.to_vec::<f32>().unwrap()
    };
    let long = crate::helpers::on_threads(2, || draw(70_001));
    assert!(long == crate::helpers::on_threads(1, || draw(70_001)));
    assert_eq!(long[..1001], draw(1001));
    assert_ne!(
        begun(Init::TruncatedNormal(1.5), 9, 1),
        begun(Init::TruncatedNormal(1.5), 9, 2)
    );
}

/// Each drawn buffer has random numbers of its own, whatever the parameters beside it.
#[test]
fn drawn_buffers_begin_with_what_is_drawn() {
    fn normal(shape: &[usize], rng: &Rng) -> Vec<f64> {
        let mut rng = rng.clone();
        (0..shape.iter().product()).map(|_| rng.normal()).collect()
    }
    let drawn = |parameters: usize| {
        let declare = |names: &mut wavemix::params::Names| {
            for i in 0..parameters {
                let name = format!("x{i}");
                names.param(&name, [2], Init::Normal(1.0), FileLayout::Same);
            }
            Ok([
                names.drawn_buffer("a", [3, 2], normal),
                names.drawn_buffer("b", [6], normal),
            ])
        };
        let (ids, params) = Params::declare(DType::F32, &Rng::new(1), declare).unwrap();
        assert_eq!(params.buffer(ids[0]).unwrap().shape()[..], [3, 2]);
        ids.map(|id| params.buffer(id).unwrap().to_vec::<f32>().unwrap())
    };
    let [a, b] = drawn(0);
    assert!(a != b && [a, b] == drawn(3));
    let short = Params::declare(DType::F32, &Rng::new(1), |names| {
        Ok(names.drawn_buffer("a", [3], |_, _| vec![0.0; 2]))
    });
    let expected = "from_vec: values expects 3 elements for shape [3], got 2";
    crate::helpers::assert_error(short, expected);
}

/// Each parameter begins at a multiple of 16 elements, where a GPU can load several at once; the
/// elements between are nobody's and do not count.
#[test]
fn parameters_begin_at_multiples_of_16_elements() {
    let sizes = [36, 1, 16, 5, 0, 7];
    let (_, params) = Params::declare(DType::F32, &Rng::new(1), |names| {
        sizes.iter().enumerate().for_each(|(i, &n)| {
            names.param(&format!("p{i}"), [n], Init::Constant(1.0), FileLayout::Same);
        });
        Ok(())
    })
    .unwrap();
    let offsets: Vec<usize> = params.entries().iter().map(|entry| entry.offset).collect();
    assert_eq!(offsets, [0, 48, 64, 80, 96, 96]);
    assert_eq!((params.count(), params.arena().elements()), (65, 103));
    let ones = params.arena().to_vec::<f32>().unwrap();
    assert_eq!(ones.iter().filter(|&&x| x == 1.0).count(), 65);
    assert_eq!(ones.iter().filter(|&&x| x == 0.0).count(), 38);
}
