//! Every problem code has a page that `gable explain` can show, and every page is about a code.

use std::collections::BTreeMap;

use crate::tree::{File, Tree};

/// Folder of the pages.
const FOLDER: &str = "docs/errors/";
/// What stands before a code in the sources: a call, the field of a table, a row of one.
const MARKS: &[&str] =
    &["Problem::new(", "code: \"", "cause(\"", "error(\"", "consequence(\"", "Verdict::new(\""];
/// A function of this name returns codes.
const FUNCTION: &str = "fn code(";

/// Finds codes without a page, pages without a code, and pages that are not laid out as such.
#[must_use]
pub fn check(tree: &Tree) -> Vec<String> {
    let codes = codes(tree);
    let mut findings: Vec<String> = codes
        .iter()
        .filter(|(code, _)| !tree.has(&format!("{FOLDER}{code}.md")))
        .map(|(code, place)| format!("{place}: write {FOLDER}{code}.md"))
        .collect();
    for page in tree.files.iter().filter(|file| is_page(file)) {
        findings.extend(layout(page));
    }
    findings
}

/// Each code that the sources use, with the file that does so first. Tests do not count.
fn codes(tree: &Tree) -> BTreeMap<String, &str> {
    let mut codes = BTreeMap::new();
    for file in tree.rust().filter(|file| is_source(&file.path)) {
        let text = file.text.split("#[cfg(test)]").next().unwrap_or_default();
        for code in marked(text).chain(returned(text)).chain(rows(text)) {
            codes.entry(code.to_owned()).or_insert(file.path.as_str());
        }
    }
    codes
}

/// Codes behind one of the marks.
fn marked(text: &str) -> impl Iterator<Item = &str> {
    MARKS.iter().flat_map(move |mark| {
        text.match_indices(mark).filter_map(move |(position, _)| {
            let rest = &text[position + mark.len()..];
            let literal =
                if mark.ends_with('"') { rest } else { rest.trim_start().strip_prefix('"')? };
            let code = literal.split('"').next()?;
            (is_code(code) && code.contains('-')).then_some(code)
        })
    })
}

/// Codes that a function named `code` returns.
fn returned(text: &str) -> impl Iterator<Item = &str> {
    text.match_indices(FUNCTION).flat_map(move |(position, _)| {
        let body = text[position..].split("\n    }\n").next().unwrap_or_default();
        let head = body.split('{').next().unwrap_or_default();
        let is_text = head.contains("-> &'static str");
        body.split('"').skip(1).step_by(2).filter(move |code| is_text && is_code(code))
    })
}

/// Codes of the table in a `codes! { … }`: `Variant "code" Weight Weight`.
fn rows(text: &str) -> impl Iterator<Item = &str> {
    let table = text.split("\ncodes! {\n").nth(1).unwrap_or_default();
    table.lines().filter_map(|line| {
        let (variant, rest) = line.trim().split_once(" \"")?;
        let code = rest.split('"').next()?;
        (variant.chars().all(char::is_alphanumeric) && is_code(code)).then_some(code)
    })
}

fn is_source(path: &str) -> bool {
    path.starts_with("crates/")
        && path.contains("/src/")
        && !path.starts_with("crates/xtask/")
        && !path.ends_with("tests.rs")
        && !path.contains("/tests/")
}

/// Lower case with hyphens: other texts in the same place are not codes.
fn is_code(text: &str) -> bool {
    let is_letter = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    !text.is_empty() && text.bytes().all(is_letter)
}

fn is_page(file: &File) -> bool {
    file.path.starts_with(FOLDER) && file.path.ends_with(".md") && !file.path.ends_with("README.md")
}

/// A page begins with its code as the title, and says what to do.
fn layout(page: &File) -> Vec<String> {
    let code = page.path.trim_start_matches(FOLDER).trim_end_matches(".md");
    let mut findings = Vec::new();
    if !page.text.starts_with(&format!("# {code}\n")) {
        findings.push(format!("{}: the first line is `# {code}`", page.path));
    }
    if !page.text.contains("\n## What to do\n") {
        findings.push(format!("{}: has no section `## What to do`", page.path));
    }
    findings
}
