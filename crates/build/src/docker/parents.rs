//! `COPY --parents` for builders that do not know it: what it names is laid out below a directory of
//! its own, with its parents, and copied from there.

use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::Path;

use model::Problem;

use crate::error::Error;

/// One instruction with `--parents`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Parents {
    /// Its line, which names its directory.
    pub(crate) line: usize,
    /// What it copies.
    pub(crate) sources: Vec<String>,
    /// `--exclude=`.
    pub(crate) excludes: Vec<String>,
}

/// Name of the directory, below that of the here-documents.
pub(crate) fn directory(line: usize) -> String {
    format!("{line}/parents")
}

/// Lays out what an instruction copies. `ignored` is the text of `.dockerignore`.
pub(crate) fn lay_out(
    parents: &Parents,
    context: &Path,
    ignored: &str,
    target: &Path,
) -> Result<(), Error> {
    fs::create_dir_all(target).map_err(Error::at("make", target))?;
    let rules = rules(ignored);
    let mut count = 0;
    walk(context, &mut Vec::new(), &mut |path, file| {
        let is_left_out = is_ignored(&rules, path)
            || parents.excludes.iter().any(|pattern| covers(pattern, path));
        if is_left_out {
            return Ok(());
        }
        let Some(skipped) = parents.sources.iter().find_map(|source| pivot(source, path)) else {
            return Ok(());
        };
        count += 1;
        take(file, &target.join(path[skipped..].join("/")))
    })
    .map_err(Error::at("lay out", target))?;
    if count > 0 {
        return Ok(());
    }
    let message = format!(
        "line {} of the Dockerfile copies something that is not there: {}",
        parents.line,
        parents.sources.join(" ")
    );
    Err(Error::Refused(Problem::new("docker-copy-missing", message).hint(
        "paths are relative to the build context (`dockerContext:`), and files that `.gitignore` or \
         `.dockerignore` names are not in it",
    )))
}

fn take(from: &Path, to: &Path) -> io::Result<()> {
    if let Some(parent) = to.parent() {
        fs::create_dir_all(parent)?;
    }
    if from.is_symlink() {
        return symlink(fs::read_link(from)?, to);
    }
    fs::hard_link(from, to).or_else(|_| fs::copy(from, to).map(drop))
}

/// Shows each file and link below a directory, with the parts of its path. What git keeps of itself
/// is none of the source.
fn walk(
    directory: &Path,
    path: &mut Vec<String>,
    show: &mut dyn FnMut(&[String], &Path) -> io::Result<()>,
) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if path.is_empty() && name == ".git" {
            continue;
        }
        path.push(name);
        if entry.file_type()?.is_dir() {
            walk(&entry.path(), path, show)?;
        } else {
            show(path, &entry.path())?;
        }
        path.pop();
    }
    Ok(())
}

/// If a source names a file, how many parts of its path are left out: those before `/./`.
fn pivot(source: &str, path: &[String]) -> Option<usize> {
    let before = source.trim_start_matches('/').split_once("/./").map_or("", |(before, _)| before);
    covers(source, path).then(|| parts(before).len())
}

struct Rule {
    pattern: String,
    is_exception: bool,
}

/// The lines of a `.dockerignore`.
fn rules(text: &str) -> Vec<Rule> {
    let lines =
        text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let rule = |line: &str| {
        let (is_exception, pattern) = match line.strip_prefix('!') {
            Some(pattern) => (true, pattern),
            None => (false, line),
        };
        Rule { pattern: pattern.to_owned(), is_exception }
    };
    lines.map(rule).collect()
}

fn is_ignored(rules: &[Rule], path: &[String]) -> bool {
    let decisive = rules.iter().rev().find(|rule| covers(&rule.pattern, path));
    decisive.is_some_and(|rule| !rule.is_exception)
}

/// Whether a pattern names a file, or a directory that it is in.
fn covers(pattern: &str, path: &[String]) -> bool {
    let pattern = parts(pattern);
    let path: Vec<&str> = path.iter().map(String::as_str).collect();
    pattern.is_empty() || (1..=path.len()).any(|length| matches(&pattern, &path[..length]))
}

