//! Which versions a repository asks for, and where.

use std::collections::HashMap;

use crate::error::Error;
use crate::note::Note;
use crate::sources::Sources;

use super::Request;

/// A language whose version can be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Tool {
    Node,
    Python,
    Ruby,
    Go,
    Rust,
    Elixir,
}

/// Finds the version in the text of one kind of file.
type Reader = fn(&str) -> Option<String>;

impl Tool {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Node => "node",
            Self::Python => "python",
            Self::Ruby => "ruby",
            Self::Go => "go",
            Self::Rust => "rust",
            Self::Elixir => "elixir",
        }
    }

    pub(super) fn title(self) -> &'static str {
        match self {
            Self::Node => "Node.js",
            Self::Python => "Python 3",
            Self::Ruby => "Ruby",
            Self::Go => "Go",
            Self::Rust => "Rust",
            Self::Elixir => "Elixir",
        }
    }

    pub(super) fn program(self) -> &'static str {
        match self {
            Self::Python => "python3",
            Self::Rust => "cargo",
            _ => self.name(),
        }
    }

    pub(super) fn how_to_install(self) -> &'static str {
        match self {
            Self::Node => "`apt install nodejs npm`",
            Self::Python => "`apt install python3 python3-venv`",
            Self::Ruby => "`apt install ruby-full build-essential`",
            Self::Go => "`apt install golang`, or unpack a release of go.dev to /usr/local/go",
            Self::Rust => {
                "`apt install cargo`, or rustup with CARGO_HOME=/usr/local/cargo and RUSTUP_HOME=/usr/local/rustup"
            }
            Self::Elixir => "`apt install elixir`",
        }
    }

    /// The variables of Render that name a version.
    fn variables(self) -> &'static [&'static str] {
        match self {
            Self::Node => &["NODE_VERSION"],
            Self::Python => &["PYTHON_VERSION"],
            Self::Ruby => &["RUBY_VERSION"],
            Self::Go => &["GO_VERSION"],
            Self::Rust => &["RUSTUP_TOOLCHAIN"],
            Self::Elixir => &["ELIXIR_VERSION"],
        }
    }

    /// Files that name a version, most important first.
    fn files(self) -> &'static [(&'static str, Reader)] {
        match self {
            Self::Node => &[
                (".node-version", first_word),
                (".nvmrc", first_word),
                ("package.json", engines_node),
                (".tool-versions", |text| tool_versions(text, &["nodejs", "node"])),
            ],
            Self::Python => &[
                (".python-version", first_word),
                ("runtime.txt", runtime_txt),
                (".tool-versions", |text| tool_versions(text, &["python"])),
            ],
            Self::Ruby => &[
                (".ruby-version", first_word),
                (".tool-versions", |text| tool_versions(text, &["ruby"])),
            ],
            Self::Go => &[
                ("go.mod", go_mod),
                (".tool-versions", |text| tool_versions(text, &["golang", "go"])),
            ],
            Self::Rust => &[
                ("rust-toolchain.toml", channel),
                ("rust-toolchain", |text| channel(text).or_else(|| first_word(text))),
                (".tool-versions", |text| tool_versions(text, &["rust"])),
            ],
            Self::Elixir => &[(".tool-versions", |text| tool_versions(text, &["elixir"]))],
        }
    }
}

/// A version that somebody asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Asked {
    pub(super) tool: Tool,
    /// As it was written.
    pub(super) text: String,
    /// The file or variable.
    pub(super) place: String,
    /// Whether it stands in a place that only names versions, and not among other things.
    pub(super) is_explicit: bool,
}

impl Asked {
    pub(super) fn note(&self, found: Option<&str>, consequence: String) -> Note {
        Note::ToolVersion {
            tool: self.tool.name().to_owned(),
            asked: self.text.clone(),
            asked_in: self.place.clone(),
            found: found.map(str::to_owned),
            consequence,
        }
    }
}

/// The files of a checkout that may name versions, from the root directory and above it.
#[derive(Debug, Default)]
pub(super) struct Files {
    /// Directories to look in, nearest first; empty or ending in a slash.
    directories: Vec<String>,
    texts: HashMap<String, String>,
}

const NAMES: &[&str] = &[
    ".node-version",
    ".nvmrc",
    "package.json",
    ".tool-versions",
    ".python-version",
    "runtime.txt",
    ".ruby-version",
    "go.mod",
    "rust-toolchain.toml",
    "rust-toolchain",
];

impl Files {
    pub(super) fn has_package_json(&self) -> bool {
        self.texts.keys().any(|path| path.ends_with("package.json"))
    }
}

/// The root directory of a service and those above it, and the files in them that may name
/// versions.
pub(super) fn places(root_dir: &str) -> (Vec<String>, Vec<String>) {
    let root: Vec<&str> =
        root_dir.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
    let mut directories: Vec<String> = Vec::new();
    for depth in (0..=root.len()).rev() {
        let mut directory = root[..depth].join("/");
        if !directory.is_empty() {
            directory.push('/');
        }
        directories.push(directory);
    }
    let paths: Vec<String> = directories
        .iter()
        .flat_map(|directory| NAMES.iter().map(move |name| format!("{directory}{name}")))
        .collect();
    (directories, paths)
}

