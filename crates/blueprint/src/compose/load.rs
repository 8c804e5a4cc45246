//! Text of one file to values with variables filled in.

use std::collections::BTreeMap;
use std::ops::Range;

use crate::code::Code;
use crate::finding::{Edit, Patch};
use crate::mend;
use crate::read::SIZE_LIMIT_BYTES;
use crate::source::Source;
use crate::tree;

use super::Missing;
use super::fields::Place;
use super::interpolate::{Filled, Refusal, fill, names};
use super::merge;
use super::node::{At, Entry, Node, Scalar, Tag, Value};
use super::reader::{FILE_LIMIT, File, Reader};

/// How a file is to be read.
#[derive(Debug, Clone)]
pub(crate) struct Role<'r> {
    pub(crate) path: &'r str,
    /// The directory that paths in it are relative to.
    pub(crate) base_dir: &'r str,
    pub(crate) variables: &'r BTreeMap<String, String>,
}

impl<'a> Reader<'a> {
    /// Reads a file up to the values that can be merged with others. `None` after an error.
    pub(crate) fn load(&mut self, text: &'a str, role: &Role<'_>) -> Option<Node> {
        let file = self.files.len();
        let start = At { file, start: 0, end: 0 };
        self.files.push(File {
            path: role.path.to_owned(),
            base_dir: role.base_dir.to_owned(),
            source: Source::new(if text.len() > SIZE_LIMIT_BYTES { "" } else { text }),
        });
        if file >= FILE_LIMIT {
            self.add(Code::TooMuch, &start, "", format!("there are more than {FILE_LIMIT} files"));
            return None;
        }
        if text.len() > SIZE_LIMIT_BYTES {
            self.add(Code::TooLarge, &start, "", "the file is larger than 10 MB".to_owned());
            return None;
        }
        let documents = match tree::parse(text, &|offset| offset) {
            Ok(documents) => documents,
            Err(error) => self.mended(file, text, &error)?,
        };
        for (name, bytes) in &documents.unknown_aliases {
            let message = format!("there is no anchor `&{name}`");
            self.add(Code::UnknownAlias, &At::new(file, bytes), "", message)
                .hint("an anchor has to stand above its aliases; a text that begins with `*` needs quotes");
        }
        let mut whole: Option<Node> = None;
        for root in &documents.roots {
            let mut node = self.convert(file, root, role.variables)?;
            if node.map().is_none() {
                let message = format!("a compose file has to be a mapping, and is {}", node.noun());
                self.add(Code::WrongShape, &node.at, "", message).hint("begin with `services:`");
                return None;
            }
            self.first_version(&mut node);
            self.walk(&mut node, Place::Root, "");
            whole = Some(match whole {
                Some(earlier) => merge::merge(earlier, node, &[]),
                None => node,
            });
        }
        whole.or_else(|| Some(Node::of_map(start, Vec::new())))
    }

    /// Mends the text, or says why it is no YAML.
    fn mended(
        &mut self,
        file: usize,
        text: &str,
        error: &tree::SyntaxError,
    ) -> Option<tree::Documents> {
        let source = Source::new(text);
        let Some(mended) = mend::mend(&source, error) else {
            let end = source.line_bytes(source.line_at(error.offset)).end;
            let at = At::new(file, &(error.offset..end.max(error.offset)));
            let message = match error.code {
                Code::NotYaml => format!("this is not YAML: {}", error.message),
                _ => error.message.clone(),
            };
            self.add(error.code, &at, "", message)
                .hint("check the indentation and the quotes of this line and of the one above");
            return None;
        };
        for mend in mended.mends {
            self.add(mend.code, &At::new(file, &mend.bytes), "", mend.message)
                .hint(mend.hint)
                .patch(Patch { edits: mend.edits });
        }
        Some(mended.documents)
    }

    /// Files of the first version of the format have their services at the root.
    fn first_version(&mut self, root: &mut Node) {
        let Value::Map(entries) = &mut root.value else { return };
        let is_service =
            |entry: &Entry| entry.node.get("image").or_else(|| entry.node.get("build")).is_some();
        let has_version_two = |entry: &Entry| matches!(entry.key.as_str(), "services" | "include");
        if entries.iter().any(has_version_two) || !entries.iter().any(is_service) {
            return;
        }
        let (services, mut others): (Vec<_>, Vec<_>) =
            std::mem::take(entries).into_iter().partition(is_service);
        let Some(at) = services.first().map(|entry| entry.key_at.clone()) else { return };
        let message = "services stand at the root of the file; read as those of `services`";
        self.add(Code::MissingField, &at, "", message.to_owned())
            .hint("write `services:` above them and move them to the right");
        others.push(Entry {
            key: "services".to_owned(),
            key_at: at.clone(),
            node: Node::of_map(at, services),
        });
        *entries = others;
    }

