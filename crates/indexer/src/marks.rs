//! Which clients have written lately, on whichever node.
//!
//! A client is a tenant's subject, as its issuer names it, with its application. Before a write is acknowledged, a mark stands in the control table that
//! reaches beyond the time of that write. Marks reach ahead, so that a busy client's is written once in a while and not once a
//! write. A search must wait for what was written until the mark's time, but for nothing later than its own arrival.
//!
//! Deliberately absent: remembering that a client has no mark. It may write by another node in the next moment, and that must
//! be found: only a read of the mark that was begun after a search arrived says that there is nothing to wait for. Searches that
//! arrive while one is read share the next one.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use fhirpool_authz::{ReadAccess, TenantId, WriteAccess};
use fhirpool_storage::{Result, WriteMarks};
use quick_cache::sync::Cache;
use tokio::sync::Mutex;

use crate::Clock;

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct ClientKey {
    tenant: TenantId,
    issuer: Box<str>,
    subject: Box<str>,
    application: Option<Box<str>>,
}

impl ClientKey {
    fn of(access: &ReadAccess) -> Self {
        Self {
            tenant: access.tenant().clone(),
            issuer: access.issuer().into(),
            subject: access.subject().into(),
            application: access.client().map(Into::into),
        }
    }
}

/// What is known of a client's mark.
struct Mark {
    /// It reaches at least so far.
    until: AtomicI64,
    renewing: Mutex<()>,
    last_read: Mutex<LastRead>,
}

#[derive(Clone, Copy)]
struct LastRead {
    begun: i64,
    until: Option<i64>,
}

/// The marks of clients.
pub(crate) struct ClientMarks {
    marks: Arc<dyn WriteMarks>,
    clock: Arc<dyn Clock>,
    /// Microseconds that a mark reaches ahead.
    lead: i64,
    known: Cache<ClientKey, Arc<Mark>>,
}

/// What a client's mark is good for when a write begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cover {
    /// For a while yet.
    Long,
    /// It should be renewed.
    Short,
    /// For nothing.
    None,
}

impl ClientMarks {
    pub(crate) fn new(marks: Arc<dyn WriteMarks>, clock: Arc<dyn Clock>, mark_ms: u64, clients_max: usize) -> Self {
        let lead = i64::try_from(mark_ms.max(2)).unwrap_or(i64::MAX).saturating_mul(1_000);
        Self { marks, clock, lead, known: Cache::new(clients_max) }
    }

    fn mark(&self, access: &ReadAccess) -> Arc<Mark> {
        let made = self.known.get_or_insert_with(&ClientKey::of(access), || {
            let last_read = LastRead { begun: i64::MIN, until: None };
            Ok::<_, std::convert::Infallible>(Arc::new(Mark {
                until: AtomicI64::new(i64::MIN),
                renewing: Mutex::new(()),
                last_read: Mutex::new(last_read),
            }))
        });
        match made {
            Ok(mark) => mark,
            Err(never) => match never {},
        }
    }

    /// How far a client's mark reaches.
    pub(crate) fn cover(&self, access: &WriteAccess) -> Cover {
        let ahead = self.mark(access.as_read()).until.load(Ordering::Relaxed).saturating_sub(self.clock.now());
        match ahead {
            ahead if ahead >= self.lead / 2 => Cover::Long,
            ahead if ahead > 0 => Cover::Short,
            _ => Cover::None,
        }
    }

    /// Makes sure that a client's mark reaches well beyond now.
    pub(crate) async fn renew(&self, access: &WriteAccess) -> Result<()> {
        let mark = self.mark(access.as_read());
        let _renewing = mark.renewing.lock().await;
        let now = self.clock.now();
        if mark.until.load(Ordering::Relaxed).saturating_sub(now) >= self.lead / 2 {
            return Ok(());
        }
        let until = now.saturating_add(self.lead);
        self.marks.mark(access, until).await?;
        mark.until.fetch_max(until, Ordering::Relaxed);
        metrics::counter!("fhirpool_write_marks_total").increment(1);
        Ok(())
    }

    /// Until when a search that arrived then must know of its client's writes; `None`: the client has not written lately.
    pub(crate) async fn wanted(&self, access: &ReadAccess, arrival: i64) -> Result<Option<i64>> {
        let mark = self.mark(access);
        if mark.until.load(Ordering::Relaxed) >= arrival {
            return Ok(Some(arrival));
        }
        let mut last = mark.last_read.lock().await;
        if last.begun < arrival {
            let begun = self.clock.now();
            let until = self.marks.marked_until(access).await?;
            *last = LastRead { begun, until };
            mark.until.fetch_max(until.unwrap_or(i64::MIN), Ordering::Relaxed);
        }
        Ok(last.until.map(|until| until.min(arrival)))
    }
}
