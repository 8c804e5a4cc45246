//! Single values: texts, truth values, numbers, sizes, durations, and pairs.

use std::collections::HashMap;
use std::ops::RangeInclusive;

use crate::code::Code;

use super::merge;
use super::node::{At, Entry, Node, Value, View};
use super::reader::Reader;

/// One pair of `environment` and its kin.
#[derive(Debug, Clone)]
pub(crate) struct Pair {
    pub(crate) key: String,
    pub(crate) key_at: At,
    /// `None` where there is a key only.
    pub(crate) value: Option<String>,
    /// Whether the value is one variable that has none.
    pub(crate) is_unset: bool,
}

impl Reader<'_> {
    /// A single text.
    pub(crate) fn text(&mut self, view: &View<'_>) -> Option<String> {
        if let Some(scalar) = view.node.scalar() {
            return Some(scalar.text.clone());
        }
        self.shape(view, "a text");
        None
    }

    pub(crate) fn shape(&mut self, view: &View<'_>, wanted: &str) {
        let name = view.path.rsplit('.').next().unwrap_or(&view.path);
        let message = format!("`{name}` has to be {wanted}, and is {}", view.node.noun());
        self.add(Code::WrongShape, &view.node.at, &view.path, message);
    }

    /// A value that cannot be understood.
    pub(crate) fn bad(&mut self, view: &View<'_>, message: String, hint: &str) {
        if !self.blames_unset(view, &message) {
            self.add(Code::BadValue, &view.node.at, &view.path, message).hint(hint);
        }
    }

    /// Says that a value is wrong because a variable in it has none, if that is so.
    pub(crate) fn blames_unset(&mut self, view: &View<'_>, message: &str) -> bool {
        let Some(name) = self.unset_in(view.node) else { return false };
        let message = format!("{message}: the variable `{name}` has no value");
        self.add(Code::BadValue, &view.node.at, &view.path, message).hint(format!(
            "write `{name}=…` into `.env` beside the compose file, or give it with `--set {name}=…`"
        ));
        true
    }

    /// A variable of a text that has neither value nor default.
    fn unset_in(&self, node: &Node) -> Option<String> {
        let written = node.scalar()?.written.as_deref()?;
        let is_part = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
        written
            .split('$')
            .skip(1)
            .map(|rest| rest.strip_prefix('{').unwrap_or(rest))
            .map(|rest| &rest[..rest.find(|letter| !is_part(letter)).unwrap_or(rest.len())])
            .find(|name| self.missing.contains_key(*name))
            .map(str::to_owned)
    }

    /// A list of texts; a single text is a list of one.
    pub(crate) fn texts(&mut self, view: &View<'_>) -> Vec<String> {
        match &view.node.value {
            Value::Scalar(scalar) if scalar.is_null() => Vec::new(),
            Value::Scalar(scalar) => vec![scalar.text.clone()],
            Value::List(_) => {
                let items: Vec<View<'_>> = view.items().collect();
                items.iter().filter_map(|item| self.text(item)).collect()
            }
            Value::Map(_) => {
                self.shape(view, "a list");
                Vec::new()
            }
        }
    }

    /// `true` or `false`, and the words that older YAML has for them.
    pub(crate) fn boolean(&mut self, view: &View<'_>) -> Option<bool> {
        let text = self.text(view)?;
        match text.to_ascii_lowercase().as_str() {
            "true" | "yes" | "on" | "y" | "1" => Some(true),
            "false" | "no" | "off" | "n" | "0" | "" => Some(false),
            _ => {
                self.bad(
                    view,
                    format!("`{}` is neither true nor false", written(view)),
                    "write `true` or `false`",
                );
                None
            }
        }
    }

    /// A whole number.
    pub(crate) fn number(&mut self, view: &View<'_>, range: RangeInclusive<u64>) -> Option<u64> {
        let text = self.text(view)?;
        match text.trim().parse::<u64>() {
            Ok(number) if range.contains(&number) => Some(number),
            _ => {
                let message = format!(
                    "`{}` is no number from {} to {}",
                    written(view),
                    range.start(),
                    range.end()
                );
                self.bad(view, message, "write a whole number");
                None
            }
        }
    }

    /// A size in bytes: `64m`, `1.5gb`, `1024`.
    pub(crate) fn bytes(&mut self, view: &View<'_>) -> Option<u64> {
        let text = self.text(view)?;
        let size = parse_bytes(&text);
        if size.is_none() {
            self.bad(
                view,
                format!("`{}` is no size", written(view)),
                "write a number and a unit: `512m`, `2g`",
            );
        }
        size
    }

    /// A duration in milliseconds: `1m30s`.
    pub(crate) fn milliseconds(&mut self, view: &View<'_>) -> Option<u64> {
        let text = self.text(view)?;
        if let Some(duration) = parse_milliseconds(&text) {
            return Some(duration);
        }
        if let Ok(seconds) = text.trim().parse::<u32>() {
            let message = format!("`{}` has no unit; read as seconds", written(view));
            self.add(Code::ValueSpelling, &view.node.at, &view.path, message)
                .hint(format!("write `{seconds}s`"));
            return Some(u64::from(seconds) * 1000);
        }
        self.bad(
            view,
            format!("`{}` is no duration", written(view)),
            "write a number and a unit: `30s`, `1m30s`",
        );
        None
    }

    /// Pairs, written as a mapping or as a list of `KEY=value`.
    pub(crate) fn pairs(&mut self, view: &View<'_>) -> Vec<Pair> {
        let entries: Vec<Entry> = match &view.node.value {
            Value::Map(entries) => entries.clone(),
            Value::List(items) => {
                let mut entries = Vec::new();
                for item in items {
                    match &item.value {
                        Value::Scalar(_) => entries.extend(merge::pair(item.clone())),
                        // `- KEY: value` is a list of mappings, which is evidently meant as pairs.
                        Value::Map(inner) => {
                            let message = "a list of `KEY: value` is read as a mapping".to_owned();
                            self.group(Code::EnvItem, &item.at, &view.path, message);
                            entries.extend(inner.iter().cloned());
                        }
                        Value::List(_) => self.shape(&View::new(item, &*view.path), "a pair"),
                    }
                }
                entries
            }
            Value::Scalar(scalar) if scalar.is_null() => Vec::new(),
            Value::Scalar(_) => {
                self.shape(view, "a mapping or a list of pairs");
                Vec::new()
            }
        };
        let mut pairs: Vec<Pair> = Vec::new();
        let mut index: HashMap<String, usize> = HashMap::new();
        for entry in entries {
            let Some(pair) = self.pair(view, entry) else { continue };
            match index.get(&pair.key) {
                Some(at) => pairs[*at] = pair,
                None => {
                    index.insert(pair.key.clone(), pairs.len());
                    pairs.push(pair);
                }
            }
        }
        pairs
    }

    fn pair(&mut self, view: &View<'_>, entry: Entry) -> Option<Pair> {
        let path = format!("{}.{}", view.path, entry.key);
        let Some(scalar) = entry.node.scalar() else {
            self.shape(&View::new(&entry.node, path), "a single value");
            return None;
        };
        let is_unset = scalar.unset.as_ref().is_some_and(|unset| unset.before == 0);
        let value = (!scalar.is_null()).then(|| scalar.text.clone());
        Some(Pair { key: entry.key, key_at: entry.key_at, value, is_unset })
    }
}

