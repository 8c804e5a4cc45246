//! YAML text to a tree that remembers where everything stands.
//!
//! The parser gives events; this module makes nodes of them, follows aliases and merge keys, and
//! bounds what a hostile file can cost. A plain scalar keeps its source text: `3.10` stays `3.10`,
//! `off` stays `off`. What kind of value a scalar is, is decided by whoever asks for it.

use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::rc::Rc;

use granit_parser::{ErrorKind, Event, Parser, ScalarStyle, StructureStyle};

use crate::code::Code;

/// Deepest nesting that is read. Real files reach 9.
const DEPTH_LIMIT: usize = 64;
/// Most nodes that are read, aliases followed.
const NODE_LIMIT: usize = 400_000;

/// A value and where it stands.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    /// Bytes of the text; for an alias, those of what it stands for.
    pub(crate) bytes: Range<usize>,
    pub(crate) value: Value,
    /// Whether it is written with brackets or braces.
    pub(crate) is_flow: bool,
    /// A tag of the author's own, such as `reset` for `!reset`.
    pub(crate) tag: Option<Box<str>>,
    weight: usize,
    depth: usize,
}

#[derive(Debug, Clone)]
pub(crate) enum Value {
    Scalar(Scalar),
    List(Vec<Rc<Node>>),
    Map(Vec<Entry>),
}

/// A single value as text.
#[derive(Debug, Clone)]
pub(crate) struct Scalar {
    /// The text, with quotes and escapes resolved.
    pub(crate) text: String,
    /// Whether it is written without quotes and not as a block.
    pub(crate) is_plain: bool,
}

/// One pair of a mapping.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) key_bytes: Range<usize>,
    pub(crate) value: Rc<Node>,
    /// Whether it came in through `<<`.
    pub(crate) is_merged: bool,
}

impl Node {
    pub(crate) fn scalar(&self) -> Option<&Scalar> {
        match &self.value {
            Value::Scalar(scalar) => Some(scalar),
            Value::List(_) | Value::Map(_) => None,
        }
    }

    pub(crate) fn list(&self) -> Option<&[Rc<Self>]> {
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

    /// The last value of a key.
    pub(crate) fn get(&self, key: &str) -> Option<&Rc<Self>> {
        self.map()?.iter().rev().find(|entry| entry.key == key).map(|entry| &entry.value)
    }

    /// The text of a key's value, if it is a scalar with any.
    pub(crate) fn text_of(&self, key: &str) -> Option<&str> {
        let scalar = self.get(key)?.scalar()?;
        (!scalar.is_null()).then_some(scalar.text.as_str())
    }

    pub(crate) fn is_null(&self) -> bool {
        self.scalar().is_some_and(Scalar::is_null)
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
}

impl Scalar {
    pub(crate) fn is_null(&self) -> bool {
        self.is_plain && matches!(self.text.as_str(), "" | "~" | "null" | "Null" | "NULL")
    }

    /// The truth value, as YAML 1.2 has it; with `true` and `false` only.
    pub(crate) fn boolean(&self) -> Option<bool> {
        match self.text.as_str() {
            "true" | "True" | "TRUE" if self.is_plain => Some(true),
            "false" | "False" | "FALSE" if self.is_plain => Some(false),
            _ => None,
        }
    }

    /// Whether YAML 1.2 reads it as a number.
    pub(crate) fn is_number(&self) -> bool {
        if !self.is_plain {
            return false;
        }
        let text = self.text.as_str();
        let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
        let is_special = matches!(digits, ".inf" | ".Inf" | ".INF" | ".nan" | ".NaN" | ".NAN");
        let based = digits
            .strip_prefix("0x")
            .map(|rest| (rest, 16))
            .or_else(|| digits.strip_prefix("0o").map(|rest| (rest, 8)));
        is_special
            || based.is_some_and(|(rest, radix)| {
                !rest.is_empty() && rest.chars().all(|letter| letter.is_digit(radix))
            })
            || (digits.starts_with(|letter: char| letter.is_ascii_digit() || letter == '.')
                && !digits.contains('_')
                && digits.parse::<f64>().is_ok())
    }
}

/// Why a text is no tree.
#[derive(Debug, Clone)]
pub(crate) struct SyntaxError {
    pub(crate) code: Code,
    pub(crate) offset: usize,
    pub(crate) message: String,
}

/// What a text holds.
#[derive(Debug, Default)]
pub(crate) struct Documents {
    /// The documents that are not empty.
    pub(crate) roots: Vec<Rc<Node>>,
    /// Aliases without an anchor.
    pub(crate) unknown_aliases: Vec<(String, Range<usize>)>,
}

/// Reads a text. `original` maps an offset of it to the text that positions refer to.
pub(crate) fn parse(
    text: &str,
    original: &dyn Fn(usize) -> usize,
) -> Result<Documents, SyntaxError> {
    let mut options = granit_parser::options! {
        emit_unresolved_aliases: true,
        flow_nesting_limit: DEPTH_LIMIT,
        block_nesting_limit: DEPTH_LIMIT,
    };
    options.set_emit_comments(false);
    let mut builder = Builder::new(text, original);
    for event in Parser::new_from_str_with_options(text, options) {
        let (event, span) = event.map_err(|error| syntax_error(text, original, &error))?;
        let bytes = span.byte_range().unwrap_or(0..0);
        builder.event(event, bytes)?;
    }
    Ok(builder.documents)
}

fn syntax_error(
    text: &str,
    original: &dyn Fn(usize) -> usize,
    error: &granit_parser::ScanError,
) -> SyntaxError {
    let offset = error.marker().byte_offset().unwrap_or(text.len());
    let code = match error.kind() {
        ErrorKind::RecursionLimitExceeded => Code::TooDeep,
        _ => Code::NotYaml,
    };
    SyntaxError { code, offset: original(offset), message: error.kind().to_string() }
}

/// A collection that is still open.
struct Frame {
    start: usize,
    is_flow: bool,
    anchor: usize,
    tag: Option<Box<str>>,
    content: Content,
}

enum Content {
    List(Vec<Rc<Node>>),
    Map { entries: Vec<Entry>, key: Option<(String, Range<usize>)> },
}

struct Builder<'a> {
    text: &'a str,
    original: &'a dyn Fn(usize) -> usize,
    stack: Vec<Frame>,
    anchors: HashMap<usize, Rc<Node>>,
    documents: Documents,
    weight: usize,
}

impl<'a> Builder<'a> {
    fn new(text: &'a str, original: &'a dyn Fn(usize) -> usize) -> Self {
        Self {
            text,
            original,
            stack: Vec::new(),
            anchors: HashMap::new(),
            documents: Documents::default(),
            weight: 0,
        }
    }

