//! How long functions are, and how many parameters they take, counted as a reader would.

use crate::files;

/// Lines of the longest function allowed, from `fn` to its closing brace.
const LONGEST: usize = 60;

/// The most parameters that a function may take, without `self`. An element of a tuple, or of a
/// small array of references, is a parameter without a name, and counts as one.
const MOST_PARAMETERS: usize = 6;

/// Arrays of up to so many references are parameters that were put together.
const SMALL_ARRAY: usize = 8;

/// A function with a body, as its text has it.
#[derive(Debug, PartialEq)]
struct Function {
    name: String,
    /// The line of its `fn`, from 1.
    line: usize,
    lines: usize,
    parameters: usize,
}

/// A name, number or lifetime, or a sign. Comments and white space are none.
#[derive(Clone, Copy, Debug)]
struct Token<'a> {
    text: &'a str,
    line: usize,
}

/// What is left of `text` from each token on, read one token at a time.
struct Tokens<'a> {
    rest: &'a str,
    line: usize,
}

impl<'a> Tokens<'a> {
    fn of(text: &'a str) -> Vec<Token<'a>> {
        let mut tokens = Tokens {
            rest: text,
            line: 1,
        };
        let mut found = Vec::new();
        while !tokens.rest.is_empty() {
            let line = tokens.line;
            let (length, kept) = tokens.next();
            if kept {
                let text = &tokens.rest[..length];
                found.push(Token { text, line });
            }
            tokens.line += tokens.rest[..length].matches('\n').count();
            tokens.rest = &tokens.rest[length..];
        }
        found
    }

    /// How long the next piece is, and whether it is a token that matters here.
    fn next(&self) -> (usize, bool) {
        let rest = self.rest;
        let first = rest.chars().next().unwrap();
        if rest.starts_with("//") {
            return (rest.find('\n').unwrap_or(rest.len()), false);
        }
        if rest.starts_with("/*") {
            return (comment(rest), false);
        }
        if first.is_whitespace() {
            return (first.len_utf8(), false);
        }
        if let Some(length) = string(rest) {
            return (length, true);
        }
        if first == '\'' {
            return (quote(rest), true);
        }
        if is_word(first) {
            let raw = if rest.starts_with("r#") { 2 } else { 0 };
            return (raw + word(&rest[raw..]), true);
        }
        let double = ["->", "=>", "::"].iter().any(|sign| rest.starts_with(sign));
        (if double { 2 } else { first.len_utf8() }, true)
    }
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// The length of the name or number that `rest` begins with.
fn word(rest: &str) -> usize {
    rest.find(|c| !is_word(c)).unwrap_or(rest.len())
}

/// The length of a block comment, which may have others inside.
fn comment(rest: &str) -> usize {
    let (mut depth, mut at) = (0, 0);
    loop {
        let here = &rest[at..];
        match () {
            () if here.starts_with("/*") => (depth, at) = (depth + 1, at + 2),
            () if here.starts_with("*/") => (depth, at) = (depth - 1, at + 2),
            () => at += here.chars().next().map_or(0, char::len_utf8),
        }
        if depth == 0 || at == rest.len() {
            return at;
        }
    }
}

/// The length of a string, if `rest` begins with one: plain, of bytes, of C, raw or several of these.
fn string(rest: &str) -> Option<usize> {
    let prefix = word(rest);
    if !["", "b", "c", "r", "br", "cr"].contains(&&rest[..prefix]) {
        return None;
    }
    let marks = rest[prefix..].len() - rest[prefix..].trim_start_matches('#').len();
    let raw = rest[..prefix].ends_with('r');
    let open = prefix + marks;
    if !rest[open..].starts_with('"') || (marks > 0 && !raw) {
        return None;
    }
    let inside = &rest[open + 1..];
    if raw {
        let end = format!("\"{}", "#".repeat(marks));
        return Some(open + 1 + inside.find(&end).unwrap() + end.len());
    }
    let mut escaped = false;
    let end = inside.find(|c| {
        let found = c == '"' && !escaped;
        escaped = c == '\\' && !escaped;
        found
    });
    Some(open + 1 + end.unwrap() + 1)
}

/// The length of a character such as `'{'`, or of a lifetime such as `'a`.
fn quote(rest: &str) -> usize {
    let inside = &rest[1..];
    if inside.starts_with('\\') {
        let escape = 2 + inside[2..].find('\'').unwrap();
        return 1 + escape + 1;
    }
    let first = inside.chars().next().map_or(0, char::len_utf8);
    if inside[first..].starts_with('\'') {
        1 + first + 1
    } else {
        1 + word(inside)
    }
}

/// How a token changes the depth of brackets. Angle brackets count where they are brackets: in
/// signatures, which have no comparisons.
fn depth(token: &Token, angles: bool) -> i32 {
    match token.text {
        "(" | "[" | "{" => 1,
        ")" | "]" | "}" => -1,
        "<" if angles => 1,
        ">" if angles => -1,
        _ => 0,
    }
}

/// The index behind the bracket that closes the first of the tokens from `start`.
fn closed(tokens: &[Token], start: usize, angles: bool) -> usize {
    let mut open = 0;
    for (at, token) in tokens.iter().enumerate().skip(start) {
        open += depth(token, angles);
        if open == 0 {
            return at + 1;
        }
    }
    panic!("line {}: a bracket is never closed", tokens[start].line)
}

/// Parts between the signs that stand outside of all brackets.
fn split<'a, 'b>(tokens: &'b [Token<'a>], sign: &str) -> Vec<&'b [Token<'a>]> {
    let mut open = 0;
    let parts = tokens.split(|token| {
        open += depth(token, true);
        open == 0 && token.text == sign
    });
    parts.filter(|part| !part.is_empty()).collect()
}

