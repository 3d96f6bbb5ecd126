//! The log of accesses, as the settings want it.

use std::sync::Arc;
use std::time::Duration;

use fhirpool_audit::sink::{RotatingFile, Sink};
use fhirpool_audit::{AuditTrail, Ports, Settings};
use fhirpool_storage::{AuditLog, KeyRing};

use super::StartError;
use crate::config::{AuditSink, Config};

/// Starts it; `None` where it is switched off.
pub(super) fn start(config: &Config, log: Arc<dyn AuditLog>, keys: Arc<dyn KeyRing>) -> Result<Option<AuditTrail>, StartError> {
    if !config.audit {
        return Ok(None);
    }
    let sink = match config.audit_sink {
        AuditSink::None => Sink::None,
        AuditSink::Stdout => Sink::Stdout,
        AuditSink::Cloudwatch => Sink::CloudWatch,
        AuditSink::File => {
            let (path, files_max) = (config.audit_sink_file.clone(), config.audit_sink_files_max);
            Sink::File(RotatingFile::open(path, config.audit_sink_file_bytes_max, files_max).map_err(StartError::AuditSink)?)
        }
    };
    let settings = Settings {
        buffer_bytes: config.audit_buffer_bytes as usize,
        flush_time_max: Duration::from_millis(config.audit_flush_ms_max),
        changes_wait: config.audit_changes_wait,
        ..Settings::default()
    };
    Ok(Some(AuditTrail::start(Ports { log, keys, sink }, &settings)))
}
