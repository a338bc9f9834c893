//! Batches of data sets of a user's own.

use super::*;
use wavemix::data::{Sample, TensorDataset};
use wavemix::{DType, Result, Tensor};

/// Pictures [6, 8, 1] and their label maps [6, 8]: each pixel of sample i has the class of its
/// value, (row + 2 column + i) mod 5. Sample `bad` cannot be read, sample `odd` has another shape.
struct Maps {
    n: usize,
    bad: Option<usize>,
    odd: Option<usize>,
}

impl Dataset for Maps {
    fn len(&self) -> usize {
        self.n
    }

    fn name(&self) -> &str {
        "maps"
    }

    fn sample(&self, index: usize) -> Result<Sample> {
        if self.bad == Some(index) {
            return Err(Error::Argument(format!("sample {index} is torn")));
        }
        let rows = if self.odd == Some(index) { 5 } else { 6 };
        let class = |k: usize| (k / 8 + 2 * (k % 8) + index) % 5;
        let values: Vec<f32> = (0..rows * 8).map(|k| class(k) as f32 + 1.0).collect();
        let classes: Vec<i64> = (0..rows * 8).map(|k| class(k) as i64).collect();
        Ok(Sample {
            input: Tensor::from_vec(values, (rows, 8, 1))?,
            target: Tensor::from_vec(classes, (rows, 8))?,
        })
    }
}

const WHOLE: Maps = Maps {
    n: 23,
    bad: None,
    odd: None,
};

fn all(batches: impl Iterator<Item = Result<Batch>>) -> Vec<(Vec<f32>, Vec<i64>)> {
    bits(batches)
}

#[test]
fn any_number_of_workers_gives_the_same_batches() {
    let with = |workers| {
        let loader = Loader::new(WHOLE, 4).unwrap().with_workers(workers);
        let from = |start| all(loader.epoch(&Rng::new(5), 1, start).unwrap());
        (from(0), from(4), all(loader.in_order().unwrap()))
    };
    let one = with(1);
    assert_eq!(one.0.len(), 6);
    assert_eq!(one.0[4..], one.1);
    for workers in [0, 2, 3, 6, 40] {
        assert_eq!(with(workers), one, "{workers} workers");
    }
    // Dropped early, all of them stop.
    let mut batches = Loader::new(WHOLE, 1)
        .unwrap()
        .with_workers(5)
        .in_order()
        .unwrap();
    assert!(batches.next().unwrap().is_ok());
}

#[test]
fn a_sample_that_cannot_be_read_is_the_error_of_its_batch() {
    let torn = Maps {
        bad: Some(9),
        ..WHOLE
    };
    let loader = Loader::new(torn, 4).unwrap().with_workers(2);
    let batches: Vec<Result<Batch>> = loader.in_order().unwrap().collect();
    assert_eq!(batches.len(), 6);
    for (i, batch) in batches.into_iter().enumerate() {
        match batch {
            Ok(batch) => assert_eq!(batch.size(), if i == 5 { 3 } else { 4 }),
            Err(error) => {
                assert_eq!(
                    (i, error.to_string()),
                    (2, "sample 9 of maps: sample 9 is torn".into())
                );
            }
        }
    }
    let torn = Maps {
        bad: Some(0),
        ..WHOLE
    };
    assert_eq!(message(Loader::new(torn, 4)), "sample 0 is torn");
}

#[test]
fn samples_of_another_form_are_named() {
    let odd = Maps {
        odd: Some(2),
        ..WHOLE
    };
    let mut batches = Loader::new(odd, 8).unwrap().in_order().unwrap();
    assert_eq!(
        message(batches.next().unwrap()),
        "maps: sample 2 has input [5, 8, 1] of f32, target [5, 8] of i64; the first one input [6, 8, 1] of f32, target \
         [6, 8] of i64"
    );
}

