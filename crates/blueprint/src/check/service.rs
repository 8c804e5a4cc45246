//! An item of `services`: what it is, and who reads it.

use model::text::check_name;
use model::{Runtime, ServiceKind};

use crate::blueprint::Noun;
use crate::catalog::{Place, Shapes, normalized};
use crate::code::Code;

use super::Checker;
use super::fields::Fields;
use super::root::Draft;
use super::values::Item;

/// What the place of an item says about it.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Implied {
    pub(super) service_type: Option<&'static str>,
    pub(super) runtime: Option<&'static str>,
}

/// What an item of `services` turns out to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Server(ServiceKind),
    Static,
    Cron,
    Workflow,
    KeyValue,
    Database,
}

impl Kind {
    pub(super) fn shape(self) -> Shapes {
        match self {
            Self::Server(_) => Shapes::SERVER,
            Self::Static => Shapes::STATIC,
            Self::Cron => Shapes::CRON,
            Self::Workflow => Shapes::WORKFLOW,
            Self::KeyValue | Self::Database => Shapes::KEY_VALUE,
        }
    }

    fn what(self) -> &'static str {
        match self {
            Self::Server(ServiceKind::Worker) => "a worker",
            Self::Server(ServiceKind::Private) => "a private service",
            Self::Server(_) => "a web service",
            Self::Static => "a static site",
            Self::Cron => "a cron job",
            Self::Workflow => "a workflow",
            Self::KeyValue => "a Key Value instance",
            Self::Database => "a database",
        }
    }
}

/// The types that the format has.
const TYPES: &[(&str, Kind)] = &[
    ("web", Kind::Server(ServiceKind::Web)),
    ("pserv", Kind::Server(ServiceKind::Private)),
    ("worker", Kind::Server(ServiceKind::Worker)),
    ("cron", Kind::Cron),
    ("keyvalue", Kind::KeyValue),
    ("redis", Kind::KeyValue),
    ("workflow", Kind::Workflow),
];

/// What people write instead, without case and separators, and the type that is meant.
const MEANT: &[(&str, &str)] = &[
    ("webservice", "web"),
    ("webapp", "web"),
    ("website", "web"),
    ("http", "web"),
    ("app", "web"),
    ("api", "web"),
    ("service", "web"),
    ("docker", "web"),
    ("server", "web"),
    ("private", "pserv"),
    ("privateservice", "pserv"),
    ("internal", "pserv"),
    ("privserv", "pserv"),
    ("background", "worker"),
    ("backgroundworker", "worker"),
    ("workers", "worker"),
    ("cronjob", "cron"),
    ("scheduled", "cron"),
    ("job", "cron"),
    ("static", "static"),
    ("staticsite", "static"),
    ("site", "static"),
    ("spa", "static"),
    ("valkey", "keyvalue"),
    ("kv", "keyvalue"),
    ("cache", "keyvalue"),
    ("postgres", "database"),
    ("postgresql", "database"),
    ("pgsql", "database"),
    ("db", "database"),
    ("database", "database"),
    ("dpg", "database"),
];

