//! What a reference asks of the thing that it names.

use model::{
    DatabaseProperty, EnvSource, ServiceKind, ServiceProperty, ServiceReference, TemplatePart,
};

use crate::catalog::normalized;
use crate::code::Code;
use crate::finding::{Edit, Patch};

use super::super::target::{Target, is_injected};
use super::{Part, Reference, Resolver};

impl Resolver<'_, '_> {
    pub(super) fn of_database(
        &mut self,
        key: &str,
        reference: &Reference,
        name: String,
    ) -> EnvSource {
        if !reference.is_database {
            let patch = reference.without_kind.clone().map(|mut patch| {
                patch.edits.insert(0, Edit::replace(reference.bytes.clone(), "fromDatabase"));
                patch
            });
            let message = format!("`{name}` is a database, not a service; read as `fromDatabase`");
            self.checker
                .add(Code::ReferenceKind, reference.bytes.clone(), &reference.path, message)
                .hint("write `fromDatabase` with `name` and `property`")
                .patch(patch);
        }
        let Some(property) = &reference.property else {
            let property = DatabaseProperty::ConnectionString;
            self.missing_property(key, reference, &property.to_string());
            return EnvSource::FromDatabase { name, property };
        };
        if let Ok(property) = property.text.parse() {
            return EnvSource::FromDatabase { name, property };
        }
        let meant = match normalized(&property.text).as_str() {
            "url"
            | "uri"
            | "connectionuri"
            | "connectionurl"
            | "internalconnectionstring"
            | "internaldatabaseurl"
            | "databaseurl"
            | "connectionstring"
            | "dsn" => "connectionString",
            "connectionpoolstring" | "poolurl" => "connectionPoolString",
            "username" | "user" => "user",
            "dbname" | "databasename" | "name" | "database" => "database",
            "hostname" | "host" | "internalhost" => "host",
            "port" => "port",
            "password" | "pass" => "password",
            "hostport" => {
                self.property(reference, property, "hostport", false);
                let part = |property| TemplatePart::Database { name: name.clone(), property };
                return EnvSource::Template(vec![
                    part(DatabaseProperty::Host),
                    TemplatePart::Text(":".to_owned()),
                    part(DatabaseProperty::Port),
                ]);
            }
            _ => return self.unknown_property(reference, property, "a database"),
        };
        self.property(reference, property, meant, true);
        meant.parse().map_or(EnvSource::Ask, |property| EnvSource::FromDatabase { name, property })
    }

    pub(super) fn of_service(
        &mut self,
        key: &str,
        reference: &Reference,
        name: String,
        target: Target,
    ) -> EnvSource {
        self.check_kind(reference, &name, target);
        let is_key_value = target == Target::KeyValue;
        if let (Some(env_key), false) = (&reference.env_key, is_key_value) {
            if let Some(property) = &reference.property {
                let message =
                    "a reference has `property` and `envVarKey`; `envVarKey` counts".to_owned();
                self.checker.add(
                    Code::EnvConflict,
                    property.bytes.clone(),
                    &reference.path,
                    message,
                );
            }
            return self.copy(reference, name, &env_key.text);
        }
        let text = reference.property.as_ref().map(|part| part.text.as_str()).unwrap_or_default();
        let is_exact = match text.parse::<ServiceProperty>() {
            Ok(ServiceProperty::ConnectionString) => is_key_value,
            Ok(ServiceProperty::Url) | Err(_) => false,
            Ok(_) => true,
        };
        if let (true, Ok(property)) = (is_exact, text.parse()) {
            let reference = ServiceReference::Property(property);
            return EnvSource::FromService { name, reference };
        }
        let Some(property) = &reference.property else {
            let word = guessed_property(key, target);
            self.missing_property(key, reference, word);
            let reference = word.parse().map(ServiceReference::Property);
            return reference
                .map_or(EnvSource::Ask, |reference| EnvSource::FromService { name, reference });
        };
        if target == Target::Workflow && text == "slug" {
            return EnvSource::Literal(slug(&name));
        }
        let is_variable = self.index.has_key(self.scope, &name, text) || is_injected(text);
        if is_variable && !is_key_value {
            let message =
                format!("`{text}` is a variable of `{name}`, not a property; read as `envVarKey`");
            self.checker
                .add(Code::ReferenceProperty, property.bytes.clone(), &reference.path, message)
                .hint(format!("write `envVarKey: {text}`"));
            return self.copy(reference, name, text);
        }
        let meant = match (normalized(text).as_str(), is_key_value) {
            ("hostport" | "address" | "internaladdress", _) => "hostport",
            ("hostname" | "host" | "internalhost" | "internalhostname", _) => "host",
            ("port", _) => "port",
            (
                "connectionstring"
                | "url"
                | "uri"
                | "connectionuri"
                | "redisurl"
                | "connectionurl"
                | "internalconnectionstring",
                true,
            ) => "connectionString",
            (
                "url" | "uri" | "externalurl" | "publicurl" | "baseurl" | "connectionstring",
                false,
            ) => "url",
            _ => return self.unknown_property(reference, property, "a service"),
        };
        self.property(reference, property, meant, meant != "url");
        let reference = meant.parse().map(ServiceReference::Property);
        reference.map_or(EnvSource::Ask, |reference| EnvSource::FromService { name, reference })
    }

