//! What the thread that trains does: told by ops and by the training step.

use std::collections::HashMap;
use std::time::Instant;

use super::span::{Kind, Span};
use crate::Tensor;
use crate::autograd::trace::{Event, Watcher};

/// Remembers ops and phases of steps.
#[derive(Default)]
pub(super) struct Recorder {
    began: Option<Instant>,
    spans: Vec<Span>,
    /// The step under way, and its phase: names and begins.
    step: Option<u64>,
    phase: Option<(&'static str, u64)>,
    /// Where the phase's ops begin in `spans`.
    first_op: usize,
    /// When the last op was over.
    last: u64,
    steps: usize,
    /// Operations of ops that ran forward and not yet backward, by op and layer.
    flops: HashMap<(&'static str, String), Vec<u64>>,
}

impl Recorder {
    pub fn new(began: Instant) -> Recorder {
        Recorder {
            began: Some(began),
            ..Recorder::default()
        }
    }

    /// The recorder itself, with nothing left here.
    pub fn take(&mut self) -> Recorder {
        let began = self.began;
        let taken = std::mem::take(self);
        self.began = began;
        taken
    }

    pub fn steps(&self) -> usize {
        self.steps
    }

    pub fn now(&self) -> u64 {
        self.began
            .map_or(0, |began| began.elapsed().as_nanos() as u64)
    }

    pub fn begin_step(&mut self) {
        self.last = self.now();
        self.step = Some(self.last);
        self.first_op = self.spans.len();
    }

    pub fn end_step(&mut self) {
        self.end_phase();
        self.steps += 1;
        if let Some(begin) = self.step.take() {
            let (name, end) = (format!("step {}", self.steps), self.now());
            self.spans
                .push(Span::new(Kind::Step, 0, name, [begin, end]));
        }
        self.flops.clear();
    }

    pub fn between(&mut self, name: &str, begin: u64) {
        let end = self.now();
        self.spans
            .push(Span::new(Kind::Between, 0, name.into(), [begin, end]));
    }

    pub fn into_spans(self) -> Vec<Span> {
        self.spans
    }

    /// Closes the phase: its layers are where ops of one follow on one another.
    fn end_phase(&mut self) {
        let layers = layers(&self.spans[self.first_op..]);
        self.spans.extend(layers);
        let now = self.now();
        if let Some((name, begin)) = self.phase.take() {
            self.spans
                .push(Span::new(Kind::Phase, 0, name.into(), [begin, now]));
        }
        self.first_op = self.spans.len();
        self.last = self.now();
    }

    fn op(&mut self, name: String, layer: String, [bytes, flops]: [u64; 2], shape: String) {
        let end = self.now();
        self.spans.push(Span {
            layer,
            bytes,
            flops,
            shape,
            ..Span::new(Kind::Op, 0, name, [self.last, end])
        });
        self.last = self.now();
    }
}

fn bytes(tensor: &Tensor) -> u64 {
    (tensor.elements() * tensor.dtype().bytes()) as u64
}

impl Watcher for Recorder {
    fn forward(&mut self, event: Event<'_>) {
        if event.recorded && event.flops > 0 {
            let key = (event.op, event.scope.clone());
            self.flops.entry(key).or_default().push(event.flops);
        }
        let moved = event.inputs.iter().map(|x| bytes(x)).sum::<u64>() + bytes(event.output);
        let shape = event.output.shape().to_string();
        self.op(event.op.into(), event.scope, [moved, event.flops], shape);
    }

    fn backward(&mut self, op: &'static str, scope: String, gradients: &[Option<Tensor>]) {
        let key = (op, scope);
        let forward = self.flops.get_mut(&key).and_then(Vec::pop).unwrap_or(0);
        let given = || gradients.iter().flatten();
        let products = given().filter(|dx| dx.shape().len() > 1).count();
        let flops = forward * products as u64;
        let shape = given()
            .next()
            .map_or(String::new(), |dx| dx.shape().to_string());
        let name = format!("{op} backward");
        self.op(name, key.1, [given().map(bytes).sum(), flops], shape);
    }

    fn phase(&mut self, name: &'static str) {
        self.end_phase();
        self.phase = Some((name, self.last));
    }
}

/// The names of a layer and of those that it is in, from the outermost: `layers.0` and
/// `layers.0.reduction`. A number belongs to the name before it.
pub(super) fn path(layer: &str) -> Vec<&str> {
    let numbered = |rest: &str| {
        rest.split('.')
            .next()
            .is_some_and(|s| s.parse::<u32>().is_ok())
    };
    let ends = layer.match_indices('.').map(|(at, _)| at);
    let ends = ends.filter(|&at| !numbered(&layer[at + 1..]));
    let names = ends.map(|at| &layer[..at]);
    names.chain((!layer.is_empty()).then_some(layer)).collect()
}

/// A span for each layer, and each layer that holds layers, from the first to the last of its ops
/// that follow on one another.
fn layers(ops: &[Span]) -> Vec<Span> {
    let (mut open, mut done): (Vec<Span>, Vec<Span>) = (Vec::new(), Vec::new());
    for op in ops {
        let path = path(&op.layer);
        let same = open
            .iter()
            .zip(&path)
            .take_while(|(open, name)| open.name == **name);
        let same = same.count();
        done.extend(open.drain(same..));
        for span in &mut open {
            span.end = op.end;
        }
        for name in &path[same..] {
            open.push(Span::new(
                Kind::Layer,
                0,
                (*name).into(),
                [op.begin, op.end],
            ));
        }
    }
    done.extend(open);
    done
}

/// What the training thread was at, at any time: the names of its ops and of phases without any.
pub(super) struct Names {
    /// Begins, ends and names, in order.
    stretches: Vec<(u64, u64, String)>,
}

impl Names {
    pub fn of(spans: &[Span]) -> Names {
        let of = |kind: Kind| spans.iter().filter(move |span| span.kind == kind);
        let mut stretches: Vec<(u64, u64, String)> = Vec::new();
        let entry = |span: &Span| (span.begin, span.end, span.name.clone());
        stretches.extend(of(Kind::Op).map(entry));
        let ops: Vec<u64> = of(Kind::Op).map(|op| op.begin).collect();
        let empty = |phase: &&Span| {
            let first = ops.partition_point(|&begin| begin < phase.begin);
            ops.get(first).is_none_or(|&begin| begin >= phase.end)
        };
        stretches.extend(of(Kind::Phase).filter(empty).map(entry));
        stretches.sort();
        Names { stretches }
    }

    /// The name of what it was at.
    pub fn at(&self, time: u64) -> String {
        let next = self.stretches.partition_point(|(begin, ..)| *begin <= time);
        let at = next.checked_sub(1).map(|i| &self.stretches[i]);
        match at {
            Some((_, end, name)) if time <= *end => name.clone(),
            _ => "other work".into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_belong_to_the_name_before_them() {
        assert_eq!(
            path("layers.0.feedforward.5"),
            ["layers.0", "layers.0.feedforward.5"]
        );
        assert_eq!(path("pool"), ["pool"]);
        assert!(path("").is_empty());
    }

    #[test]
    fn a_layer_lasts_while_its_ops_follow_on_one_another() {
        let op = |layer: &str, begin: u64, end: u64| Span {
            layer: layer.into(),
            ..Span::new(Kind::Op, 0, "op".into(), [begin, end])
        };
        let ops = [
            op("a.0", 0, 2),
            op("a.0.b", 2, 3),
            op("a.1.b", 3, 5),
            op("", 5, 6),
            op("a.1", 6, 7),
        ];
        let layers = layers(&ops);
        let got: Vec<_> = layers
            .iter()
            .map(|of| (&*of.name, of.begin, of.end))
            .collect();
        let want = [
            ("a.0.b", 2, 3),
            ("a.0", 0, 3),
            ("a.1", 3, 5),
            ("a.1.b", 3, 5),
            ("a.1", 6, 7),
        ];
        assert!(
            got.len() == want.len() && want.iter().all(|of| got.contains(of)),
            "{got:?}"
        );
    }
}
