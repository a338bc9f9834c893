//! The trainer: epochs of steps, evaluated, remembered, and able to stop and go on at any moment.
//!
//! A [`Trainer`] trains any [`Module`](crate::Module) on the batches of any
//! [`Dataset`](crate::data::Dataset) by any [`Rule`](crate::optim::Rule), as a [`Config`] says. The
//! examples' flags (`cli`) fill that struct and are not known here.

mod board;
mod config;
mod description;
mod diagnose;
mod draw;
mod evaluate;
mod folder;
mod forward;
mod loss;
mod objective;
mod parts;
mod pixels;
mod profiled;
mod profiling;
mod progress;
mod replay;
mod report;
mod resume;
mod run;
mod step;
mod stop;
mod tell;
mod trainer;
mod verify;

pub use config::{Config, Data, Protocol};
pub use description::Description;
pub use evaluate::{Evaluation, Mistake, Score, evaluate};
pub use folder::read_config;
pub use loss::Loss;
pub use objective::Objective;
pub use pixels::{Segmentation, evaluate_pixels};
pub use trainer::{Outcome, Results, Trainer};

#[cfg(feature = "cli")]
pub(crate) use folder::RunFolder;
