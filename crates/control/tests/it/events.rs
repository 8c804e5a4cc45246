use std::time::Duration;

use control::ops::events::{
    Ending, Feed, Reader, StoreStanding, Subject, closing, latest_sequence,
};
use control::{StoreState, testing};
use model::{DeployEvent, DeployStatus, Problem};

use crate::Shop;

/// A reader that should be woken is woken within this.
const LIMIT: Duration = Duration::from_secs(10);

fn read_all(reader: &mut Reader) -> Vec<String> {
    let mut kinds = Vec::new();
    loop {
        let events = reader.read().unwrap();
        if events.is_empty() {
            return kinds;
        }
        kinds.extend(events.into_iter().map(|event| event.kind));
    }
}

#[tokio::test]
async fn a_deploy_is_told_with_names_and_statuses() {
    let shop = Shop::open();
    let feed = Feed::open(&shop.platform);
    let mut reader = Reader::new(&shop.platform, &feed, 0, None);
    let release = testing::release(&shop.platform, &shop.web);
    let deploy = testing::live(&shop.platform, &release);

    let events = reader.read().unwrap();
    let told: Vec<_> = events.iter().map(|event| (event.kind.as_str(), event.status)).collect();
    assert_eq!(
        told,
        [
            ("created", Some(DeployStatus::Created)),
            ("update_started", Some(DeployStatus::UpdateInProgress)),
            ("live", Some(DeployStatus::Live)),
        ]
    );
    let last = events.last().unwrap();
    assert_eq!(last.sequence, latest_sequence(&shop.platform).unwrap());
    assert_eq!((last.project.as_str(), last.environment.as_str()), ("shop", "production"));
    assert_eq!((last.name.as_str(), last.subject), ("web", Subject::Service));
    assert_eq!(last.deploy_id.as_ref(), Some(&deploy.id));
    assert_eq!(last.message, "live");
    assert!(reader.read().unwrap().is_empty());
}

#[tokio::test]
async fn a_data_store_is_told_with_its_standing() {
    let shop = Shop::open();
    let id = testing::database(&shop.platform, &shop.environment, "db").to_string();
    let problem = Problem::new("database-failed", "the disk is full");
    let state = StoreState::Failed { problem, judged: None };
    control::events::store_changed(&shop.platform, &id, &state).unwrap();
    let events = Reader::new(&shop.platform, &Feed::open(&shop.platform), 0, None).read().unwrap();
    let [event] = events.as_slice() else { panic!("one event was written") };
    assert_eq!((event.name.as_str(), event.subject), ("db", Subject::Database));
    assert_eq!(event.store, Some(StoreStanding::Failed));
    assert_eq!(event.message, "the disk is full");
    assert!(event.problem.is_some());
}

#[tokio::test]
async fn readers_of_one_feed_are_woken_by_what_is_written_later() {
    let shop = Shop::open();
    let feed = Feed::open(&shop.platform);
    testing::happen(&shop.platform, &shop.environment, "before");
    let mut readers: Vec<_> =
        (0..3).map(|_| Reader::from_now(&shop.platform, &feed, None).unwrap()).collect();
    for reader in &mut readers {
        assert!(read_all(reader).is_empty(), "what was before is not news");
    }
    // Another thread writes, as another task of the server would.
    let (platform, environment) = (shop.platform.clone(), shop.environment.clone());
    let writer = std::thread::spawn(move || testing::happen(&platform, &environment, "after"));
    for reader in &mut readers {
        tokio::time::timeout(LIMIT, reader.changed()).await.unwrap();
        assert_eq!(read_all(reader), ["happened"]);
    }
    writer.join().unwrap();
}

#[tokio::test]
async fn a_reader_of_one_project_finds_its_events_behind_many_of_another() {
    let shop = Shop::open();
    let other = testing::environment(&shop.platform, "other");
    let feed = Feed::open(&shop.platform);
    let mut reader = Reader::new(&shop.platform, &feed, 0, Some("shop".to_owned()));
    for _ in 0..600 {
        testing::happen(&shop.platform, &other, "not ours");
    }
    testing::happen(&shop.platform, &shop.environment, "ours");
    let events = reader.read().unwrap();
    let messages: Vec<_> = events.iter().map(|event| event.message.as_str()).collect();
    assert_eq!(messages, ["ours"]);
}

#[tokio::test]
async fn a_failed_deploy_is_told_with_its_problem() {
    let shop = Shop::open();
    let release = testing::release(&shop.platform, &shop.web);
    let deploy = testing::deploy(&shop.platform, &release, &[DeployEvent::UpdateStarted]);
    let problem = Problem::new("port-not-open", "web opened no port");
    control::events::transition(
        &shop.platform,
        &deploy.id,
        DeployEvent::UpdateFailed,
        Some(problem.clone()),
    )
    .unwrap();
    let events = Reader::new(&shop.platform, &Feed::open(&shop.platform), 0, None).read().unwrap();
    let last = events.last().unwrap();
    assert_eq!(last.kind, "update_failed");
    assert_eq!(last.message, "web opened no port");
    assert_eq!(last.problem.as_ref(), Some(&problem));
}

#[tokio::test]
async fn the_last_word_on_a_project_says_how_it_ended() {
    let shop = Shop::open();
    let kind = |ending| closing(&shop.platform, "shop", ending).kind;
    assert_eq!(kind(Ending::Stopped), "stopped");
    assert_eq!(kind(Ending::Purged), "purged");
    let failed = closing(
        &shop.platform,
        "shop",
        Ending::Failed(Problem::new("stop-failed", "web still runs")),
    );
    assert_eq!((failed.kind.as_str(), failed.message.as_str()), ("down_failed", "web still runs"));
    assert!(failed.problem.is_some());
}
