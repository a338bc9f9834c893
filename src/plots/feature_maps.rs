//! What the blocks of a model make of an image.

use std::path::Path;

use super::colors::color;
use super::page::{Page, check, width_at};
use super::svg::Style;
use super::{GREY, INK};
use crate::autograd::trace::{Event, Watcher, watch};
use crate::data::Picture;
use crate::{DType, Error, Module, Params, Pass, Result, Tensor};

/// What one block of a model gave for one image.
#[derive(Clone, Debug, PartialEq)]
pub struct FeatureMap {
    /// The block: `layers.3` of WaveMix, `layer2.0` of ResNet.
    pub block: String,
    /// Height, width and channels.
    pub size: [usize; 3],
    /// The values `[height, width, channels]`.
    pub values: Vec<f32>,
}

impl FeatureMap {
    /// The maps behind each block of a model, for one image `[1, h, w, channels]`, normalised as the
    /// model wants it, without training.
    ///
    /// A block is a numbered part of the model with layers inside, `layers.3` or `layer2.0`, and its
    /// map is the last one that it computed. A transformer's tokens are laid out as the square that
    /// they come from, without a class token. So this works for any model whose layers enter their
    /// names with [`Pass::enter`], as all of this crate do.
    ///
    /// # Errors
    /// Another batch than of one image; those of the model.
    #[track_caller]
    pub fn of(model: &dyn Module, params: &Params, image: &Tensor) -> Result<Vec<FeatureMap>> {
        if image.shape().len() != 4 || image.shape()[0] != 1 {
            return Err(Error::Argument(format!(
                "feature maps are of one image [1, h, w, channels], got {}",
                image.shape()
            )));
        }
        let forward = || model.forward(&Pass::eval(params), &image.into());
        let (blocks, output) = watch(Blocks::default(), forward);
        output?;
        let maps = blocks.0.into_iter().filter(|block| block.has_layers);
        maps.map(|block| {
            let [h, w, c] = block.size;
            // Behind a class token, where there is one.
            let values: Vec<f32> = block.output.cast(DType::F32)?.to_vec()?;
            let values = values[values.len() - h * w * c..].to_vec();
            Ok(FeatureMap {
                block: block.name,
                size: block.size,
                values,
            })
        })
        .collect()
    }

    /// One channel, or the mean of all, coloured from the lowest value to the highest.
    fn picture(&self, channel: Option<usize>) -> Picture {
        let [h, w, c] = self.size;
        let pixel = |values: &[f32]| match channel {
            Some(channel) => f64::from(values[channel]),
            None => values.iter().copied().map(f64::from).sum::<f64>() / c as f64,
        };
        let values: Vec<f64> = self.values.chunks_exact(c).map(pixel).collect();
        let low = values.iter().copied().fold(f64::INFINITY, f64::min);
        let high = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        // A map of a single value is dark.
        let range = (high - low).max(f64::MIN_POSITIVE);
        let pixels = values.iter().flat_map(|x| color((x - low) / range));
        Picture {
            name: self.block.clone(),
            size: [h, w, 3],
            pixels: pixels.collect(),
        }
    }
}

/// A block, and its last output so far that is a map.
struct Block {
    name: String,
    has_layers: bool,
    size: [usize; 3],
    output: Tensor,
}

/// All blocks, in the order in which they computed first.
#[derive(Default)]
struct Blocks(Vec<Block>);

impl Watcher for Blocks {
    fn forward(&mut self, event: Event<'_>) {
        let Some(name) = block(&event.scope) else {
            return;
        };
        let has_layers = name.len() < event.scope.len();
        let known = self.0.iter_mut().find(|block| block.name == name);
        let Some(size) = map_size(event.output) else {
            return;
        };
        let output = event.output.clone();
        match known {
            Some(block) => {
                block.has_layers |= has_layers;
                (block.size, block.output) = (size, output);
            }
            None => self.0.push(Block {
                name: name.to_owned(),
                has_layers,
                size,
                output,
            }),
        }
    }
}

/// The part of a layer's name up to its first number: `layers.3` of `layers.3.feedforward.0`.
fn block(scope: &str) -> Option<&str> {
    let mut end = 0;
    for part in scope.split('.') {
        end += part.len();
        if !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit()) {
            return Some(&scope[..end]);
        }
        end += 1;
    }
    None
}

