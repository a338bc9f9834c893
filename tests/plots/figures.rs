//! What a model sees: feature maps, occlusion and classes of pixels, by numbers and as pages.

use wavemix::data::Picture;
use wavemix::models::{Config, ImageMeta, ResNet, ResNetStem, ResidualBlock, Saved};
use wavemix::plots::{
    CITYSCAPES_COLORS, FeatureMap, ModelMaps, Occluded, Occlusion, Point, Scatter, Segmented,
    Squares, label_colors,
};
use wavemix::{DType, Module, Pass, Tensor};

use super::*;

/// A model with weights off their first values, and an image for it.
fn model(config: Config) -> (Saved, Tensor) {
    let (size, channels) = (config.size, config.channels);
    let (model, params) = config.build(DType::F32, &Rng::new(3)).unwrap();
    let image = [1, size, size, channels];
    let image = Tensor::normal(image, 0.0, 1.0, DType::F32, &Rng::new(4));
    let card = ImageMeta::default();
    (
        Saved {
            model,
            params,
            card,
        },
        image,
    )
}

fn small(name: &str) -> Config {
    Config {
        channels: 1,
        size: 16,
        ..Config::parse(name).unwrap()
    }
}

fn maps(saved: &Saved, image: &Tensor) -> Vec<FeatureMap> {
    FeatureMap::of(&saved.model, &saved.params, image).unwrap()
}

/// The head's answer to a map: the mean of each channel by a linear layer.
fn answer(saved: &Saved, map: &FeatureMap, head: &str) -> Vec<f32> {
    let [h, w, c] = map.size;
    let get = |name: &str| saved.params.get(&format!("{head}.{name}")).unwrap();
    let (weight, bias) = (get("weight"), get("bias").to_vec::<f32>().unwrap());
    let mean = |channel: usize| {
        let values = map.values.iter().skip(channel).step_by(c);
        values.sum::<f32>() / (h * w) as f32
    };
    let means: Vec<f32> = (0..c).map(mean).collect();
    // [outputs, c]
    let (outputs, weight) = (bias.len(), weight.to_vec::<f32>().unwrap());
    let product = |o: usize| (0..c).map(|i| means[i] * weight[o * c + i]).sum::<f32>();
    (0..outputs).map(|o| product(o) + bias[o]).collect()
}

/// The last map of a model with a pool behind its blocks is what its head answers to.
#[test]
fn maps_are_what_the_next_layer_gets() {
    let resnet = ResNet {
        block: ResidualBlock::Basic,
        blocks: [2, 1, 1, 1],
        widths: [4, 6, 8, 10],
        stem: Some(ResNetStem::Small),
    };
    let resnet = Config {
        channels: 1,
        size: 16,
        ..Config::of(resnet)
    };
    let stages = [[16, 16, 4], [16, 16, 4], [8, 8, 6], [4, 4, 8], [2, 2, 10]];
    let cases = [
        (
            small("WaveMixLite-8/3"),
            "pool.2",
            "layers.",
            vec![[16, 16, 8]; 3],
        ),
        (
            small("ConvMixer-8/2"),
            "head",
            "blocks.",
            vec![[16, 16, 8]; 2],
        ),
        (resnet, "fc", "layer", stages.to_vec()),
    ];
    for (config, head, prefix, sizes) in cases {
        let (saved, image) = model(config);
        let maps = maps(&saved, &image);
        let got: Vec<[usize; 3]> = maps.iter().map(|map| map.size).collect();
        assert_eq!(got, sizes, "{prefix}");
        assert!(
            maps.iter().all(|map| map.block.starts_with(prefix)),
            "{maps:?}"
        );
        let forward = saved
            .model
            .forward(&Pass::eval(&saved.params), &(&image).into());
        let logits = forward.unwrap().to_vec::<f32>().unwrap();
        let last = answer(&saved, maps.last().unwrap(), head);
        for (a, b) in last.iter().zip(&logits) {
            assert!(
                (a - b).abs() <= 1e-5 * (1.0 + b.abs()),
                "{prefix}: {last:?}, {logits:?}"
            );
        }
    }
}

/// Tokens are laid out as the square that they come from, without the class token.
#[test]
fn tokens_are_maps_too() {
    let config = Config {
        size: 8,
        ..small("ViT-8/2x2")
    };
    let (saved, image) = model(config);
    let maps = maps(&saved, &image);
    let got: Vec<(&str, [usize; 3])> = maps.iter().map(|m| (&*m.block, m.size)).collect();
    assert_eq!(got, [("blocks.0", [8, 8, 8]), ("blocks.1", [8, 8, 8])]);
    assert!(maps.iter().all(|map| map.values.len() == 512));
    let two = Tensor::zeros([2, 8, 8, 1], DType::F32);
    let said = FeatureMap::of(&saved.model, &saved.params, &two).unwrap_err();
    assert_eq!(
        said.to_string(),
        "feature maps are of one image [1, h, w, channels], got [2, 8, 8, 1]"
    );
}

