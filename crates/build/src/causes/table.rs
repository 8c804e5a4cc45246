//! The known lines. Earlier entries win, so special ones stand before general ones.

mod machine;
mod packages;
mod repository;

use machine::OF_THE_MACHINE;
use packages::OF_PACKAGES;
use repository::OF_THE_REPOSITORY;

/// How near to the root of the trouble a line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Weight {
    /// Says what failed, and may follow from something earlier.
    Error,
    /// Says why.
    Cause,
}

/// One known kind of line.
pub(super) struct Cause {
    pub(super) code: &'static str,
    pub(super) weight: Weight,
    /// All of these stand in the line.
    all: &'static [&'static str],
    pub(super) hint: &'static str,
}

impl Cause {
    pub(super) fn matches(&self, line: &str) -> bool {
        self.all.iter().all(|part| line.contains(part))
    }
}

const fn cause(code: &'static str, all: &'static [&'static str], hint: &'static str) -> Cause {
    Cause { code, weight: Weight::Cause, all, hint }
}

const fn error(code: &'static str, all: &'static [&'static str], hint: &'static str) -> Cause {
    Cause { code, weight: Weight::Error, all, hint }
}

const CERTIFICATE: &str = "a certificate is not trusted: behind a proxy that opens TLS, give builds its authority with `--operator-env` (NODE_EXTRA_CA_CERTS, SSL_CERT_FILE, PIP_CERT)";
const NETWORK: &str = "the build could not reach that host: check the network, and give proxies with `--operator-env` (HTTPS_PROXY)";
const PRISMA: &str = "Prisma's engines could not be downloaded: let builds reach that host, or point PRISMA_ENGINES_MIRROR at a mirror with `--operator-env`";
const OPENSSL: &str = "this webpack is older than OpenSSL 3, which Node.js has since 17: set NODE_OPTIONS=--openssl-legacy-provider, or NODE_VERSION=16";
const PYTHON: &str = "the project wants another Python than the one that was taken: name it in `PYTHON_VERSION` or `.python-version`, and install it on this machine if it is not there";
const COMMAND: &str = "the program is neither on this machine nor installed by the build: correct the command, or install it before";
const DEV_DEPENDENCY: &str = "the tool is a devDependency that was not installed: install before building, and do not set NODE_ENV=production for the build (or use `npm ci --include=dev`)";
const VARIABLE: &str =
    "the build needs a variable that is not set: `gable env set SERVICE KEY=VALUE`";
pub(super) const LOOK_AROUND: &str =
    "the lines around it say why; `gable logs --build SERVICE` shows all of them";

/// All known lines, special ones before general ones.
pub(super) fn causes() -> impl Iterator<Item = &'static Cause> {
    [OF_THE_MACHINE, OF_PACKAGES, OF_THE_REPOSITORY].into_iter().flatten()
}
