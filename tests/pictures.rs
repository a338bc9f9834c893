//! Pictures that a trained model is given: transparent PNGs, JPEGs, images in IDX files, and formats
//! that are not read.

mod files;
#[path = "pictures/folders.rs"]
mod folders;
#[path = "pictures/jpegs.rs"]
mod jpegs;

use std::borrow::Cow;
use std::path::Path;

use files::*;
use png::{BitDepth, ColorType};
use wavemix::data::{Picture, Preparation, Source, Split, read_pictures, transposed_by_name};
use wavemix::io::weights;
use wavemix::models::{Config, ImageMeta, Saved, Task};
use wavemix::{DType, Rng};

/// A PNG of `[height, width]` with these bytes, palette and transparency.
fn png(
    size: [u32; 2],
    color: ColorType,
    depth: BitDepth,
    bytes: &[u8],
    palette: &[u8],
    trns: &[u8],
) -> Vec<u8> {
    let mut out = Vec::new();
    let mut encoder = png::Encoder::new(&mut out, size[1], size[0]);
    encoder.set_color(color);
    encoder.set_depth(depth);
    if !palette.is_empty() {
        encoder.set_palette(Cow::Borrowed(palette));
    }
    if !trns.is_empty() {
        encoder.set_trns(Cow::Borrowed(trns));
    }
    encoder
        .write_header()
        .unwrap()
        .write_image_data(bytes)
        .unwrap();
    out
}

fn read(bytes: &[u8]) -> Picture {
    let folder = Folder::new(&format!("png-{:?}", std::thread::current().id()));
    let path = folder.write("picture.png", bytes);
    read_pictures(&path, 1, false).unwrap().remove(0)
}

/// A row of six pixels, opacity and tone of each: nothing, ink, nothing, half ink, a quarter of
/// ink, nothing.
fn stroke(ink: u8) -> [[u8; 2]; 6] {
    // What is not seen may have any tone.
    [[0, 90], [255, ink], [0, 200], [128, ink], [64, ink], [0, 0]]
}

/// 255 where there is paper, 0 where there is ink, by the opacity of the ink: 255 - opacity.
const ON_WHITE: [u8; 6] = [255, 0, 255, 127, 191, 255];

#[test]
fn ink_on_a_transparent_ground_stays_visible() {
    for (ink, want) in [(0, ON_WHITE), (255, ON_WHITE.map(|v| 255 - v))] {
        let grey: Vec<u8> = stroke(ink)
            .iter()
            .flat_map(|&[opacity, tone]| [tone, opacity])
            .collect();
        let rgba: Vec<u8> = stroke(ink)
            .iter()
            .flat_map(|&[opacity, tone]| [tone, tone, tone, opacity])
            .collect();
        let coloured = want.iter().flat_map(|&v| [v; 3]).collect::<Vec<u8>>();
        let double = |bytes: &[u8]| bytes.iter().flat_map(|&v| [v, v]).collect::<Vec<u8>>();
        let picture = read(&png(
            [1, 6],
            ColorType::GrayscaleAlpha,
            BitDepth::Eight,
            &grey,
            &[],
            &[],
        ));
        assert_eq!(
            (picture.size, &picture.pixels[..]),
            ([1, 6, 1], &want[..]),
            "grey and alpha, ink {ink}"
        );
        // Inverted afterwards, the ground changes with the ink.
        assert_eq!(picture.inverted().pixels, want.map(|v| 255 - v));
        let picture = read(&png(
            [1, 6],
            ColorType::Rgba,
            BitDepth::Eight,
            &rgba,
            &[],
            &[],
        ));
        assert_eq!(
            (picture.size, picture.pixels),
            ([1, 6, 3], coloured.clone()),
            "RGBA, ink {ink}"
        );
        let picture = read(&png(
            [1, 6],
            ColorType::GrayscaleAlpha,
            BitDepth::Sixteen,
            &double(&grey),
            &[],
            &[],
        ));
        assert_eq!(picture.pixels, want, "grey and alpha of 16 bits, ink {ink}");
        let picture = read(&png(
            [1, 6],
            ColorType::Rgba,
            BitDepth::Sixteen,
            &double(&rgba),
            &[],
            &[],
        ));
        assert_eq!(picture.pixels, coloured, "RGBA of 16 bits, ink {ink}");
        // A palette of four: nothing, ink, half ink, a quarter of ink; two bits a pixel, the last
        // bits unused.
        let palette = [[90; 3], [ink; 3], [ink; 3], [ink; 3]].concat();
        let indices = [0b00_01_00_10, 0b11_00_00_00];
        let picture = read(&png(
            [1, 6],
            ColorType::Indexed,
            BitDepth::Two,
            &indices,
            &palette,
            &[0, 255, 128, 64],
        ));
        assert_eq!(picture.pixels, coloured, "palette, ink {ink}");
    }
}

