//! Two files, or a service and what it extends, into one.
//!
//! The rules are those of the compose specification, "Merge": mappings are merged, lists appended,
//! other values replaced; commands and health checks are replaced whole; what is written as a list
//! of pairs counts as a mapping; entries of some lists have a key, so that a later one replaces an
//! earlier one. `!reset` drops, `!override` replaces.

use std::collections::HashMap;

use super::node::{Entry, Node, Scalar, Tag, Unset, Value};

/// How values at some path are merged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rule {
    Usual,
    Replace,
    /// Lists of `KEY=value` are mappings.
    Pairs,
    /// A single text is a list of one.
    List,
    /// A list of names is a mapping of them.
    Names,
    /// A text stands for the mapping with this key.
    Short(&'static str),
    /// Options stay only with the driver that they are for.
    Logging,
}

fn rule(path: &[&str]) -> Rule {
    match path {
        ["services", _, rest @ ..] => match rest {
            ["command" | "entrypoint"] | ["healthcheck", "test"] => Rule::Replace,
            ["environment" | "labels" | "annotations" | "sysctls" | "extra_hosts"]
            | ["build", "args" | "labels" | "additional_contexts" | "extra_hosts"]
            | ["deploy", "labels"] => Rule::Pairs,
            ["depends_on" | "networks" | "models"] => Rule::Names,
            ["env_file" | "tmpfs" | "dns" | "dns_search" | "dns_opt" | "label_file"] => Rule::List,
            ["build"] => Rule::Short("context"),
            ["extends"] => Rule::Short("service"),
            ["logging"] => Rule::Logging,
            _ => Rule::Usual,
        },
        ["networks" | "volumes", _, "labels"] => Rule::Pairs,
        _ => Rule::Usual,
    }
}

/// Merges `over` on top of `base`; both stand at `path`.
pub(crate) fn merge(base: Node, over: Node, path: &[&str]) -> Node {
    if over.tag == Tag::Override || base.is_null() {
        return Node { tag: Tag::None, ..over };
    }
    let rule = rule(path);
    let (base, over) = (shaped(base, rule), shaped(over, rule));
    let at = base.at.clone();
    match (base.value, over.value) {
        (_, value) if rule == Rule::Replace => Node { at: over.at, value, tag: Tag::None },
        (value @ (Value::Map(_) | Value::List(_)), Value::Scalar(scalar)) if scalar.is_null() => {
            Node { at, value, tag: Tag::None }
        }
        (Value::Map(base), Value::Map(over)) => {
            let base = if rule == Rule::Logging { same_driver(base, &over) } else { base };
            Node { at, value: Value::Map(merge_maps(base, over, path)), tag: Tag::None }
        }
        (Value::List(mut base), Value::List(over)) => {
            base.extend(over);
            Node { at, value: Value::List(unique(base, path)), tag: Tag::None }
        }
        (_, value) => Node { at: over.at, value, tag: Tag::None },
    }
}

fn merge_maps(base: Vec<Entry>, over: Vec<Entry>, path: &[&str]) -> Vec<Entry> {
    let mut merged: Vec<Option<Entry>> = base.into_iter().map(Some).collect();
    let mut index: HashMap<String, usize> = HashMap::new();
    for (at, entry) in merged.iter().flatten().enumerate() {
        index.insert(entry.key.clone(), at);
    }
    for entry in over {
        let known = index.get(&entry.key).copied();
        if entry.node.tag == Tag::Reset {
            if let Some(at) = known {
                merged[at] = None;
            }
            continue;
        }
        let earlier = known.and_then(|at| merged[at].take().map(|earlier| (at, earlier)));
        match earlier {
            Some((at, earlier)) => {
                let path: Vec<&str> = path.iter().copied().chain([entry.key.as_str()]).collect();
                let node = merge(earlier.node, entry.node, &path);
                let key_at = entry.key_at;
                merged[at] = Some(Entry { key: earlier.key, key_at, node });
            }
            None => {
                index.insert(entry.key.clone(), merged.len());
                merged.push(Some(entry));
            }
        }
    }
    merged.into_iter().flatten().collect()
}

/// The same in the shape that a rule merges.
fn shaped(node: Node, rule: Rule) -> Node {
    let Node { at, value, tag } = node;
    let value = match (rule, value) {
        (Rule::Pairs, Value::List(items)) => {
            Value::Map(items.into_iter().filter_map(pair).collect())
        }
        (Rule::Names, Value::List(items)) => {
            Value::Map(items.into_iter().filter_map(name).collect())
        }
        (Rule::List, Value::Scalar(scalar)) if !scalar.is_null() => {
            let value = Value::Scalar(scalar);
            Value::List(vec![Node { at: at.clone(), value, tag: Tag::None }])
        }
        (Rule::Short(key), Value::Scalar(scalar)) if !scalar.is_null() => {
            let node = Node { at: at.clone(), value: Value::Scalar(scalar), tag: Tag::None };
            Value::Map(vec![Entry { key: key.to_owned(), key_at: at.clone(), node }])
        }
        (_, value) => value,
    };
    Node { at, value, tag }
}

