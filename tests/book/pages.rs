//! Pages: Markdown with listings, each marked with the program and the region that it shows.

use std::fs;
use std::sync::Mutex;

use crate::{files, root, writes};

/// Whoever reads pages to write them again holds this.
pub static PAGES: Mutex<()> = Mutex::new(());

/// A fenced block of a page, and the comment on the line above its fence.
pub struct Block {
    /// `listing: 03_chain_rule engine`, or nothing.
    pub mark: String,
    pub language: String,
    pub text: String,
    /// The line of its fence, from 0.
    line: usize,
}

/// All fenced blocks of a page.
pub fn blocks(page: &str) -> Vec<Block> {
    let lines: Vec<&str> = page.lines().collect();
    let mut found = Vec::new();
    let mut at = 0;
    while at < lines.len() {
        let Some(language) = lines[at].strip_prefix("```") else {
            at += 1;
            continue;
        };
        let length = lines[at + 1..]
            .iter()
            .position(|line| *line == "```")
            .unwrap();
        let above = if at == 0 { "" } else { lines[at - 1] };
        let mark = above
            .strip_prefix("<!-- ")
            .and_then(|rest| rest.strip_suffix(" -->"));
        found.push(Block {
            mark: mark.unwrap_or_default().to_owned(),
            language: language.to_owned(),
            text: lines[at + 1..at + 1 + length]
                .iter()
                .map(|line| format!("{line}\n"))
                .collect(),
            line: at,
        });
        at += length + 2;
    }
    found
}

/// The lines of a program between `// ANCHOR: name` and `// ANCHOR_END: name`, without the
/// indentation that all of them have.
fn region(program: &str, name: &str) -> Option<String> {
    let begin = |line: &&str| line.trim() == format!("// ANCHOR: {name}");
    let end = |line: &&str| line.trim() == format!("// ANCHOR_END: {name}");
    let after = program.lines().skip_while(|line| !begin(line)).skip(1);
    let lines: Vec<&str> = after.take_while(|line| !end(line)).collect();
    let filled = lines.iter().filter(|line| !line.trim().is_empty());
    let indent = filled
        .map(|line| line.len() - line.trim_start().len())
        .min()?;
    Some(
        lines
            .iter()
            .map(|line| line.get(indent..).unwrap_or("").to_owned() + "\n")
            .collect(),
    )
}

/// The page with this in place of what a block has.
pub fn with_text(page: &str, block: &Block, text: &str) -> String {
    let lines: Vec<&str> = page.lines().collect();
    let (before, rest) = lines.split_at(block.line + 1);
    let after = &rest[block.text.lines().count()..];
    let mut out: Vec<&str> = before.to_vec();
    out.extend(text.lines());
    out.extend(after);
    out.join("\n") + "\n"
}

#[test]
fn listings_are_parts_of_the_programs() {
    let _alone = PAGES.lock();
    let mut programs = files("examples/book", "rs");
    programs.extend(files("tests/book", "rs"));
    let mut count = 0;
    for (name, mut page) in files("book/src", "md") {
        for k in 0..blocks(&page).len() {
            let block = &blocks(&page)[k];
            if block.language != "rust" {
                continue;
            }
            count += 1;
            let words: Vec<&str> = block.mark.split(' ').collect();
            let ["listing:", program, anchor] = words[..] else {
                panic!(
                    "{name}.md: a listing is not marked with its program:\n{}",
                    block.text
                );
            };
            let want = region(&programs[program], anchor);
            let want = want.unwrap_or_else(|| panic!("{program}.rs lacks the region {anchor}"));
            if writes() {
                page = with_text(&page, block, &want);
                fs::write(root().join(format!("book/src/{name}.md")), &page).unwrap();
            } else {
                assert_eq!(block.text, want, "{name}.md: {program} {anchor}");
            }
        }
    }
    assert!(count > 3, "{count} listings");
}

/// Figures, other pages and files of the project that a page links to are there.
#[test]
fn links_lead_somewhere() {
    for (name, page) in files("book/src", "md") {
        for target in page
            .split("](")
            .skip(1)
            .map(|rest| rest.split(')').next().unwrap())
        {
            let path = target.split('#').next().unwrap();
            if !path.is_empty() && !path.starts_with("http") {
                let file = root().join("book/src").join(path);
                assert!(file.exists(), "{name}.md links to {target}");
            }
        }
    }
}

/// Files of the project that a page names in code letters are there.
#[test]
fn pages_name_files_that_exist() {
    let folders = [
        "src/",
        "tests/",
        "examples/",
        "benches/",
        "kernels/",
        "book/",
    ];
    let mut seen = 0;
    for (name, page) in files("book/src", "md") {
        for word in page.split('`').skip(1).step_by(2) {
            let path = word.split_whitespace().next().unwrap_or_default();
            if folders.iter().any(|folder| path.starts_with(folder)) {
                assert!(root().join(path).exists(), "{name}.md names {path}");
                seen += 1;
            }
        }
    }
    assert!(seen > 30, "{seen} names were found");
}

#[test]
fn blocks_and_regions_are_found() {
    let page = "a\n<!-- listing: p q -->\n```rust\nx\n```\n```text\ny\nz\n```\n";
    let found = blocks(page);
    assert_eq!(
        (found[0].mark.as_str(), found[0].text.as_str()),
        ("listing: p q", "x\n")
    );
    assert_eq!(
        (found[1].mark.as_str(), found[1].text.as_str()),
        ("", "y\nz\n")
    );
    let changed = with_text(page, &found[0], "v\nw\n");
    assert_eq!(changed, page.replace("\nx\n", "\nv\nw\n"));
    let program = "fn f() {\n    // ANCHOR: q\n    g();\n\n        h();\n    // ANCHOR_END: q\n}\n";
    assert_eq!(region(program, "q").unwrap(), "g();\n\n    h();\n");
    assert!(region(program, "r").is_none());
}
