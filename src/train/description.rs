//! What the files of a run say of its model.

use std::any::{Any, type_name};
use std::collections::BTreeMap;

use serde_json::Value;

use crate::Module;
use crate::data::Loader;
use crate::models::{Config, ImageMeta, Model};

/// What a run's files and messages say of its model.
///
/// ```
/// use wavemix::train::Description;
/// let mut mlp = Description::new("mlp");
/// mlp.metadata.insert("hidden".into(), "64".into());
/// assert_eq!(mlp.metadata["model"], "mlp");
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Description {
    /// What messages and the titles of pictures call it.
    pub name: String,
    /// What `config.json` says of it. A run that goes on must have the same.
    pub settings: Value,
    /// The metadata of its weight files.
    pub metadata: BTreeMap<String, String>,
}

impl Description {
    /// A model with nothing but a name, which weight files have as `model` in their metadata.
    pub fn new(name: impl Into<String>) -> Description {
        let name = name.into();
        let mut metadata = BTreeMap::new();
        metadata.insert("model".to_owned(), name.clone());
        Description {
            settings: Value::from(&*name),
            metadata,
            name,
        }
    }

    /// A WaveMix model and its images, as [`Saved`](crate::models::Saved) reads them.
    pub fn of_images(config: &Config, images: &ImageMeta) -> Description {
        Description {
            name: config.to_string(),
            settings: config.to_json(),
            metadata: images.to_metadata(config),
        }
    }

    /// What is known of a model that nobody described, and of the data it is trained on.
    pub(super) fn of<M: Module + 'static>(model: &M, train: &Loader) -> Description {
        let Some(model) = (model as &dyn Any).downcast_ref::<Model>() else {
            return Description::new(short(type_name::<M>()));
        };
        let (mean, std) = train.normalisation().unwrap_or_default();
        let images = ImageMeta {
            classes: train.data().classes().to_vec(),
            mean: mean.to_vec(),
            std: std.to_vec(),
            trained_on: train.data().name().to_owned(),
            preparation: train.data().preparation(),
            ..ImageMeta::default()
        };
        Description::of_images(model.config(), &images)
    }

    /// Whether weights with this metadata are of this model. What they say of images may differ.
    pub(super) fn fits(&self, metadata: &BTreeMap<String, String>) -> bool {
        ["config", "model"]
            .iter()
            .all(|key| metadata.get(*key) == self.metadata.get(*key))
    }
}

/// The last name of a type's path, without what it is generic in; `model` for those without a name,
/// such as closures.
fn short(type_name: &str) -> &str {
    let path = type_name.split('<').next().unwrap_or_default();
    let name = path.rsplit("::").next().unwrap_or_default();
    if name.is_empty() || name.starts_with('{') || name == "Box" {
        "model"
    } else {
        name
    }
}
