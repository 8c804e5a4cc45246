//! Every cause that is known, in words. Each has a page in `docs/errors`.

use super::NAMES_SEPARATOR;

/// One cause. In its texts `{subject}` is whose trouble it is, `{service}` the service's name, and
/// `{what}` what the cause is about.
#[derive(Debug)]
pub(super) struct Cause {
    /// Its stable name.
    pub(super) code: &'static str,
    message: &'static str,
    /// Stands for `{what}` when that is not known.
    unnamed: &'static str,
    hint: &'static str,
}

impl Cause {
    /// What happened, to what.
    pub(super) fn message(&self, subject: &str, what: Option<&str>) -> String {
        if let Some(names) = self.names(what) {
            let all: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
            let all = all.join(NAMES_SEPARATOR);
            return format!("{subject} needs the environment variables {all}, which have no value");
        }
        let what = self.what(what);
        self.message.replace("{subject}", subject).replace("{what}", &what)
    }

    /// What to do next.
    pub(super) fn hint(&self, service: &str, what: Option<&str>) -> String {
        if let Some(names) = self.names(what) {
            let all: Vec<String> =
                names.iter().map(|name| format!("--set {service}.{name}=VALUE")).collect();
            let all = all.join(" ");
            return format!("give them values: `gable up {all}`, or declare them under `envVars`");
        }
        let what = what.unwrap_or("KEY");
        self.hint.replace("{service}", service).replace("{what}", what)
    }

    /// Several variables.
    fn names<'a>(&self, what: Option<&'a str>) -> Option<Vec<&'a str>> {
        let names: Vec<&str> = what?.split(NAMES_SEPARATOR).collect();
        (self.code == "variable-missing" && names.len() > 1).then_some(names)
    }

    fn what(&self, what: Option<&str>) -> String {
        match what {
            Some(what) if what.contains(' ') => what.to_owned(),
            Some(what) => format!("`{what}`"),
            None => self.unnamed.to_owned(),
        }
    }
}

/// The cause of this code. Codes are written down in this module's neighbours only, and a test
/// looks each of them up.
pub(super) fn find(code: &str) -> &'static Cause {
    CAUSES.iter().find(|cause| cause.code == code).unwrap_or(&CAUSES[0])
}

