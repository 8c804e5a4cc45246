//! Private registries.

use images::{Credential, Registries};
use serde_json::json;

use crate::layer::{Layer, image};
use crate::registry::{PASSWORD, Registry, USER};
use crate::world::{World, silent};

fn credential(password: &str) -> Credential {
    Credential { username: USER.to_owned(), password: password.to_owned().into(), registry: None }
}

#[tokio::test]
async fn a_private_image_needs_the_right_credential() {
    let Some(world) = World::new() else { return };
    let registry = Registry::start_with_login();
    let made = image(&[Layer::new().file("a", "1")], &json!({}));
    registry.push("private/app", "1", &made).await;
    let reference = registry.reference("private/app:1");
    let pull = async |credential: Option<&Credential>| {
        world.images.pull(&reference, None, credential, &silent).await
    };

    let problem = pull(None).await.unwrap_err().problem();
    assert_eq!(problem.code, "image-unauthorized");
    assert!(problem.hint.unwrap().contains("give a registry credential"));
    let problem = pull(Some(&credential("wrong word"))).await.unwrap_err().problem();
    assert_eq!(problem.code, "image-unauthorized");
    assert!(problem.hint.as_deref().unwrap().contains("password"));
    assert!(!format!("{problem:?}").contains("wrong word"));
    assert_eq!(world.counts(), (0, 0, 0));

    let right = credential(PASSWORD);
    assert_eq!(world.images.resolve(&reference, Some(&right)).await.unwrap(), made.digest());
    assert_eq!(pull(Some(&right)).await.unwrap().digest, made.digest());
    // Here, it belongs to whoever may use this machine.
    assert_eq!(pull(None).await.unwrap().digest, made.digest());
}

#[tokio::test]
async fn a_credential_of_the_settings_is_used_for_its_host() {
    let registry = Registry::start_with_login();
    let Some(world) = World::with(|config| {
        config.registries = Registries {
            credentials_by_host: [(registry.host.clone(), credential(PASSWORD))].into(),
            ..Registries::default()
        };
    }) else {
        return;
    };
    let made = image(&[Layer::new().file("a", "1")], &json!({}));
    registry.push("app", "1", &made).await;
    let image = world.images.pull(&registry.reference("app:1"), None, None, &silent).await.unwrap();
    assert_eq!(image.digest, made.digest());
}

#[tokio::test]
async fn a_machine_that_trusts_nobody_can_still_ask_itself() {
    let Some(world) = World::new() else { return };
    let registry = Registry::start();
    let made = image(&[Layer::new().file("a", "1")], &json!({}));
    registry.push("app", "1", &made).await;
    let pull = |reference: &str, dir: &str| {
        let output = std::process::Command::new(crate::killed::helper())
            .arg(world.dir.path().join(dir))
            .arg(reference)
            .env("SSL_CERT_FILE", "/dev/null")
            .env("SSL_CERT_DIR", world.dir.path())
            .output()
            .unwrap();
        (output.status.success(), String::from_utf8(output.stderr).unwrap())
    };
    assert_eq!(pull(&registry.reference("app:1").to_string(), "local"), (true, String::new()));
    // One elsewhere cannot be trusted, which is said.
    let (is_done, said) = pull("registry.invalid/app:1", "far");
    assert!(!is_done && said.contains("certificates"), "{said}");
}