    /// A copy of another service's variable.
    fn copy(&mut self, reference: &Reference, name: String, key: &str) -> EnvSource {
        let is_known = self.index.has_key(self.scope, &name, key) || is_injected(key);
        if !is_known {
            let message = format!(
                "service `{name}` declares no variable `{key}`; this one stays unset until it has a value"
            );
            self.checker
                .add(Code::ReferenceNowhere, reference.bytes.clone(), &reference.path, message)
                .hint(format!(
                    "declare `{key}` there, or give it a value with --set {name}.{key}=…"
                ));
        }
        EnvSource::FromService { name, reference: ServiceReference::EnvVar(key.to_owned()) }
    }

    fn check_kind(&mut self, reference: &Reference, name: &str, target: Target) {
        let word = target.type_word();
        let path = &reference.path;
        if reference.is_database {
            let message = format!("`{name}` is no database; read as `fromService`");
            let mut patch = Patch::replace(reference.bytes.clone(), "fromService");
            if let Some((at, text)) = &reference.insert_at {
                patch
                    .edits
                    .push(Edit::replace(*at..*at, text.replace("{}", &format!("type: {word}"))));
            }
            self.checker
                .add(Code::ReferenceKind, reference.bytes.clone(), path, message)
                .hint(format!("write `fromService` with `type: {word}`"))
                .patch(patch);
            return;
        }
        match &reference.kind {
            Some(kind) if target.fits(&kind.text) => {}
            Some(kind) => {
                let message = format!("`{name}` has type `{word}`, not `{}`", kind.text);
                self.checker
                    .add(Code::ReferenceKind, kind.bytes.clone(), path, message)
                    .hint(format!("write `type: {word}`"))
                    .patch(kind.replace(word));
            }
            None => {
                let patch = reference.insert_at.as_ref().map(|(at, text)| {
                    Patch::insert(*at, text.replace("{}", &format!("type: {word}")))
                });
                let message = format!("the reference to `{name}` has no `type`; it is `{word}`");
                self.checker
                    .add(Code::ReferenceShape, reference.name.bytes.clone(), path, message)
                    .hint(format!("write `type: {word}`"))
                    .patch(patch);
            }
        }
    }

    fn property(
        &mut self,
        reference: &Reference,
        property: &Part,
        meant: &str,
        is_written_so: bool,
    ) {
        let message = if property.text == meant {
            format!("Render has no property `{meant}` here; it was understood all the same")
        } else {
            format!("there is no property `{}`; read as `{meant}`", property.text)
        };
        let finding = self.checker.add(
            Code::ReferenceProperty,
            property.bytes.clone(),
            &reference.path,
            message,
        );
        if is_written_so {
            finding.hint(format!("write `property: {meant}`")).patch(property.replace(meant));
        } else if meant == "url" {
            finding.hint("on Render write `envVarKey: RENDER_EXTERNAL_URL` instead of a property");
        } else {
            finding.hint("on Render take host and port as two variables");
        }
    }

    fn missing_property(&mut self, key: &str, reference: &Reference, meant: &str) {
        let patch = reference
            .insert_at
            .as_ref()
            .filter(|_| reference.kind.is_some() || reference.is_database)
            .map(|(at, text)| {
                Patch::insert(*at, text.replace("{}", &format!("property: {meant}")))
            });
        let message =
            format!("the reference of `{key}` asks for nothing; read as `property: {meant}`");
        self.checker
            .add(Code::ReferenceShape, reference.bytes.clone(), &reference.path, message)
            .hint(format!("write `property: {meant}`"))
            .patch(patch.filter(|_| meant != "url"));
    }

    fn unknown_property(
        &mut self,
        reference: &Reference,
        property: &Part,
        what: &str,
    ) -> EnvSource {
        let options = if what == "a database" {
            "connectionString, host, port, user, password or database"
        } else {
            "host, port, hostport, or `envVarKey` with the name of a variable"
        };
        // The text may be a secret that was put in the wrong place.
        let message = format!("{what} has no such property; the variable stays unset");
        self.checker
            .add(Code::ReferenceProperty, property.bytes.clone(), &reference.path, message)
            .hint(format!("write {options}"));
        EnvSource::Ask
    }
}

/// What is meant by a reference without a property, judged by the name of the variable.
fn guessed_property(key: &str, target: Target) -> &'static str {
    let key = key.to_ascii_uppercase();
    if target == Target::KeyValue {
        return if key.ends_with("HOST") {
            "host"
        } else if key.ends_with("PORT") {
            "port"
        } else {
            "connectionString"
        };
    }
    let is_public = matches!(target, Target::Service(ServiceKind::Web | ServiceKind::Static));
    if is_public && (key.contains("URL") || key.contains("ORIGIN")) {
        "url"
    } else if key.ends_with("PORT") {
        "port"
    } else if key.ends_with("HOST") {
        "host"
    } else {
        "hostport"
    }
}

/// A name as it appears in addresses.
fn slug(name: &str) -> String {
    let mut slug = String::new();
    for letter in name.to_lowercase().chars() {
        if letter.is_ascii_alphanumeric() {
            slug.push(letter);
        } else if !slug.ends_with('-') {
            slug.push('-');
        }
    }
    slug.trim_matches('-').to_owned()
}