/// One tone or colour of a PNG without alpha is declared transparent: here what lies around two
/// pixels of ink.
#[test]
fn a_transparent_colour_is_no_ink() {
    for (ink, ground) in [(0u8, 255u8), (255, 0)] {
        let row = [90, ink, 90, ink, 90, 90];
        let want = row.map(|v| if v == 90 { ground } else { v });
        let picture = read(&png(
            [1, 6],
            ColorType::Grayscale,
            BitDepth::Eight,
            &row,
            &[],
            &[0, 90],
        ));
        assert_eq!(
            (picture.size, &picture.pixels[..]),
            ([1, 6, 1], &want[..]),
            "grey, ink {ink}"
        );
        let rgb: Vec<u8> = row.iter().flat_map(|&v| [v, v / 2, v]).collect();
        let picture = read(&png(
            [1, 6],
            ColorType::Rgb,
            BitDepth::Eight,
            &rgb,
            &[],
            &[0, 90, 0, 45, 0, 90],
        ));
        let coloured: Vec<u8> = row
            .iter()
            .flat_map(|&v| if v == 90 { [ground; 3] } else { [v, v / 2, v] })
            .collect();
        assert_eq!(picture.pixels, coloured, "RGB, ink {ink}");
        // In 16 bits a colour is compared with all of its bits: 90 * 256 + 7 is not transparent.
        let wide: Vec<u8> = row
            .iter()
            .enumerate()
            .flat_map(|(i, &v)| [v, if i == 0 { 7 } else { 0 }])
            .collect();
        let picture = read(&png(
            [1, 6],
            ColorType::Grayscale,
            BitDepth::Sixteen,
            &wide,
            &[],
            &[90, 0],
        ));
        let with_one = [[90].as_slice(), &want[1..]].concat();
        assert_eq!(picture.pixels, with_one, "grey of 16 bits, ink {ink}");
        // One bit: white is transparent around black ink, or the reverse.
        let bits = if ink == 0 {
            0b101011 << 2
        } else {
            0b010100 << 2
        };
        let picture = read(&png(
            [1, 6],
            ColorType::Grayscale,
            BitDepth::One,
            &[bits],
            &[],
            &[0, u8::from(ink == 0)],
        ));
        assert_eq!(picture.pixels, want, "one bit, ink {ink}");
    }
}

#[test]
fn a_page_with_transparent_corners_keeps_its_paper() {
    for paper in [255u8, 0] {
        let mut pixels = [[paper, 255]; 64];
        [0, 7, 56, 63]
            .iter()
            .for_each(|&corner| pixels[corner] = [128, 0]);
        [20, 28, 36]
            .iter()
            .for_each(|&ink| pixels[ink] = [255 - paper, 255]);
        let picture = read(&png(
            [8, 8],
            ColorType::GrayscaleAlpha,
            BitDepth::Eight,
            pixels.as_flattened(),
            &[],
            &[],
        ));
        let inked = picture.pixels.iter().filter(|&&v| v != paper).count();
        assert_eq!(inked, 3, "paper {paper}: {:?}", picture.pixels);
    }
    // A bold stroke that fills most of its picture is still ink, and a picture without any
    // transparency is left alone.
    let bold: Vec<u8> = (0..16)
        .flat_map(|i| [0, if i % 4 == 0 { 0 } else { 255 }])
        .collect();
    let picture = read(&png(
        [4, 4],
        ColorType::GrayscaleAlpha,
        BitDepth::Eight,
        &bold,
        &[],
        &[],
    ));
    assert_eq!(picture.pixels, [255, 0, 0, 0].repeat(4));
    // Whatever tone the pixels have that are not seen.
    let hidden: Vec<u8> = (0..16)
        .flat_map(|i| if i % 4 == 0 { [255, 0] } else { [0, 255] })
        .collect();
    let picture = read(&png(
        [4, 4],
        ColorType::GrayscaleAlpha,
        BitDepth::Eight,
        &hidden,
        &[],
        &[],
    ));
    assert_eq!(picture.pixels, [255, 0, 0, 0].repeat(4));
    let photo: Vec<u8> = (0..16).flat_map(|i| [17 * i, 255]).collect();
    let picture = read(&png(
        [4, 4],
        ColorType::GrayscaleAlpha,
        BitDepth::Eight,
        &photo,
        &[],
        &[],
    ));
    assert_eq!(picture.pixels, (0..16).map(|i| 17 * i).collect::<Vec<u8>>());
}