/// What the author wrote, for messages: never the value of a variable.
pub(crate) fn written(view: &View<'_>) -> String {
    view.node.scalar().map(|scalar| scalar.shown().to_owned()).unwrap_or_default()
}

/// What an item of a list says, shortened for messages.
pub(crate) fn written_node(node: &Node) -> String {
    node.scalar().map(|scalar| scalar.shown().to_owned()).unwrap_or_else(|| node.noun().to_owned())
}

/// `64m`, `1.5gb`, `1024`, `2 GiB`; units count in 1024, as Docker does.
pub(crate) fn parse_bytes(text: &str) -> Option<u64> {
    let text = text.trim().to_ascii_lowercase();
    let end = text.find(|letter: char| !(letter.is_ascii_digit() || letter == '.'));
    let (number, unit) = text.split_at(end.unwrap_or(text.len()));
    let shift = match unit.trim().trim_end_matches('b').trim_end_matches('i') {
        "" => 0,
        "k" => 10,
        "m" => 20,
        "g" => 30,
        "t" => 40,
        _ => return None,
    };
    let factor = 1_u64 << shift;
    match number.split_once('.') {
        None => number.parse::<u64>().ok()?.checked_mul(factor),
        Some((whole, part)) => {
            let part: String = part.chars().take(6).collect();
            let scale = 10_u64.pow(u32::try_from(part.len()).ok()?);
            let whole = if whole.is_empty() { 0 } else { whole.parse::<u64>().ok()? };
            let part = if part.is_empty() { 0 } else { part.parse::<u64>().ok()? };
            whole.checked_mul(factor)?.checked_add(part.checked_mul(factor)? / scale)
        }
    }
}

