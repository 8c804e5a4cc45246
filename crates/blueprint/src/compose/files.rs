//! `secrets` and `configs`: small files in containers.

use std::collections::BTreeSet;

use model::{BuildSecret, ContainerFile, EnvSource, EnvVar, FileSource, Volume, VolumeSource};

use crate::code::Code;

use super::compile::Project;
use super::node::View;
use super::paths::Location;
use super::project::Text;
use super::reader::Reader;
use super::scalars::written;

/// What a section of small files is called, and where they stand in a container.
#[derive(Debug, Clone, Copy)]
struct Section {
    name: &'static str,
    noun: &'static str,
    folder: &'static str,
    prefix: &'static str,
}

const SECTIONS: [Section; 2] = [
    Section { name: "secrets", noun: "secret", folder: "/run/secrets/", prefix: "GABLE_SECRET_" },
    Section { name: "configs", noun: "config", folder: "/", prefix: "GABLE_CONFIG_" },
];

/// A small file as a service uses it.
struct Use<'n> {
    section: Section,
    view: View<'n>,
    source: String,
    target: String,
    mode: u32,
}

/// Where the text of a small file is.
enum Origin {
    File(String),
    Host(String),
    Value(EnvSource),
}

impl Reader<'_> {
    /// The small files of a service, with the variables that hold some of them. Those that lie on
    /// the host are mounted.
    pub(crate) fn small_files(
        &mut self,
        project: &Project<'_>,
        service: &View<'_>,
        volumes: &mut Vec<Volume>,
    ) -> (Vec<ContainerFile>, Vec<EnvVar>) {
        let (mut files, mut values) = (Vec::new(), Vec::new());
        for used in self.uses(service) {
            let Some(origin) = self.small_file(project, &used) else { continue };
            let source = match origin {
                Origin::Host(path) => {
                    let source = VolumeSource::Host(path);
                    volumes.push(Volume {
                        source,
                        target: used.target,
                        is_read_only: true,
                        subpath: None,
                    });
                    continue;
                }
                Origin::File(path) => FileSource::Project(path),
                Origin::Value(source) => {
                    let key = key_of(used.section, &used.source);
                    values.push(EnvVar { key: key.clone(), source, preview_value: None });
                    FileSource::Variable(key)
                }
            };
            files.push(ContainerFile { target: used.target, source, mode: used.mode });
        }
        let mut known = BTreeSet::new();
        values.retain(|variable: &EnvVar| known.insert(variable.key.clone()));
        (files, values)
    }

    /// The secrets of a service's build, with the variables that hold some of them.
    pub(crate) fn build_secrets(
        &mut self,
        project: &Project<'_>,
        service: &View<'_>,
    ) -> (Vec<BuildSecret>, Vec<EnvVar>) {
        let (mut secrets, mut values) = (Vec::new(), Vec::new());
        let Some(build) = service.get("build") else { return (secrets, values) };
        let [section, _] = SECTIONS;
        for used in self.uses_in(&build, &[section]) {
            let Some(origin) = self.small_file(project, &used) else { continue };
            let id = used.target.rsplit('/').next().unwrap_or_default().to_owned();
            let source = match origin {
                Origin::File(path) => FileSource::Project(path),
                Origin::Value(source) => {
                    let key = key_of(used.section, &used.source);
                    values.push(EnvVar { key: key.clone(), source, preview_value: None });
                    FileSource::Variable(key)
                }
                Origin::Host(_) => {
                    let message = format!(
                        "the secret `{}` of a build is a file of the host, and builds see none",
                        used.source
                    );
                    self.bad(&used.view, message, "keep it inside the project, or in a variable");
                    continue;
                }
            };
            secrets.push(BuildSecret { id, source });
        }
        (secrets, values)
    }

    fn uses<'n>(&mut self, service: &View<'n>) -> Vec<Use<'n>> {
        self.uses_in(service, &SECTIONS)
    }

    /// What the lists of some sections name, in a service or its build.
    fn uses_in<'n>(&mut self, holder: &View<'n>, sections: &[Section]) -> Vec<Use<'n>> {
        let mut uses = Vec::new();
        for section in sections.iter().copied() {
            let Some(view) = holder.get(section.name) else { continue };
            if view.node.list().is_none() {
                self.shape(&view, "a list");
                continue;
            }
            for item in view.items() {
                let source = match item.node.map() {
                    Some(_) => item.get("source").and_then(|view| self.text(&view)),
                    None => self.text(&item),
                };
                let Some(source) = source else { continue };
                let target = item.get("target").and_then(|view| self.text(&view));
                let target = target.unwrap_or_else(|| source.clone());
                let target = if target.starts_with('/') {
                    target
                } else {
                    format!("{}{target}", section.folder)
                };
                let mode = item.get("mode").and_then(|view| self.mode(&view)).unwrap_or(0o444);
                uses.push(Use { section, view: item, source, target, mode });
            }
        }
        uses
    }

    /// Permission bits, in octal: `0440`, `0o440`, `"0440"`.
    fn mode(&mut self, view: &View<'_>) -> Option<u32> {
        let text = self.text(view)?;
        let digits = text.trim().trim_start_matches("0o");
        let mode = u32::from_str_radix(digits, 8).ok().filter(|mode| *mode <= 0o777);
        if mode.is_none() {
            self.bad(
                view,
                format!("`{}` are no permission bits", written(view)),
                "write them in octal: `0440`",
            );
        }
        mode
    }

    /// Where the text of a small file comes from.
    fn small_file(&mut self, project: &Project<'_>, used: &Use<'_>) -> Option<Origin> {
        let Section { name: section, noun, .. } = used.section;
        let Some(declared) = project.declared(section, &used.source) else {
            let known = project.names(section);
            let (at, path) = (used.view.node.at.clone(), used.view.path.clone());
            self.not_declared(&at, &path, (noun, &used.source), (section, &known));
            return None;
        };
        let Some(declared) = declared else { return Some(Origin::Value(EnvSource::Ask)) };
        if let Some(file) = declared.get("file") {
            return self.small_file_at(&file);
        }
        if let Some(variable) = declared.get("environment") {
            let name = self.text(&variable)?;
            let value = self.input.variables.get(&name).cloned();
            if value.is_none() {
                let message = format!(
                    "the variable `{name}` of a {noun} has no value; it stays empty until it is given one"
                );
                self.group(Code::KeyOnly, &variable.node.at, &variable.path, message);
            }
            return Some(Origin::Value(value.map_or(EnvSource::Ask, EnvSource::Literal)));
        }
        if let Some(content) = declared.get("content") {
            return self.text(&content).map(|text| Origin::Value(EnvSource::Literal(text)));
        }
        let external = declared.get("external");
        let is_external = match external {
            Some(view) if view.node.map().is_none() => self.boolean(&view) == Some(true),
            Some(_) => true,
            None => false,
        };
        if is_external {
            return Some(Origin::Value(EnvSource::Ask));
        }
        let message =
            format!("the {noun} `{}` does not say where its text comes from", used.source);
        self.bad(&declared, message, "add `file`, `environment`, or `external: true`");
        None
    }

    fn small_file_at(&mut self, view: &View<'_>) -> Option<Origin> {
        let written = self.text(view)?;
        match self.locate(&view.node.at, &written) {
            Location::Inside(path) => {
                self.required_text(&path, view)?;
                Some(Origin::File(path))
            }
            Location::Outside(Some(path)) if self.input.allow_host_paths => {
                Some(Origin::Host(path))
            }
            Location::Outside(_) => {
                let message = "a file of the host that lies outside the project".to_owned();
                self.add(Code::HostPath, &view.node.at, &view.path, message)
                    .hint("keep it inside the project, or allow it with `--allow-host-paths`");
                None
            }
        }
    }

    /// The text that a service finds at a path, if a small file of known text stands there.
    pub(crate) fn text_at(
        &mut self,
        project: &Project<'_>,
        service: &View<'_>,
        target: &str,
    ) -> Option<String> {
        let used = self.uses(service).into_iter().find(|used| used.target == target)?;
        match self.small_file(project, &used)? {
            Origin::File(path) => match self.text_of(&path) {
                Text::Here(text) => Some(text.trim_end_matches(['\n', '\r']).to_owned()),
                Text::NotThere | Text::Unknown => None,
            },
            Origin::Value(EnvSource::Literal(text)) => Some(text),
            Origin::Value(_) | Origin::Host(_) => None,
        }
    }
}

/// The variable that holds a small file's text.
fn key_of(section: Section, name: &str) -> String {
    let plain = |letter: char| {
        if letter.is_ascii_alphanumeric() { letter.to_ascii_uppercase() } else { '_' }
    };
    format!("{}{}", section.prefix, name.chars().map(plain).collect::<String>())
}
