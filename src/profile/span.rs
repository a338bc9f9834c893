//! What a profile consists of.

/// What a [`Span`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// A training step.
    Step,
    /// What lies between steps, such as waiting for a batch.
    Between,
    /// A part of a step: forward, backward, gather gradients, optimizer.
    Phase,
    /// A layer: its ops that follow on one another.
    Layer,
    /// An op; its name has `backward` behind it in the backward pass. On a GPU, the time it takes
    /// to launch it.
    Op,
    /// What a thread does of an op, of the optimizer's step or for a batch to come.
    Work,
    /// A kernel on a GPU.
    Kernel,
}

/// A stretch of time, in nanoseconds since the profile began.
#[derive(Clone, Debug, PartialEq)]
pub struct Span {
    /// What kind of thing took it.
    pub kind: Kind,
    /// Where it is shown: an index in [`Profile::tracks`].
    pub track: usize,
    /// What took it.
    pub name: String,
    /// The layer of an op, dotted; else empty.
    pub layer: String,
    /// When it began.
    pub begin: u64,
    /// When it ended.
    pub end: u64,
    /// Bytes of an op's operands and result, or of the gradients it gave; of a kernel, bytes that
    /// it must read and write.
    pub bytes: u64,
    /// Floating-point operations of matrix products and convolutions, a multiplication and an
    /// addition counting as two. In the backward pass those of the forward one for each operand
    /// with more than one axis whose gradient was computed, which is what products and convolutions
    /// take.
    pub flops: u64,
    /// The shape of an op's result; else empty.
    pub shape: String,
}

impl Span {
    /// How long it took, in nanoseconds.
    pub fn duration(&self) -> u64 {
        self.end - self.begin
    }
}

/// What was measured.
#[derive(Clone, Debug, PartialEq)]
pub struct Profile {
    /// What is shown one below another: the thread that trains, other threads, a GPU.
    pub tracks: Vec<String>,
    /// All spans. Of one track each lies within another, or beside it; one that holds others comes
    /// before them.
    pub spans: Vec<Span>,
    /// Steps that were watched.
    pub steps: usize,
    /// From the start to the end, in nanoseconds.
    pub wall: u64,
}

impl Span {
    pub(super) fn new(kind: Kind, track: usize, name: String, [begin, end]: [u64; 2]) -> Span {
        Span {
            kind,
            track,
            name,
            layer: String::new(),
            begin,
            end,
            bytes: 0,
            flops: 0,
            shape: String::new(),
        }
    }
}
