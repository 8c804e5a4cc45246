use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::json;
use store::Store;
use store::events::NewEvent;

use crate::at;

fn event(second: i64) -> NewEvent {
    NewEvent {
        at: at(second),
        kind: "note".to_owned(),
        environment_id: None,
        service_id: None,
        deploy_id: None,
        body: json!({ "text": "hello" }),
    }
}

#[test]
fn those_who_wait_are_woken_with_the_newest_number_after_the_commit() {
    let store = Store::in_memory().unwrap();
    let newest = Arc::new(AtomicU64::new(0));
    let told = Arc::clone(&newest);
    store.subscribe(Arc::new(move |sequence| told.store(sequence, Ordering::SeqCst)));
    store::projects::upsert(&store, "a", "/src").unwrap();
    assert_eq!(newest.load(Ordering::SeqCst), 0);
    let sequence = store::events::append(&store, &event(1)).unwrap();
    assert_eq!(newest.load(Ordering::SeqCst), sequence);
    assert_eq!(store::events::since(&store, sequence - 1, 10).unwrap()[0].body["text"], "hello");
}

#[test]
fn numbers_are_not_used_again_after_old_events_are_gone() {
    let store = Store::in_memory().unwrap();
    for second in 1..=5 {
        store::events::append(&store, &event(second)).unwrap();
    }
    assert_eq!(store::events::prune(&store, at(9)).unwrap(), 5);
    assert_eq!(store::events::latest_sequence(&store).unwrap(), 5);
    assert_eq!(store::events::append(&store, &event(10)).unwrap(), 6);
    assert_eq!(store::events::since(&store, 0, 10).unwrap().len(), 1);
}
