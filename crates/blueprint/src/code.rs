//! The stable names of what can be found in a file, and how much each weighs.

use serde::{Serialize, Serializer};

use crate::finding::{Mode, Severity};

/// One row per code: its name, its weight when reading tolerantly and strictly, and what it means.
macro_rules! codes {
    ($($variant:ident $name:literal $tolerant:ident $strict:ident $meaning:literal;)*) => {
        /// The stable name of a kind of finding.
        #[derive(
            Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, strum::EnumIter,
        )]
        pub enum Code {
            $(#[doc = $meaning] $variant,)*
        }

        impl Code {
            /// The name, such as `unknown-field`.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// What it means, in a sentence or two.
            #[must_use]
            pub fn meaning(self) -> &'static str {
                match self { $(Self::$variant => $meaning,)* }
            }

            /// How much it weighs in a mode.
            #[must_use]
            pub fn severity(self, mode: Mode) -> Severity {
                match (self, mode) {
                    $(
                        (Self::$variant, Mode::Tolerant) => Severity::$tolerant,
                        (Self::$variant, Mode::Strict) => Severity::$strict,
                    )*
                }
            }
        }
    };
}

codes! {
    TooLarge "blueprint-too-large" Error Error
        "The file is larger than 10 MB, the limit of Render's validation.";
    NotYaml "blueprint-not-yaml" Error Error
        "The text is not YAML, and no small repair of its layout makes it so.";
    TooDeep "blueprint-too-deep" Error Error
        "Lists and mappings are nested deeper than any Blueprint needs.";
    TooManyNodes "blueprint-too-many-nodes" Error Error
        "The file holds more values than any Blueprint does, most often through aliases of aliases.";
    EmptyFile "blueprint-empty" Error Error
        "The file declares no service and no database.";
    ComposeFile "blueprint-is-compose" Error Error
        "The file is a Compose file, not a Blueprint.";
    WrongShape "wrong-shape" Error Error
        "A list, a mapping or a text stands where another of the three is needed.";
    MissingName "missing-name" Error Error
        "A resource has no name; the name is its identity.";
    MissingType "missing-type" Error Error
        "A service does not say what it is, and nothing else tells.";
    UnknownType "unknown-service-type" Error Error
        "The type of a service is none that exists.";
    MissingRuntime "missing-runtime" Error Error
        "A service does not say what it is built with, and nothing else tells.";
    UnknownRuntime "unknown-runtime" Error Error
        "The runtime of a service is none that exists.";
    MissingImage "missing-image" Error Error
        "A service with `runtime: image` names no image.";
    BadSchedule "bad-schedule" Error Error
        "A cron job has no schedule of five fields.";
    BadMount "bad-mount-path" Error Error
        "A disk cannot be mounted there: it would hide the system or the source.";
    PathOutside "path-outside-repository" Error Error
        "A directory lies outside the repository.";
    BadInterpolation "bad-interpolation" Error Error
        "A `${…}` of a compose file is none of the forms that exist.";
    VariableRequired "variable-required" Error Error
        "A compose file requires a variable that has no value.";
    FileNotThere "file-not-there" Error Error
        "A file that a compose file names is not there.";
    EnvFileLine "env-file-line" Error Error
        "A line of a file of variables is none, or goes on behind its closing quote.";
    FileCircle "file-circle" Error Error
        "Files include or services extend each other in a circle.";
    TooMuch "too-much" Error Error
        "A compose file grows beyond any real one when its files, aliases and variables are followed.";
    BadValue "bad-value" Error Error
        "A value cannot be understood, and nothing tells what it should be.";
    BadName "bad-name" Error Error
        "A name holds a line break, a control character or, of a variable, a blank or a `=`.";
    NotDeclared "not-declared" Error Error
        "A service, volume, network, config or secret is named that no file declares.";
    DependencyCircle "dependency-circle" Error Error
        "Services wait for each other in a circle.";
    PortTwice "port-published-twice" Error Error
        "Two services want the same port of the host.";
    Conflict "conflicting-declarations" Error Error
        "The same thing is declared in two ways that do not fit together.";

    Indentation "indentation" Repair Error
        "A block stands at another indentation than the list or mapping it belongs to.";
    Tabs "tabs" Repair Error
        "Lines are indented with tabs, which YAML forbids.";
    Unquoted "unquoted-text" Repair Error
        "A text needs quotes, because it holds characters that mean something in YAML.";
    MissingSpace "missing-space" Repair Error
        "A colon or dash needs a space behind it.";
    ListRoot "list-at-root" Repair Error
        "The file is a list; it was read as the list of services.";
    SeveralDocuments "several-documents" Repair Error
        "The file holds several YAML documents; they were read as one.";
    UnknownAlias "unknown-alias" Repair Error
        "An alias refers to an anchor that does not exist; it counts as empty.";
    DuplicateKey "duplicate-key" Repair Error
        "A key stands twice in one mapping: lists were joined, of other values the last one counts.";
    UnknownField "unknown-field" Repair Error
        "A field does not exist; it was ignored.";
    FieldSpelling "field-spelling" Repair Error
        "A field is spelled in another way than the format says.";
    FieldPlace "field-not-for-type" Repair Error
        "A field does not exist for this type of service.";
    WrongScalar "wrong-scalar" Repair Error
        "A value has another YAML type than the format says; its text was taken.";
    EmptyField "empty-field" Repair Error
        "A field has no value; it counts as absent.";
    NotAList "not-a-list" Repair Error
        "A single value or a mapping stands where a list is expected; it was read as one.";
    ValueSpelling "value-spelling" Repair Error
        "A value is spelled in another way than the format says.";
    UnknownValue "unknown-value" Repair Error
        "A value is none that exists; the default was taken.";
    OutOfRange "out-of-range" Repair Error
        "A number is outside what the format allows; the nearest allowed one was taken.";
    MissingField "missing-field" Repair Error
        "A field that the format requires is absent; what it evidently is was taken.";
    MissingIpAllowList "missing-ip-allow-list" Repair Error
        "A Key Value instance has no `ipAllowList`; it was read as closed to the outside.";
    KeyValueInDatabases "key-value-in-databases" Repair Error
        "A Key Value instance (Redis) stands under `databases`, which is for PostgreSQL.";
    DatabaseInServices "database-in-services" Repair Error
        "A PostgreSQL database stands under `services`.";
    NamedTwice "named-twice" Repair Error
        "Two resources have the same name.";
    EnvMapping "env-vars-mapping" Repair Error
        "Environment variables stand as a mapping instead of a list of `key` and `value`.";
    EnvItem "env-var-shape" Repair Error
        "An environment variable is written in another shape than the format says.";
    EnvConflict "env-var-conflict" Repair Error
        "An environment variable says in two ways where its value comes from.";
    EnvTwice "env-var-twice" Repair Error
        "An environment variable stands twice; the last one counts.";
    EnvInGroup "reference-in-group" Repair Error
        "A variable of a group refers to a service or database, which Render does not allow.";
    ReferenceShape "reference-shape" Repair Error
        "A reference lacks a part or is written in another shape than the format says.";
    ReferenceProperty "reference-property" Repair Error
        "A reference asks for a property that its target does not have.";
    ReferenceKind "reference-kind" Repair Error
        "A reference names a service where it means a database, or the other way round.";

    ServiceLeftOut "service-left-out" Repair Error
        "A service asks for something that no instance is given, or waits for one that does; the rest of the file runs.";

    DollarAlone "dollar-alone" Repair Error
        "A `$` stands alone in a compose file; it was read as the character itself.";

    EnvForRuntime "env-for-runtime" Repair Note
        "`env` is the old spelling of `runtime`.";
    BooleanValue "boolean-value" Repair Note
        "An environment variable has a bare `true` or `false`; its text was taken, as Render does.";
    Deprecated "deprecated-field" Note Note
        "A field has a newer spelling.";
    ReferenceNowhere "reference-leads-nowhere" Note Note
        "A reference names something that the file does not declare; the variable stays unset until it has a value.";
    GroupNowhere "group-not-declared" Note Note
        "A service links a group that the file does not declare.";
    KeyOnly "env-var-without-value" Note Note
        "An environment variable has a key and nothing else; it stays unset until it has a value.";
    SyncInGroup "sync-in-group" Note Note
        "`sync: false` has no effect in a group on Render; here its value can be given.";
    Interpolated "interpolated-value" Repair Note
        "A value holds `${…}`, which Render does not replace; it was understood as a template.";
    NotInterpolated "value-not-interpolated" Note Note
        "A value holds `$` followed by something unknown; it stays as it is.";
    InternalDomain "internal-domain" Note Note
        "A value holds a host below `render-internal.com`, which exists nowhere.";
    HostAsUrl "host-as-url" Note Note
        "A variable named like a URL gets a bare host name.";
    PlainSecret "plain-secret" Note Note
        "A secret stands in the file as plain text.";
    NoStartCommand "no-start-command" Note Note
        "A service has no start command.";
    NoEffect "field-without-effect" Note Note
        "A field has no effect together with the others.";
    FieldNotApplicable "field-not-applicable" Note Note
        "A field of a compose file has no meaning here.";
    FieldTranslated "field-translated" Note Note
        "A field of a compose file means here what comes closest.";
    FieldLater "field-later" Note Note
        "A field of a compose file is understood, but not acted upon yet.";
    HostPath "host-path" Note Error
        "A service wants a file or directory of the host that lies outside the project.";
    FieldRefused "field-refused" Note Error
        "A field asks for something that no instance is given.";
    VariableUnset "variable-unset" Note Note
        "A variable of a compose file has no value; it counts as empty.";
    ManagedStore "managed-store" Note Note
        "A well-known data image of a compose file runs as a managed store.";
    SharedVolume "shared-volume" Note Note
        "Several instances of a service write to one volume at once.";
    StaysImage "stays-image" Note Note
        "A well-known data image runs as it is, because a managed store could not do what the file asks.";
    ProfileOff "profile-off" Note Note
        "A service belongs to a profile that was not asked for.";
    RenderRule "render-rule" Note Error
        "Render refuses this; on one's own machine nothing speaks against it.";
}

impl std::fmt::Display for Code {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.pad(self.name())
    }
}

impl Serialize for Code {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}
