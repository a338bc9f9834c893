//! Settings of every family that nobody should give, and somebody will.

use super::*;

/// A small model of each family.
const NAMES: [&str; 20] = [
    "WaveMixLite-8/1",
    "WaveMix-8/1",
    "ResNet-18",
    "MobileNetV2-0.25",
    "ConvMixer-8/1",
    "2D-FNet-8/1",
    "MLP-Mixer-8/1",
    "2D-MLP-Mixer-8/1",
    "ViT-8/1x2",
    "ViT-1/4",
    "ViT-Lite-8/1x2",
    "CCT-8/1x2",
    "CvT-8/10x2",
    "CPV-8/1x2",
    "HybridViN-8/1x2",
    "UNet-ResNet-18",
    "DeepLabV2-ResNet-18",
    "SegFormer-B0",
    "SegFormer",
    "UNet-MobileNetV2",
];

/// A large prime number: what is looked for among the divisors of a size is not found soon.
const PRIME: usize = (1 << 61) - 1;

/// The model for what it does by itself, 10 classes of images or of pixels.
fn of(name: &str) -> Config {
    Config::parse(name).unwrap()
}

/// Whether the configuration may be computed with; if not, nothing else takes it.
fn is_taken(config: &Config) -> bool {
    let Err(why) = config.check() else {
        return true;
    };
    let built = config.build(DType::F32, &Rng::new(0));
    assert_eq!(built.err().unwrap().to_string(), why.to_string());
    assert!(Config::from_json(&config.to_json()).is_err(), "{config:?}");
    false
}

#[test]
fn no_family_is_left_out() {
    for form in wavemix::models::names().split("; ") {
        let start = form.split(['<', ',']).next().unwrap();
        let found = NAMES.iter().any(|name| name.starts_with(start));
        assert!(found, "{form}");
    }
}

#[test]
fn images_of_any_size_are_named_before_anything_is_computed_from_them() {
    for name in NAMES {
        let base = of(name);
        for size in [0, 65537, PRIME, usize::MAX] {
            let config = Config {
                size,
                ..base.clone()
            };
            let expected = format!("{name}: the size must be between 1 and 65536, got {size}");
            assert_eq!(config.check().unwrap_err().to_string(), expected);
            assert!(!is_taken(&config));
            // The names of its settings, with those that the size decides.
            assert!(config.with("no such setting", 1).is_err(), "{name}");
        }
        for channels in [0, 65537, usize::MAX] {
            let config = Config {
                channels,
                ..base.clone()
            };
            assert!(!is_taken(&config), "{config:?}");
            for task in [
                Task::Classify { classes: channels },
                Task::Segment { classes: channels },
                Task::Upscale { channels },
            ] {
                let config = Config {
                    task,
                    ..base.clone()
                };
                assert!(!is_taken(&config), "{config:?}");
            }
        }
        for dropout in [-0.5, 1.0, f64::INFINITY, f64::NAN] {
            let config = Config {
                dropout,
                ..base.clone()
            };
            assert!(config.check().is_err(), "{config:?}");
        }
    }
}

#[test]
fn settings_of_any_family_are_named_before_anything_is_computed_from_them() {
    let huge = usize::MAX.to_string();
    let mut refused = 0;
    for name in NAMES {
        let base = of(name);
        for (setting, default) in base.settings() {
            let set = |value: &str| base.clone().with(setting, value);
            // A number, or what is written as numbers with commas between them.
            let values = match default.as_str() {
                Some(text) if text.starts_with(|c: char| c.is_ascii_digit()) => {
                    let rest = text.trim_start_matches(|c: char| c.is_ascii_digit());
                    let with = |value: &str| format!("{value}{rest}");
                    vec![with("0"), with("65537"), with(&huge), String::new()]
                }
                Some(_) => vec!["no such choice".into(), "0".into(), huge.clone()],
                None => vec!["0".into(), "65537".into(), huge.clone(), "-1".into()],
            };
            for value in values {
                let taken = set(&value).is_ok_and(|config| is_taken(&config));
                // As what keeps a division from 0 it may be 0 itself.
                let may_be = (setting, &*value) == ("eps", "0");
                assert!(!taken || may_be, "{name} with {setting} {value}");
                refused += usize::from(!taken);
            }
            // What is taken gives a table or an error.
            for value in ["1", "3", "32", "33"] {
                if let Ok(config) = set(value)
                    && is_taken(&config)
                {
                    _ = config.summary([32, 32], Precision::F32);
                }
            }
        }
    }
    assert!(refused > 100, "{refused}");
}

#[test]
fn names_with_any_numbers_are_read_or_refused() {
    let numbers = ["0", "65537", "18446744073709551615", "99999999999999999999"];
    for name in NAMES {
        // What ends in numbers; the width of MobileNetV2 is no whole one: see below.
        let Some((family, sizes)) = name.rsplit_once('-').filter(|(_, sizes)| {
            sizes.starts_with(|c: char| c.is_ascii_digit()) && !sizes.contains('.')
        }) else {
            continue;
        };
        for at in 0..sizes.split(['/', 'x']).count() {
            for number in numbers {
                let mut rest = sizes;
                let mut changed = String::new();
                for i in 0.. {
                    let end = rest.find(['/', 'x']).unwrap_or(rest.len());
                    changed += if i == at { number } else { &rest[..end] };
                    changed += rest.get(end..end + 1).unwrap_or_default();
                    let Some(next) = rest.get(end + 1..) else {
                        break;
                    };
                    rest = next;
                }
                let changed = format!("{family}-{changed}");
                // Some families have a model without blocks.
                let without_blocks = at == 1 && number == "0";
                match Config::parse(&changed) {
                    Ok(config) => {
                        assert!(without_blocks, "{changed} is read");
                        config.summary([32, 32], Precision::F32).unwrap();
                    }
                    Err(error) => {
                        let said = error.to_string();
                        let named = said.contains(&changed) || said.starts_with(family);
                        assert!(named, "{changed}: {said}");
                    }
                }
            }
        }
    }
    for width in ["-1", "NaN", "inf", "1e300", "1e-300"] {
        if let Ok(config) = Config::parse(&format!("MobileNetV2-{width}")) {
            config.summary([32, 32], Precision::F32).unwrap();
        }
    }
}
