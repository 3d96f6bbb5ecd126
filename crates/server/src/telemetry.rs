//! What the process tells of itself: log lines, traces, metrics. Patient data never reaches an event, so nothing is filtered here.

pub(crate) mod metrics;
mod traces;

use std::io::IsTerminal;

use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, Registry};

use crate::config::{Config, ConfigError, LogFormat, Profile};

/// What must be finished when the process ends.
#[must_use]
pub(crate) struct Telemetry {
    traces: Option<SdkTracerProvider>,
}

/// Installs the subscriber of the process; called within the runtime. Lines go to standard error: standard output is for what a
/// command answers.
pub(crate) fn install(config: &Config) -> Result<Telemetry, ConfigError> {
    let mut filter = EnvFilter::try_new(&config.log_filter).map_err(|cause| ConfigError::Refused {
        setting: "log_filter",
        found: format!("{} ({cause})", config.log_filter),
        allowed: "directives such as `info` or `fhirpool_api=debug,info`".to_owned(),
    })?;
    if config.profile == Profile::Aws {
        // A request's span lets every line of its parts name it. It costs a microsecond: much beside an embedded read, which goes
        // without unless the filter asks for it, and nothing beside a call to a service.
        filter = filter.add_directive("fhirpool::span=debug".parse().expect("a directive"));
    }
    let lines = lines(config.log_format).with_filter(filter);
    let traces = if config.otlp_endpoint.is_empty() { None } else { Some(traces::provider(config)?) };
    let installed = match &traces {
        None => tracing_subscriber::registry().with(lines).try_init(),
        Some(provider) => tracing_subscriber::registry().with(lines).with(traces::layer(provider)).try_init(),
    };
    if installed.is_err() {
        tracing::debug!("a subscriber was installed before");
    }
    Ok(Telemetry { traces })
}

fn lines(format: LogFormat) -> Box<dyn Layer<Registry> + Send + Sync> {
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_ansi(std::io::stderr().is_terminal());
    match format {
        LogFormat::Pretty => lines.boxed(),
        LogFormat::Json => lines.json().flatten_event(true).with_current_span(false).with_span_list(true).boxed(),
    }
}

impl Telemetry {
    /// Sends what has not been sent yet.
    pub(crate) async fn finish(self) {
        let Some(traces) = self.traces else { return };
        let ended = tokio::task::spawn_blocking(move || traces.shutdown()).await;
        if !matches!(ended, Ok(Ok(()))) {
            tracing::warn!("the last traces could not be sent");
        }
    }
}
