//! What the builder is given to read: the author's Dockerfile, put into words that the builder's
//! version understands, and refused where it reaches out of the build.
//!
//! Older versions of buildah know no here-documents and no `COPY --link`. Both are translated, line
//! by line, so that numbers of steps stay what they are.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use model::Problem;

use super::file::{Dockerfile, Document, Instruction};
use super::parents::{self, Parents};
use super::scope::{self, Origin};
use super::words;

/// Context that the files of `COPY` here-documents are taken from.
pub(crate) const DOCUMENTS: &str = "gable-here-documents";
/// Ways to name an image that lead to the host's own files or to another engine.
const TRANSPORTS: &[&str] = &[
    "atomic:",
    "containers-storage:",
    "dir:",
    "docker-archive:",
    "docker-daemon:",
    "oci:",
    "oci-archive:",
    "openshift:",
    "ostree:",
    "sif:",
    "tarball:",
];

/// What the builder can read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Dialect {
    /// `RUN <<EOF`.
    pub(crate) knows_documents: bool,
    /// `COPY --link`.
    pub(crate) knows_link: bool,
    /// `COPY --parents`.
    pub(crate) knows_parents: bool,
}

/// A text for the builder.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Translated {
    pub(crate) text: String,
    /// Files that the text copies from [`DOCUMENTS`], by name.
    pub(crate) files: BTreeMap<String, String>,
    /// What else it copies from there.
    pub(crate) parents: Vec<Parents>,
}

/// Refuses what would read the host's files, and what no builder can do.
pub(crate) fn check(
    file: &Dockerfile,
    name: &str,
    args: &[(String, String)],
    target: Option<&str>,
) -> Result<(), Problem> {
    let stages = file.stages();
    if stages.is_empty() {
        let problem = Problem::new("dockerfile-invalid", format!("{name} has no `FROM`"));
        return Err(problem.hint("a Dockerfile begins with the image that it builds upon"));
    }
    let globals = file.global_args(args);
    for instruction in &file.instructions {
        check_references(instruction, name, &globals)?;
    }
    let Some(target) = target else { return Ok(()) };
    let is_known = stages.iter().enumerate().any(|(index, stage)| {
        stage.name.is_some_and(|name| name.eq_ignore_ascii_case(target))
            || index.to_string() == target
    });
    if is_known {
        return Ok(());
    }
    let names: Vec<String> =
        stages.iter().filter_map(|stage| stage.name).map(|name| format!("`{name}`")).collect();
    let problem =
        Problem::new("docker-target-missing", format!("{name} has no stage named `{target}`"));
    Err(if names.is_empty() {
        problem.hint("name a stage with `FROM … AS name`, or leave the target out")
    } else {
        problem.hint(format!("its stages are {}", names.join(", ")))
    })
}

fn check_references(
    instruction: &Instruction,
    name: &str,
    globals: &[(String, String)],
) -> Result<(), Problem> {
    let mut references = Vec::new();
    match instruction.keyword.as_str() {
        "FROM" => {
            let words = instruction.arguments.split_whitespace();
            let image = words.clone().find(|word| !word.starts_with("--")).unwrap_or_default();
            references.push(words::expand(image.trim_matches(['"', '\'']), globals));
        }
        "COPY" | "ADD" | "RUN" => {
            for (key, value) in instruction.options() {
                let sources = value.split(',').filter_map(|part| part.trim().strip_prefix("from="));
                references.extend(sources.map(str::to_owned));
                if key == "from" {
                    references.push(value.to_owned());
                }
            }
        }
        _ => return Ok(()),
    }
    for reference in references {
        let bare = reference.trim_matches(['"', '\'']).to_ascii_lowercase();
        let leads_out = TRANSPORTS.iter().any(|transport| bare.starts_with(transport));
        // Builders do not replace variables outside `FROM`; one that did would go unchecked.
        if leads_out || (instruction.keyword != "FROM" && bare.contains('$')) {
            let problem = Problem::new(
                "dockerfile-invalid",
                format!("{name}:{} takes `{reference}`, which is no image", instruction.line),
            );
            return Err(problem
                .detail(instruction.summary())
                .hint("name a stage, or an image of a registry such as `node:22`"));
        }
    }
    Ok(())
}

