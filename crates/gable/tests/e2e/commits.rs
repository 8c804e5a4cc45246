//! Deploys of commits, in a file that names its project and its environment.

use testkit::Repository;

const BLUEPRINT: &str = "\
projects:
  - name: shop
    environments:
      - name: live
        services:
          - type: web
            name: app
            runtime: node
            buildCommand: node --check server.js
            startCommand: node server.js
            healthCheckPath: /
            envVars:
              - key: VERSION
                value: v0
";

const SERVER: &str = "\
require('node:http')
  .createServer((request, response) => response.end(`${process.env.VERSION} of a`))
  .listen(process.env.PORT);
";

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_is_deployed_with_its_source_and_its_blueprint() {
    let test = "a_commit_is_deployed_with_its_source_and_its_blueprint";
    let Some(_turn) = crate::turn(test).await else { return };
    let repository = Repository::new().unwrap();
    repository.write("render.yaml", BLUEPRINT).unwrap().write("server.js", SERVER).unwrap();
    let first = repository.commit("first").unwrap();
    let platform = crate::platform(&[]);
    crate::up(&platform, &repository).await;
    repository.replace("render.yaml", "v0", "v1").unwrap();
    repository.replace("server.js", "of a", "of b").unwrap();
    repository.commit("second").unwrap();
    crate::up(&platform, &repository).await;
    let load = crate::load(&platform, "app", "/", 4);
    load.wait_for(10).await;
    assert_eq!(platform.get("app", "/").await.unwrap().body, "v1 of b");

    platform.gable(&["deploy", "app", "--commit", "HEAD~1"]).await.unwrap().ok().unwrap();
    assert_eq!(platform.get("app", "/").await.unwrap().body, "v0 of a");
    let service = platform.service("app").await.unwrap();
    assert!(service.to_string().contains(&first[..8]), "the release names it: {service:#}");

    let unknown = platform.gable(&["deploy", "app", "--commit", "v9"]).await.unwrap();
    assert_eq!(unknown.code, 1, "{unknown}");
    assert!(unknown.stderr.contains("there is no commit `v9`"), "{unknown}");
    assert!(unknown.stderr.contains("[revision-not-found]"), "{unknown}");
    assert_eq!(platform.get("app", "/").await.unwrap().body, "v0 of a");

    // Without a commit it is the working tree again.
    platform.gable(&["deploy", "app"]).await.unwrap().ok().unwrap();
    assert_eq!(platform.get("app", "/").await.unwrap().body, "v1 of b");
    let tally = load.stop().await;
    assert_eq!(tally.failed, 0, "{tally:?}");
    platform.stop().await.unwrap();
}
