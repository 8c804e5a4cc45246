//! Dockerfiles as far as Gable has to read them: instructions with their lines, stages, arguments.
//!
//! The builder reads the file itself; what is read here says where an instruction stands, which
//! stages and arguments there are, and what would lead out of the build. Nothing is refused that a
//! builder would take. Of the published parsers none keeps line numbers and knows here-documents
//! (`dockerfile-parser`, `dockerfile-parser-rs`), so this is one of our own.

use std::collections::BTreeSet;

use super::words;

/// A file of more is no Dockerfile.
pub(crate) const MAX_BYTES: u64 = 1 << 20;

/// A Dockerfile, taken apart.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Dockerfile {
    /// In the order of the file.
    pub(crate) instructions: Vec<Instruction>,
    /// What ends a line that goes on.
    pub(crate) escape: char,
}

/// One instruction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Instruction {
    /// Its first line, from 1.
    pub(crate) line: usize,
    /// Its last line, here-documents included.
    pub(crate) last_line: usize,
    /// In upper case: `RUN`.
    pub(crate) keyword: String,
    /// What follows, on one line.
    pub(crate) arguments: String,
    /// Its here-documents, in the order in which they are named.
    pub(crate) documents: Vec<Document>,
}

/// A here-document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Document {
    /// The word that ends it, which is a file's name for `COPY`.
    pub(crate) name: String,
    /// Whether variables in it are replaced.
    pub(crate) is_expanded: bool,
    /// The lines between, each with its end.
    pub(crate) text: String,
}

/// One `FROM` and what follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stage<'a> {
    /// The instructions, `FROM` first.
    pub(crate) instructions: &'a [Instruction],
    /// `AS name`, in lower case as builders compare it.
    pub(crate) name: Option<&'a str>,
    /// What it begins with: an image, an earlier stage, `scratch`.
    pub(crate) base: &'a str,
}

impl Instruction {
    /// As a person would write it, shortened: `RUN npm run build`.
    pub(crate) fn summary(&self) -> String {
        const LONGEST: usize = 120;
        let text = format!("{} {}", self.keyword, squeeze(&self.arguments));
        if text.chars().count() <= LONGEST {
            return text.trim_end().to_owned();
        }
        text.chars().take(LONGEST).chain(['…']).collect()
    }

    /// The options before the arguments: `--from=build` is (`from`, `build`).
    pub(crate) fn options(&self) -> impl Iterator<Item = (&str, &str)> {
        self.arguments
            .split_whitespace()
            .map_while(|word| word.strip_prefix("--"))
            .map(|option| option.split_once('=').unwrap_or((option, "")))
    }
}

impl Dockerfile {
    /// Reads a text. It never fails: what is no instruction is one with an unknown keyword.
    pub(crate) fn parse(text: &str) -> Self {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let lines: Vec<&str> = text.lines().collect();
        let escape = escape_character(&lines);
        let mut instructions = Vec::new();
        let mut at = 0;
        while at < lines.len() {
            let first = lines[at].trim();
            if first.is_empty() || first.starts_with('#') {
                at += 1;
                continue;
            }
            let begin = at;
            let logical = logical_line(&lines, &mut at, escape);
            let (keyword, arguments) =
                logical.trim().split_once(char::is_whitespace).unwrap_or((logical.trim(), ""));
            let keyword = keyword.to_ascii_uppercase();
            let arguments = arguments.trim().to_owned();
            let documents = match keyword.as_str() {
                "RUN" | "COPY" | "ADD" => documents(&arguments, &lines, &mut at),
                _ => Vec::new(),
            };
            let line = begin + 1;
            instructions.push(Instruction { line, last_line: at, keyword, arguments, documents });
        }
        Self { instructions, escape }
    }