pub(super) async fn read_files(sources: &Sources, request: &Request<'_>) -> Result<Files, Error> {
    let (directories, paths) = places(&request.service.root_dir);
    let found = sources.read_files(request.project, &request.commit.id, &paths).await?;
    let texts = found
        .into_iter()
        .map(|(path, bytes)| (path, String::from_utf8_lossy(&bytes).into_owned()))
        .collect();
    Ok(Files { directories, texts })
}

/// Variables win over files, nearer files over farther ones, as on Render.
pub(super) fn find(tool: Tool, files: &Files, env: &[(String, String)]) -> Option<Asked> {
    for variable in tool.variables() {
        let value =
            env.iter().rev().find(|(key, _)| key == variable).map(|(_, value)| value.trim());
        if let Some(text) = value.filter(|value| !value.is_empty()) {
            let (text, place) = (text.to_owned(), (*variable).to_owned());
            return Some(Asked { tool, text, place, is_explicit: true });
        }
    }
    for directory in &files.directories {
        for (name, read) in tool.files() {
            let place = format!("{directory}{name}");
            if let Some(text) = files.texts.get(&place).and_then(|text| read(text)) {
                return Some(Asked { tool, text, place, is_explicit: *name != "package.json" });
            }
        }
    }
    None
}

fn first_word(text: &str) -> Option<String> {
    let line =
        text.lines().map(str::trim).find(|line| !line.is_empty() && !line.starts_with('#'))?;
    line.split_whitespace().next().map(str::to_owned)
}

fn engines_node(text: &str) -> Option<String> {
    let package: serde_json::Value = serde_json::from_str(text).ok()?;
    let text = package.get("engines")?.get("node")?.as_str()?.trim();
    (!text.is_empty()).then(|| text.to_owned())
}

fn runtime_txt(text: &str) -> Option<String> {
    Some(first_word(text)?.trim_start_matches("python-").to_owned())
}

fn tool_versions(text: &str, names: &[&str]) -> Option<String> {
    text.lines().find_map(|line| {
        let mut words = line.split('#').next()?.split_whitespace();
        names.contains(&words.next()?).then(|| words.next().map(str::to_owned)).flatten()
    })
}

fn go_mod(text: &str) -> Option<String> {
    text.lines().find_map(|line| line.trim().strip_prefix("go ").map(|rest| rest.trim().to_owned()))
}

fn channel(text: &str) -> Option<String> {
    text.lines().find_map(|line| {
        let value = line.trim().strip_prefix("channel")?.trim_start().strip_prefix('=')?;
        Some(value.trim().trim_matches(['"', '\'']).to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(
        tool: Tool,
        files: &[(&str, &str)],
        env: &[(&str, &str)],
        expect: Option<(&str, &str)>,
    ) {
        let files = Files {
            directories: vec!["apps/web/".to_owned(), "apps/".to_owned(), String::new()],
            texts: files
                .iter()
                .map(|(path, text)| ((*path).to_owned(), (*text).to_owned()))
                .collect(),
        };
        let env: Vec<_> =
            env.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let found = find(tool, &files, &env);
        let found = found.as_ref().map(|asked| (asked.text.as_str(), asked.place.as_str()));
        assert_eq!(found, expect);
    }

    #[test]
    fn a_variable_wins_over_files() {
        check(
            Tool::Node,
            &[(".nvmrc", "18\n")],
            &[("NODE_VERSION", "22")],
            Some(("22", "NODE_VERSION")),
        );
        check(Tool::Python, &[], &[("PYTHON_VERSION", "3.10")], Some(("3.10", "PYTHON_VERSION")));
    }

    #[test]
    fn the_nearest_file_wins() {
        let files = [(".nvmrc", "18"), ("apps/web/package.json", r#"{"engines":{"node":">=20"}}"#)];
        check(Tool::Node, &files, &[], Some((">=20", "apps/web/package.json")));
    }

    #[test]
    fn every_kind_of_file_is_read() {
        check(
            Tool::Node,
            &[(".node-version", "v20.1.0\n")],
            &[],
            Some(("v20.1.0", ".node-version")),
        );
        check(
            Tool::Python,
            &[("runtime.txt", "python-3.11.4\n")],
            &[],
            Some(("3.11.4", "runtime.txt")),
        );
        check(
            Tool::Elixir,
            &[(".tool-versions", "erlang 27.1 # old\nelixir 1.18.4-otp-27\n")],
            &[],
            Some(("1.18.4-otp-27", ".tool-versions")),
        );
        check(Tool::Go, &[("go.mod", "module x\n\ngo 1.22\n")], &[], Some(("1.22", "go.mod")));
        let toml = "[toolchain]\nchannel = \"1.80.1\"\n";
        check(
            Tool::Rust,
            &[("rust-toolchain.toml", toml)],
            &[],
            Some(("1.80.1", "rust-toolchain.toml")),
        );
        check(
            Tool::Rust,
            &[("rust-toolchain", "nightly\n")],
            &[],
            Some(("nightly", "rust-toolchain")),
        );
    }

    #[test]
    fn nothing_asked_is_nothing_found() {
        check(Tool::Node, &[("package.json", "{\"name\":\"x\"}")], &[("NODE_VERSION", " ")], None);
        check(Tool::Ruby, &[(".nvmrc", "18")], &[], None);
    }
}
