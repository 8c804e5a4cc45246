//! A headless Chromium, steered through chromedriver.
//!
//! `*.localhost` is loopback for Chromium, so pages of the edge open as they do for a person.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result};
use tempfile::TempDir;
use thirtyfour::prelude::*;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use crate::process;

/// chromedriver prints its port within this time.
const START_TIME_MAX: Duration = Duration::from_secs(30);
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// A browser of its own: no profile, no cache, nothing of the user's.
#[derive(Debug)]
pub struct Browser {
    driver: WebDriver,
    chromedriver: Child,
    profile: TempDir,
}

impl Browser {
    /// Starts chromedriver on a free port, and a browser with an empty profile.
    ///
    /// # Errors
    /// When one of them is not installed or does not start.
    pub async fn start() -> Result<Self> {
        let profile = tempfile::Builder::new().prefix("gable-browser-").tempdir()?;
        let mut chromedriver = Command::new("chromedriver")
            .arg("--port=0")
            // Both put files below it; it goes with the profile.
            .env("TMPDIR", profile.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .context("failed to start chromedriver; `scripts/setup test` installs it")?;
        let port = tokio::time::timeout(START_TIME_MAX, port(&mut chromedriver))
            .await
            .context("chromedriver does not say its port")??;
        let mut capabilities = DesiredCapabilities::chrome();
        for argument in arguments(profile.path()) {
            capabilities.add_arg(&argument)?;
        }
        let driver = WebDriver::new(format!("http://127.0.0.1:{port}"), capabilities)
            .await
            .context("failed to start Chromium")?;
        Ok(Self { driver, chromedriver, profile })
    }

    /// The whole of WebDriver.
    #[must_use]
    pub fn driver(&self) -> &WebDriver {
        &self.driver
    }

    /// Opens a page.
    ///
    /// # Errors
    /// When it cannot be loaded.
    pub async fn open(&self, url: &str) -> Result<()> {
        self.driver.goto(url).await.with_context(|| format!("failed to open {url}"))
    }

    /// The element with this id.
    ///
    /// # Errors
    /// When there is none.
    pub async fn element(&self, id: &str) -> Result<WebElement> {
        self.driver.find(By::Id(id)).await.with_context(|| format!("there is no #{id}"))
    }

    /// The visible text of the element with this id.
    ///
    /// # Errors
    /// When there is none.
    pub async fn text(&self, id: &str) -> Result<String> {
        Ok(self.element(id).await?.text().await?)
    }

    /// Types into the element with this id, in place of what stands there.
    ///
    /// # Errors
    /// When it takes no text.
    pub async fn fill(&self, id: &str, text: &str) -> Result<()> {
        let element = self.element(id).await?;
        element.clear().await?;
        Ok(element.send_keys(text).await?)
    }

    /// Clicks the element with this id.
    ///
    /// # Errors
    /// When it cannot be clicked.
    pub async fn click(&self, id: &str) -> Result<()> {
        Ok(self.element(id).await?.click().await?)
    }

    /// Waits until an expression of JavaScript is true.
    ///
    /// # Errors
    /// With the page's text, when the time is up.
    pub async fn wait_until(&self, expression: &str, time: Duration) -> Result<()> {
        let script = format!("return Boolean({expression})");
        let wait = async {
            loop {
                let is_true = self.driver.execute(script.clone(), Vec::new()).await;
                if is_true.is_ok_and(|value| *value.json() == true) {
                    return;
                }
                tokio::time::sleep(LOOK_EVERY).await;
            }
        };
        match tokio::time::timeout(time, wait).await {
            Ok(()) => Ok(()),
            Err(_) => {
                let page = self.driver.find(By::Tag("body")).await?.text().await?;
                anyhow::bail!("`{expression}` did not come true; the page says:\n{page}")
            }
        }
    }

    /// Saves a picture of the page, as PNG.
    ///
    /// # Errors
    /// When it cannot be written.
    pub async fn screenshot(&self, path: &Path) -> Result<()> {
        Ok(self.driver.screenshot(path).await?)
    }

    /// Ends the browser.
    ///
    /// # Errors
    /// When it does not answer any more; its processes are ended all the same.
    pub async fn close(self) -> Result<()> {
        Ok(self.driver.clone().quit().await?)
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // Everything that Chromium starts names the profile.
        process::end(&process::carrying(&self.profile.path().display().to_string()));
        drop(self.chromedriver.start_kill());
    }
}

fn arguments(profile: &Path) -> Vec<String> {
    let mut arguments: Vec<String> = [
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-quic",
        "--disable-dev-shm-usage",
        "--no-first-run",
        "--no-default-browser-check",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-default-apps",
        "--disable-domain-reliability",
        "--disable-sync",
        "--metrics-recording-only",
        "--window-size=1100,900",
    ]
    .map(ToOwned::to_owned)
    .to_vec();
    arguments.push(format!("--user-data-dir={}", profile.join("profile").display()));
    arguments
}

/// `ChromeDriver was started successfully on port 12345.`
async fn port(chromedriver: &mut Child) -> Result<u16> {
    let stdout = chromedriver.stdout.take().context("chromedriver's output is piped")?;
    let mut lines = BufReader::new(stdout).lines();
    while let Some(line) = lines.next_line().await? {
        if let Some((_, port)) = line.trim_end_matches('.').rsplit_once("successfully on port ") {
            // The rest is read, so that it never waits for a reader.
            tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
            return port.parse().with_context(|| line.clone());
        }
    }
    anyhow::bail!("chromedriver ended without a port")
}
