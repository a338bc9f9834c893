//! Ops of images, which ONNX has with their channels first.

use crate::Result;
use crate::onnx::encode::Attribute;
use crate::onnx::graph::{Graph, Layout, Length};
use crate::onnx::record::{Event, OpAttributes};

/// Numbers of a window: kernel, stride, padding, dilation, output padding, each for rows and columns,
/// and groups, as [`OpAttributes::counts`] has them.
fn numbers(attributes: &OpAttributes, i: usize) -> Vec<i64> {
    attributes.counts[2 * i..2 * i + 2]
        .iter()
        .map(|&n| n as i64)
        .collect()
}

/// The attributes of all ops with a window. Padding is the same before and behind.
fn window(attributes: &OpAttributes) -> Vec<(&'static str, Attribute)> {
    let padding = numbers(attributes, 2);
    vec![
        ("kernel_shape", Attribute::Ints(numbers(attributes, 0))),
        ("strides", Attribute::Ints(numbers(attributes, 1))),
        ("pads", Attribute::Ints([&padding[..], &padding].concat())),
    ]
}

/// Weights `[a, kh, kw, b]` in memory become `[a, b, kh, kw]` as images do.
fn convolution(graph: &mut Graph, event: &Event, op: &'static str) -> Result<()> {
    let x = graph.take(event.inputs[0], Layout::Nchw)?;
    let weight = graph.take(event.inputs[1], Layout::Nchw)?;
    let bias = match event.inputs.get(2) {
        Some(&bias) => Some(graph.take(bias, Layout::Nhwc)?),
        None => None,
    };
    let mut inputs = vec![&*x, &*weight];
    inputs.extend(bias.as_deref());
    let mut attributes = window(&event.attributes);
    attributes.push(("dilations", Attribute::Ints(numbers(&event.attributes, 3))));
    attributes.push(("group", Attribute::Int(event.attributes.counts[10] as i64)));
    if op == "ConvTranspose" {
        attributes.push((
            "output_padding",
            Attribute::Ints(numbers(&event.attributes, 4)),
        ));
    }
    let y = graph.node(op, &inputs, attributes);
    graph.produce(event.output, Layout::Nchw, y);
    Ok(())
}

pub(super) fn conv2d(graph: &mut Graph, event: &Event) -> Result<()> {
    convolution(graph, event, "Conv")
}

pub(super) fn conv_transpose2d(graph: &mut Graph, event: &Event) -> Result<()> {
    convolution(graph, event, "ConvTranspose")
}

/// Padding is never the largest, and counts as zeros in means, as here.
pub(super) fn pool(graph: &mut Graph, event: &Event) -> Result<()> {
    let x = graph.take(event.inputs[0], Layout::Nchw)?;
    let (mut attributes, dilation) = (window(&event.attributes), numbers(&event.attributes, 3));
    let op = if event.op == "max_pool2d" {
        attributes.push(("dilations", Attribute::Ints(dilation)));
        "MaxPool"
    } else {
        if dilation != [1, 1] {
            return Err(event.refused("with a dilation"));
        }
        attributes.push(("count_include_pad", Attribute::Int(1)));
        "AveragePool"
    };
    let y = graph.node(op, &[&x], attributes);
    graph.produce(event.output, Layout::Nchw, y);
    Ok(())
}

pub(super) fn global_avg_pool(graph: &mut Graph, event: &Event) -> Result<()> {
    let x = graph.take(event.inputs[0], Layout::Nchw)?;
    let mean = graph.node("GlobalAveragePool", &[&x], vec![]);
    let y = graph.node("Flatten", &[&mean], vec![]);
    graph.produce(event.output, Layout::Nhwc, y);
    Ok(())
}

