//! The images that a build is built upon, so that they can be fetched before any step runs: steps
//! have a network of their own, and registries may be on the host's loopback.

use super::file::{Dockerfile, Instruction, Stage};
use super::words;

/// An image of a registry, as a Dockerfile names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BaseImage {
    /// With its variables replaced.
    pub(crate) name: String,
    /// Another platform than this machine's.
    pub(crate) platform: Option<String>,
    /// Line of the instruction that names it; 0 for a context of the declaration.
    pub(crate) line: usize,
}

/// What is given besides the file.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Given<'a> {
    pub(crate) args: &'a [(String, String)],
    /// The stage to build; the last one where `None`.
    pub(crate) target: Option<&'a str>,
    /// Contexts by name. Those that are images begin with [`IMAGE_CONTEXT`].
    pub(crate) contexts: &'a [(String, String)],
}

/// How a context that is an image begins.
pub(crate) const IMAGE_CONTEXT: &str = "docker://";

/// The images that the wanted stage needs, itself or by way of others, each once.
pub(crate) fn of(file: &Dockerfile, given: &Given<'_>) -> Vec<BaseImage> {
    let stages = file.stages();
    let globals = globals(file, given.args);
    let mut found: Vec<BaseImage> = Vec::new();
    let mut add = |image: BaseImage| {
        if !found.iter().any(|one| (&one.name, &one.platform) == (&image.name, &image.platform)) {
            found.push(image);
        }
    };
    for (_, place) in given.contexts {
        if let Some(name) = place.strip_prefix(IMAGE_CONTEXT) {
            add(BaseImage { name: name.to_owned(), platform: None, line: 0 });
        }
    }
    let Some(last) = wanted(&stages, given.target) else { return found };
    let mut needed = vec![false; stages.len()];
    needed[last] = true;
    for index in (0..=last).rev() {
        if !needed[index] {
            continue;
        }
        for (name, platform, line) in named_by(&stages[index], &globals) {
            let earlier = stages[..index].iter().enumerate().rev().find(|(number, stage)| {
                stage.name.is_some_and(|one| one.eq_ignore_ascii_case(&name))
                    || number.to_string() == name
            });
            let is_context = given.contexts.iter().any(|(context, _)| *context == name);
            match earlier {
                Some((earlier, _)) => needed[earlier] = true,
                None if is_context || name.is_empty() || name == "scratch" => {}
                None => add(BaseImage { name, platform, line }),
            }
        }
    }
    found.sort_by_key(|image| image.line);
    found
}

/// What is known before the first stage.
pub(crate) fn globals(file: &Dockerfile, args: &[(String, String)]) -> Vec<(String, String)> {
    let mut known = platform_args();
    known.extend(file.global_args(args));
    known
}

fn wanted(stages: &[Stage<'_>], target: Option<&str>) -> Option<usize> {
    let Some(target) = target else { return stages.len().checked_sub(1) };
    let is_it = |(index, stage): &(usize, &Stage<'_>)| {
        stage.name.is_some_and(|name| name.eq_ignore_ascii_case(target))
            || index.to_string() == target
    };
    stages.iter().enumerate().find(is_it).map(|(index, _)| index)
}

type Named = (String, Option<String>, usize);

/// What one stage names: its base, and where it copies and mounts from.
fn named_by(stage: &Stage<'_>, globals: &[(String, String)]) -> Vec<Named> {
    let mut named = Vec::new();
    for instruction in stage.instructions {
        let line = instruction.line;
        match instruction.keyword.as_str() {
            "FROM" => {
                let name = words::expand(stage.base.trim_matches(['"', '\'']), globals);
                named.push((name, platform_of(instruction, globals), line));
            }
            "COPY" | "ADD" | "RUN" => {
                for (key, value) in instruction.options() {
                    let parts =
                        value.split(',').filter_map(|part| part.trim().strip_prefix("from="));
                    let whole = (key == "from").then_some(value);
                    let names = parts.chain(whole).map(|name| name.trim_matches(['"', '\'']));
                    named.extend(names.map(|name| (name.to_owned(), None, line)));
                }
            }
            _ => {}
        }
    }
    named
}

/// `--platform=`, where it is not this machine's.
fn platform_of(instruction: &Instruction, globals: &[(String, String)]) -> Option<String> {
    let (_, value) = instruction.options().find(|(key, _)| *key == "platform")?;
    let platform = words::expand(value.trim_matches(['"', '\'']), globals);
    (!platform.is_empty() && platform != own_platform()).then_some(platform)
}

fn own_platform() -> String {
    format!("linux/{}", architecture())
}

/// In the words of images.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// Arguments that every builder knows. Images are built for this machine.
fn platform_args() -> Vec<(String, String)> {
    let mut known = Vec::new();
    for prefix in ["BUILD", "TARGET"] {
        for (name, value) in [
            ("PLATFORM", own_platform()),
            ("OS", "linux".to_owned()),
            ("ARCH", architecture().to_owned()),
        ] {
            known.push((format!("{prefix}{name}"), value));
        }
    }
    known
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, target: Option<&str>, expected: &[(&str, usize)]) {
        let args = [("TAG".to_owned(), "22".to_owned())];
        let contexts = [
            ("tools".to_owned(), "/srv/tools".to_owned()),
            ("extra".to_owned(), "docker://busybox:1".to_owned()),
        ];
        let given = Given { args: &args, target, contexts: &contexts };
        let found = of(&Dockerfile::parse(text), &given);
        let found: Vec<_> = found.iter().map(|image| (image.name.as_str(), image.line)).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn images_are_named_and_stages_and_contexts_are_not() {
        check(
            "ARG TAG=20\nFROM node:$TAG AS Build\nCOPY --from=tools /a /a\nFROM scratch\n\
             COPY --from=build /x /x\nCOPY --from=0 /y /y\nCOPY --from=nginx:1 /z /z\n\
             RUN --mount=type=bind,from=alpine:3,target=/t --mount=from=extra,target=/u x\n\
             RUN --mount=type=bind,from=alpine:3,target=/t y\n",
            None,
            &[("busybox:1", 0), ("node:22", 2), ("nginx:1", 7), ("alpine:3", 8)],
        );
    }

    #[test]
    fn what_the_wanted_stage_does_not_need_is_not_fetched() {
        let text = "FROM a AS one\nFROM b AS two\nFROM one AS three\nCOPY --from=c /x /\nFROM d\n";
        check(text, Some("Three"), &[("busybox:1", 0), ("a", 1), ("c", 4)]);
        check(text, None, &[("busybox:1", 0), ("d", 5)]);
        check("", None, &[("busybox:1", 0)]);
    }

    #[test]
    fn a_platform_is_named_where_it_is_another_one() {
        let other = if architecture() == "amd64" { "linux/arm64" } else { "linux/amd64" };
        let text = format!(
            "FROM --platform=$BUILDPLATFORM a AS one\nFROM --platform={other} b\nCOPY --from=one / /\n"
        );
        let found =
            of(&Dockerfile::parse(&text), &Given { args: &[], target: None, contexts: &[] });
        assert_eq!(found[0].platform, None);
        assert_eq!(found[1].platform.as_deref(), Some(other));
    }
}
