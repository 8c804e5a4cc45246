//! `$NAME`, `${NAME:-default}` and their kin.
//!
//! The rules are those of the compose specification, "Interpolation": `:-` and `-` give a default,
//! `:?` and `?` require a value, `:+` and `+` replace one; with the colon, an empty value counts as
//! none. What stands behind the sign is interpolated itself. `$$` is a dollar sign.

use super::node::Unset;

/// Deepest nesting of `${…}`.
const DEPTH_LIMIT: usize = 16;
/// Longest result.
const SIZE_LIMIT_BYTES: usize = 1024 * 1024;

/// A text with its variables filled in.
#[derive(Debug, Clone, Default)]
pub(crate) struct Filled {
    pub(crate) text: String,
    /// Variables that have neither value nor default, by name.
    pub(crate) unset: Vec<String>,
    /// Variables that are required and have no value, with what the author says about them.
    pub(crate) required: Vec<(String, String)>,
    /// Offsets of dollar signs that mean nothing.
    pub(crate) dollars: Vec<usize>,
    /// The last thing in the text is a variable without value, and there is no other.
    pub(crate) tail: Option<Unset>,
    variables: usize,
}

/// Why a text cannot be filled in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// A `${` that is not closed, or holds something else than the known forms.
    Form,
    /// Nested too deeply, or the result is too long.
    Bounds,
}

/// Where values come from.
pub(crate) type Lookup<'a> = dyn Fn(&str) -> Option<String> + 'a;

/// Fills in the variables of a text.
pub(crate) fn fill(text: &str, lookup: &Lookup<'_>) -> Result<Filled, Refusal> {
    let mut filled = Filled::default();
    let rest = walk(text, 0, lookup, &mut filled)?;
    debug_assert!(rest.is_empty(), "only a nested text ends at a brace");
    if filled.variables != 1 {
        filled.tail = None;
    }
    Ok(filled)
}

/// Everything in a text that may be the name of a variable.
pub(crate) fn names(text: &str) -> impl Iterator<Item = &str> {
    text.match_indices('$').filter_map(|(at, _)| {
        let behind = &text[at + 1..];
        let found = name(behind.strip_prefix('{').unwrap_or(behind));
        (!found.is_empty()).then_some(found)
    })
}

/// Fills in up to the end, or up to the brace that closes a nested text; gives what is left.
fn walk<'t>(
    text: &'t str,
    depth: usize,
    lookup: &Lookup<'_>,
    filled: &mut Filled,
) -> Result<&'t str, Refusal> {
    if depth > DEPTH_LIMIT {
        return Err(Refusal::Bounds);
    }
    let mut rest = text;
    loop {
        let stop = rest.find(|letter| letter == '$' || (depth > 0 && letter == '}'));
        let at = stop.unwrap_or(rest.len());
        filled.push(&rest[..at])?;
        rest = &rest[at..];
        let Some(behind) = rest.strip_prefix('$') else {
            return if depth > 0 && rest.is_empty() { Err(Refusal::Form) } else { Ok(rest) };
        };
        let name = name(behind);
        if let Some(behind) = behind.strip_prefix('$') {
            filled.push("$")?;
            rest = behind;
        } else if let Some(inner) = behind.strip_prefix('{') {
            rest = braced(inner, depth, lookup, filled)?;
        } else if name.is_empty() {
            if depth == 0 {
                filled.dollars.push(text.len() - rest.len());
            }
            filled.push("$")?;
            rest = behind;
        } else {
            filled.value(name, lookup(name))?;
            rest = &behind[name.len()..];
        }
    }
}

/// What stands behind `${`, up to and with its brace.
fn braced<'t>(
    inner: &'t str,
    depth: usize,
    lookup: &Lookup<'_>,
    filled: &mut Filled,
) -> Result<&'t str, Refusal> {
    let name = name(inner);
    if name.is_empty() {
        return Err(Refusal::Form);
    }
    let value = lookup(name);
    let behind = &inner[name.len()..];
    if let Some(rest) = behind.strip_prefix('}') {
        filled.value(name, value)?;
        return Ok(rest);
    }
    let (counts_empty, sign) = match behind.strip_prefix(':') {
        Some(sign) => (true, sign),
        None => (false, behind),
    };
    let has_value = value.as_ref().is_some_and(|value| !(counts_empty && value.is_empty()));
    let Some(operand) = sign.strip_prefix(['-', '?', '+']) else { return Err(Refusal::Form) };
    // The operand is walked in any case, to find its end; what it says counts only where it is used.
    let mut other = Filled::default();
    let rest = walk(operand, depth + 1, lookup, &mut other)?;
    let written = &operand[..operand.len() - rest.len()];
    let rest = rest.strip_prefix('}').ok_or(Refusal::Form)?;
    filled.variables += 1;
    match sign.as_bytes()[0] {
        b'-' if has_value => filled.push(&value.unwrap_or_default())?,
        b'+' if !has_value => {}
        b'?' if has_value => filled.push(&value.unwrap_or_default())?,
        b'?' => filled.required.push((name.to_owned(), written.to_owned())),
        _ => filled.absorb(other)?,
    }
    Ok(rest)
}

