//! What is lost comes back by itself: the control plane, the edge, their sockets, a port.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::Value;
use testkit::process::{self, Signal};
use testkit::{Platform, Run};

/// What is lost is back within this time.
const TIME_MAX: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Waits until a look finds something.
pub(crate) async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let end = Instant::now() + TIME_MAX;
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(Instant::now() < end, "{what}");
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Starts a server that has nothing to look after, on the platform's port.
async fn started(platform: &Platform) {
    let port = platform.port().to_string();
    gable(platform, &["server", "start", "--port", &port]).await.ok().unwrap();
}

pub(crate) async fn gable(platform: &Platform, arguments: &[&str]) -> Run {
    platform.gable(arguments).await.unwrap()
}

/// What the server says of itself; nothing while there is none.
async fn server(platform: &Platform) -> Option<Value> {
    let said = gable(platform, &["server", "status", "--json"]).await;
    let said: Value = serde_json::from_str(&said.stdout).ok()?;
    said["running"].as_bool()?.then(|| said["server"].clone())
}

/// Ends server and edge, and makes sure that both are gone.
async fn end(platform: Platform) {
    gable(&platform, &["down"]).await.ok().unwrap();
    platform.stop().await.unwrap();
}

fn remembered(platform: &Platform) -> String {
    std::fs::read_to_string(platform.state_dir().join("server.json")).unwrap()
}

