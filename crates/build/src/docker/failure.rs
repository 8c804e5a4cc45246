//! Why a Dockerfile's build failed: which instruction, on which line, and what its output says.

use model::Problem;

use crate::causes;
use crate::run::{Failure, TAIL_LINES};

use super::file::{Dockerfile, Instruction, squeeze};

/// What the builder says when it begins, so that an earlier attempt in the same log is left out.
pub(crate) const BEGINS: &str = "building the image";

/// What is known besides the log.
#[derive(Debug, Clone, Copy)]
pub(crate) struct About<'a> {
    pub(crate) service: &'a str,
    pub(crate) file: &'a Dockerfile,
    /// The Dockerfile's path in the repository.
    pub(crate) name: &'a str,
    /// How the builder ended: `exited with status 1`.
    pub(crate) end: &'a str,
    /// Line of the instruction that was worked on, where that is known without the log.
    pub(crate) line: Option<usize>,
    /// Names that exist in the environment's private network, and for no step.
    pub(crate) private_names: &'a [String],
}

/// A step that a builder announced.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Step {
    /// From 1; `None` where there is one stage only.
    stage: Option<usize>,
    /// From 1, within its stage.
    number: usize,
    text: String,
}

/// Explains a failed build from its log, oldest line first.
pub(crate) fn explain(about: &About<'_>, lines: &[String]) -> Failure {
    let begin = lines.iter().rposition(|line| line.starts_with(BEGINS)).map_or(0, |at| at + 1);
    let lines = &lines[begin..];
    let announced = lines.iter().enumerate().rev().find_map(|(at, line)| Some((at, step(line)?)));
    let error = lines.iter().rev().find_map(|line| error_text(line)).unwrap_or_default();
    let known =
        about.line.and_then(|line| about.file.instructions.iter().find(|one| one.line == line));
    let instruction = known
        .or_else(|| named_line(lines, about))
        .or_else(|| announced.as_ref().and_then(|(_, step)| find(about.file, step)));
    let output = announced.as_ref().map_or(lines, |(at, _)| &lines[at + 1..]);
    let output: Vec<&String> = output.iter().filter(|line| !is_builders_own(line)).collect();
    let found = causes::diagnose(&output);
    let problem = of_the_machine(about, error)
        .or_else(|| of_the_base(about, instruction, error))
        .or_else(|| of_a_copy(about, instruction, error))
        .or_else(|| of_the_private_network(about, instruction, &output))
        .unwrap_or_else(|| of_a_step(about, instruction, error, &found, &output));
    let decisive = found.decisive.map(|decisive| decisive.line);
    let first_cause =
        found.first.map(|first| first.line).filter(|line| Some(line) != decisive.as_ref());
    let tail = lines.len().saturating_sub(TAIL_LINES);
    Failure { problem, log_tail: lines[tail..].to_vec(), first_cause }
}

/// `Dockerfile:12: RUN npm run build`.
fn place(about: &About<'_>, instruction: Option<&Instruction>) -> String {
    match instruction {
        Some(one) => format!("{}:{}: {}", about.name, one.line, one.summary()),
        None => about.name.to_owned(),
    }
}

fn of_a_step(
    about: &About<'_>,
    instruction: Option<&Instruction>,
    error: &str,
    found: &causes::Diagnosis,
    output: &[&String],
) -> Problem {
    let Some(_) = instruction else {
        let message =
            format!("the image of {} could not be built: it {}", about.service, about.end);
        let problem = Problem::new("docker-build-failed", message)
            .hint("the lines around it say why; `gable logs --build SERVICE` shows all of them");
        return if error.is_empty() { problem } else { problem.detail(error) };
    };
    let mut message =
        format!("the build of {} failed at {}", about.service, place(about, instruction));
    if let Some(status) = exit_status(error) {
        message.push_str(&format!(" (exit status {status})"));
    }
    let problem = Problem::new("docker-step-failed", message);
    let problem = match &found.decisive {
        Some(decisive) => problem.detail(decisive.line.clone()).hint(decisive.hint.clone()),
        None => problem
            .hint("the lines around it say why; `gable logs --build SERVICE` shows all of them"),
    };
    if problem.detail.is_some() {
        return problem;
    }
    let last = output.iter().rev().map(|line| line.trim()).find(|line| !line.is_empty());
    match last.or(Some(error)).filter(|text| !text.is_empty()) {
        Some(text) => problem.detail(text),
        None => problem,
    }
}

