//! A weight file that says which model it is of, and how images are to be given to it.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Value, json};

use crate::autograd::trace::{Event, Watcher, watch};
use crate::data::{Picture, Preparation};
use crate::io::weights;
use crate::models::{Config, Model, Task};
use crate::tensor::memory::shapes_only;
use crate::{DType, Error, Module, Params, Pass, Result, Rng, Tensor};

/// The most values that a feature map of one image may have at the image size that a weight file
/// names: 1 GiB in f32. The weights do not depend on that size, so nothing else in the file vouches
/// for it.
const MOST_VALUES: usize = 1 << 28;

/// A trained model with all that reading images takes.
pub struct Saved {
    /// The layers.
    pub model: Model,
    /// The weights.
    pub params: Params,
    /// How its images look.
    pub card: ImageMeta,
}

/// What a weight file's metadata tells besides the model's configuration.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ImageMeta {
    /// The names of the classes.
    pub classes: Vec<String>,
    /// Mean of each channel of the images, in units of 0..1.
    pub mean: Vec<f32>,
    /// Standard deviation of each channel, in units of 0..1.
    pub std: Vec<f32>,
    /// What it was trained on, for people: `EMNIST balanced, training`.
    pub trained_on: String,
    /// The published set whose classes these are, by the name that [`Source`](crate::data::Source)
    /// parses. Built-in glyphs stand in for it where `trained_on` says so.
    pub data_set: String,
    /// Whether IDX files of that set keep images column by column, as EMNIST's do: prediction reads
    /// others' likewise.
    pub transposed: bool,
    /// How training made images of its pictures. Files of earlier versions do not say it, nor those
    /// of models whose images had one size from the beginning.
    pub preparation: Option<Preparation>,
}

impl ImageMeta {
    /// The metadata of a weight file: this and the configuration.
    pub fn to_metadata(&self, config: &Config) -> BTreeMap<String, String> {
        let mut images = json!({
            "classes": self.classes, "mean": self.mean, "std": self.std,
            "trained_on": self.trained_on, "data_set": self.data_set, "transposed": self.transposed,
        });
        match self.preparation {
            Some(Preparation::Stretched) => images["preparation"] = json!("stretched"),
            Some(Preparation::CentreCrop(shorter)) => {
                images["preparation"] = json!({"shorter_side": shorter});
            }
            None => {}
        }
        let mut metadata = BTreeMap::new();
        metadata.insert("config".to_owned(), config.to_json().to_string());
        metadata.insert("images".to_owned(), images.to_string());
        metadata
    }

    /// From what [`ImageMeta::to_metadata`] wrote under `images`; empty where the file has no such
    /// entry.
    fn from_json(images: &Value, config: &Config) -> Result<ImageMeta> {
        let list = |key: &str| match &images[key] {
            Value::Null => Ok(Vec::new()),
            Value::Array(list) => Ok(list.clone()),
            _ => Err(wrong(format!("`{key}` is not a list"))),
        };
        let numbers = |key: &str| {
            let number = |x: &Value| x.as_f64().map(|x| x as f32).filter(|x| x.is_finite());
            let numbers: Option<Vec<f32>> = list(key)?.iter().map(number).collect();
            numbers
                .ok_or_else(|| wrong(format!("`{key}` holds something other than finite numbers")))
        };
        let classes: Option<Vec<String>> = list("classes")?
            .iter()
            .map(|name| name.as_str().map(String::from))
            .collect();
        let classes =
            classes.ok_or_else(|| wrong("`classes` holds something other than names".into()))?;
        let (mean, std) = (numbers("mean")?, numbers("std")?);
        if let Some(bad) = std.iter().find(|&&std| std <= 0.0) {
            return Err(wrong(format!(
                "a standard deviation must be above 0, got {bad}"
            )));
        }
        if mean.len() != std.len() || ![0, 1, config.channels].contains(&mean.len()) {
            let (means, stds, channels) = (mean.len(), std.len(), config.channels);
            return Err(wrong(format!(
                "{means} means and {stds} deviations for {channels} channels"
            )));
        }
        if let Task::Classify { classes: outputs } | Task::Segment { classes: outputs } =
            config.task
            && ![0, outputs].contains(&classes.len())
        {
            return Err(wrong(format!(
                "{} names for {outputs} classes",
                classes.len()
            )));
        }
        let text = |key: &str| match &images[key] {
            Value::Null => Ok(String::new()),
            Value::String(text) => Ok(text.clone()),
            _ => Err(wrong(format!("`{key}` is not text"))),
        };
        let transposed = match images["transposed"] {
            Value::Null => false,
            Value::Bool(transposed) => transposed,
            _ => return Err(wrong("`transposed` is neither true nor false".into())),
        };
        Ok(ImageMeta {
            classes,
            mean,
            std,
            trained_on: text("trained_on")?,
            data_set: text("data_set")?,
            transposed,
            preparation: preparation(images, config)?,
        })
    }
}

fn wrong(what: String) -> Error {
    Error::Argument(format!("its metadata `images`: {what}"))
}