#[test]
fn other_formats_are_called_by_their_names() {
    let formats: [(&[u8], &str); 9] = [
        (b"RIFF\x24\0\0\0WEBPVP8 ", "a WebP picture"),
        (b"BM\x36\0\0\0\0\0\0\0\x36\0", "a BMP picture"),
        (b"GIF89a\x01\0\x01\0", "a GIF picture"),
        (b"II*\0\x08\0\0\0", "a TIFF picture"),
        (b"MM\0*\0\0\0\x08", "a TIFF picture"),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1", "a HEIC or AVIF picture"),
        (b"\0\0\0\x1Cftypavif\0\0\0\0avif", "a HEIC or AVIF picture"),
        (b"%PDF-1.7\n", "a PDF document"),
        (
            b"<svg xmlns=\"http://www.w3.org/2000/svg\">",
            "an SVG drawing",
        ),
    ];
    let folder = Folder::new("formats");
    for (bytes, name) in formats {
        // Whatever they are called.
        let path = folder.write("picture.png", bytes);
        let said = read_pictures(&path, 1, false).unwrap_err().to_string();
        assert_eq!(
            said,
            format!(
                "{}: is {name}; what is read are PNG and JPEG pictures and IDX files",
                path.display()
            )
        );
    }
    let path = folder.write("picture.png", b"\x89PNG\r\n\x1A\n");
    let said = read_pictures(&path, 1, false).unwrap_err().to_string();
    assert!(said.contains("is not a PNG that can be read: "), "{said}");
}

/// What prediction reads of an IDX file is what training reads of it.
#[test]
fn idx_images_are_as_upright_for_prediction_as_for_training() {
    for source in [Source::Emnist(Split::Balanced), Source::Mnist] {
        let folder = Folder::new(&format!("upright-{source}"));
        let stems = if source == Source::Mnist {
            ["train", "t10k"]
        } else {
            ["emnist-balanced-train", "emnist-balanced-test"]
        };
        idx_set(&folder, stems, 4, 0, gzip, ".gz");
        let test = source.load_test(folder.path()).unwrap();
        let file = folder
            .path()
            .join(format!("{}-images-idx3-ubyte.gz", stems[1]));
        assert_eq!(transposed_by_name(&file), Some(source.is_transposed()));
        for transposed in [source.is_transposed(), !source.is_transposed()] {
            let pictures = read_pictures(&file, 10, transposed).unwrap();
            assert_eq!(pictures.len(), 4);
            for (i, picture) in pictures.iter().enumerate() {
                let same = (picture.size, &picture.pixels[..]) == (test.size, test.image(i));
                assert_eq!(
                    same,
                    transposed == source.is_transposed(),
                    "{source}, image {i}, transposed: {transposed}"
                );
            }
        }
    }
    for (name, transposed) in [
        ("x/EMNIST-letters-test-images.idx3-ubyte", Some(true)),
        ("t10k-images.idx3-ubyte.gz", Some(false)),
        ("my-images.idx", None),
    ] {
        assert_eq!(transposed_by_name(Path::new(name)), transposed, "{name}");
    }
}

