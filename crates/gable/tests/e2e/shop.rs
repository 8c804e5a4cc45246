//! The realistic system: a person opens the shop in a browser and orders.

use std::path::Path;
use std::time::Duration;

use testkit::http::Answer;
use testkit::{Browser, Platform, Repository};

/// The worker completes an order in well under a second; a busy machine may need more.
const ORDER_TIME_MAX: Duration = Duration::from_secs(30);
/// A schedule of every minute has fired by then.
const CRON_TIME_MAX: Duration = Duration::from_secs(90);

#[tokio::test(flavor = "multi_thread")]
async fn the_shop_takes_an_order_that_the_worker_completes() {
    let Some(_turn) = crate::turn("the_shop_takes_an_order_that_the_worker_completes").await else {
        return;
    };
    let repository = Repository::copy_of(&testkit::examples().join("shop")).unwrap();
    let platform = crate::platform(&[]);
    let run = crate::up(&platform, &repository).await;
    for service in ["shop-web", "shop-api", "shop-docs"] {
        let line = format!("{service} {}", platform.url(service));
        assert!(run.stdout.lines().any(|seen| seen == line), "no line `{line}` in {run}");
    }
    assert!(run.stderr.contains("SUPPORT_EMAIL"), "what nobody gave is named: {run}");

    assert_eq!(order(&platform).await, "R-00001");
    private_network_is_wired(&platform).await;
    static_site_follows_its_rules(&platform).await;
    secrets_are_masked(&platform).await;
    disk_outlives_its_instance(&platform).await;
    one_off_jobs_and_clients_work(&platform).await;
    nothing_changed_means_nothing_deployed(&platform, repository.path()).await;
    data_outlives_the_system(&platform, &repository).await;
    cron_has_run(&platform).await;
    platform.stop().await.unwrap();
}

/// Orders as a person does, and returns the number of the receipt.
async fn order(platform: &Platform) -> String {
    let browser = Browser::start().await.unwrap();
    browser.open(&platform.url("shop-web")).await.unwrap();
    let products = "document.querySelectorAll('#products .product[data-id]').length === 4";
    browser.wait_until(products, ORDER_TIME_MAX).await.unwrap();
    browser.fill("customer", "Ada").await.unwrap();
    browser.fill("quantity", "2").await.unwrap();
    browser.click("place-order").await.unwrap();
    let completed = "document.getElementById('order-state').dataset.state === 'completed'";
    let outcome = browser.wait_until(completed, ORDER_TIME_MAX).await;
    let picture = Path::new(env!("CARGO_TARGET_TMPDIR")).join("shop.png");
    browser.screenshot(&picture).await.unwrap();
    outcome.unwrap();
    let receipt = browser.text("receipt").await.unwrap();
    browser.close().await.unwrap();
    receipt
}

async fn private_network_is_wired(platform: &Platform) {
    let status = platform.get("shop-web", "/status").await.unwrap();
    assert_eq!((status.status, status.body.as_str()), (200, r#"{"api":"ok"}"#));
}

async fn static_site_follows_its_rules(platform: &Platform) {
    let page = platform.get("shop-docs", "/delivery").await.unwrap();
    assert_eq!(page.status, 200);
    assert_eq!(page.header("x-frame-options"), Some("DENY"));
    assert!(page.body.contains(&platform.url("shop-web")), "the build knew the shop's address");
    let moved = platform.get("shop-docs", "/help").await.unwrap();
    assert_eq!((moved.status, moved.header("location")), (301, Some("/delivery")));
    let asset = platform.get("shop-docs", "/assets/pages.js").await.unwrap();
    assert!(asset.header("cache-control").is_some_and(|value| value.contains("immutable")));
}

async fn secrets_are_masked(platform: &Platform) {
    let read = async |service: &str, reveal: &[&str]| {
        let arguments = [&["env", service, "--json"], reveal].concat();
        platform.gable(&arguments).await.unwrap().ok().unwrap().stdout
    };
    let reveal = platform.gable(&["exec", "-T", "shop-api", "--", "printenv", "SIGNING_KEY"]);
    let secret = reveal.await.unwrap().ok().unwrap().stdout.trim().to_owned();
    assert!(secret.len() >= 32, "a generated value is long");
    assert!(!read("shop-api", &[]).await.contains(&secret));
    // The same value, by reference.
    assert!(read("shop-worker", &["--reveal"]).await.contains(&secret));
}

/// Receipts are counted on the disk: after a restart the numbers go on.
async fn disk_outlives_its_instance(platform: &Platform) {
    platform.gable(&["restart", "shop-receipts"]).await.unwrap().ok().unwrap();
    assert_eq!(order(platform).await, "R-00002");
}

async fn one_off_jobs_and_clients_work(platform: &Platform) {
    assert_eq!(orders_in_database(platform).await, "2");
    let seven = platform.gable(&["run", "shop-worker", "--", "exit 7"]).await.unwrap();
    assert_eq!(seven.code, 7, "{seven}");
}

async fn orders_in_database(platform: &Platform) -> String {
    let query = ["psql", "shop-db", "--", "-tAc", "SELECT count(*) FROM orders"];
    platform.gable(&query).await.unwrap().ok().unwrap().stdout.trim().to_owned()
}

async fn nothing_changed_means_nothing_deployed(platform: &Platform, path: &Path) {
    let deploys = async || -> Vec<String> {
        let status = platform.status().await.unwrap().to_string();
        status.split('"').filter(|word| word.starts_with("dep-")).map(ToOwned::to_owned).collect()
    };
    let before = deploys().await;
    assert_eq!(before.len(), 6, "every service has one: {before:?}");
    let again = platform.up(path, &[]).await.unwrap().ok().unwrap();
    assert_eq!(before, deploys().await, "{again}");
}

/// `down` stops everything and keeps data; the next `up` finds it, and builds nothing.
async fn data_outlives_the_system(platform: &Platform, repository: &Repository) {
    platform.gable(&["down", "--yes"]).await.unwrap().ok().unwrap();
    assert!(platform.get("shop-web", "/").await.is_err(), "nothing listens any more");
    crate::up(platform, repository).await;
    assert_eq!(orders_in_database(platform).await, "2");
    assert_eq!(order(platform).await, "R-00003");
}

async fn cron_has_run(platform: &Platform) {
    let has_report = |answer: &Answer| answer.body.contains(" orders, ");
    platform.get_until("shop-api", "/report", CRON_TIME_MAX, has_report).await.unwrap();
    let logs = platform.gable(&["logs", "shop-report"]).await.unwrap().ok().unwrap();
    assert!(logs.stdout.contains("report: "), "{logs}");
}
