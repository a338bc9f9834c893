//! Every public op on random shapes, element types, windows and numbers, many of them absurd: an op
//! gives a result or an error, never a panic, an abort or an endless loop, and a result that has
//! inputs with gradients has a backward pass.
//!
//! In a build with overflow checks and debug assertions a size that wraps is a panic too:
//!
//! ```text
//! cargo test --profile checked --test driver
//! ```
//!
//! A failure names the op, its operands and the bytes they were drawn from. Should the process end
//! instead, `DRIVER_TRACE=1` with `--nocapture` prints each call before it is made, and
//! `DRIVER_OP=conv2d` calls one op alone.

#[path = "driver/draw.rs"]
mod draw;
#[path = "driver/geometry.rs"]
mod geometry;
#[path = "driver/ops.rs"]
mod ops;
mod public_ops;
#[path = "driver/shapes.rs"]
mod shapes;

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use draw::Draw;
use proptest::prelude::*;
use proptest::test_runner::{TestCaseResult, TestRunner};
use public_ops::public_ops;
use wavemix::{Result, Tensor, Var};

/// A call of an op: its name, and what makes one of its results from what it draws.
type Call = (&'static str, fn(&mut Draw) -> Result<Var>);

/// No call here computes for more than a fraction of a second.
const LONGEST: Duration = Duration::from_secs(60);

/// Calls of each op.
const CASES: u32 = 1000;

/// The call being made and when it began.
static RUNNING: Mutex<Option<(Instant, String)>> = Mutex::new(None);

/// Where the last panic was, and its message.
static PANIC: Mutex<String> = Mutex::new(String::new());

fn calls() -> Vec<Call> {
    [ops::CALLS, shapes::CALLS, geometry::CALLS].concat()
}

#[test]
fn every_op_gives_a_result_or_an_error() {
    let hook = take_hook();
    set_hook(Box::new(|info| {
        *PANIC.lock().unwrap_or_else(|e| e.into_inner()) = info.to_string()
    }));
    thread::spawn(watch);
    let config = ProptestConfig {
        cases: CASES,
        max_shrink_time: 20_000,
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    let only = std::env::var("DRIVER_OP").ok();
    let calls = calls()
        .into_iter()
        .filter(|(name, _)| only.as_ref().is_none_or(|only| only == name));
    let failures = calls.filter_map(|(name, call)| {
        let bytes = prop::collection::vec(any::<u8>(), 0..96);
        TestRunner::new(config.clone())
            .run(&bytes, |bytes| run(name, call, &bytes))
            .err()
    });
    let failures: Vec<String> = failures.map(|failure| failure.to_string()).collect();
    set_hook(hook);
    assert!(
        failures.is_empty(),
        "{} ops fail:\n{}",
        failures.len(),
        failures.join("\n")
    );
}

/// One call and the backward pass of its result.
fn run(name: &str, call: fn(&mut Draw) -> Result<Var>, bytes: &[u8]) -> TestCaseResult {
    let mut draw = Draw::new(name, bytes);
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        let Ok(y) = call(&mut draw) else {
            return Ok(());
        };
        if !y.requires_grad() {
            return Ok(());
        }
        let dy = Tensor::full_on(y.value().device(), y.shape(), 1.0, y.dtype())?;
        y.backward_from(dy, &[]).map(drop)
    }));
    *running() = None;
    let drawn = draw.text();
    match outcome {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(TestCaseError::fail(format!(
            "{drawn}: the backward pass fails: {error}"
        ))),
        Err(_) => Err(TestCaseError::fail(format!(
            "{drawn}: {}",
            PANIC.lock().unwrap_or_else(|e| e.into_inner())
        ))),
    }
}

fn running() -> std::sync::MutexGuard<'static, Option<(Instant, String)>> {
    RUNNING.lock().unwrap_or_else(|e| e.into_inner())
}

/// Ends the process where a call takes too long: a thread in an endless loop cannot be stopped.
fn watch() {
    loop {
        thread::sleep(Duration::from_millis(200));
        if let Some((begin, call)) = &*running()
            && begin.elapsed() > LONGEST
        {
            eprintln!("does not end: {call}");
            std::process::abort();
        }
    }
}

#[test]
fn no_op_is_left_out() {
    let called: BTreeSet<String> = calls().iter().map(|(name, _)| name.to_string()).collect();
    let missing: Vec<String> = public_ops().difference(&called).cloned().collect();
    assert!(missing.is_empty(), "the driver does not call {missing:?}");
}
