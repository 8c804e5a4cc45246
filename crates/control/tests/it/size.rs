//! Large files: the work grows with them and not with their square, and what stays as it is costs
//! no writing.

use std::path::Path;

use control::ops::blueprints::{self, ChangeAction};

use crate::{Shop, code, request};

/// How an apply ends where there is no edge: by then everything is written down.
const NO_EDGE: &str = "host-refused";

/// Services with directories, tools, filters, databases and generated secrets of their own.
fn render_yaml(count: usize) -> String {
    let mut text = "services:\n".to_owned();
    for number in 0..count {
        text.push_str(&format!(
            "  - type: worker\n    name: w{number}\n    runtime: node\n    rootDir: apps/w{number}\n    \
             buildCommand: 'true'\n    startCommand: node w.js\n    envVars:\n      \
             - {{key: NUMBER, value: '{number}'}}\n      - {{key: TOKEN, generateValue: true}}\n      \
             - {{key: NEXT, fromService: {{type: worker, name: w{}, envVarKey: NUMBER}}}}\n",
            (number + 1) % count
        ));
    }
    text
}

fn compose_yaml(count: usize) -> String {
    let mut text = "services:\n".to_owned();
    for number in 0..count {
        text.push_str(&format!(
            "  w{number}:\n    build: apps/w{number}\n    environment:\n      NUMBER: '{number}'\n    \
             volumes: ['./apps/w{number}/conf:/conf']\n"
        ));
    }
    text
}

fn repository(path: &Path, file: &str, text: &str, count: usize) {
    for number in 0..count {
        let directory = path.join(format!("apps/w{number}"));
        std::fs::create_dir_all(directory.join("conf")).unwrap();
        std::fs::write(directory.join(".nvmrc"), "*\n").unwrap();
        std::fs::write(directory.join("Dockerfile"), "FROM scratch\nARG NUMBER\n").unwrap();
        std::fs::write(directory.join("conf/a"), format!("{number}")).unwrap();
    }
    std::fs::write(path.join(file), text).unwrap();
}

/// Questions to git and to the store of one plan.
async fn questions(file: &str, text: &str, count: usize) -> (usize, usize) {
    let shop = Shop::open();
    let path = shop.directory.path().join("repository");
    repository(&path, file, text, count);
    let draft = blueprints::plan(&shop.platform, &request(&path)).await.unwrap();
    let created = draft.changes.iter().filter(|change| change.action == ChangeAction::Create);
    assert_eq!(created.count(), count, "{:?}", draft.findings());
    // What is known of the commit is known by now: the store's questions are those of a plan.
    let before = shop.platform.store.work();
    blueprints::plan(&shop.platform, &request(&path)).await.unwrap();
    let after = shop.platform.store.work();
    assert_eq!(after.writes, before.writes, "a plan writes nothing down");
    (shop.platform.sources.questions(), after.reads - before.reads)
}

#[tokio::test]
async fn a_plan_asks_git_as_often_for_many_services_as_for_few_and_the_store_once_for_each() {
    for (file, text) in
        [("render.yaml", render_yaml as fn(usize) -> String), ("compose.yaml", compose_yaml)]
    {
        let (few, reads_of_few) = questions(file, &text(4), 4).await;
        let (many, reads_of_many) = questions(file, &text(40), 40).await;
        assert_eq!(few, many, "{file}: each service is a question of its own");
        let each = (reads_of_many - reads_of_few).div_ceil(36);
        assert!(each <= 4, "{file}: {each} questions to the store for each service");
    }
}

#[tokio::test]
async fn an_apply_that_changes_nothing_writes_the_same_few_lines_for_many_services() {
    let mut written = Vec::new();
    for count in [4, 40] {
        let shop = Shop::open();
        let path = shop.directory.path().join("repository");
        repository(&path, "render.yaml", &render_yaml(count), count);
        assert_eq!(code(blueprints::apply(&shop.platform, &request(&path)).await), NO_EDGE);
        let draft = blueprints::plan(&shop.platform, &request(&path)).await.unwrap();
        // Each has a deploy under way, which is not made again.
        let kept = draft.changes.iter().filter(|change| change.action == ChangeAction::Keep);
        assert_eq!(kept.count(), count, "{:?}", draft.changes);
        let before = shop.platform.store.work().writes;
        assert_eq!(code(blueprints::apply(&shop.platform, &request(&path)).await), NO_EDGE);
        written.push(shop.platform.store.work().writes - before);
    }
    assert_eq!(written[0], written[1], "transactions of 4 and of 40 services");
}
