//! How an epoch goes, on stderr: a bar on a terminal, nothing elsewhere, where a line an epoch says
//! enough. Without the feature `progress` there is no bar.

#[cfg(feature = "progress")]
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// The bar of one epoch. Wiped when dropped: the epoch's line of results takes its place.
#[cfg(feature = "progress")]
pub(super) struct Progress {
    bar: ProgressBar,
}

#[cfg(feature = "progress")]
impl Progress {
    /// For epoch `epoch` of `epochs`, of whose `images` so many were `seen` before; none is drawn of
    /// a quiet run.
    pub fn new([epoch, epochs]: [usize; 2], images: usize, seen: usize, quiet: bool) -> Progress {
        let target = match quiet {
            true => ProgressDrawTarget::hidden(),
            false => ProgressDrawTarget::stderr(),
        };
        let bar = ProgressBar::with_draw_target(Some(images as u64), target);
        let form = "epoch {prefix} [{bar:30}] {pos}/{len}  loss {msg}  {per_sec}  ETA {eta}";
        if let Ok(style) = ProgressStyle::with_template(form) {
            // Images as whole numbers: `1234 img/s`.
            let rate = |state: &indicatif::ProgressState, w: &mut dyn std::fmt::Write| {
                let _ = write!(w, "{:.0} img/s", state.per_sec());
            };
            bar.set_style(style.with_key("per_sec", rate).progress_chars("=> "));
        }
        bar.set_prefix(format!("{epoch}/{epochs}"));
        bar.set_position(seen as u64);
        bar.reset_eta();
        Progress { bar }
    }

    /// So many more images, and the mean loss so far.
    pub fn advance(&mut self, images: usize, loss: f64) {
        self.bar.set_message(format!("{loss:.3}"));
        self.bar.inc(images as u64);
    }

    /// Runs what prints lines, with the bar out of the way.
    pub fn suspend<R>(&self, body: impl FnOnce() -> R) -> R {
        self.bar.suspend(body)
    }

    /// Wipes it.
    pub fn end(self) {}
}

#[cfg(feature = "progress")]
impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

#[cfg(not(feature = "progress"))]
pub(super) struct Progress;

#[cfg(not(feature = "progress"))]
impl Progress {
    pub fn new(_epochs: [usize; 2], _images: usize, _seen: usize, _quiet: bool) -> Progress {
        Progress
    }

    pub fn advance(&mut self, _images: usize, _loss: f64) {}

    pub fn suspend<R>(&self, body: impl FnOnce() -> R) -> R {
        body()
    }

    pub fn end(self) {}
}
