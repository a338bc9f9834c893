//! The lists that device memory is kept in, and whose lists a thread is served from.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};

use cudarc::driver::sys::CUdeviceptr;

/// Everyone's lists, or those of one captured step.
pub(super) type Owner = Option<u64>;

/// What this thread does with a device: whose lists its blocks come from, and whether it is
/// recording, when the driver must not be asked to wait.
#[derive(Clone, Copy, Default)]
pub(super) struct AllocScope {
    pub owner: Owner,
    pub recording: bool,
}

thread_local! {
    pub(super) static ALLOC_SCOPE: Cell<AllocScope> = const { Cell::new(AllocScope { owner: None, recording: false }) };
}

#[derive(Default)]
pub(super) struct Pool {
    pub free: BTreeMap<(Owner, usize), Vec<CUdeviceptr>>,
    pub live: usize,
    pub peak: usize,
    pub cached: usize,
    pub driver_allocations: u64,
    /// Blocks of each captured step's lists, by size, that are lent.
    pub lent: BTreeMap<(u64, usize), usize>,
    /// The captured steps that live.
    pub recordings: BTreeSet<u64>,
}
