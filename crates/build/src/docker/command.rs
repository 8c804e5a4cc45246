//! What buildah is called with: arguments, variables, settings.
//!
//! No value of a variable is an argument, so none is seen in the list of processes. Values reach
//! buildah in its own environment, whose names therefore have to be looked at: some would steer
//! buildah itself, or the loader that starts it.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use model::Docker;
use serde::Serialize;

use crate::error::Error;
use crate::layout::HOST_PATH;

use super::bases::BaseImage;
use super::dialect::DOCUMENTS;
use super::secrets::{Secret, SecretText, key_of};
use super::{Login, Settings, registries};

/// Enough for every package manager's scripts. Neither `MKNOD` nor `SYS_CHROOT` nor `NET_RAW` is
/// among them: with those a build could leave its root.
const CAPABILITIES: &[&str] = &[
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "NET_BIND_SERVICE",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
];
/// Names that would steer the builder or its loader and not the build.
const STEERING: &[&str] = &[
    "DOCKER_CONFIG",
    "DOCKER_HOST",
    "GCONV_PATH",
    "GETCONF_DIR",
    "GLIBC_TUNABLES",
    "GNUPGHOME",
    "GODEBUG",
    "GOCOVERDIR",
    "GOGC",
    "GOMAXPROCS",
    "GOMEMLIMIT",
    "GORACE",
    "GOTRACEBACK",
    "HOME",
    "HOSTALIASES",
    "LD_AUDIT",
    "LD_BIND_NOW",
    "LD_DEBUG",
    "LD_DEBUG_OUTPUT",
    "LD_DYNAMIC_WEAK",
    "LD_LIBRARY_PATH",
    "LD_ORIGIN_PATH",
    "LD_PRELOAD",
    "LD_PROFILE",
    "LD_PROFILE_OUTPUT",
    "LD_SHOW_AUXV",
    "LD_TRACE_LOADED_OBJECTS",
    "LD_VERBOSE",
    "LISTEN_FDS",
    "LISTEN_PID",
    "LOCALDOMAIN",
    "LOCPATH",
    "NETAVARK_FW",
    "NLSPATH",
    "NOTIFY_SOCKET",
    "PATH",
    "REGISTRY_AUTH_FILE",
    "RES_OPTIONS",
    "RESOLV_HOST_CONF",
    "SSL_CERT_DIR",
    "SSL_CERT_FILE",
    "STORAGE_DRIVER",
    "STORAGE_OPTS",
    "TMPDIR",
    "TZDIR",
];
const STEERING_PREFIXES: &[&str] = &["BUILDAH_", "CONTAINERS_", "MALLOC_", "PODMAN_", "XDG_", "_"];

/// One call of a program, to be made in a room of its own.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Call {
    pub(crate) program: PathBuf,
    pub(crate) arguments: Vec<OsString>,
    /// The whole environment.
    pub(crate) env: Vec<(String, String)>,
}

/// Everything that a call of `buildah build` is made from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Build<'a> {
    pub(crate) docker: &'a Docker,
    pub(crate) dockerfile: &'a Path,
    pub(crate) context: &'a Path,
    /// What the builder leaves out of the context.
    pub(crate) ignore_file: Option<&'a Path>,
    /// Name and directory, or image.
    pub(crate) more_contexts: &'a [(String, String)],
    /// Where the files of here-documents are, if there are any.
    pub(crate) documents: Option<&'a Path>,
    pub(crate) args: &'a [(String, String)],
    pub(crate) secrets: &'a [Secret],
    pub(crate) tag: &'a str,
    pub(crate) id_file: &'a Path,
    pub(crate) auth_file: Option<&'a Path>,
}

/// Files that make buildah independent of the machine's own settings.
#[derive(Debug, Clone)]
pub(crate) struct Confinement {
    directory: PathBuf,
    stores: Stores,
}

/// Which storages calls work in.
#[derive(Debug, Clone)]
pub(crate) struct Stores {
    /// Where layers are written: `root`, `run`, `home`.
    pub(crate) own: PathBuf,
    /// Roots of storages whose layers are read besides.
    pub(crate) read: Vec<PathBuf>,
    /// What `RUN --mount=type=cache` keeps is below it.
    pub(crate) temporary: PathBuf,
}