/// The text in the builder's own words. `original` is returned as it is where nothing needs to be
/// translated.
pub(crate) fn translate(
    original: &str,
    file: &Dockerfile,
    dialect: Dialect,
    origin: &Origin<'_>,
) -> Result<Translated, Problem> {
    let needs = |one: &Instruction| {
        (!dialect.knows_documents && !one.documents.is_empty())
            || (!dialect.knows_link && copies_with(one, "link"))
            || (!dialect.knows_parents && copies_with(one, "parents"))
    };
    if !file.instructions.iter().any(needs) {
        return Ok(Translated { text: original.to_owned(), ..Translated::default() });
    }
    let lines: Vec<&str> = original.lines().collect();
    let mut translated = Translated::default();
    let mut done = 0;
    for instruction in file.instructions.iter().filter(|one| needs(one)) {
        push(&mut translated.text, lines[done..instruction.line - 1].iter().copied());
        let known = || scope::at(file, instruction.line, origin);
        let text = rewritten(instruction, dialect, &known, &mut translated)?;
        push(&mut translated.text, [text.as_str()]);
        // Every line keeps its number.
        push(&mut translated.text, (instruction.line..instruction.last_line).map(|_| ""));
        done = instruction.last_line.min(lines.len());
    }
    push(&mut translated.text, lines[done..].iter().copied());
    Ok(translated)
}

fn push<'a>(text: &mut String, lines: impl IntoIterator<Item = &'a str>) {
    for line in lines {
        text.push_str(line);
        text.push('\n');
    }
}

fn copies_with(instruction: &Instruction, option: &str) -> bool {
    matches!(instruction.keyword.as_str(), "COPY" | "ADD")
        && instruction.options().any(|(key, value)| key == option && value != "false")
}

fn rewritten(
    instruction: &Instruction,
    dialect: Dialect,
    known: &dyn Fn() -> Vec<(String, String)>,
    translated: &mut Translated,
) -> Result<String, Problem> {
    let mut options: Vec<&str> = Vec::new();
    let mut rest = instruction.arguments.as_str();
    while let Some(word) = rest.split_whitespace().next().filter(|word| word.starts_with("--")) {
        let is = |name: &str| word.split('=').next() == Some(name);
        let is_unknown = (is("--link") && !dialect.knows_link)
            || (!dialect.knows_parents && (is("--parents") || is("--exclude")));
        if !is_unknown {
            options.push(word);
        }
        rest = rest.trim_start()[word.len()..].trim_start();
    }
    let mut text = instruction.keyword.clone();
    for option in &options {
        let _ = write!(text, " {option}");
    }
    if !dialect.knows_parents && copies_with(instruction, "parents") {
        return with_parents(&text, rest, instruction, &mut translated.parents);
    }
    if dialect.knows_documents || instruction.documents.is_empty() {
        return Ok(format!("{text} {rest}"));
    }
    if instruction.keyword == "RUN" {
        return Ok(format!("{text} {}", script(rest, instruction)));
    }
    copy(&text, rest, (instruction, known), &mut translated.files)
}

/// `COPY --parents`, from a directory that has the parents already.
fn with_parents(
    beginning: &str,
    rest: &str,
    instruction: &Instruction,
    parents: &mut Vec<Parents>,
) -> Result<String, Problem> {
    let refused = |why: &str| {
        let message = format!("line {} of the Dockerfile {why}", instruction.line);
        Problem::new("docker-copy-parents", message).hint(
            "the builder of this machine is too old for this: copy the directories one by one, or \
             install a newer one",
        )
    };
    let is_plain = instruction.documents.is_empty()
        && !rest.starts_with('[')
        && !rest.contains('$')
        && instruction.options().all(|(key, _)| key != "from");
    if !is_plain {
        return Err(refused(
            "copies with `--parents` from another stage, or names that hold variables",
        ));
    }
    let words: Vec<&str> = rest.split_whitespace().collect();
    let [sources @ .., target] = words.as_slice() else {
        return Err(refused("copies to nowhere"));
    };
    let line = instruction.line;
    let excludes = instruction.options().filter(|(key, _)| *key == "exclude");
    parents.push(Parents {
        line,
        sources: sources.iter().map(|source| (*source).to_owned()).collect(),
        excludes: excludes.map(|(_, pattern)| pattern.to_owned()).collect(),
    });
    let directory = parents::directory(line);
    // What is copied with its parents goes into a directory in any case.
    let slash = if target.ends_with('/') { "" } else { "/" };
    Ok(format!("{beginning} --from={DOCUMENTS} /{directory}/ {target}{slash}"))
}

