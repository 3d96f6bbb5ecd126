//! `cargo xtask bench --profile aws`: the profile aws on the local stack.
//!
//! DynamoDB Local and a single OpenSearch share the machine with the server and the load generator: rates say little of AWS. What
//! is asked of the services for one operation, and how far the index lags, is the same there.

use std::net::TcpListener;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use super::generator::measure;
use super::report::Report;
use super::scrape::Scrape;
use super::server::Server;
use super::workload::{Case, Workload};
use crate::Failure;
use crate::cache::run;

const CONNECTIONS: usize = 8;
const SECONDS: u64 = 6;
/// How long the index may take to hold all of the load.
const CATCH_UP: Duration = Duration::from_secs(600);

/// The settings of a deployment of its own on the stack, and of nothing else there.
pub(super) fn settings(stack: &[(String, String)], metrics: &str) -> Vec<(String, String)> {
    let name = format!("bench-{}", std::process::id());
    let own = [
        ("FHIRPOOL_PROFILE", "aws"),
        ("FHIRPOOL_DYNAMODB_TABLE", &name),
        ("FHIRPOOL_OPENSEARCH_INDEX", &name),
        ("FHIRPOOL_OPENSEARCH_SHARDS", "1"),
        ("FHIRPOOL_OPENSEARCH_REPLICAS", "0"),
        ("FHIRPOOL_S3_BUCKET", &name),
        ("FHIRPOOL_SQS_QUEUE", &name),
        ("FHIRPOOL_METRICS_LISTEN", metrics),
    ];
    let own = own.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned()));
    stack.iter().cloned().chain(own).collect()
}

/// Measures everything; `stack` are the settings that `cargo xtask stack up` prints.
pub(super) fn measure_all(program: &Path, data: &Path, scratch: &Path, stack: &[(String, String)]) -> Result<Report, Failure> {
    let metrics = free_address()?;
    let settings = settings(stack, &metrics);
    let metrics = format!("http://{metrics}");
    run(Command::new(program).arg("migrate").envs(settings.iter().cloned()))?;
    let mut report = Report::default();
    let started = Instant::now();
    let server = Server::start_with(program, &scratch.join("data"), &settings)?;
    report.line("start on empty tables", started.elapsed().as_secs_f64() * 1000.0, "ms", "");
    load(&server, data, scratch, &metrics, &mut report)?;
    let workload = Workload::collect(&server)?;
    for case in workload.cases() {
        measure_case(&server, scratch, &metrics, &case, &mut report)?;
    }
    let seconds = server.post_big_transaction(data)?;
    report.line("transaction of 25,000 entries", seconds, "s", "");
    report.line("memory of the server, peak", server.memory_peak_bytes()? / 1e6, "MB", "");
    Ok(report)
}

fn load(server: &Server, data: &Path, scratch: &Path, metrics: &str, report: &mut Report) -> Result<(), Failure> {
    let before = Scrape::take(metrics)?;
    let loaded = server.load(&data.join("synthea"), scratch)?;
    let ended = Instant::now();
    report.line("load of Synthea, 4 workers", loaded.rate, "resources/s", "");
    report.line("failures of the load", loaded.failures as f64, "", "0");
    let after = loop {
        let scrape = Scrape::take(metrics)?;
        if scrape.since(&before).sum("fhirpool_indexed_total", &[]) >= loaded.resources as f64 {
            break scrape;
        }
        if ended.elapsed() > CATCH_UP {
            return Err("the index did not catch up with the load".into());
        }
        std::thread::sleep(Duration::from_millis(100));
    };
    report.line("the index holds all, after the load", ended.elapsed().as_secs_f64(), "s", "");
    let grown = after.since(&before);
    let entries = loaded.resources as f64;
    lag(&grown, "index lag under the load", report);
    for (operation, _) in grown.by_label(UNITS, "operation") {
        let (writes, reads) = units(&grown, &[&format!("operation=\"{operation}\"")]);
        if writes + reads > 0.0 {
            report.line(&format!("write units an entry of Synthea: {operation}"), writes / entries, "", "");
            report.line(&format!("read units an entry of Synthea: {operation}"), reads / entries, "", "");
        }
    }
    let (writes, reads) = units(&grown, &[]);
    report.line("write units an entry of Synthea, in all", writes / entries, "", "<= 1.4");
    report.line("read units an entry of Synthea, in all", reads / entries, "", "");
    report.line("write units of all of Synthea", writes, "", "");
    report.line("requests to OpenSearch a thousand entries", grown.sum("fhirpool_opensearch_requests_total", &[]) / entries * 1e3, "", "");
    Ok(())
}

fn measure_case(server: &Server, scratch: &Path, metrics: &str, case: &Case, report: &mut Report) -> Result<(), Failure> {
    let before = Scrape::take(metrics)?;
    let measured = measure(&server.address, &server.token, scratch, &case.requests, CONNECTIONS, SECONDS)?;
    let grown = Scrape::take(metrics)?.since(&before);
    report.measured(case.name, &measured, "");
    let requests = grown.sum("fhirpool_tenant_requests_total", &[]).max(1.0);
    let (writes, reads) = units(&grown, &[]);
    report.line(&format!("{}: write units, read units", case.name), writes / requests, &format!("and {:.2}", reads / requests), "");
    if matches!(case.name, "create" | "update") {
        lag(&grown, &format!("index lag under {}", case.name), report);
    }
    Ok(())
}

const UNITS: &str = "fhirpool_dynamodb_units_total";

/// Write and read units, an eventual read as half a unit.
fn units(grown: &Scrape, labels: &[&str]) -> (f64, f64) {
    let of = |kind| {
        let labels: Vec<&str> = labels.iter().copied().chain([kind]).collect();
        grown.sum(UNITS, &labels)
    };
    (of("kind=\"write\""), of("kind=\"read_strong\"") + of("kind=\"read_eventual\"") / 2.0)
}

fn lag(grown: &Scrape, name: &str, report: &mut Report) {
    for (text, quantile) in [("p50", 0.5), ("p99", 0.99)] {
        let value = grown.quantile_ms("fhirpool_index_delay_seconds", quantile);
        report.line(&format!("{name}, {text}"), value.unwrap_or(f64::NAN), "ms", "");
    }
}

/// A loopback address that nobody listens at now.
fn free_address() -> Result<String, Failure> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string())
}