/// Each probability is that of the image with the square set to 0.
#[test]
fn occlusion_hides_one_square_after_the_other() {
    let (saved, image) = model(small("WaveMixLite-8/1"));
    let squares = Squares { side: 4, step: 3 };
    let got = Occlusion::of(&saved, &image, 7, squares).unwrap();
    // Squares from 0, 3, 6, 9 and 12 on.
    assert_eq!((got.size, got.probabilities.len()), ([5, 5], 25));
    let of = |image: &Tensor| saved.probabilities(image).unwrap().to_vec::<f32>().unwrap();
    assert_eq!(got.whole, of(&image));
    for (row, column) in [(0, 0), (1, 4), (4, 2)] {
        let mut pixels = image.to_vec::<f32>().unwrap();
        for y in 3 * row..3 * row + 4 {
            pixels[16 * y + 3 * column..16 * y + 3 * column + 4].fill(0.0);
        }
        let hidden = of(&Tensor::from_vec(pixels, [1, 16, 16, 1]).unwrap())[7];
        let own = got.probabilities[5 * row + column];
        assert!(
            (own - hidden).abs() < 1e-6,
            "{row}, {column}: {own}, {hidden}"
        );
        assert_ne!(own, got.whole[7]);
    }
    let all = Squares { side: 16, step: 1 };
    let all = Occlusion::of(&saved, &image, 0, all).unwrap();
    let nothing = of(&Tensor::zeros([1, 16, 16, 1], DType::F32))[0];
    assert!((all.probabilities[0] - nothing).abs() < 1e-6);
    assert_eq!(Squares::for_images([32, 40]), Squares { side: 4, step: 2 });
    assert_eq!(Squares::for_images([3, 3]), Squares { side: 1, step: 1 });
    for (class, side, what) in [
        (10, 4, "class 10 is none of the model's 10"),
        (
            0,
            17,
            "squares of 17 pixels, 1 apart, cannot be hidden in an image of 16x16",
        ),
        (
            0,
            0,
            "squares of 0 pixels, 1 apart, cannot be hidden in an image of 16x16",
        ),
    ] {
        let squares = Squares { side, step: 1 };
        let said = Occlusion::of(&saved, &image, class, squares).unwrap_err();
        assert_eq!(said.to_string(), what);
    }
}

#[test]
fn labels_have_the_colours_of_their_classes() {
    let picture = label_colors(&[0, 18, 255, -1, 13, 19], [2, 3], &CITYSCAPES_COLORS).unwrap();
    let want = [
        [128, 64, 128],
        [119, 11, 32],
        [0; 3],
        [0; 3],
        [0, 0, 142],
        [0; 3],
    ];
    assert_eq!((picture.size, picture.pixels), ([2, 3, 3], want.concat()));
    assert!(label_colors(&[0; 5], [2, 3], &CITYSCAPES_COLORS).is_err());
}

fn picture(size: [usize; 3]) -> Picture {
    let pixels = (0..size.iter().product::<usize>()).map(|i| (3 * i) as u8);
    Picture {
        name: "a ramp".into(),
        size,
        pixels: pixels.collect(),
    }
}

/// The PNG beside a page: its size, and the colour of a pixel.
fn png_beside(name: &str, write: impl FnOnce(&Path) -> Result<()>) -> (String, Picture) {
    let mut beside = None;
    let text = written(name, |path| {
        write(path)?;
        let pictures = wavemix::data::read_pictures(path.with_extension("png"), 1, false)?;
        beside = pictures.into_iter().next();
        Ok(())
    });
    (text, beside.unwrap())
}

#[test]
fn pages_of_maps_show_every_block_of_each_model() {
    let (lite, image) = model(small("WaveMixLite-8/3"));
    let (mixer, _) = model(small("ConvMixer-8/2"));
    let (first, second) = (maps(&lite, &image), maps(&mixer, &image));
    let models = [
        ModelMaps {
            name: "WaveMixLite-8/3",
            maps: &first,
        },
        ModelMaps {
            name: "ConvMixer-8/2",
            maps: &second,
        },
    ];
    let own = picture([16, 16, 1]);
    let (svg, png) = png_beside("feature_maps.svg", |path| {
        plots::feature_maps(path, "Maps of a ramp", &own, &models)
    });
    let names = [
        "layers.0",
        "layers.2",
        "blocks.1",
        "16 x 16 x 8",
        "channel 4",
    ];
    has_all(&svg, &names);
    has_all(
        &svg,
        &[
            "Maps of a ramp",
            "WaveMixLite-8/3",
            "ConvMixer-8/2",
            "mean of all",
        ],
    );
    // The image, and six maps of each of five blocks.
    assert_eq!(svg.matches("<image ").count(), 1 + 6 * 5);
    let [height, width, _] = png.size;
    assert!(svg.contains(&format!("width=\"{width}\" height=\"{height}\"")));
    // The picture's corner stands at (30, 50), black; around it the page is white.
    let at = |x: usize, y: usize| &png.pixels[png.size[2] * (y * width + x)..][..1];
    assert_eq!((at(30, 50), at(29, 50)), (&[0][..], &[255][..]));
    let wrong = Picture {
        pixels: Vec::new(),
        ..own
    };
    assert!(plots::feature_maps("unwritten.svg", "", &wrong, &models).is_err());
    assert!(!Path::new("unwritten.svg").exists());
}