    fn convert(
        &mut self,
        file: usize,
        node: &tree::Node,
        variables: &BTreeMap<String, String>,
    ) -> Option<Node> {
        let at = At::new(file, &node.bytes);
        let value = match &node.value {
            tree::Value::Scalar(scalar) => {
                if !self.afford(&at, 1, scalar.text.len()) {
                    return None;
                }
                Value::Scalar(self.fill(scalar, &at, variables))
            }
            tree::Value::List(items) => {
                if !self.afford(&at, 1, 0) {
                    return None;
                }
                let items = items.iter().map(|item| self.convert(file, item, variables));
                Value::List(items.collect::<Option<_>>()?)
            }
            tree::Value::Map(entries) => {
                if !self.afford(&at, 1, entries.iter().map(|entry| entry.key.len()).sum()) {
                    return None;
                }
                let entries = entries.iter().map(|entry| {
                    Some(Entry {
                        key: entry.key.clone(),
                        key_at: At::new(file, &entry.key_bytes),
                        node: self.convert(file, &entry.value, variables)?,
                    })
                });
                Value::Map(entries.collect::<Option<_>>()?)
            }
        };
        let tag = match node.tag.as_deref() {
            Some("reset") => Tag::Reset,
            Some("override") => Tag::Override,
            _ => Tag::None,
        };
        Some(Node { at, value, tag })
    }

    /// Fills in the variables of a scalar, and says what is wrong with them.
    fn fill(
        &mut self,
        scalar: &tree::Scalar,
        at: &At,
        variables: &BTreeMap<String, String>,
    ) -> Scalar {
        let plain = |text: &str| Scalar {
            text: text.to_owned(),
            written: None,
            unset: None,
            is_plain: scalar.is_plain,
        };
        if !scalar.text.contains('$') {
            return plain(&scalar.text);
        }
        // What the text may name is looked up before, so that filling in needs nothing else.
        let values: BTreeMap<&str, String> = names(&scalar.text)
            .filter_map(|name| Some((name, self.variable(name, variables)?)))
            .collect();
        let lookup = |name: &str| values.get(name).cloned();
        match fill(&scalar.text, &lookup) {
            Ok(filled) => {
                self.afford(at, 0, filled.text.len());
                self.unfilled(&scalar.text, &filled, at);
                Scalar {
                    text: filled.text,
                    written: Some(scalar.text.as_str().into()),
                    unset: filled.tail,
                    is_plain: scalar.is_plain,
                }
            }
            Err(Refusal::Form) => {
                self.group_with(
                    Code::BadInterpolation,
                    at,
                    "",
                    "`${…}` is not closed, or holds something else than a name and a default".to_owned(),
                    Some("write `$$` for a dollar sign that a shell in the container is to see; the forms are `${NAME}`, and `:-`, `-`, `:?`, `?`, `:+`, `+` behind the name"),
                );
                plain(&scalar.text)
            }
            Err(Refusal::Bounds) => {
                let message = "variables are nested too deeply, or their text is too long";
                self.group(Code::TooMuch, at, "", message.to_owned());
                plain("")
            }
        }
    }

    fn unfilled(&mut self, text: &str, filled: &Filled, at: &At) {
        for (name, why) in &filled.required {
            let why = if why.is_empty() || why.contains('$') || why == "err" {
                String::new()
            } else {
                format!(": {why}")
            };
            self.needs_value(name, &why, at);
        }
        for name in &filled.unset {
            self.miss(name, false, at);
        }
        if !filled.dollars.is_empty() {
            let message = "a `$` stands in front of no name; read as the character itself";
            let patch = self.written_at(at, text).map(|bytes| Patch {
                edits: filled
                    .dollars
                    .iter()
                    .map(|offset| {
                        let offset = bytes.start + offset;
                        Edit::replace(offset..offset, "$")
                    })
                    .collect(),
            });
            self.add(Code::DollarAlone, at, "", message.to_owned()).hint("write `$$`").patch(patch);
        }
    }

    /// Names a variable that nothing can be without.
    pub(crate) fn needs_value(&mut self, name: &str, why: &str, at: &At) {
        self.miss(name, true, at);
        let message = format!("the variable `{name}` needs a value{why}");
        let hint = "write it into `.env` beside the compose file, or give it on the command line";
        self.group_with(Code::VariableRequired, at, "", message, Some(hint));
    }

    pub(crate) fn miss(&mut self, name: &str, is_required: bool, at: &At) {
        let Some(file) = self.files.get(at.file) else { return };
        let span = file.source.span(at.start..at.end);
        let missing = self.missing.entry(name.to_owned()).or_insert_with(|| Missing {
            name: name.to_owned(),
            is_required,
            file: file.path.clone(),
            span,
        });
        missing.is_required |= is_required;
    }

    /// The bytes of a text that stands in the file exactly so, between quotes or without.
    fn written_at(&self, at: &At, text: &str) -> Option<Range<usize>> {
        let source = &self.files.get(at.file)?.source;
        let quotes = usize::from(source.slice(&(at.start..at.end)).starts_with(['"', '\'']));
        let bytes = at.start + quotes..at.start + quotes + text.len();
        (source.slice(&bytes) == text).then_some(bytes)
    }
}
