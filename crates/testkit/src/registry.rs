//! A real registry of images, on a free port of the loopback, that ends with its value.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use http_body_util::Full;
use hyper::{Method, Request, header};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tempfile::TempDir;

use crate::http::{self, Answer};

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";

/// A registry that runs until this is dropped.
#[derive(Debug)]
pub struct Registry {
    process: Child,
    address: String,
    /// What it keeps; removed after the process has ended.
    _folder: TempDir,
}

impl Registry {
    /// Starts an empty one.
    ///
    /// # Errors
    /// When `docker-registry` is not installed or does not start.
    pub fn start() -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("gable-registry-").tempdir()?;
        let settings = folder.path().join("settings.yml");
        let text = format!(
            "version: 0.1\nstorage: {{filesystem: {{rootdirectory: {}}}}}\n\
             http: {{addr: \"127.0.0.1:0\"}}\n",
            folder.path().join("storage").display()
        );
        std::fs::write(&settings, text)?;
        let mut process = Command::new("docker-registry")
            .arg("serve")
            .arg(&settings)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .context("failed to start docker-registry; `scripts/setup test` installs it")?;
        let said = process.stderr.take().context("its stderr is a pipe")?;
        let mut lines = BufReader::new(said).lines().map_while(Result::ok);
        let address = lines.find_map(|line| {
            let rest = line.split_once("listening on ")?.1;
            Some(rest.split('"').next()?.to_owned())
        });
        // It writes on for as long as it lives.
        std::thread::spawn(move || lines.for_each(drop));
        let registry = Self { process, address: address.unwrap_or_default(), _folder: folder };
        ensure!(!registry.address.is_empty(), "docker-registry ended at once");
        Ok(registry)
    }

    /// Its host and port.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Puts an image of one layer there: a tar archive, and what its configuration says to run.
    ///
    /// # Errors
    /// When the archive cannot be read or the registry refuses.
    pub async fn push(&self, name: &str, tag: &str, layer: &Path, run: &Value) -> Result<()> {
        let layer = std::fs::read(layer).with_context(|| layer.display().to_string())?;
        let config = json!({
            "architecture": if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" },
            "os": "linux",
            "config": run,
            // buildah wants to know of each layer where it comes from.
            "history": [{"created_by": "a test"}],
            "rootfs": {"type": "layers", "diff_ids": [digest(&layer)]},
        });
        let config = self.push_blob(name, CONFIG, config.to_string().into()).await?;
        let layer = self.push_blob(name, LAYER, layer.into()).await?;
        let manifest = json!({
            "schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": [layer],
        });
        let path = format!("/v2/{name}/manifests/{tag}");
        let body = manifest.to_string().into();
        self.send(Method::PUT, &path, (MANIFEST, body), 201).await.map(drop)
    }

    /// Puts a part of an image there and returns how a manifest names it.
    async fn push_blob(&self, name: &str, media_type: &str, bytes: Bytes) -> Result<Value> {
        let (digest, size) = (digest(&bytes), bytes.len());
        let uploads = format!("/v2/{name}/blobs/uploads/");
        let binary = "application/octet-stream";
        let begun = self.send(Method::POST, &uploads, (binary, Bytes::new()), 202).await?;
        let location = begun.header("location").context("an upload has a place")?;
        let place = location.trim_start_matches("http://").trim_start_matches(&self.address);
        let path = format!("{place}&digest={digest}");
        self.send(Method::PUT, &path, (binary, bytes), 201).await?;
        Ok(json!({"mediaType": media_type, "digest": digest, "size": size}))
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        (media_type, body): (&str, Bytes),
        wanted: u16,
    ) -> Result<Answer> {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, &self.address)
            .header(header::CONTENT_TYPE, media_type)
            .body(Full::new(body))?;
        let answer = http::send(self.address.parse()?, request).await?;
        ensure!(answer.status == wanted, "{path}: {answer:?}");
        Ok(answer)
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        // It is our own child.
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

fn digest(bytes: &[u8]) -> String {
    let hex: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}
