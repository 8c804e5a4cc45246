//! Dockerfiles, built by the real buildah. Nothing is fetched: images begin with `scratch` and a
//! busybox of the host's.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use build::docker::{self, Login, declared_args};
use build::{BuildRequest, Progress};
use model::{Artifact, Docker, Problem, Service};
use sha2::{Digest as _, Sha256};

use crate::platform::{Platform, docker_service, skipped};
use crate::repository::Repository;

/// A base that can run commands.
pub(crate) const BASE: &str = "FROM scratch AS base\nCOPY busybox /bin/busybox\n\
                    RUN [\"/bin/busybox\", \"--install\", \"/bin\"]\n";

pub(crate) struct Scene {
    pub(crate) platform: Platform,
    pub(crate) repository: Repository,
    pub(crate) service: Service,
    pub(crate) logins: Vec<Login>,
}

impl Scene {
    /// `None`, with a printed reason, where nothing can be built. `dockerfile` comes after the base.
    pub(crate) async fn set(dockerfile: &str, files: &[(&str, &str)]) -> Option<Self> {
        let busybox = Path::new("/bin/busybox");
        if !busybox.exists() || docker::find().await.is_err() {
            skipped("buildah and busybox-static are needed: scripts/setup test");
            return None;
        }
        let platform = Platform::start().await?;
        let repository = Repository::committed(files);
        fs::copy(busybox, repository.path().join("busybox")).unwrap();
        repository.write(&[("Dockerfile", &format!("{BASE}{dockerfile}"))]);
        Some(Self { platform, repository, service: docker_service(), logins: Vec::new() })
    }

    pub(crate) fn docker(&mut self) -> &mut Docker {
        self.service.docker.as_mut().unwrap()
    }

    async fn build(&self, env: &[(&str, &str)]) -> Result<Image, Problem> {
        let mut request = self.platform.request(&self.repository, &self.service, env).await;
        request.logins.clone_from(&self.logins);
        self.try_open(&request).await
    }

    async fn try_open(&self, request: &BuildRequest) -> Result<Image, Problem> {
        let artifact = self.platform.build(request).await.map_err(|failure| failure.problem)?;
        let left = fs::read_dir(&self.platform.config.work_dir).unwrap().count();
        assert_eq!(left, 0, "something is left of the build");
        Ok(Image::open(artifact, self.platform.log(request)))
    }

    /// The image that a request leads to.
    pub(crate) async fn open(&self, request: &BuildRequest) -> Image {
        self.try_open(request).await.unwrap_or_else(|problem| panic!("{problem:?}"))
    }

    pub(crate) async fn image(&self, env: &[(&str, &str)]) -> Image {
        self.build(env).await.unwrap_or_else(|problem| panic!("{problem:?}"))
    }

    pub(crate) async fn problem(&self, env: &[(&str, &str)]) -> Problem {
        let problem = self.build(env).await.map(|image| image.log).unwrap_err();
        self.nothing_is_left();
        problem
    }

    /// No mount and no process of the build's.
    pub(crate) fn nothing_is_left(&self) {
        let place = self.platform.dir.path().to_string_lossy().into_owned();
        let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
        assert!(!mounts.contains(&place), "{mounts}");
        assert_eq!(processes_with(&place), Vec::<String>::new());
    }
}

/// Command lines that name a text.
pub(crate) fn processes_with(text: &str) -> Vec<String> {
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let lines = processes.filter_map(|entry| fs::read(entry.path().join("cmdline")).ok());
    let lines = lines.map(|line| String::from_utf8_lossy(&line).replace('\0', " "));
    lines.filter(|line| line.contains(text) && line.contains("buildah")).collect()
}

/// An artifact that is an image, opened without any library for it.
pub(crate) struct Image {
    pub(crate) artifact: Artifact,
    pub(crate) log: String,
    pub(crate) config: serde_json::Value,
    /// The files of all layers, later ones on top.
    pub(crate) files: BTreeMap<String, String>,
}

