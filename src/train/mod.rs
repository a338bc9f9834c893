//! The trainer: epochs of steps, evaluated, remembered, and able to stop and go on at any moment.

mod diagnose;
mod evaluate;
mod folder;
mod max_batch;
mod progress;
mod replay;
mod report;
mod resume;
mod run;
mod splits;
mod step;
mod stop;
mod trainer;
mod verify;

pub use evaluate::{Evaluation, evaluate};
pub use run::run;
pub use trainer::{Outcome, Trainer};