fn of_the_machine(about: &About<'_>, error: &str) -> Option<Problem> {
    if !error.to_ascii_lowercase().contains("no space left on device") {
        return None;
    }
    let message = format!("the disk is full: the image of {} could not be built", about.service);
    Some(
        Problem::new("disk-full", message)
            .detail(error)
            .hint("free some space; `gable doctor` shows what Gable itself uses"),
    )
}

fn of_the_base(
    about: &About<'_>,
    instruction: Option<&Instruction>,
    error: &str,
) -> Option<Problem> {
    const ABOUT_IMAGES: &[&str] = &[
        "creating build container",
        "initializing source docker://",
        "pinging container registry",
        "failed to resolve source metadata",
        "pull access denied",
    ];
    if !ABOUT_IMAGES.iter().any(|part| error.contains(part)) {
        return None;
    }
    let has = |parts: &[&str]| parts.iter().any(|part| error.contains(part));
    let at = place(about, instruction);
    let (code, message, hint) = if has(&[
        "unauthorized",
        "authentication required",
        "access to the resource is denied",
        "pull access denied",
        "denied:",
        "403",
    ]) {
        (
            "docker-base-image-login",
            format!("the base image in {at} wants a login, or does not exist"),
            "name a `registryCredential:` for private images, and look at the spelling",
        )
    } else if has(&["manifest unknown", "not found", "name unknown", "404"]) {
        (
            "docker-base-image-missing",
            format!("the base image in {at} does not exist"),
            "look at the spelling and the tag: the registry answers, and has no such image",
        )
    } else {
        (
            "docker-base-image-unreachable",
            format!("the base image in {at} could not be fetched"),
            "the registry did not answer: check the network, name a mirror, or give proxies with \
             `--operator-env` (HTTPS_PROXY)",
        )
    };
    Some(Problem::new(code, message).detail(error).hint(hint))
}

/// A step that asks for a data store: steps have a way out to the internet and nothing else.
fn of_the_private_network(
    about: &About<'_>,
    instruction: Option<&Instruction>,
    output: &[&String],
) -> Option<Problem> {
    /// What programs say of a host that they cannot find or reach, in lower case.
    const UNREACHABLE: &[&str] = &[
        "can't reach",
        "cannot reach",
        "could not connect",
        "could not translate host name",
        "connection refused",
        "connection timed out",
        "eai_again",
        "econnrefused",
        "enetunreach",
        "enotfound",
        "failed to connect",
        "failed to resolve",
        "getaddrinfo",
        "bad address",
        "name does not resolve",
        "name or service not known",
        "name resolution",
        "no address associated",
        "no such host",
        "nodename nor servname",
        "unable to connect",
        "unable to resolve",
        "unknown host",
        "unknownhostexception",
        "could not resolve",
    ];
    let is_unreachable = |line: &str| {
        let line = line.to_ascii_lowercase();
        UNREACHABLE.iter().any(|text| line.contains(text))
    };
    let named = |line: &str| about.private_names.iter().find(|name| has_word(line, name));
    let (line, name) = output
        .iter()
        .rev()
        .filter(|line| is_unreachable(line))
        .find_map(|line| Some((line, named(line)?)))?;
    let at = place(about, instruction);
    let message = format!(
        "{at} asks for `{name}`, and steps of a Dockerfile reach the internet and nothing else"
    );
    Some(Problem::new("build-private-network", message).detail(line.trim()).hint(
        "do it when the data store is there: in `preDeployCommand:` (`pre_start:` in a compose \
         file), or when the service starts",
    ))
}

/// Whether a name stands in a line by itself, and not as a part of a longer one.
fn has_word(line: &str, name: &str) -> bool {
    let goes_on = |letter: char| letter.is_alphanumeric() || letter == '-' || letter == '_';
    line.match_indices(name).any(|(at, _)| {
        !line[..at].ends_with(goes_on) && !line[at + name.len()..].starts_with(goes_on)
    })
}

fn of_a_copy(about: &About<'_>, instruction: Option<&Instruction>, error: &str) -> Option<Problem> {
    let instruction = instruction.filter(|one| matches!(one.keyword.as_str(), "COPY" | "ADD"))?;
    let is_missing = ["no such file or directory", "not found", "no items matching"]
        .iter()
        .any(|part| error.contains(part));
    if !is_missing {
        return None;
    }
    let at = place(about, Some(instruction));
    let from = instruction.options().find(|(key, _)| *key == "from").map(|(_, from)| from);
    let hint = if error.contains("filtered out") || error.contains("dockerignore") {
        "`.dockerignore` leaves it out of the build context: take it from the list there".to_owned()
    } else if let Some(from) = from {
        format!("the stage or image `{from}` has no such file: an earlier step has to make it")
    } else {
        "paths are relative to the build context (`dockerContext:`), and files that `.gitignore` \
         names are not in the source"
            .to_owned()
    };
    let message = format!("{at} copies something that is not there");
    Some(Problem::new("docker-copy-missing", message).detail(error).hint(hint))
}

