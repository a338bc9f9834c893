//! A table with our figures beside the printed ones, as Markdown and as JSON.

use serde_json::{Value, json};
use wavemix::models::Task;

use super::measure::Ours;
use super::table::{Part, Row, Table};

/// A row with our side of it.
pub struct Line {
    pub part: &'static Part,
    pub row: &'static Row,
    /// `None` where the library has no such model.
    pub ours: Option<Ours>,
    /// The parameters on each data set.
    pub parameters: Vec<usize>,
    /// Our accuracy or mIoU in percent on each data set, where a run is known.
    pub accuracy: Vec<Option<f64>>,
    /// The ratio that the papers' scripts report as mIoU, likewise.
    pub papers_iou: Vec<Option<f64>>,
}

/// Our columns, before those of what was learned.
const OURS: [&str; 8] = [
    "parameters",
    "modules",
    "saved MiB an image",
    "GB at 64",
    "training batch in 16 GB",
    "inference batch in 16 GB",
    "train images/s",
    "infer images/s",
];

/// Our columns of what was learned: each with what JSON calls it.
fn learned(table: &Table) -> &'static [(&'static str, &'static str)] {
    let maps = table.parts.iter().flat_map(|part| part.sets);
    match maps.map(|set| set.task).any(|task| matches!(task, Task::Segment { .. })) {
        true => &[("mIoU %", "test_miou_percent"), ("papers-iou %", "test_papers_iou_percent")],
        false => &[("top-1 %", "test_top1_percent")],
    }
}

/// What was learned, in the order of the columns.
fn shares(line: &Line) -> [&[Option<f64>]; 2] {
    [&line.accuracy, &line.papers_iou]
}

/// What a row's weights take in training: themselves, their gradients and AdamW's two moments, in f32.
const BYTES_OF_A_PARAMETER: usize = 16;
pub const GB: f64 = 1e9;

/// Bytes of a training step: what is kept for the backward pass, and the weights.
pub fn bytes(ours: &Ours, batch: usize) -> usize {
    BYTES_OF_A_PARAMETER * ours.parameters + batch * ours.saved_bytes
}

/// The card whose largest batches the papers print.
const CARD: usize = 16_000_000_000;

/// The largest batches of training and of inference, which needs the weights alone beside the maps.
fn largest_batches(ours: &Ours) -> [usize; 2] {
    let of = |parameter: usize, image: usize| {
        CARD.saturating_sub(parameter * ours.parameters) / image.max(1)
    };
    [of(BYTES_OF_A_PARAMETER, ours.saved_bytes), of(4, ours.inference_bytes)]
}

/// A number with commas between thousands.
fn grouped(n: usize) -> String {
    let digits = n.to_string();
    let groups: Vec<&str> = {
        let first = digits.len() % 3;
        let (head, tail) = digits.split_at(first);
        let tail = (0..tail.len() / 3).map(|i| &tail[3 * i..3 * i + 3]);
        Some(head).filter(|head| !head.is_empty()).into_iter().chain(tail).collect()
    };
    groups.join(",")
}

/// A rate or a share of three digits or more.
fn short(x: f64) -> String {
    match x {
        ..0.1 => format!("{x:.4}"),
        ..10.0 => format!("{x:.2}"),
        ..100.0 => format!("{x:.1}"),
        _ => format!("{x:.0}"),
    }
}

/// The cells of our columns.
fn ours(table: &Table, line: &Line) -> Vec<String> {
    let learned = learned(table).len();
    let Some(ours) = &line.ours else {
        return vec!["-".into(); OURS.len() + learned];
    };
    let dash = || "-".to_owned();
    let mut parameters: Vec<String> = line.parameters.iter().map(|&n| grouped(n)).collect();
    if parameters.iter().all(|n| *n == parameters[0]) {
        parameters.truncate(1);
    }
    let rate = |of: f64, batch: usize| format!("{} (batch {batch})", short(of));
    let (train, infer) = match &ours.speed {
        None => (dash(), dash()),
        Some(speed) if speed.image != line.part.sets[0].image => {
            let [h, w] = speed.image;
            let rate = |of: f64| format!("{} (batch {} of {h}x{w})", short(of), speed.batch);
            (rate(speed.train), rate(speed.infer))
        }
        Some(speed) => (rate(speed.train, speed.batch), rate(speed.infer, speed.batch)),
    };
    let [training, inference] = largest_batches(ours);
    let percent = |of: &Option<f64>| of.map_or_else(dash, |percent| format!("{percent:.2}"));
    let share = |of: &[Option<f64>]| -> String {
        let known = of.iter().any(Option::is_some);
        let each: Vec<String> = of.iter().map(percent).collect();
        if known { each.join(" / ") } else { dash() }
    };
    let mut cells = vec![
        parameters.join(" / "),
        line.row.modules.map_or_else(dash, grouped),
        format!("{:.2}", ours.saved_bytes as f64 / 1048576.0),
        format!("{:.1}", bytes(ours, 64) as f64 / GB),
        grouped(training),
        grouped(inference),
        train,
        infer,
    ];
    cells.extend(shares(line).into_iter().take(learned).map(share));
    cells
}