impl Stores {
    /// Where layers are.
    pub(crate) fn root(&self) -> PathBuf {
        self.own.join("root")
    }
}

impl Confinement {
    /// Writes them.
    pub(crate) fn write(
        settings: &Settings,
        directory: &Path,
        stores: Stores,
    ) -> Result<Self, Error> {
        fs::create_dir_all(directory).map_err(Error::at("make", directory))?;
        let capabilities: Vec<String> =
            CAPABILITIES.iter().map(|name| format!("\"{name}\"")).collect();
        let containers = format!(
            "[containers]\ndefault_capabilities = [{}]\n[engine]\ncgroup_manager = \"cgroupfs\"\n",
            capabilities.join(", ")
        );
        let registries = registries::conf(&settings.registries);
        let files = [
            ("containers.conf", containers.as_str()),
            ("storage.conf", "[storage]\ndriver = \"overlay\"\n"),
            ("policy.json", "{\"default\": [{\"type\": \"insecureAcceptAnything\"}]}\n"),
            ("registries.conf", registries.as_str()),
        ];
        for (name, text) in files {
            let path = directory.join(name);
            fs::write(&path, text).map_err(Error::at("write", &path))?;
        }
        let needed = ["root", "run", "home"].map(|name| stores.own.join(name));
        for path in needed.iter().chain(&stores.read).chain([&stores.temporary]) {
            fs::create_dir_all(path).map_err(Error::at("make", path))?;
        }
        Ok(Self { directory: directory.to_owned(), stores })
    }

    /// Which storages its calls work in.
    pub(crate) fn stores(&self) -> &Stores {
        &self.stores
    }

    /// A call of buildah. `own` is the operator's environment: proxies, certificates.
    pub(crate) fn call(&self, program: &Path, subcommand: &str, own: &[(String, String)]) -> Draft {
        let registries = self.directory.join("registries.conf");
        let mut arguments: Vec<OsString> = Vec::new();
        for (option, value) in [
            ("--root", self.stores.root()),
            ("--runroot", self.stores.own.join("run")),
            ("--storage-driver", "overlay".into()),
            ("--registries-conf", registries.clone()),
        ] {
            arguments.extend([option.into(), value.into()]);
        }
        for root in &self.stores.read {
            let mut value = OsString::from("additionalimagestore=");
            value.push(root);
            arguments.extend(["--storage-opt".into(), value]);
        }
        arguments.push(subcommand.into());
        let text = |path: &Path| path.to_string_lossy().into_owned();
        let mut env = vec![("PATH".to_owned(), HOST_PATH.to_owned())];
        env.extend(own.iter().filter(|(name, _)| name != "PATH").cloned());
        for (name, value) in [
            ("HOME", text(&self.stores.own.join("home"))),
            ("TMPDIR", text(&self.stores.temporary)),
            ("LC_ALL", "C.UTF-8".to_owned()),
            ("CONTAINERS_CONF", text(&self.directory.join("containers.conf"))),
            ("CONTAINERS_STORAGE_CONF", text(&self.directory.join("storage.conf"))),
            ("CONTAINERS_REGISTRIES_CONF", text(&registries)),
        ] {
            env.retain(|(known, _)| known != name);
            env.push((name.to_owned(), value));
        }
        let policy = self.directory.join("policy.json");
        Draft { call: Call { program: program.to_owned(), arguments, env }, policy }
    }
}

/// A call whose subcommand is known.
pub(crate) struct Draft {
    call: Call,
    policy: PathBuf,
}