    fn event(&mut self, event: Event<'_>, bytes: Range<usize>) -> Result<(), SyntaxError> {
        match event {
            Event::DocumentStart(..) => self.anchors.clear(),
            Event::Scalar(text, style, anchor, tag) => {
                let is_plain = style == ScalarStyle::Plain;
                let text = if is_plain && bytes.is_empty() { String::new() } else { text.into() };
                let mut node = self.node(Value::Scalar(Scalar { text, is_plain }), bytes, false);
                node.tag = own_tag(tag.as_deref());
                self.add(node, anchor)?;
            }
            Event::SequenceStart(style, anchor, tag) => {
                let content = Content::List(Vec::new());
                self.open(style, anchor, own_tag(tag.as_deref()), bytes.start, content);
            }
            Event::MappingStart(style, anchor, tag) => {
                let content = Content::Map { entries: Vec::new(), key: None };
                self.open(style, anchor, own_tag(tag.as_deref()), bytes.start, content);
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(bytes.end)?,
            Event::Alias(id) => {
                let Some(node) = self.anchors.get(&id).cloned() else {
                    return Err(self.error(
                        Code::TooDeep,
                        bytes.start,
                        "an alias refers to itself",
                    ));
                };
                self.add(node, 0)?;
            }
            Event::UnresolvedAlias(name) => {
                let place = (self.original)(bytes.start)..(self.original)(bytes.end);
                self.documents.unknown_aliases.push((name.into_owned(), place));
                let empty = Scalar { text: String::new(), is_plain: true };
                let node = self.node(Value::Scalar(empty), bytes, false);
                self.add(node, 0)?;
            }
            _ => {}
        }
        Ok(())
    }

    fn error(&self, code: Code, offset: usize, message: &str) -> SyntaxError {
        SyntaxError { code, offset: (self.original)(offset), message: message.to_owned() }
    }

    fn open(
        &mut self,
        style: StructureStyle,
        anchor: usize,
        tag: Option<Box<str>>,
        start: usize,
        content: Content,
    ) {
        let is_flow = style == StructureStyle::Flow;
        self.stack.push(Frame { start, is_flow, anchor, tag, content });
    }

    fn close(&mut self, end: usize) -> Result<(), SyntaxError> {
        let Some(frame) = self.stack.pop() else { return Ok(()) };
        let (last, value) = match frame.content {
            Content::List(items) => (items.last().map(|item| item.bytes.end), Value::List(items)),
            Content::Map { entries, .. } => {
                let last =
                    entries.iter().map(|entry| entry.value.bytes.end.max(entry.key_bytes.end));
                (last.max(), Value::Map(merge(entries)))
            }
        };
        let mut node = self.node(value, frame.start..end.max(frame.start), frame.is_flow);
        node.tag = frame.tag;
        if !frame.is_flow {
            // A block ends with its last value; the parser's end is where the next thing begins.
            let inside = |last: &usize| *last <= node.bytes.end && *last >= node.bytes.start;
            if let Some(last) = last.filter(inside) {
                node.bytes.end = last;
            }
        }
        self.add(node, frame.anchor)
    }

    fn node(&self, value: Value, bytes: Range<usize>, is_flow: bool) -> Node {
        let (weight, depth) = match &value {
            Value::Scalar(_) => (1, 0),
            Value::List(items) => measure(items.iter()),
            Value::Map(entries) => measure(entries.iter().map(|entry| &entry.value)),
        };
        let bytes = (self.original)(bytes.start)..(self.original)(bytes.end);
        Node { bytes, value, is_flow, tag: None, weight, depth }
    }

    /// Puts a finished node where it belongs.
    fn add(&mut self, node: impl Into<Rc<Node>>, anchor: usize) -> Result<(), SyntaxError> {
        let node = node.into();
        self.weight += node.weight;
        if node.weight > NODE_LIMIT || self.weight > NODE_LIMIT * DEPTH_LIMIT {
            let message = "the file holds more values than any Blueprint, aliases followed";
            return Err(self.error(Code::TooManyNodes, node.bytes.start, message));
        }
        if node.depth + self.stack.len() > DEPTH_LIMIT {
            let message = "lists and mappings are nested too deeply";
            return Err(self.error(Code::TooDeep, node.bytes.start, message));
        }
        if anchor > 0 {
            self.anchors.insert(anchor, Rc::clone(&node));
        }
        match self.stack.last_mut().map(|frame| &mut frame.content) {
            None if node.is_null() => {}
            None => self.documents.roots.push(node),
            Some(Content::List(items)) => items.push(node),
            Some(Content::Map { entries, key }) => match key.take() {
                Some((key, key_bytes)) => {
                    entries.push(Entry { key, key_bytes, value: node, is_merged: false });
                }
                None => {
                    let text = match &node.value {
                        Value::Scalar(scalar) => scalar.text.clone(),
                        // A mapping as a key is `{{ name }}` without quotes: keep what was typed.
                        Value::List(_) | Value::Map(_) => {
                            self.text.get(node.bytes.clone()).unwrap_or_default().to_owned()
                        }
                    };
                    *key = Some((text, node.bytes.clone()));
                }
            },
        }
        Ok(())
    }
}

/// The name of a tag that YAML itself does not know.
fn own_tag(tag: Option<&granit_parser::Tag>) -> Option<Box<str>> {
    let tag = tag.filter(|tag| tag.handle() == "!")?;
    Some(tag.suffix().into())
}

fn measure<'n>(nodes: impl Iterator<Item = &'n Rc<Node>>) -> (usize, usize) {
    nodes.fold((1, 1), |(weight, depth), node| {
        (weight.saturating_add(node.weight), depth.max(node.depth + 1))
    })
}

/// Replaces `<<` by what it names. Keys of the mapping itself win (YAML merge keys).
fn merge(entries: Vec<Entry>) -> Vec<Entry> {
    if entries.iter().all(|entry| entry.key != "<<") {
        return entries;
    }
    let (merges, mut own): (Vec<_>, Vec<_>) =
        entries.into_iter().partition(|entry| entry.key == "<<");
    let mut known: HashSet<String> = own.iter().map(|entry| entry.key.clone()).collect();
    for merge in merges {
        let sources: Vec<Rc<Node>> = match &merge.value.value {
            Value::List(items) => items.clone(),
            Value::Map(_) | Value::Scalar(_) => vec![Rc::clone(&merge.value)],
        };
        for source in sources {
            for entry in source.map().unwrap_or_default() {
                if known.insert(entry.key.clone()) {
                    own.push(Entry { is_merged: true, ..entry.clone() });
                }
            }
        }
    }
    own
}
