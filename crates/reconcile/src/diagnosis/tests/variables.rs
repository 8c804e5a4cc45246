use crate::diagnosis::variables::*;

fn check(log: &str, names: &[&str]) {
    let lines: Vec<&str> = log.lines().collect();
    let found = unset(&lines);
    let found = found.as_ref().map(|found| found.names.clone()).unwrap_or_default();
    assert_eq!(found, names, "{log}");
}

#[test]
fn libraries_that_check_settings_are_understood_and_every_name_is_told() {
    // Real messages: envalid 8, envsafe 2, zod 4, t3-env 0.13, znv, env-var 7, joi, valibot, arktype.
    check(
        "================================\n Missing environment variables:\n    DATABASE_URL: undefined\n    PORT: undefined\n    STRIPE_SECRET_KEY: undefined\n================================\n\n Exiting with error code 1",
        &["DATABASE_URL", "PORT", "STRIPE_SECRET_KEY"],
    );
    check(
        "💨 Missing environment variables:\n    DATABASE_URL: Missing value or empty string\n    API_KEY: Missing value or empty string",
        &["DATABASE_URL", "API_KEY"],
    );
    check(
        "ZodError: [\n  {\n    \"expected\": \"string\",\n    \"code\": \"invalid_type\",\n    \"path\": [\n      \"DATABASE_URL\"\n    ],\n    \"message\": \"Invalid input: expected string, received undefined\"\n  },\n  {\n    \"expected\": \"string\",\n    \"code\": \"invalid_type\",\n    \"path\": [\n      \"REDIS_URL\"\n    ],\n    \"message\": \"Invalid input: expected string, received undefined\"\n  }\n]",
        &["DATABASE_URL", "REDIS_URL"],
    );
    check(
        "❌ Invalid environment variables: {\n  DATABASE_URL: [ 'Invalid input: expected string, received undefined' ],\n  REDIS_URL: [ 'Invalid URL' ]\n}",
        &["DATABASE_URL"],
    );
    check(
        "✖ Invalid input: expected string, received undefined\n  → at DATABASE_URL\n✖ Invalid input: expected string, received undefined\n  → at REDIS_URL",
        &["DATABASE_URL", "REDIS_URL"],
    );
    check(
        "❌ Invalid environment variables: [\n  {\n    expected: 'string',\n    code: 'invalid_type',\n    path: [ 'DATABASE_URL' ],\n    message: 'Invalid input: expected string, received undefined'\n  },\n  {\n    expected: 'string',\n    code: 'invalid_type',\n    path: [ 'AUTH_SECRET' ],\n    message: 'Invalid input: expected string, received undefined'\n  }\n]",
        &["DATABASE_URL", "AUTH_SECRET"],
    );
    check(
        "Error: Errors found while parsing environment:\n  [DATABASE_URL]:\n    Invalid input: expected string, received undefined\n    (received undefined)\n\n  [API_KEY]:\n    Invalid input: expected string, received undefined",
        &["DATABASE_URL", "API_KEY"],
    );
    check(
        "EnvVarError: env-var: \"DATABASE_URL\" is a required variable, but it was not set",
        &["DATABASE_URL"],
    );
    check(
        "Error: Config validation error: \"DATABASE_URL\" is required. \"API_KEY\" is required",
        &["DATABASE_URL", "API_KEY"],
    );
    check(
        "ValiError: Invalid key: Expected \"DATABASE_URL\" but received undefined",
        &["DATABASE_URL"],
    );
    check(
        "DATABASE_URL must be a string (was missing)\nREDIS_URL must be a string (was missing)",
        &["DATABASE_URL", "REDIS_URL"],
    );
}

