//! Containers: one Dockerfile for three services, an image of a registry and a queue, declared as
//! compose and as a Blueprint. The images are made here, and no Docker engine runs.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};
use testkit::http::{self, Answer};
use testkit::load::LoadOptions;
use testkit::{Load, Platform, Registry, Repository, platform, process, roots};

/// The worker does a job in a moment, and a beat is due every second; a busy machine needs more.
const JOB_TIME_MAX: Duration = Duration::from_secs(30);
const BEATS: u64 = 2;

#[tokio::test(flavor = "multi_thread")]
async fn a_compose_file_of_containers_comes_up_and_changes_under_load() {
    let test = "a_compose_file_of_containers_comes_up_and_changes_under_load";
    let Some(_turn) = crate::turn(test).await else { return };
    let (registry, repository) = (registry().await, repository());
    let platform = platform_with(&registry);
    let port = platform::free_port().unwrap();
    let given = format!("API_PORT={port}");
    up(&platform, &repository, &["--file", "compose.yaml", "--set", &given]).await;

    let published = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let answer = http::get(published, "localhost", "/").await.unwrap();
    assert_eq!((answer.status, &*name(&answer)), (200, "stack"), "{answer:?}");
    let docs = platform.get("stack", "/").await.unwrap();
    assert!(docs.body.contains("<h1>stack</h1>"), "a folder of the repository: {docs:?}");
    let api = platform.get("stack", "/api/").await.unwrap();
    assert_eq!(name(&api), "stack", "without the prefix: {api:?}");
    a_job_is_done(&platform, "stack", "/api/jobs").await;
    assert_eq!(images_built(&platform), 1, "one Dockerfile, one image");

    let load = crate::load(&platform, "stack", "/api/", 4);
    let direct = Load::start(&LoadOptions {
        address: published,
        host: published.to_string(),
        path: "/".into(),
        connections: 4,
        pause: Duration::from_millis(5),
    });
    load.wait_for(20).await;
    change(&repository);
    // The port was kept.
    up(&platform, &repository, &["--file", "compose.yaml"]).await;
    load.wait_for(20).await;
    for tally in [load.stop().await, direct.stop().await] {
        assert_eq!(tally.failed, 0, "{tally:?}");
        assert_eq!(tally.bodies.len(), 2, "both releases answered: {:?}", tally.bodies);
    }
    assert_eq!(name(&http::get(published, "localhost", "/").await.unwrap()), "stack two");
    a_job_is_done(&platform, "stack", "/api/jobs").await;
    assert_eq!(images_built(&platform), 2, "the change is built once too");
    no_docker_runs(&platform);
    platform.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_blueprint_of_containers_comes_up_and_changes_under_load() {
    let test = "a_blueprint_of_containers_comes_up_and_changes_under_load";
    let Some(_turn) = crate::turn(test).await else { return };
    let (registry, repository) = (registry().await, repository());
    let platform = platform_with(&registry);
    up(&platform, &repository, &[]).await;

    let docs = platform.get("stack-docs", "/").await.unwrap();
    assert!(docs.body.contains("<h1>stack</h1>"), "what a variable says: {docs:?}");
    assert_eq!(name(&platform.get("stack-api", "/").await.unwrap()), "stack");
    a_job_is_done(&platform, "stack-api", "/jobs").await;
    assert_eq!(images_built(&platform), 1, "one Dockerfile, one image");

    let load = crate::load(&platform, "stack-api", "/", 4);
    load.wait_for(20).await;
    change(&repository);
    up(&platform, &repository, &[]).await;
    load.wait_for(20).await;
    let tally = load.stop().await;
    assert_eq!(tally.failed, 0, "{tally:?}");
    assert_eq!(tally.bodies.len(), 2, "both releases answered: {:?}", tally.bodies);
    a_job_is_done(&platform, "stack-api", "/jobs").await;
    assert_eq!(images_built(&platform), 2, "the change is built once too");
    no_docker_runs(&platform);
    platform.stop().await.unwrap();
}

/// A registry with the images that the example names.
async fn registry() -> Registry {
    let registry = Registry::start().unwrap();
    let python = roots::python(Path::new(env!("CARGO_TARGET_TMPDIR"))).unwrap();
    let path = "PATH=/usr/local/bin:/usr/bin:/bin";
    let run = json!({"Env": [path], "Cmd": ["python3"]});
    registry.push("library/python", "3.12-slim", &python, &run).await.unwrap();
    let (_folder, busybox) = roots::busybox().unwrap();
    let run = json!({"Env": [path], "Cmd": ["sh"]});
    registry.push("library/busybox", "1.36", &busybox, &run).await.unwrap();
    registry
}

fn repository() -> Repository {
    Repository::copy_of(&testkit::examples().join("stack")).unwrap()
}

/// A platform whose Docker Hub is this registry, for images that run and images that are built on.
fn platform_with(registry: &Registry) -> Platform {
    let platform = crate::platform(&[]);
    let settings = json!({"mirrors": {"docker.io": [registry.address()]}});
    fs::write(platform.state_dir().join("registries.json"), settings.to_string()).unwrap();
    platform
}

async fn up(platform: &Platform, repository: &Repository, more: &[&str]) {
    platform.up(repository.path(), more).await.unwrap().ok().unwrap();
}

fn change(repository: &Repository) {
    repository.replace("stack/api.py", "\"name\": \"stack\"", "\"name\": \"stack two\"").unwrap();
    repository.commit("Another name").unwrap();
}

fn name(answer: &Answer) -> String {
    let value: Value = serde_json::from_str(&answer.body).unwrap();
    value["name"].as_str().unwrap().to_owned()
}

/// A job that is posted gets done, and so do those that come with every beat.
async fn a_job_is_done(platform: &Platform, service: &str, path: &str) {
    let done = |answer: &Answer| -> Option<(u64, u64)> {
        let value: Value = serde_json::from_str(&answer.body).ok()?;
        let count = |of: &str| value["done"][of].as_u64().unwrap_or_default();
        Some((count("api"), count("beat")))
    };
    let (posted, beats) = done(&platform.get(service, path).await.unwrap()).unwrap();
    let host = format!("{service}.localhost:{}", platform.port());
    let edge = SocketAddr::from((Ipv4Addr::LOCALHOST, platform.port()));
    let taken = http::post_json(edge, &host, path, "{}").await.unwrap();
    assert_eq!(taken.status, 202, "{taken:?}");
    let has_both = |answer: &Answer| {
        done(answer).is_some_and(|now| now.0 == posted + 1 && now.1 >= beats + BEATS)
    };
    platform.get_until(service, path, JOB_TIME_MAX, has_both).await.unwrap();
}

/// How many images were built: as many as there are logs of it, and artifacts that hold one.
fn images_built(platform: &Platform) -> usize {
    let state = platform.state_dir();
    let is_build = |path: &PathBuf| {
        fs::read_to_string(path).is_ok_and(|text| text.contains("building the image of"))
    };
    let logs = files_below(&state.join("logs"), 2).into_iter().filter(is_build).count();
    let artifacts = files_below(&state.join("artifacts"), 1).into_iter();
    let images = artifacts.filter(|artifact| artifact.join("image").exists()).count();
    assert_eq!(logs, images, "each build left one image");
    images
}

/// What lies so many folders deep.
fn files_below(folder: &Path, depth: usize) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten();
    let entries = entries.map(|entry| entry.unwrap().path());
    if depth == 1 {
        return entries.collect();
    }
    entries.flat_map(|entry| files_below(&entry, depth - 1)).collect()
}

fn no_docker_runs(platform: &Platform) {
    let names = |id: &u32| process::arguments(*id).unwrap_or_default();
    let all: Vec<String> = platform.all_processes().iter().map(names).collect();
    assert!(!all.is_empty());
    assert!(!all.iter().any(|arguments| arguments.contains("dockerd")), "{all:?}");
}
