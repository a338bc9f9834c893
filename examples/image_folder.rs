//! Own pictures: a folder of PNG or JPEG files for each class, resized, mirrored and moved at
//! random, and a WaveMix model that learns to tell them apart. It prints a line an epoch and where
//! the weights are. `cargo run --release --example train -- --data FOLDER` does the same by flags,
//! and holds out pictures for a test; this is the code to change.
//!
//! `cargo run --release --example image_folder -- FOLDER [EPOCHS]`

use wavemix::console::Stdout;
use wavemix::data::{Augment, ImageFolder, Subset, random_split};
use wavemix::models::{self, Task};
use wavemix::prelude::*;
use wavemix::train::{Config, Data, Trainer};

fn main() -> Result<()> {
    let folder = std::env::args().nth(1).expect("a folder that holds a folder for each class");
    let epochs = std::env::args().nth(2).map_or(20, |n| n.parse().expect("a number of epochs"));
    let pictures = ImageFolder::new(folder, [64, 64])?;
    let task = Task::Classify { classes: pictures.classes().len() };
    let (train, held_out) = random_split(pictures, 0.2, &Rng::new(0))?;
    let loader = |part: Subset| Loader::new(part, 32)?.normalised(&[0.45; 3], &[0.25; 3]);
    let augment = Augment { flip: true, crop: 4, ..Augment::default() };
    let data = Data {
        validation: Some(loader(held_out)?),
        ..Data::from(loader(train)?.with_augment(augment).with_workers(2))
    };
    let model = models::Config { task, size: 64, ..models::Config::parse("WaveMixLite-32/4")? };
    let (model, params) = model.build(DType::F32, &Rng::new(1))?;
    let mut trainer = Trainer::new(model, params, data, Config { epochs, ..Config::default() })?;
    trainer.run()?;
    writeln!(Stdout, "weights and pictures are in {}", trainer.folder().display())
}
