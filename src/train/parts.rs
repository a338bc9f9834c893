//! The batches of a run, as its steps take them, and what a checkpoint keeps of its data.

use crate::data::{Constants, Dataset, Loader};
use crate::train::config::{Config, Data};
use crate::train::forward::outputs;
use crate::{DType, Device, Error, Module, Params, Pass, Result, Rng, Tensor, Var};

/// The parts of the data.
pub(super) struct Parts {
    pub train: Loader,
    pub validation: Option<Loader>,
    pub test: Option<Loader>,
    /// Normalises images on a GPU, which gets them as bytes; none on the CPU, where the loader
    /// normalises, nor for other data.
    pub constants: Option<Constants>,
    /// Names of what a checkpoint keeps of the data, and what it keeps.
    pub fingerprints: Vec<(String, String)>,
}

impl Parts {
    /// The same data for a run on `device`.
    pub fn new(data: Data, device: Device) -> Result<Parts> {
        let Data {
            mut train,
            validation,
            test,
        } = data;
        let fingerprints = fingerprints(&train, validation.as_ref(), test.as_ref());
        let mut constants = None;
        if device != Device::Cpu && train.normalises_bytes() {
            constants = Some(train.constants(device)?);
            train = train.as_bytes();
        }
        Ok(Parts {
            train,
            validation,
            test,
            constants,
            fingerprints,
        })
    }

    /// A batch's inputs as a model takes them: images that came as bytes in this type.
    pub fn inputs(&self, inputs: &Tensor, dtype: DType) -> Result<Var> {
        match &self.constants {
            Some(constants) => Ok(constants.normalised(inputs, dtype)?.into()),
            None => Ok(inputs.into()),
        }
    }

    /// Checks that the model can be trained with batches of the sizes that an epoch has, and that
    /// its outputs suit the loss: one and two samples are tried. A last batch of a single sample
    /// joins the one before where the model cannot be trained with it, as BatchNorm cannot where it
    /// finds a single value a channel in it.
    ///
    /// # Errors
    /// Whatever an op, BatchNorm or the loss has against the shapes: said now, not at the end of
    /// the first epoch.
    pub fn fit_batches(
        &mut self,
        model: &dyn Module,
        params: &Params,
        config: &Config,
        name: &str,
    ) -> Result<()> {
        let two = self.train.clone().with_batch_size(2);
        let Some(two) = two.in_order()?.next().transpose()? else {
            return Ok(());
        };
        let attempt = |samples: usize| -> Result<()> {
            let rows = |x: &Tensor| x.rows(0..samples.min(two.size()))?.to_device(config.device);
            let pass = Pass::train(params, Rng::new(0)).in_precision(config.precision)?;
            let inputs = self.inputs(&rows(&two.inputs)?, config.precision.compute())?;
            let outputs = outputs(model, &pass, inputs)?;
            let targets = rows(&two.targets)?;
            single(&config.objective.of(&outputs, &targets)?)?;
            config
                .objective
                .check(&outputs, &targets, self.train.data())
        };
        let joins = self.train.batch_sizes().contains(&1) && attempt(1).is_err();
        let mut train = self.train.clone();
        if joins {
            train = train.joining_a_single_sample();
        }
        for size in train.batch_sizes() {
            attempt(size.min(2)).map_err(|why| match attempt(2) {
                Ok(()) if size == 1 => self.too_small(config, name, why),
                _ => why,
            })?;
        }
        self.train = train;
        Ok(())
    }

    /// The error of a model that does not train on a single sample.
    fn too_small(&self, config: &Config, name: &str, why: Error) -> Error {
        let (on, samples) = match image_size(self.train.data()) {
            Ok(Some([h, w, _])) => (format!("on images of {h}x{w} "), "images"),
            _ => (String::new(), "samples"),
        };
        let setting = config.setting("batch-size");
        Error::Argument(format!(
            "{name}: {on}this model trains with batches of at least 2 {samples}, by {setting} and the number of {samples}: {why}"
        ))
    }
}

/// Checks that a loss is one number.
fn single(loss: &Var) -> Result<()> {
    if loss.value().elements() == 1 {
        return Ok(());
    }
    let shape = loss.shape();
    Err(Error::Argument(format!(
        "the loss of a batch is a single number, such as a mean; this one has the shape {shape}"
    )))
}

/// Names of what a checkpoint keeps of the data, and what it keeps.
fn fingerprints(
    train: &Loader,
    validation: Option<&Loader>,
    test: Option<&Loader>,
) -> Vec<(String, String)> {
    let sets = [
        ("training set", Some(train)),
        ("validation set", validation),
        ("test set", test),
    ];
    let sets = sets
        .into_iter()
        .filter_map(|(part, set)| Some((part.to_owned(), set?.data().fingerprint())));
    let normalisation = train.normalisation().map(|(mean, std)| {
        let constants = format!("means {mean:?}, deviations {std:?}");
        ("normalisation".to_owned(), constants)
    });
    sets.chain(normalisation).collect()
}

/// Height, width and channels, where the samples are images of bytes `[h, w, c]`, such as an
/// [`ImageSet`](crate::data::ImageSet) holds.
pub(super) fn image_size(set: &dyn Dataset) -> Result<Option<[usize; 3]>> {
    let input = set.sample(0)?.input;
    Ok(match (input.dtype(), &input.shape()[..]) {
        (DType::U8, &[h, w, c]) => Some([h, w, c]),
        _ => None,
    })
}
