//! The variables that an instruction sees: arguments of its stage, and the environment that the stage
//! has by then, which begins with that of the stage or image it builds upon.

use super::bases;
use super::file::{Dockerfile, Instruction, Stage};
use super::words;

type Pairs = Vec<(String, String)>;

/// What variables come from besides the file.
#[derive(Clone, Copy)]
pub(crate) struct Origin<'a> {
    /// Arguments that were given, by name.
    pub(crate) args: &'a [(String, String)],
    /// Environments of images, by the images' names.
    pub(crate) images: &'a [(String, Pairs)],
}

/// The variables that the instruction on a line sees. One that stands twice counts with its last
/// value.
pub(crate) fn at(file: &Dockerfile, line: usize, origin: &Origin<'_>) -> Pairs {
    let stages = file.stages();
    let index = stages
        .iter()
        .rposition(|stage| stage.instructions.first().is_some_and(|from| from.line <= line));
    let globals = bases::globals(file, origin.args);
    match index {
        Some(index) => {
            let reader = Reader { file, stages: &stages, globals: &globals, origin };
            let (args, env) = reader.until(index, line);
            [args, env].concat()
        }
        None => globals,
    }
}

/// The image that the stage of an instruction is built upon, by way of other stages too.
pub(crate) fn image_of(
    file: &Dockerfile,
    line: usize,
    args: &[(String, String)],
) -> Option<String> {
    let stages = file.stages();
    let mut index = stages
        .iter()
        .rposition(|stage| stage.instructions.first().is_some_and(|from| from.line <= line))?;
    let globals = bases::globals(file, args);
    loop {
        let base = words::expand(stages[index].base.trim_matches(['"', '\'']), &globals);
        match earlier(&stages, index, &base) {
            Some(before) => index = before,
            None => return (base != "scratch").then_some(base),
        }
    }
}

/// The stage of this name before another.
fn earlier(stages: &[Stage<'_>], index: usize, name: &str) -> Option<usize> {
    stages[..index]
        .iter()
        .rposition(|stage| stage.name.is_some_and(|known| known.eq_ignore_ascii_case(name)))
}

struct Reader<'a> {
    file: &'a Dockerfile,
    stages: &'a [Stage<'a>],
    globals: &'a [(String, String)],
    origin: &'a Origin<'a>,
}

impl Reader<'_> {
    /// Arguments and environment of a stage before a line.
    fn until(&self, index: usize, line: usize) -> (Pairs, Pairs) {
        let stage = &self.stages[index];
        let base = words::expand(stage.base.trim_matches(['"', '\'']), self.globals);
        let mut env = match earlier(self.stages, index, &base) {
            Some(before) => self.until(before, usize::MAX).1,
            None => {
                let known = self.origin.images.iter().find(|(name, _)| *name == base);
                known.map(|(_, env)| env.clone()).unwrap_or_default()
            }
        };
        let mut args = Pairs::new();
        for instruction in stage.instructions.iter().take_while(|one| one.line < line) {
            match instruction.keyword.as_str() {
                "ARG" => self.declare(instruction, &mut args, &env),
                "ENV" => self.set(instruction, &args, &mut env),
                _ => {}
            }
        }
        (args, env)
    }

    fn declare(&self, instruction: &Instruction, args: &mut Pairs, env: &[(String, String)]) {
        for word in words::split(&instruction.arguments, self.file.escape) {
            let (name, default) = match word.split_once('=') {
                Some((name, default)) => (name, Some(default)),
                None => (word.as_str(), None),
            };
            let of = |pairs: &[(String, String)]| {
                pairs.iter().rev().find(|(key, _)| key == name).map(|(_, value)| value.clone())
            };
            let default = default.map(|text| words::expand(text, &[args.as_slice(), env].concat()));
            let value = of(self.origin.args).or(default).or_else(|| of(self.globals));
            args.push((name.to_owned(), value.unwrap_or_default()));
        }
    }

    /// `ENV A=1 B=2`, and the old form `ENV A 1`.
    fn set(&self, instruction: &Instruction, args: &[(String, String)], env: &mut Pairs) {
        let known = [args, env.as_slice()].concat();
        let words = words::split(&instruction.arguments, self.file.escape);
        if words.first().is_some_and(|word| !word.contains('=')) {
            let rest = instruction.arguments.trim().split_once(char::is_whitespace);
            if let Some((name, value)) = rest {
                env.push((name.to_owned(), words::expand(value.trim(), &known)));
            }
            return;
        }
        for word in words {
            if let Some((name, value)) = word.split_once('=') {
                env.push((name.to_owned(), words::expand(value, &known)));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "ARG MODE=dev\nARG OTHER=o\nFROM node:20 AS base\nENV HOME_DIR=/srv A=1\n\
        ARG LATE=x\nFROM base AS app\nARG MODE\nARG NEXT=${A}2\nENV A $MODE-a\nCOPY a b\nENV B=3\n\
        FROM scratch\nARG MODE=prod\nCOPY c d\n";

    fn check(line: usize, args: &[(&str, &str)], expected: &[(&str, &str)]) {
        let args: Pairs = args.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect();
        let images = [("node:20".to_owned(), vec![("PATH".to_owned(), "/bin".to_owned())])];
        let found = at(&Dockerfile::parse(FILE), line, &Origin { args: &args, images: &images });
        let found: Vec<_> = found.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn a_stage_inherits_an_environment_and_declares_its_arguments() {
        let env = [("PATH", "/bin"), ("HOME_DIR", "/srv"), ("A", "1"), ("A", "dev-a")];
        check(10, &[], &[&[("MODE", "dev"), ("NEXT", "12")][..], &env[..]].concat());
        check(14, &[("MODE", "test"), ("OTHER", "no")], &[("MODE", "test")]);
        check(14, &[], &[("MODE", "prod")]);
    }

    #[test]
    fn the_image_below_a_stage_is_found_by_way_of_others() {
        let file = Dockerfile::parse(FILE);
        assert_eq!(image_of(&file, 10, &[]).as_deref(), Some("node:20"));
        assert_eq!(image_of(&file, 14, &[]), None);
    }
}
