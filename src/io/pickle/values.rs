//! What a pickle is made of.

/// A name that a pickle may ask for: its module, and itself.
pub(crate) type Name = (&'static str, &'static str);

/// Bytes of the pickle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    pub start: u64,
    pub size: u64,
}

/// A value; other values that it holds are meant by their number.
#[derive(Debug)]
pub(crate) enum Value {
    None,
    Bool(bool),
    Int(i64),
    Float,
    /// A text, or bytes: where they lie; and if they are short, what they say.
    Characters {
        span: Span,
        name: Option<String>,
    },
    Tuple(Vec<usize>),
    List(Vec<usize>),
    /// Keys and values.
    Dict(Vec<(usize, usize)>),
    /// One of the names that are allowed, without its module.
    Global(&'static str),
    Call(Box<Call>),
    /// What the writer keeps outside of the pickle, by what it calls it.
    Persistent(usize),
}

/// What a function would be called with, and what would be done to what it gives.
#[derive(Debug)]
pub(crate) struct Call {
    pub function: &'static str,
    /// A tuple.
    pub arguments: usize,
    /// Keys and values that would be set.
    pub items: Vec<(usize, usize)>,
    /// The state that it would be given.
    pub state: Option<usize>,
}