/// One command with the documents in it. The shell of the image reads them as it would have read
/// them from a file; a document alone is the script itself.
fn script(rest: &str, instruction: &Instruction) -> String {
    let mut script = String::new();
    let is_script = rest.split_whitespace().count() == 1;
    match instruction.documents.as_slice() {
        [document] if is_script => script.push_str(&document.text),
        documents => {
            script.push_str(rest);
            script.push('\n');
            for document in documents {
                let _ = writeln!(script, "{}{}", document.text, document.name);
            }
        }
    }
    let first = script.lines().next().unwrap_or_default();
    let interpreter = first.strip_prefix("#!").filter(|_| is_script).map(str::trim);
    let mut words: Vec<String> =
        interpreter.unwrap_or("/bin/sh").split_whitespace().map(str::to_owned).collect();
    words.extend(["-c".to_owned(), script]);
    serde_json::to_string(&words).expect("texts can always be written as JSON")
}

fn copy(
    beginning: &str,
    rest: &str,
    (instruction, known): (&Instruction, &dyn Fn() -> Vec<(String, String)>),
    files: &mut BTreeMap<String, String>,
) -> Result<String, Problem> {
    let refused = |why: &str| {
        let problem = Problem::new(
            "docker-here-document",
            format!("line {} of the Dockerfile {why}", instruction.line),
        );
        Err(problem.hint(
            "the buildah of this machine is too old for this here-document: move the text into a \
             file of the repository, or install buildah 1.33 or newer",
        ))
    };
    let is_marker = |word: &str| word.starts_with("<<");
    let words: Vec<&str> = rest.split_whitespace().collect();
    let [sources @ .., target] = words.as_slice() else { return refused("copies to nowhere") };
    if !sources.iter().all(|word| is_marker(word)) {
        return refused("copies here-documents together with files");
    }
    let mut text = format!("{beginning} --from={DOCUMENTS}");
    for document in &instruction.documents {
        let body = if has_variables(document) {
            filled(&document.text, &known())
        } else {
            document.text.clone()
        };
        // Two documents of one name may lie at different places of the file.
        let place = format!("{}/{}", instruction.line, document.name);
        let _ = write!(text, " /{place}");
        files.insert(place, body);
    }
    let _ = write!(text, " {target}");
    Ok(text)
}

/// Whether something in it is to be replaced.
fn has_variables(document: &Document) -> bool {
    document.is_expanded && document.text.contains('$')
}

/// The instructions of a file that copy documents with variables in them, where the builder does not
/// do so itself.
pub(crate) fn copies_variables(file: &Dockerfile, dialect: Dialect) -> Vec<&Instruction> {
    let is_one = |one: &&Instruction| {
        !dialect.knows_documents && one.keyword != "RUN" && one.documents.iter().any(has_variables)
    };
    file.instructions.iter().filter(is_one).collect()
}

