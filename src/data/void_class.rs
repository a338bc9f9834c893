//! Label maps whose ignored pixels are a class.

use std::sync::Arc;

use super::dataset::{Dataset, Sample};
use super::preparation::Preparation;
use crate::{DType, Result, Tensor};

/// A data set of label maps whose ignored pixels are a class of their own, number 0 and called
/// `void`; all other classes have one number more. So the scripts of WaveMix-Lite's authors have
/// Cityscapes, with 20 classes.
///
/// [`Dataset::ignore_index`] is 0 then: a loss may pass over that class or learn it.
#[derive(Clone)]
pub struct VoidClass {
    data: Arc<dyn Dataset>,
    classes: Vec<String>,
}

impl VoidClass {
    /// The same samples, with their ignored pixels as a class.
    pub fn new(data: Arc<dyn Dataset>) -> VoidClass {
        let classes = data.classes().iter().cloned();
        VoidClass {
            classes: ["void".to_owned()].into_iter().chain(classes).collect(),
            data,
        }
    }
}

impl Dataset for VoidClass {
    fn len(&self) -> usize {
        self.data.len()
    }

    fn sample(&self, index: usize) -> Result<Sample> {
        let Sample { input, target } = self.data.sample(index)?;
        if target.dtype() != DType::I64 {
            return Ok(Sample { input, target });
        }
        let (ignored, labels) = (self.data.ignore_index(), target.to_vec::<i64>()?);
        let number = |label: i64| match Some(label) == ignored {
            true => 0,
            false => label + 1,
        };
        let labels = labels.into_iter().map(number).collect();
        let target = Tensor::from_vec(labels, target.shape())?;
        Ok(Sample { input, target })
    }

    fn name(&self) -> &str {
        self.data.name()
    }

    fn classes(&self) -> &[String] {
        &self.classes
    }

    fn ignore_index(&self) -> Option<i64> {
        Some(0)
    }

    fn preparation(&self) -> Option<Preparation> {
        self.data.preparation()
    }

    fn fingerprint(&self) -> String {
        format!("{}, void as a class", self.data.fingerprint())
    }

    fn check(&self) -> Result<()> {
        self.data.check()
    }
}
