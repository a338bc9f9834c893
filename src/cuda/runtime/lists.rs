//! The free lists of device memory, and which of them a thread allocates from.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};

use cudarc::driver::sys::CUdeviceptr;

/// The owner of free lists: none for the common ones, or a captured step.
pub(super) type Owner = Option<u64>;

/// How this thread allocates: from whose lists, and whether it is capturing, during which calls
/// that synchronize are forbidden.
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
    /// Blocks of each captured step's lists that are in use, by size.
    pub lent: BTreeMap<(u64, usize), usize>,
    /// The captured steps that are alive.
    pub recordings: BTreeSet<u64>,
}
