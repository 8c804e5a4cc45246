//! Texts with `${…}`: templates when every part is known, else kept as they are.

use std::ops::Range;

use model::{DatabaseProperty, EnvSource, ServiceProperty, TemplatePart};

use crate::blueprint::Noun;
use crate::catalog::normalized;
use crate::code::Code;
use crate::template::{self, Expression, Piece};

use super::super::env::DraftVar;
use super::super::target::{Target, is_injected};
use super::Resolver;

impl Resolver<'_, '_> {
    /// A text of the file: a template if it is one.
    pub(super) fn literal(
        &mut self,
        var: &DraftVar,
        text: &str,
        bytes: &Range<usize>,
    ) -> EnvSource {
        let verbatim = EnvSource::Literal(text.to_owned());
        if !template::looks_interpolated(text) {
            self.lint_secret(var, text, bytes);
            self.lint_domain(var, text, bytes);
            return verbatim;
        }
        let path = format!("{}.value", var.path);
        let pieces = if self.checker.is_strict() { None } else { template::split(text) };
        let Some(pieces) = pieces else {
            let message = format!(
                "the value of `{}` holds `$`, which is not replaced; it stays as it is",
                var.key
            );
            self.checker
                .add(Code::NotInterpolated, bytes.clone(), &path, message)
                .hint("Blueprints have no interpolation: take `fromService`, `fromDatabase` or `envVarKey`");
            return verbatim;
        };
        let mut parts = Vec::new();
        let mut unknown = Vec::new();
        let mut unset = Vec::new();
        for piece in pieces {
            match piece {
                Piece::Text(text) => parts.push(TemplatePart::Text(text)),
                Piece::Expression(inner) => match self.expression(&var.key, &inner) {
                    Some(part) => {
                        unset.extend(never_set(&part));
                        parts.push(part);
                    }
                    None => unknown.push(shown(&inner)),
                },
            }
        }
        if !unknown.is_empty() {
            let message = format!(
                "the value of `{}` holds {}, which names nothing known; it stays as it is",
                var.key,
                unknown.join(" and ")
            );
            self.checker
                .add(Code::NotInterpolated, bytes.clone(), &path, message)
                .hint("a template may name RENDER_… variables, variables of the same service and `${service.property}`");
            return verbatim;
        }
        let names: Vec<String> = parts.iter().filter_map(named).collect();
        let mut message = format!(
            "the value of `{}` is a template, which Render does not have; {} is put in",
            var.key,
            names.join(", ")
        );
        if !unset.is_empty() {
            message
                .push_str(&format!("; {} is never set and counts as empty", unset.join(" and ")));
        }
        self.checker
            .add(Code::Interpolated, bytes.clone(), &path, message)
            .hint("on Render take `fromService`, `fromDatabase` or `envVarKey`, or compute the value in the start command");
        EnvSource::Template(parts)
    }

    fn expression(&mut self, own_key: &str, inner: &str) -> Option<TemplatePart> {
        let Expression { name, default, slice } = template::expression(inner)?;
        let is_variable = name.starts_with("RENDER_")
            || is_injected(&name)
            || (name != own_key
                && self.noun == Noun::Service
                && self.index.has_key(self.scope, self.owner, &name));
        if is_variable {
            return Some(TemplatePart::Variable { key: name, default, slice });
        }
        if default.is_some() || slice.is_some() {
            return None;
        }
        let name = ["services.", "service.", "databases.", "database."]
            .iter()
            .find_map(|prefix| name.strip_prefix(prefix))
            .unwrap_or(&name);
        let (name, property) = name.rsplit_once('.')?;
        let word = normalized(property);
        match self.index.find(self.scope, name, &|_| true)? {
            Target::Database => {
                let property = match word.as_str() {
                    "url" | "uri" | "connectionstring" | "connectionurl" => {
                        DatabaseProperty::ConnectionString
                    }
                    "connectionpoolstring" => DatabaseProperty::ConnectionPoolString,
                    "host" | "hostname" => DatabaseProperty::Host,
                    "port" => DatabaseProperty::Port,
                    "user" | "username" => DatabaseProperty::User,
                    "password" => DatabaseProperty::Password,
                    "database" | "databasename" | "name" => DatabaseProperty::Database,
                    _ => return None,
                };
                Some(TemplatePart::Database { name: name.to_owned(), property })
            }
            target => {
                let is_key_value = target == Target::KeyValue;
                let property = match word.as_str() {
                    "url" | "uri" | "connectionstring" if is_key_value => {
                        ServiceProperty::ConnectionString
                    }
                    "url" | "externalurl" | "uri" => ServiceProperty::Url,
                    "host" | "hostname" => ServiceProperty::Host,
                    "port" => ServiceProperty::Port,
                    "hostport" | "address" => ServiceProperty::HostPort,
                    _ => return None,
                };
                Some(TemplatePart::Service { name: name.to_owned(), property })
            }
        }
    }
}

/// What a part of a template stands for. Defaults may be secret and are left out.
fn named(part: &TemplatePart) -> Option<String> {
    match part {
        TemplatePart::Text(_) => None,
        TemplatePart::Variable { key, default, slice } => Some(match (default, slice) {
            (Some(_), _) => format!("`{key}` or a default"),
            (None, Some((from, length))) => format!("{length} characters of `{key}` from {from}"),
            (None, None) => format!("`{key}`"),
        }),
        TemplatePart::Service { name, property } => Some(format!("`{name}.{property}`")),
        TemplatePart::Database { name, property } => Some(format!("`{name}.{property}`")),
    }
}

/// The name of a variable that no platform sets and that has no default.
fn never_set(part: &TemplatePart) -> Option<String> {
    match part {
        TemplatePart::Variable { key, default: None, .. }
            if key.starts_with("RENDER_") && !is_injected(key) =>
        {
            Some(format!("`{key}`"))
        }
        _ => None,
    }
}

/// An expression for a message. Defaults may be secret and are left out.
fn shown(inner: &str) -> String {
    let name = inner.split(':').next().unwrap_or_default();
    let is_name = |letter: char| letter.is_alphanumeric() || "_-. ".contains(letter);
    if !name.is_empty() && name.len() <= 60 && name.chars().all(is_name) {
        format!("`${{{name}}}`")
    } else {
        "`${…}`".to_owned()
    }
}
