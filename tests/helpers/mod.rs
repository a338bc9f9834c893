//! What many tests do: run on so many threads, and look at an error's message.
#![allow(dead_code)] // each test crate uses its part

/// What `body` gives on a pool of so many threads.
pub fn on_threads<T: Send>(threads: usize, body: impl FnOnce() -> T + Send) -> T {
    rayon::ThreadPoolBuilder::new()
        .num_threads(threads)
        .build()
        .unwrap()
        .install(body)
}

/// An array like the arena of these parameters, with these numbers as theirs, in their order.
pub fn laid_out(params: &wavemix::Params, numbers: &[f64]) -> wavemix::Tensor {
    let mut flat = vec![0.0; params.arena().elements()];
    let mut rest = numbers;
    for entry in params.entries() {
        let (own, others) = rest.split_at(entry.shape.elements());
        flat[entry.offset..][..own.len()].copy_from_slice(own);
        rest = others;
    }
    assert!(rest.is_empty());
    let flat = wavemix::Tensor::from_vec(flat, params.arena().shape()).unwrap();
    flat.cast(params.dtype()).unwrap()
}

/// The message of what must be an error.
#[track_caller]
pub fn message<T>(result: wavemix::Result<T>) -> String {
    result.err().expect("this must be an error").to_string()
}

/// Checks that this is an error whose message begins like this.
#[track_caller]
pub fn assert_error<T>(result: wavemix::Result<T>, start: &str) {
    assert_starts(&message(result), start);
}

/// Checks that each is an error whose message begins like this, and names a line of this file.
#[track_caller]
pub fn assert_errors<T>(
    cases: impl IntoIterator<Item = (wavemix::Result<T>, &'static str)>,
    file: &str,
) {
    for (result, start) in cases {
        let message = message(result);
        assert_starts(&message, start);
        assert!(message.contains(&format!("({file}:")), "{message}");
    }
}

/// Checks that a message begins like this.
#[track_caller]
pub fn assert_starts(message: &str, start: &str) {
    assert!(
        message.starts_with(start),
        "{message}\ndoes not begin with\n{start}"
    );
}
