//! The papers' figures of the models that were trained here: files, and a sentence on each.

use std::fs;
use std::path::{Path, PathBuf};

use wavemix::console::Stdout;
use wavemix::data::{Dataset, Datasets, Picture, Source, default_folder, read_pictures};
use wavemix::models::{Saved, Task};
use wavemix::plots::{
    self, CITYSCAPES_COLORS, FeatureMap, ModelMaps, Occluded, Occlusion, Point, Scatter, Segmented,
    Squares,
};
use wavemix::{Device, Error, Module, Pass, Result, Tensor};

use super::lite_tables::L2;
use super::measure::{Effort, measure};
use super::print;
use super::runs::{self, Run};
use super::table::Table;
use super::wavemix_tables::W1;

/// What `figures` is told.
pub struct Figures {
    /// Run folders or weight files; those under the folder of runs where there are none.
    pub runs: Vec<PathBuf>,
    /// Where data sets are looked for.
    pub data: Option<PathBuf>,
    /// A picture to take in place of the test images.
    pub image: Option<PathBuf>,
    /// Numbers of test images.
    pub indices: Vec<usize>,
    /// Where the pictures are written.
    pub out: PathBuf,
}

/// A model that was trained.
struct Trained {
    name: String,
    saved: Saved,
}

/// An image as it is and as the model takes it.
struct Example {
    picture: Picture,
    input: Tensor,
    /// Its class or those of its pixels; none for a picture of one's own.
    target: Option<Tensor>,
}

/// Draws all figures that there is something to draw for.
///
/// # Errors
/// A run that cannot be read, images that are not there; where the system refuses to write.
pub fn figures(figures: &Figures, folder: &Path) -> Result<()> {
    fs::create_dir_all(&figures.out).map_err(Error::io("create", &figures.out))?;
    for table in [&W1, &L2] {
        sizes(figures, table, &runs::finished(folder))?;
    }
    let paths = match figures.runs.is_empty() {
        true => runs::folders(folder),
        false => figures.runs.clone(),
    };
    let trained = paths.iter().map(|path| Trained::load(path)).collect::<Result<Vec<_>>>()?;
    let is_classifier =
        |of: &Trained| matches!(of.saved.model.config().task, Task::Classify { .. });
    let (classifiers, others): (Vec<_>, Vec<_>) = trained.into_iter().partition(is_classifier);
    if classifiers.is_empty() {
        writeln!(Stdout, "F3, F4: not drawn: no run of a model that classifies images is there")?;
    } else {
        let beside = beside(&classifiers, figures.runs.is_empty());
        feature_maps(figures, &beside)?;
        beside.into_iter().try_for_each(|of| occlusion(figures, of))?;
    }
    let is_segmenter = |of: &&Trained| matches!(of.saved.model.config().task, Task::Segment { .. });
    let segmenters: Vec<&Trained> = others.iter().filter(is_segmenter).collect();
    if segmenters.is_empty() {
        writeln!(Stdout, "F5: not drawn: no run of a model that classifies pixels is there")?;
    }
    segmenters.into_iter().try_for_each(|of| segmentation(figures, of))
}

impl Trained {
    /// The best weights of a run folder, or a weight file.
    fn load(path: &Path) -> Result<Trained> {
        let file = match path.is_dir() {
            true => path.join("best/model.safetensors"),
            false => path.to_owned(),
        };
        let saved = Saved::load(file, None)?;
        Ok(Trained { name: saved.model.config().to_string(), saved })
    }

    /// The name of a class.
    fn class(&self, class: usize) -> String {
        self.saved.card.classes.get(class).cloned().unwrap_or_else(|| class.to_string())
    }

    /// The test images of the set that it was trained on: the set's own, or built-in glyphs where
    /// it was trained on those.
    fn test_images(&self, figures: &Figures) -> Result<Datasets> {
        let card = &self.saved.card;
        if card.data_set.is_empty() {
            let name = &self.name;
            let what =
                format!("{name} was trained on no published set: say on what with --image FILE");
            return Err(Error::Argument(what));
        }
        let source: Source = card.data_set.parse()?;
        if !card.trained_on.starts_with(&source.title()) && figures.data.is_none() {
            let pair = source.drawn([1, 4], 0)?;
            let (train, test) = (std::sync::Arc::new(pair.train), std::sync::Arc::new(pair.test));
            return Ok(Datasets { train, test, mean: pair.mean, std: pair.std });
        }
        let folder = figures.data.clone().map_or_else(default_folder, Ok)?;
        source.open(folder, None)
    }