impl Checker<'_> {
    /// Reads one item of `services`.
    pub(super) fn service(&mut self, item: &Item<'_>, implied: Implied, draft: &mut Draft) {
        let Some(mut fields) = self.fields(item.node, &item.path, Place::Service) else { return };
        let name = self.name(&fields, item.name, "a service");
        let Some(kind) = self.kind(&fields, implied) else { return };
        if kind == Kind::Database {
            self.database_in_services(&fields, item, name, draft);
            return;
        }
        self.check_shapes(&mut fields, kind.shape(), kind.what());
        let name = name.unwrap_or_else(|| item.path.clone());
        match kind {
            Kind::KeyValue => self.key_value(&fields, item, name, draft),
            Kind::Server(_) | Kind::Static | Kind::Cron | Kind::Workflow | Kind::Database => {
                self.server(&fields, item, kind, name, implied, draft);
            }
        }
    }

    /// A name, from the field or from the key of a mapping by name.
    pub(super) fn name(
        &mut self,
        fields: &Fields<'_>,
        implied: Option<&str>,
        what: &str,
    ) -> Option<String> {
        let name = self.text_of(fields, "name").map(|name| name.trim().to_owned());
        let name = name.filter(|name| !name.is_empty()).or_else(|| implied.map(str::to_owned));
        if name.is_none() {
            let message = format!("{what} has no name; the name is its identity");
            self.add(Code::MissingName, fields.anchor(), &fields.path, message)
                .hint("write `name: …`");
        }
        if let Some(Err(fault)) = name.as_deref().map(check_name) {
            let message = format!("this cannot be the name of {what}: {fault}");
            self.add(Code::BadName, fields.anchor(), &fields.path, message)
                .hint("names stand on one line and hold no control characters");
        }
        name
    }

    /// A name that no other resource of that kind has in the scope.
    pub(super) fn unique_name(
        &mut self,
        draft: &Draft,
        noun: Noun,
        name: String,
        fields: &Fields<'_>,
        item: &Item<'_>,
    ) -> String {
        let is_taken = |name: &str| draft.scope.origin(noun, name).is_some();
        if name.is_empty() || !is_taken(&name) {
            return name;
        }
        // Few share a name; of very many, counting from 2 would take for ever.
        let count = draft.scope.origins.len();
        let first = if count < 100 { 2 } else { count };
        let free = (first..).map(|number| format!("{name}-{number}")).find(|name| !is_taken(name));
        let free = free.unwrap_or_else(|| name.clone());
        let patch = fields.get("name").and_then(|slot| self.replace_value(slot.node, &free));
        let message =
            format!("there is another {noun} named `{name}`; this one is called `{free}`");
        self.add(Code::NamedTwice, fields.anchor(), &item.path, message)
            .hint("give each its own name")
            .patch(patch);
        free
    }

    fn kind(&mut self, fields: &Fields<'_>, implied: Implied) -> Option<Kind> {
        let runtime = runtime_text(fields).map(normalized).unwrap_or_default();
        let is_postgres = matches!(runtime.as_str(), "postgres" | "postgresql");
        let Some(slot) = fields.get("type") else {
            if is_postgres {
                return Some(Kind::Database);
            }
            return self.missing_type(fields, implied);
        };
        let text = self.text(slot)?;
        let plain = normalized(&text);
        let exact = TYPES.iter().find(|(word, _)| *word == text).map(|(_, kind)| *kind);
        let is_server = matches!(exact, Some(Kind::Server(_)));
        if is_server && is_postgres {
            return Some(Kind::Database);
        }
        if is_server && matches!(runtime.as_str(), "redis" | "valkey" | "keyvalue") {
            self.type_spelling(fields, &text, "keyvalue");
            return Some(Kind::KeyValue);
        }
        if text == "redis" {
            let patch = self.replace_value(slot.node, "keyvalue");
            let message = "`redis` is the old spelling of `keyvalue`".to_owned();
            self.add(Code::Deprecated, slot.node.bytes.clone(), &slot.path, message)
                .hint("write `type: keyvalue`")
                .patch(patch);
        }
        if let Some(kind) = exact {
            return Some(static_or(kind, &runtime));
        }
        let close = |word: &str| plain.len() >= 3 && strsim::osa_distance(word, &plain) == 1;
        let meant = TYPES
            .iter()
            .map(|(word, _)| (*word, *word))
            .chain(MEANT.iter().copied())
            .find(|(word, _)| *word == plain)
            .or_else(|| TYPES.iter().map(|(word, _)| (*word, *word)).find(|(word, _)| close(word)));
        let Some((_, meant)) = meant else {
            let message = format!("there is no type of service `{text}`");
            self.add(Code::UnknownType, slot.node.bytes.clone(), &slot.path, message)
                .hint("write web, pserv, worker, cron, keyvalue or, for a static site, web with `runtime: static`");
            return None;
        };
        if meant == "database" {
            return Some(Kind::Database);
        }
        let meant = if meant == "redis" { "keyvalue" } else { meant };
        self.type_spelling(fields, &text, meant);
        if meant == "static" {
            return Some(Kind::Static);
        }
        let kind = TYPES.iter().find(|(word, _)| *word == meant).map(|(_, kind)| *kind)?;
        Some(static_or(kind, &runtime))
    }

    fn type_spelling(&mut self, fields: &Fields<'_>, text: &str, meant: &str) {
        let Some(slot) = fields.get("type") else { return };
        let (shown, word) = if meant == "static" {
            ("`web` with `runtime: static`".to_owned(), "web")
        } else {
            (format!("`{meant}`"), meant)
        };
        let mut patch = self.replace_value(slot.node, word);
        if meant == "static"
            && !fields.has("runtime")
            && !fields.has("env")
            && let (Some(patch), Some(insert)) =
                (&mut patch, self.insert_after(slot, "runtime: static"))
        {
            patch.edits.extend(insert.edits);
        }
        let message = format!("there is no type of service `{text}`; read as {shown}");
        self.add(Code::ValueSpelling, slot.node.bytes.clone(), &slot.path, message)
            .hint(format!("write `type: {word}`"))
            .patch(patch);
    }

    /// What an item without `type` evidently is.
    fn missing_type(&mut self, fields: &Fields<'_>, implied: Implied) -> Option<Kind> {
        let runtime = runtime_text(fields).or(implied.runtime).map(normalized).unwrap_or_default();
        let word = if let Some(word) = implied.service_type {
            word
        } else if fields.has("schedule") {
            "cron"
        } else if fields.has("maxmemoryPolicy") {
            "keyvalue"
        } else if [
            "startCommand",
            "healthCheckPath",
            "domains",
            "staticPublishPath",
            "runtime",
            "env",
        ]
        .iter()
        .any(|name| fields.has(name))
        {
            "web"
        } else {
            let message = "a service has no type".to_owned();
            self.add(Code::MissingType, fields.anchor(), &fields.path, message)
                .hint("write `type: web`, `pserv`, `worker`, `cron` or `keyvalue`");
            return None;
        };
        let patch =
            fields.first().and_then(|slot| self.insert_after(slot, &format!("type: {word}")));
        let message = format!("a service has no type; read as `{word}`");
        self.add(Code::MissingField, fields.anchor(), &fields.path, message)
            .hint(format!("write `type: {word}`"))
            .patch(patch);
        let kind = TYPES.iter().find(|(known, _)| *known == word).map(|(_, kind)| *kind)?;
        Some(if fields.has("staticPublishPath") {
            static_or(kind, "static")
        } else {
            static_or(kind, &runtime)
        })
    }

    /// The runtime, from the field, its old spelling, or what else the service says.
    pub(super) fn runtime(
        &mut self,
        fields: &Fields<'_>,
        kind: Kind,
        implied: Implied,
    ) -> Option<Runtime> {
        if let (Some(_), Some(env)) = (fields.get("runtime"), fields.get("env")) {
            let patch = self.remove(env);
            let message =
                "`env` is the old spelling of `runtime`, which is there too and counts".to_owned();
            self.add(Code::EnvForRuntime, env.key_bytes.clone(), &env.path, message)
                .hint("remove `env`")
                .patch(patch);
        } else if let Some(env) = fields.get("env") {
            let patch = self.rename_key(env, "runtime");
            let message = "`env` is the old spelling of `runtime`".to_owned();
            self.add(Code::EnvForRuntime, env.key_bytes.clone(), &env.path, message)
                .hint("write `runtime`")
                .patch(patch);
        }
        if let Some(slot) = fields.get("runtime").or_else(|| fields.get("env")) {
            if kind == Kind::Static
                && slot.node.scalar().is_some_and(|scalar| scalar.text != "static")
            {
                let patch = self.replace_value(slot.node, "static");
                let message =
                    "a static site has `runtime: static`; what builds it is found by itself"
                        .to_owned();
                self.add(Code::ValueSpelling, slot.node.bytes.clone(), &slot.path, message)
                    .hint("write `runtime: static`")
                    .patch(patch);
                return Some(Runtime::Static);
            }
            return self.runtime_value(slot);
        }
        if kind == Kind::Static && implied.runtime.is_none() && fields.has("type") {
            // Said by the type already.
            return Some(Runtime::Static);
        }
        let found = implied.runtime.and_then(|word| word.parse().ok()).or_else(|| evident(fields));
        let Some(runtime) = found else {
            let message =
                "a service has no runtime, and nothing tells what it is built with".to_owned();
            self.add(Code::MissingRuntime, fields.anchor(), &fields.path, message)
                .hint("write `runtime: node`, `python`, `ruby`, `go`, `rust`, `elixir`, `static`, `docker` or `image`");
            return None;
        };
        let slot = fields.get("type").or_else(|| fields.first());
        let patch = slot.and_then(|slot| self.insert_after(slot, &format!("runtime: {runtime}")));
        let message = format!("a service has no runtime; read as `{runtime}`");
        self.add(Code::MissingField, fields.anchor(), &fields.path, message)
            .hint(format!("write `runtime: {runtime}`"))
            .patch(patch);
        Some(runtime)
    }

    fn runtime_value(&mut self, slot: &super::fields::Slot<'_>) -> Option<Runtime> {
        let text = self.text(slot)?;
        if let Ok(runtime) = text.parse::<Runtime>() {
            return Some(runtime);
        }
        let meant = match normalized(&text).as_str() {
            "node" | "nodejs" | "js" | "javascript" | "typescript" | "bun" | "npm" | "nextjs" => {
                "node"
            }
            "python" | "python3" | "py" | "django" | "flask" | "fastapi" => "python",
            "ruby" | "rails" | "rubyonrails" => "ruby",
            "go" | "golang" => "go",
            "rust" | "cargo" => "rust",
            "elixir" | "phoenix" => "elixir",
            "static" | "staticsite" | "html" | "spa" => "static",
            "docker" | "dockerfile" | "container" => "docker",
            "image" | "dockerimage" => "image",
            _ => {
                let message = format!("there is no runtime `{text}`");
                self.add(Code::UnknownRuntime, slot.node.bytes.clone(), &slot.path, message)
                    .hint("write node, python, ruby, go, rust, elixir, static, docker or image");
                return None;
            }
        };
        let patch = self.replace_value(slot.node, meant);
        let message = format!("there is no runtime `{text}`; read as `{meant}`");
        self.add(Code::ValueSpelling, slot.node.bytes.clone(), &slot.path, message)
            .hint(format!("write `runtime: {meant}`"))
            .patch(patch);
        meant.parse().ok()
    }
}