#[test]
fn settings_of_python_programs_are_understood() {
    // pydantic-settings 2, decouple, environs 14, starlette, dynaconf, typed-settings, Django.
    check(
        "pydantic_core._pydantic_core.ValidationError: 2 validation errors for S\ndatabase_url\n  Field required [type=missing, input_value={}, input_type=dict]\n    For further information visit https://errors.pydantic.dev/2.14/v/missing\nsecret_key\n  Field required [type=missing, input_value={}, input_type=dict]",
        &["DATABASE_URL", "SECRET_KEY"],
    );
    check("web-1 | database_url\nweb-1 |   Field required", &[]);
    check(
        "decouple.UndefinedValueError: DATABASE_URL not found. Declare it as envvar or define a default value.",
        &["DATABASE_URL"],
    );
    check(
        "environs.exceptions.EnvNotSetError: Environment variable \"DATABASE_URL\" not set",
        &["DATABASE_URL"],
    );
    check(
        "environs.exceptions.EnvValidationError: Environment variables invalid: {'DATABASE_URL': ['Environment variable not set.'], 'API_PORT': ['Environment variable not set.']}",
        &["DATABASE_URL", "API_PORT"],
    );
    check("KeyError: \"Config 'DATABASE_URL' is missing, and has no default.\"", &["DATABASE_URL"]);
    check(
        "dynaconf.validator.ValidationError: DATABASE_URL is required in env main",
        &["DATABASE_URL"],
    );
    check(
        "typed_settings.exceptions.InvalidValueError: No value set for required option 'database_url'",
        &["DATABASE_URL"],
    );
    check(
        "django.core.exceptions.ImproperlyConfigured: The SECRET_KEY setting must not be empty.",
        &["SECRET_KEY"],
    );
    check(
        "django.core.exceptions.ImproperlyConfigured: Set the DATABASE_URL environment variable",
        &["DATABASE_URL"],
    );
}

#[test]
fn what_other_languages_say_of_a_variable_is_understood() {
    // Go, Rust, Ruby, Elixir, Java, shells, Prisma.
    check("required key DATABASE_URL missing value", &["DATABASE_URL"]);
    check(
        "env: required environment variable \"DATABASE_URL\" is not set; required environment variable \"API_KEY\" is not set",
        &["DATABASE_URL", "API_KEY"],
    );
    check("missing value for field database_url", &["DATABASE_URL"]);
    check("key not found: \"DATABASE_URL\" (KeyError)", &["DATABASE_URL"]);
    check(
        "Missing required configuration key: [\"PUSHER_KEY\", \"PUSHER_SECRET\"] (Figaro::MissingKeys)",
        &["PUSHER_KEY", "PUSHER_SECRET"],
    );
    check("** (RuntimeError) environment variable DATABASE_URL is missing.", &["DATABASE_URL"]);
    check(
        "Could not resolve placeholder 'DATABASE_URL' in value \"${DATABASE_URL}\"",
        &["DATABASE_URL"],
    );
    check("./run.sh: line 3: DATABASE_URL: unbound variable", &["DATABASE_URL"]);
    check("error: Environment variable not found: DATABASE_URL.", &["DATABASE_URL"]);
    check(
        "PrismaConfigEnvError: Cannot resolve environment variable: DATABASE_URL.",
        &["DATABASE_URL"],
    );
}

#[test]
fn sentences_of_any_program_are_understood() {
    check(
        "2026-11-27 23:08:55,305 [ERROR] app.config: Missing required environment variables: DATABASE_URL, API_KEY.",
        &["DATABASE_URL", "API_KEY"],
    );
    check(
        "The following environment variables are not set: STRIPE_KEY, STRIPE_SECRET and MAIL_FROM",
        &["STRIPE_KEY", "STRIPE_SECRET", "MAIL_FROM"],
    );
    check("Error: missing configuration for the payment provider: STRIPE_KEY", &["STRIPE_KEY"]);
    check("Please set DATABASE_URL. See the README.", &["DATABASE_URL"]);
    check("You must provide the environment variable JWT_SECRET", &["JWT_SECRET"]);
    check(
        "Error: SUPABASE_URL and SUPABASE_ANON_KEY are required",
        &["SUPABASE_URL", "SUPABASE_ANON_KEY"],
    );
    check("{\"level\":\"fatal\",\"msg\":\"JWT_SECRET must be set\"}", &["JWT_SECRET"]);
    check("Missing env vars:\n - STRIPE_KEY\n - MAIL_FROM\n", &["STRIPE_KEY", "MAIL_FROM"]);
    check("config: API_TOKEN: required", &["API_TOKEN"]);
    check("Error: API_URL must be set to build this page", &["API_URL"]);
    check("Missing required environment variable(s): JWT_SECRET", &["JWT_SECRET"]);
}

#[test]
fn other_logs_name_no_variable() {
    for log in [
        "",
        "Error [ERR_MODULE_NOT_FOUND]: Cannot find module 'x'",
        "code: 'MODULE_NOT_FOUND'",
        "npm error code E404",
        "[UNRESOLVED_IMPORT] Could not resolve './missing.js' in main.js",
        "listening on PORT 3000",
        "DATABASE_URL is set",
        "relation \"users\" does not exist",
        "Environment variables loaded from .env",
    ] {
        check(log, &[]);
    }
}