/// A weight file says what its model was trained on; one without that, of an earlier version, means
/// row by row.
#[test]
fn a_weight_file_knows_what_its_model_was_trained_on() {
    let folder = Folder::new("card");
    let path = folder.path().join("model.safetensors");
    let config = Config {
        channels: 1,
        size: 28,
        task: Task::Classify { classes: 2 },
        ..Config::parse("WaveMixLite-8/1").unwrap()
    };
    let (_, params) = config.build(DType::F32, &Rng::new(0)).unwrap();
    let card = ImageMeta {
        classes: vec!["a".into(), "b".into()],
        mean: vec![0.25],
        std: vec![0.5],
        trained_on: "EMNIST letters, training".into(),
        data_set: "emnist-letters".into(),
        transposed: true,
        preparation: Some(Preparation::CentreCrop(32)),
    };
    weights::save(&path, &params, &card.to_metadata(&config)).unwrap();
    assert_eq!(Saved::load(&path, None).unwrap().card, card);
    let mut metadata = card.to_metadata(&config);
    metadata.insert(
        "images".into(),
        r#"{"classes": ["a", "b"], "mean": [0.25], "std": [0.5]}"#.into(),
    );
    weights::save(&path, &params, &metadata).unwrap();
    for (images, what) in [
        (r#"{"data_set": 7}"#, "`data_set` is not text"),
        (
            r#"{"transposed": "yes"}"#,
            "`transposed` is neither true nor false",
        ),
        (
            r#"{"preparation": "torn"}"#,
            "`preparation` is \"torn\", which is unknown",
        ),
        (
            r#"{"preparation": {"shorter_side": 27}}"#,
            "28x28 pixels cannot be cut out of a picture whose shorter side has 27",
        ),
    ] {
        let mut wrong = metadata.clone();
        wrong.insert("images".into(), images.into());
        weights::save(folder.path().join("wrong.safetensors"), &params, &wrong).unwrap();
        let said = Saved::load(folder.path().join("wrong.safetensors"), None)
            .err()
            .unwrap()
            .to_string();
        assert!(
            said.ends_with(&format!("its metadata `images`: {what}")),
            "{said}"
        );
    }
    let old = ImageMeta {
        trained_on: String::new(),
        data_set: String::new(),
        transposed: false,
        preparation: None,
        ..card
    };
    assert_eq!(Saved::load(&path, None).unwrap().card, old);
}

/// A picture is given to a model as training gave it others, as the weight file says; where that is
/// of an earlier version, as then.
#[test]
fn pictures_are_prepared_as_in_training() {
    let config = Config {
        channels: 3,
        size: 4,
        task: Task::Classify { classes: 2 },
        ..Config::parse("WaveMixLite-8/1").unwrap()
    };
    let picture = Picture {
        name: "wide".into(),
        size: [6, 11, 3],
        pixels: (0..6 * 11 * 3).map(|i| (i * 37 % 251) as u8).collect(),
    };
    let image = |preparation, data_set: &str| {
        let params = config.build(DType::F32, &Rng::new(0)).unwrap().1;
        let card = ImageMeta {
            mean: vec![0.25],
            std: vec![0.5],
            data_set: data_set.into(),
            preparation,
            ..ImageMeta::default()
        };
        let metadata = card.to_metadata(&config);
        let folder = Folder::new("prepared");
        let path = folder.path().join("model.safetensors");
        weights::save(&path, &params, &metadata).unwrap();
        let saved = Saved::load(&path, None).unwrap();
        saved.image(picture.clone()).unwrap().to_vec::<f32>()
    };
    let made = |how: Option<Preparation>| {
        let picture = picture.clone();
        let picture = how.map_or(Ok(picture.clone()), |how| picture.prepared(how, [4, 4]));
        let tensor = picture.unwrap().to_tensor([4, 4], 3, &[0.25], &[0.5]);
        tensor.unwrap().to_vec::<f32>().unwrap()
    };
    let (crop, stretched) = (Preparation::CentreCrop(5), Preparation::Stretched);
    let all = [made(Some(crop)), made(Some(stretched)), made(None)];
    assert!(all[0] != all[1] && all[1] != all[2] && all[0] != all[2]);
    for (preparation, data_set, want) in [
        (Some(crop), "", 0),
        (Some(stretched), "", 1),
        (None, "", 1),
        (Some(crop), "places365", 0),
        (Some(stretched), "places365", 1),
        (None, "emnist-letters", 2),
    ] {
        let got = image(preparation, data_set).unwrap();
        assert!(got == all[want], "{preparation:?} {data_set}");
    }
}
