//! Parts of a data set.

use std::sync::Arc;

use super::dataset::{Dataset, Sample, hash};
use super::preparation::Preparation;
use crate::{Error, Result, Rng};

/// Some samples of a data set, in an order of their own.
#[doc(alias = "torch.utils.data.Subset")]
#[derive(Clone)]
pub struct Subset {
    data: Arc<dyn Dataset>,
    indices: Vec<usize>,
}

impl Subset {
    /// The samples of these numbers, in this order.
    ///
    /// # Errors
    /// A number that the set does not have.
    pub fn new(data: Arc<dyn Dataset>, indices: Vec<usize>) -> Result<Subset> {
        if let Some(bad) = indices.iter().find(|&&i| i >= data.len()) {
            return Err(Error::Argument(format!(
                "{}: there is no sample {bad}, but {} of them",
                data.name(),
                data.len()
            )));
        }
        Ok(Subset { data, indices })
    }
}

impl Dataset for Subset {
    fn len(&self) -> usize {
        self.indices.len()
    }

    fn sample(&self, index: usize) -> Result<Sample> {
        self.data.sample(self.indices[index])
    }

    fn name(&self) -> &str {
        self.data.name()
    }

    fn classes(&self) -> &[String] {
        self.data.classes()
    }

    fn ignore_index(&self) -> Option<i64> {
        self.data.ignore_index()
    }

    fn preparation(&self) -> Option<Preparation> {
        self.data.preparation()
    }

    /// That of the whole set, and which samples these are.
    fn fingerprint(&self) -> String {
        let indices = self.indices.iter().map(|&i| i as u64);
        let hash = hash(indices);
        let (whole, n) = (self.data.fingerprint(), self.len());
        format!("{n} of {whole}, samples {hash:016x}")
    }

    fn check(&self) -> Result<()> {
        self.data.check()
    }
}

/// Two parts of samples with these classes, by their numbers: `fraction` of each class, rounded to
/// the nearest sample and drawn at random, is the second.
pub(super) fn stratified(
    labels: &[i64],
    classes: usize,
    fraction: f64,
    rng: &mut Rng,
) -> (Vec<usize>, Vec<usize>) {
    let mut members = vec![Vec::new(); classes];
    for (i, &label) in labels.iter().enumerate() {
        members[label as usize].push(i);
    }
    let (mut first, mut second) = (Vec::new(), Vec::new());
    for members in members {
        let held_out = (members.len() as f64 * fraction).round() as usize;
        for (rank, place) in rng.permutation(members.len()).into_iter().enumerate() {
            if rank < held_out {
                second.push(members[place])
            } else {
                first.push(members[place])
            }
        }
    }
    first.sort_unstable();
    second.sort_unstable();
    (first, second)
}

/// A data set in two parts: `fraction` of its samples, drawn at random and rounded to the nearest
/// number, are the second one.
///
/// # Errors
/// A fraction that is not within 0 and 1.
#[doc(alias = "torch.utils.data.random_split")]
pub fn random_split(
    data: impl Dataset + 'static,
    fraction: f64,
    rng: &Rng,
) -> Result<(Subset, Subset)> {
    if !(0.0..=1.0).contains(&fraction) {
        return Err(Error::Argument(format!(
            "a part of a data set is a fraction within 0 and 1, not {fraction}"
        )));
    }
    let mut order = rng.clone().permutation(data.len());
    let held_out = (data.len() as f64 * fraction).round() as usize;
    let second = order.split_off(data.len() - held_out);
    let data: Arc<dyn Dataset> = Arc::new(data);
    Ok((
        Subset::new(data.clone(), order)?,
        Subset::new(data, second)?,
    ))
}
