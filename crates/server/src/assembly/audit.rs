//! The log of accesses, as the settings want it.

use std::sync::Arc;
use std::time::Duration;

use fhirpool_audit::sink::{RotatingFile, Sink};
use fhirpool_audit::{AuditTrail, Ports, Settings};
use fhirpool_storage::{AuditLog, KeyRing};

use super::StartError;
use crate::config::{AuditSink, Config};

/// Starts it for a command: what would go to standard output, where the command writes something else, goes to standard error.
pub(super) fn start_for_command(config: &Config, log: Arc<dyn AuditLog>, keys: Arc<dyn KeyRing>) -> Result<Option<AuditTrail>, StartError> {
    let audit_sink = match config.audit_sink {
        AuditSink::Stdout | AuditSink::Cloudwatch => Some(Sink::Stderr),
        AuditSink::None | AuditSink::File => None,
    };
    start_with(config, log, keys, audit_sink)
}

/// Starts it; `None` where it is switched off.
pub(super) fn start(config: &Config, log: Arc<dyn AuditLog>, keys: Arc<dyn KeyRing>) -> Result<Option<AuditTrail>, StartError> {
    start_with(config, log, keys, None)
}

fn start_with(
    config: &Config,
    log: Arc<dyn AuditLog>,
    keys: Arc<dyn KeyRing>,
    instead: Option<Sink>,
) -> Result<Option<AuditTrail>, StartError> {
    if !config.audit {
        return Ok(None);
    }
    let of_settings = || match config.audit_sink {
        AuditSink::None => Ok(Sink::None),
        AuditSink::Stdout => Ok(Sink::Stdout),
        AuditSink::Cloudwatch => Ok(Sink::CloudWatch),
        AuditSink::File => {
            let (path, files_max) = (config.audit_sink_file.clone(), config.audit_sink_files_max);
            let file = RotatingFile::open(path, config.audit_sink_file_bytes_max, files_max);
            file.map(Sink::File).map_err(StartError::AuditSink)
        }
    };
    let sink = instead.map_or_else(of_settings, Ok)?;
    let settings = Settings {
        buffer_bytes: config.audit_buffer_bytes as usize,
        flush_time_max: Duration::from_millis(config.audit_flush_ms_max),
        changes_wait: config.audit_changes_wait,
        ..Settings::default()
    };
    Ok(Some(AuditTrail::start(Ports { log, keys, sink }, &settings)))
}