/// The table as Markdown, its notes below it.
pub fn markdown(table: &Table, lines: &[Line], how: &str) -> String {
    let mut notes: Vec<&str> = Vec::new();
    let head = ["model".to_owned(), "data".to_owned()].into_iter();
    let head = head.chain(table.printed.iter().map(|column| format!("paper: {column}")));
    let learned = learned(table).iter().map(|(column, _)| *column);
    let own = OURS.into_iter().chain(learned).map(|column| format!("ours: {column}"));
    let head: Vec<String> = head.chain(own).collect();
    let mut text = format!("# {}\n\n| {} |\n|", table.title, head.join(" | "));
    text += &"---|".repeat(head.len());
    for line in lines {
        let mut model = line.row.model.to_owned();
        if !line.row.note.is_empty() {
            let known = notes.iter().position(|note| *note == line.row.note);
            let number = known.unwrap_or_else(|| {
                notes.push(line.row.note);
                notes.len() - 1
            });
            model += &format!(" [{}]", number + 1);
        }
        let (row, sets) = (line.row, line.part.sets(line.row));
        let sets: Vec<String> = sets.iter().map(|set| set.to_string()).collect();
        let mut cells = vec![model, sets.join(" / ")];
        cells.extend(row.printed.split(' ').map(str::to_owned));
        cells.extend(ours(table, line));
        text += &format!("\n| {} |", cells.join(" | "));
    }
    text += "\n";
    for (i, note) in notes.iter().enumerate() {
        text += &format!("\n[{}] {note}\n", i + 1);
    }
    for note in table.notes.iter().copied().chain([how]) {
        text += &format!("\n{note}\n");
    }
    let absent: Vec<&str> =
        lines.iter().filter(|line| line.ours.is_none()).map(|line| line.row.name()).collect();
    if !absent.is_empty() {
        text += &format!("\nThis library has no model called {}.\n", absent.join(", "));
    }
    text
}

/// The same for programs.
pub fn json(table: &Table, lines: &[Line], how: &str) -> Value {
    let rows: Vec<Value> = lines.iter().map(|line| json_row(table, line)).collect();
    json!({ "table": table.name, "title": table.title, "how": how, "notes": table.notes, "rows": rows })
}

fn json_row(table: &Table, line: &Line) -> Value {
    let sets = line.part.sets(line.row);
    let printed = table.printed.iter().zip(line.row.printed.split(' '));
    let printed = printed.map(|(column, figure)| ((*column).to_owned(), figure.into()));
    let ours = line.ours.as_ref().map(|ours| {
        let speed = ours.speed.as_ref().map(|speed| {
            json!({
                "train_images_per_s": speed.train, "infer_images_per_s": speed.infer,
                "batch": speed.batch, "image": speed.image,
            })
        });
        let [training, inference] = largest_batches(ours);
        let mut json = json!({
            "parameters": line.parameters, "saved_bytes": ours.saved_bytes,
            "inference_bytes": ours.inference_bytes, "bytes_at_64": bytes(ours, 64),
            "training_batch_in_16_gb": training, "inference_batch_in_16_gb": inference,
            "speed": speed,
        });
        for ((_, name), share) in learned(table).iter().zip(shares(line)) {
            json[name] = json!(share);
        }
        json
    });
    json!({
        "model": line.row.model,
        "data": sets.iter().map(|set| set.to_string()).collect::<Vec<_>>(),
        "paper": printed.collect::<serde_json::Map<_, _>>(),
        "modules": line.row.modules, "note": line.row.note, "ours": ours,
    })
}
