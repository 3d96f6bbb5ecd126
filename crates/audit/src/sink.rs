//! The second place that records go to: lines of JSON.
//!
//! A line is `{"tenant":…,"event":{…}}` with R4's AuditEvent; in CloudWatch's shape it is an event as `PutLogEvents` takes it,
//! `{"timestamp":…,"message":"…"}` with that line as its message. A line may come twice, after a failure; none is left out.

mod file;

use std::io::Write;

use fhirpool_authz::TenantId;
use fhirpool_fhir::json::Writer;

pub use file::RotatingFile;

use crate::event::write_event;
use crate::outage::Pauses;
use crate::record::{Record, split};

/// Where lines go.
#[derive(Debug)]
pub enum Sink {
    /// Nowhere.
    None,
    /// To standard output.
    Stdout,
    /// To standard error: of commands, whose output is something else.
    Stderr,
    /// To a file.
    File(RotatingFile),
    /// To standard output, in CloudWatch's shape.
    CloudWatch,
}

impl Sink {
    pub(crate) fn is_none(&self) -> bool {
        matches!(self, Self::None)
    }

    /// The lines of a tenant's records.
    pub(crate) fn lines(&self, tenant: &TenantId, records: &[u8]) -> Vec<u8> {
        let mut lines = Vec::new();
        let told = |error| tracing::error!(%tenant, %error, "a record is not told to the audit sink");
        let records = split(records).map_err(told).unwrap_or_default();
        for record in records.into_iter().filter_map(|record| Record::read(record).map_err(told).ok()) {
            let mut writer = Writer::new();
            writer.begin_object().string_member("tenant", tenant.as_str()).key("event");
            write_event(&record, None, &mut writer);
            writer.end_object();
            let mut line = writer.finish();
            if matches!(self, Self::CloudWatch) {
                let mut writer = Writer::new();
                writer.begin_object().raw_member("timestamp", &record.time.0.to_string()).string_member("message", &line).end_object();
                line = writer.finish();
            }
            lines.extend_from_slice(line.as_bytes());
            lines.push(b'\n');
        }
        lines
    }

    /// Writes; blocks, and tries again until it succeeds.
    pub(crate) fn write_until_taken(mut self, lines: &[u8], mut pauses: Pauses) -> Self {
        let mut attempts = 0_u64;
        while let Err(error) = self.write(lines) {
            if attempts == 0 {
                tracing::error!(%error, "the audit sink does not take records; they wait, and it is tried again and again");
            }
            attempts += 1;
            std::thread::sleep(pauses.next());
        }
        if attempts > 0 {
            tracing::warn!(attempts, "the audit sink takes records again; nothing was lost");
        }
        self
    }

    fn write(&mut self, lines: &[u8]) -> std::io::Result<()> {
        match self {
            Self::None => Ok(()),
            Self::File(file) => file.write(lines),
            Self::Stderr => std::io::stderr().lock().write_all(lines),
            Self::Stdout | Self::CloudWatch => {
                let mut out = std::io::stdout().lock();
                out.write_all(lines)?;
                out.flush()
            }
        }
    }
}