    /// The images to draw: those asked for, or the first `count` of as many classes as there are.
    fn examples(&self, figures: &Figures, count: usize) -> Result<Vec<Example>> {
        let size = [self.saved.model.config().size; 2];
        if let Some(file) = &figures.image {
            let pictures = read_pictures(file, 1, self.saved.card.transposed)?;
            return pictures.into_iter().map(|own| self.example(own, size, None)).collect();
        }
        let test = self.test_images(figures)?.test;
        let indices = match figures.indices.is_empty() {
            true => spread(&*test, count)?,
            false => figures.indices.clone(),
        };
        let example = |index: usize| {
            let sample = test.sample(index)?;
            let [h, w, c] = sample.input.shape()[..] else {
                return Err(Error::Argument(format!("{}: no images", test.name())));
            };
            let name = format!("{}, image {index}", test.name());
            let picture = Picture { name, size: [h, w, c], pixels: sample.input.to_vec()? };
            self.example(picture, [h, w], Some(sample.target))
        };
        indices.into_iter().map(example).collect()
    }

    fn example(
        &self,
        picture: Picture,
        size: [usize; 2],
        target: Option<Tensor>,
    ) -> Result<Example> {
        let (card, channels) = (&self.saved.card, self.saved.model.config().channels);
        let (mean, std) = match card.mean.is_empty() {
            true => (&[0.0][..], &[1.0][..]),
            false => (&card.mean[..], &card.std[..]),
        };
        let input = picture.to_tensor(size, channels, mean, std)?;
        Ok(Example { picture, input, target })
    }

    /// A file's name for a figure of this model.
    fn file(&self, figures: &Figures, figure: &str) -> PathBuf {
        let set = &self.saved.card.data_set;
        figures.out.join(format!("{figure}-{set}-{}.svg", self.name.replace('/', "-")))
    }
}

/// The first image of each class, up to `count`; the first images where targets are not classes.
fn spread(test: &dyn Dataset, count: usize) -> Result<Vec<usize>> {
    let (mut found, mut classes) = (Vec::new(), Vec::new());
    for index in 0..test.len().min(200) {
        let target = test.sample(index)?.target;
        let class = target.to_vec::<i64>()?;
        if class.len() > 1 || !classes.contains(&class) {
            found.push(index);
            classes.push(class);
        }
        if found.len() == count {
            break;
        }
    }
    Ok(found)
}

/// Those whose maps stand beside one another: all that were asked for of the first one's data set, or
/// the first WaveMix and the first ResNet, if there are two of one set.
fn beside(trained: &[Trained], choose: bool) -> Vec<&Trained> {
    let set = |of: &Trained| of.saved.card.data_set.clone();
    let of_family =
        |family: &'static str| trained.iter().filter(move |of| of.name.starts_with(family));
    if choose {
        for first in of_family("WaveMix") {
            if let Some(second) = of_family("ResNet").find(|second| set(second) == set(first)) {
                return vec![first, second];
            }
        }
        return trained.iter().take(1).collect();
    }
    trained.iter().filter(|of| set(of) == set(&trained[0])).collect()
}

/// F1: accuracy against parameters and against memory, a page for each data set of a table.
fn sizes(figures: &Figures, table: &'static Table, runs: &[Run]) -> Result<()> {
    for (i, set) in table.parts[0].sets.iter().enumerate() {
        let panel = |x: &str| Scatter {
            x: x.into(),
            y: "top-1 %".into(),
            series: vec!["printed in the paper".into(), "ours".into()],
            points: Vec::new(),
        };
        let mut panels =
            [panel("parameters, millions"), panel("GB of memory in training, batch of 64")];
        let column = |name: &str| table.printed.iter().position(|column| *column == name);
        let accuracy = column(&format!("{} %", set.name));
        for row in table.parts[0].rows {
            let printed: Vec<&str> = row.printed.split(' ').collect();
            let figure = |column: Option<usize>| printed[column?].parse::<f64>().ok();
            let name = row.name();
            let mut add = |panel: usize, x: Option<f64>, y: Option<f64>, series: usize| {
                if let (Some(x), Some(y)) = (x, y) {
                    panels[panel].points.push(Point { name: name.into(), x, y, series });
                }
            };
            add(0, figure(column("M")), figure(accuracy), 0);
            add(1, figure(column("GB at 64")), figure(accuracy), 0);
            let config = row.config(set)?.filter(|_| i < row.sets);
            let Some((config, own)) = config
                .and_then(|config| runs::accuracy(runs, &config, set).map(|own| (config, own)))
            else {
                continue;
            };
            let ours = measure(&config, set, Effort::Counts, Device::Cpu)?;
            add(0, Some(ours.parameters as f64 / 1e6), Some(own), 1);
            add(1, Some(print::bytes(&ours, 64) as f64 / print::GB), Some(own), 1);
        }
        let path = figures.out.join(format!("F1-{}-{}.svg", table.name, set.name));
        let title = format!("Accuracy on {set} against size: table {}", table.name);
        plots::scatter(&path, &title, &panels)?;
        let ours = panels[0].points.iter().filter(|point| point.series == 1).count();
        writeln!(
            Stdout,
            "F1, {}: accuracy on {set} against parameters and memory; {ours} of the points are of runs here",
            path.display()
        )?;
    }
    Ok(())
}

