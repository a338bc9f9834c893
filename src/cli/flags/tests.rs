//! Every flag of the table: parsed, shown by help, kept in `config.json` and read again.

use std::path::Path;

use serde_json::{Map, Value, json};

use super::command;
use crate::cli::kept::TRANSIENT;
use crate::cli::{Job, Settings};
use crate::data::{Source, Split};

/// A value for each flag, other than its default, in the order of the table; none for a switch.
const EXAMPLES: [(&str, Option<&str>); 37] = [
    ("data", Some("other")),
    ("download", None),
    ("split", Some("letters")),
    ("train-on", Some("builtin")),
    ("limit", Some("100")),
    ("channels", Some("3")),
    ("augment", None),
    ("model", Some("WaveMix-16/2")),
    ("stem", Some("strided:2,1")),
    ("ff", Some("24")),
    ("mult", Some("3")),
    ("upsample", Some("nearest")),
    ("level", Some("2")),
    ("cascade", Some("2")),
    ("dropout", Some("0.25")),
    ("set", Some("mult=4 ff=12")),
    ("epochs", Some("7")),
    ("stop-after", Some("2")),
    ("batch-size", Some("8")),
    ("lr", Some("0.5")),
    ("weight-decay", Some("0.1")),
    ("optimizer", Some("lion")),
    ("schedule", Some("constant")),
    ("protocol", Some("papers")),
    ("loss", Some("focal")),
    ("ema", Some("0.99")),
    ("select-on-test", None),
    ("seed", Some("7")),
    ("device", Some("cpu")),
    ("precision", Some("bf16")),
    ("max-batch", None),
    ("threads", Some("1")),
    ("out", Some("results")),
    ("force", None),
    ("tensorboard", None),
    ("profile", Some("3")),
    ("evaluate", Some("weights")),
];

const JOB: Job = Job {
    name: "flags",
    about: "Parsed, never run.",
    splits: &[
        ("mnist", Source::Mnist),
        ("letters", Source::Emnist(Split::Letters)),
    ],
    model: "WaveMixLite-8/1",
    stem: Some("patchify:2"),
    batch_size: "16",
    epochs: "3",
    dropout: "0.2",
    lr: 0.01,
    glyphs: [10, 2],
    mirrors: false,
};

/// Settings of a new or resumed run.
fn parse(arguments: &[&str]) -> crate::Result<Settings> {
    let arguments = [&["flags"], arguments].concat();
    Settings::parse(&JOB, arguments.into_iter().map(Into::into)).map(Option::unwrap)
}

/// The settings that a run in `folder` goes on with.
fn resumed(folder: &Path, flags: &Map<String, Value>) -> Settings {
    let config = json!({ "example": JOB.name, "settings": flags }).to_string();
    std::fs::write(folder.join("config.json"), config).unwrap();
    let settings = parse(&["--resume", folder.to_str().unwrap()]).unwrap();
    assert!(settings.resume && settings.out.as_deref() == Some(folder));
    Settings {
        resume: false,
        out: None,
        ..settings
    }
}

/// All settings but the list of flags for `config.json`.
fn values(settings: Settings) -> String {
    let flags = Map::new();
    format!("{:?}", Settings { flags, ..settings })
}

#[test]
fn every_flag_has_an_example_and_stands_in_help() {
    let mut command = command(&JOB);
    // The other test resumes a run for every flag.
    let table: Vec<&str> = command
        .get_arguments()
        .map(|flag| flag.get_id().as_str())
        .filter(|flag| *flag != "resume")
        .collect();
    let examples = EXAMPLES.map(|(flag, _)| flag);
    assert_eq!(table, examples);
    let help = command.render_help().to_string();
    for flag in examples {
        assert!(help.contains(&format!(" --{flag}")), "--{flag}");
    }
}

#[test]
fn every_flag_sets_something_and_is_kept_unless_transient() {
    let folder = std::env::temp_dir().join(format!("wavemix-flags-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    // With --data, without which --train-on is an error.
    let plain = || parse(&["--data=sets"]).unwrap();
    for (flag, value) in EXAMPLES {
        let argument = value.map_or(format!("--{flag}"), |value| format!("--{flag}={value}"));
        let given = parse(&["--data=sets", &argument]).unwrap();
        let again = format!("{:?}", resumed(&folder, &given.flags));
        if TRANSIENT.contains(&flag) {
            assert_eq!(again, format!("{:?}", plain()), "{argument}");
        } else {
            assert_eq!(again, format!("{given:?}"), "{argument}");
        }
        // The defaults of these depend on the machine, and may be the example.
        if !["device", "threads"].contains(&flag) {
            assert_ne!(values(given), values(plain()), "{argument}");
        }
        let beside = parse(&["--resume", folder.to_str().unwrap(), &argument]);
        let known = [
            "data",
            "device",
            "threads",
            "stop-after",
            "profile",
            "tensorboard",
        ];
        let allowed = known.contains(&flag);
        assert_eq!(beside.is_ok(), allowed, "{argument} beside --resume");
    }
    std::fs::remove_dir_all(&folder).unwrap();
}
