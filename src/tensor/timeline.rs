//! What threads are doing, while a profile is taken: stretches of work, with their begin and end.
//!
//! Nothing is kept at other times. A loop that is handed to threads asks once whether a profile is
//! taken ([`is_on`]), and each of its parts branches on the answer.

use std::cell::{Cell, OnceCell};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

/// Two stretches of the same work with less between them count as one.
const GAP: Duration = Duration::from_micros(3);

/// What batches are made under.
pub(crate) const BATCH: &str = "make a batch";

/// A part of what an op has handed to threads.
pub(crate) const PART: &str = "part of an op";

/// A stretch of time that a thread spent on something.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Stretch {
    pub what: &'static str,
    pub begin: Instant,
    pub end: Instant,
}

/// A thread's name and what it did, in order.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Thread {
    pub name: String,
    pub stretches: Vec<Stretch>,
}

/// Profiles that are being taken.
static TAKEN: AtomicUsize = AtomicUsize::new(0);

/// All threads that worked while one was.
static THREADS: Mutex<Vec<Arc<Mutex<Thread>>>> = Mutex::new(Vec::new());

thread_local! {
    static OWN: OnceCell<Arc<Mutex<Thread>>> = const { OnceCell::new() };
    /// How many stretches have begun: one within another is a part of that.
    static DEPTH: Cell<usize> = const { Cell::new(0) };
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|e| e.into_inner())
}

/// Whether a profile is taken.
pub(crate) fn is_on() -> bool {
    TAKEN.load(Ordering::Relaxed) > 0
}

/// Has threads remember what they do until it is dropped.
pub(crate) struct Watch {
    began: Instant,
}

impl Watch {
    pub fn start() -> Watch {
        TAKEN.fetch_add(1, Ordering::Relaxed);
        Watch {
            began: Instant::now(),
        }
    }

    /// What all threads did since it was started. Where several profiles are taken at once each has
    /// the work of all.
    pub fn threads(&self) -> Vec<Thread> {
        let mut threads: Vec<Thread> = lock(&THREADS).iter().map(|own| lock(own).clone()).collect();
        for thread in &mut threads {
            thread.stretches.retain(|of| of.begin >= self.began);
        }
        threads.retain(|thread| !thread.stretches.is_empty());
        threads.sort_by(|a, b| a.name.cmp(&b.name));
        threads
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        if TAKEN.fetch_sub(1, Ordering::Relaxed) > 1 {
            return;
        }
        let mut threads = lock(&THREADS);
        // Those that have ended are held here alone.
        threads.retain(|own| Arc::strong_count(own) > 1);
        for own in threads.iter() {
            lock(own).stretches = Vec::new();
        }
    }
}

/// Remembers that this thread works, from now until it is dropped.
pub(crate) struct Busy {
    what: &'static str,
    begin: Instant,
}

/// Begins a stretch of work.
pub(crate) fn busy(what: &'static str) -> Busy {
    DEPTH.set(DEPTH.get() + 1);
    Busy {
        what,
        begin: Instant::now(),
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        DEPTH.set(DEPTH.get() - 1);
        if DEPTH.get() > 0 {
            return;
        }
        let stretch = Stretch {
            what: self.what,
            begin: self.begin,
            end: Instant::now(),
        };
        OWN.with(|own| {
            let stretches = &mut lock(own.get_or_init(enlist)).stretches;
            match stretches.last_mut() {
                Some(last) if last.what == stretch.what && stretch.begin < last.end + GAP => {
                    last.end = stretch.end;
                }
                _ => stretches.push(stretch),
            }
        });
    }
}

/// Enters this thread in the list.
fn enlist() -> Arc<Mutex<Thread>> {
    let current = std::thread::current();
    let name = match (rayon::current_thread_index(), current.name()) {
        (Some(i), _) => format!("thread {i} of the pool"),
        (None, Some(name)) => format!("thread `{name}`"),
        (None, None) => "another thread".into(),
    };
    let own = Arc::new(Mutex::new(Thread {
        name,
        stretches: Vec::new(),
    }));
    lock(&THREADS).push(own.clone());
    own
}

#[cfg(test)]
mod tests {
    use super::*;

    /// In one test, as what is on is so for all threads.
    #[test]
    fn stretches_are_kept_while_a_profile_is_taken_and_inner_ones_are_parts() {
        let work = || {
            let _outer = busy(PART);
            let _inner = busy(BATCH);
            std::thread::sleep(Duration::from_millis(2));
        };
        let watch = Watch::start();
        assert!(is_on());
        let named = std::thread::Builder::new().name("worker".into());
        named.spawn(work).unwrap().join().unwrap();
        let threads = watch.threads();
        let worker = threads
            .iter()
            .find(|thread| thread.name == "thread `worker`");
        let [stretch] = worker.unwrap().stretches[..] else {
            panic!("one stretch");
        };
        assert_eq!(stretch.what, PART);
        assert!(stretch.end - stretch.begin >= Duration::from_millis(2));
        // Another profile has what came after its start.
        let later = Watch::start();
        assert!(
            later
                .threads()
                .iter()
                .all(|thread| thread.name != "thread `worker`")
        );
        drop(later);
        assert!(is_on());
    }
}