/// By factors where both sides are multiples of the operand's, else to a size.
pub(super) fn upsample(graph: &mut Graph, event: &Event) -> Result<()> {
    let input = event.inputs[0];
    let x = graph.take(input, Layout::Nchw)?;
    let mut sides = [Length::Fixed(0); 2];
    for (i, side) in sides.iter_mut().enumerate() {
        let lengths = graph.traced.lengths(event.output, 1 + i);
        *side = graph.length(&lengths, &event.inputs)?;
    }
    let text = |text| Attribute::Text(text);
    let mut attributes = match event.attributes.kind {
        "nearest" => vec![
            ("mode", text("nearest")),
            ("coordinate_transformation_mode", text("asymmetric")),
            ("nearest_mode", text("floor")),
        ],
        "bilinear" => vec![("mode", text("linear"))],
        _ => vec![
            ("mode", text("cubic")),
            ("cubic_coeff_a", Attribute::Float(-0.75)),
        ],
    };
    if event.attributes.kind != "nearest" {
        attributes.push(("coordinate_transformation_mode", text("half_pixel")));
    }
    let factor = |i: usize| match sides[i] {
        Length::Of { value, axis, times } if (value, axis) == (input, 1 + i) => Some(times as f32),
        _ => None,
    };
    let y = match [factor(0), factor(1)] {
        [Some(rows), Some(columns)] => {
            let scales = graph.floats(&[1.0, 1.0, rows, columns], &[4]);
            graph.node("Resize", &[&x, "", &scales], attributes)
        }
        _ => {
            let own = graph.node("Shape", &[&x], vec![("end", Attribute::Int(2))]);
            let sides = graph.lengths(&sides);
            let size = graph.node("Concat", &[&own, &sides], vec![("axis", Attribute::Int(0))]);
            graph.node("Resize", &[&x, "", "", &size], attributes)
        }
    };
    graph.produce(event.output, Layout::Nchw, y);
    Ok(())
}

/// Signs of the sub-bands LL, LH, HL, HH, each of 2x2 pixels.
const HAAR: [[f32; 4]; 4] = [
    [0.5, 0.5, 0.5, 0.5],
    [0.5, 0.5, -0.5, -0.5],
    [0.5, -0.5, 0.5, -0.5],
    [0.5, -0.5, -0.5, 0.5],
];