/// The entry `preparation` of what [`ImageMeta::to_metadata`] wrote under `images`.
fn preparation(images: &Value, config: &Config) -> Result<Option<Preparation>> {
    let how = match &images["preparation"] {
        Value::Null => return Ok(None),
        Value::String(how) if how == "stretched" => Preparation::Stretched,
        how => match how["shorter_side"].as_u64() {
            Some(shorter) => Preparation::CentreCrop(shorter as usize),
            None => return Err(wrong(format!("`preparation` is {how}, which is unknown"))),
        },
    };
    how.check([config.size; 2])
        .map_err(|e| wrong(e.to_string()))?;
    Ok(Some(how))
}

impl Saved {
    /// Reads a weight file, of safetensors or of `torch.save`. One without a configuration in it
    /// (another program's) needs `fallback`.
    ///
    /// Nothing in the file is trusted: its settings are checked ([`Config::check`]) and its tensors
    /// compared with the layers that these stand for before memory is taken for either.
    ///
    /// # Errors
    /// No such file, a malformed one, weights of another model than the configuration's, or no
    /// configuration at all; weights that are not finite; an image size at which a single map would
    /// have more than 2^28 values.
    pub fn load(path: impl AsRef<Path>, fallback: Option<Config>) -> Result<Saved> {
        let path = path.as_ref();
        let metadata = weights::read_metadata(path)?;
        let parse = |key: &str| -> Result<Option<Value>> {
            let json = metadata
                .get(key)
                .map(|text| serde_json::from_str(text))
                .transpose();
            json.map_err(|e| Error::data(path, format!("its metadata `{key}` is not JSON: {e}")))
        };
        let config = match (parse("config")?, fallback) {
            (Some(json), _) => Config::from_json(&json).map_err(|e| Error::data(path, e))?,
            (None, Some(config)) => config,
            (None, None) => {
                return Err(Error::data(
                    path,
                    metadata.get("model").map_or(
                        "does not say which model its weights are of; the example `convert` writes a file that does".to_owned(),
                        |name| format!("its weights are of the model `{name}`, which is none of this crate's"),
                    ),
                ));
            }
        };
        let card = ImageMeta::from_json(&parse("images")?.unwrap_or(Value::Null), &config)
            .map_err(|e| Error::data(path, e))?;
        shapes_only(|| weights::load(path, &mut config.build(DType::F32, &Rng::new(0))?.1))?;
        let (model, mut params) = config.build(DType::F32, &Rng::new(0))?;
        weights::load(path, &mut params)?;
        params
            .check_finite()
            .map_err(|e| Error::data(path, format!("{e}: the training that wrote it diverged")))?;
        let saved = Saved {
            model,
            params,
            card,
        };
        saved.check_size().map_err(|e| Error::data(path, e))?;
        Ok(saved)
    }

    /// Checks that images of the configuration's size can be computed with.
    fn check_size(&self) -> Result<()> {
        let &Config { size, channels, .. } = self.model.config();
        let forward = || {
            let image = Tensor::zeros([1, size, size, channels], DType::F32);
            self.model.forward(&Pass::eval(&self.params), &image.into())
        };
        let (largest, output) = watch(Largest(0), || shapes_only(forward));
        output?;
        if largest.0 > MOST_VALUES {
            let values = largest.0;
            return Err(Error::Argument(format!(
                "it names images of {size}x{size} pixels, of which a single map would have {values} values; at most {MOST_VALUES} are accepted"
            )));
        }
        Ok(())
    }

    /// A picture as a batch of one, f32 `[1, size, size, channels]`: made an image as training made
    /// its own, and normalised.
    ///
    /// Where the file does not say how, it is [`Preparation::Stretched`] for a model of somebody's
    /// own pictures; for one of a published set, whose images have one size, each pixel is the mean of
    /// those that it covers.
    ///
    /// # Errors
    /// Those of [`Picture::prepared`] and [`Picture::to_tensor`].
    pub fn image(&self, picture: Picture) -> Result<Tensor> {
        let (config, card) = (self.model.config(), &self.card);
        let size = [config.size; 2];
        let unsaid = card.data_set.is_empty().then_some(Preparation::Stretched);
        let picture = match card.preparation.or(unsaid) {
            Some(how) => picture.prepared(how, size)?,
            None => picture,
        };
        picture.to_tensor(size, config.channels, &card.mean, &card.std)
    }

    /// The probabilities of the classes for each of these images: images `[n, h, w, channels]`,
    /// normalised as the card says, to f32 `[n, classes]`.
    ///
    /// # Errors
    /// Images that do not fit the model, or for which its answer is not finite; a model that does
    /// not classify.
    #[track_caller]
    pub fn probabilities(&self, images: &Tensor) -> Result<Tensor> {
        let Task::Classify { .. } = self.model.config().task else {
            return Err(Error::Argument(format!(
                "{} does not classify images",
                self.model.config()
            )));
        };
        let logits = self
            .model
            .forward(&Pass::eval(&self.params), &images.into())?;
        if let Some(value) = logits.value().first_non_finite()? {
            return Err(Error::NonFinite(format!(
                "the model's answer holds {value}: it has no likeliest class"
            )));
        }
        Ok(logits.softmax(1)?.into_value())
    }
}

/// The elements of the largest output of an op.
struct Largest(usize);

impl Watcher for Largest {
    fn forward(&mut self, event: Event<'_>) {
        self.0 = self.0.max(event.output.elements());
    }
}
