//! What all tabs see: the model as it is now, and how its training goes.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Instant;

use serde_json::{Value, json};
use wavemix::data::glyphs::Framing;
use wavemix::plots::{Axes, Style, Svg};

use super::explain::Reader;
use super::prepare::room;

/// Steps whose losses become one point of the curve.
const STEPS_A_POINT: usize = 20;

/// A training, as far as it has come.
#[derive(Default)]
pub struct Training {
    pub steps: usize,
    pub began: Option<Instant>,
    /// The losses of all steps that are done.
    pub losses: Vec<f64>,
    /// Steps done, and the share of the test glyphs that were read then.
    pub accuracies: Vec<(f64, f64)>,
    pub done: bool,
}

/// Shared by the threads that answer and the one that trains.
pub struct Board {
    reader: RwLock<Arc<Reader>>,
    /// None where the weights came from a file.
    training: Mutex<Option<Training>>,
}

impl Board {
    pub fn new(reader: Reader, training: Option<Training>) -> Board {
        Board { reader: RwLock::new(Arc::new(reader)), training: Mutex::new(training) }
    }

    /// The newest model. A request keeps the one that it began with.
    pub fn reader(&self) -> Arc<Reader> {
        self.reader.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A newer model for the requests to come.
    pub fn show(&self, reader: Reader) {
        *self.reader.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(reader);
    }

    /// Changes what is known of the training.
    pub fn note(&self, change: impl FnOnce(&mut Training)) {
        if let Some(training) = self.training().as_mut() {
            change(training);
        }
    }

    fn training(&self) -> MutexGuard<'_, Option<Training>> {
        self.training.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The model and its training, in short.
    pub fn status(&self) -> Value {
        let reader = self.reader();
        let saved = &reader.saved;
        let framing = match reader.framing {
            Framing::Mnist => "MNIST",
            Framing::Emnist => "EMNIST",
        };
        json!({
            "model": saved.model.config().to_string(),
            "parameters": saved.params.count(),
            "classes": saved.card.classes.len(),
            "trained_on": saved.card.trained_on,
            "framing": framing,
            "room": room(reader.framing),
            "training": self.training().as_ref().map(Training::status),
        })
    }

    /// The curves of the training as a drawing; none where the weights came from a file.
    pub fn curve(&self) -> Option<String> {
        self.training().as_ref().map(Training::curve)
    }
}

impl Training {
    fn status(&self) -> Value {
        let step = self.losses.len();
        let seconds = self.began.map_or(0.0, |began| began.elapsed().as_secs_f64());
        let left = (self.steps.saturating_sub(step)) as f64 * seconds / step.max(1) as f64;
        json!({
            "step": step, "steps": self.steps, "done": self.done, "seconds_left": left.ceil(),
            "accuracy": self.accuracies.last().map(|(_, accuracy)| accuracy),
        })
    }

    /// The loss, each point the mean of some steps, and the accuracy, beside one another.
    fn curve(&self) -> String {
        let mut svg = Svg::new(640.0, 220.0);
        let points = self.losses.chunks(STEPS_A_POINT).enumerate().map(|(i, losses)| {
            let mean = losses.iter().sum::<f64>() / losses.len() as f64;
            ((i * STEPS_A_POINT + losses.len()) as f64, mean)
        });
        let points: Vec<(f64, f64)> = points.collect();
        let percent: Vec<_> = self.accuracies.iter().map(|(x, y)| (*x, 100.0 * y)).collect();
        let highest = points.iter().fold(1.0, |a: f64, b| a.max(b.1));
        let both = [
            ("loss", (0.0, highest), points, "#2f6fbb"),
            ("test glyphs read right, %", (0.0, 100.0), percent, "#d9622b"),
        ];
        for (k, (title, y, points, color)) in both.into_iter().enumerate() {
            let corner = [40.0 + 320.0 * k as f64, 40.0];
            let axes = Axes::new(corner, [260.0, 130.0], (0.0, self.steps as f64), y);
            axes.draw(&mut svg, "step", "");
            axes.curve(&mut svg, &points, color);
            svg.text([corner[0], 22.0], Style::new(13.0, "#1f2328").bold(), title);
        }
        svg.finish()
    }
}
