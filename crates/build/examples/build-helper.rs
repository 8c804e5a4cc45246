//! For the tests of this crate: the process that holds instances, and a control plane that builds
//! once and can be killed at any moment.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[expect(dead_code, reason = "shared with the tests, which use all of it")]
#[path = "../tests/it/platform.rs"]
mod platform;
#[expect(dead_code, reason = "shared with the tests, which use all of it")]
#[path = "../tests/it/repository.rs"]
mod repository;

use std::ffi::OsString;
use std::io::Write as _;
use std::path::Path;
use std::process::exit;

use build::Progress;
use engine::Driver as _;
use model::Runtime;

use platform::Platform;
use repository::PROJECT;

fn main() {
    let mut arguments = std::env::args_os().skip(1);
    match arguments.next().as_deref().and_then(|role| role.to_str()) {
        Some("shim") => exit(engine::shim_main(arguments)),
        Some("builder") => exit(build::docker::builder_main(arguments)),
        Some("build") => exit(build_once(arguments)),
        _ => exit(2),
    }
}

/// Arguments: state directory, source directory, environment's id, build's id, instance's id,
/// command.
fn build_once(arguments: impl Iterator<Item = OsString>) -> i32 {
    let texts: Vec<String> =
        arguments.map(|text| text.into_string().expect("the tests pass UTF-8")).collect();
    let [state, source, environment, build, instance, command] = texts.as_slice() else { return 2 };
    let runtime = tokio::runtime::Runtime::new().expect("a runtime can be made");
    runtime.block_on(async {
        let environment = environment.parse().expect("an id");
        let platform = Platform::at(Path::new(state), environment);
        platform.driver.recover().await.expect("the driver's records can be read");
        let commit = platform.sources.snapshot(PROJECT, Path::new(source)).await;
        let commit = commit.expect("the source can be read").commit;
        let service = match command.as_str() {
            "Dockerfile" => platform::docker_service(),
            command => platform::service(Runtime::Node, command),
        };
        let mut request = platform.request_for(commit, &service, &[]).await;
        request.build_id = build.parse().expect("an id");
        request.instance_id = instance.parse().expect("an id");
        let say = |progress| match progress {
            Progress::CheckingOut => tell("checking-out"),
            Progress::Running { resumed: true, .. } => tell("running-again"),
            Progress::Running { resumed: false, .. } => tell("running"),
            Progress::Packing => tell("packing"),
            Progress::Reused => tell("reused"),
            Progress::Image(_) | Progress::Note(_) => {}
        };
        let made =
            build::run(&platform.config, &platform.sources, &*platform.driver, &request, &say);
        match made.await {
            Ok(artifact) => tell(&format!("done {}", artifact.path)),
            Err(failure) => tell(&format!("failed {failure:?}")),
        }
    });
    0
}

fn tell(text: &str) {
    let mut output = std::io::stdout();
    writeln!(output, "{text}").and_then(|()| output.flush()).expect("the test listens");
}