/// Weights and attributes of the convolutions between `channels` of an image and these sub-bands of
/// each of them.
fn haar(
    graph: &mut Graph,
    channels: usize,
    bands: &[[f32; 4]],
) -> (String, Vec<(&'static str, Attribute)>) {
    let values = bands.concat().repeat(channels);
    let count = channels * bands.len();
    let weight = graph.floats(&values, &[count as i64, 1, 2, 2]);
    let attributes = vec![
        ("kernel_shape", Attribute::Ints(vec![2, 2])),
        ("strides", Attribute::Ints(vec![2, 2])),
        ("group", Attribute::Int(channels as i64)),
    ];
    (weight, attributes)
}

/// Two convolutions of stride 2, since all channels' LL stand before the other bands. The zeros
/// behind odd sides are padding, which no window reaches where the side is even.
pub(super) fn dwt(graph: &mut Graph, event: &Event) -> Result<()> {
    let x = graph.take(event.inputs[0], Layout::Nchw)?;
    let channels = graph.traced.lengths(event.inputs[0], 3)[0];
    let mut bands = |own: &[[f32; 4]]| {
        let (weight, mut attributes) = haar(graph, channels, own);
        attributes.push(("pads", Attribute::Ints(vec![0, 0, 1, 1])));
        graph.node("Conv", &[&x, &weight], attributes)
    };
    let (low, high) = (bands(&HAAR[..1]), bands(&HAAR[1..]));
    let y = graph.node("Concat", &[&low, &high], vec![("axis", Attribute::Int(1))]);
    graph.produce(event.output, Layout::Nchw, y);
    Ok(())
}

/// The transposed convolutions of the same weights, added, and cropped.
pub(super) fn idwt(graph: &mut Graph, event: &Event) -> Result<()> {
    let x = graph.take(event.inputs[0], Layout::Nchw)?;
    let channels = graph.traced.lengths(event.output, 3)[0];
    let (axis, first) = (graph.ints(&[1]), graph.ints(&[channels as i64]));
    let (zero, end) = (graph.ints(&[0]), graph.ints(&[i64::MAX]));
    let mut bands = |range: [&str; 2], own: &[[f32; 4]]| {
        let part = graph.node("Slice", &[&x, range[0], range[1], &axis], vec![]);
        let (weight, attributes) = haar(graph, channels, own);
        graph.node("ConvTranspose", &[&part, &weight], attributes)
    };
    let low = bands([&zero, &first], &HAAR[..1]);
    let high = bands([&first, &end], &HAAR[1..]);
    let whole = graph.node("Add", &[&low, &high], vec![]);
    let mut sides = Vec::new();
    for axis in [1, 2] {
        let lengths = graph.traced.lengths(event.output, axis);
        sides.push(graph.length(&lengths, &event.inputs)?);
    }
    let (zeros, sides, axes) = (
        graph.ints(&[0, 0]),
        graph.lengths(&sides),
        graph.ints(&[2, 3]),
    );
    let y = graph.node("Slice", &[&whole, &zeros, &sides, &axes], vec![]);
    graph.produce(event.output, Layout::Nchw, y);
    Ok(())
}

/// By given statistics. Of other values than images it is a product and a sum.
pub(super) fn batch_norm(graph: &mut Graph, event: &Event) -> Result<()> {
    if !event.attributes.flags[0] {
        return Err(event.refused("by a batch's own statistics"));
    }
    let (input, eps) = (event.inputs[0], event.attributes.numbers[0]);
    let (vectors, residual) = match event.inputs[1..] {
        [gamma, beta, mean, var] => ([gamma, beta, mean, var], None),
        [gamma, beta, residual, mean, var] => ([gamma, beta, mean, var], Some(residual)),
        _ => return Err(event.refused("with these operands")),
    };
    let (mut y, layout) = if graph.traced.rank(input) == 4 {
        let mut inputs = vec![graph.take(input, Layout::Nchw)?];
        for vector in vectors {
            inputs.push(graph.take(vector, Layout::Nhwc)?);
        }
        let inputs: Vec<&str> = inputs.iter().map(|input| &**input).collect();
        let eps = vec![("epsilon", Attribute::Float(eps))];
        (graph.node("BatchNormalization", &inputs, eps), Layout::Nchw)
    } else {
        let x = graph.take(input, Layout::Nhwc)?;
        let [scale, shift] = scale_and_shift(graph, vectors, eps)?;
        let scaled = graph.node("Mul", &[&x, &scale], vec![]);
        (graph.node("Add", &[&scaled, &shift], vec![]), Layout::Nhwc)
    };
    if let Some(residual) = residual {
        let residual = graph.take(residual, layout)?;
        y = graph.node("Add", &[&y, &residual], vec![]);
    }
    graph.produce(event.output, layout, y);
    Ok(())
}

/// gamma / sqrt(var + eps), and beta - mean times that: two constants, or nodes where the input
/// changes one of the four.
fn scale_and_shift(graph: &mut Graph, vectors: [usize; 4], eps: f32) -> Result<[String; 2]> {
    if vectors
        .iter()
        .all(|&vector| graph.traced.is_constant(vector))
    {
        let value = |vector: usize| graph.traced.recording.values[vector].tensor.to_vec::<f32>();
        let [gamma, beta, mean, var] = vectors.map(value);
        let (gamma, beta, mean, var) = (gamma?, beta?, mean?, var?);
        let channels = 0..gamma.len();
        let scale = |c: usize| gamma[c] / (var[c] + eps).sqrt();
        let scales: Vec<f32> = channels.clone().map(scale).collect();
        let shifts: Vec<f32> = channels.map(|c| beta[c] - mean[c] * scale(c)).collect();
        let dims = [scales.len() as i64];
        return Ok([graph.floats(&scales, &dims), graph.floats(&shifts, &dims)]);
    }
    let mut names = Vec::new();
    for vector in vectors {
        names.push(graph.take(vector, Layout::Nhwc)?);
    }
    let eps = graph.number(eps);
    let more = graph.node("Add", &[&names[3], &eps], vec![]);
    let std = graph.node("Sqrt", &[&more], vec![]);
    let scale = graph.node("Div", &[&names[0], &std], vec![]);
    let scaled_mean = graph.node("Mul", &[&names[2], &scale], vec![]);
    let shift = graph.node("Sub", &[&names[1], &scaled_mean], vec![]);
    Ok([scale, shift])
}