fn parts(path: &str) -> Vec<&str> {
    path.split('/').filter(|part| !part.is_empty() && *part != ".").collect()
}

/// Whether the whole path is what the pattern says. `**` stands for any number of directories.
fn matches(pattern: &[&str], path: &[&str]) -> bool {
    match (pattern.split_first(), path.split_first()) {
        (None, None) => true,
        (Some((&"**", rest)), _) => (0..=path.len()).any(|skip| matches(rest, &path[skip..])),
        (Some((first, rest)), Some((name, below))) => {
            let (first, name): (Vec<char>, Vec<char>) =
                (first.chars().collect(), name.chars().collect());
            fits(&first, &name) && matches(rest, below)
        }
        _ => false,
    }
}

/// Whether a name fits a pattern of `*`, `?`, `[a-z]` and `\`.
fn fits(pattern: &[char], name: &[char]) -> bool {
    match pattern {
        [] => name.is_empty(),
        ['*', rest @ ..] => (0..=name.len()).any(|skip| fits(rest, &name[skip..])),
        ['?', rest @ ..] => !name.is_empty() && fits(rest, &name[1..]),
        ['\\', letter, rest @ ..] => name.first() == Some(letter) && fits(rest, &name[1..]),
        ['[', rest @ ..] if rest.contains(&']') => {
            let end = rest.iter().position(|letter| *letter == ']').unwrap_or_default();
            let Some(letter) = name.first() else { return false };
            is_among(&rest[..end], *letter) && fits(&rest[end + 1..], &name[1..])
        }
        [letter, rest @ ..] => name.first() == Some(letter) && fits(rest, &name[1..]),
    }
}

fn is_among(class: &[char], letter: char) -> bool {
    let (is_negated, mut class) = match class {
        ['^', rest @ ..] => (true, rest),
        _ => (false, class),
    };
    let mut is_in = false;
    while let [first, rest @ ..] = class {
        (is_in, class) = match rest {
            ['-', last, rest @ ..] => (is_in || (*first..=*last).contains(&letter), rest),
            _ => (is_in || *first == letter, rest),
        };
    }
    is_in != is_negated
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(sources: &[&str], ignored: &str, expected: &[&str]) {
        let directory = tempfile::tempdir().unwrap();
        let context = directory.path().join("context");
        for path in [
            "package.json",
            "packages/a/package.json",
            "packages/a/src/index.js",
            "packages/b/package.json",
            "node_modules/x/package.json",
            ".git/package.json",
        ] {
            let path = context.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        let target = directory.path().join("out");
        let sources = sources.iter().map(|source| (*source).to_owned()).collect();
        let excludes = vec!["packages/b".to_owned()];
        let parents = Parents { line: 1, sources, excludes };
        let done = lay_out(&parents, &context, ignored, &target);
        let mut found = Vec::new();
        walk(&target, &mut Vec::new(), &mut |path, _| {
            found.push(path.join("/"));
            Ok(())
        })
        .unwrap();
        found.sort();
        assert_eq!(found, expected);
        assert_eq!(done.is_ok(), !expected.is_empty());
    }

    #[test]
    fn files_keep_their_parents() {
        let ignored = "# comment\nnode_modules\n";
        check(&["**/package.json"], ignored, &["package.json", "packages/a/package.json"]);
        check(&["./packages/*/package.json"], "", &["packages/a/package.json"]);
        check(&["packages/./a"], "", &["a/package.json", "a/src/index.js"]);
        check(
            &["packages"],
            "**/src\n!packages/a/src/i*",
            &["packages/a/package.json", "packages/a/src/index.js"],
        );
        check(&["none/*.json", "packages/b"], "", &[]);
    }

    #[test]
    fn patterns_are_those_of_shells() {
        let fit = |pattern: &str, name: &str| {
            let chars = |text: &str| text.chars().collect::<Vec<_>>();
            fits(&chars(pattern), &chars(name))
        };
        assert!(fit("a*.j[a-t]?n", "abc.json") && fit("\\*", "*") && fit("[^x]", "y"));
        assert!(!fit("a", "ab") && !fit("[^x]", "x") && !fit("\\*", "a") && fit("[", "["));
    }
}
