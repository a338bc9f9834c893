//! What each op is in ONNX.

mod elementwise;
mod images;
mod products;
mod shapes;

use super::graph::Graph;
use super::record::Event;
use crate::Result;

/// Writes an op down: its nodes, and which of them gives its result.
type Export = fn(&mut Graph, &Event) -> Result<()>;

/// The ops that are exported as they are, beside the functions of elements, which have a table of
/// their own. All others are refused, but those that are made of these.
const OPS: &[(&str, Export)] = &[
    ("add", elementwise::binary),
    ("sub", elementwise::binary),
    ("mul", elementwise::binary),
    ("div", elementwise::binary),
    ("maximum", elementwise::binary),
    ("minimum", elementwise::binary),
    ("matmul", products::matmul),
    ("linear", products::linear),
    ("attention", products::attention),
    ("softmax", products::softmax),
    ("log_softmax", products::softmax),
    ("layer_norm", products::layer_norm),
    ("rms_norm", products::rms_norm),
    ("sum", products::reduce),
    ("mean", products::reduce),
    ("max", products::reduce),
    ("min", products::reduce),
    ("dft_real", products::dft_real),
    ("reshape", shapes::reshape),
    ("permute", shapes::permute),
    ("expand", shapes::expand),
    ("slice", shapes::slice),
    ("pad", shapes::pad),
    ("concat", shapes::concat),
    ("stack", shapes::concat),
    ("conv2d", images::conv2d),
    ("conv_transpose2d", images::conv_transpose2d),
    ("max_pool2d", images::pool),
    ("avg_pool2d", images::pool),
    ("global_avg_pool", images::global_avg_pool),
    ("upsample", images::upsample),
    ("dwt", images::dwt),
    ("idwt", images::idwt),
    ("batch_norm", images::batch_norm),
];

/// How an op is exported, if it is.
fn find(op: &str) -> Option<Export> {
    let own = OPS.iter().find(|(name, _)| *name == op);
    let own = own.map(|(_, export)| *export);
    own.or(elementwise::is_function(op).then_some(elementwise::function as Export))
}

/// Whether an op is exported as it is.
pub(super) fn is_known(op: &str) -> bool {
    find(op).is_some()
}

/// Adds an event's nodes to the graph.
///
/// # Errors
/// An op that has no counterpart, or settings of it that have none.
pub(super) fn export(graph: &mut Graph, event: &Event) -> Result<()> {
    graph.scope.clone_from(&event.scope);
    match find(event.op) {
        Some(export) => export(graph, event),
        None => Err(event.refused("which has no counterpart")),
    }
}
