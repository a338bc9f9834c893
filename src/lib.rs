//! A from-scratch ndarray, reverse-mode autograd and optimizer stack, and the WaveMix image models
//! trained with it.
//!
//! No machine-learning framework is inside: what a training step does can be read here from the
//! example down to the vector instruction. This is one step, complete:
//!
//! ```
//! use wavemix::models::Config;
//! use wavemix::ops::{CrossEntropyOptions, cross_entropy};
//! use wavemix::optim::{AdamW, Optimizer};
//! use wavemix::{DType, Module, Pass, Rng, Tensor};
//!
//! # fn main() -> wavemix::Result<()> {
//! // A model is its layers; its weights live beside it, in one arena.
//! let config = Config { channels: 1, size: 28, ..Config::parse("WaveMixLite-8/2")? };
//! let (model, mut params) = config.build(DType::F32, &Rng::new(1))?;
//! let mut optimizer = Optimizer::new(AdamW::default(), &params)?;
//!
//! // A batch: images [n, h, w, c] and labels [n].
//! let images = Tensor::normal([4, 28, 28, 1], 0.0, 1.0, DType::F32, &Rng::new(2));
//! let labels = Tensor::from_vec(vec![3i64, 1, 4, 1], [4])?;
//!
//! for step in 0..3 {
//!     // A pass lends weights and random numbers to the layers; what comes out is a Var, a tensor with a computation graph.
//!     let loss = optimizer.train_step(&mut params, 1e-3, |pass| {
//!         let logits = model.forward(pass, &images.clone().into())?;
//!         cross_entropy(&logits, &labels, CrossEntropyOptions::default())
//!     })?;
//!     println!("step {step}: loss {loss}");
//!
//!     // Another step, by hand: for who wants to look at the gradients or to change them.
//!     let pass = Pass::train(&params, Rng::new(4).child(step));
//!     let logits = model.forward(&pass, &images.clone().into())?;
//!     let loss = cross_entropy(&logits, &labels, CrossEntropyOptions::default())?;
//!     let gradients = loss.backward()?; // uses the graph up
//!     let statistics = pass.into_updates(); // what BatchNorm measured, for the step
//!     optimizer.step(&mut params, &gradients, statistics, 1e-3)?;
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # The map, in reading order
//!
//! | room | what is in it |
//! |---|---|
//! | [`tensor`] | shapes, element types, devices, memory, errors, counter-based random numbers |
//! | [`params`] | named weights in one arena |
//! | [`autograd`] | the computation graph, the backward pass, [`gradcheck`](mod@gradcheck), watching |
//! | [`ops`], `cpu` | each op with its formula and derivative; its arithmetic on slices, in the file of the same name |
//! | [`nn`], [`models`] | layers, and the pass that lends them their weights; the papers' models |
//! | [`optim`] | update rules and schedules |
//! | [`io`] | files that are old or new but never half: weights, checkpoints; events for TensorBoard |
//! | [`data`] | decoders, downloads, a generator of handwriting, batches |
//! | [`onnx`] | models as files that other programs run |
//! | [`train`], [`metrics`], [`plots`], [`profile`] | the trainer, what it measures and draws; where the time of a step goes |
//! | `cli`, [`console`] | the examples' flags, which set the trainer up; what is printed |
//! | [`cuda`] | the room for NVIDIA GPUs |
//!
//! # Cargo features
//!
//! All are on by default. With `default-features = false` this is the bare library, which depends
//! on 25 crates: tensors, autograd, layers, models, optimizers, checkpoints, data sets that are on
//! disk, and the trainer.
//!
//! | feature | what it adds |
//! |---|---|
//! | `cli` | the module `cli`: the examples' flags, and what they run; implies `download` and `pictures` |
//! | `progress` | the trainer's progress bar on a terminal |
//! | `signals` | Ctrl-C, SIGTERM and SIGHUP end the trainer saved; without, they end it at once |
//! | `download` | `data::Downloader`, `Source::download` and `ImageSet::fingerprint`, which need SHA-256 |
//! | `pictures` | PNG and JPEG files: `data::read_pictures` reads them, `plots::mistakes` has PNGs in its page |

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

#[macro_use]
pub mod tensor;

pub mod autograd;
#[cfg(feature = "cli")]
pub mod cli;
pub mod console;
mod cpu;
pub mod cuda;
pub mod data;
#[doc(hidden)]
pub mod fuzzing;
pub mod io;
pub mod metrics;
pub mod models;
pub mod nn;
pub mod onnx;
pub mod ops;
pub mod optim;
pub mod params;
pub mod plots;
pub mod prelude;
pub mod profile;
pub mod train;

pub use autograd::Var;
pub use autograd::gradcheck;
pub use autograd::gradients::Gradients;
pub use nn::module::Module;
pub use nn::pass::Pass;
pub use params::Params;
pub use params::precision::Precision;
pub use tensor::Tensor;
pub use tensor::device::Device;
pub use tensor::dtype::{DType, Element};
pub use tensor::error::{Error, Result};
pub use tensor::float::{Float, Stored};
pub use tensor::rng::Rng;
pub use tensor::shape::Shape;
pub use tensor::window::{Window, Window1d};
