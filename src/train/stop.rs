//! Being told to stop: Ctrl-C (SIGINT), SIGTERM, and SIGHUP, which a terminal sends as it closes.
//!
//! The first of them ends the run after the step it is at, saved. After that only Ctrl-C counts,
//! and ends the process at once: SIGHUP comes twice where a terminal closes, from the shell and
//! from the system, and whoever sends SIGTERM again has SIGKILL for that.
//!
//! Without the feature `signals` nothing is heard: the system ends the process, and a run goes on
//! from its last checkpoint.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock, OnceLock};

use crate::{Error, Result};

static REQUESTED: LazyLock<Arc<AtomicBool>> = LazyLock::new(Arc::default);

/// The status of a process that Ctrl-C ends, as shells report it: 128 + 2.
#[cfg(feature = "signals")]
const INTERRUPTED: i32 = 130;

/// From now on signals are heard.
pub(super) fn listen() -> Result<()> {
    static LISTENING: OnceLock<std::result::Result<(), String>> = OnceLock::new();
    let listening = LISTENING.get_or_init(|| start().map_err(|e| e.to_string()));
    listening
        .clone()
        .map_err(|e| Error::Device(format!("cannot listen for Ctrl-C: {e}")))
}

/// Whether to stop was asked for.
pub(super) fn requested() -> bool {
    REQUESTED.load(Ordering::SeqCst)
}

#[cfg(not(feature = "signals"))]
fn start() -> io::Result<()> {
    Ok(())
}

#[cfg(all(feature = "signals", unix))]
fn start() -> io::Result<()> {
    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

    use crate::console::Stderr;

    let heard = [SIGINT, SIGTERM, SIGHUP]
        .into_iter()
        .filter(|&signal| !is_ignored(signal));
    let mut signals = signal_hook::iterator::Signals::new(heard)?;
    let listen = move || {
        for signal in signals.forever() {
            let again = REQUESTED.swap(true, Ordering::SeqCst);
            if again && signal == SIGINT {
                std::process::exit(INTERRUPTED);
            }
            if !again {
                writeln!(
                    Stderr,
                    "\nstopping after this step; Ctrl-C stops at once and loses it"
                );
            }
        }
    };
    std::thread::Builder::new()
        .name("signals".into())
        .spawn(listen)
        .map(drop)
}

/// Whether whoever started this process had it ignore the signal, as `nohup` does and a script's
/// `&`: then it stays so. Linux tells; elsewhere no signal counts as ignored.
#[cfg(all(feature = "signals", unix))]
fn is_ignored(signal: i32) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| (mask >> (signal - 1)) & 1 == 1)
}

/// Other systems know Ctrl-C and no threads that wait for signals.
#[cfg(all(feature = "signals", not(unix)))]
fn start() -> io::Result<()> {
    use signal_hook::consts::{SIGINT, SIGTERM};
    use signal_hook::flag;

    flag::register_conditional_shutdown(SIGINT, INTERRUPTED, Arc::clone(&REQUESTED))?;
    for signal in [SIGINT, SIGTERM] {
        flag::register(signal, Arc::clone(&REQUESTED))?;
    }
    Ok(())
}
