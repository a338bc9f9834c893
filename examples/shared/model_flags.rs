//! Flags that describe a model: those that `summary` and `convert` share.

use clap::{Arg, ArgAction, ArgMatches, value_parser};
use wavemix::models::{Config, Task};
use wavemix::{Error, Result};

/// A flag that takes a number.
pub fn number(name: &'static str, help: &'static str) -> Arg {
    let range = value_parser!(u64).range(1..=1 << 16);
    Arg::new(name).long(name).value_name("N").value_parser(range).help(help)
}

/// The images, the task and single settings.
pub fn flags() -> [Arg; 5] {
    let outputs = "Classes, or output channels when upscaling [default: 10; 3 when upscaling]";
    let task = "The task [default: classify, or segment where the model does nothing else]";
    [
        number("channels", "Channels of the images").default_value("3"),
        number("classes", outputs),
        number("size", "Height and width of the images").default_value("32"),
        Arg::new("set")
            .long("set")
            .value_name("NAME=VALUE")
            .action(ArgAction::Append)
            .help("A setting of the model, of those that the first line of summary lists"),
        Arg::new("head")
            .long("head")
            .value_name("TASK")
            .value_parser(["classify", "segment", "upscale"])
            .help(task),
    ]
}

/// The model of this name with what [`flags`] say of it; `--set` comes behind the settings that flags
/// of the program's own stand for.
pub fn config(name: &str, own: Vec<(&str, String)>, m: &ArgMatches) -> Result<Config> {
    let number = |name: &str| m.get_one::<u64>(name).map(|&n| n as usize);
    let mut config = Config::parse(name)?;
    config.task = match m.get_one::<String>("head").map(String::as_str) {
        Some("segment") => Task::Segment { classes: 10 },
        Some("upscale") => Task::Upscale { channels: 3 },
        Some(_) => Task::Classify { classes: 10 },
        None => config.task,
    };
    config.channels = number("channels").unwrap_or(3);
    config.size = number("size").unwrap_or(32);
    if let Some(outputs) = number("classes") {
        config = config.with_outputs(outputs);
    }
    for (name, value) in own {
        config = config.with(name, value)?;
    }
    for setting in m.get_many::<String>("set").into_iter().flatten() {
        let (name, value) = setting
            .split_once('=')
            .ok_or_else(|| Error::Argument(format!("--set takes NAME=VALUE, got `{setting}`")))?;
        config = config.with(name, value)?;
    }
    Ok(config)
}