/// `KEY=value` or `host:address` as a pair; without a value it is empty.
pub(crate) fn pair(node: Node) -> Option<Entry> {
    let Value::Scalar(scalar) = node.value else { return None };
    let split = |text: &str| text.find('=').or_else(|| text.find(':'));
    let at = node.at;
    let Some(sign) = split(&scalar.text) else {
        let node = Node::of_null(at.clone());
        return (!scalar.is_null()).then_some(Entry { key: scalar.text, key_at: at, node });
    };
    let written = scalar.written.map(|written| {
        split(&written).map_or_else(String::new, |sign| written[sign + 1..].to_owned()).into()
    });
    let unset =
        scalar.unset.and_then(|unset| Some(Unset { before: unset.before.checked_sub(sign + 1)? }));
    let value =
        Scalar { text: scalar.text[sign + 1..].to_owned(), written, unset, is_plain: false };
    let node = Node { at: at.clone(), value: Value::Scalar(value), tag: Tag::None };
    Some(Entry { key: scalar.text[..sign].trim().to_owned(), key_at: at, node })
}

fn name(node: Node) -> Option<Entry> {
    let at = node.at;
    let Value::Scalar(scalar) = node.value else { return None };
    Some(Entry { key: scalar.text, key_at: at.clone(), node: Node::of_null(at) })
}

/// Drops options of another logging driver.
fn same_driver(base: Vec<Entry>, over: &[Entry]) -> Vec<Entry> {
    let driver = |entries: &[Entry]| {
        let entry = entries.iter().find(|entry| entry.key == "driver")?;
        Some(entry.node.scalar()?.text.clone())
    };
    match (driver(&base), driver(over)) {
        (Some(one), Some(two)) if one != two => Vec::new(),
        _ => base,
    }
}

/// Of list entries with the same key the last one counts, in the place of the first.
pub(crate) fn unique(items: Vec<Node>, path: &[&str]) -> Vec<Node> {
    let ["services", _, field, ..] = path else { return items };
    let mut kept: Vec<Node> = Vec::with_capacity(items.len());
    let mut known: HashMap<String, usize> = HashMap::new();
    for item in items {
        let Some(key) = key(&item, field) else {
            kept.push(item);
            continue;
        };
        match known.get(&key) {
            Some(at) => kept[*at] = item,
            None => {
                known.insert(key, kept.len());
                kept.push(item);
            }
        }
    }
    kept
}

/// What tells an entry of a list from others.
fn key(item: &Node, field: &str) -> Option<String> {
    let of = |key: &str| Some(item.get(key)?.scalar()?.text.clone());
    let text = item.scalar().map(|scalar| scalar.text.clone());
    match field {
        "volumes" | "devices" => match text {
            Some(text) => {
                let parts: Vec<&str> = text.split(':').collect();
                Some((*parts.get(1).or(parts.first())?).trim_end_matches('/').to_owned())
            }
            None => of("target"),
        },
        "configs" | "secrets" => text.or_else(|| of("target").or_else(|| of("source"))),
        "env_file" => text.or_else(|| of("path")),
        "ports" => text.or_else(|| {
            let part = |key| of(key).unwrap_or_default();
            let protocol = of("protocol").unwrap_or_else(|| "tcp".to_owned());
            Some(format!("{}:{}:{}/{protocol}", part("host_ip"), part("published"), part("target")))
        }),
        "expose" | "cap_add" | "cap_drop" | "profiles" | "dns" | "dns_search" | "dns_opt"
        | "tmpfs" | "links" | "security_opt" | "group_add" => text,
        _ => None,
    }
}

/// Drops what is still tagged `!reset` where nothing was there to be reset.
pub(crate) fn without_resets(node: Node) -> Node {
    let Node { at, value, tag } = node;
    let value = match value {
        Value::Map(entries) => Value::Map(
            entries
                .into_iter()
                .filter(|entry| entry.node.tag != Tag::Reset)
                .map(|entry| Entry { node: without_resets(entry.node), ..entry })
                .collect(),
        ),
        Value::List(items) => Value::List(items.into_iter().map(without_resets).collect()),
        scalar @ Value::Scalar(_) => scalar,
    };
    Node { at, value, tag: if tag == Tag::Reset { Tag::Reset } else { Tag::None } }
}
