//! The one task that writes: it gathers what waits, gives it to the sink, seals it and appends it to the logs.
//!
//! Each tenant's records stand by themselves: where one tenant's log or key cannot be reached, its records wait and are tried
//! again, and those of the others are written. The records of a tenant that is not there, or whose keys were destroyed, are
//! nobody's: only the sink has them.

use std::collections::HashMap;
use std::sync::Arc;

use fhirpool_authz::{Principal, TenantId, WriteAccess};
use fhirpool_storage::{
    AUDIT_BLOCK_BYTES_MAX, AUDIT_HOUR_MS, AUDIT_SPAN_MS, AuditBlock, AuditLog, BlockName, Chain, ChainEnd, KeyRing, Result, StorageError,
    TenantKey,
};
use futures_util::StreamExt;
use futures_util::stream;
use metrics::counter;
use tokio::time::Instant;

use crate::outage::{Outage, Pauses, Retry};
use crate::record::{split, time_of};
use crate::sink::Sink;
use crate::trail::{Batch, Settings, Shared};

/// Logs that are appended to at once.
const AT_ONCE: usize = 8;

/// What the trail works with.
pub struct Ports {
    /// Where blocks go.
    pub log: Arc<dyn AuditLog>,
    /// What they are sealed with.
    pub keys: Arc<dyn KeyRing>,
    /// Where records go besides.
    pub sink: Sink,
}

pub(crate) struct Writer {
    log: Arc<dyn AuditLog>,
    keys: Arc<dyn KeyRing>,
    sink: Option<Sink>,
    settings: Settings,
    shared: Arc<Shared>,
    logs: HashMap<TenantId, TenantLog>,
    outage: Outage,
}

/// One tenant's log as far as this process appends to it.
#[derive(Default)]
struct TenantLog {
    chain: Option<Chain>,
    /// Not sealed yet.
    waiting: Batch,
    /// Sealed as `blocks`, and perhaps appended.
    appending: Batch,
    blocks: Vec<AuditBlock>,
    end_of_blocks: Option<ChainEnd>,
    /// Where the last attempt failed: when the next is due.
    retry: Option<Retry>,
}

impl Writer {
    pub(crate) fn new(ports: Ports, settings: Settings, shared: Arc<Shared>) -> Self {
        Self { log: ports.log, keys: ports.keys, sink: Some(ports.sink), settings, shared, logs: HashMap::new(), outage: Outage::default() }
    }

    pub(crate) async fn run(mut self) {
        loop {
            self.wait().await;
            // Ahead of taking: what is put behind it is taken the next time round.
            let is_closing = self.shared.is_closing();
            let taken = self.shared.take();
            let is_empty = taken.is_empty();
            self.tell_sink(&taken).await;
            for (tenant, batch) in taken {
                self.logs.entry(tenant).or_default().waiting.add(batch);
            }
            self.append().await;
            if is_closing && is_empty && !self.logs.values().any(TenantLog::has_work) {
                return;
            }
        }
    }

    /// Until something is to be written that has not been tried, or a log is due to be tried again.
    async fn wait(&self) {
        let due = self.logs.values().filter_map(|log| log.retry).map(|retry| retry.due).min();
        if self.shared.is_closing() {
            if let Some(due) = due {
                // A stop has not much time.
                tokio::time::sleep_until(due.min(Instant::now() + self.settings.retry_pause)).await;
            }
            return;
        }
        let begun = async {
            self.shared.begun().await;
            self.shared.urgent(self.settings.flush_time_max).await;
        };
        match due {
            None => begun.await,
            Some(due) => tokio::select! {
                () = tokio::time::sleep_until(due) => {}
                () = begun => {}
            },
        }
    }

    /// Tries until the sink has taken the lines: what it cannot take must not be forgotten.
    async fn tell_sink(&mut self, taken: &HashMap<TenantId, Batch>) {
        let Some(sink) = self.sink.take() else { return };
        if sink.is_none() || taken.is_empty() {
            self.sink = Some(sink);
            return;
        }
        let lines = taken.iter().map(|(tenant, batch)| sink.lines(tenant, &batch.records)).collect::<Vec<_>>().concat();
        let (first, max) = (self.settings.retry_pause, self.settings.retry_pause_max);
        let written = tokio::task::spawn_blocking(move || sink.write_until_taken(&lines, Pauses::new(first, max))).await;
        self.sink = written.ok();
    }

