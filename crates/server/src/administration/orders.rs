//! What an operator asks for in one line, and the JSON that tells what became of it.
//!
//! What is done to a tenant is noted in its log of accesses, as what administrators do over HTTP is.

use std::sync::Arc;
use std::time::Duration;

use fhirpool_audit::{Access, Activity};
use fhirpool_authz::{Administrator, TenantAccess, TenantId};
use fhirpool_interactions::{Clock, Randomness, SystemClock, SystemRandomness};
use fhirpool_storage::StorageError;
use fhirpool_storage::tenants::{TenantRecord, TenantState};

use super::Administration;

/// Why an order is not obeyed: a sentence for the operator, and the status that the same would have over HTTP.
struct Refusal {
    status: u16,
    text: String,
}

impl From<StorageError> for Refusal {
    fn from(error: StorageError) -> Self {
        Self { status: 503, text: error.to_string() }
    }
}

/// Something to be done to a tenant.
enum Order<'a> {
    /// With this name.
    Create(&'a str),
    Show,
    Become(TenantState),
    /// With roles, quotas and issuers of its own, in JSON.
    SetAccess(&'a str),
}

impl Administration {
    /// `list`, or one of `create`, `show`, `suspend`, `resume`, `delete`, `access` and an id; behind `create <id>` the name, behind
    /// `access <id>` its roles, quotas and issuers as JSON in one line. A deletion has begun when this ends.
    ///
    /// # Errors
    /// A sentence for the operator.
    pub(crate) async fn obey(self: &Arc<Self>, line: &str) -> Result<String, String> {
        let mut words = line.splitn(3, ' ');
        let (verb, id, rest) = (words.next().unwrap_or_default(), words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let order = match verb {
            "list" => {
                let records = self.list().await.map_err(|error| error.to_string())?;
                let records: Vec<String> = records.iter().map(TenantRecord::to_shown_json).collect();
                return Ok(format!("[{}]", records.join(",")));
            }
            "create" => Order::Create(rest),
            "show" => Order::Show,
            "suspend" => Order::Become(TenantState::Suspended),
            "resume" => Order::Become(TenantState::Active),
            "delete" => Order::Become(TenantState::Deleting),
            "access" => Order::SetAccess(rest),
            _ => return Err("unknown request".to_owned()),
        };
        let tenant = read_id(id)?;
        let record = self.carry_out(&tenant, order).await?;
        if record.state == TenantState::Deleting {
            self.begin_removal(&tenant);
        }
        Ok(record.to_shown_json())
    }

    /// Closes a tenant and removes it, or has a server that runs remove it; ends when it is deleted.
    ///
    /// # Errors
    /// A sentence for the operator; done again, it goes on.
    pub(crate) async fn delete(&self, id: &str) -> Result<String, String> {
        let tenant = read_id(id)?;
        self.carry_out(&tenant, Order::Become(TenantState::Deleting)).await?;
        Ok(self.take_part(&tenant).await.map_err(|error| error.to_string())?.to_shown_json())
    }

    /// Does it, and notes what became of it.
    async fn carry_out(&self, tenant: &TenantId, order: Order<'_>) -> Result<TenantRecord, String> {
        let activity = match &order {
            Order::Create(_) => Some((Activity::TenantCreate, 201)),
            Order::Show => None,
            Order::Become(TenantState::Suspended) => Some((Activity::TenantSuspend, 200)),
            Order::Become(TenantState::Active) => Some((Activity::TenantResume, 200)),
            Order::Become(TenantState::Deleting | TenantState::Deleted) => Some((Activity::TenantDelete, 202)),
            Order::SetAccess(_) => Some((Activity::TenantAccess, 200)),
        };
        let operator = Administrator::operator();
        let done = self.attempt(tenant, order, &operator).await;
        if let Some((activity, done_well)) = activity {
            let status = done.as_ref().map_or_else(|refusal| refusal.status, |_| done_well);
            self.note_access(tenant, activity, status, &operator).await;
        }
        done.map_err(|refusal| refusal.text)
    }

    async fn attempt(&self, tenant: &TenantId, order: Order<'_>, operator: &Administrator) -> Result<TenantRecord, Refusal> {
        let by = format!("{}|{}", operator.issuer(), operator.subject());
        let nobody = || Refusal { status: 404, text: format!("tenant: found {tenant}; allowed: one that was created") };
        match order {
            Order::Create(name) => {
                let record = TenantRecord::new(tenant.clone(), name, SystemClock.now()).map_err(|text| Refusal { status: 400, text })?;
                let created = self.create(TenantRecord { changed_by: Some(by), ..record }).await?;
                let text = || format!("tenant: found {tenant}, which was given before; allowed: a new id");
                created.ok_or_else(|| Refusal { status: 409, text: text() })
            }
            Order::Show => self.show(tenant).await?.ok_or_else(nobody),
            Order::SetAccess(json) => {
                let access = TenantAccess::parse(tenant, json).map_err(|error| Refusal { status: 400, text: error.to_string() })?;
                let changed = self.set_access(tenant, access.as_ref(), &by).await?.ok_or_else(nobody)?;
                changed.map_err(|refused| Refusal { status: 409, text: refused.to_string() })
            }
            Order::Become(state) => {
                // One that is deleted stays so.
                if state == TenantState::Deleting
                    && let Some(deleted) = self.show(tenant).await?.filter(|record| record.state == TenantState::Deleted)
                {
                    return Ok(deleted);
                }
                let changed = self.change(tenant, state, Some(&by)).await?.ok_or_else(nobody)?;
                changed.map_err(|refused| Refusal { status: 409, text: refused.to_string() })
            }
        }
    }

    /// Ends when the record is kept, where there is a log for it. What was done is not undone for a log that cannot be written: the
    /// record waits on where there was room for it, and the operator does not.
    async fn note_access(&self, tenant: &TenantId, activity: Activity, status: u16, operator: &Administrator) {
        let (issuer, subject, action) = (operator.issuer(), operator.subject(), activity.code());
        let request_id = new_request_id();
        tracing::info!(target: "fhirpool::administration", issuer, subject, action, %tenant, status, request_id, "a tenant was administered");
        let Some(trail) = self.audit.get() else { return };
        let access = Access { administrator: Some(operator), ..Access::new(activity, status, SystemClock.now(), &request_id) };
        let noted = async {
            if let Some(kept) = trail.note_change(trail.room().await, tenant, &access) {
                // Without an answer the trail has ended, which it tells.
                let _ = kept.await;
            }
        };
        if tokio::time::timeout(KEEP_TIME_MAX, noted).await.is_err() {
            tracing::error!(%tenant, action, request_id, "the record of what was done to a tenant is not kept yet");
        }
    }

    /// Writes what is not kept yet of what was noted; for a process that is about to end.
    pub(crate) async fn finish(&self) {
        if let Some(trail) = self.audit.get()
            && !trail.close(KEEP_TIME_MAX).await
        {
            tracing::error!("what was done could not be noted in time");
        }
    }
}

/// So long an operator waits for a log that cannot be written.
const KEEP_TIME_MAX: Duration = Duration::from_secs(10);

fn read_id(id: &str) -> Result<TenantId, String> {
    TenantId::parse(id).ok_or_else(|| "tenant: allowed are 1 to 64 letters, digits, `-` and `_`".to_owned())
}

/// Names what was done in logs.
fn new_request_id() -> String {
    let mut bytes = [0; 8];
    SystemRandomness::default().fill(&mut bytes);
    format!("command-{:016x}", u64::from_be_bytes(bytes))
}