#[test]
fn label_maps_are_flipped_and_cropped_with_their_images() {
    let augment = Augment {
        flip: true,
        crop: 2,
        fill: vec![],
    };
    let loader = Loader::new(WHOLE, 8).unwrap().with_augment(augment);
    let (mut moved, mut beyond) = (0, 0);
    let plain = all(loader.in_order().unwrap());
    for ((images, maps), (_, still)) in all(loader.epoch(&Rng::new(3), 0, 0).unwrap())
        .into_iter()
        .zip(plain)
    {
        for (value, class) in images.iter().zip(&maps) {
            if *value == 0.0 {
                assert_eq!(*class, -100);
                beyond += 1;
            } else {
                assert_eq!(*value, *class as f32 + 1.0);
            }
        }
        moved += usize::from(maps != still);
    }
    assert!(moved > 0 && beyond > 0, "{moved} {beyond}");
}

#[test]
fn floats_are_normalised_and_repeated_like_bytes() {
    let x = Tensor::from_vec(vec![0.0f32, 0.25, 0.5, 1.0], (2, 2, 1, 1)).unwrap();
    let y = Tensor::from_vec(vec![0.5f32, -0.5], 2).unwrap();
    let set = TensorDataset::new(x, y).unwrap();
    let loader = Loader::new(set, 2).unwrap().normalised(&[0.5], &[0.25]);
    let loader = loader.unwrap().with_channels(2).unwrap();
    let batch = loader.in_order().unwrap().next().unwrap().unwrap();
    assert_eq!(
        batch.inputs.to_vec::<f32>().unwrap(),
        [-2.0, -2.0, -1.0, -1.0, 0.0, 0.0, 2.0, 2.0]
    );
    assert_eq!(batch.targets.to_vec::<f32>().unwrap(), [0.5, -0.5]);
    assert_eq!(loader.input_shape()[..], [2, 1, 2]);
}

#[test]
fn rows_of_tensors_of_any_type_are_samples() {
    for dtype in [DType::F64, DType::BF16, DType::I64, DType::U8] {
        let x = Tensor::arange(0.0, 1.0, 30, dtype).reshape((5, 6)).unwrap();
        let set = TensorDataset::new(x.clone(), Tensor::arange(0.0, 1.0, 5, DType::I64)).unwrap();
        assert_eq!((set.len(), set.is_empty()), (5, false));
        let loader = Loader::new(set, 3).unwrap();
        let batches: Vec<Batch> = loader.in_order().unwrap().map(Result::unwrap).collect();
        assert_eq!(batches[1].inputs.dtype(), dtype);
        assert_eq!(
            batches[1]
                .inputs
                .cast(DType::F64)
                .unwrap()
                .to_vec::<f64>()
                .unwrap(),
            (18..30).map(f64::from).collect::<Vec<_>>()
        );
        assert_eq!(batches[1].targets.to_vec::<i64>().unwrap(), [3, 4]);
        let refused = message(loader.clone().normalised(&[0.0; 6], &[1.0; 6]));
        if dtype != DType::U8 {
            assert!(refused.ends_with(&format!("not of {dtype}")), "{refused}");
        }
    }
    let one = Tensor::zeros([1, 2], DType::F32);
    let wrong = message(TensorDataset::new(
        one.clone(),
        Tensor::zeros(2, DType::F32),
    ));
    assert!(
        wrong.starts_with("TensorDataset: targets expects as many rows as inputs, [1, 2], got [2]"),
        "{wrong}"
    );
    let flat = TensorDataset::new(
        Tensor::zeros((4, 3), DType::F32),
        Tensor::zeros(4, DType::I64),
    );
    let flips = Augment {
        flip: true,
        ..Augment::default()
    };
    let loader = Loader::new(flat.unwrap(), 2).unwrap().with_augment(flips);
    let error = message(loader.epoch(&Rng::new(0), 0, 0).unwrap().next().unwrap());
    assert_eq!(
        error,
        "images [h, w, c] are changed at random, not inputs of [3]"
    );
}

#[test]
fn tensors_of_other_values_are_another_set() {
    let of = |x: f32, class: i64| {
        let x = Tensor::from_vec(vec![1.0f32, x, 3.0], (3, 1)).unwrap();
        let y = Tensor::from_vec(vec![0, class, 2], 3).unwrap();
        TensorDataset::new(x, y).unwrap().fingerprint()
    };
    assert_eq!(of(2.0, 1), of(2.0, 1));
    assert_ne!(of(2.0, 1), of(2.5, 1));
    assert_ne!(of(2.0, 1), of(2.0, 2));
}
