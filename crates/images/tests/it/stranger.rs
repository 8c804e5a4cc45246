//! A registry that answers whatever it likes.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use images::{Digest, Error, Image, Limits, Reference};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::layer::{Layer, Made, image, noise};
use crate::world::{World, silent};

/// An answer: status line and headers, and then bytes until the connection closes.
#[derive(Clone)]
struct Answer {
    head: String,
    body: Vec<u8>,
    /// Whether zeros follow for ever.
    is_endless: bool,
}

impl Answer {
    fn new(status: &str, headers: &str, body: &[u8]) -> Self {
        Self { head: format!("{status}\r\n{headers}"), body: body.to_vec(), is_endless: false }
    }

    fn ok(body: &[u8]) -> Self {
        Self::new("200 OK", &format!("content-length: {}\r\n", body.len()), body)
    }
}

type Answers = HashMap<String, Vec<Answer>>;

struct Stranger {
    host: String,
    answers: Arc<Mutex<Answers>>,
    /// First lines and `authorization` of what was asked.
    asked: Arc<Mutex<Vec<String>>>,
    task: tokio::task::JoinHandle<()>,
}

impl Stranger {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let host = listener.local_addr().unwrap().to_string();
        let (answers, asked) = (Arc::new(Mutex::new(Answers::new())), Arc::default());
        let (for_task, asked_too) = (Arc::clone(&answers), Arc::clone(&asked));
        let task = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(serve(stream, Arc::clone(&for_task), Arc::clone(&asked_too)));
            }
        });
        Self { host, answers, asked, task }
    }

    /// What it answers to one path, in turn; the last one again and again.
    fn answer(&self, path: &str, answers: &[Answer]) {
        self.answers.lock().unwrap().insert(path.to_owned(), answers.to_vec());
    }

    /// Answers honestly for an image, but for what is set later.
    fn offer(&self, made: &Made) {
        self.answer("/v2/app/manifests/1", &[Answer::ok(&made.manifest)]);
        for blob in made.blobs.iter().chain([&made.config]) {
            self.answer(&format!("/v2/app/blobs/{}", Digest::of(blob)), &[Answer::ok(blob)]);
        }
    }

    fn reference(&self) -> Reference {
        format!("{}/app:1", self.host).parse().unwrap()
    }

    fn asked(&self, what: &str) -> usize {
        self.asked.lock().unwrap().iter().filter(|line| line.contains(what)).count()
    }
}

impl Drop for Stranger {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(
    mut stream: TcpStream,
    answers: Arc<Mutex<Answers>>,
    asked: Arc<Mutex<Vec<String>>>,
) -> Option<()> {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        request.push(stream.read_u8().await.ok()?);
    }
    let request = String::from_utf8(request).ok()?;
    let path = request.split(' ').nth(1)?.to_owned();
    let header = |name: &str| request.lines().find(|line| line.to_lowercase().starts_with(name));
    let noted = [header("authorization:"), header("range:")].map(Option::unwrap_or_default);
    asked.lock().unwrap().push(format!("{path} {} {}", noted[0], noted[1]));
    let answer = {
        let mut answers = answers.lock().unwrap();
        let list = answers.get_mut(path.split('?').next()?);
        match list {
            Some(list) if list.len() > 1 => list.remove(0),
            Some(list) => list[0].clone(),
            None => Answer::new("404 Not Found", "content-length: 0\r\n", b""),
        }
    };
    let head = format!("HTTP/1.1 {}connection: close\r\n\r\n", answer.head);
    stream.write_all(head.as_bytes()).await.ok()?;
    stream.write_all(&answer.body).await.ok()?;
    if answer.is_endless {
        loop {
            stream.write_all(&[0; 65536]).await.ok()?;
        }
    }
    stream.shutdown().await.ok()
}

fn made() -> Made {
    image(&[Layer::new().bytes("a", &noise(1, 100_000))], &json!({}))
}

async fn scene() -> Option<(World, Stranger, Made)> {
    let world = World::with(|config| {
        config.limits =
            Limits { manifest_bytes: 10_000, config_bytes: 10_000, ..Limits::default() };
    })?;
    let (stranger, made) = (Stranger::start().await, made());
    stranger.offer(&made);
    Some((world, stranger, made))
}

async fn pull(world: &World, stranger: &Stranger) -> Result<Image, Error> {
    world.images.pull(&stranger.reference(), None, None, &silent).await
}

async fn fails(world: &World, stranger: &Stranger, code: &str) -> String {
    let error = pull(world, stranger).await.unwrap_err();
    let problem = error.problem();
    assert_eq!(problem.code, code, "{problem:?}");
    assert_eq!(world.counts(), (0, 0, 0), "{problem:?}");
    format!("{} {}", problem.message, problem.detail.unwrap_or_default())
}

#[tokio::test]
async fn answers_without_end_are_cut_off() {
    let Some((world, stranger, made)) = scene().await else { return };
    let endless = Answer { is_endless: true, ..Answer::new("200 OK", "", b"{") };
    let digest = Digest::of(&made.blobs[0]);
    let blob = format!("/v2/app/blobs/{digest}");
    stranger.answer(&blob, std::slice::from_ref(&endless));
    let message = fails(&world, &stranger, "image-damaged").await;
    assert!(message.contains("longer than"), "{message}");
    stranger.answer("/v2/app/manifests/1", &[endless]);
    let message = fails(&world, &stranger, "image-too-large").await;
    assert!(message.contains("10000 bytes"), "{message}");
}