#[test]
fn pages_of_occlusion_have_a_number_for_each_square() {
    let (saved, image) = model(small("WaveMixLite-8/1"));
    let squares = Squares { side: 4, step: 3 };
    let occlusion = Occlusion::of(&saved, &image, 7, squares).unwrap();
    let own = picture([16, 16, 1]);
    let of = |predicted: &'static str| Occluded {
        image: &own,
        label: "seven",
        predicted: (predicted, 0.5),
        probability: 0.25,
        occlusion: &occlusion,
    };
    let (svg, _) = png_beside("occlusion.svg", |path| {
        plots::occlusion(path, "Hidden", &[of("seven"), of("one")])
    });
    has_all(&svg, &["seven: 25.0 % with nothing hidden"]);
    has_all(&svg, &["seven: 25.0 %; taken for one, 50.0 %"]);
    let number = format!(">{:.0}</text>", 100.0 * occlusion.probabilities[0]);
    assert!(svg.matches(&number).count() >= 2, "{number}");
    // A title, a line below it, and for each image two lines and 25 numbers.
    assert_eq!(svg.matches("<text ").count(), 2 + 2 * 27);
    assert_eq!(svg.matches(" with a square hidden</text>").count(), 2);
}

#[test]
fn pages_of_classes_have_a_legend() {
    let labels: Vec<i64> = (0..8 * 16).map(|i| i % 20).collect();
    let colors = |shift: i64| {
        let labels: Vec<i64> = labels.iter().map(|label| label + shift).collect();
        label_colors(&labels, [8, 16], &CITYSCAPES_COLORS).unwrap()
    };
    let row = || Segmented {
        image: picture([8, 16, 3]),
        truth: colors(0),
        predicted: colors(1),
        text: "image 0: 3.0 % right".into(),
    };
    let (svg, png) = png_beside("segmentation.svg", |path| {
        plots::segmentation(path, "Streets", &[row(), row()], &CITYSCAPES_COLORS)
    });
    has_all(&svg, &["image", "truth", "prediction", "road", "bicycle"]);
    assert_eq!(svg.matches("<image ").count(), 6);
    assert_eq!(png.size[2], 3);
    let none = plots::segmentation("unwritten.svg", "", &[], &CITYSCAPES_COLORS);
    assert_eq!(
        none.unwrap_err().to_string(),
        "segmentation: no image to draw"
    );
    let mut other = row();
    other.truth = picture([8, 8, 3]);
    assert!(plots::segmentation("unwritten.svg", "", &[row(), other], &CITYSCAPES_COLORS).is_err());
}

#[test]
fn points_stand_on_logarithmic_axes() {
    let point = |name: &str, x: f64, y: f64, series: usize| Point {
        name: name.into(),
        x,
        y,
        series,
    };
    let panel = Scatter {
        x: "parameters, millions".into(),
        y: "top-1 %".into(),
        series: vec!["printed".into(), "ours".into()],
        points: vec![
            point("small", 0.1, 60.0, 0),
            point("large", 10.0, 90.0, 0),
            point("between", 1.0, 75.0, 1),
            point("nowhere", 0.0, 75.0, 1),
        ],
    };
    let empty = Scatter {
        points: Vec::new(),
        ..panel.clone()
    };
    let svg = written("scatter.svg", |path| {
        plots::scatter(path, "Accuracy against size", &[panel, empty])
    });
    has_all(
        &svg,
        &[
            "small",
            "large",
            "between",
            "0.1",
            "1",
            "10",
            "no values yet",
        ],
    );
    has_all(
        &svg,
        &["parameters, millions", "top-1 %", "printed", "ours"],
    );
    assert!(!svg.contains("nowhere"));
    // The three points: the middle one halfway between the others, both ways.
    let circles: Vec<[f64; 2]> = svg
        .lines()
        .filter(|line| line.starts_with("<circle") && !line.contains("cy=\"46\""))
        .map(|line| {
            ["cx", "cy"].map(|name| {
                let value = line.split_once(&format!("{name}=\"")).unwrap().1;
                value.split_once('"').unwrap().0.parse().unwrap()
            })
        })
        .collect();
    let [[x0, y0], [x1, y1], [x2, y2]] = circles[..] else {
        panic!("{circles:?}")
    };
    assert!((x2 - (x0 + x1) / 2.0).abs() < 0.02 && (y2 - (y0 + y1) / 2.0).abs() < 0.02);
    assert!(x0 < x1 && y0 > y1);
}
