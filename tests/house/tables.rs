//! Tables of functions that stand in several places: the enum on the CPU, the enum and the switches
//! of the kernel, the numbers of the launch, and the lists of what is tested. A row that one of
//! them lacks would compute something else on a GPU.

use std::fs;

fn text(path: &str) -> String {
    let whole = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    fs::read_to_string(&whole).unwrap_or_else(|e| panic!("{path}: {e}"))
}

/// What stands between these two, the first time.
fn between<'a>(text: &'a str, path: &str, from: &str, to: &str) -> &'a str {
    let (_, rest) = text
        .split_once(from)
        .unwrap_or_else(|| panic!("{path} lacks `{from}`"));
    rest.split_once(to)
        .unwrap_or_else(|| panic!("{path}: `{from}` never ends"))
        .0
}

/// The kinds of src/cpu/FILE.rs in order, each with its name: rows `"name" Kind: ..` of a table, or
/// arms `Kind::X => "name"`.
fn kinds(file: &str) -> Vec<(String, String)> {
    let path = format!("src/cpu/{file}.rs");
    let all = text(&path);
    let row = |line: &str| {
        let (name, kind) = line.strip_prefix("    \"")?.split_once("\" ")?;
        let kind = kind.chars().take_while(|c| c.is_alphanumeric()).collect();
        Some((kind, name.to_owned()))
    };
    let arm = |line: &str| {
        let (kind, name) = line.trim().strip_prefix("Kind::")?.split_once(" => \"")?;
        Some((kind.to_owned(), name.split('"').next()?.to_owned()))
    };
    let kinds: Vec<_> = match all.split_once("\nfunctions! {\n") {
        Some((_, table)) => table.lines().filter_map(row).collect(),
        None => all.lines().filter_map(arm).collect(),
    };
    assert!(kinds.len() > 3, "{path}: {kinds:?}");
    kinds
}

/// AddScalar as ADD_SCALAR.
fn constant(kind: &str) -> String {
    let mut out = String::new();
    for (i, c) in kind.chars().enumerate() {
        if i > 0 && c.is_uppercase() {
            out.push('_');
        }
        out.extend(c.to_uppercase());
    }
    out
}

/// The bodies of all switches of a kernel file, each up to the end of its own indentation.
fn switches<'a>(text: &'a str, path: &str) -> Vec<&'a str> {
    let body = |(at, _): (usize, &str)| {
        let line = text[..at].rfind('\n').map_or(0, |end| end + 1);
        let close = format!("\n{}}}\n", &text[line..at]);
        let rest = &text[at..];
        &rest[..rest
            .find(&close)
            .unwrap_or_else(|| panic!("{path}: a switch never ends"))]
    };
    text.match_indices("switch (").map(body).collect()
}

#[test]
fn kernels_have_a_case_for_each_kind_in_the_order_of_the_cpu() {
    let enumerated = |path: &str, all: &str| -> Vec<String> {
        between(all, path, "\nenum { ", " };")
            .split(", ")
            .map(str::to_owned)
            .collect()
    };
    for file in ["unary", "binary"] {
        let path = format!("kernels/{file}.cu");
        let all = text(&path);
        let want: Vec<String> = kinds(file).iter().map(|(kind, _)| constant(kind)).collect();
        assert_eq!(enumerated(&path, &all), want, "{path}: the enum");
        let switches = switches(&all, &path);
        assert_eq!(switches.len(), 2, "{path}: values and slopes");
        for (body, kind) in switches
            .iter()
            .flat_map(|body| want.iter().map(move |kind| (body, kind)))
        {
            assert!(
                body.contains(&format!("case {kind}:")),
                "{path}: a switch lacks {kind}"
            );
        }
    }
    // Types are numbered by the launch.
    let (path, launch) = ("kernels/cast.cu", text("src/cuda/cast.rs"));
    let all = text(path);
    for (number, dtype) in enumerated(path, &all).iter().enumerate() {
        assert!(
            launch.contains(&format!("DType::{dtype} => Ok({number})")),
            "src/cuda/cast.rs: {dtype} is {number} in {path}"
        );
        let lacking = switches(&all, path)
            .iter()
            .filter(|body| !body.contains(&format!("case {dtype}:")))
            .count();
        // Pieces are floats.
        assert_eq!(
            lacking,
            usize::from(["U8", "I64"].contains(&&**dtype)),
            "{path}: a switch lacks {dtype}"
        );
    }
}