impl Image {
    fn open(artifact: Artifact, log: String) -> Self {
        let layout = Path::new(&artifact.path).join("image");
        let version = fs::read_to_string(layout.join("oci-layout")).unwrap();
        assert_eq!(version, r#"{"imageLayoutVersion":"1.0.0"}"#);
        let index: serde_json::Value =
            serde_json::from_slice(&fs::read(layout.join("index.json")).unwrap()).unwrap();
        let manifest = json(&blob(&layout, &index["manifests"][0]));
        let config = json(&blob(&layout, &manifest["config"]));
        let mut files = BTreeMap::new();
        let mut count = 2;
        for layer in manifest["layers"].as_array().unwrap() {
            assert_eq!(layer["mediaType"], "application/vnd.oci.image.layer.v1.tar");
            unpack(&blob(&layout, layer), &mut files);
            count += 1;
        }
        assert_eq!(fs::read_dir(layout.join("blobs/sha256")).unwrap().count(), count);
        Self { artifact, log, config, files }
    }

    pub(crate) fn text(&self, path: &str) -> &str {
        let text = self.files.get(path);
        text.unwrap_or_else(|| panic!("{path} is not among {:?}", self.files.keys()))
    }
}

fn json(path: &Path) -> serde_json::Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

/// The file of a descriptor, whose digest and size must be right.
fn blob(layout: &Path, descriptor: &serde_json::Value) -> PathBuf {
    let digest = descriptor["digest"].as_str().unwrap();
    let path = layout.join("blobs").join(digest.replace(':', "/"));
    let bytes = fs::read(&path).unwrap();
    let hex: String = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(format!("sha256:{hex}"), digest);
    assert_eq!(bytes.len() as u64, descriptor["size"].as_u64().unwrap());
    path
}

fn unpack(layer: &Path, files: &mut BTreeMap<String, String>) {
    let place = tempfile::tempdir().unwrap();
    let mut tar = std::process::Command::new("tar");
    tar.arg("-xf").arg(layer).arg("-C").arg(place.path()).arg("--exclude=bin/*");
    assert!(tar.status().unwrap().success());
    let mut waiting = vec![place.path().to_owned()];
    while let Some(directory) = waiting.pop() {
        for entry in fs::read_dir(&directory).unwrap() {
            let entry = entry.unwrap();
            let kind = entry.file_type().unwrap();
            if kind.is_dir() {
                waiting.push(entry.path());
            } else if kind.is_file() {
                let path = entry.path();
                let name = path.strip_prefix(place.path()).unwrap().to_string_lossy().into_owned();
                let text = fs::read(entry.path()).unwrap();
                files.insert(name, String::from_utf8_lossy(&text).into_owned());
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_stages_become_one_image_with_everything_that_was_declared() {
    let dockerfile = "FROM base AS build\nARG GREETING\nARG OTHER=default\n\
        RUN echo \"$GREETING $OTHER $UNDECLARED.\" > /out\n\
        FROM base\nCOPY --from=build /out /app/out\nWORKDIR /app\nENV MODE=fast\nUSER 1000:1000\n\
        EXPOSE 8080\nHEALTHCHECK CMD true\nSTOPSIGNAL SIGINT\nENTRYPOINT [\"/bin/sh\"]\nCMD [\"-c\", \"cat out\"]\n";
    let Some(scene) = Scene::set(dockerfile, &[]).await else { return };
    let image = scene.image(&[("GREETING", "hello \"you\" $x"), ("UNDECLARED", "no")]).await;
    assert_eq!(image.text("app/out"), "hello \"you\" $x default .\n");
    let config = &image.config["config"];
    assert_eq!(config["Entrypoint"], serde_json::json!(["/bin/sh"]));
    assert_eq!(config["Cmd"], serde_json::json!(["-c", "cat out"]));
    assert_eq!(config["WorkingDir"], "/app");
    assert_eq!(config["User"], "1000:1000");
    assert_eq!(config["StopSignal"], "SIGINT");
    assert_eq!(config["Healthcheck"]["Test"], serde_json::json!(["CMD-SHELL", "true"]));
    assert!(config["Env"].as_array().unwrap().contains(&"MODE=fast".into()));
    assert!(image.log.contains("STEP 4/4: RUN echo"), "{}", image.log);
    assert!(!image.log.contains("not consumed"), "{}", image.log);
    assert!(image.artifact.size_bytes > 1 << 20);
    let progress = scene.platform.progress.lock().unwrap();
    assert!(progress.iter().any(|one| matches!(one, Progress::Running { resumed: false, .. })));
    scene.nothing_is_left();
}

#[tokio::test(flavor = "multi_thread")]
async fn services_with_one_dockerfile_share_one_image() {
    let dockerfile = "FROM base\nARG MODE\nRUN echo $MODE > /mode\n";
    let Some(mut scene) = Scene::set(dockerfile, &[("a", "1")]).await else { return };
    let mut requests = Vec::new();
    let variants = [
        ("api", "", "./Dockerfile", &[("MODE", "x"), ("PORT", "1")][..]),
        ("worker", ".", "Dockerfile", &[("PORT", "2"), ("MODE", "x")]),
        ("beat", "", "./Dockerfile", &[("MODE", "y")]),
    ];
    for (name, root, path, env) in variants {
        scene.service.name = name.to_owned();
        scene.service.root_dir = root.to_owned();
        scene.docker().dockerfile_path = path.to_owned();
        let mut request = scene.platform.request(&scene.repository, &scene.service, env).await;
        request.owner_uid += u32::try_from(requests.len()).unwrap();
        requests.push(request);
    }
    let [api, worker, beat] = requests.as_slice() else { panic!("three services") };
    assert_ne!(api.artifact_id, beat.artifact_id, "a declared argument has another value");
    let made = scene.platform.build(api).await.unwrap();
    assert_eq!(scene.platform.build(worker).await.unwrap(), made);
    assert_eq!(scene.platform.progress.lock().unwrap().last(), Some(&Progress::Reused));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_last_step_uses_the_layers_of_the_others() {
    let Some(scene) = Scene::set(
        "FROM base\nCOPY a /a\nRUN cat /proc/sys/kernel/random/uuid > /n\nRUN echo 1 > /m\n",
        &[("a", "1")],
    )
    .await
    else {
        return;
    };
    let first = scene.image(&[]).await;
    assert!(!first.log.contains("Using cache"), "{}", first.log);
    let changed = format!(
        "{BASE}FROM base\nCOPY a /a\nRUN cat /proc/sys/kernel/random/uuid > /n\nRUN echo 2 > /m\n"
    );
    scene.repository.write(&[("Dockerfile", &changed)]);
    let second = scene.image(&[]).await;
    assert!(second.log.contains("Using cache"), "{}", second.log);
    assert_eq!(first.text("n"), second.text("n"));
    assert_eq!((first.text("m"), second.text("m")), ("1\n", "2\n"));

    // What is not kept loses its layers, and the rest is still there.
    docker::prune(&scene.platform.config.docker, std::slice::from_ref(&second.artifact.id))
        .await
        .unwrap();
    scene.repository.write(&[("Dockerfile", &format!("{changed}RUN echo 3 > /k\n"))]);
    let third = scene.image(&[]).await;
    assert_eq!(third.text("n"), first.text("n"));
    docker::prune(&scene.platform.config.docker, &[]).await.unwrap();
    scene.repository.write(&[("Dockerfile", &format!("{changed}RUN echo 4 > /k\n"))]);
    let fourth = scene.image(&[]).await;
    assert_ne!(fourth.text("n"), first.text("n"), "pruned layers were used");
    scene.nothing_is_left();
}

#[tokio::test(flavor = "multi_thread")]
async fn targets_inline_texts_and_ignored_files_are_respected() {
    let dockerfile =
        "FROM base AS first\nRUN echo first > /which\nFROM base AS second\nRUN false\n";
    let files = [("a.txt", "a"), ("b.txt", "b"), ("sub/Dockerfile", "FROM nowhere/at-all\n")];
    let Some(mut scene) = Scene::set(dockerfile, &files).await else { return };
    scene.docker().target = Some("first".to_owned());
    assert_eq!(scene.image(&[]).await.text("which"), "first\n");
    scene.docker().target = Some("third".to_owned());
    let problem = scene.problem(&[]).await;
    assert_eq!(problem.code, "docker-target-missing");
    assert_eq!(problem.hint.as_deref(), Some("its stages are `base`, `first`, `second`"));

    scene.docker().target = None;
    scene.docker().dockerfile_inline = Some("FROM scratch\nCOPY . /all/\n".to_owned());
    scene.repository.write(&[(".dockerignore", "b.txt\n.git\nbusybox\n")]);
    let image = scene.image(&[]).await;
    assert_eq!(image.text("all/a.txt"), "a");
    assert!(!image.files.contains_key("all/b.txt") && !image.files.contains_key("all/.git/HEAD"));

    scene.docker().dockerfile_inline = Some("FROM scratch\nCOPY b.txt /b\n".to_owned());
    let problem = scene.problem(&[]).await;
    assert_eq!(problem.code, "docker-copy-missing");
    assert!(problem.message.contains("Dockerfile:2: COPY b.txt /b"), "{problem:?}");
    assert!(problem.hint.unwrap().contains(".dockerignore"));
}

#[tokio::test(flavor = "multi_thread")]
async fn dockerfile_context_and_root_directory_go_together_in_every_way() {
    let text = "FROM scratch\nCOPY here /here\n";
    let files = [
        ("here", "root"),
        ("apps/api/here", "api"),
        ("apps/api/Dockerfile", text),
        ("docker/api.Dockerfile", text),
    ];
    let Some(mut scene) = Scene::set("", &files).await else { return };
    for (root, path, context, expected) in [
        ("apps/api", "./Dockerfile", ".", "api"),
        ("apps/api", "Dockerfile", "../..", "root"),
        ("", "./docker/api.Dockerfile", "./apps/api/", "api"),
        ("./apps/api/", "docker/api.Dockerfile", ".", "api"),
        ("", "apps/api", "", "root"),
    ] {
        scene.service.root_dir = root.to_owned();
        scene.docker().dockerfile_path = path.to_owned();
        scene.docker().context = context.to_owned();
        let image = scene.image(&[]).await;
        assert_eq!(image.text("here"), expected, "{root} {path} {context}");
    }
    scene.service.root_dir = String::new();
    scene.docker().dockerfile_path = "apps/Dockerfile".to_owned();
    let problem = scene.problem(&[]).await;
    assert_eq!(problem.code, "dockerfile-missing");
    assert!(problem.hint.unwrap().starts_with("did you mean `Dockerfile`?"));
    scene.docker().dockerfile_path = "Dockerfile".to_owned();
    scene.docker().context = "../outside".to_owned();
    assert_eq!(scene.problem(&[]).await.code, "docker-context-missing");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failing_step_is_named_with_its_instruction_and_line() {
    let dockerfile = "FROM base\n# a comment\n\nRUN echo fine && \\\n    npm-of-ours run bulid\nRUN echo never\n";
    let Some(scene) = Scene::set(dockerfile, &[]).await else { return };
    let request = scene.platform.request(&scene.repository, &scene.service, &[]).await;
    let failure = scene.platform.build(&request).await.unwrap_err();
    assert_eq!(failure.problem.code, "docker-step-failed");
    let message = &failure.problem.message;
    let expected = "Dockerfile:7: RUN echo fine && npm-of-ours run bulid (exit status 127)";
    assert!(message.contains(expected), "{message}");
    let detail = failure.problem.detail.unwrap();
    assert_eq!(detail, "/bin/sh: npm-of-ours: not found");
    assert!(failure.log_tail.iter().any(|line| line == "fine"), "{:?}", failure.log_tail);
    scene.nothing_is_left();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_base_image_that_cannot_be_fetched_is_named() {
    let Some(scene) = Scene::set("", &[]).await else { return };
    let text = "ARG TAG=1\nFROM 127.0.0.1:9/nobody/here:${TAG}\n";
    scene.repository.write(&[("Dockerfile", text)]);
    let problem = scene.problem(&[]).await;
    assert_eq!(problem.code, "docker-base-image-unreachable");
    assert!(problem.message.contains("Dockerfile:2: FROM 127.0.0.1:9/nobody/here"), "{problem:?}");
    scene.repository.write(&[("Dockerfile", "FROM oci:/var/lib\n")]);
    assert_eq!(scene.problem(&[]).await.code, "dockerfile-invalid");
}

#[tokio::test(flavor = "multi_thread")]
async fn newer_words_are_understood_by_older_builders() {
    let dockerfile = "FROM base\nARG WORD\nRUN <<EOF\nset -e\necho \"$WORD\" > /one\n\
        cat > /two <<'IN'\n$WORD\nIN\nEOF\nCOPY --link <<END /three\nthree\nEND\n\
        RUN cat <<A > /four && cat <<B > /five\n4\nA\n5\nB\nRUN false\n";
    let Some(scene) = Scene::set(dockerfile, &[]).await else { return };
    let problem = scene.problem(&[("WORD", "said")]).await;
    assert!(problem.message.contains("Dockerfile:21: RUN false"), "{problem:?}");
    let text = format!("{BASE}{}", dockerfile.replace("RUN false\n", ""));
    scene.repository.write(&[("Dockerfile", &text)]);
    let image = scene.image(&[("WORD", "said")]).await;
    for (path, expected) in [
        ("one", "said\n"),
        ("two", "$WORD\n"),
        ("three", "three\n"),
        ("four", "4\n"),
        ("five", "5\n"),
    ] {
        assert_eq!(image.text(path), expected, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_sees_neither_the_hosts_processes_nor_its_disks() {
    let dockerfile = "FROM base\nRUN ls /dev > /devices; ls -d /proc/[0-9]* | wc -l > /processes; \
        (echo x > /proc/sys/kernel/core_pattern) 2>&1 | head -1 > /pattern; \
        mknod /disk b 8 0; chroot / true || echo none > /escape; ls /sys/fs/cgroup > /cgroups; true\n";
    let Some(scene) = Scene::set(dockerfile, &[]).await else { return };
    let image = scene.image(&[]).await;
    let devices: Vec<_> = image.text("devices").lines().collect();
    let expected = [
        "fd", "full", "null", "ptmx", "pts", "random", "shm", "stderr", "stdin", "stdout", "tty",
        "urandom", "zero",
    ];
    assert_eq!(devices, expected);
    let processes: usize = image.text("processes").trim().parse().unwrap();
    assert!(processes < 12, "{processes} processes");
    assert!(image.text("pattern").contains("Read-only"), "{}", image.text("pattern"));
    assert_eq!(image.text("escape"), "none\n");
    assert_eq!(image.text("cgroups"), "");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_build_that_takes_too_long_ends_with_everything_it_started() {
    let dockerfile = "FROM base\nRUN echo begun; (sleep 3210 &) ; sleep 3211\n";
    let Some(mut scene) = Scene::set(dockerfile, &[]).await else { return };
    scene.platform.config.time_limit = Duration::from_secs(6);
    let problem = scene.problem(&[]).await;
    assert_eq!(problem.code, "build-failed");
    assert!(problem.message.contains("took too long"), "{problem:?}");
    assert_eq!(sleepers("321"), 0);
    scene.platform.config.time_limit = Duration::from_secs(600);
    scene.platform.config.output_limit_bytes = 10_000;
    scene.repository.write(&[("Dockerfile", &format!("{BASE}FROM base\nRUN yes\n"))]);
    assert!(scene.problem(&[]).await.message.contains("printed too much"));
}

/// Processes that sleep for a time that begins so.
pub(crate) fn sleepers(time: &str) -> usize {
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let lines = processes.filter_map(|entry| fs::read(entry.path().join("cmdline")).ok());
    let wanted = format!("sleep\0{time}");
    lines.filter(|line| String::from_utf8_lossy(line).starts_with(&wanted)).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_build_leaves_nothing_and_can_be_repeated() {
    let dockerfile =
        "FROM base\nRUN echo once > /once\nRUN [ ! -e /bin/true ] || sleep $PATIENCE\n";
    let dockerfile = dockerfile.replace("FROM base\n", "FROM base\nARG PATIENCE\n");
    let Some(scene) = Scene::set(&dockerfile, &[]).await else { return };
    let request =
        scene.platform.request(&scene.repository, &scene.service, &[("PATIENCE", "4321")]).await;
    {
        let building = scene.platform.build(&request);
        tokio::pin!(building);
        while sleepers("4321") == 0 {
            let pause = tokio::time::sleep(Duration::from_millis(20));
            tokio::select! {
                ended = &mut building => panic!("{ended:?}"),
                () = pause => {}
            }
        }
    }
    build::cancel(&scene.platform.config, &*scene.platform.driver, &request).await.unwrap();
    assert_eq!(sleepers("4321"), 0);
    let image = scene.image(&[("PATIENCE", "0")]).await;
    assert_eq!(image.text("once"), "once\n");
    scene.nothing_is_left();
}

#[test]
fn arguments_are_read_from_the_dockerfile() {
    let names: Vec<_> = declared_args("ARG A=1\nFROM x\nARG B C\n").into_iter().collect();
    assert_eq!(names, ["A", "B", "C"]);
}
