//! Where the time of training steps goes: a timeline of ops by layer, threads and kernels.
//!
//! A [`Profiler`] watches steps, and gives a [`Profile`]. That prints as a table of what took
//! longest, and is written as a trace in Chrome's format, which <https://ui.perfetto.dev> and
//! `chrome://tracing` show, and as a picture.
//!
//! ```
//! use wavemix::profile::Profiler;
//! use wavemix::{nn::Linear, prelude::*};
//!
//! let (layer, mut params) =
//!     Params::declare(DType::F32, &Rng::new(0), |names| Linear::new(names, "layer", [64, 64]))?;
//! let mut optimizer = Optimizer::new(AdamW::default(), &params)?;
//! let x = Var::from(Tensor::ones([32, 64], DType::F32));
//! let mut profiler = Profiler::start(Device::Cpu)?;
//! for _ in 0..3 {
//!     let loss = |pass: &Pass| layer.forward(pass, &x)?.square()?.mean(..);
//!     profiler.step(|| optimizer.train_step(&mut params, 1e-3, loss))?;
//! }
//! let profile = profiler.finish()?;
//! assert!(profile.to_string().contains("linear backward"));
//! # let folder = std::env::temp_dir().join(format!("wavemix-profile-{}", std::process::id()));
//! # std::fs::create_dir_all(&folder).unwrap();
//! profile.write(folder.join("profile.json"))?;
//! # std::fs::remove_dir_all(&folder).unwrap();
//! # Ok::<(), wavemix::Error>(())
//! ```
//!
//! An op's time runs from the end of the op before it, so it holds the little that is computed
//! between ops too. Without a profiler nothing is measured: ops ask for a watcher anyway, and a
//! loop over threads asks once whether a profile is taken.

mod chrome;
mod draw;
mod profiler;
mod record;
mod span;
mod table;

pub use profiler::Profiler;
pub use span::{Kind, Profile, Span};
