//! What is done to a tenant at `/admin/tenants`, in that tenant's own log.
//!
//! A deletion closes the log ahead of its record, which then is in the sink alone; the tenant's record says who asked. An attempt
//! without an administrator's token is told to the tenant that its path names, without who made it. Looks of administrators
//! leave no record: they show nothing of what the tenant has.

use fhirpool_audit::{Access, Room};
use fhirpool_authz::TenantId;
use tokio::sync::oneshot;

use super::{Attempt, Audit, activity_of};
use crate::address::client_address;
use crate::answer::Answer;
use crate::routes::{Action, PathNames};

pub(super) fn leave(
    attempt: &Attempt<'_>,
    audit: &Audit,
    room: Room,
    action: Action,
    names: &PathNames<'_>,
    answer: Option<&Answer>,
) -> Option<oneshot::Receiver<()>> {
    let administrator = attempt.noted.administrator.get();
    if action == Action::TenantShow && administrator.is_some() {
        return None;
    }
    let tenant = attempt.noted.tenant.get().cloned().or_else(|| names.tenant.as_deref().and_then(TenantId::parse))?;
    let state = &attempt.context.state;
    let (status, time) = (answer.map_or(0, |answer| answer.status.as_u16()), state.interactions.clock.now());
    let request_id = attempt.request_id.to_str().unwrap_or_default();
    let access = Access {
        peer: client_address(&state.settings, attempt.head),
        administrator,
        ..Access::new(activity_of(action)?, status, time, request_id)
    };
    if (200..300).contains(&status) {
        return audit.trail.note_change(room, &tenant, &access);
    }
    audit.trail.note(room, &tenant, &access);
    None
}

/// Who has tried it without a token for it is in the server's log, whatever is logged of requests.
pub(crate) fn note_refused(action: Action, attempt: &Attempt<'_>, names: &PathNames<'_>) {
    let (action, tenant) = (action.name(), names.tenant.as_deref().and_then(TenantId::parse));
    let tenant = tenant.as_ref().map(TenantId::as_str);
    let request_id = attempt.request_id.to_str().unwrap_or_default();
    tracing::warn!(target: "fhirpool::administration", action, tenant, request_id, "someone without a right to it tried to administer tenants");
}