impl Draft {
    /// `buildah build`.
    pub(crate) fn build(mut self, build: &Build<'_>) -> Call {
        let mut add = |option: &str, value: &dyn AsRef<std::ffi::OsStr>| {
            self.call.arguments.extend([option.into(), value.as_ref().to_owned()]);
        };
        add("--signature-policy", &self.policy);
        for (option, value) in [
            ("--isolation", "chroot"),
            // That of the room: see the launcher.
            ("--network", "host"),
            // The other format has no room for health checks and shells.
            ("--format", "docker"),
            ("--retry", "2"),
        ] {
            add(option, &value);
        }
        add("--tag", &build.tag);
        add("--iidfile", &build.id_file);
        add("--file", &build.dockerfile);
        if let Some(path) = build.ignore_file {
            add("--ignorefile", &path);
        }
        if let Some(path) = build.auth_file {
            add("--authfile", &path);
        }
        if let Some(target) = &build.docker.target {
            add("--target", target);
        }
        for (name, place) in build.more_contexts {
            add("--build-context", &format!("{name}={place}"));
        }
        if let Some(path) = build.documents {
            add("--build-context", &format!("{DOCUMENTS}={}", path.display()));
        }
        for (number, secret) in build.secrets.iter().enumerate() {
            match &secret.text {
                // The builder keeps such a one in memory.
                SecretText::Value(value) => {
                    let key = key_of(number);
                    add("--secret", &format!("id={},type=env,src={key}", secret.id));
                    self.call.env.push((key, value.clone()));
                }
                SecretText::File(path) => {
                    add("--secret", &format!("id={},src={}", secret.id, path.display()));
                }
            }
        }
        for (name, value) in build.args {
            if steers(name) {
                // Such a value is no secret, and must not steer the builder.
                add("--build-arg", &format!("{name}={value}"));
            } else {
                add("--build-arg", name);
                self.call.env.retain(|(known, _)| known != name);
                self.call.env.push((name.clone(), value.clone()));
            }
        }
        // What the registries have is here already, as far as it was foreseen.
        self.call.arguments.extend(["--layers", "--pull=false", "--"].map(OsString::from));
        self.call.arguments.push(build.context.into());
        self.call
    }

    /// `buildah pull` of an image that steps are built upon. The policies are `ifnewer`, which takes
    /// what is here where the registry does not answer, and `never`.
    pub(crate) fn pull(
        mut self,
        image: &BaseImage,
        policy: &str,
        auth_file: Option<&Path>,
    ) -> Call {
        self.call.arguments.extend([OsString::from("--signature-policy"), self.policy.into()]);
        self.call
            .arguments
            .extend(["--quiet", "--policy", policy, "--retry", "2"].map(OsString::from));
        if let Some(path) = auth_file {
            self.call.arguments.extend(["--authfile".into(), path.into()]);
        }
        if let Some(platform) = &image.platform {
            self.call.arguments.extend(["--platform".into(), platform.into()]);
        }
        self.call.arguments.extend(["--".into(), (&image.name).into()]);
        self.call
    }

    /// `buildah push` of an image into a directory, its layers as they are.
    pub(crate) fn push(mut self, image: &str, directory: &Path) -> Call {
        let mut target = OsString::from("dir:");
        target.push(directory);
        self.call.arguments.extend([OsString::from("--signature-policy"), self.policy.into()]);
        self.call.arguments.extend(
            ["--disable-compression", "--quiet", "--format", "v2s2", image].map(OsString::from),
        );
        self.call.arguments.push(target);
        self.call
    }

    /// Any other.
    pub(crate) fn with(mut self, arguments: &[&str]) -> Call {
        self.call.arguments.extend(arguments.iter().map(OsString::from));
        self.call
    }
}

/// Whether a variable of this name would change what the builder itself does.
pub(crate) fn steers(name: &str) -> bool {
    let is_name = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    !is_name
        || STEERING.contains(&name)
        || STEERING_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

#[derive(Serialize)]
struct AuthFile {
    auths: std::collections::BTreeMap<String, Auth>,
}

#[derive(Serialize)]
struct Auth {
    auth: String,
}

/// Writes the logins where only the server's own user can read them; `None` if there are none.
pub(crate) fn write_logins(logins: &[Login], path: &Path) -> Result<Option<AuthGuard>, Error> {
    if logins.is_empty() {
        return Ok(None);
    }
    let auths = logins.iter().map(|login| {
        let pair = format!("{}:{}", login.username, login.password);
        (login.registry.clone(), Auth { auth: BASE64_STANDARD.encode(pair) })
    });
    let text = serde_json::to_vec(&AuthFile { auths: auths.collect() })
        .expect("texts can always be written as JSON");
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).map_err(Error::at("make", parent))?;
    }
    let write = || {
        let mut options = fs::OpenOptions::new();
        let mut file = options.create(true).truncate(true).write(true).mode(0o600).open(path)?;
        std::io::Write::write_all(&mut file, &text)
    };
    write().map_err(Error::at("write", path))?;
    Ok(Some(AuthGuard { path: path.to_owned() }))
}