/// The instruction that a step is. Numbers count instructions of the stage, or of the whole file
/// where no stage is said; the text decides when a builder counts otherwise.
fn find<'a>(file: &'a Dockerfile, step: &Step) -> Option<&'a Instruction> {
    let stages = file.stages();
    let among: Vec<&Instruction> = match step.stage {
        Some(stage) => stages.get(stage - 1)?.instructions.iter().collect(),
        None => stages.iter().flat_map(|stage| stage.instructions.iter()).collect(),
    };
    let text = squeeze(&step.text);
    let is_it =
        |one: &&&Instruction| squeeze(&format!("{} {}", one.keyword, one.arguments)) == text;
    let keyword = step.text.split_whitespace().next().unwrap_or_default().to_ascii_uppercase();
    let counted = among.get(step.number.checked_sub(1)?);
    let counted = counted.filter(|one| one.keyword == keyword);
    let is_sure = |one: &&&Instruction| step.stage.is_some() || is_it(one);
    let found = counted.filter(is_sure).or_else(|| among.iter().find(is_it)).or(counted);
    found.copied()
}

/// `STEP 2/7: RUN x`, `[2/3] STEP 2/7: RUN x`, `Step 2/7 : RUN x`.
fn step(line: &str) -> Option<Step> {
    let (stage, rest) = match line.strip_prefix('[') {
        Some(rest) => {
            let (count, rest) = rest.split_once("] ")?;
            (Some(count.split_once('/')?.0.trim().parse().ok().filter(|one| *one > 0)?), rest)
        }
        None => (None, line),
    };
    let rest = rest.strip_prefix("STEP ").or_else(|| rest.strip_prefix("Step "))?;
    let (count, text) = rest.split_once(':')?;
    let number = count.split_once('/')?.0.trim().parse().ok()?;
    Some(Step { stage, number, text: text.trim().to_owned() })
}

/// BuildKit ends with the place itself: `Dockerfile:12`.
fn named_line<'a>(lines: &[String], about: &About<'a>) -> Option<&'a Instruction> {
    let base = about.name.rsplit('/').next().unwrap_or(about.name);
    let number: usize = lines
        .iter()
        .rev()
        .find_map(|line| line.strip_prefix(base)?.strip_prefix(':')?.trim_end().parse().ok())?;
    let mut instructions = about.file.instructions.iter();
    instructions.find(|one| (one.line..=one.last_line).contains(&number))
}

fn error_text(line: &str) -> Option<&str> {
    ["Error: ", "ERROR: ", "error: "].iter().find_map(|start| line.strip_prefix(start))
}

/// Lines of the builder's in between a step's own.
fn is_builders_own(line: &str) -> bool {
    line.starts_with("subprocess exited with status")
        || line.starts_with("Error: building at STEP")
        || line.starts_with("Error: while running runtime")
        || line.starts_with("time=\"")
}

