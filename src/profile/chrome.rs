//! The profile as a trace in Chrome's format.
//!
//! ```text
//! {"traceEvents": [EVENT, ...], "displayTimeUnit": "ms", "otherData": {"steps": 5}}
//! EVENT of a span    {"ph": "X", "name", "cat", "pid", "tid", "ts", "dur", "args": {"layer", "bytes", ...}}
//! name of a track    {"ph": "M", "name": "thread_name", "pid", "tid", "args": {"name"}}
//! ```
//!
//! Times are in microseconds. Spans of one track (`tid`) that lie within others are shown below
//! them.
//!
//! Source: "Trace Event Format", <https://docs.google.com/document/d/1CvAClvFfyA5R-PhYUmn5OOQtYMH4h6I0nSsKchNAySU>.

use std::path::Path;

use serde_json::{Value, json};

use super::span::{Kind, Profile, Span};
use crate::Result;
use crate::io::atomic::write_atomic;

impl Profile {
    /// Writes the trace that <https://ui.perfetto.dev> and `chrome://tracing` open.
    ///
    /// # Errors
    /// The system refuses to write.
    pub fn write(&self, path: impl AsRef<Path>) -> Result<()> {
        write_atomic(path, |out| {
            writeln!(out, "{{\"traceEvents\": [")?;
            for (track, name) in self.tracks.iter().enumerate() {
                writeln!(
                    out,
                    "{},",
                    told(track, "thread_name", json!({ "name": name }))
                )?;
                let order = json!({ "sort_index": track });
                writeln!(out, "{},", told(track, "thread_sort_index", order))?;
            }
            for span in &self.spans {
                writeln!(out, "{},", event(span))?;
            }
            let process = told(0, "process_name", json!({ "name": "wavemix" }));
            let steps = json!({ "steps": self.steps });
            writeln!(
                out,
                "{process}\n], \"displayTimeUnit\": \"ms\", \"otherData\": {steps}}}"
            )
        })
    }
}

/// What is told of a track.
fn told(track: usize, what: &str, args: Value) -> Value {
    json!({ "ph": "M", "name": what, "pid": 1, "tid": track, "args": args })
}

fn event(span: &Span) -> Value {
    let category = match span.kind {
        Kind::Step => "step",
        Kind::Between => "between",
        Kind::Phase => "phase",
        Kind::Layer => "layer",
        Kind::Op => "op",
        Kind::Work => "work",
        Kind::Kernel => "kernel",
    };
    let mut args = json!({});
    for (key, text) in [("layer", &span.layer), ("shape", &span.shape)] {
        if !text.is_empty() {
            args[key] = text.as_str().into();
        }
    }
    for (key, count) in [("bytes", span.bytes), ("flops", span.flops)] {
        if count > 0 {
            args[key] = count.into();
        }
    }
    let [begin, duration] = [span.begin, span.duration()].map(|ns| ns as f64 / 1e3);
    json!({
        "ph": "X", "name": span.name, "cat": category, "pid": 1, "tid": span.track,
        "ts": begin, "dur": duration, "args": args,
    })
}
