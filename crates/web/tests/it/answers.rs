//! What the client understands of each answer.

use control::testing;
use model::DeployEvent;
use wire::{
    CancelRequest, DatabaseState, DeployRequest, DeployStatus, EnvChange, EnvQuery, Error, Pair,
    RestartRequest, RollbackRequest, ServiceState, StatusQuery,
};

use crate::Server;

fn code<T: std::fmt::Debug>(outcome: Result<T, Error>) -> (u16, String) {
    match outcome {
        Err(Error::Refused { status, problem, .. }) => (status, problem.code),
        other => panic!("it was not refused: {other:?}"),
    }
}

#[tokio::test]
async fn the_status_shows_projects_services_and_data_stores() {
    let server = Server::start().await;
    let database = testing::database(&server.platform, &server.environment, "db");
    let release = testing::release(&server.platform, &server.web);
    let failed = [DeployEvent::UpdateStarted, DeployEvent::UpdateFailed];
    let deploy = testing::deploy(&server.platform, &release, &failed);
    let status = server.client().status(&StatusQuery::default()).await.unwrap();
    assert_eq!(status.sequence, 3);
    let environment = &status.projects[0].environments[0];
    let service = &environment.services[0];
    assert_eq!((service.id.as_str(), service.state), (server.web.as_str(), ServiceState::Failed));
    let shown = service.deploy.as_ref().unwrap();
    assert_eq!(
        (shown.id.clone(), shown.status),
        (deploy.id.to_string(), DeployStatus::UpdateFailed)
    );
    let store = &environment.databases[0];
    assert_eq!((store.id.clone(), store.state), (database.to_string(), DatabaseState::Creating));
    assert_eq!((store.host.as_str(), store.port, store.version.as_str()), ("db", 5432, "17"));

    let other = StatusQuery { project: Some("other".to_owned()) };
    assert!(server.client().status(&other).await.unwrap().projects.is_empty());
    server.stop().await;
}

#[tokio::test]
async fn a_restart_names_its_deploy_and_the_event_before_it() {
    let server = Server::start().await;
    let client = server.client();
    let service = server.web.to_string();
    let restart = RestartRequest { service: service.clone() };
    assert_eq!(code(client.restart(&restart).await), (422, "not-live".to_owned()));
    let release = testing::release(&server.platform, &server.web);
    let _live = testing::live(&server.platform, &release);
    let before = client.status(&StatusQuery::default()).await.unwrap().sequence;
    let deploy = client.restart(&restart).await.unwrap();
    assert_eq!((deploy.service.as_str(), deploy.environment.as_str()), ("web", "production"));
    assert_eq!(deploy.sequence, before);

    let rollback = RollbackRequest { service, revision: None };
    assert_eq!(code(client.rollback(&rollback).await), (404, "release-not-found".to_owned()));
    server.stop().await;
}

#[tokio::test]
async fn a_deploy_that_is_given_up_is_named() {
    let server = Server::start().await;
    let release = testing::release(&server.platform, &server.web);
    let deploy = testing::deploy(&server.platform, &release, &[]);
    let request = CancelRequest { deploy: deploy.id.to_string() };
    let canceled = server.client().cancel(&request).await.unwrap();
    assert_eq!((canceled.id, canceled.service.as_str()), (deploy.id.to_string(), "web"));
    let status = server.client().status(&StatusQuery::default()).await.unwrap();
    let shown = status.projects[0].environments[0].services[0].deploy.as_ref().unwrap();
    assert_eq!(shown.status, DeployStatus::Canceled);
    server.stop().await;
}

#[tokio::test]
async fn a_commit_of_a_project_that_nobody_applied_is_refused_and_not_left_out() {
    let server = Server::start().await;
    let request = DeployRequest {
        service: server.web.to_string(),
        clear_cache: false,
        commit: Some("abc".to_owned()),
    };
    assert_eq!(code(server.client().deploy(&request).await), (422, "never-applied".to_owned()));
    server.stop().await;
}

#[tokio::test]
async fn secrets_are_masked_until_they_are_asked_for() {
    let server = Server::start().await;
    let client = server.client();
    let query = |reveal| EnvQuery { service: server.web.to_string(), reveal };
    assert_eq!(code(client.env(&query(true)).await), (422, "never-deployed".to_owned()));
    let release = testing::release(&server.platform, &server.web);
    let _deploy = testing::deploy(&server.platform, &release, &[]);
    let value = |entries: Vec<wire::EnvEntry>, key: &str| {
        entries.into_iter().find(|entry| entry.key == key).unwrap().value.unwrap()
    };
    assert_eq!(value(client.env(&query(false)).await.unwrap(), "GREETING"), "hello");
    assert!(!value(client.env(&query(false)).await.unwrap(), "TOKEN").contains("s3cret"));
    assert_eq!(value(client.env(&query(true)).await.unwrap(), "TOKEN"), "s3cret");

    let pair = Pair { key: "KEY".to_owned(), value: "value".to_owned() };
    let mut change = EnvChange {
        service: server.web.to_string(),
        set: vec![pair],
        unset: vec![],
        deploy: false,
    };
    assert!(client.change_env(&change).await.unwrap().changed);
    change.set.clear();
    assert!(!client.change_env(&change).await.unwrap().changed);
    server.stop().await;
}
