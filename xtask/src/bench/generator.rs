//! The load generator: wrk, driven by a list of requests.

use std::path::Path;
use std::process::Command;

use crate::Failure;

/// What one run showed.
#[derive(Debug, Clone)]
pub(super) struct Measured {
    /// Answers a second.
    pub rate: f64,
    /// Median latency.
    pub p50_ms: f64,
    /// 99th percentile.
    pub p99_ms: f64,
    /// The longest.
    pub longest_ms: f64,
    /// Answers that were no success, and failed connections.
    pub errors: u64,
}

/// Sends the requests (method, path and perhaps a body, separated by tabs) over and over.
pub(super) fn measure(
    address: &str,
    token: &str,
    scratch: &Path,
    requests: &[String],
    connections: usize,
    seconds: u64,
) -> Result<Measured, Failure> {
    let list = scratch.join(format!("requests-{connections}.txt"));
    std::fs::write(&list, requests.join("\n") + "\n")?;
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/bench/requests.lua");
    let output = Command::new("wrk")
        .args(["--threads", "1", "--connections", &connections.to_string(), "--duration", &format!("{seconds}s"), "--timeout", "60s"])
        .args(["--script", script, address, "--"])
        .arg(&list)
        .arg(token)
        .output()
        .map_err(|cause| format!("wrk: {cause}; install the Debian package wrk"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let line = text.lines().find_map(|line| line.strip_prefix("RESULT ")).ok_or_else(|| format!("wrk said: {text}"))?;
    let figures: Vec<f64> = line.split(' ').map(str::parse).collect::<Result<_, _>>()?;
    let [requests, microseconds, errors, p50, p99, longest] = figures[..] else { return Err(format!("wrk said: {line}").into()) };
    Ok(Measured {
        rate: requests / (microseconds / 1e6),
        p50_ms: p50 / 1e3,
        p99_ms: p99 / 1e3,
        longest_ms: longest / 1e3,
        errors: errors as u64,
    })
}