/// How many parameters one of this type stands for.
fn weight(tokens: &[Token]) -> usize {
    let skipped = |token: &&Token| {
        ["&", "mut"].contains(&token.text) || (token.text.starts_with('\'') && token.text != "'")
    };
    let tokens = &tokens[tokens.iter().take_while(skipped).count()..];
    let bracketed = tokens
        .first()
        .is_some_and(|token| ["(", "["].contains(&token.text));
    if !bracketed || closed(tokens, 0, true) < tokens.len() {
        return 1;
    }
    let inside = &tokens[1..tokens.len() - 1];
    if tokens[0].text == "(" {
        return split(inside, ",").into_iter().map(weight).sum();
    }
    let parts = split(inside, ";");
    let length = parts.get(1).and_then(|length| length[0].text.parse().ok());
    let references = parts[0].iter().any(|token| token.text == "&");
    match length {
        Some(length @ ..=SMALL_ARRAY) if references => length * weight(parts[0]),
        _ => 1,
    }
}

/// The number of parameters that stand between a function's parentheses.
fn parameters(tokens: &[Token]) -> usize {
    let count = |mut tokens: &[Token]| {
        while tokens[0].text == "#" {
            tokens = &tokens[closed(tokens, 1, false)..];
        }
        let parts = split(tokens, ":");
        let is_self = parts[0].last().is_some_and(|token| token.text == "self");
        match parts.get(1) {
            _ if is_self => 0,
            Some(of_type) => weight(of_type),
            // A macro's own pattern, such as `$($x: $type),*`.
            None => 1,
        }
    };
    split(tokens, ",").into_iter().map(count).sum()
}

/// All functions of a file that have a body: those of `impl` blocks and macros, and those inside of
/// others, too. A macro's `fn $name` has no name yet, and is none.
fn functions(text: &str) -> Vec<Function> {
    let tokens = Tokens::of(text);
    let mut found = Vec::new();
    for (at, token) in tokens.iter().enumerate() {
        let name = tokens.get(at + 1).map_or("", |name| name.text);
        if token.text != "fn" || !name.starts_with(is_word) {
            continue;
        }
        let mut open = at + 2;
        if tokens[open].text == "<" {
            open = closed(&tokens, open, true);
        }
        let close = closed(&tokens, open, true);
        // Behind them a result and bounds, then the body.
        let mut body = close;
        while !["{", ";"].contains(&tokens[body].text) {
            let bracket = ["(", "["].contains(&tokens[body].text);
            body = if bracket {
                closed(&tokens, body, false)
            } else {
                body + 1
            };
        }
        if tokens[body].text == "{" {
            let last = tokens[closed(&tokens, body, false) - 1];
            found.push(Function {
                name: name.to_owned(),
                line: token.line,
                lines: last.line - token.line + 1,
                parameters: parameters(&tokens[open + 1..close - 1]),
            });
        }
    }
    found
}

#[test]
fn functions_are_short_and_take_few_parameters() {
    let folders = ["src", "examples", "benches"];
    let (mut wrong, mut count) = (Vec::new(), 0);
    for (file, text) in folders.iter().flat_map(|folder| files(folder, &["rs"])) {
        for function in functions(&text) {
            count += 1;
            if function.lines > LONGEST || function.parameters > MOST_PARAMETERS {
                wrong.push(format!("{file}: {function:?}"));
            }
        }
    }
    assert!(count > 1000, "{count} functions were read");
    assert!(
        wrong.is_empty(),
        "more than {LONGEST} lines or {MOST_PARAMETERS} parameters:\n{}",
        wrong.join("\n")
    );
}

