//! Metrics in Prometheus's format.
//!
//! They name tenants, so they are served at an address of their own, which is off unless it is set: whoever reaches it sees all.

use std::sync::OnceLock;
use std::time::Duration;

use axum::Router;
use axum::http::header::CONTENT_TYPE;
use axum::routing::get;
use metrics::{describe_counter, describe_gauge, describe_histogram, gauge};
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

/// What adapters count is described here too: this is where a person looks for what there is.
fn describe() {
    for (name, text) in COUNTERS {
        describe_counter!(*name, *text);
    }
    for (name, text) in GAUGES {
        describe_gauge!(*name, *text);
    }
    for (name, text) in HISTOGRAMS {
        describe_histogram!(*name, *text);
    }
}

const COUNTERS: &[(&str, &str)] = &[
    ("fhirpool_http_requests_total", "requests answered, by action and status"),
    ("fhirpool_tenant_requests_total", "requests answered, by tenant and class of status; tenants past the limit as `other`"),
    ("fhirpool_tenant_request_microseconds_total", "time spent on requests, by tenant"),
    ("fhirpool_audit_records_total", "records of accesses sealed"),
    ("fhirpool_audit_waits_total", "requests that waited for room in the buffer of such records"),
    ("fhirpool_audit_append_failures_total", "attempts to write such records that failed; they are tried again"),
    ("fhirpool_audit_unknown_tenants_total", "times that such records were of a tenant that is not there, and are in no log"),
    ("fhirpool_part_failures_total", "calls to store and index that failed, by operation and kind"),
    ("fhirpool_commits_total", "commits, by what became of them: precondition-failed and stale are conflicts"),
    ("fhirpool_changes_total", "versions committed"),
    ("fhirpool_searches_not_caught_up_total", "searches answered before the index held all that they must know of"),
    ("fhirpool_search_waits_total", "searches, by whether they had to wait for the index"),
    ("fhirpool_search_rechecks_total", "hits held against the query again, since the index did not know their version"),
    ("fhirpool_write_marks_total", "notes that a client has written"),
    ("fhirpool_dynamodb_units_total", "capacity units consumed, by operation and kind; an eventual read is billed as half a read unit"),
    ("fhirpool_dynamodb_conflicts_total", "writes that met another's"),
    ("fhirpool_dynamodb_busy_total", "commits given up, since another held what they needed"),
    ("fhirpool_dynamodb_retries_total", "requests to DynamoDB that were sent again"),
    ("fhirpool_opensearch_requests_total", "requests to OpenSearch, by operation and outcome"),
    ("fhirpool_opensearch_documents_total", "documents written, by outcome"),
    ("fhirpool_kms_failures_total", "calls to KMS that failed, by operation and kind"),
    ("fhirpool_s3_failures_total", "calls to S3 that failed, by operation"),
    ("fhirpool_sqs_failures_total", "calls to SQS that failed, by operation"),
    ("fhirpool_indexed_total", "versions taken to the index"),
    ("fhirpool_index_failures_total", "batches of changes that could not be applied and were tried again"),
    ("fhirpool_dead_letters_total", "changes put aside since they cannot be indexed, by cause"),
    ("fhirpool_dropped_changes_total", "changes of closed tenants that were dropped"),
    ("fhirpool_feed_trimmed_total", "times that the stream had forgotten changes not yet applied: reindex"),
    ("fhirpool_swept_transactions_total", "abandoned transactions that were ended"),
    ("fhirpool_leases_taken_total", "shards of the stream taken to follow"),
];

const GAUGES: &[(&str, &str)] = &[
    ("fhirpool_build_info", "1, with the version and the profile"),
    ("fhirpool_index_lag_seconds", "how far the index is behind, as the indexers say"),
    ("fhirpool_stream_age_seconds", "the age of the change applied last"),
    ("fhirpool_shards_open", "shards of the stream"),
    ("fhirpool_shards_followed", "shards that this process follows"),
    ("fhirpool_pending_sweeps", "transactions looked after until their deadline"),
];

const HISTOGRAMS: &[(&str, &str)] = &[
    ("fhirpool_http_request_seconds", "time from a request's head to its answer, by action"),
    ("fhirpool_part_seconds", "time of calls to store and index, by operation"),
    ("fhirpool_audit_wait_seconds", "how long requests waited for room in the buffer of records of accesses"),
    ("fhirpool_search_wait_seconds", "how long searches waited for the index"),
    ("fhirpool_search_candidates", "candidates asked for by one search"),
    ("fhirpool_opensearch_request_seconds", "time of requests to OpenSearch, by operation"),
    ("fhirpool_index_delay_seconds", "from the write of a change until it can be found"),
    ("fhirpool_index_refresh_seconds", "time of refreshes of the index"),
    ("fhirpool_index_batch_size", "versions taken to the index at once"),
];
