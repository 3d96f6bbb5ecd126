//! Spans to an OpenTelemetry collector: OTLP over HTTP in protobuf, by the project's own HTTP client.

use std::time::Duration;

use async_trait::async_trait;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use opentelemetry::trace::TracerProvider;
use opentelemetry_http::{HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{Sampler, SdkTracerProvider};
use tokio::runtime::Handle;
use tracing::{Level, Metadata, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::registry::LookupSpan;

use crate::config::{Config, ConfigError};

const EXPORT_TIME_MAX: Duration = Duration::from_secs(10);
const ANSWER_BYTES_MAX: usize = 1 << 20;

/// Collects spans and sends them from a thread of its own.
pub(super) fn provider(config: &Config) -> Result<SdkTracerProvider, ConfigError> {
    let refused = |cause: String| ConfigError::Refused {
        setting: "otlp_endpoint",
        found: format!("{} ({cause})", config.otlp_endpoint),
        allowed: "the URL of a collector that takes OTLP over HTTP".to_owned(),
    };
    let connector = hyper_rustls::HttpsConnectorBuilder::new()
        .with_provider_and_native_roots(rustls::crypto::ring::default_provider())
        .map_err(|cause| refused(format!("no root certificates: {cause}")))?
        .https_or_http()
        .enable_http1()
        .build();
    let client = Exporter { http: Client::builder(TokioExecutor::new()).build(connector), runtime: Handle::current() };
    let exporter = SpanExporter::builder()
        .with_http()
        .with_http_client(client)
        .with_endpoint(format!("{}/v1/traces", config.otlp_endpoint))
        .with_timeout(EXPORT_TIME_MAX)
        .build()
        .map_err(|cause| refused(cause.to_string()))?;
    let resource = Resource::builder().with_service_name("fhirpool").with_attribute(version()).build();
    let sampler = Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(config.otlp_sample_percent as f64 / 100.0)));
    Ok(SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource).with_sampler(sampler).build())
}

fn version() -> opentelemetry::KeyValue {
    opentelemetry::KeyValue::new("service.version", env!("CARGO_PKG_VERSION"))
}

/// Gives this project's spans to the provider, with the warnings and errors that fell in them.
pub(super) fn layer<S: Subscriber + for<'a> LookupSpan<'a>>(provider: &SdkTracerProvider) -> impl Layer<S> + use<S> {
    let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer("fhirpool")).with_location(false).with_threads(false);
    layer.with_filter(filter_fn(|metadata: &Metadata<'_>| {
        let level_max = if metadata.is_span() { Level::DEBUG } else { Level::WARN };
        metadata.target().starts_with("fhirpool") && *metadata.level() <= level_max
    }))
}

/// The exporter's thread has no runtime: requests are sent on the server's.
#[derive(Debug)]
struct Exporter {
    http: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    runtime: Handle,
}

#[async_trait]
impl HttpClient for Exporter {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let http = self.http.clone();
        let exchange = async move {
            let (head, body) = http.request(request.map(Full::new)).await?.into_parts();
            let body = Limited::new(body, ANSWER_BYTES_MAX).collect().await?.to_bytes();
            Ok(Response::from_parts(head, body))
        };
        self.runtime.spawn(async { tokio::time::timeout(EXPORT_TIME_MAX, exchange).await? }).await?
    }
}