/// The name that a text begins with.
fn name(text: &str) -> &str {
    let is_first = |byte: u8| byte.is_ascii_alphabetic() || byte == b'_';
    if !text.bytes().next().is_some_and(is_first) {
        return "";
    }
    let end = text.bytes().position(|byte| !(byte.is_ascii_alphanumeric() || byte == b'_'));
    &text[..end.unwrap_or(text.len())]
}

impl Filled {
    /// A text in which nothing is filled in.
    pub(crate) fn as_written(text: String) -> Self {
        Self { text, ..Self::default() }
    }

    fn push(&mut self, text: &str) -> Result<(), Refusal> {
        if self.text.len() + text.len() > SIZE_LIMIT_BYTES {
            return Err(Refusal::Bounds);
        }
        if !text.is_empty() {
            self.tail = None;
        }
        self.text.push_str(text);
        Ok(())
    }

    fn value(&mut self, name: &str, value: Option<String>) -> Result<(), Refusal> {
        self.variables += 1;
        match value {
            Some(value) => self.push(&value),
            None => {
                self.unset.push(name.to_owned());
                self.tail = Some(Unset { before: self.text.len() });
                Ok(())
            }
        }
    }

    fn absorb(&mut self, other: Self) -> Result<(), Refusal> {
        self.push(&other.text)?;
        self.unset.extend(other.unset);
        self.required.extend(other.required);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{Refusal, fill};

    fn check(text: &str, expected: &str) {
        let lookup = |name: &str| match name {
            "A" => Some("one".to_owned()),
            "B" => Some("two".to_owned()),
            "EMPTY" => Some(String::new()),
            "LONG" => Some("x".repeat(600 * 1024)),
            _ => None,
        };
        let shown = match fill(text, &lookup) {
            Ok(filled) => {
                let mut shown = filled.text;
                for name in filled.unset {
                    shown += &format!(" unset:{name}");
                }
                for (name, message) in filled.required {
                    shown += &format!(" required:{name}({message})");
                }
                for at in filled.dollars {
                    shown += &format!(" dollar:{at}");
                }
                shown
            }
            Err(refusal) => format!("{refusal:?}"),
        };
        assert_eq!(shown, expected, "{text}");
    }

    #[test]
    fn every_form_means_what_the_specification_says() {
        check("plain", "plain");
        check("$A-${B}", "one-two");
        check("$$A $${A}", "$A ${A}");
        check("${NONE}x", "x unset:NONE");
        check("$NONE", " unset:NONE");
        check("${A:-d} ${EMPTY:-d} ${NONE:-d}", "one d d");
        check("${A-d} ${EMPTY-d} ${NONE-d}", "one  d");
        check("${A:+r} ${EMPTY:+r} ${NONE:+r}", "r  ");
        check("${A+r} ${EMPTY+r} ${NONE+r}", "r r ");
        check("${A:?why}${A?why}${EMPTY?why}", "oneone");
        check("${EMPTY:?say why}", " required:EMPTY(say why)");
        check("${NONE?}", " required:NONE()");
        check("${NONE:-}", "");
    }

    #[test]
    fn what_stands_behind_the_sign_is_filled_in_too() {
        check("${NONE:-${B}}", "two");
        check("${NONE:-a${ALSO-${A}b}c}", "aonebc");
        check("redis://${A:+:${A}@}host", "redis://:one@host");
        check("${NONE:-$B-}", "two-");
        check("${A:-${NONE}}", "one");
        check("${NONE:-${ALSO}}", " unset:ALSO");
        check("${NONE:-http://h:80/?a=b}", "http://h:80/?a=b");
    }

    #[test]
    fn other_dollar_signs_are_named_and_other_braces_refused() {
        check("cost $5 $", "cost $5 $ dollar:5 dollar:8");
        check("$(date)", "$(date) dollar:0");
        for text in ["${", "${A", "${}", "${A:-", "${A/x/y}", "${A%x}", "${1}", "${A:-${B}"] {
            assert_eq!(fill(text, &|_| None).err(), Some(Refusal::Form), "{text}");
        }
    }

    #[test]
    fn results_and_nesting_have_bounds() {
        check("${LONG}${LONG}", "Bounds");
        let deep = format!("{}x{}", "${N:-".repeat(20), "}".repeat(20));
        check(&deep, "Bounds");
    }
}