/// The first is what is said when nothing else can be.
pub(super) const CAUSES: &[Cause] = &[
    Cause {
        code: "crashed",
        message: "{subject} exited with code {what}",
        unnamed: "another than 0",
        hint: "the lines above are the last that tell something; `gable logs {service}` shows all",
    },
    Cause {
        code: "out-of-memory",
        message: "{subject} needed more than {what} and was ended by the kernel",
        unnamed: "its memory",
        hint: "choose a larger `plan` for `{service}`, or lower what it uses (fewer workers, smaller caches)",
    },
    Cause {
        code: "heap-exhausted",
        message: "{subject} used up {what}",
        unnamed: "the heap of its own runtime",
        hint: "raise the runtime's own limit (for Node `NODE_OPTIONS=--max-old-space-size=…`), and the `plan` if that is not enough",
    },
    Cause {
        code: "limit-reached",
        message: "{subject} was ended because it reached {what}",
        unnamed: "a limit",
        hint: "look at what it was doing last; limits of time and output are there for commands that never end",
    },
    Cause {
        code: "disk-limit",
        message: "{subject} was ended because it wrote more than {what} to the disk",
        unnamed: "it may",
        hint: "write what has to last to the `disk` of `{service}` or to a database, and remove temporary files; `gable server --instance-disk` says how much each may write",
    },
    Cause {
        code: "killed",
        message: "{subject} was ended with signal KILL",
        unnamed: "it",
        hint: "look whether the machine ran out of memory (`gable doctor`), or whether something else killed it",
    },
    Cause {
        code: "ended-by-signal",
        message: "{subject} was ended by signal {what}",
        unnamed: "another than KILL",
        hint: "SEGV and ABRT are faults of the program or of one of its native modules; look at the last lines of its log",
    },
    Cause {
        code: "start-failed",
        message: "{subject} could not be started",
        unnamed: "it",
        hint: "`gable doctor` says what this machine can do",
    },
    Cause {
        code: "command-not-found",
        message: "{subject} calls {what}, which is not there",
        unnamed: "a command",
        hint: "install it in the build command, call it by the package manager (`npx`, `python -m`), or install it on this machine",
    },
    Cause {
        code: "command-not-executable",
        message: "{subject} calls {what}, which cannot be executed",
        unnamed: "a file",
        hint: "make it executable (`git update-index --chmod=+x FILE`), or call it by its interpreter (`sh FILE`)",
    },
    Cause {
        code: "exited-early",
        message: "{subject} ended with code 0, and a service is to go on running",
        unnamed: "it",
        hint: "the start command must stay in the foreground; a command that does one thing is a `cron` service or a `preDeployCommand`",
    },
    Cause {
        code: "crashed-silently",
        message: "{subject} exited with code {what} and said nothing",
        unnamed: "another than 0",
        hint: "run its command by hand with `gable run {service}`; many programs say more with a debug variable",
    },
    Cause {
        code: "option-refused",
        message: "{subject} could not start: Node refuses the option {what}",
        unnamed: "given to it",
        hint: "change `NODE_OPTIONS` of `{service}` (`gable env {service}` shows where it comes from), or use a Node version that knows the option",
    },
    Cause {
        code: "variable-missing",
        message: "{subject} needs the environment variable {what}, which has no value",
        unnamed: "it asks for",
        hint: "give it a value: `gable up --set {service}.{what}=VALUE`, or declare it under `envVars`",
    },
    Cause {
        code: "host-not-allowed",
        message: "{subject} answers, but refuses requests for its own public host ({what})",
        unnamed: "allowed hosts",
        hint: "add the service's public host (`RENDER_EXTERNAL_HOSTNAME`) to the hosts that the framework allows",
    },
    Cause {
        code: "script-missing",
        message: "{subject} runs the script {what}, which `package.json` does not have",
        unnamed: "it names",
        hint: "add the script to `package.json`, or change the command; check `rootDir` if the file is another one",
    },
    Cause {
        code: "app-not-found",
        message: "{subject} names the application {what}, which the server cannot load",
        unnamed: "in its start command",
        hint: "check the `module:attribute` in the start command, and that it is run from the right `rootDir`",
    },
    Cause {
        code: "build-output-missing",
        message: "{subject} needs {what}, which the build did not make",
        unnamed: "what a build makes",
        hint: "check that `buildCommand` really builds, and that it writes where the start command looks",
    },
    Cause {
        code: "library-missing",
        message: "{subject} needs the system library {what}, which this machine does not have",
        unnamed: "of a native module",
        hint: "install the library on this machine, or use a package that brings it along",
    },
    Cause {
        code: "module-missing",
        message: "{subject} cannot find the module {what}",
        unnamed: "it imports",
        hint: "add it to the dependencies, and check that the build command installs them where the service runs",
    },
    Cause {
        code: "type-check-failed",
        message: "{subject} failed type checking ({what})",
        unnamed: "by its compiler",
        hint: "run the same check locally; the release before this one goes on serving",
    },
    Cause {
        code: "package-version-missing",
        message: "{subject} asks for the package version {what}, which does not exist",
        unnamed: "of a dependency",
        hint: "correct the version; check the spelling, and that the registry in use has the package",
    },
    Cause {
        code: "lockfile-out-of-date",
        message: "{subject} was refused: the lock file and the list of dependencies differ",
        unnamed: "it",
        hint: "run the package manager locally and commit the lock file",
    },
    Cause {
        code: "tool-version",
        message: "{subject} needs another version of a tool than {what}",
        unnamed: "this machine has",
        hint: "install the wanted version on this machine, or relax what the project asks for",
    },
    Cause {
        code: "download-failed",
        message: "{subject} could not download from {what}",
        unnamed: "the network",
        hint: "check this machine's network; variables for proxies and mirrors go into `--operator-env FILE`",
    },
    Cause {
        code: "compilation-failed",
        message: "{subject} could not be compiled ({what})",
        unnamed: "see the line",
        hint: "run the same command locally; the release before this one goes on serving",
    },
    Cause {
        code: "syntax-error",
        message: "{subject} has a syntax error: {what}",
        unnamed: "in its source",
        hint: "fix the place that the log names; a newer syntax may need a newer version of the language",
    },
    Cause {
        code: "migration-failed",
        message: "{subject} could not migrate the database ({what})",
        unnamed: "see the line",
        hint: "bring the migrations in order by hand with `gable run {service}` and `gable psql`, then deploy again",
    },
    Cause {
        code: "database-password-refused",
        message: "{subject} was refused by the database: wrong user or password ({what})",
        unnamed: "see the line",
        hint: "use `fromDatabase` with `connectionString` instead of a written-out address",
    },
    Cause {
        code: "extension-unavailable",
        message: "{subject} needs the PostgreSQL extension {what}, which the database does not have",
        unnamed: "it names",
        hint: "create it with `gable psql`, or install its package for this major version on this machine",
    },
    Cause {
        code: "database-does-not-exist",
        message: "{subject} names the database {what}, which does not exist",
        unnamed: "it connects to",
        hint: "use `fromDatabase` with `connectionString`, or correct `databaseName`",
    },
    Cause {
        code: "schema-missing",
        message: "{subject} reads {what}, which the database does not have yet",
        unnamed: "a table",
        hint: "run the migrations: add a `preDeployCommand`, or once with `gable run {service} -- COMMAND`",
    },
    Cause {
        code: "database-connections-exhausted",
        message: "{subject} was refused by the database: no connection is left",
        unnamed: "it",
        hint: "lower the size of connection pools; each instance and each worker has one of its own",
    },
    Cause {
        code: "database-tls",
        message: "{subject} and the database do not agree about TLS",
        unnamed: "it",
        hint: "use `sslmode=require` without verification inside the private network; the certificate is self-signed",
    },
    Cause {
        code: "database-not-ready",
        message: "{subject} asked {what} before it was ready",
        unnamed: "a database",
        hint: "deploy again once `gable status` shows the database as running; programs should try again for some seconds",
    },
    Cause {
        code: "host-not-found",
        message: "{subject} asks for the host {what}, which has no address",
        unnamed: "it names",
        hint: "names in the private network are the services' own; `gable env {service}` shows where the value comes from",
    },
    Cause {
        code: "connection-refused",
        message: "{subject} was refused a connection to {what}",
        unnamed: "another service",
        hint: "use `fromService` or `fromDatabase` for the address; `127.0.0.1` is the instance itself, not its neighbour",
    },
    Cause {
        code: "address-in-use",
        message: "{subject} wants the port {what}, which is taken",
        unnamed: "it listens on",
        hint: "look whether the start command starts two servers; without root two instances cannot share one port",
    },
    Cause {
        code: "port-not-permitted",
        message: "{subject} may not listen on port {what}",
        unnamed: "below 1024",
        hint: "listen on `PORT` (10000) or any port above 1023",
    },
    Cause {
        code: "file-missing",
        message: "{subject} looks for {what}, which is not there",
        unnamed: "a file",
        hint: "check the path and `rootDir`; files that are ignored by git are not deployed",
    },
    Cause {
        code: "read-only-files",
        message: "{subject} wants to write to {what}, which is read-only",
        unnamed: "the system",
        hint: "write below the project, to `/tmp`, or to a disk",
    },
    Cause {
        code: "disk-full",
        message: "{subject} found no space left on the disk",
        unnamed: "it",
        hint: "free some space; `gable doctor` shows what Gable itself uses",
    },
    Cause {
        code: "permission-denied",
        message: "{subject} may not use {what}",
        unnamed: "a file",
        hint: "services run as a user of their own; write below the project, to `/tmp`, or to a disk",
    },
    Cause {
        code: "port-not-open",
        message: "{subject} runs, but listens on no port; `PORT` is {what}",
        unnamed: "set",
        hint: "listen on `0.0.0.0` and the port that `PORT` names; a service that listens nowhere is a `worker`",
    },
    Cause {
        code: "listens-on-loopback",
        message: "{subject} listens on {what} only, where nobody else can reach it",
        unnamed: "loopback",
        hint: "bind to `0.0.0.0` instead of `127.0.0.1` or `localhost` (often `--host 0.0.0.0` or `HOST=0.0.0.0`)",
    },
    Cause {
        code: "port-not-answering",
        message: "{subject} listens on {what}, but nothing answers there",
        unnamed: "a port",
        hint: "look whether it accepts connections; a server that is busy while starting should open its port last",
    },
    Cause {
        code: "health-path-not-found",
        message: "{subject} answers, but has no page at its health check path {what}",
        unnamed: "it declares",
        hint: "correct `healthCheckPath`, or leave it out: then an open port is enough",
    },
    Cause {
        code: "health-path-unauthorized",
        message: "{subject} answers, but wants a login at its health check path {what}",
        unnamed: "it declares",
        hint: "choose a path that answers without a login",
    },
    Cause {
        code: "health-check-error",
        message: "{subject} answers its health check with {what}",
        unnamed: "an error",
        hint: "the answer and the log say why; look at databases and variables that it needs",
    },
    Cause {
        code: "health-check-refused",
        message: "{subject} answers its health check with {what}",
        unnamed: "a status that is not 2xx or 3xx",
        hint: "let `healthCheckPath` answer GET with 200, or name another path",
    },
    Cause {
        code: "health-check-timeout",
        message: "{subject} accepts connections, but does not answer {what} in time",
        unnamed: "its health check",
        hint: "look what the first request waits for: a database, a lock, another service",
    },
    Cause {
        code: "health-check-not-http",
        message: "{subject} answers {what} with something that is not HTTP",
        unnamed: "its health check",
        hint: "the port that was found may be another than the web server's; set `PORT` to the one that speaks HTTP without TLS",
    },
    Cause {
        code: "not-healthy-in-time",
        message: "{subject} did not become healthy in time",
        unnamed: "it",
        hint: "look at its log: `gable logs {service}`",
    },
];
