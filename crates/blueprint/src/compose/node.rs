//! Values of a compose file with variables filled in, each with its file and place.

use std::ops::Range;

/// Where something stands.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct At {
    /// Index of the file among those that were read.
    pub(crate) file: usize,
    /// Bytes of its text.
    pub(crate) start: usize,
    pub(crate) end: usize,
}

impl At {
    pub(crate) fn new(file: usize, bytes: &Range<usize>) -> Self {
        Self { file, start: bytes.start, end: bytes.end }
    }
}

/// A value.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    pub(crate) at: At,
    pub(crate) value: Value,
    pub(crate) tag: Tag,
}

/// What a tag says about merging.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tag {
    None,
    /// `!reset`: what earlier files say is dropped, and nothing takes its place.
    Reset,
    /// `!override`: what earlier files say is dropped, and this takes its place.
    Override,
}

#[derive(Debug, Clone)]
pub(crate) enum Value {
    Scalar(Scalar),
    List(Vec<Node>),
    Map(Vec<Entry>),
}

/// One pair of a mapping.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) key_at: At,
    pub(crate) node: Node,
}

/// A single value.
#[derive(Debug, Clone)]
pub(crate) struct Scalar {
    /// The text with variables filled in.
    pub(crate) text: String,
    /// What the author wrote, where that is something else: values of variables are never shown.
    pub(crate) written: Option<Box<str>>,
    /// The variable without a value that the text ends with.
    pub(crate) unset: Option<Unset>,
    pub(crate) is_plain: bool,
}

/// A variable without value and default at the end of a text, with nothing but text before it.
#[derive(Debug, Clone)]
pub(crate) struct Unset {
    /// Bytes of the text before it.
    pub(crate) before: usize,
}

impl Scalar {
    pub(crate) fn is_null(&self) -> bool {
        self.is_plain
            && self.written.is_none()
            && matches!(self.text.as_str(), "" | "~" | "null" | "Null" | "NULL")
    }

    /// The text as the author wrote it.
    pub(crate) fn shown(&self) -> &str {
        self.written.as_deref().unwrap_or(&self.text)
    }
}

impl Node {
    pub(crate) fn of_null(at: At) -> Self {
        let scalar = Scalar { text: String::new(), written: None, unset: None, is_plain: true };
        Self { at, value: Value::Scalar(scalar), tag: Tag::None }
    }

    pub(crate) fn of_map(at: At, entries: Vec<Entry>) -> Self {
        Self { at, value: Value::Map(entries), tag: Tag::None }
    }

    pub(crate) fn scalar(&self) -> Option<&Scalar> {
        match &self.value {
            Value::Scalar(scalar) => Some(scalar),
            Value::List(_) | Value::Map(_) => None,
        }
    }

    pub(crate) fn list(&self) -> Option<&[Self]> {
        match &self.value {
            Value::List(items) => Some(items),
            Value::Scalar(_) | Value::Map(_) => None,
        }
    }

    pub(crate) fn map(&self) -> Option<&[Entry]> {
        match &self.value {
            Value::Map(entries) => Some(entries),
            Value::Scalar(_) | Value::List(_) => None,
        }
    }

    pub(crate) fn is_null(&self) -> bool {
        self.scalar().is_some_and(Scalar::is_null)
    }

    /// The last value of a key, unless it is empty.
    pub(crate) fn get(&self, key: &str) -> Option<&Self> {
        self.entry(key).map(|entry| &entry.node).filter(|node| !node.is_null())
    }

    /// The last pair of a key.
    pub(crate) fn entry(&self, key: &str) -> Option<&Entry> {
        self.map()?.iter().rev().find(|entry| entry.key == key)
    }

    /// What it is, for messages.
    pub(crate) fn noun(&self) -> &'static str {
        match &self.value {
            Value::Scalar(scalar) if scalar.is_null() => "nothing",
            Value::Scalar(_) => "a text",
            Value::List(_) => "a list",
            Value::Map(_) => "a mapping",
        }
    }

    /// How many values it holds, itself included.
    pub(crate) fn weight(&self) -> usize {
        match &self.value {
            Value::Scalar(_) => 1,
            Value::List(items) => 1 + items.iter().map(Self::weight).sum::<usize>(),
            Value::Map(entries) => {
                1 + entries.iter().map(|entry| entry.node.weight()).sum::<usize>()
            }
        }
    }
}

/// A value with its path in the file.
#[derive(Debug, Clone)]
pub(crate) struct View<'n> {
    pub(crate) node: &'n Node,
    pub(crate) path: String,
}

impl<'n> View<'n> {
    pub(crate) fn new(node: &'n Node, path: impl Into<String>) -> Self {
        Self { node, path: path.into() }
    }

    /// The value of a key, unless it is empty.
    pub(crate) fn get(&self, key: &str) -> Option<Self> {
        let node = self.node.get(key)?;
        Some(Self { node, path: format!("{}.{key}", self.path) })
    }

    /// Where a key stands; the mapping itself where it has none.
    pub(crate) fn key_at(&self, key: &str) -> &'n At {
        self.node.entry(key).map_or(&self.node.at, |entry| &entry.key_at)
    }

    /// The items of a list.
    pub(crate) fn items(&self) -> impl Iterator<Item = Self> + use<'n> {
        let path = self.path.clone();
        self.node
            .list()
            .unwrap_or_default()
            .iter()
            .enumerate()
            .map(move |(index, node)| Self { node, path: format!("{path}[{index}]") })
    }

    /// The pairs of a mapping.
    pub(crate) fn entries(&self) -> impl Iterator<Item = (&'n Entry, Self)> + use<'n> {
        let path = self.path.clone();
        self.node.map().unwrap_or_default().iter().map(move |entry| {
            (entry, Self { node: &entry.node, path: format!("{path}.{}", entry.key) })
        })
    }
}
