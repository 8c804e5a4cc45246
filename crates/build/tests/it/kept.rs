//! What builds keep for later builds, and whose builds see it.

use std::fs;
use std::path::Path;

use build::{BuildRequest, Trust};
use model::{ArtifactId, Runtime};
use uuid::Uuid;

use crate::docker::{BASE, Scene};
use crate::platform::{Platform, service, skipped};
use crate::repository::{PROJECT, Repository};

const OTHER: &str = "prj-other";

/// An address that nothing has been made under.
fn fresh_id() -> ArtifactId {
    format!("{0}{0}", Uuid::now_v7().simple()).parse().unwrap()
}

/// The same request as a new build, of a project.
async fn again(
    platform: &Platform,
    of: &BuildRequest,
    project: &str,
    trust: Trust,
) -> BuildRequest {
    let mut request = of.clone();
    request.build_id = model::BuildId::from_uuid(Uuid::now_v7());
    request.instance_id = model::InstanceId::from_uuid(Uuid::now_v7());
    request.artifact_id = fresh_id();
    request.project = project.to_owned();
    request.trust = trust;
    assert!(platform.sources.has_commit(project, &request.commit.id).await);
    request
}

/// What a native build's command says, as one of a project.
async fn says(platform: &Platform, of: &BuildRequest, project: &str, trust: Trust) -> String {
    let request = again(platform, of, project, trust).await;
    platform.build(&request).await.unwrap_or_else(|failure| panic!("{failure:?}"));
    platform.log(&request)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cache_is_its_projects_own_and_a_stranger_reads_it_and_never_writes() {
    let Some(platform) = Platform::start().await else { return };
    let repository = Repository::committed(&[("a", "1")]);
    let command = "cat ~/.npm/mark ~/.cache/pip/mark || true; \
                   echo $RANDOM > ~/.npm/mark; cat ~/.npm/mark; cp ~/.npm/mark ~/.cache/pip/mark";
    let request = platform.request(&repository, &service(Runtime::Node, command), &[]).await;
    platform.sources.snapshot(OTHER, repository.path()).await.unwrap();

    let of_others = says(&platform, &request, OTHER, Trust::Full).await;
    assert!(of_others.contains("No such file"), "{of_others}");
    let first = says(&platform, &request, PROJECT, Trust::Full).await;
    assert!(first.contains("No such file"), "another project's cache was read: {first}");
    let mark = first.lines().last().unwrap().to_owned();

    for round in 1..=2 {
        let stranger = says(&platform, &request, PROJECT, Trust::ReadOnly).await;
        let seen: Vec<_> = stranger.lines().take(2).collect();
        assert_eq!(seen, [mark.as_str(); 2], "round {round}");
    }
    let kept = platform.config.project_caches(PROJECT);
    assert_eq!(fs::read_to_string(kept.join("npm/mark")).unwrap().trim(), mark);
    let second = says(&platform, &request, PROJECT, Trust::Full).await;
    assert_eq!(second.lines().next(), Some(mark.as_str()));

    build::caches::remove_project(&platform.config, PROJECT).unwrap();
    assert!(!kept.exists());
    assert!(platform.config.project_caches(OTHER).join("npm/mark").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn two_first_builds_at_once_keep_one_whole_virtual_environment() {
    if !Path::new("/usr/bin/python3").exists() {
        return skipped("python3 is needed");
    }
    let Some(platform) = Platform::start().await else { return };
    // What the repository calls so is of another machine.
    let files = [("requirements.txt", ""), (".venv/bin/python", "#!/bin/false\n")];
    let repository = Repository::committed(&files);
    let command = "python -m pip --version && ls -a ~/.gable; touch .venv/of-this-build";
    let request = platform.request(&repository, &service(Runtime::Python, command), &[]).await;
    platform.sources.snapshot(OTHER, repository.path()).await.unwrap();

    let kept = |project: &str| -> Vec<String> {
        let entries = fs::read_dir(platform.config.project_caches(project)).into_iter().flatten();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name.contains("venv") || name.contains("part")).collect()
    };
    says(&platform, &request, OTHER, Trust::ReadOnly).await;
    assert_eq!(kept(OTHER), Vec::<String>::new(), "a stranger's is not kept");

    let (one, two) = (
        again(&platform, &request, PROJECT, Trust::Full).await,
        again(&platform, &request, PROJECT, Trust::Full).await,
    );
    let (first, second) = tokio::join!(platform.build(&one), platform.build(&two));
    let artifact = first.unwrap_or_else(|failure| panic!("{failure:?}"));
    second.unwrap_or_else(|failure| panic!("{failure:?}"));
    assert!(platform.log(&one).contains("venv"), "it is made: {}", platform.log(&one));
    assert!(!Path::new(&artifact.path).join("home/.gable/venv").exists());
    assert!(!Path::new(&artifact.path).join("tmp").exists());
    let [name] = &kept(PROJECT)[..] else { panic!("{:?}", kept(PROJECT)) };
    let place = platform.config.project_caches(PROJECT).join(name);
    assert!(!place.join("of-this-build").exists(), "what the build did to its own is not kept");

    for _ in 0..2 {
        let later = says(&platform, &request, PROJECT, Trust::Full).await;
        assert!(!later.contains("venv\n"), "nothing is made again: {later}");
        assert!(later.contains("/opt/render/project/src/.venv/"), "{later}");
    }
    assert_eq!(kept(PROJECT), std::slice::from_ref(name));
    says(&platform, &request, OTHER, Trust::Full).await;
    assert_eq!(kept(OTHER), std::slice::from_ref(name), "another project makes its own");
}

#[tokio::test(flavor = "multi_thread")]
async fn layers_and_step_caches_are_their_projects_own_and_a_stranger_leaves_none() {
    let dockerfile = "FROM base\nRUN cat /proc/sys/kernel/random/uuid > /layer\n\
        RUN --mount=type=cache,target=/c cat /c/mark > /seen; cat /layer > /c/mark; true\n";
    let Some(scene) = Scene::set(dockerfile, &[]).await else { return };
    let platform = &scene.platform;
    let more = |text: &str| {
        let step = "RUN --mount=type=cache,target=/c cat /c/mark > /seen; cat /proc/sys/kernel/random/uuid > /c/mark";
        format!(
            "{BASE}FROM base\nRUN cat /proc/sys/kernel/random/uuid > /layer\n{step}; echo {text}\n"
        )
    };
    let build = async |text: Option<&str>, project: &str, trust: Trust| {
        if let Some(text) = text {
            scene.repository.write(&[("Dockerfile", &more(text))]);
        }
        let request = platform.request(&scene.repository, &scene.service, &[]).await;
        platform.sources.snapshot(project, scene.repository.path()).await.unwrap();
        let request = again(platform, &request, project, trust).await;
        scene.open(&request).await
    };
    let theirs = build(None, OTHER, Trust::Full).await;
    let ours = build(None, PROJECT, Trust::Full).await;
    assert_ne!(ours.text("layer"), theirs.text("layer"), "another project's layer is ours");
    assert_eq!(ours.text("seen"), "", "another project's step cache was read");
    let repeated = build(None, PROJECT, Trust::Full).await;
    assert_eq!(repeated.text("layer"), ours.text("layer"));

    let stranger = build(Some("stranger"), PROJECT, Trust::ReadOnly).await;
    assert_eq!(stranger.text("layer"), ours.text("layer"), "{}", stranger.log);
    assert_eq!(stranger.text("seen"), ours.text("layer"));
    let later = build(Some("later"), PROJECT, Trust::Full).await;
    assert_eq!(later.text("seen"), ours.text("layer"), "a stranger's step cache was kept");
    let same = build(Some("stranger"), PROJECT, Trust::Full).await;
    assert_ne!(same.text("seen"), ours.text("layer"), "a stranger's layer was kept");
    scene.nothing_is_left();
}