fn log(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_server_that_is_refused_changes_nothing_of_the_first() {
    let test = "a_second_server_that_is_refused_changes_nothing_of_the_first";
    let Some(_turn) = crate::turn(test).await else { return };
    let platform = crate::platform(&[]);
    started(&platform).await;
    let before = remembered(&platform);
    let refused = gable(&platform, &["server", "--listen", "127.0.0.1:1"]).await;
    assert_eq!(refused.code, 1, "{refused}");
    assert!(refused.stderr.contains("[server-running]"), "{refused}");
    assert_eq!(remembered(&platform), before);
    end(platform).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_that_fails_is_not_what_the_next_one_does() {
    let test = "a_start_that_fails_is_not_what_the_next_one_does";
    let Some(_turn) = crate::turn(test).await else { return };
    let platform = crate::platform(&[]);
    started(&platform).await;
    let before = remembered(&platform);
    gable(&platform, &["down"]).await.ok().unwrap();
    // The edge cannot listen on a port that somebody else keeps, however long it is tried.
    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let failed = gable(&platform, &["server", "start", "--listen", &address]).await;
    assert_eq!(failed.code, 1, "{failed}");
    assert_eq!(remembered(&platform), before);
    platform.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_was_killed_comes_back_by_itself_as_it_was() {
    let test = "a_server_that_was_killed_comes_back_by_itself_as_it_was";
    let Some(_turn) = crate::turn(test).await else { return };
    let platform = crate::platform(&[]);
    started(&platform).await;
    // Twice: the one that the edge has started is kept as well.
    for _ in 0..2 {
        let before = server(&platform).await.unwrap();
        platform.lose_server().unwrap();
        let after = until("nobody starts the server again", async || {
            server(&platform).await.filter(|now| now["pid"] != before["pid"])
        });
        assert_eq!(after.await["listen"], before["listen"]);
    }
    end(platform).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edge_that_was_killed_comes_back_and_keeps_the_server_again() {
    let test = "an_edge_that_was_killed_comes_back_and_keeps_the_server_again";
    let Some(_turn) = crate::turn(test).await else { return };
    let platform = crate::platform(&[]);
    started(&platform).await;
    let edges = platform.processes("edge");
    for edge in &edges {
        process::send(*edge, Signal::SIGKILL);
    }
    until("nobody starts the edge again", async || {
        platform.processes("edge").into_iter().find(|edge| !edges.contains(edge))
    })
    .await;
    let before = server(&platform).await.unwrap();
    platform.lose_server().unwrap();
    until("the new edge does not start the server again", async || {
        server(&platform).await.filter(|now| now["pid"] != before["pid"])
    })
    .await;
    end(platform).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_was_stopped_on_purpose_stays_stopped() {
    let test = "a_server_that_was_stopped_on_purpose_stays_stopped";
    let Some(_turn) = crate::turn(test).await else { return };
    let platform = crate::platform(&[]);
    started(&platform).await;
    gable(&platform, &["server", "stop"]).await.ok().unwrap();
    // Nobody else would know that a server is wanted.
    assert!(!platform.run_dir().join("keep.json").exists());
    let status = gable(&platform, &["server", "status"]).await;
    assert_eq!(status.code, 1, "{status}");
    assert!(status.stdout.contains("`gable server start`"), "{status}");
    assert!(platform.processes("server").is_empty());
    started(&platform).await;
    let edge_log = log(&platform.state_dir().join("edge.log"));
    assert!(!edge_log.contains("started again"), "{edge_log}");
    end(platform).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_ends_by_a_signal_with_nothing_to_look_after_takes_the_edge_with_it() {
    let test = "a_server_that_ends_by_a_signal_with_nothing_to_look_after_takes_the_edge_with_it";
    let Some(_turn) = crate::turn(test).await else { return };
    let platform = crate::platform(&[]);
    started(&platform).await;
    for server in platform.processes("server") {
        process::send(server, Signal::SIGTERM);
    }
    until("the edge is left behind", async || platform.all_processes().is_empty().then_some(()))
        .await;
    platform.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn sockets_that_were_taken_away_are_made_anew() {
    let test = "sockets_that_were_taken_away_are_made_anew";
    let Some(_turn) = crate::turn(test).await else { return };
    let platform = crate::platform(&[]);
    started(&platform).await;
    let before = server(&platform).await.unwrap();
    let edges = platform.processes("edge");
    for name in ["api.sock", "edge.sock", "edge.sock.lock", "keep.json"] {
        std::fs::remove_file(platform.run_dir().join(name)).unwrap();
    }
    // A command that changes something waits for it too, and starts no second server.
    started(&platform).await;
    assert_eq!(server(&platform).await.unwrap()["pid"], before["pid"]);
    for name in ["edge.sock", "keep.json"] {
        until(name, async || platform.run_dir().join(name).exists().then_some(())).await;
    }
    assert_eq!(platform.processes("edge"), edges);
    end(platform).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_that_is_busy_for_a_moment_is_waited_for() {
    let test = "a_port_that_is_busy_for_a_moment_is_waited_for";
    let Some(_turn) = crate::turn(test).await else { return };
    let platform = crate::platform(&[]);
    let address: SocketAddr = (Ipv4Addr::LOCALHOST, platform.port()).into();
    let busy = TcpListener::bind(address).unwrap();
    let start = started(&platform);
    let free = async {
        let server_log = platform.state_dir().join("server.log");
        until("the log does not say that it waits", async || {
            log(&server_log).contains("it is tried again").then_some(())
        })
        .await;
        drop(busy);
    };
    tokio::join!(start, free);
    assert_eq!(server(&platform).await.unwrap()["listen"][0], address.to_string());
    end(platform).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_reads_starts_nothing_and_says_that_nothing_runs() {
    let test = "a_command_that_reads_starts_nothing_and_says_that_nothing_runs";
    let Some(_turn) = crate::turn(test).await else { return };
    let platform = crate::platform(&[]);
    started(&platform).await;
    gable(&platform, &["down"]).await.ok().unwrap();
    for words in [&["logs"][..], &["exec", "app", "--", "true"], &["psql"]] {
        let said = gable(&platform, words).await;
        assert!(said.stderr.contains("[server-not-running]"), "{words:?}: {said}");
    }
    let said = gable(&platform, &["status"]).await;
    assert!(said.stderr.contains("nothing runs here"), "{said}");
    // One that may change something starts a server, and ends it when it found nothing to do.
    let said = gable(&platform, &["env", "app"]).await;
    assert_eq!(said.code, 1, "{said}");
    platform.stop().await.unwrap();
}
