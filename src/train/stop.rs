//! Being told to stop: Ctrl-C and SIGTERM.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::{Error, Result};

static SIGNALS: AtomicUsize = AtomicUsize::new(0);

/// From now on the first signal asks to stop and the second ends the process at once.
pub(super) fn listen() -> Result<()> {
    static LISTENING: OnceLock<std::result::Result<(), String>> = OnceLock::new();
    let listening = LISTENING.get_or_init(|| {
        let heard = || {
            if SIGNALS.fetch_add(1, Ordering::SeqCst) > 0 {
                std::process::exit(130);
            }
            eprintln!("\nstopping after this step; once more to stop at once and lose it");
        };
        ctrlc::set_handler(heard).map_err(|e| e.to_string())
    });
    listening.clone().map_err(|e| Error::Device(format!("cannot listen for Ctrl-C: {e}")))
}

/// Whether to stop was asked for.
pub(super) fn requested() -> bool {
    SIGNALS.load(Ordering::SeqCst) > 0
}