/// `1m30s`, `500ms`, `1.5h`; in milliseconds, rounded down.
pub(crate) fn parse_milliseconds(text: &str) -> Option<u64> {
    let mut rest = text.trim();
    if rest.is_empty() {
        return None;
    }
    if rest == "0" {
        return Some(0);
    }
    let mut micros: u64 = 0;
    while !rest.is_empty() {
        let end = rest.find(|letter: char| !(letter.is_ascii_digit() || letter == '.'))?;
        let (number, behind) = rest.split_at(end);
        let end = behind.find(|letter: char| letter.is_ascii_digit()).unwrap_or(behind.len());
        let (unit, behind) = behind.split_at(end);
        let unit_micros: u64 = match unit {
            "ns" => 0,
            "us" | "µs" => 1,
            "ms" => 1000,
            "s" => 1_000_000,
            "m" => 60_000_000,
            "h" => 3_600_000_000,
            "d" => 86_400_000_000,
            "w" => 604_800_000_000,
            _ => return None,
        };
        let thousandths = thousandths(number)?;
        micros = micros.checked_add(thousandths.checked_mul(unit_micros)? / 1000)?;
        rest = behind;
    }
    Some(micros / 1000)
}

/// A decimal number in thousandths.
pub(crate) fn thousandths(text: &str) -> Option<u64> {
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    let is_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if (whole.is_empty() && part.is_empty()) || !is_digits(whole) || !is_digits(part) {
        return None;
    }
    let part: String = part.chars().chain("000".chars()).take(3).collect();
    let whole = if whole.is_empty() { 0 } else { whole.parse::<u64>().ok()? };
    whole.checked_mul(1000)?.checked_add(part.parse().ok()?)
}

#[cfg(test)]
mod tests {
    use super::{parse_bytes, parse_milliseconds, thousandths};

    #[test]
    fn sizes_durations_and_decimals_are_understood() {
        for (text, size) in [
            ("1024", Some(1024)),
            ("64m", Some(64 << 20)),
            ("64MB", Some(64 << 20)),
            ("1.5g", Some(3 << 29)),
            ("2GiB", Some(2 << 30)),
            ("512 k", Some(512 << 10)),
            ("x", None),
            ("5x", None),
            ("99999999999t", None),
        ] {
            assert_eq!(parse_bytes(text), size, "{text}");
        }
        for (text, duration) in [
            ("30s", Some(30_000)),
            ("1m30s", Some(90_000)),
            ("1.5h", Some(5_400_000)),
            ("500ms", Some(500)),
            ("0", Some(0)),
            ("1500us", Some(1)),
            ("", None),
            ("10", None),
            ("s", None),
            ("9999999999999999999h", None),
        ] {
            assert_eq!(parse_milliseconds(text), duration, "{text}");
        }
        assert_eq!(thousandths("0.5"), Some(500));
        assert_eq!(thousandths("2"), Some(2000));
        assert_eq!(thousandths(".25"), Some(250));
        assert_eq!(thousandths("1e3"), None);
    }
}
