//! A real registry on a free port, with a directory of its own.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use images::{Digest, Reference};
use reqwest::{Client, Method};
use serde_json::json;
use tempfile::TempDir;

use crate::layer::Made;

pub(crate) const USER: &str = "gardener";
pub(crate) const PASSWORD: &str = "open sesame";
/// The password above, as bcrypt writes it.
const HTPASSWD: &str = "gardener:$2y$05$abcdefghijklmnopqrstuupx2xBUC4954936wVIjyyPHmUBFu0wCW\n";

pub(crate) struct Registry {
    child: Child,
    dir: TempDir,
    /// `127.0.0.1:port`.
    pub(crate) host: String,
    has_login: bool,
}

impl Registry {
    pub(crate) fn start() -> Self {
        Self::start_with("")
    }

    /// One that wants a user and a password for everything.
    pub(crate) fn start_with_login() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("htpasswd");
        fs::write(&path, HTPASSWD).unwrap();
        let auth = format!("auth: {{htpasswd: {{realm: garden, path: {}}}}}\n", path.display());
        Self::start_in(dir, &auth)
    }

    fn start_with(auth: &str) -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), auth)
    }

    fn start_in(dir: TempDir, auth: &str) -> Self {
        let config = dir.path().join("config.yml");
        let storage = dir.path().join("storage");
        let text = format!(
            "version: 0.1\nstorage: {{filesystem: {{rootdirectory: {}}}}}\n\
             http: {{addr: \"127.0.0.1:0\"}}\n{auth}",
            storage.display()
        );
        fs::write(&config, text).unwrap();
        let access = fs::File::create(dir.path().join("access.log")).unwrap();
        let mut child = Command::new("docker-registry")
            .arg("serve")
            .arg(&config)
            .stdout(access)
            .stderr(Stdio::piped())
            .spawn()
            .expect("docker-registry is needed; `scripts/setup test` installs it");
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
        let host = lines
            .find_map(|line| {
                let rest = line.split_once("listening on ")?.1.to_owned();
                Some(rest.split('"').next()?.to_owned())
            })
            .expect("the registry says where it listens");
        // It writes on for as long as it lives.
        std::thread::spawn(move || lines.for_each(drop));
        Self { child, dir, host, has_login: !auth.is_empty() }
    }

    pub(crate) fn reference(&self, name: &str) -> Reference {
        format!("{}/{name}", self.host).parse().unwrap()
    }

    /// Puts an image there, with its blobs.
    pub(crate) async fn push(&self, repository: &str, tag: &str, image: &Made) {
        for blob in image.blobs.iter().chain([&image.config]) {
            self.push_blob(repository, blob).await;
        }
        let media_type = "application/vnd.oci.image.manifest.v1+json";
        self.push_manifest(repository, tag, &image.manifest, media_type).await;
    }

    /// Puts an index of images there that are there already; returns its digest.
    pub(crate) async fn push_index(
        &self,
        repository: &str,
        tag: &str,
        manifests: &[serde_json::Value],
    ) -> Digest {
        let media_type = "application/vnd.oci.image.index.v1+json";
        let index = json!({"schemaVersion": 2, "mediaType": media_type, "manifests": manifests});
        let bytes = serde_json::to_vec(&index).unwrap();
        self.push_manifest(repository, tag, &bytes, media_type).await;
        Digest::of(&bytes)
    }

    async fn push_blob(&self, repository: &str, blob: &[u8]) {
        let url = format!("http://{}/v2/{repository}/blobs/uploads/", self.host);
        let response = self.request(Method::POST, &url).send().await.unwrap();
        assert_eq!(response.status(), 202);
        let location = response.headers()["location"].to_str().unwrap().to_owned();
        let url = format!("{location}&digest={}", Digest::of(blob));
        let response = self.request(Method::PUT, &url).body(blob.to_vec()).send().await.unwrap();
        assert_eq!(response.status(), 201);
    }

    async fn push_manifest(&self, repository: &str, tag: &str, bytes: &[u8], media_type: &str) {
        let url = format!("http://{}/v2/{repository}/manifests/{tag}", self.host);
        let request = self.request(Method::PUT, &url).header("content-type", media_type);
        let response = request.body(bytes.to_vec()).send().await.unwrap();
        assert_eq!(response.status(), 201, "{}", response.text().await.unwrap_or_default());
    }

    fn request(&self, method: Method, url: &str) -> reqwest::RequestBuilder {
        let client = Client::builder().no_proxy().build().unwrap();
        let request = client.request(method, url);
        if self.has_login { request.basic_auth(USER, Some(PASSWORD)) } else { request }
    }

    /// Where it keeps a blob.
    pub(crate) fn blob_path(&self, blob: &[u8]) -> PathBuf {
        let digest = Digest::of(blob);
        let blobs = self.dir.path().join("storage/docker/registry/v2/blobs/sha256");
        blobs.join(&digest.hex()[..2]).join(digest.hex()).join("data")
    }

    /// How often something was asked for.
    pub(crate) fn requests(&self, what: &str) -> usize {
        let log = fs::read_to_string(self.dir.path().join("access.log")).unwrap();
        log.lines().filter(|line| line.contains("\"GET ") && line.contains(what)).count()
    }

    pub(crate) fn stop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        self.stop();
    }
}