/// Name, lines and parameters of each function.
fn read(text: &str) -> Vec<(String, usize, usize)> {
    let found = functions(text).into_iter();
    found.map(|f| (f.name, f.lines, f.parameters)).collect()
}

/// The parameters of `fn f(..)`.
fn count(parameters: &str) -> usize {
    read(&format!("fn f({parameters}) {{}}"))[0].2
}

#[test]
fn long_functions_are_found() {
    let of_lines = |lines: usize| format!("fn f() {{\n{}}}\n", "x();\n".repeat(lines - 2));
    for lines in [LONGEST, LONGEST + 1] {
        assert_eq!(read(&of_lines(lines)), [("f".to_owned(), lines, 0)]);
    }
    let nested = format!("impl S {{\n    fn g(&self) {{\n{}    }}\n}}", of_lines(10));
    let want = [("g".to_owned(), 12, 0), ("f".to_owned(), 10, 0)];
    assert_eq!(read(&nested), want);
    let vectorized =
        "vectorize! {\n    /// A loop.\n    fn f<T: Float>(x: &[T]) {\n        x;\n    }\n}";
    assert_eq!(read(vectorized), [("f".to_owned(), 3, 1)]);
}

#[test]
fn braces_in_strings_characters_and_comments_do_not_end_a_function() {
    let bodies = [
        "\"}\\\"}\"",
        "b\"}\"",
        "r\"\\\"",
        "r#\"}\"}\"#",
        "br##\"}\"#}\"##",
        "'}'",
        "b'}'",
        "'\\''; '}'",
        "'\\u{7d}'",
        "'a: loop {}",
        "f::<'static>()",
        "// }",
        "/* } /* } */ } */",
        "r#fn",
    ];
    for body in bodies {
        let text = format!("fn f() {{\n{body}\n}}\nfn g(x: u8) {{}}");
        let want = [("f".to_owned(), 3, 0), ("g".to_owned(), 1, 1)];
        assert_eq!(read(&text), want, "{body}");
    }
    // What is only said, or only declared, is no function.
    assert!(read("// fn f() {}\n/* fn f() {} */ const S: &str = \"fn f() {}\";").is_empty());
    assert!(read("trait T { fn f(&self); } type F = fn(u8) -> u8;").is_empty());
    assert!(read("macro_rules! m { () => { fn $name($($x: $t),*) {} } }").is_empty());
}

#[test]
fn parameters_are_counted_by_what_they_hold() {
    assert_eq!(count(""), 0);
    assert_eq!(count("a: A, b: B, c: C, d: D, e: E, f: F, g: G"), 7);
    assert_eq!(count("a: A,\n    b: B,\n"), 2);
    for own in [
        "self",
        "mut self",
        "&self",
        "&mut self",
        "&'a mut self",
        "self: Box<Self>",
    ] {
        assert_eq!(count(&format!("{own}, a: A")), 1, "{own}");
    }
    // Commas of generics, closures, paths and patterns part nothing.
    assert_eq!(
        count("a: HashMap<A, B>, f: impl Fn(A, B) -> C, g: &dyn Fn(A, Vec<B>)"),
        3
    );
    assert_eq!(
        count("S { a, b }: S, T(a, b): T, x: <A as B<C, D>>::E, k: std::ops::Range<A>"),
        4
    );
    assert_eq!(count("#[cfg(a, b)] a: A, _: B"), 2);
    // Tuples and small arrays of references hide parameters; values, and long arrays, do not.
    assert_eq!(count("(a, b): (A, (B, C))"), 3);
    assert_eq!(count("x: &mut (A, B)"), 2);
    assert_eq!(
        count("[a, b]: [&[T]; 2], c: &[&mut T; 3], d: [(&A, &B); 2]"),
        9
    );
    assert_eq!(
        count("a: [usize; 4], b: [&A; 9], c: &[&A], d: [&A; N], e: Option<(A, B)>"),
        5
    );
    let generic =
        "fn f<const N: usize, F: Fn(A) -> B, T>(a: T, b: [F; N]) -> [T; 2] where T: A<B> {}";
    assert_eq!(read(generic), [("f".to_owned(), 1, 2)]);
    let exported = "pub(crate) const unsafe extern \"C\" fn f(a: A) -> impl Fn(A, B) {\n}";
    assert_eq!(read(exported), [("f".to_owned(), 2, 1)]);
}
