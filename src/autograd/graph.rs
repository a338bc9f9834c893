//! The computation graph to look at: its nodes as plain data, and as text that Graphviz draws.
//!
//! [`plots::graph`](crate::plots::graph) draws it as SVG, without Graphviz.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use crate::autograd::var::{Kind, Node};
use crate::params::ParamKey;
use crate::{DType, Error, Params, Result, Shape, Var};

/// The computation graph behind a [`Var`], from its leaves and parameters to itself.
///
/// Nodes stand in the order in which they were recorded: inputs before what was computed from them.
/// Its `Display` is a graph in the language of Graphviz.
#[derive(Clone, Debug)]
pub struct Graph {
    nodes: Vec<GraphNode>,
    /// The id of each node, in rising order.
    ids: Vec<u64>,
}

/// A node of a [`Graph`].
#[derive(Clone, Debug)]
pub struct GraphNode {
    /// The op that computed it, `matmul`; `leaf` or `param` where none did.
    pub op: &'static str,
    /// The layer that it was computed in, `layers.3.reduction`, or nothing.
    pub scope: String,
    /// Its shape.
    pub shape: Shape,
    /// The type of its elements.
    pub dtype: DType,
    /// The places, in [`Graph::nodes`], of what it was computed from. `None` is a constant, which
    /// has no node.
    pub inputs: Vec<Option<usize>>,
    /// What was written on it: see [`Graph::with_label`] and [`Graph::with_params`].
    pub label: Option<String>,
    param: Option<ParamKey>,
}

impl Var {
    /// The computation graph behind this value; of a constant, one without nodes.
    ///
    /// It can be taken before the backward pass and after it: the nodes stay, only the rules are
    /// used up.
    ///
    /// ```
    /// use wavemix::{Tensor, Var};
    /// let x = Var::leaf(Tensor::from_vec(vec![1.0, 2.0], [2])?);
    /// let graph = x.square()?.sum_all()?.graph();
    /// let ops: Vec<&str> = graph.nodes().iter().map(|node| node.op).collect();
    /// assert_eq!(ops, ["leaf", "square", "sum"]);
    /// assert_eq!(graph.nodes()[2].inputs, [Some(1)]);
    /// # Ok::<(), wavemix::Error>(())
    /// ```
    pub fn graph(&self) -> Graph {
        let mut found: BTreeMap<u64, &Arc<Node>> = BTreeMap::new();
        let mut waiting: Vec<&Arc<Node>> = self.node.iter().collect();
        while let Some(node) = waiting.pop() {
            if found.insert(node.id, node).is_none() {
                waiting.extend(node.inputs.iter().flatten());
            }
        }
        let ids: Vec<u64> = found.keys().copied().collect();
        let nodes = found.values().map(|node| GraphNode {
            op: node.op,
            scope: node.scope.clone(),
            shape: node.shape,
            dtype: node.dtype,
            inputs: node
                .inputs
                .iter()
                .map(|input| ids.binary_search(&input.as_ref()?.id).ok())
                .collect(),
            label: None,
            param: match node.kind {
                Kind::Param(key) => Some(key),
                _ => None,
            },
        });
        Graph {
            nodes: nodes.collect(),
            ids,
        }
    }

    /// The computation graph behind this value in the language of Graphviz:
    /// `dot -Tsvg graph.dot > graph.svg` draws it. [`plots::graph`](crate::plots::graph) draws it
    /// without.
    ///
    /// ```
    /// use wavemix::{Tensor, Var};
    /// let x = Var::leaf(Tensor::from_vec(vec![1.0, 2.0], [2])?);
    /// let dot = x.square()?.sum_all()?.dot();
    /// assert!(dot.starts_with("digraph"));
    /// assert!(dot.contains("n0 -> n1;") && dot.contains("n1 -> n2;"));
    /// # Ok::<(), wavemix::Error>(())
    /// ```
    pub fn dot(&self) -> String {
        self.graph().to_string()
    }
}

impl Graph {
    /// The nodes, inputs before what was computed from them. The last one is the [`Var`] that was
    /// asked.
    pub fn nodes(&self) -> &[GraphNode] {
        &self.nodes
    }

    /// Writes a text on the node of `var`: its name, its value, its gradient.
    ///
    /// # Errors
    /// Where `var` is a constant, or not a part of this graph.
    pub fn with_label(mut self, var: &Var, text: impl Into<String>) -> Result<Graph> {
        let place = var.id().and_then(|id| self.ids.binary_search(&id).ok());
        let Some(place) = place else {
            let text = text.into();
            return Err(Error::Graph(format!(
                "the label `{text}` is for a value that is not in this graph"
            )));
        };
        self.nodes[place].label = Some(text.into());
        Ok(self)
    }

    /// Writes the names of `params` on the nodes that are theirs.
    pub fn with_params(mut self, params: &Params) -> Graph {
        for node in &mut self.nodes {
            let entry = node.param.and_then(|key| params.entry(key.id).ok());
            if let Some(entry) = entry {
                node.label = Some(entry.name.clone());
            }
        }
        self
    }
}

impl GraphNode {
    /// The lines that a drawing has for it: its label, op, layer, shape and type.
    pub fn lines(&self) -> Vec<String> {
        let mut lines: Vec<String> = self.label.iter().cloned().collect();
        lines.push(self.op.to_owned());
        if !self.scope.is_empty() && self.param.is_none() {
            lines.push(self.scope.clone());
        }
        // One number has no shape to speak of.
        lines.push(if self.shape.is_empty() {
            self.dtype.to_string()
        } else {
            format!("{} {}", self.shape, self.dtype)
        });
        lines
    }

    /// Whether no op computed it: a leaf or a parameter.
    pub fn is_source(&self) -> bool {
        self.inputs.is_empty()
    }
}

impl fmt::Display for Graph {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "digraph {{")?;
        writeln!(f, "  node [shape=box, fontname=\"sans-serif\"];")?;
        for (i, node) in self.nodes.iter().enumerate() {
            let lines: Vec<String> = node.lines().iter().map(|line| escaped(line)).collect();
            let look = if node.is_source() {
                ", style=filled, fillcolor=\"#dce9f7\""
            } else {
                ""
            };
            writeln!(f, "  n{i} [label=\"{}\"{look}];", lines.join("\\n"))?;
            for (k, input) in node.inputs.iter().enumerate() {
                match input {
                    Some(input) => writeln!(f, "  n{input} -> n{i};")?,
                    None => {
                        writeln!(f, "  n{i}c{k} [label=\"constant\", style=dashed];")?;
                        writeln!(f, "  n{i}c{k} -> n{i};")?;
                    }
                }
            }
        }
        writeln!(f, "}}")
    }
}

/// Text within a string of Graphviz.
fn escaped(text: &str) -> String {
    let text = text.replace('\\', "\\\\").replace('"', "\\\"");
    text.replace('\n', "\\n")
}