#[test]
fn launches_number_kinds_as_the_kernels_do() {
    for (path, number) in [
        ("src/cuda/unary.rs", "kind.number()"),
        ("src/cuda/binary.rs", "kind as i32"),
    ] {
        assert!(
            text(path).contains(number),
            "{path} takes the order of the CPU's kinds, {number}"
        );
    }
}

#[test]
fn pointwise_losses_have_the_numbers_of_their_kernel() {
    let (kernel, own) = ("kernels/pointwise_loss.cu", "src/cpu/pointwise_loss.rs");
    let (all, numbers) = (text(kernel), text(own));
    for (number, constant) in between(&all, kernel, "\nenum { ", " };")
        .split(", ")
        .enumerate()
    {
        let kind = format!("Kind::{}{}", &constant[..1], constant[1..].to_lowercase());
        let numbered = ["", "(_)"].map(|field| format!("{kind}{field} => {number},"));
        assert!(
            numbered.iter().any(|arm| numbers.contains(arm)),
            "{own}: {kind} is {number} in {kernel}"
        );
        for body in switches(&all, kernel) {
            assert!(
                body.contains(&format!("case {constant}:")),
                "{kernel}: a switch lacks {constant}"
            );
        }
    }
}

/// A number without a case must not be taken for another.
#[test]
fn every_switch_of_a_kernel_ends_in_a_trap() {
    let mut found = 0;
    for (path, all) in super::files("kernels", &["cu", "cuh"]) {
        for body in switches(&all, &path) {
            let Some((_, default)) = body.split_once("default:") else {
                panic!("{path}: a switch without default:\n{body}")
            };
            assert!(
                ["trap();", "return trap();"].contains(&default.trim()),
                "{path}: a default that does not trap: {default}"
            );
            found += 1;
        }
    }
    assert!(found >= 7, "{found} switches");
}

#[test]
fn every_kind_is_in_the_lists_of_what_is_tested() {
    let sign = |name: &str| match name {
        "add" => Some('+'),
        "sub" => Some('-'),
        "mul" => Some('*'),
        "div" => Some('/'),
        _ => None,
    };
    for file in ["unary", "binary"] {
        let own = format!("tests/ops/{file}.rs");
        for list in [&own, "tests/ops/bf16.rs", "tests/cuda/ops.rs"] {
            let tests = text(list);
            for (kind, name) in kinds(file) {
                let called = match sign(&name) {
                    Some(sign) => tests.contains(&format!("&v[0] {sign} &v[1]")),
                    None => tests.contains(&format!(".{name}(")),
                };
                assert!(called, "{list} does not test {file} {kind}, {name}");
            }
        }
    }
}

/// The comment above a kernel says its grid. Kernels for several types stand together below one.
#[test]
fn every_kernel_says_its_grid() {
    let mut kernels = 0;
    for (file, code) in crate::files("kernels", &["cu"]) {
        let mut comment = String::new();
        for line in code.lines() {
            if line.starts_with("KERNEL") {
                assert!(comment.contains("Grid "), "{file}: no grid above {line}");
                kernels += 1;
            } else if line.starts_with("// ") {
                comment += &line[2..];
            } else {
                comment.clear();
            }
        }
    }
    assert!(kernels > 100, "{kernels} kernels were found");
}

/// A kernel's file is compiled into the program beside its launch.
#[test]
fn every_kernel_file_is_compiled_in() {
    for (file, _) in crate::files("kernels", &["cu"]) {
        let launch = file.replace("kernels/", "src/cuda/").replace(".cu", ".rs");
        let included = format!("include_str!(\"../../{file}\")");
        assert!(
            text(&launch).contains(&included),
            "{launch} lacks {included}"
        );
    }
}