/// Removes the logins in the end.
pub(crate) struct AuthGuard {
    pub(crate) path: PathBuf,
}

impl Drop for AuthGuard {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_file(&self.path) {
            tracing::warn!(%error, "the logins of a build could not be removed");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(args: &[(String, String)]) -> Call {
        let directory = tempfile::tempdir().unwrap();
        let settings = Settings::in_state_dir(directory.path());
        let stores = Stores {
            own: directory.path().join("own"),
            read: vec![directory.path().join("base/root")],
            temporary: directory.path().join("own/caches"),
        };
        let confinement =
            Confinement::write(&settings, &directory.path().join("conf"), stores).unwrap();
        let docker = Docker {
            dockerfile_path: "Dockerfile".to_owned(),
            context: ".".to_owned(),
            dockerfile_inline: None,
            target: Some("web".to_owned()),
            args: Vec::new(),
            are_variables_args: true,
            more_contexts: Vec::new(),
            secrets: Vec::new(),
            registry_credential: None,
        };
        let build = Build {
            docker: &docker,
            dockerfile: Path::new("/w/Dockerfile"),
            context: Path::new("/w/tree"),
            ignore_file: None,
            more_contexts: &[],
            documents: None,
            args,
            secrets: &[Secret {
                id: "tok".to_owned(),
                text: SecretText::Value("s3cret of a step".to_owned()),
            }],
            tag: "localhost/gable:1",
            id_file: Path::new("/w/id"),
            auth_file: None,
        };
        let own = [("HTTPS_PROXY".to_owned(), "http://proxy:1".to_owned())];
        confinement.call(Path::new("/usr/bin/buildah"), "build", &own).build(&build)
    }

    #[test]
    fn no_value_of_a_variable_is_an_argument() {
        let secret = ("TOKEN".to_owned(), "s3cret value".to_owned());
        let call = call(std::slice::from_ref(&secret));
        let arguments: Vec<_> = call.arguments.iter().map(|text| text.to_string_lossy()).collect();
        assert!(!arguments.iter().any(|text| text.contains("s3cret")), "{arguments:?}");
        assert!(arguments.windows(2).any(|pair| pair == ["--build-arg", "TOKEN"]));
        assert!(arguments.contains(&"id=tok,type=env,src=GABLE_BUILD_SECRET_0".into()));
        assert!(call.env.contains(&secret));
        assert_eq!(arguments.last().unwrap(), "/w/tree");
    }

    #[test]
    fn a_variable_cannot_steer_the_builder() {
        let args = ["LD_PRELOAD", "CONTAINERS_CONF", "HOME", "TMPDIR", "_X", "A-B"]
            .map(|name| (name.to_owned(), "/evil".to_owned()));
        let call = call(&args);
        assert!(!call.env.iter().any(|(_, value)| value == "/evil"), "{:?}", call.env);
        for name in ["LD_SDK_KEY", "GOOGLE_API_KEY", "REGISTRY_TOKEN", "NODE_ENV"] {
            assert!(!steers(name), "{name}");
        }
        let proxy = ("HTTPS_PROXY".to_owned(), "http://proxy:1".to_owned());
        assert!(call.env.contains(&proxy));
    }

    #[test]
    fn logins_are_for_the_server_alone_and_go_away() {
        use std::os::unix::fs::PermissionsExt;
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("run/auth.json");
        let login = Login {
            registry: "registry.example:5000".to_owned(),
            username: "me".to_owned(),
            password: "p".to_owned(),
        };
        let guard = write_logins(&[login], &path).unwrap().unwrap();
        let text = fs::read_to_string(&guard.path).unwrap();
        assert_eq!(text, r#"{"auths":{"registry.example:5000":{"auth":"bWU6cA=="}}}"#);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        drop(guard);
        assert!(!path.exists());
        assert!(write_logins(&[], &path).unwrap().is_none());
    }
}