/// F3: the maps behind each block of models beside one another, for one image.
fn feature_maps(figures: &Figures, models: &[&Trained]) -> Result<()> {
    let first = models[0];
    let path = first.file(figures, "F3");
    let mut all = Vec::new();
    let mut shown = None;
    for of in models {
        let Some(example) = of.examples(figures, 1)?.into_iter().next() else {
            continue;
        };
        all.push(FeatureMap::of(&of.saved.model, &of.saved.params, &example.input)?);
        shown.get_or_insert(example.picture);
    }
    let Some(picture) = shown else {
        return Ok(());
    };
    let maps: Vec<ModelMaps> =
        models.iter().zip(&all).map(|(of, maps)| ModelMaps { name: &of.name, maps }).collect();
    let names: Vec<&str> = models.iter().map(|of| of.name.as_str()).collect();
    let names = names.join(" and of ");
    let title = format!("Maps behind each block: {}", picture.name);
    plots::feature_maps(&path, &title, &picture, &maps)?;
    writeln!(
        Stdout,
        "F3, {} and .png: the maps behind each block of {names}, for {}",
        path.display(),
        picture.name
    )
}

/// F4: how sure a model stays of an image's class with a square hidden.
fn occlusion(figures: &Figures, of: &Trained) -> Result<()> {
    let path = of.file(figures, "F4");
    let mut drawn = Vec::new();
    for example in of.examples(figures, 4)? {
        let [_, h, w, _] = example.input.shape()[..] else {
            continue;
        };
        let squares = Squares::for_images([h, w]);
        let probabilities: Vec<f32> = of.saved.probabilities(&example.input)?.to_vec()?;
        let predicted = (0..probabilities.len())
            .max_by(|&a, &b| probabilities[a].total_cmp(&probabilities[b]))
            .unwrap_or(0);
        let class = match &example.target {
            Some(target) => target.item()? as usize,
            None => predicted,
        };
        let occlusion = Occlusion::of(&of.saved, &example.input, class, squares)?;
        drawn.push((example.picture, class, predicted, occlusion, squares));
    }
    let labels: Vec<[String; 2]> = drawn
        .iter()
        .map(|(_, class, predicted, ..)| [*class, *predicted].map(|class| of.class(class)))
        .collect();
    let images: Vec<Occluded> = drawn
        .iter()
        .zip(&labels)
        .map(|((image, class, predicted, occlusion, _), [label, taken_for])| Occluded {
            image,
            label,
            predicted: (taken_for, occlusion.whole[*predicted].into()),
            probability: occlusion.whole[*class].into(),
            occlusion,
        })
        .collect();
    let side = drawn.first().map_or(0, |(.., squares)| squares.side);
    let title = format!("{}: what a hidden square of {side} x {side} pixels does", of.name);
    plots::occlusion(&path, &title, &images)?;
    writeln!(
        Stdout,
        "F4, {} and .png: how sure {} stays of {} images' classes with a square of {side} pixels hidden",
        path.display(),
        of.name,
        images.len()
    )
}

/// F5: images, the classes of their pixels, and what the model takes these for.
fn segmentation(figures: &Figures, of: &Trained) -> Result<()> {
    let path = of.file(figures, "F5");
    let mut rows = Vec::new();
    for example in of.examples(figures, 4)? {
        let Some(target) = &example.target else {
            continue;
        };
        let truth = target.to_vec::<i64>()?;
        let [_, h, w, _] = example.input.shape()[..] else {
            continue;
        };
        let pass = Pass::eval(&of.saved.params);
        let logits = of.saved.model.forward(&pass, &(&example.input).into())?;
        let classes = logits.value().argmax(3)?.to_vec::<i64>()?;
        // Where void is the first class, the others have one number more.
        let void = of.saved.card.classes.first().is_some_and(|class| class == "void");
        let classes: Vec<i64> = classes.iter().map(|class| class - i64::from(void)).collect();
        let judged = truth.iter().zip(&classes).filter(|(label, _)| **label != 255);
        let right = judged.clone().filter(|(label, class)| label == class).count();
        let share = 100.0 * right as f64 / judged.count().max(1) as f64;
        rows.push(Segmented {
            text: format!("{}: {share:.1} % of the judged pixels right", example.picture.name),
            image: example.picture,
            truth: plots::label_colors(&truth, [h, w], &CITYSCAPES_COLORS)?,
            predicted: plots::label_colors(&classes, [h, w], &CITYSCAPES_COLORS)?,
        });
    }
    if rows.is_empty() {
        return writeln!(Stdout, "F5: not drawn: a picture of one's own has no classes of pixels");
    }
    plots::segmentation(&path, &format!("{} on Cityscapes", of.name), &rows, &CITYSCAPES_COLORS)?;
    writeln!(
        Stdout,
        "F5, {} and .png: {} images, the classes of their pixels, and those by {}",
        path.display(),
        rows.len(),
        of.name
    )
}
