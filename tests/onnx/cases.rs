//! The models that are exported: each family, and each variant that has other ops.

use wavemix::models::{Architecture, Config, Model, ResNet, Task, UNetEncoder};
use wavemix::{DType, Params, Rng, Tensor};

/// Models that take images of one size only.
const FIXED: [&str; 5] = ["MLP-Mixer", "2D-MLP-Mixer", "ViT", "CCT", "HybridViN"];

/// A small model of each family, for what it does by itself, and variants by their settings.
const CLASSIFIERS: [&str; 35] = [
    "WaveMixLite-8/2",
    "WaveMixLite-8/1 stem=patchify:4",
    "WaveMixLite-8/1 stem=patchify:3",
    "WaveMixLite-8/1 stem=strided:1,1",
    "WaveMixLite-8/1 mixing=cascade:2",
    "WaveMixLite-8/1 mixing=cascade:4",
    "WaveMixLite-8/1 mixing=cascade:3 stem=patchify:4",
    "WaveMixLite-8/1 mixing=level:1",
    "WaveMixLite-8/1 mixing=level:2",
    "WaveMixLite-8/1 mixing=level:4",
    "WaveMixLite-8/1 mixing=cascade:2 resize=nearest",
    "WaveMixLite-8/1 mixing=level:3 resize=bilinear",
    "WaveMixLite-8/1 resize=bilinear",
    "WaveMixLite-8/1 resize=bicubic",
    "WaveMixLite-8/1 resize=idwt",
    "WaveMixLite-8/1 mixing=identity",
    "WaveMixLite-8/1 mixing=maxpool",
    "WaveMixLite-8/1 mixing=dft",
    "WaveMix-8/1",
    "WaveMix-16/1 levels=4",
    "ResNet-18",
    "ResNet-50",
    "MobileNetV2-0.25",
    "ConvMixer-8/1",
    "ConvMixer-8/1 kernel=8",
    "2D-FNet-8/1",
    "MLP-Mixer-8/1",
    "2D-MLP-Mixer-8/1",
    "ViT-8/1x2",
    "ViT-Lite-8/1x2",
    "CCT-8/2x2",
    "CvT-8/3x2",
    "CvT-8/3x1 kv_strides=2,1,2",
    "CPV-8/1x2",
    "HybridViN-8/1x2 landmarks=7",
];

/// Those that label pixels.
const SEGMENTERS: [&str; 9] = [
    "WaveMixLite-8/1 stem=strided:2,2",
    "WaveMixLite-8/1 stem=patchify:4",
    "WaveMix-8/1",
    "ConvMixer-8/1",
    "UNet-ResNet-18",
    "UNet-MobileNetV2",
    "DeepLabV2-ResNet-18",
    "SegFormer-B0",
    "SegFormer",
];

/// Few channels, where the name does not say how many.
fn narrow(architecture: &mut Architecture) {
    let resnet = |resnet: &mut ResNet| resnet.widths = [4, 4, 6, 8];
    match architecture {
        Architecture::ResNet(own) => resnet(own),
        Architecture::DeepLabV2(own) => resnet(&mut own.backbone),
        Architecture::UNet(own) => {
            own.decoder = [8, 6, 4, 4, 3];
            if let UNetEncoder::ResNet(own) = &mut own.encoder {
                resnet(own);
            }
        }
        Architecture::SegFormer(own) => {
            (own.dims, own.heads, own.decoder) = ([4, 6, 8, 10], [1, 2, 4, 5], 8);
        }
        Architecture::SegFormerPackage(own) => {
            (own.dims, own.heads, own.decoder) = ([4, 6, 8, 10], [1, 2, 4, 5], 8);
        }
        _ => {}
    }
}

/// A model to be exported.
pub struct Case {
    /// Its name, settings and task.
    pub name: String,
    pub config: Config,
    /// Whether it takes images of any size.
    pub any_size: bool,
}

fn case(text: &str, task: Task, what: &str) -> Case {
    let mut parts = text.split(' ');
    let mut config = Config::parse(parts.next().unwrap()).unwrap();
    for part in parts {
        let (setting, value) = part.split_once('=').unwrap();
        config = config.with(setting, value).unwrap();
    }
    config.task = task;
    narrow(&mut config.architecture);
    Case {
        name: format!("{text}, {what}"),
        any_size: !FIXED.iter().any(|family| text.starts_with(family)),
        config,
    }
}

/// All of them.
pub fn all() -> Vec<Case> {
    let classify = |text: &&str| case(text, Task::Classify { classes: 5 }, "classes");
    let segment = |text: &&str| case(text, Task::Segment { classes: 3 }, "pixels");
    let upscale = ["WaveMixLite-8/1", "WaveMixLite-8/1 mixing=cascade:2"];
    let upscale = upscale.map(|text| case(text, Task::Upscale { channels: 3 }, "larger"));
    let all = CLASSIFIERS
        .iter()
        .map(classify)
        .chain(SEGMENTERS.iter().map(segment));
    all.chain(upscale).collect()
}

/// A model whose weights and statistics are all away from where they begin.
pub fn trained(config: &Config) -> (Model, Params) {
    let (model, mut params) = config.build(DType::F32, &Rng::new(1)).unwrap();
    let entries = params
        .entries()
        .iter()
        .map(|entry| (entry.name.clone(), entry.shape));
    let buffers = params
        .buffers()
        .iter()
        .map(|(name, value)| (name.clone(), *value.shape()));
    let vectors = entries.chain(buffers).filter(|(_, shape)| shape.len() == 1);
    for (i, (name, shape)) in vectors.collect::<Vec<_>>().into_iter().enumerate() {
        let rng = Rng::new(2).child(i as u64);
        let value = match &*name {
            name if name.ends_with("running_var") || name.ends_with("weight") => {
                Tensor::uniform(shape, 0.5, 2.0, DType::F32, &rng)
            }
            _ => Tensor::normal(shape, 0.0, 0.3, DType::F32, &rng),
        };
        params.set(&name, &value).unwrap();
    }
    (model, params)
}

#[test]
fn no_family_is_left_out() {
    let cases = all();
    for form in wavemix::models::names().split("; ") {
        let start = form.split(['<', ',']).next().unwrap();
        assert!(
            cases.iter().any(|case| case.name.starts_with(start)),
            "{form}"
        );
    }
}
