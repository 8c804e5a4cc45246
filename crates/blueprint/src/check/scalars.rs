//! Single values: what a field asks for, and what stands there.

use std::ops::RangeInclusive;

use crate::catalog::{Treatment, normalized};
use crate::code::Code;
use crate::tree::{Node, Scalar};

use super::fields::Slot;
use super::{Checker, alternatives};

impl Checker<'_> {
    /// A text. Numbers and truth values are taken as they are written.
    pub(super) fn text(&mut self, slot: &Slot<'_>) -> Option<String> {
        let name = slot.field.name;
        if let Some(scalar) = slot.node.scalar() {
            if scalar.boolean().is_some() || scalar.is_number() {
                let patch = self.quote_value(slot.node);
                let kind = if scalar.is_number() { "a number" } else { "true or false" };
                let message =
                    format!("`{name}` has to be a text, and is {kind}; its text was taken");
                self.add(Code::WrongScalar, slot.node.bytes.clone(), &slot.path, message)
                    .hint("put it in quotes")
                    .patch(patch);
            }
            return Some(scalar.text.clone());
        }
        let lines: Option<Vec<&str>> = slot.node.list().and_then(|items| {
            items.iter().map(|item| item.scalar().map(|scalar| scalar.text.as_str())).collect()
        });
        if let Some(lines) = lines.filter(|lines| !lines.is_empty()) {
            let is_command = name.ends_with("Command") || name.ends_with("Hook");
            if is_command || lines.len() == 1 {
                let message =
                    format!("`{name}` has to be a text, and is a list; its items were joined");
                self.add(Code::WrongScalar, slot.key_bytes.clone(), &slot.path, message)
                    .hint("join commands with `&&`");
                return Some(lines.join(" && "));
            }
        }
        self.wrong_shape(slot, "a text");
        None
    }

    /// Reports that a value is of another shape. It is an error only if the field matters here.
    pub(super) fn wrong_shape(&mut self, slot: &Slot<'_>, expected: &str) {
        let (name, noun) = (slot.field.name, slot.node.noun());
        let matters = !matches!(slot.field.treatment, Treatment::NotApplicable | Treatment::Later);
        if matters {
            let message = format!("`{name}` has to be {expected}, and is {noun}");
            self.add(Code::WrongShape, slot.key_bytes.clone(), &slot.path, message)
                .hint(format!("write {expected} behind `{name}:`"));
        } else {
            let message = format!("`{name}` has to be {expected}, and is {noun}; it was ignored");
            self.add(Code::UnknownValue, slot.key_bytes.clone(), &slot.path, message);
        }
    }

    /// True or false.
    pub(super) fn boolean(&mut self, slot: &Slot<'_>) -> Option<bool> {
        let Some(scalar) = slot.node.scalar() else {
            self.wrong_shape(slot, "`true` or `false`");
            return None;
        };
        if let Some(value) = scalar.boolean() {
            return Some(value);
        }
        let name = slot.field.name;
        let meant = meant_boolean(scalar);
        let patch = meant.and_then(|value| self.replace_value(slot.node, &value.to_string()));
        let (code, message) = match meant {
            Some(value) => (
                Code::WrongScalar,
                format!("`{name}` has to be `true` or `false`; read as `{value}`"),
            ),
            None => (
                Code::UnknownValue,
                format!("`{name}` has to be `true` or `false`; it was ignored"),
            ),
        };
        self.add(code, slot.node.bytes.clone(), &slot.path, message)
            .hint("write `true` or `false` without quotes")
            .patch(patch);
        meant
    }

    /// A whole number within bounds; one outside is moved to the nearest bound.
    pub(super) fn integer(&mut self, slot: &Slot<'_>, range: RangeInclusive<u32>) -> Option<u32> {
        let name = slot.field.name;
        let Some(scalar) = slot.node.scalar() else {
            self.wrong_shape(slot, "a whole number");
            return None;
        };
        let Some(value) = meant_integer(&scalar.text) else {
            let message = format!("`{name}` has to be a whole number; it was ignored");
            self.add(Code::UnknownValue, slot.node.bytes.clone(), &slot.path, message)
                .hint(format!("write a number from {} to {}", range.start(), range.end()));
            return None;
        };
        let bounded = value.clamp(*range.start(), *range.end());
        if bounded != value {
            let patch = self.replace_value(slot.node, &bounded.to_string());
            let (least, most) = (range.start(), range.end());
            let message = format!("`{name}` has to be from {least} to {most}; read as {bounded}");
            self.add(Code::OutOfRange, slot.node.bytes.clone(), &slot.path, message).patch(patch);
        } else if !scalar.is_plain || !scalar.text.bytes().all(|byte| byte.is_ascii_digit()) {
            let patch = self.replace_value(slot.node, &value.to_string());
            let message = format!("`{name}` has to be a whole number; read as {value}");
            self.add(Code::WrongScalar, slot.node.bytes.clone(), &slot.path, message)
                .hint(format!("write `{name}: {value}`"))
                .patch(patch);
        }
        Some(bounded)
    }

    /// One of some words. `meant` maps what people write instead.
    pub(super) fn choice(
        &mut self,
        slot: &Slot<'_>,
        options: &[&'static str],
        meant: &[(&str, &'static str)],
    ) -> Option<&'static str> {
        let Some(scalar) = slot.node.scalar() else {
            self.wrong_shape(slot, "a text");
            return None;
        };
        let text = scalar.text.trim();
        if let Some(option) = options.iter().find(|option| **option == text) {
            return Some(option);
        }
        let plain = normalized(text);
        let found = options
            .iter()
            .find(|option| normalized(option) == plain)
            .or_else(|| {
                meant.iter().find(|(word, _)| normalized(word) == plain).map(|(_, option)| option)
            })
            .or_else(|| options.iter().find(|option| is_close(option, &plain)))
            .copied();
        let name = slot.field.name;
        let list = alternatives(options);
        let patch = found.and_then(|option| self.replace_value(slot.node, option));
        let (code, message) = match found {
            Some(option) => {
                (Code::ValueSpelling, format!("`{name}` has no value `{text}`; read as `{option}`"))
            }
            None => (Code::UnknownValue, format!("`{name}` has no value `{text}`; it was ignored")),
        };
        self.add(code, slot.node.bytes.clone(), &slot.path, message)
            .hint(format!("write {list}"))
            .patch(patch);
        found
    }

    /// `enabled` or `disabled`.
    pub(super) fn switch(&mut self, slot: &Slot<'_>) -> Option<bool> {
        let meant = [
            ("true", "enabled"),
            ("yes", "enabled"),
            ("on", "enabled"),
            ("false", "disabled"),
            ("no", "disabled"),
            ("off", "disabled"),
        ];
        self.choice(slot, &["enabled", "disabled"], &meant).map(|value| value == "enabled")
    }
}

fn is_close(option: &str, plain: &str) -> bool {
    plain.len() >= 4 && strsim::osa_distance(&normalized(option), plain) == 1
}

fn meant_boolean(scalar: &Scalar) -> Option<bool> {
    match scalar.text.trim().to_ascii_lowercase().as_str() {
        "true" | "yes" | "y" | "on" | "1" | "enabled" | "automatic" | "commit" => Some(true),
        "false" | "no" | "n" | "off" | "0" | "disabled" | "manual" => Some(false),
        _ => None,
    }
}

/// `10`, `"10"`, `10GB`, `1_000`, `30s`, `70%`, `5.0`.
fn meant_integer(text: &str) -> Option<u32> {
    let text = text.trim().to_ascii_lowercase().replace('_', "");
    let digits = text.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let unit = unit.strip_prefix(".0").unwrap_or(unit).trim();
    let is_unit = matches!(
        unit,
        "" | "g" | "gb" | "gi" | "gib" | "s" | "sec" | "seconds" | "%" | "d" | "days"
    );
    if !is_unit || number.is_empty() {
        return None;
    }
    number.parse().ok()
}

/// Whether a node is a scalar without quotes that YAML reads as a number.
pub(super) fn is_bare_number(node: &Node) -> bool {
    node.scalar().is_some_and(Scalar::is_number)
}
