use control::ops::status::{self, Standing, StoreKind, StoreView};
use control::testing;
use model::{DeployEvent, DeployId};

use crate::{Shop, code};

async fn standing(shop: &Shop) -> Standing {
    let projects = status::projects(&shop.platform, Some("shop")).await.unwrap();
    projects[0].environments[0].services[0].standing
}

#[tokio::test]
async fn a_service_stands_as_its_deploys_do() {
    let shop = Shop::open();
    assert_eq!(standing(&shop).await, Standing::Waiting, "nothing was asked for yet");
    let release = testing::release(&shop.platform, &shop.web);
    let failed = [DeployEvent::UpdateStarted, DeployEvent::UpdateFailed];
    let _first = testing::deploy(&shop.platform, &release, &failed);
    assert_eq!(standing(&shop).await, Standing::Failed);
    let _second = testing::live(&shop.platform, &release);
    assert_eq!(standing(&shop).await, Standing::Waiting, "it is live, and no instance runs");
    let _third = testing::deploy(&shop.platform, &release, &failed);
    assert_eq!(standing(&shop).await, Standing::Degraded);
    let _fourth = testing::deploy(&shop.platform, &release, &[]);
    assert_eq!(standing(&shop).await, Standing::Deploying);
}

#[tokio::test]
async fn a_data_store_is_shown_where_services_reach_it() {
    let shop = Shop::open();
    let id = testing::database(&shop.platform, &shop.environment, "db");
    let projects = status::projects(&shop.platform, None).await.unwrap();
    let stores: &[StoreView] = &projects[0].environments[0].stores;
    assert_eq!(stores.len(), 1);
    assert_eq!(stores[0].id, id.to_string());
    assert_eq!((stores[0].name.as_str(), stores[0].kind), ("db", StoreKind::Postgres));
    assert_eq!((stores[0].host.as_str(), stores[0].port), ("db", 5432));
    assert_eq!(stores[0].version, "17");
    assert!(stores[0].state.is_none());
}

#[tokio::test]
async fn a_project_that_is_not_there_shows_nothing() {
    let shop = Shop::open();
    assert!(status::projects(&shop.platform, Some("other")).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_deploy_knows_whose_it_is() {
    let shop = Shop::open();
    let release = testing::release(&shop.platform, &shop.web);
    let deploy = testing::deploy(&shop.platform, &release, &[]);
    let place = status::deploy_place(&shop.platform, &deploy.id).unwrap();
    assert_eq!((place.service.as_str(), place.environment.as_str()), ("web", "production"));
    let nothing = DeployId::from_uuid(uuid::Uuid::nil());
    assert_eq!(code(status::deploy_place(&shop.platform, &nothing)), "not-found");
}