    /// The stages, in the order of the file.
    pub(crate) fn stages(&self) -> Vec<Stage<'_>> {
        let is_from = |instruction: &&Instruction| instruction.keyword == "FROM";
        let begins = self.instructions.iter().enumerate().filter(|(_, one)| is_from(one));
        let begins: Vec<usize> = begins.map(|(index, _)| index).collect();
        let ends = begins.iter().skip(1).copied().chain([self.instructions.len()]);
        begins.iter().zip(ends).map(|(begin, end)| stage(&self.instructions[*begin..end])).collect()
    }

    /// Names that `ARG` declares anywhere.
    pub(crate) fn declared_args(&self) -> BTreeSet<String> {
        let args = self.instructions.iter().filter(|instruction| instruction.keyword == "ARG");
        args.flat_map(|instruction| words::split(&instruction.arguments, self.escape))
            .map(|word| word.split_once('=').map_or(word.clone(), |(name, _)| name.to_owned()))
            .filter(|name| !name.is_empty())
            .collect()
    }

    /// The arguments before the first stage with their values, as `FROM` sees them.
    pub(crate) fn global_args(&self, given: &[(String, String)]) -> Vec<(String, String)> {
        let mut known: Vec<(String, String)> = Vec::new();
        for instruction in self.instructions.iter().take_while(|one| one.keyword != "FROM") {
            if instruction.keyword != "ARG" {
                continue;
            }
            for word in words::split(&instruction.arguments, self.escape) {
                let (name, default) = word.split_once('=').unwrap_or((&word, ""));
                let value = given.iter().find(|(given, _)| given == name);
                let value = match value {
                    Some((_, value)) => value.clone(),
                    None => words::expand(default, &known),
                };
                known.push((name.to_owned(), value));
            }
        }
        known
    }
}

/// Names that `ARG` declares anywhere in a Dockerfile. Only these of a service's variables can
/// change what is built.
#[must_use]
pub fn declared_args(dockerfile: &str) -> BTreeSet<String> {
    Dockerfile::parse(dockerfile).declared_args()
}

/// One space for each run of white space.
pub(crate) fn squeeze(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn stage(instructions: &[Instruction]) -> Stage<'_> {
    let words = instructions.first().map_or("", |from| from.arguments.as_str()).split_whitespace();
    let mut words = words.skip_while(|word| word.starts_with("--"));
    let base = words.next().unwrap_or_default();
    let is_as = words.next().is_some_and(|word| word.eq_ignore_ascii_case("as"));
    Stage { instructions, name: words.next().filter(|_| is_as), base }
}

/// `# escape=` among the directives that a file may begin with.
fn escape_character(lines: &[&str]) -> char {
    let directives = lines.iter().map_while(|line| {
        let (key, value) = line.trim().strip_prefix('#')?.split_once('=')?;
        let key = key.trim();
        let is_name = !key.is_empty() && key.chars().all(|letter| letter.is_ascii_alphanumeric());
        is_name.then(|| (key.to_ascii_lowercase(), value.trim()))
    });
    let mut escapes = directives.filter(|(key, _)| key == "escape");
    if escapes.next().is_some_and(|(_, value)| value == "`") { '`' } else { '\\' }
}

/// The line at `at` together with those it goes on in, without comments and blank lines between.
fn logical_line(lines: &[&str], at: &mut usize, escape: char) -> String {
    let mut logical = String::new();
    while let Some(line) = lines.get(*at) {
        *at += 1;
        let trimmed = line.trim_end();
        let is_between = trimmed.is_empty() || trimmed.trim_start().starts_with('#');
        if is_between && !logical.is_empty() {
            continue;
        }
        match trimmed.strip_suffix(escape) {
            Some(part) => logical.push_str(part),
            None => {
                logical.push_str(trimmed);
                break;
            }
        }
    }
    logical
}