#[tokio::test]
async fn other_bytes_than_were_asked_for_are_refused() {
    let Some((world, stranger, made)) = scene().await else { return };
    let path = |bytes: &[u8]| format!("/v2/app/blobs/{}", Digest::of(bytes));
    let mut changed = made.blobs[0].clone();
    changed[500] ^= 1;
    stranger.answer(&path(&made.blobs[0]), &[Answer::ok(&changed)]);
    let message = fails(&world, &stranger, "image-damaged").await;
    assert!(message.contains(Digest::of(&changed).as_str()), "{message}");
    let short = &made.blobs[0][..1000];
    stranger.answer(&path(&made.blobs[0]), &[Answer::ok(short)]);
    let message = fails(&world, &stranger, "image-damaged").await;
    assert!(message.contains("ends after 1000 of"), "{message}");

    let other = image(&[Layer::new()], &json!({}));
    let pinned = format!("/v2/app/manifests/{}", other.digest());
    stranger.answer(&pinned, &[Answer::ok(&made.manifest)]);
    let (reference, digest) = (stranger.reference(), other.digest());
    let pull = world.images.pull(&reference, Some(&digest), None, &silent);
    assert_eq!(pull.await.unwrap_err().problem().code, "image-damaged");
}

#[tokio::test]
async fn a_blob_goes_on_where_the_connection_broke() {
    let Some((world, stranger, made)) = scene().await else { return };
    let blob = &made.blobs[0];
    let digest = Digest::of(blob);
    let path = format!("/v2/app/blobs/{digest}");
    let length = format!("content-length: {}\r\n", blob.len());
    let broken = Answer::new("200 OK", &length, &blob[..40_000]);
    let range = format!("content-range: bytes 40000-{}/{}\r\n", blob.len() - 1, blob.len());
    let rest = &blob[40_000..];
    let head = format!("content-length: {}\r\n{range}", rest.len());
    stranger.answer(&path, &[broken.clone(), Answer::new("206 Partial Content", &head, rest)]);
    pull(&world, &stranger).await.unwrap();
    assert_eq!(stranger.asked("range: bytes=40000-"), 1);
    world.images.collect_garbage(&[]).await.unwrap();

    // A registry that knows nothing of ranges sends all of it again.
    stranger.answer(&path, &[broken, Answer::ok(blob)]);
    pull(&world, &stranger).await.unwrap();
}

#[tokio::test]
async fn a_token_is_fetched_once_and_sent_with_everything() {
    let Some((world, stranger, made)) = scene().await else { return };
    let challenge = format!(
        "www-authenticate: Bearer realm=\"http://{}/token\",service=\"s p\"\r\ncontent-length: 0\r\n",
        stranger.host
    );
    let refuse = Answer::new("401 Unauthorized", &challenge, b"");
    stranger.answer("/v2/app/manifests/1", &[refuse, Answer::ok(&made.manifest)]);
    stranger.answer("/token", &[Answer::ok(br#"{"token": "abc"}"#)]);
    pull(&world, &stranger).await.unwrap();
    assert_eq!(stranger.asked("/token?service=s%20p&scope=repository%3Aapp%3Apull"), 1);
    assert_eq!(stranger.asked("authorization: Bearer abc"), 3);
}

#[tokio::test]
async fn a_redirect_to_another_machine_does_not_take_the_credential_along() {
    let Some((world, stranger, made)) = scene().await else { return };
    let other = Stranger::start().await;
    other.offer(&made);
    let digest = Digest::of(&made.blobs[0]);
    let path = format!("/v2/app/blobs/{digest}");
    let location = format!("location: http://{}{path}\r\ncontent-length: 0\r\n", other.host);
    stranger.answer(&path, &[Answer::new("307 Elsewhere", &location, b"")]);
    let challenge = "www-authenticate: Basic realm=\"x\"\r\ncontent-length: 0\r\n";
    let refuse = Answer::new("401 Unauthorized", challenge, b"");
    stranger.answer("/v2/app/manifests/1", &[refuse, Answer::ok(&made.manifest)]);
    let credential = images::Credential {
        username: "user".to_owned(),
        password: "secret".to_owned().into(),
        registry: None,
    };
    let reference = stranger.reference();
    world.images.pull(&reference, None, Some(&credential), &silent).await.unwrap();
    assert_eq!(stranger.asked("authorization: Basic"), 3);
    assert_eq!((other.asked(digest.as_str()), other.asked("authorization:")), (1, 0));
}

#[tokio::test]
async fn a_registry_that_limits_or_fails_is_named_with_its_answer() {
    let Some((world, stranger, _)) = scene().await else { return };
    for (status, hint) in [("429 Too Many Requests", "log in"), ("503 Busy", "later")] {
        let answer = Answer::new(status, "content-length: 0\r\n", b"");
        stranger.answer("/v2/app/manifests/1", &[answer]);
        let problem = pull(&world, &stranger).await.unwrap_err().problem();
        assert_eq!(problem.code, "registry-refused");
        assert!(problem.message.contains(&status[..3]) && problem.hint.unwrap().contains(hint));
    }
    let circle = Answer::new("302 Found", "location: /v2/app/manifests/1\r\n", b"");
    stranger.answer("/v2/app/manifests/1", &[circle]);
    let message = fails(&world, &stranger, "registry-unreachable").await;
    assert!(message.contains("too many redirects"), "{message}");
}
