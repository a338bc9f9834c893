//! How far the profile of a run has come.

use crate::profile::Profiler;
use crate::train::config::Config;

/// Steps before those that are profiled: they find memory and compile kernels.
pub(super) const WARM_UP: usize = 2;

/// A profile that is asked for.
pub(super) struct Profiling {
    /// Steps to do before it begins, and to watch then.
    pub warm_up: usize,
    pub left: usize,
    pub profiler: Option<Profiler>,
}

impl Profiling {
    /// Where one is asked for.
    pub fn of(config: &Config) -> Option<Profiling> {
        config.profile.map(|steps| Profiling {
            warm_up: WARM_UP,
            left: steps,
            profiler: None,
        })
    }
}
