//! Metrics in Prometheus's format.
//!
//! They name tenants, so they are served at an address of their own, which is off unless it is set: whoever reaches it sees all.

use std::sync::OnceLock;
use std::time::Duration;

use axum::Router;
use axum::http::header::CONTENT_TYPE;
use axum::routing::get;
use metrics::{describe_counter, describe_histogram, gauge};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

use crate::config::{Config, Profile};

/// Seconds: from a read of the embedded store to the longest transaction.
const SECONDS: [f64; 18] =
    [0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 120.0];
/// Everything else that is spread: units, entries, bytes.
const NUMBERS: [f64; 14] = [1.0, 2.0, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1e3, 1e4, 1e5, 1e6, 1e7];

/// How often samples are moved out of their buffers, which grow until then.
const UPKEEP: Duration = Duration::from_secs(5);

/// The recorder of the process, installed on the first call.
pub(crate) fn recorder(config: &Config) -> PrometheusHandle {
    static RECORDER: OnceLock<PrometheusHandle> = OnceLock::new();
    let handle = RECORDER.get_or_init(install).clone();
    let profile = match config.profile {
        Profile::Embedded => "embedded",
        Profile::Aws => "aws",
    };
    gauge!("fhirpool_build_info", "version" => env!("CARGO_PKG_VERSION"), "profile" => profile).set(1.0);
    handle
}

fn install() -> PrometheusHandle {
    let recorder = PrometheusBuilder::new()
        .set_buckets(&NUMBERS)
        .and_then(|builder| builder.set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &SECONDS))
        .expect("there are buckets")
        .build_recorder();
    let handle = recorder.handle();
    if metrics::set_global_recorder(recorder).is_err() {
        tracing::warn!("a recorder of metrics was installed before: /metrics stays empty");
    }
    describe();
    let kept = handle.clone();
    std::thread::spawn(move || {
        loop {
            std::thread::sleep(UPKEEP);
            kept.run_upkeep();
        }
    });
    handle
}

/// `GET /metrics`, and nothing else.
pub(crate) fn router(recorder: PrometheusHandle) -> Router {
    let render = move || async move { ([(CONTENT_TYPE, "text/plain; version=0.0.4")], recorder.render()) };
    Router::new().route("/metrics", get(render))
}

fn describe() {
    describe_counter!("fhirpool_http_requests_total", "requests answered, by action and status");
    describe_histogram!("fhirpool_http_request_seconds", "time from a request's head to its answer, by action");
    describe_counter!(
        "fhirpool_tenant_requests_total",
        "requests answered, by tenant and class of status; tenants past the limit as `other`"
    );
    describe_counter!("fhirpool_tenant_request_microseconds_total", "time spent on requests, by tenant");
    describe_histogram!("fhirpool_part_seconds", "time of calls to store and index, by operation");
    describe_counter!("fhirpool_part_failures_total", "calls to store and index that failed, by operation and kind");
    describe_counter!("fhirpool_commits_total", "commits, by what became of them: precondition-failed and stale are conflicts");
    describe_counter!("fhirpool_changes_total", "versions committed");
    describe_counter!("fhirpool_searches_not_caught_up_total", "searches answered before the index held all that they must know of");
}
