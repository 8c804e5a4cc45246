//! Lines that the repository is to blame for.

use super::{COMMAND, Cause, DEV_DEPENDENCY, VARIABLE, cause, error};

/// What the repository itself gets wrong.
pub(super) static OF_THE_REPOSITORY: &[Cause] = &[
    cause("command-not-found", &["vite: not found"], DEV_DEPENDENCY),
    cause("command-not-found", &["next: not found"], DEV_DEPENDENCY),
    cause("command-not-found", &["tsc: not found"], DEV_DEPENDENCY),
    cause("command-not-found", &["turbo: not found"], DEV_DEPENDENCY),
    cause("command-not-found", &["nest: not found"], DEV_DEPENDENCY),
    cause("command-not-found", &["webpack: not found"], DEV_DEPENDENCY),
    cause("command-not-found", &["ng: not found"], DEV_DEPENDENCY),
    cause("command-not-found", &["react-scripts: not found"], DEV_DEPENDENCY),
    cause("command-not-found", &[": command not found"], COMMAND),
    cause("command-not-found", &["sh: ", ": not found"], COMMAND),
    cause("command-not-found", &["Command \"", "\" not found"], COMMAND),
    cause(
        "script-missing",
        &["Missing script:"],
        "package.json has no such script: correct the command or `rootDir`",
    ),
    cause(
        "script-missing",
        &["ERR_PNPM_NO_SCRIPT"],
        "package.json has no such script: correct the command or `rootDir`",
    ),
    cause(
        "manifest-missing",
        &["ENOENT", "package.json"],
        "there is no package.json where the command runs: set `rootDir`",
    ),
    cause(
        "manifest-missing",
        &["ERR_PNPM_NO_PKG_MANIFEST"],
        "there is no package.json where the command runs: set `rootDir`",
    ),
    cause(
        "manifest-missing",
        &["Could not open requirements file"],
        "there is no such file where the command runs: set `rootDir`, or correct its name",
    ),
    cause(
        "manifest-missing",
        &["could not find `Cargo.toml`"],
        "there is no Cargo.toml where the command runs: set `rootDir`",
    ),
    cause(
        "manifest-missing",
        &["go.mod file not found"],
        "there is no go.mod where the command runs: set `rootDir`",
    ),
    cause(
        "manifest-missing",
        &["Could not locate Gemfile"],
        "there is no Gemfile where the command runs: set `rootDir`",
    ),
    cause("variable-missing", &["Environment variable not found"], VARIABLE),
    cause("variable-missing", &["Missing required environment variable"], VARIABLE),
    cause("variable-missing", &["Invalid environment variables"], VARIABLE),
    cause("variable-missing", &["ImproperlyConfigured"], VARIABLE),
    cause("variable-missing", &["KeyError: '", "'"], VARIABLE),
    cause(
        "permission-denied",
        &["EACCES"],
        "the command writes where builds may not: use a directory of the checkout or of HOME",
    ),
    cause(
        "permission-denied",
        &["Permission denied"],
        "the file may not be run or written: `chmod +x` and commit it, or use a directory of the checkout",
    ),
    cause(
        "permission-denied",
        &["Read-only file system"],
        "the system's directories cannot be written: use a directory of the checkout or of HOME",
    ),
    cause(
        "permission-denied",
        &["are you root?"],
        "packages of the system cannot be installed in a build: install them on this machine",
    ),
    cause(
        "file-system-path",
        &["Case mismatch"],
        "the name of a file differs in case: Linux tells them apart",
    ),
    error(
        "module-missing",
        &["ModuleNotFoundError"],
        "the module is not installed: add it to the requirements",
    ),
    error(
        "module-missing",
        &["ImportError"],
        "the module does not have that name: check the versions in the requirements",
    ),
    error(
        "module-missing",
        &["Module not found:"],
        "the file or package does not exist: mind the case of its name, and devDependencies",
    ),
    error(
        "module-missing",
        &["ERR_MODULE_NOT_FOUND"],
        "the package is not installed: add it to package.json",
    ),
    error(
        "module-missing",
        &["Cannot find module"],
        "the package or file does not exist: add it to package.json, mind the case of its name",
    ),
    error(
        "module-missing",
        &["Could not resolve \""],
        "the package or file does not exist: add it to package.json, mind the case of its name",
    ),
    error(
        "module-missing",
        &["Rollup failed to resolve import"],
        "the package is not installed: add it to package.json",
    ),
    error(
        "type-check-failed",
        &["error TS"],
        "the code does not pass type checking; if types are generated, look for the step that did not run",
    ),
    error(
        "type-check-failed",
        &["Type error:"],
        "the code does not pass type checking; if types are generated, look for the step that did not run",
    ),
    error(
        "prerender-error",
        &["Error occurred prerendering page"],
        "a page cannot be made at build time: does it read a variable or a service that is not there yet?",
    ),
    error(
        "syntax-error",
        &["SyntaxError:"],
        "the code does not parse; another version of the language may be meant",
    ),
    error("syntax-error", &["IndentationError:"], "the code does not parse"),
    error(
        "lint-error",
        &["ESLint found"],
        "linting fails the build: correct the code, or leave linting out of the build command",
    ),
    error("rust-error", &["error[E"], "the code does not compile"),
    error("rust-error", &["error: could not compile"], "the code does not compile"),
    error("go-error", &[".go:", ": undefined:"], "the code does not compile"),
    error("go-version", &["go.mod requires go >="], "install that version of Go"),
    error(
        "go-error",
        &["no required module provides package"],
        "run `go mod tidy` and commit go.mod and go.sum",
    ),
    error(
        "gem-error",
        &["Bundler could not find compatible versions"],
        "the gems contradict each other: run `bundle update` for the one that is named",
    ),
    error(
        "gem-error",
        &["Your Ruby version is"],
        "install the Ruby that the Gemfile asks for, or change it there",
    ),
    error("prisma-error", &["Error: Prisma"], "look at the schema and at DATABASE_URL"),
    error("prisma-error", &["Error code: P"], "look the code up in Prisma's reference of errors"),
    error(
        "traceback",
        &["Traceback (most recent call last)"],
        "a Python program failed; its last line says why",
    ),
    error(
        "git-error",
        &["fatal: "],
        "git failed; the build has the commit, its tags and its history, and no remote",
    ),
];
