//! The nine programs of a user: each does what it says, and is short enough to be read in one go.

use super::*;

/// Lines of each without blanks, comments and imports.
const LONGEST: [(&str, usize); 9] = [
    ("own_model", 42),
    ("regression", 25),
    ("custom_op", 40),
    ("transformer", 60),
    ("fine_tune", 42),
    ("long_training", 45),
    ("gan", 36),
    ("image_folder", 18),
    ("serve", 24),
];

#[test]
fn each_is_read_in_one_go() {
    for (name, longest) in LONGEST {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("examples/{name}.rs"));
        let program = fs::read_to_string(&path).unwrap();
        let mut importing = false;
        let counts = |line: &&str| {
            importing |= line.starts_with("use ");
            let counts = !importing && !line.trim().is_empty() && !line.trim().starts_with("//");
            importing &= !line.ends_with(';');
            counts
        };
        let lines = program.lines().filter(counts).count();
        assert!(lines <= longest && lines > 10, "{name}: {lines} lines");
        assert!(
            program.lines().all(|line| line.chars().count() <= 100),
            "{name}"
        );
    }
}

/// What the example says, run in a folder of its own.
fn says(name: &str, arguments: &[&str]) -> String {
    let folder = Folder::new(&format!("user-{name}"));
    succeeds(&mut run_in(folder.path(), name, arguments))
}

/// The numbers in a text, wherever they stand in it.
fn numbers(text: &str) -> Vec<f64> {
    text.split(|c: char| !(c.is_ascii_digit() || c == '.' || c == '-'))
        .filter_map(|word| word.trim_end_matches('.').parse().ok())
        .collect()
}

#[test]
fn own_model_learns_digits() {
    let said = says("own_model", &[]);
    let last = numbers(said.lines().last().unwrap());
    assert!(last[0] == 2.0 && last[1] > 85.0, "{said}");
}

#[test]
fn regression_learns_the_function_through_the_noise() {
    let said = says("regression", &[]);
    let (want, got) = said.split_once("the network says").unwrap();
    let (want, got) = (numbers(want.split_once("is").unwrap().1), numbers(got));
    assert_eq!((want.len(), got.len()), (5, 5), "{said}");
    for (want, got) in want.iter().zip(got) {
        assert!((want - got).abs() < 0.1, "{said}");
    }
}

#[test]
fn custom_op_has_the_right_rule() {
    let said = says("custom_op", &[]);
    assert!(said.starts_with("hypot(3, 4) = 5\n"), "{said}");
    assert!(
        said.contains("the backward rule agrees with differences"),
        "{said}"
    );
}

#[test]
fn transformer_reverses_every_sequence() {
    let said = says("transformer", &[]);
    assert!(
        said.ends_with("100.00 % of the tokens of new sequences are right\n"),
        "{said}"
    );
}

#[test]
fn fine_tune_gains_by_the_head_and_then_by_all() {
    let said = says("fine_tune", &[]);
    let percent = |line: &str| {
        let line = said.lines().find(|l| l.starts_with(line)).unwrap();
        *numbers(line).last().unwrap()
    };
    assert!(
        said.contains("loaded 30 of 32; left as they were: pool.2.weight"),
        "{said}"
    );
    let [digits, head, all] = ["digits", "head alone", "all of it"].map(percent);
    // Chance is 10 % and 2 %.
    assert!(digits > 30.0 && head > 8.0 && all > head, "{said}");
}

#[test]
fn long_training_goes_on_bit_for_bit() {
    let folder = Folder::new("user-long");
    let run = |arguments: &[&str]| succeeds(&mut run_in(folder.path(), "long_training", arguments));
    run(&["whole", "45"]);
    let first = run(&["parts", "17"]);
    assert!(first.contains("step 16: lr "), "{first}");
    run(&["parts", "30"]);
    let last = run(&["parts", "45"]);
    assert!(
        !last.contains("step 29") && last.contains("step 44: lr "),
        "{last}"
    );
    let [whole, parts] = ["whole", "parts"].map(|name| fs::read(folder.path().join(name)).unwrap());
    assert!(whole == parts && whole.len() > 10_000);
}

#[test]
fn gan_finds_the_ring() {
    let said = says("gan", &[]);
    let radius = |line: &str| numbers(line)[1];
    let (first, last) = (said.lines().next().unwrap(), said.lines().last().unwrap());
    assert!(
        radius(first) < 0.6 && (0.8..1.2).contains(&radius(last)),
        "{said}"
    );
}

#[test]
fn image_folder_tells_own_pictures_apart() {
    let folder = Folder::new("user-pictures");
    write_stripes(&folder, "pictures", 40);
    let said = succeeds(&mut run_in(
        folder.path(),
        "image_folder",
        &["pictures", "12"],
    ));
    let run = folder.path().join(said.trim().rsplit(' ').next().unwrap());
    assert!(run.join("best/model.safetensors").exists(), "{said}");
    let metrics = fs::read_to_string(run.join("metrics.jsonl")).unwrap();
    let best = metrics
        .lines()
        .filter_map(|line| {
            serde_json::from_str::<serde_json::Value>(line).unwrap()["val_top1"].as_f64()
        })
        .fold(0.0, f64::max);
    assert!(best > 0.9, "{metrics}");
}

#[test]
fn serve_answers_from_eight_threads() {
    let said = says("serve", &[]);
    let answered: Vec<f64> = said
        .lines()
        .filter(|line| line.starts_with("a thread answered"))
        .map(|line| numbers(line)[0])
        .collect();
    assert_eq!(
        (answered.len(), answered.iter().sum::<f64>()),
        (8, 400.0),
        "{said}"
    );
}