    /// Tries every log that has something to be written and is not to wait.
    async fn append(&mut self) {
        let (now, is_closing) = (Instant::now(), self.shared.is_closing());
        let is_due = |log: &TenantLog| log.has_work() && (is_closing || log.retry.is_none_or(|retry| retry.due <= now));
        let (due, others): (HashMap<_, _>, HashMap<_, _>) = std::mem::take(&mut self.logs).into_iter().partition(|(_, log)| is_due(log));
        self.logs = others;
        let (log, keys, shared) = (&*self.log, &*self.keys, &*self.shared);
        let attempts = stream::iter(due).map(|(tenant, mut of_tenant)| async move {
            let outcome = match of_tenant.append(log, keys, &tenant).await {
                Ok(()) => {
                    of_tenant.finish(shared);
                    Ok(())
                }
                Err(StorageError::UnknownTenant) => {
                    tracing::debug!(%tenant, "records of accesses to a tenant that is not there are in no log");
                    counter!("fhirpool_audit_unknown_tenants_total").increment(1);
                    of_tenant.chain = None;
                    of_tenant.finish(shared);
                    Ok(())
                }
                Err(error) => {
                    counter!("fhirpool_audit_append_failures_total").increment(1);
                    if matches!(error, StorageError::Damaged(_)) {
                        of_tenant.begin_again();
                    }
                    Err(error)
                }
            };
            (tenant, of_tenant, outcome)
        });
        let done: Vec<_> = attempts.buffer_unordered(AT_ONCE).collect().await;
        let mut has_recovered = false;
        for (tenant, mut of_tenant, outcome) in done {
            match outcome {
                Ok(()) => has_recovered |= of_tenant.retry.take().is_some(),
                Err(error) => {
                    let pauses =
                        of_tenant.retry.map_or(Pauses::new(self.settings.retry_pause, self.settings.retry_pause_max), |retry| retry.pauses);
                    of_tenant.retry = Some(Retry::after(pauses));
                    self.outage.note(&tenant, &error);
                }
            }
            // Those that only asked for a tenant that is not there leave nothing behind.
            if of_tenant.chain.is_some() || of_tenant.has_work() {
                self.logs.insert(tenant, of_tenant);
            }
        }
        if has_recovered {
            // What kept one log kept the others, likely: whoever waits is not to wait for nothing.
            self.logs.values_mut().filter_map(|log| log.retry.as_mut()).for_each(|retry| retry.due = now);
        }
        if self.logs.values().all(|log| log.retry.is_none()) {
            self.outage.end();
        }
    }
}

impl TenantLog {
    fn has_work(&self) -> bool {
        !self.waiting.records.is_empty() || !self.blocks.is_empty()
    }

    async fn append(&mut self, log: &dyn AuditLog, keys: &dyn KeyRing, tenant: &TenantId) -> Result<()> {
        let access = WriteAccess::authorize(&Principal::operator(tenant.clone()), tenant).map_err(|_| StorageError::Denied)?;
        if self.blocks.is_empty() {
            let chain = match self.chain {
                Some(chain) => chain,
                None => log.chain(&access).await?,
            };
            self.chain = Some(chain);
            let key = keys.data_key(tenant).await?;
            let batch = std::mem::take(&mut self.waiting);
            let (blocks, end) = seal(&key, tenant, chain, &batch.records).await?;
            (self.appending, self.blocks, self.end_of_blocks) = (batch, blocks, end);
        }
        log.append(&access, &self.blocks).await
    }

    /// What was tried is done with.
    fn finish(&mut self, shared: &Shared) {
        if let (Some(chain), Some(end)) = (&mut self.chain, self.end_of_blocks.take()) {
            chain.end = Some(end);
        }
        if self.chain.is_none() {
            // Nothing was sealed of what waits.
            let waiting = std::mem::take(&mut self.waiting);
            self.appending.add(waiting);
        }
        self.blocks.clear();
        let Batch { places, waiting, .. } = std::mem::take(&mut self.appending);
        shared.give_back(places);
        for waiting in waiting {
            // Whoever does not wait any more does not care.
            let _ = waiting.send(());
        }
    }

    /// Seals what was sealed once more, behind the end that the log says it has.
    fn begin_again(&mut self) {
        let waiting = std::mem::replace(&mut self.waiting, std::mem::take(&mut self.appending));
        self.waiting.add(waiting);
        self.blocks.clear();
        (self.chain, self.end_of_blocks) = (None, None);
    }
}

/// Cuts records into blocks and seals them behind the chain; gives the end they make.
async fn seal(key: &TenantKey, tenant: &TenantId, chain: Chain, records: &[u8]) -> Result<(Vec<AuditBlock>, Option<ChainEnd>)> {
    let mut records = split(records)?;
    // Requests come here in nearly the order of their times.
    records.sort_by_key(|record| time_of(record));
    counter!("fhirpool_audit_records_total").increment(records.len() as u64);
    let mut blocks = Vec::new();
    let mut end = chain.end;
    let mut rest = records.as_slice();
    while let Some(first) = rest.first() {
        let (time, mut bytes, mut length) = (time_of(first), Vec::new(), 0);
        for record in rest {
            let other = time_of(record);
            let fits = other.0 - time.0 <= AUDIT_SPAN_MS && other.0.div_euclid(AUDIT_HOUR_MS) == time.0.div_euclid(AUDIT_HOUR_MS);
            if length > 0 && (!fits || bytes.len() + record.len() + 4 > AUDIT_BLOCK_BYTES_MAX) {
                break;
            }
            crate::record::write_framed(record, &mut bytes);
            length += 1;
        }
        let (previous, sequence) = end.map_or(([0; 32], 1), |end| (end.digest, end.name.sequence + 1));
        let block = AuditBlock::seal(key, tenant, BlockName { time, chain: chain.number, sequence }, &previous, &bytes);
        end = Some(ChainEnd { name: block.name, digest: block.digest() });
        blocks.push(block);
        rest = &rest[length..];
        // A block takes up to a millisecond, and requests wait behind it.
        tokio::task::yield_now().await;
    }
    Ok((blocks, end))
}

#[cfg(test)]
mod tests;