/// Files that the documents name are there.
#[test]
fn documents_name_files_that_exist() {
    let mut seen = 0;
    for document in [
        "README.md",
        "ARCHITECTURE.md",
        "CONTRIBUTING.md",
        "benches/README.md",
    ] {
        let text = text(document);
        for name in text.split('`').skip(1).step_by(2) {
            let root = [
                "src/",
                "tests/",
                "kernels/",
                "examples/",
                "benches/",
                "fuzz/",
            ];
            let path = name.split_whitespace().next().unwrap_or_default();
            let plain = !path.contains(['{', '*', '<']) && !path.contains("X.");
            if root.iter().any(|folder| path.starts_with(folder)) && plain {
                assert!(crate::root().join(path).exists(), "{document} names {path}");
                seen += 1;
            }
        }
    }
    assert!(seen > 30, "{seen} names were found");
}

/// The README's badges are made of the manifest's words.
#[test]
fn badges_say_what_the_manifest_says() {
    let (manifest, readme) = (text("Cargo.toml"), text("README.md"));
    for (label, key, more) in [
        ("licence", "license", ""),
        ("Rust", "rust-version", " or newer"),
    ] {
        let value = between(&manifest, "Cargo.toml", &format!("\n{key} = \""), "\"");
        let value = format!("{value}{more}")
            .replace('-', "--")
            .replace(' ', "%20");
        let badge = format!("https://img.shields.io/badge/{label}-{value}-blue");
        assert!(readme.contains(&badge), "README.md lacks the badge {badge}");
    }
}

/// The page of the ops lists each, as a link, with PyTorch's name for it.
#[test]
fn every_op_is_in_the_table_of_the_ops() {
    let page = text("src/ops/mod.rs");
    let table = between(&page, "src/ops/mod.rs", "//! | op | in PyTorch |", "//!\n");
    // `concat` is a macro too: the link to the function has parentheses.
    let links = |name: &str| {
        [("", ""), ("", "()"), ("Var::", ""), ("Tensor::", "")]
            .map(|(of, call)| format!("| [`{of}{name}{call}`] | "))
    };
    let signs = ["add", "sub", "mul", "div"];
    let missing: Vec<String> = crate::public_ops::public_ops()
        .into_iter()
        .filter(|name| !signs.contains(&&**name))
        .filter(|name| !links(name).iter().any(|link| table.contains(link)))
        .collect();
    assert!(
        missing.is_empty(),
        "src/ops/mod.rs does not list {missing:?}"
    );
}

/// Public ops that `benches/ops_compare.py` leaves out, and why.
const NOT_TIMED: [(&str, &str); 9] = [
    ("sum_keep", "sum, with another shape"),
    ("mean_keep", "mean, with another shape"),
    ("var_keep", "var, with another shape"),
    ("std_keep", "std, with another shape"),
    ("prod_keep", "prod, with another shape"),
    ("norm_keep", "norm, with another shape"),
    ("max_keep", "max, with another shape"),
    ("min_keep", "min, with another shape"),
    ("dwt_levels", "dwt, level by level"),
];

/// The bench of all ops times each here and in PyTorch.
#[test]
fn every_op_is_timed_beside_pytorch() {
    let here: String = crate::files("benches/ops/every", &["rs"])
        .into_iter()
        .map(|(_, text)| text)
        .collect();
    let there = text("benches/ops_peer.py");
    let left_out = |name: &str| NOT_TIMED.iter().any(|(op, _)| *op == name);
    for op in crate::public_ops::public_ops() {
        let named = [&here, &there].map(|text| text.contains(&format!("\"{op}\"")));
        assert_eq!(
            named,
            [!left_out(&op); 2],
            "{op} is in benches/ops/every and in benches/ops_peer.py, or in NOT_TIMED"
        );
    }
}
