//! Lines of package managers.

use super::{Cause, PYTHON, cause, error};

/// Packages that cannot be had or do not fit.
pub(super) static OF_PACKAGES: &[Cause] = &[
    cause(
        "package-version-missing",
        &["No matching distribution found for"],
        "the index has no such version for this Python: correct the pin in the requirements",
    ),
    cause(
        "package-version-missing",
        &["Could not find a version that satisfies the requirement"],
        "the index has no such version for this Python: correct the pin in the requirements",
    ),
    cause(
        "package-version-missing",
        &["npm", "ETARGET"],
        "the registry has no such version: correct it in package.json",
    ),
    cause(
        "package-version-missing",
        &["No matching version found for"],
        "the registry has no such version: correct it in package.json",
    ),
    cause(
        "package-version-missing",
        &["ERR_PNPM_NO_MATCHING_VERSION"],
        "the registry has no such version: correct it in package.json",
    ),
    cause(
        "package-version-missing",
        &["ERR_PNPM_FETCH_404"],
        "the registry does not have this package, or not in this version: correct it in package.json and the lockfile, or log in to the private registry",
    ),
    cause(
        "package-version-missing",
        &["npm", "E404"],
        "the registry has no such package: correct its name in package.json, or log in to the private registry",
    ),
    cause(
        "package-version-missing",
        &["Couldn't find any versions for"],
        "the registry has no such version: correct it in package.json",
    ),
    cause("python-version", &["resolved to Python", "is incompatible with the project"], PYTHON),
    cause("python-version", &["current Python version", "does not satisfy"], PYTHON),
    cause("python-version", &["urrent Python version", "is not allowed by the project"], PYTHON),
    cause("python-version", &["No interpreter found for Python"], PYTHON),
    // Poetry may find another one itself: what fails later counts more.
    error(
        "python-version",
        &["currently activated Python version", "is not supported by the project"],
        PYTHON,
    ),
    cause(
        "python-too-old",
        &["requires a different Python"],
        "the package wants another Python than this machine has: pin an older version of it, or install that Python",
    ),
    cause(
        "dependency-conflict",
        &["ResolutionImpossible"],
        "the requirements contradict each other: loosen one of the pins that are named",
    ),
    cause(
        "dependency-conflict",
        &["conflicting dependencies"],
        "the requirements contradict each other: loosen one of the pins that are named",
    ),
    cause(
        "dependency-conflict",
        &["ERESOLVE"],
        "peer dependencies contradict each other: align the versions, or build with `npm ci --legacy-peer-deps`",
    ),
    cause(
        "dependency-conflict",
        &["version solving failed"],
        "the dependencies contradict each other: loosen one of the pins that are named",
    ),
    cause(
        "lockfile-out-of-date",
        &["ERR_PNPM_OUTDATED_LOCKFILE"],
        "pnpm-lock.yaml does not fit package.json: run `pnpm install` and commit the lockfile",
    ),
    cause(
        "lockfile-out-of-date",
        &["ERR_PNPM_NO_LOCKFILE"],
        "there is no pnpm-lock.yaml that this pnpm can read: commit one, or name the version with `packageManager`",
    ),
    cause(
        "lockfile-out-of-date",
        &["npm ci", "can only install packages when your package.json and package-lock.json"],
        "package-lock.json does not fit package.json: run `npm install` and commit the lockfile",
    ),
    cause(
        "lockfile-out-of-date",
        &["EUSAGE"],
        "package-lock.json is missing or does not fit package.json: run `npm install` and commit it",
    ),
    cause(
        "lockfile-out-of-date",
        &["Your lockfile needs to be updated"],
        "yarn.lock does not fit package.json: run `yarn install` and commit the lockfile",
    ),
    cause(
        "lockfile-out-of-date",
        &["The lockfile would have been modified by this install"],
        "yarn.lock does not fit package.json: run `yarn install` and commit the lockfile",
    ),
    cause(
        "lockfile-out-of-date",
        &["pyproject.toml changed significantly since poetry.lock"],
        "run `poetry lock` and commit poetry.lock",
    ),
    cause("node-version", &["EBADENGINE"], "the package wants another Node.js: set NODE_VERSION"),
    cause(
        "node-version",
        &["The engine \"node\" is incompatible"],
        "the package wants another Node.js: set NODE_VERSION",
    ),
    cause(
        "node-version",
        &["ERR_PNPM_UNSUPPORTED_ENGINE"],
        "the package wants another Node.js: set NODE_VERSION",
    ),
    cause(
        "node-version",
        &["You are using Node.js", "is required"],
        "the tool wants another Node.js: set NODE_VERSION",
    ),
    cause(
        "node-options",
        &["is not allowed in NODE_OPTIONS"],
        "this Node.js does not know that option: change NODE_OPTIONS, or set NODE_VERSION",
    ),
    cause(
        "node-options",
        &["bad option:"],
        "this Node.js does not know that option: change the command or set NODE_VERSION",
    ),
    cause(
        "package-manager",
        &["This project is configured to use"],
        "use the package manager that package.json names in `packageManager`",
    ),
    cause(
        "signature-keys",
        &["Cannot find matching keyid"],
        "this corepack is too old for the package manager's signing keys: update it with `npm install -g corepack`",
    ),
    cause(
        "compiler-missing",
        &["gyp ERR!", "not found: make"],
        "a native package has to be compiled: `apt install build-essential`",
    ),
    cause(
        "compiler-missing",
        &["gyp ERR!", "Python"],
        "a native package has to be compiled: `apt install python3 build-essential`",
    ),
    cause(
        "compiler-missing",
        &["command 'gcc' failed: No such file"],
        "a native package has to be compiled: `apt install build-essential python3-dev`",
    ),
    cause(
        "compiler-missing",
        &["unable to execute", "gcc"],
        "a native package has to be compiled: `apt install build-essential python3-dev`",
    ),
    cause(
        "compiler-missing",
        &["linker `cc` not found"],
        "Rust needs a linker: `apt install build-essential`",
    ),
    cause(
        "header-missing",
        &["fatal error:", "Python.h: No such file"],
        "Python's headers are missing: `apt install python3-dev`",
    ),
    cause(
        "header-missing",
        &["fatal error:", ".h: No such file or directory"],
        "a library's headers are missing: install its -dev package",
    ),
    cause(
        "header-missing",
        &["pg_config executable not found"],
        "install `libpq-dev`, or use the package psycopg2-binary",
    ),
    cause(
        "venv-user-install",
        &["Can not perform a '--user' install"],
        "leave out `--user`: the virtual environment is writable",
    ),
];
