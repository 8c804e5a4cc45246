//! Words of Dockerfiles that old builders do not know, or know in part: secrets, here-documents with
//! variables, files with their parents.

use model::{BuildSecret, FileSource};

use crate::docker::Scene;

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_reaches_the_step_that_asks_for_it_and_nothing_keeps_it() {
    let dockerfile = "FROM base\nRUN mkdir /tmp; true\n\
        RUN --mount=type=secret,id=tok cut -c1-2 /run/secrets/tok > /part; cut -c3- /run/secrets/tok >> /part; \
        ls -la /run/secrets >> /part\n\
        RUN --mount=type=secret,id=of-file,target=/there cat /there > /of-file\n\
        RUN --mount=type=secret,id=tok,target=/run/secrets/tok env > /env; \
        for process in /proc/[0-9]*; do tr '\\0' ' ' < $process/cmdline; done > /commands\n\
        RUN ls /run/secrets/tok /there > /later 2>&1; true\n";
    let Some(mut scene) = Scene::set(dockerfile, &[("tok.txt", "filetok\n")]).await else { return };
    scene.docker().secrets = vec![
        BuildSecret { id: "tok".to_owned(), source: FileSource::Variable("TOK".to_owned()) },
        BuildSecret {
            id: "of-file".to_owned(),
            source: FileSource::Project("./tok.txt".to_owned()),
        },
    ];
    let secret = "s3\nsecret=with \"everything\" $in it";
    let image = scene.image(&[("TOK", secret)]).await;
    assert!(image.text("part").starts_with("s3\n"), "{}", image.text("part"));
    assert!(
        image.text("part").contains("cret=with \"everything\" $in it"),
        "{}",
        image.text("part")
    );
    assert_eq!(image.text("of-file"), "filetok\n");
    assert!(image.text("later").contains("No such file"), "{}", image.text("later"));
    for path in ["env", "commands"] {
        assert!(!image.text(path).contains("everything"), "{path}: {}", image.text(path));
    }
    assert!(!image.log.contains("everything"), "{}", image.log);
    assert!(!image.config.to_string().contains("everything"));
    assert!(
        image.files.keys().all(|path| !path.contains("secrets/tok")),
        "{:?}",
        image.files.keys()
    );
    scene.nothing_is_left();

    scene.docker().secrets[1].source = FileSource::Project("../../etc/shadow".to_owned());
    assert_eq!(scene.problem(&[("TOK", secret)]).await.code, "build-secret-refused");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copied_here_document_has_its_variables_replaced() {
    let dockerfile = "FROM base AS inherited\nENV WHERE=/srv\nFROM inherited\nARG MODE\nARG OTHER=o\n\
        COPY <<EOT /etc/app.conf\nmode=$MODE at ${WHERE} \\$MODE ${NONE:-none}$OTHER\nEOT\n\
        COPY <<'EOT' /etc/raw.conf\nmode=$MODE\nEOT\n";
    let Some(scene) = Scene::set(dockerfile, &[]).await else { return };
    let image = scene.image(&[("MODE", "prod")]).await;
    assert_eq!(image.text("etc/app.conf"), "mode=prod at /srv $MODE noneo\n");
    assert_eq!(image.text("etc/raw.conf"), "mode=$MODE\n");
    let other = scene.image(&[("MODE", "test")]).await;
    assert!(other.text("etc/app.conf").starts_with("mode=test"), "{}", other.text("etc/app.conf"));
}

#[tokio::test(flavor = "multi_thread")]
async fn files_are_copied_with_their_parents() {
    let files = [
        ("package.json", "0"),
        ("packages/a/package.json", "a"),
        ("packages/b/package.json", "b"),
        ("packages/b/index.js", "x"),
        ("old/package.json", "o"),
        (".dockerignore", "old\n"),
    ];
    let dockerfile = "FROM base\nCOPY --parents **/package.json /app/\n\
        COPY --parents packages/./b /only\n";
    let Some(scene) = Scene::set(dockerfile, &files).await else { return };
    let image = scene.image(&[]).await;
    for (path, expected) in [
        ("app/package.json", "0"),
        ("app/packages/a/package.json", "a"),
        ("app/packages/b/package.json", "b"),
        ("only/b/index.js", "x"),
    ] {
        assert_eq!(image.text(path), expected, "{path}");
    }
    assert!(!image.files.contains_key("app/old/package.json"));
    assert!(!image.files.contains_key("app/packages/b/index.js"));
}
