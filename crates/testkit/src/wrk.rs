//! Heavy load by the program `wrk`, with its report read.

use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tokio::process::{Child, Command};

use crate::process::{self, Signal};

/// Upper bound of one measurement, and of load that nobody stops.
const SECONDS_MAX: u64 = 300;
/// An answer that takes longer is counted as a failure.
const ANSWER_SECONDS_MAX: u64 = 10;

/// What to measure.
#[derive(Debug, Clone)]
pub struct WrkOptions {
    /// The address that is connected to, such as `http://127.0.0.1:8080/`.
    pub url: String,
    /// The `Host` header; the URL's own if `None`.
    pub host: Option<String>,
    /// Threads of wrk.
    pub threads: u32,
    /// Kept connections.
    pub connections: u32,
    /// How long; at most five minutes. Load that is started ends then, if nobody stops it before.
    pub time: Duration,
}

/// What wrk reported.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Report {
    /// All requests.
    pub requests: u64,
    /// Requests in a second.
    pub requests_per_second: f64,
    /// Latency that half of the requests stayed below.
    pub latency_p50: Duration,
    /// Latency that 99 of 100 requests stayed below.
    pub latency_p99: Duration,
    /// Failed connects, reads, writes, and timeouts.
    pub socket_errors: u64,
    /// Answers that were not 2xx or 3xx.
    pub bad_statuses: u64,
}

impl Report {
    /// Requests that failed in any way.
    #[must_use]
    pub fn failed(&self) -> u64 {
        self.socket_errors + self.bad_statuses
    }
}

/// Runs wrk to its end.
///
/// # Errors
/// When it is not installed or fails.
pub async fn run(options: &WrkOptions) -> Result<Report> {
    report(spawn(options)?).await
}

/// wrk at work, until it is stopped.
#[derive(Debug)]
pub struct Running(Child);

/// Starts wrk.
///
/// # Errors
/// When it is not installed.
pub fn start(options: &WrkOptions) -> Result<Running> {
    spawn(options).map(Running)
}

impl Running {
    /// Ends the load and reads the report of all of it.
    ///
    /// # Errors
    /// When wrk has failed.
    pub async fn stop(self) -> Result<Report> {
        // It reports what it has done when it is interrupted.
        if let Some(id) = self.0.id() {
            process::send(id, Signal::SIGINT);
        }
        report(self.0).await
    }
}

fn spawn(options: &WrkOptions) -> Result<Child> {
    let mut command = Command::new("wrk");
    let seconds = options.time.as_secs().clamp(1, SECONDS_MAX);
    command
        .arg("--latency")
        .arg(format!("--timeout={ANSWER_SECONDS_MAX}s"))
        .arg(format!("-t{}", options.threads))
        .arg(format!("-c{}", options.connections))
        .arg(format!("-d{seconds}s"))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    if let Some(host) = &options.host {
        command.arg("-H").arg(format!("Host: {host}"));
    }
    command
        .arg(&options.url)
        .spawn()
        .context("failed to start wrk; `scripts/setup test` installs it")
}

async fn report(wrk: Child) -> Result<Report> {
    let output = wrk.wait_with_output().await.context("failed to read what wrk says")?;
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "wrk failed: {text}{errors}");
    parse(&text).with_context(|| format!("failed to read wrk's report:\n{text}"))
}

/// Reads a report.
///
/// # Errors
/// When it has no number of requests.
pub fn parse(text: &str) -> Result<Report> {
    let mut report = Report::default();
    let mut has_requests = false;
    for line in text.lines().map(str::trim) {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            ["50%", latency] => report.latency_p50 = duration(latency)?,
            ["99%", latency] => report.latency_p99 = duration(latency)?,
            ["Requests/sec:", rate] => report.requests_per_second = rate.parse()?,
            ["Socket", "errors:", counts @ ..] => {
                let numbers =
                    counts.iter().filter_map(|word| word.trim_matches(',').parse::<u64>().ok());
                report.socket_errors = numbers.sum();
            }
            ["Non-2xx", "or", "3xx", "responses:", count] => report.bad_statuses = count.parse()?,
            [count, "requests", "in", ..] => {
                report.requests = count.parse()?;
                has_requests = true;
            }
            _ => {}
        }
    }
    ensure!(has_requests, "no number of requests");
    Ok(report)
}

fn duration(text: &str) -> Result<Duration> {
    let units = [("us", 1e-6), ("ms", 1e-3), ("s", 1.0), ("m", 60.0)];
    let found = units.iter().find_map(|(unit, factor)| Some((text.strip_suffix(unit)?, *factor)));
    let (number, factor) = found.with_context(|| format!("`{text}` has no unit"))?;
    Ok(Duration::from_secs_f64(number.parse::<f64>()? * factor))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_read_whole() {
        let text = "Running 2s test @ http://127.0.0.1:1/\n  2 threads and 10 connections\n  Thread Stats   Avg      Stdev     Max   +/- Stdev\n    Latency   191.15us  132.87us   4.20ms   93.54%\n  Latency Distribution\n     50%  170.00us\n     75%  201.00us\n     90%  265.00us\n     99%    1.71ms\n  52345 requests in 2.01s, 8.64MB read\n  Socket errors: connect 1, read 2, write 3, timeout 4\n  Non-2xx or 3xx responses: 7\nRequests/sec:  26042.11\nTransfer/sec:      4.30MB\n";
        let report = parse(text).unwrap();
        assert_eq!(report.requests, 52_345);
        assert_eq!(report.socket_errors, 10);
        assert_eq!(report.failed(), 17);
        assert_eq!(report.latency_p50, Duration::from_micros(170));
        assert_eq!(report.latency_p99, Duration::from_micros(1_710));
        assert!(report.requests_per_second > 26_042.0);
        assert!(parse("unable to connect").is_err());
    }
}
