//! The programs that builds and databases use.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::{Line, Verdict};

/// A program that builds use.
struct Tool {
    /// What it is called in the report.
    name: &'static str,
    /// Programs, in order of preference, with the arguments that make them tell their version.
    programs: &'static [(&'static str, &'static [&'static str])],
    /// Debian packages that bring it.
    packages: &'static [&'static str],
    /// Whether everything is less without it.
    is_needed: bool,
}

const VERSION: &[&str] = &["--version"];

const TOOLS: &[Tool] = &[
    Tool { name: "git", programs: &[("git", VERSION)], packages: &["git"], is_needed: true },
    Tool { name: "node", programs: &[("node", VERSION)], packages: &["nodejs"], is_needed: false },
    Tool { name: "npm", programs: &[("npm", VERSION)], packages: &["npm"], is_needed: false },
    Tool {
        name: "python",
        programs: &[("python3", VERSION)],
        packages: &["python3"],
        is_needed: false,
    },
    Tool {
        name: "python venv",
        programs: &[(
            "python3",
            &["-c", "import ensurepip, venv, sys; print('with', 'ensurepip')"],
        )],
        packages: &["python3-venv"],
        is_needed: false,
    },
    Tool {
        name: "pip",
        programs: &[("pip3", VERSION)],
        packages: &["python3-pip"],
        is_needed: false,
    },
    Tool {
        name: "ruby",
        programs: &[("ruby", VERSION)],
        packages: &["ruby-full"],
        is_needed: false,
    },
    Tool {
        name: "bundler",
        programs: &[("bundle", VERSION)],
        packages: &["ruby-bundler"],
        is_needed: false,
    },
    Tool {
        name: "go",
        programs: &[("go", &["version"])],
        packages: &["golang-go"],
        is_needed: false,
    },
    Tool { name: "rust", programs: &[("cargo", VERSION)], packages: &["cargo"], is_needed: false },
    Tool {
        name: "elixir",
        programs: &[("elixir", &["--short-version"])],
        packages: &["elixir"],
        is_needed: false,
    },
    Tool {
        name: "compiler",
        programs: &[("cc", VERSION)],
        packages: &["build-essential"],
        is_needed: false,
    },
    Tool {
        name: "Key Value",
        programs: &[("valkey-server", VERSION), ("redis-server", VERSION)],
        packages: &["redis-server"],
        is_needed: false,
    },
    Tool {
        name: "psql",
        programs: &[("psql", VERSION)],
        packages: &["postgresql-client"],
        is_needed: false,
    },
];

/// Where Debian's PostgreSQL majors are.
const POSTGRES: &str = "/usr/lib/postgresql";

/// Looks for each of them.
pub(super) fn look(search_path: &[PathBuf]) -> Vec<Line> {
    let mut lines: Vec<_> = TOOLS.iter().map(|tool| tool.look(search_path)).collect();
    lines.push(postgres(Path::new(POSTGRES)));
    lines
}

impl Tool {
    fn look(&self, search_path: &[PathBuf]) -> Line {
        let found = self.programs.iter().find_map(|(program, arguments)| {
            let path = find(program, search_path)?;
            let version = version(&path, arguments)?;
            Some(if self.programs.len() > 1 { format!("{program} {version}") } else { version })
        });
        let is_there = found.is_some();
        Line {
            name: self.name.to_owned(),
            verdict: match (is_there, self.is_needed) {
                (true, _) => Verdict::Good,
                (false, true) => Verdict::Bad,
                (false, false) => Verdict::Absent,
            },
            found: found.unwrap_or_else(|| "not installed".to_owned()),
            hint: (!is_there).then(|| format!("apt-get install {}", self.packages.join(" "))),
            packages: if is_there { Vec::new() } else { self.packages.to_vec() },
        }
    }
}

fn find(program: &str, search_path: &[PathBuf]) -> Option<PathBuf> {
    search_path.iter().map(|directory| directory.join(program)).find(|path| path.is_file())
}

/// The first word with a digit in it that the program says; `None` if it does not work.
fn version(program: &Path, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).stdin(Stdio::null()).output().ok()?;
    if !output.status.success() {
        return None;
    }
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let line = text.lines().next().unwrap_or_default().trim();
    Some(version_in(line).unwrap_or(line).to_owned())
}

/// `v=7.0.15`, `go1.22.2`, `v20.11.1`, `2.39.5` in a line of words.
fn version_in(line: &str) -> Option<&str> {
    line.split([' ', '=', ',', '(', ')'])
        .map(|word| word.trim_start_matches(|c: char| !c.is_ascii_digit()))
        .find(|word| word.contains('.') && word.starts_with(|letter: char| letter.is_ascii_digit()))
}

fn postgres(directory: &Path) -> Line {
    let mut majors: Vec<u32> = std::fs::read_dir(directory)
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| entry.path().join("bin/postgres").is_file())
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect();
    majors.sort_unstable();
    let installed = majors.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    Line {
        name: "PostgreSQL".to_owned(),
        verdict: if majors.is_empty() { Verdict::Absent } else { Verdict::Good },
        found: match majors.is_empty() {
            true => "no major installed; all are downloaded when they are asked for".to_owned(),
            false => format!("{installed}; other majors are downloaded when they are asked for"),
        },
        hint: None,
        packages: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_found_in_what_programs_say() {
        let check = |line: &str| version_in(line).unwrap_or_default().to_owned();
        assert_eq!(check("v20.11.1"), "20.11.1");
        assert_eq!(check("cc (Debian 12.2.0-14+deb12u1) 12.2.0"), "12.2.0-14+deb12u1");
        assert_eq!(check("git version 2.39.5"), "2.39.5");
        assert_eq!(check("go version go1.22.2 linux/amd64"), "1.22.2");
        assert_eq!(check("Redis server v=7.0.15 sha=00000000:0 malloc=jemalloc-5.3.0"), "7.0.15");
        assert_eq!(check("psql (PostgreSQL) 15.10 (Debian 15.10-0)"), "15.10");
        assert_eq!(check("with ensurepip"), "");
    }

    #[test]
    fn installed_majors_are_listed_in_order() {
        let directory = tempfile::tempdir().unwrap();
        for major in ["16", "9", "readme"] {
            std::fs::create_dir_all(directory.path().join(major).join("bin")).unwrap();
            std::fs::write(directory.path().join(major).join("bin/postgres"), "").unwrap();
        }
        assert!(postgres(directory.path()).found.starts_with("9, 16;"));
        assert_eq!(postgres(&directory.path().join("none")).verdict, Verdict::Absent);
    }

    #[test]
    fn a_program_that_fails_is_not_there() {
        let directory = tempfile::tempdir().unwrap();
        let tool =
            Tool { name: "x", programs: &[("x", VERSION)], packages: &["x"], is_needed: true };
        std::os::unix::fs::symlink("/bin/false", directory.path().join("x")).unwrap();
        assert_eq!(tool.look(&[directory.path().to_owned()]).verdict, Verdict::Bad);
    }
}
