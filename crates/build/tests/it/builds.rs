//! Builds in real instances.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use build::{Note, Progress, toolchain};
use model::Runtime;

use crate::platform::{
    BUILDER_UID, OWNER_UID, Platform, npm_reaches_its_registry, pip_reaches_its_index, service,
};
use crate::repository::{PROJECT, Repository};

const MULTI: &[(&str, &str)] = &[("a", "1")];

#[tokio::test(flavor = "multi_thread")]
async fn a_build_sees_the_history_and_leaves_what_it_made() {
    let Some(platform) = Platform::start().await else { return };
    let repository = Repository::committed(MULTI);
    repository.git(&["tag", "v3"]);
    let command =
        "git describe --tags --dirty > version; id -u > uid; pwd > place; echo $HOME $KEY > seen";
    let service = service(Runtime::Node, command);
    let request = platform.request(&repository, &service, &[("KEY", "a value")]).await;
    let artifact = platform.build(&request).await.unwrap();
    let tree = Path::new(&artifact.path).join("tree");
    let read = |name: &str| fs::read_to_string(tree.join(name)).unwrap();
    assert_eq!(read("version"), "v3\n");
    assert_eq!(read("uid"), format!("{BUILDER_UID}\n"));
    assert_eq!(read("place"), "/opt/render/project/src\n");
    assert_eq!(read("seen"), "/opt/render a value\n");
    assert!(artifact.files > 4 && artifact.size_bytes > 20);
    let owner = |path: &Path| path.symlink_metadata().unwrap().uid();
    assert_eq!(owner(&tree), OWNER_UID);
    assert_eq!(owner(&tree.join("version")), OWNER_UID);
    assert_eq!(owner(&Path::new(&artifact.path).join("home/.local/bin")), OWNER_UID);
    let (exit, said) =
        platform.run(&service, &artifact, "cat version; touch mine && git describe --tags").await;
    assert!(exit.is_success(), "{said}");
    assert_eq!(said, "v3\nv3\n");
    assert!(!tree.join("mine").exists(), "an instance has changed the artifact");
    assert!(!platform.dir.path().join("work").join(request.build_id.as_str()).exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_inputs_are_never_built_twice() {
    let Some(platform) = Platform::start().await else { return };
    let repository = Repository::committed(MULTI);
    let service = service(Runtime::Node, "date +%N > moment");
    let first = platform.request(&repository, &service, &[("KEY", "1")]).await;
    let made = platform.build(&first).await.unwrap();
    let second = platform.request(&repository, &service, &[("KEY", "1")]).await;
    assert_ne!(first.build_id, second.build_id);
    assert_eq!(platform.build(&second).await.unwrap(), made);
    assert_eq!(platform.progress.lock().unwrap().last(), Some(&Progress::Reused));

    let other = platform.request(&repository, &service, &[("KEY", "2")]).await;
    let other = platform.build(&other).await.unwrap();
    assert_ne!(other.id, made.id, "another environment is another artifact");
    let removed = build::collect_garbage(&platform.config, std::slice::from_ref(&made.id)).unwrap();
    assert_eq!(removed, std::slice::from_ref(&other.id));
    assert_eq!(build::find_artifact(&platform.config, &made.id).unwrap(), Some(made));
    assert_eq!(build::find_artifact(&platform.config, &other.id).unwrap(), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_of_many_lines_runs_in_one_shell_and_goes_on() {
    let Some(platform) = Platform::start().await else { return };
    let repository = Repository::committed(MULTI);
    let service =
        service(Runtime::Node, "export WORD=carried\nfalse\necho $WORD > out\n[[ -f out ]]");
    let request = platform.request(&repository, &service, &[]).await;
    let artifact = platform.build(&request).await.unwrap();
    let out = fs::read_to_string(Path::new(&artifact.path).join("tree/out")).unwrap();
    assert_eq!(out, "carried\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failing_build_names_the_decisive_line_and_leaves_nothing() {
    let Some(platform) = Platform::start().await else { return };
    let repository = Repository::committed(MULTI);
    let command = "echo start; vit build; echo 'npm error code ELIFECYCLE' >&2; exit 3";
    let request = platform.request(&repository, &service(Runtime::Node, command), &[]).await;
    let failure = platform.build(&request).await.unwrap_err();
    assert_eq!(failure.problem.code, "command-not-found");
    assert_eq!(failure.problem.message, "the build of web exited with code 3");
    assert!(failure.problem.detail.unwrap().contains("vit: command not found"));
    assert!(failure.problem.hint.is_some());
    assert!(failure.log_tail.contains(&"start".to_owned()), "{:?}", failure.log_tail);
    assert!(build::find_artifact(&platform.config, &request.artifact_id).unwrap().is_none());
    assert!(!platform.dir.path().join("work").join(request.build_id.as_str()).exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_build_that_takes_too_long_is_ended() {
    let Some(mut platform) = Platform::start().await else { return };
    platform.config.time_limit = Duration::from_secs(1);
    let repository = Repository::committed(MULTI);
    let request = platform.request(&repository, &service(Runtime::Node, "sleep 600"), &[]).await;
    let failure = platform.build(&request).await.unwrap_err();
    assert!(failure.problem.message.contains("was ended"), "{failure:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_build_cannot_write_to_the_store_of_sources() {
    let Some(platform) = Platform::start().await else { return };
    let repository = Repository::committed(MULTI);
    let command = "for f in $(find .git/objects -type f); do \
                   (echo x >> $f) 2>/dev/null && exit 9; chmod u+w $f 2>/dev/null && exit 8; done; \
                   cp /bin/true suid && chmod 6755 suid; mkfifo pipe; true";
    let request = platform.request(&repository, &service(Runtime::Node, command), &[]).await;
    let artifact = platform.build(&request).await.unwrap();
    let tree = Path::new(&artifact.path).join("tree");
    assert_eq!(fs::metadata(tree.join("suid")).unwrap().mode() & 0o7777, 0o755);
    assert!(!tree.join("pipe").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_static_site_must_have_its_files_where_it_says() {
    let Some(platform) = Platform::start().await else { return };
    let repository = Repository::committed(&[("site/index.html", "hi"), ("src/a.js", "1")]);
    let mut service = service(Runtime::Static, "mkdir -p build && cp site/index.html build/");
    service.publish_path = Some("dist".to_owned());
    let request = platform.request(&repository, &service, &[]).await;
    let problem = platform.build(&request).await.unwrap_err().problem;
    assert_eq!(problem.code, "publish-path-missing");
    assert!(problem.detail.unwrap().contains("build, site, src"));
    assert!(problem.hint.unwrap().contains("staticPublishPath: build"));

    service.publish_path = Some("../../etc".to_owned());
    let request = platform.request(&repository, &service, &[("A", "1")]).await;
    assert_eq!(platform.build(&request).await.unwrap_err().problem.code, "publish-path-outside");

    service.publish_path = Some("./build/".to_owned());
    let request = platform.request(&repository, &service, &[("A", "2")]).await;
    let artifact = platform.build(&request).await.unwrap();
    let served = build::published_dir(&service, &artifact).unwrap();
    assert_eq!(fs::read_to_string(served.join("index.html")).unwrap(), "hi");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_static_site_finds_its_packages_installed() {
    let Some(platform) = Platform::start().await else { return };
    let repository = Repository::committed(&[
        ("package.json", r#"{"dependencies":{"words":"file:./words"}}"#),
        ("words/package.json", r#"{"name":"words","version":"1.0.0"}"#),
        ("words/index.html", "hi"),
    ]);
    let mut service =
        service(Runtime::Static, "mkdir build && cp node_modules/words/index.html build/");
    service.publish_path = Some("build".to_owned());
    let request = platform.request(&repository, &service, &[("SKIP_INSTALL_DEPS", "true")]).await;
    assert_eq!(platform.build(&request).await.unwrap_err().problem.code, "build-failed");

    let request = platform.request(&repository, &service, &[]).await;
    let artifact = platform.build(&request).await.unwrap();
    let served = build::published_dir(&service, &artifact).unwrap();
    assert_eq!(fs::read_to_string(served.join("index.html")).unwrap(), "hi");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_root_directory_must_exist_and_the_whole_checkout_is_there() {
    let Some(platform) = Platform::start().await else { return };
    let repository = Repository::committed(&[("apps/web/a", "1"), ("data/b", "2")]);
    let mut service = service(Runtime::Node, "cat ../../data/b > c");
    service.root_dir = "apps/none".to_owned();
    let request = platform.request(&repository, &service, &[]).await;
    assert_eq!(platform.build(&request).await.unwrap_err().problem.code, "root-dir-missing");
    let left = fs::read_dir(&platform.config.work_dir).unwrap().count();
    assert_eq!(left, 0, "a build that never began has left its checkout");
    service.root_dir = "./apps/web".to_owned();
    let request = platform.request(&repository, &service, &[]).await;
    let artifact = platform.build(&request).await.unwrap();
    let (exit, said) = platform.run(&service, &artifact, "cat c").await;
    assert_eq!((exit.code, said.as_str()), (Some(0), "2\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_service_uses_its_packages_at_run_time() {
    if !npm_reaches_its_registry() {
        return;
    }
    let Some(platform) = Platform::start().await else { return };
    platform.answer_names().await;
    let package = r#"{"name":"web","version":"1.0.0","dependencies":{"is-number":"7.0.0"}}"#;
    let repository =
        Repository::committed(&[("package.json", package), (".gitignore", "node_modules\n")]);
    let service = service(
        Runtime::Node,
        "npm install && npm install -g semver@7 && corepack enable && pnpm --version",
    );
    let request = platform.request(&repository, &service, &[]).await;
    let artifact = platform.build(&request).await.unwrap_or_else(|failure| panic!("{failure:?}"));
    let command = "node -e 'console.log(require(\"is-number\")(5), process.env.NODE_ENV)'; \
                   semver 1.2.3; pnpm --version > /dev/null && echo pnpm; touch ~/x && echo home";
    let (exit, said) = platform.run(&service, &artifact, command).await;
    assert!(exit.is_success(), "{said}");
    assert_eq!(said, "true production\n1.2.3\npnpm\nhome\n");
    let caches = platform.config.project_caches(PROJECT);
    assert!(caches.join("npm/_cacache").is_dir());
    assert!(caches.join("corepack/v1").is_dir());
}

#[tokio::test(flavor = "multi_thread")]
async fn package_managers_that_nobody_installed_are_there_all_the_same() {
    if !npm_reaches_its_registry() || !pip_reaches_its_index() {
        return;
    }
    let Some(platform) = Platform::start().await else { return };
    platform.answer_names().await;
    let repository = Repository::committed(MULTI);
    let service =
        service(Runtime::Node, "pnpm --version && yarn --version && uv --version && bun --version");
    let request = platform.request(&repository, &service, &[]).await;
    let artifact = platform
        .build(&request)
        .await
        .unwrap_or_else(|failure| panic!("{failure:?}\n{}", platform.log(&request)));
    let (exit, said) = platform.run(&service, &artifact, "uv --version && yarn --version").await;
    assert!(exit.is_success() && said.starts_with("uv "), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_python_service_has_its_virtual_environment_at_run_time() {
    if !pip_reaches_its_index() {
        return;
    }
    let Some(platform) = Platform::start().await else { return };
    platform.answer_names().await;
    let repository = Repository::committed(&[("requirements.txt", "idna==3.7\n")]);
    let service = service(Runtime::Python, "pip install -r requirements.txt && python --version");
    // The second build takes its virtual environment from the first.
    for round in ["1", "2"] {
        let request = platform.request(&repository, &service, &[("ROUND", round)]).await;
        let artifact =
            platform.build(&request).await.unwrap_or_else(|failure| panic!("{failure:?}"));
        let command =
            "python -c 'import idna, sys; print(idna.__version__, sys.prefix)'; which pip";
        let (exit, said) = platform.run(&service, &artifact, command).await;
        assert!(exit.is_success(), "{said}");
        let venv = "/opt/render/project/src/.venv";
        assert_eq!(said, format!("3.7 {venv}\n{venv}/bin/pip\n"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pinned_version_that_does_not_exist_is_the_decisive_line() {
    if !pip_reaches_its_index() {
        return;
    }
    let Some(platform) = Platform::start().await else { return };
    platform.answer_names().await;
    let repository = Repository::committed(&[("requirements.txt", "idna==999.0\n")]);
    let service = service(Runtime::Python, "pip install -r requirements.txt");
    let request = platform.request(&repository, &service, &[]).await;
    let failure = platform.build(&request).await.unwrap_err();
    assert_eq!(failure.problem.code, "package-version-missing");
    assert!(failure.problem.detail.unwrap().contains("idna==999.0"));
}

#[tokio::test(flavor = "multi_thread")]
async fn another_node_is_fetched_when_one_is_asked_for() {
    if !npm_reaches_its_registry() {
        return;
    }
    let Some(platform) = Platform::start().await else { return };
    platform.answer_names().await;
    // Old enough that the host's npm refuses it, so that its npm is fetched too.
    let repository = Repository::committed(&[(".node-version", "16.20\n"), ("package.json", "{}")]);
    let service =
        service(Runtime::Node, "node --version; npm --version && npm install is-number@7.0.0");
    let request = platform.request(&repository, &service, &[]).await;
    let [Note::ToolVersion { asked, asked_in, .. }] = request.toolchain.notes.as_slice() else {
        panic!("{:?}", request.toolchain.notes)
    };
    assert_eq!((asked.as_str(), asked_in.as_str()), ("16.20", ".node-version"));
    let artifact = platform
        .build(&request)
        .await
        .unwrap_or_else(|failure| panic!("{failure:?}\n{}", platform.log(&request)));
    let (exit, said) = platform.run(&service, &artifact, "node --version").await;
    assert!(exit.is_success() && said.starts_with("v16.20."), "{said}");
    let again = platform.request(&repository, &service, &[]).await;
    assert_eq!(again.toolchain, request.toolchain);
}

#[tokio::test]
async fn a_language_that_is_not_installed_is_a_problem_before_the_build() {
    if ["/usr/bin/elixir", "/usr/local/bin/elixir"].iter().any(|path| Path::new(path).exists()) {
        eprintln!("skipped: this machine has Elixir");
        return;
    }
    let repository = Repository::committed(MULTI);
    let (dir, sources) = crate::repository::store();
    let commit = sources.snapshot(PROJECT, repository.path()).await.unwrap().commit;
    let config = build::Config::in_state_dir(dir.path(), BUILDER_UID);
    let service = service(Runtime::Elixir, "mix deps.get");
    let request =
        toolchain::Request { project: PROJECT, commit: &commit, service: &service, env: &[] };
    let problem = toolchain::resolve(&config, &sources, &request).await.unwrap_err().problem();
    assert_eq!(problem.code, "tool-missing");
    assert!(problem.hint.unwrap().contains("apt install elixir"));
}
