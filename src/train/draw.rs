//! The pictures of a run: how training went, what is taken for what, and the worst of it.

use serde_json::Value;

use crate::Result;
use crate::data::Dataset;
use crate::metrics::Confusion;
use crate::plots::{self, Curve, Panel};
#[cfg(feature = "pictures")]
use crate::train::evaluate::Evaluation;
use crate::train::evaluate::Score;
use crate::train::trainer::{Results, Trainer};

impl Trainer {
    /// Draws what makes sense: curves always; of a classifier of images or pixels, on the test set
    /// or else on the validation set, the confusion matrix; and where samples are images of bytes
    /// and have one class each, the mistakes.
    pub(super) fn draw(&self, lines: &[Value], results: &Results) -> Result<()> {
        self.draw_curves(lines)?;
        let on_test = self.data.test.as_ref().zip(results.test.as_ref());
        let on_validation = || {
            let validation = self.data.validation.as_ref();
            validation.zip(results.validation.as_ref())
        };
        let Some((loader, score)) = on_test.or_else(on_validation) else {
            return Ok(());
        };
        let (model, set) = (&self.description.name, loader.data());
        let (share, confusion) = match score {
            Score::Classes(of) => {
                let share = format!("{:.2} % read correctly by {model}", 100.0 * of.top1);
                (share, &of.confusion)
            }
            Score::Pixels(of) => {
                let share = format!("pixels by {model}, mIoU {:.2} %", 100.0 * of.mean_iou);
                (share, &of.confusion)
            }
            Score::Loss { .. } => return Ok(()),
        };
        let (title, names) = (
            format!("{}: {share}", set.name()),
            class_names(set, confusion),
        );
        let path = self.folder.join("confusion.svg");
        plots::confusion(path, &title, confusion, &names)?;
        #[cfg(feature = "pictures")]
        if let Score::Classes(evaluation) = score {
            let title = format!("{}: misread with the most confidence", set.name());
            let path = self.folder.join("mistakes.svg");
            self.with_mistakes(set, evaluation, |size, worst| {
                plots::mistakes(path, &title, size, worst)
            })?;
        }
        Ok(())
    }

    /// The curves of loss and, of a classifier, accuracy; of maps of classes, mIoU and, apart from it,
    /// the papers' ratio.
    fn draw_curves(&self, lines: &[Value]) -> Result<()> {
        let curve = |&(name, key): &(&str, &str)| {
            let points = lines.iter().filter(|line| line["phase"] != "best");
            let points =
                points.filter_map(|line| Some((line["epoch"].as_f64()?, line[key].as_f64()?)));
            Curve {
                name: name.into(),
                points: points.collect(),
            }
        };
        let panel = |title: &str, fractions: bool, curves: &[(&str, &str)]| Panel {
            title: title.into(),
            fractions,
            curves: curves
                .iter()
                .map(curve)
                .filter(|curve| !curve.points.is_empty())
                .collect(),
        };
        let losses = [
            ("training", "train_loss"),
            ("validation", "val_loss"),
            ("test", "test_loss"),
        ];
        let accuracies = [
            ("validation", "val_top1"),
            ("test", "test_top1"),
            ("test, top 5", "test_top5"),
        ];
        let ious = [("validation", "val_miou"), ("test", "test_miou")];
        let papers_ious = [
            ("validation", "val_papers_iou"),
            ("test", "test_papers_iou"),
        ];
        let mut panels = vec![
            panel("loss", false, &losses),
            panel("accuracy", true, &accuracies),
            panel("mIoU", true, &ious),
            panel("papers-iou", true, &papers_ious),
        ];
        panels.retain(|panel| !panel.curves.is_empty());
        let (model, set) = (&self.description.name, self.data.train.data().name());
        plots::curves(
            self.folder.join("curves.svg"),
            &format!("{model} on {set}"),
            &panels,
        )
    }

    /// Gives the worst mistakes with their images to `body`, where samples are grey or coloured
    /// images of bytes.
    #[cfg(feature = "pictures")]
    pub(super) fn with_mistakes(
        &self,
        set: &dyn Dataset,
        evaluation: &Evaluation,
        body: impl FnOnce([usize; 3], &[plots::Mistake]) -> Result<()>,
    ) -> Result<()> {
        let Some(size @ [_, _, 1 | 3]) = crate::train::parts::image_size(set)? else {
            return Ok(());
        };
        let names = class_names(set, &evaluation.confusion);
        let image = |m: &crate::train::Mistake| Ok(set.sample(m.image)?.input);
        let mistakes = &evaluation.mistakes;
        let images: Vec<crate::Tensor> = mistakes.iter().map(image).collect::<Result<_>>()?;
        let mut worst = Vec::new();
        for (m, image) in mistakes.iter().zip(&images) {
            worst.push(plots::Mistake {
                image: image.as_slice::<u8>()?,
                label: &names[m.label],
                predicted: &names[m.predicted],
                probability: f64::from(m.probability),
            });
        }
        body(size, &worst)
    }
}

/// The names of the classes: those of the set, or their numbers.
fn class_names(set: &dyn Dataset, confusion: &Confusion) -> Vec<String> {
    if set.classes().is_empty() {
        let classes = 0..confusion.classes();
        classes.map(|class| class.to_string()).collect()
    } else {
        set.classes().to_vec()
    }
}