fn documents(arguments: &str, lines: &[&str], at: &mut usize) -> Vec<Document> {
    let mut documents = Vec::new();
    for marker in words::markers(arguments) {
        let mut text = String::new();
        while let Some(line) = lines.get(*at) {
            *at += 1;
            let line = if marker.strips_tabs { line.trim_start_matches('\t') } else { line };
            if line.trim_end_matches('\r') == marker.name {
                break;
            }
            text.push_str(line);
            text.push('\n');
        }
        documents.push(Document { name: marker.name, is_expanded: marker.is_expanded, text });
    }
    documents
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each line of the expectation: first and last line, keyword, arguments.
    fn check(text: &str, expected: &[(usize, usize, &str, &str)]) {
        let file = Dockerfile::parse(text);
        let found: Vec<_> = file
            .instructions
            .iter()
            .map(|one| (one.line, one.last_line, one.keyword.as_str(), one.arguments.as_str()))
            .collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn lines_that_go_on_are_one_instruction() {
        check(
            "# a comment\n\nfrom node:20\nRUN a && \\\n  # why\n\n  b \\  \n  && c\nCMD [\"x\"]\r\n",
            &[
                (3, 3, "FROM", "node:20"),
                (4, 8, "RUN", "a &&   b   && c"),
                (9, 9, "CMD", "[\"x\"]"),
            ],
        );
    }

    #[test]
    fn another_escape_character_can_be_chosen() {
        check(
            "# syntax=docker/dockerfile:1\n# escape=`\nFROM a\nRUN x `\n  y\\\nRUN z",
            &[(3, 3, "FROM", "a"), (4, 5, "RUN", "x   y\\"), (6, 6, "RUN", "z")],
        );
        check("# a\n# escape=`\nRUN x `\n", &[(3, 3, "RUN", "x `")]);
    }

    #[test]
    fn here_documents_belong_to_their_instruction() {
        let text = "FROM a\nRUN <<EOF\nFROM b\nRUN c\nEOF\nCOPY <<-'ONE' <<TWO /etc/\n\t1\n\tONE\n$2\nTWO\nRUN echo $((1<<2)) <<< x\n";
        check(
            text,
            &[
                (1, 1, "FROM", "a"),
                (2, 5, "RUN", "<<EOF"),
                (6, 10, "COPY", "<<-'ONE' <<TWO /etc/"),
                (11, 11, "RUN", "echo $((1<<2)) <<< x"),
            ],
        );
        let file = Dockerfile::parse(text);
        let document = |name: &str, is_expanded, text: &str| Document {
            name: name.to_owned(),
            is_expanded,
            text: text.to_owned(),
        };
        assert_eq!(file.instructions[1].documents, [document("EOF", true, "FROM b\nRUN c\n")]);
        assert_eq!(
            file.instructions[2].documents,
            [document("ONE", false, "1\n"), document("TWO", true, "$2\n")]
        );
    }

    #[test]
    fn stages_have_names_and_bases() {
        let file = Dockerfile::parse(
            "ARG V=1\nFROM --platform=$BUILDPLATFORM node:$V AS build\nRUN x\nFROM scratch\nCOPY --from=build /a /b\n",
        );
        let stages = file.stages();
        let seen: Vec<_> =
            stages.iter().map(|stage| (stage.name, stage.base, stage.instructions.len())).collect();
        assert_eq!(seen, [(Some("build"), "node:$V", 2), (None, "scratch", 2)]);
        let options: Vec<_> = file.instructions[4].options().collect();
        assert_eq!(options, [("from", "build")]);
    }

    #[test]
    fn only_declared_arguments_are_named() {
        let text =
            "ARG A\nFROM x\nARG B=1 C=\"two words\"\nENV D=1\narg E\nRUN <<EOF\nARG F\nEOF\n";
        let names: Vec<_> = declared_args(text).into_iter().collect();
        assert_eq!(names, ["A", "B", "C", "E"]);
    }

    #[test]
    fn arguments_before_the_first_stage_have_values() {
        let file = Dockerfile::parse("ARG A=1\nARG B=\"${A}.2\"\nARG C\nFROM a:$B\nARG D=4\n");
        let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        assert_eq!(file.global_args(&[]), [pair("A", "1"), pair("B", "1.2"), pair("C", "")]);
        let given = file.global_args(&[pair("A", "7")]);
        assert_eq!(given, [pair("A", "7"), pair("B", "7.2"), pair("C", "")]);
    }

    #[test]
    fn hostile_texts_end() {
        for text in ["", "\\", "RUN <<EOF", "FROM", "RUN a \\", "\u{feff}FROM a", "RUN <<", "#=\n="]
        {
            let file = Dockerfile::parse(text);
            assert!(file.stages().len() <= 1, "{text}");
            let _ = file.declared_args();
        }
    }
}