fn exit_status(error: &str) -> Option<u32> {
    let (_, number) =
        error.rsplit_once("exit status ").or_else(|| error.rsplit_once("exit code: "))?;
    number.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "ARG A\nFROM scratch AS base\nCOPY x /\nFROM base\n\nRUN a && \\\n  b\nCOPY --from=base /y /z\n";

    fn check(log: &str, code: &str, parts: &[&str]) {
        let file = Dockerfile::parse(FILE);
        let about = About {
            service: "web",
            file: &file,
            name: "docker/Dockerfile",
            end: "exited with status 1",
            line: None,
            private_names: &["db".to_owned(), "dpg-abc".to_owned()],
        };
        let lines: Vec<String> = log.lines().map(str::to_owned).collect();
        let problem = explain(&about, &lines).problem;
        assert_eq!(problem.code, code, "{problem:?}");
        let text = format!("{problem:?}");
        for part in parts {
            assert!(text.contains(part), "{part} is not in {text}");
        }
    }

    #[test]
    fn a_failing_step_is_named_with_its_line() {
        check(
            "[1/2] STEP 2/2: COPY x /\n[2/2] STEP 2/3: RUN a &&   b\nsh: 1: a: not found\nsubprocess exited with status 127\nError: building at STEP \"RUN a &&   b\": while running runtime: exit status 127",
            "docker-step-failed",
            &["docker/Dockerfile:6: RUN a && b", "exit status 127", "sh: 1: a: not found"],
        );
        check(
            "#8 [base 4/6] RUN x\n#8 0.1 npm error Missing script: \"bulid\"\n------\nDockerfile:7\n--------------------\nERROR: failed to solve: process \"/bin/sh -c a\" did not complete successfully: exit code: 1",
            "docker-step-failed",
            &["docker/Dockerfile:6", "exit status 1", "Missing script"],
        );
        check(
            "Step 5/6 : RUN a &&   b\n ---> Running in 261e4309d9e4\nThe command '/bin/sh -c a' returned a non-zero code: 1",
            "docker-step-failed",
            &["docker/Dockerfile:6: RUN a && b", "non-zero code"],
        );
    }

    #[test]
    fn a_step_that_cannot_be_kept_is_not_the_registrys_fault() {
        check(
            "[1/2] STEP 2/2: COPY x /\nError: committing container for step {}: copying layers and metadata for container \"3f\": initializing source containers-storage:3f-working-container: internal error: history lists 1 non-empty layers, but we have 2 layers on disk",
            "docker-step-failed",
            &["docker/Dockerfile:3: COPY x /", "history lists 1 non-empty layers"],
        );
    }

    #[test]
    fn an_earlier_attempt_in_the_log_does_not_count() {
        let earlier = "building the image\nSTEP 1/1: RUN b\nError: no space left on device\n";
        check(
            &format!(
                "{earlier}building the image\n[2/2] STEP 2/3: RUN a\nError: building at STEP \"RUN a\": exit status 3"
            ),
            "docker-step-failed",
            &["exit status 3"],
        );
    }

    #[test]
    fn base_images_that_cannot_be_had_say_why() {
        let at = "[1/2] STEP 1/2: FROM node:99 AS base\nError: creating build container: initializing source docker://node:99: ";
        for (error, code) in [
            (
                "reading manifest 99 in docker.io/library/node: manifest unknown",
                "docker-base-image-missing",
            ),
            (
                "reading manifest 99: unauthorized: authentication required",
                "docker-base-image-login",
            ),
            (
                "pinging container registry docker.io: Get \"https://x/v2/\": dial tcp: lookup x: no such host",
                "docker-base-image-unreachable",
            ),
        ] {
            check(&format!("{at}{error}"), code, &["docker/Dockerfile:2: FROM scratch AS base"]);
        }
    }

    #[test]
    fn missing_sources_of_a_copy_are_told_from_ignored_ones() {
        let at = "[2/2] STEP 3/3: COPY --from=base /y /z\nError: building at STEP \"COPY --from=base /y /z\": ";
        check(
            &format!(
                "{at}checking on sources under \"/r\": copier: stat: \"/y\": no such file or directory"
            ),
            "docker-copy-missing",
            &["docker/Dockerfile:8", "`base` has no such file"],
        );
        check(
            "[1/2] STEP 2/2: COPY x /\nError: building at STEP \"COPY x /\": no items matching glob \"/c/x\" copied (1 filtered out using /c/.dockerignore): no such file or directory",
            "docker-copy-missing",
            &["Dockerfile:3", "`.dockerignore` leaves it out"],
        );
    }

    #[test]
    fn a_full_disk_is_the_machines_fault() {
        check(
            "[2/2] STEP 2/3: RUN a\nError: building at STEP \"RUN a\": committing: write /x: no space left on device",
            "disk-full",
            &["no space left"],
        );
    }

    #[test]
    fn a_step_that_asks_for_a_data_store_is_told_that_it_cannot() {
        let at = "[2/2] STEP 2/3: RUN a &&   b\n";
        let end =
            "subprocess exited with status 1\nError: building at STEP \"RUN a\": exit status 1";
        for line in [
            "psql: error: could not translate host name \"db\" to address: Name or service not known",
            "Error: P1001: Can't reach database server at `dpg-abc:5432`",
            "Error: getaddrinfo ENOTFOUND db",
            "nc: bad address 'dpg-abc'",
        ] {
            check(
                &format!("{at}{line}\n{end}"),
                "build-private-network",
                &["docker/Dockerfile:6: RUN a && b asks for `d", "preDeployCommand"],
            );
        }
        for line in [
            "npm error getaddrinfo ENOTFOUND packages.example.com",
            "could not resolve db-tools",
            "seeding db",
        ] {
            check(&format!("{at}{line}\n{end}"), "docker-step-failed", &[]);
        }
    }

    #[test]
    fn a_builder_that_says_nothing_is_quoted_with_how_it_ended() {
        check("", "docker-build-failed", &["exited with status 1"]);
        check("gable: cannot make namespaces: EPERM", "docker-build-failed", &[]);
    }
}
