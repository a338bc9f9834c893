//! What the page shows of a drawing: how it was prepared, its Haar transform, the maps behind each
//! block, the likeliest classes, and what each pixel is worth. Each is a call of the library.

use serde_json::{Value, json};
use wavemix::data::Picture;
use wavemix::data::glyphs::Framing;
use wavemix::models::Saved;
use wavemix::plots::{FeatureMap, Occlusion, Squares};
use wavemix::{Result, Tensor, Var};

use super::prepare::{Prepared, prepare};

/// Channels of a block that are sent at most.
const MOST_CHANNELS: usize = 64;

/// A model that reads drawings.
pub struct Reader {
    pub saved: Saved,
    /// How the images that it learned from were framed.
    pub framing: Framing,
    /// Steps of the training that is going on, done when its weights were copied.
    pub step: usize,
}

impl Reader {
    /// All but the occlusion, which takes longer. `null` where nothing is drawn.
    ///
    /// # Errors
    /// Those of the model.
    pub fn read(&self, drawing: &[u8]) -> Result<Value> {
        let Some(prepared) = prepare(drawing, self.framing)? else {
            return Ok(Value::Null);
        };
        let input = self.input(&prepared)?;
        let maps = FeatureMap::of(&self.saved.model, &self.saved.params, &input)?;
        Ok(json!({
            "step": self.step,
            "classes": self.likeliest(&input)?,
            "box": [prepared.columns.start, prepared.rows.start, prepared.columns.len(), prepared.rows.len()],
            "fitted": picture(&prepared.fitted),
            "corner": prepared.corner,
            "image": picture(&prepared.image),
            "haar": haar(&prepared.image)?,
            "blocks": maps.iter().map(channels).collect::<Vec<_>>(),
        }))
    }

    /// How much less likely the likeliest class is with a square around each pixel hidden. `null`
    /// where nothing is drawn.
    ///
    /// # Errors
    /// Those of the model.
    pub fn occlude(&self, drawing: &[u8]) -> Result<Value> {
        let Some(prepared) = prepare(drawing, self.framing)? else {
            return Ok(Value::Null);
        };
        let input = self.input(&prepared)?;
        let class = self.saved.probabilities(&input)?.argmax(1)?.to_vec::<i64>()?[0] as usize;
        let side = self.saved.model.config().size;
        let squares = Squares::for_images([side; 2]);
        let occlusion = Occlusion::of(&self.saved, &input, class, squares)?;
        let whole = occlusion.whole[class];
        let lost: Vec<f32> = occlusion.probabilities.iter().map(|p| whole - p).collect();
        let map = spread(&lost, occlusion.size, squares, side);
        let largest = map.iter().fold(0f32, |a, b| a.max(b.abs()));
        Ok(json!({
            "class": self.name(class), "probability": whole, "side": squares.side,
            "largest": largest, "size": [side, side], "pixels": signed(map.into_iter(), largest),
        }))
    }

    /// The image as the model takes it, `[1, size, size, channels]`: as `predict` gives pictures.
    fn input(&self, prepared: &Prepared) -> Result<Tensor> {
        self.saved.image(prepared.image.clone())
    }

    /// The five likeliest classes and their probabilities.
    fn likeliest(&self, input: &Tensor) -> Result<Vec<(String, f32)>> {
        let probabilities = self.saved.probabilities(input)?;
        let (probabilities, classes) = probabilities.topk(5.min(probabilities.shape()[1]))?;
        let names = classes.to_vec::<i64>()?.into_iter().map(|class| self.name(class as usize));
        Ok(names.zip(probabilities.to_vec::<f32>()?).collect())
    }

    fn name(&self, class: usize) -> String {
        self.saved.card.classes.get(class).cloned().unwrap_or_else(|| class.to_string())
    }
}

/// One level of the Haar transform of an image with pixels from 0 to 1: LL, LH, HL, HH, 14x14 each.
fn haar(image: &Picture) -> Result<Value> {
    let [h, w, _] = image.size;
    let pixels = image.to_tensor([h, w], 1, &[0.0], &[1.0])?;
    let bands = Var::from(pixels).dwt()?;
    let values = bands.to_vec::<f32>()?;
    let band = |k: usize| values.iter().skip(k).step_by(4).copied();
    // Of numbers from 0 to 1, LL lies between 0 and 2, the others between -1 and 1.
    let mean: Vec<u8> = band(0).map(|x| (255.0 * x / 2.0).round() as u8).collect();
    Ok(json!({
        "size": [bands.shape()[1], bands.shape()[2]],
        "bands": [mean, signed(band(1), 1.0), signed(band(2), 1.0), signed(band(3), 1.0)],
    }))
}

/// A block's channels, each coloured by its own largest value.
fn channels(map: &FeatureMap) -> Value {
    let [h, w, c] = map.size;
    let (mut largest, mut pixels) = (Vec::new(), Vec::new());
    for channel in 0..c.min(MOST_CHANNELS) {
        let values = map.values.iter().skip(channel).step_by(c).copied();
        let most = values.clone().fold(0f32, |a, b| a.max(b.abs()));
        pixels.push(signed(values, most));
        largest.push(most);
    }
    json!({ "name": map.block, "size": [h, w, c], "largest": largest, "channels": pixels })
}

/// For each pixel the mean over the squares that cover it; 0 where none does.
fn spread(values: &[f32], [rows, columns]: [usize; 2], squares: Squares, side: usize) -> Vec<f32> {
    let mut sums = vec![(0.0, 0); side * side];
    for (i, value) in values.iter().enumerate().take(rows * columns) {
        let [top, left] = [i / columns, i % columns].map(|k| k * squares.step);
        for (row, column) in (0..squares.side * squares.side)
            .map(|k| (top + k / squares.side, left + k % squares.side))
        {
            let (sum, count) = &mut sums[row * side + column];
            *sum += value;
            *count += 1;
        }
    }
    sums.into_iter().map(|(sum, count)| sum / count.max(1) as f32).collect()
}

/// Bytes for values from -largest, 1, by 0, 128, to largest, 255.
fn signed(values: impl Iterator<Item = f32>, largest: f32) -> Vec<u8> {
    let scale = 127.0 / largest.max(f32::MIN_POSITIVE);
    values.map(|x| (128.0 + scale * x).round() as u8).collect()
}

fn picture(picture: &Picture) -> Value {
    json!({ "size": [picture.size[0], picture.size[1]], "pixels": picture.pixels })
}