/// Height, width and channels of a map of one image, or of a square's tokens with or without a class
/// token in front.
fn map_size(x: &Tensor) -> Option<[usize; 3]> {
    match x.shape()[..] {
        [1, h, w, c] if h * w * c > 0 => Some([h, w, c]),
        [1, tokens, c] if tokens * c > 0 => {
            let side = tokens.isqrt();
            let square = [tokens, tokens - 1].contains(&(side * side));
            square.then_some([side, side, c]).filter(|_| side > 0)
        }
        _ => None,
    }
}

/// A model's maps, to be drawn under its name.
pub struct ModelMaps<'a> {
    /// The model's name.
    pub name: &'a str,
    /// Its maps, in the order of the blocks.
    pub maps: &'a [FeatureMap],
}

/// Channels that are shown of a map, behind the mean of all.
const CHANNELS: usize = 5;
/// The side of a map on the page, from one to the next, and from one row to the next.
const SIDE: f64 = 72.0;
const STEP: f64 = SIDE + 6.0;
const ROW: f64 = SIDE + 12.0;
/// The width of the names beside the maps, and of all of a model.
const NAMES: f64 = 108.0;
const MODEL: f64 = NAMES + STEP * (1 + CHANNELS) as f64 + 34.0;

/// Writes the maps of models beside one another, a row for each block: the mean of all channels, and
/// the first ones. Each map is coloured from its own lowest value, dark, to its highest. Above them
/// stands the image that they are of. The pictures alone are written beside the page, as PNG.
///
/// # Errors
/// An image that is none; where the system refuses to write.
pub fn feature_maps(
    path: impl AsRef<Path>,
    title: &str,
    image: &Picture,
    models: &[ModelMaps],
) -> Result<()> {
    let rows = models.iter().map(|model| model.maps.len()).max();
    let top = 232.0;
    let mut page = Page::new(
        30.0 + MODEL * models.len().max(1) as f64,
        top + ROW * rows.unwrap_or(0) as f64 + 20.0,
    );
    page.text([30.0, 34.0], Style::new(16.0, INK).bold(), title);
    check(image)?;
    page.image([30.0, 50.0], [width_at(112.0, image), 112.0], image)?;
    for (i, model) in models.iter().enumerate() {
        let left = 30.0 + MODEL * i as f64;
        page.text([left, top - 32.0], Style::new(14.0, INK).bold(), model.name);
        let heads = (0..CHANNELS).map(|channel| format!("channel {channel}"));
        let heads = std::iter::once("mean of all".to_owned()).chain(heads);
        for (column, head) in heads.enumerate() {
            let x = left + NAMES + STEP * column as f64 + SIDE / 2.0;
            page.text([x, top - 10.0], Style::new(11.0, GREY).middle(), &head);
        }
        for (row, map) in model.maps.iter().enumerate() {
            draw_row(&mut page, [left, top + ROW * row as f64], map)?;
        }
    }
    page.write(path.as_ref())
}

/// The maps of one block.
fn draw_row(page: &mut Page, [left, top]: [f64; 2], map: &FeatureMap) -> Result<()> {
    let [h, w, c] = map.size;
    page.text([left, top + 32.0], Style::new(12.5, INK), &map.block);
    let size = format!("{h} x {w} x {c}");
    page.text([left, top + 50.0], Style::new(11.0, GREY), &size);
    let channels = (0..c.min(CHANNELS)).map(Some);
    for (column, channel) in std::iter::once(None).chain(channels).enumerate() {
        let image = map.picture(channel);
        let longer = h.max(w) as f64;
        let shown = [w, h].map(|side| SIDE * side as f64 / longer);
        let x = left + NAMES + STEP * column as f64 + (SIDE - shown[0]) / 2.0;
        page.image([x, top + (SIDE - shown[1]) / 2.0], shown, &image)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_end_at_the_first_number() {
        assert_eq!(block("layers.3.feedforward.0"), Some("layers.3"));
        assert_eq!(block("layer2.0"), Some("layer2.0"));
        assert_eq!(block("2.0.norm"), Some("2"));
        assert_eq!(block("head"), None);
        assert_eq!(block(""), None);
    }

    #[test]
    fn tokens_are_squares() {
        let size = |shape: &[usize]| map_size(&Tensor::zeros(shape, DType::F32));
        assert_eq!(size(&[1, 4, 6, 8]), Some([4, 6, 8]));
        assert_eq!(size(&[1, 9, 8]), Some([3, 3, 8]));
        assert_eq!(size(&[1, 10, 8]), Some([3, 3, 8]));
        assert_eq!(size(&[1, 8, 8]), None);
        assert_eq!(size(&[2, 4, 6, 8]), None);
        assert_eq!(size(&[1, 8]), None);
    }
}