/// A document with its variables replaced; as in a shell's, `\$` and `\\` are no variables.
fn filled(text: &str, known: &[(String, String)]) -> String {
    let mut filled = String::new();
    for line in text.split_inclusive('\n') {
        let mut rest = line;
        while let Some(at) = rest.find("\\$").into_iter().chain(rest.find("\\\\")).min() {
            filled.push_str(&words::expand(&rest[..at], known));
            filled.push_str(&rest[at + 1..at + 2]);
            rest = &rest[at + 2..];
        }
        filled.push_str(&words::expand(rest, known));
    }
    filled
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: Dialect =
        Dialect { knows_documents: false, knows_link: false, knows_parents: false };

    const ORIGIN: Origin<'_> = Origin { args: &[], images: &[] };

    fn with(text: &str) -> Translated {
        let args = [("MODE".to_owned(), "prod".to_owned())];
        let origin = Origin { args: &args, ..ORIGIN };
        translate(text, &Dockerfile::parse(text), OLD, &origin).unwrap()
    }

    fn check_text(text: &str, expected: &str) -> Translated {
        let translated = with(text);
        assert_eq!(translated.text, expected);
        translated
    }

    #[test]
    fn a_file_without_new_words_is_left_alone() {
        check_text("FROM a\r\nRUN x \\\n y", "FROM a\r\nRUN x \\\n y");
    }

    #[test]
    fn a_script_becomes_one_command_and_later_lines_keep_their_numbers() {
        check_text(
            "FROM a\nRUN <<EOF\nset -e\necho \"$A\"\nEOF\nRUN b\n",
            "FROM a\nRUN [\"/bin/sh\",\"-c\",\"set -e\\necho \\\"$A\\\"\\n\"]\n\n\n\nRUN b\n",
        );
        check_text(
            "RUN --mount=type=cache,target=/c cat <<EOF >/x\nhi\nEOF\n",
            "RUN --mount=type=cache,target=/c [\"/bin/sh\",\"-c\",\"cat <<EOF >/x\\nhi\\nEOF\\n\"]\n\n\n",
        );
    }

    #[test]
    fn a_script_names_its_interpreter() {
        check_text(
            "RUN <<EOF\n#!/usr/bin/env python3\nprint(1)\nEOF\n",
            "RUN [\"/usr/bin/env\",\"python3\",\"-c\",\"#!/usr/bin/env python3\\nprint(1)\\n\"]\n\n\n\n",
        );
    }

    #[test]
    fn copied_documents_become_files() {
        let translated = check_text(
            "COPY --link --chown=1:1 <<'ONE' <<TWO /etc/\n$a\nONE\nb\nTWO\n",
            "COPY --chown=1:1 --from=gable-here-documents /1/ONE /1/TWO /etc/\n\n\n\n\n",
        );
        assert_eq!(translated.files["1/ONE"], "$a\n");
        assert_eq!(translated.files["1/TWO"], "b\n");
    }

    #[test]
    fn files_that_keep_their_parents_are_copied_from_where_they_have_them() {
        let translated = check_text(
            "FROM a\nCOPY --parents --exclude=x --chown=1 **/package.json ./b /app\n",
            "FROM a\nCOPY --chown=1 --from=gable-here-documents /2/parents/ /app/\n",
        );
        let [parents] = &translated.parents[..] else { panic!("{translated:?}") };
        assert_eq!(
            (parents.sources.len(), parents.excludes.as_slice()),
            (2, &["x".to_owned()][..])
        );
        let text = "FROM a\nCOPY --parents --from=b /x /y\n";
        let refused = translate(text, &Dockerfile::parse(text), OLD, &ORIGIN).unwrap_err();
        assert_eq!(refused.code, "docker-copy-parents");
    }

    #[test]
    fn variables_of_copied_documents_are_replaced_by_what_the_step_would_see() {
        let text = "FROM a\nARG MODE=x\nENV HOME=/srv\nCOPY <<A <<-'B' /x/\n\
            mode=$MODE ${NONE:-d} \\$MODE \\\\ \\n $5\n$HOME\nA\n\t$MODE\nB\nENV HOME=/later\n";
        let translated = with(text);
        assert_eq!(translated.files["4/A"], "mode=prod d $MODE \\ \\n \n/srv\n");
        assert_eq!(translated.files["4/B"], "$MODE\n");
        let file = Dockerfile::parse(text);
        assert_eq!(copies_variables(&file, OLD).len(), 1);
        let new = Dialect { knows_documents: true, knows_link: true, knows_parents: true };
        assert!(copies_variables(&file, new).is_empty());
        let text = "FROM a\nCOPY <<A b /x\nA\n";
        let file = Dockerfile::parse(text);
        let refused = translate(text, &file, OLD, &ORIGIN).unwrap_err();
        assert_eq!(refused.code, "docker-here-document");
    }

    #[test]
    fn images_that_are_files_of_the_host_are_refused() {
        let refused = |text: &str| {
            let args = [("T".to_owned(), "i:/srv/other".to_owned())];
            check(&Dockerfile::parse(text), "Dockerfile", &args, None).is_err()
        };
        assert!(refused("FROM oci:/srv/other"));
        assert!(refused("ARG T\nFROM oc${T}"));
        assert!(refused("ARG A=docker-daemon:x\nFROM --platform=linux/amd64 \"$A\""));
        assert!(refused("FROM a\nCOPY --from=dir:/etc /a /b"));
        assert!(refused("FROM a\nCOPY --from=$X /a /b"));
        assert!(refused("FROM a\nRUN --mount=type=bind,from=containers-storage:x,target=/t x"));
        assert!(refused("RUN x"));
        assert!(!refused("FROM node:20 AS a\nCOPY --from=a /a /b\nRUN --mount=type=cache,id=$A x"));
    }

    #[test]
    fn a_stage_that_is_not_there_is_named_with_those_that_are() {
        let file = Dockerfile::parse("FROM a AS build\nFROM b AS Web\n");
        assert_eq!(check(&file, "Dockerfile", &[], Some("web")), Ok(()));
        let problem = check(&file, "Dockerfile", &[], Some("wbe")).unwrap_err();
        assert_eq!(problem.code, "docker-target-missing");
        assert_eq!(problem.hint.as_deref(), Some("its stages are `build`, `Web`"));
    }
}
