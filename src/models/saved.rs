//! A weight file that says which model it is of, and how images are to be given to it.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Value, json};

use crate::models::{Config, Model};
use crate::{DType, Error, Params, Result, Rng, weights};

/// A trained model with all that reading images takes.
pub struct Saved {
    /// The layers.
    pub model: Model,
    /// The weights.
    pub params: Params,
    /// How its images look.
    pub card: Card,
}

/// What a weight file's metadata tells besides the model's configuration.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Card {
    /// The names of the classes.
    pub classes: Vec<String>,
    /// Mean of each channel of the images, in units of 0..1.
    pub mean: Vec<f32>,
    /// Standard deviation of each channel, in units of 0..1.
    pub std: Vec<f32>,
}

impl Card {
    /// The metadata of a weight file: this and the configuration.
    pub fn to_metadata(&self, config: &Config) -> BTreeMap<String, String> {
        let constants = json!({ "classes": self.classes, "mean": self.mean, "std": self.std });
        BTreeMap::from([("config".into(), config.to_json().to_string()), ("images".into(), constants.to_string())])
    }
}

impl Saved {
    /// Reads a weight file. One without a configuration in it (another program's) needs `fallback`.
    ///
    /// # Errors
    /// No such file, a malformed one, weights of another model than the configuration's, or no configuration at all.
    pub fn load(path: &Path, fallback: Option<Config>) -> Result<Saved> {
        let metadata = weights::read_metadata(path)?;
        let parse = |key: &str| -> Result<Option<Value>> {
            let json = metadata.get(key).map(|text| serde_json::from_str(text)).transpose();
            json.map_err(|e| Error::data(path, format!("its metadata `{key}` is not JSON: {e}")))
        };
        let config = match (parse("config")?, fallback) {
            (Some(json), _) => Config::from_json(&json).map_err(|e| Error::data(path, e))?,
            (None, Some(config)) => config,
            (None, None) => return Err(Error::data(path, "does not say which model its weights are of")),
        };
        let (model, mut params) = config.build(DType::F32, &Rng::new(0))?;
        weights::load(path, &mut params)?;
        let images = parse("images")?.unwrap_or(Value::Null);
        let list = |key: &str| images[key].as_array().cloned().unwrap_or_default();
        let numbers = |key: &str| list(key).iter().filter_map(Value::as_f64).map(|x| x as f32).collect();
        let classes = list("classes").iter().filter_map(|name| name.as_str().map(String::from)).collect();
        Ok(Saved { model, params, card: Card { classes, mean: numbers("mean"), std: numbers("std") } })
    }
}
