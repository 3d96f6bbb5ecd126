//! Log lines: what is logged, and how it looks. Patient data never reaches an event, so nothing is filtered here.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

use crate::config::{Config, ConfigError, LogFormat};

/// Installs the subscriber of the process. Lines go to standard error: standard output is for what a command answers.
pub(crate) fn install(config: &Config) -> Result<(), ConfigError> {
    let filter = EnvFilter::try_new(&config.log_filter).map_err(|cause| ConfigError::Refused {
        setting: "log_filter",
        found: format!("{} ({cause})", config.log_filter),
        allowed: "directives such as `info` or `fhirpool_api=debug,info`".to_owned(),
    })?;
    let colours = std::io::stderr().is_terminal();
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(colours);
    let installed = match config.log_format {
        LogFormat::Pretty => builder.try_init(),
        LogFormat::Json => builder.json().flatten_event(true).with_current_span(true).try_init(),
    };
    if installed.is_err() {
        tracing::debug!("a subscriber was installed before");
    }
    Ok(())
}