fn static_or(kind: Kind, runtime: &str) -> Kind {
    let is_web = kind == Kind::Server(ServiceKind::Web);
    if is_web && runtime == "static" { Kind::Static } else { kind }
}

fn runtime_text<'t>(fields: &Fields<'t>) -> Option<&'t str> {
    let slot = fields.get("runtime").or_else(|| fields.get("env"))?;
    slot.node.scalar().map(|scalar| scalar.text.as_str())
}

/// What a service without `runtime` is built with, judged by its other fields.
fn evident(fields: &Fields<'_>) -> Option<Runtime> {
    if fields.has("image") {
        return Some(Runtime::Image);
    }
    if fields.has("dockerfilePath") || fields.has("dockerContext") || fields.has("dockerCommand") {
        return Some(Runtime::Docker);
    }
    if fields.has("staticPublishPath") {
        return Some(Runtime::Static);
    }
    let text_of = |name: &str| {
        fields.get(name).and_then(|slot| slot.node.scalar()).map_or("", |scalar| &scalar.text)
    };
    let commands = format!("{}\n{}", text_of("buildCommand"), text_of("startCommand"));
    let words: Vec<&str> =
        commands.split(|letter: char| letter.is_whitespace() || ";&|()".contains(letter)).collect();
    let tools: [(&[&str], Runtime); 6] = [
        (&["npm", "npx", "yarn", "pnpm", "node", "bun", "corepack"], Runtime::Node),
        (
            &["pip", "pip3", "python", "python3", "gunicorn", "uvicorn", "poetry", "uv"],
            Runtime::Python,
        ),
        (&["bundle", "ruby", "rails", "rake", "puma", "gem"], Runtime::Ruby),
        (&["go"], Runtime::Go),
        (&["cargo"], Runtime::Rust),
        (&["mix", "elixir"], Runtime::Elixir),
    ];
    tools
        .into_iter()
        .find(|(tools, _)| tools.iter().any(|tool| words.contains(tool)))
        .map(|(_, runtime)| runtime)
}
