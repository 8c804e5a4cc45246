//! Base images of a registry of this machine's, with and without a login.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use build::docker::Login;
use model::Problem;

use crate::docker::{Image, Scene};
use crate::platform::skipped;

/// `let-me-in`, as `htpasswd -B` would write it.
const USERS: &str = "me:$2b$05$abcdefghijklmnopqrstuu3Jd./u/rH1RxB6auX5v7gLP6uWhKCgG\n";

struct Registry {
    process: Child,
    address: String,
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Registry {
    /// `None`, with a printed reason, where there is no program for it.
    fn start(place: &Path) -> Option<Self> {
        let program = Path::new("/usr/bin/docker-registry");
        if !program.exists() {
            skipped("docker-registry is needed: scripts/setup test");
            return None;
        }
        let users = place.join("users");
        fs::write(&users, USERS).unwrap();
        let config = place.join("registry.yml");
        let text = format!(
            "version: 0.1\nlog:\n  level: info\nstorage:\n  filesystem:\n    rootdirectory: {}\n\
             http:\n  addr: 127.0.0.1:0\nauth:\n  htpasswd:\n    realm: test\n    path: {}\n",
            place.join("registry").display(),
            users.display(),
        );
        fs::write(&config, text).unwrap();
        let mut command = Command::new(program);
        command.arg("serve").arg(&config).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut process = command.spawn().unwrap();
        // The port is the kernel's choice, and the program says which it is.
        let said = BufReader::new(process.stderr.take().unwrap());
        let mut lines = said.lines().map_while(Result::ok);
        let address = lines.find_map(|line| {
            let rest = line.split_once("listening on ")?.1;
            Some(rest.split('"').next()?.to_owned())
        });
        // It writes on for as long as it lives.
        std::thread::spawn(move || lines.for_each(drop));
        Some(Self { process, address: address.expect("it says where it listens") })
    }

    /// Puts an image there, with a storage of its own: another program reads the layout that way.
    fn take(&self, image: &Image, name: &str, place: &Path) {
        let target = format!("docker://{}/{name}", self.address);
        // It makes a name of the path, which must have no capitals.
        let name = format!("gable-layout-{}", std::process::id());
        let copy = tempfile::Builder::new().prefix(&name).rand_bytes(0).tempdir().unwrap();
        let from = format!("{}/image", image.artifact.path);
        let mut copying = Command::new("cp");
        assert!(copying.args(["-r", &from]).arg(copy.path()).status().unwrap().success());
        let layout = format!("oci:{}/image", copy.path().display());
        let buildah = |arguments: &[&str]| {
            let output = Command::new("buildah")
                .args(["--storage-driver", "vfs", "--root"])
                .args([place.join("other/root"), "--runroot".into(), place.join("other/run")])
                .args(arguments)
                .output()
                .unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            String::from_utf8(output.stdout).unwrap()
        };
        let id = buildah(&["pull", "--quiet", &layout]);
        let login = ["--tls-verify=false", "--creds", "me:let-me-in"];
        buildah(&[&["push", "--quiet"], &login[..], &[id.trim(), &target]].concat());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn private_base_images_want_a_login_and_are_kept_for_times_without_a_network() {
    let Some(mut scene) = Scene::set("FROM base\nRUN echo from the base > /made\n", &[]).await
    else {
        return;
    };
    let place = scene.platform.dir.path().to_owned();
    let Some(registry) = Registry::start(&place) else { return };
    let base = scene.image(&[]).await;
    registry.take(&base, "team/base:1", &place);

    registry.take(&base, "hub/library/base:1", &place);
    let mirror = vec![format!("{}/hub", registry.address)];
    scene.platform.config.docker.registries.mirrors = [("docker.io".to_owned(), mirror)].into();
    let from = |image: &str| format!("FROM {image}\nRUN cat /made > /copy\n");
    let write = |text: &str| scene.repository.write(&[("Dockerfile", text)]);
    let code = |problem: Problem| problem.code;

    write(&from(&format!("{}/team/base:1", registry.address)));
    assert_eq!(code(scene.problem(&[]).await), "docker-base-image-login");
    scene.logins = vec![Login {
        registry: registry.address.clone(),
        username: "me".to_owned(),
        password: "let-me-in".to_owned(),
    }];
    let image = scene.image(&[]).await;
    assert_eq!(image.text("copy"), "from the base\n");
    assert!(!image.log.contains("let-me-in"), "{}", image.log);
    let secrets = fs::read_dir(&scene.platform.config.docker.secrets_dir).unwrap().count();
    assert_eq!(secrets, 0, "a login is left");

    write(&from(&format!("{}/team/base:2", registry.address)));
    assert_eq!(code(scene.problem(&[]).await), "docker-base-image-missing");
    // A short name is Docker's, whatever other short names the machine knows; here from a mirror.
    write(&from("base:1"));
    assert_eq!(scene.image(&[]).await.text("copy"), "from the base\n");

    let address = registry.address.clone();
    drop(registry);
    scene.logins.clear();
    write(&format!("{}RUN echo more > /more\n", from(&format!("{address}/team/base:1"))));
    assert_eq!(scene.image(&[]).await.text("more"), "more\n");
}
