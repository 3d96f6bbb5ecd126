//! One change, one write.

use fhirpool_authz::WriteAccess;
use fhirpool_fhir::Timestamp;
use fhirpool_storage::Result;

use super::{Attempt, PreparedChange, Write};
use crate::bodies::VersionName;
use crate::client::{Condition, Table, Written};
use crate::conditional::put_lookups;
use crate::cost::Operation;
use crate::faults::Step;
use crate::item::{SealedValue, Standing, TRANSACTION, TransactionId, VersionItem, writer_of};
use crate::store::Core;

/// Versions, of transactions too.
pub(super) const VERSION_WRITE: Operation = Operation("version_write");

/// Writes the version; `None`: it is committed.
pub(super) async fn write(
    core: &Core,
    access: &WriteAccess,
    change: &PreparedChange,
    write: &Write,
    last_updated: Timestamp,
) -> Result<Option<Attempt>> {
    put_lookups(core, access, &change.key, &write.lookups).await?;
    let tenant_key = core.bodies.sealing_key(access.tenant()).await?;
    let name = VersionName { key: &change.key, version: write.version, transaction: None };
    let sealed = core.bodies.seal(&tenant_key, access, &name, &change.compressed, last_updated);
    let writer = core.node.writer();
    core.faults.at(Step::BeforeAlone).await;
    core.refuse_closed(access.tenant()).await?;
    let version = VersionItem {
        version: write.version,
        last_updated,
        deleted: change.deletes,
        standing: Standing::Alone { at: core.node.now_us(), writer },
        value: SealedValue::Inline(sealed),
    };
    let item = version.write(&change.partition);
    let written = core.client.put(VERSION_WRITE, Table::Data, &item, &in_place(write.replaces)).await?;
    core.faults.at(Step::AfterAlone).await;
    match written {
        Written::Done(_) => Ok(None),
        // An answer that was lost: the write had happened.
        Written::Refused(Some(there)) if writer_of(&there) == Some(writer) => Ok(None),
        Written::Refused(_) => {
            metrics::counter!("fhirpool_dynamodb_conflicts_total", "with" => "write").increment(1);
            Ok(Some(Attempt::Overtaken))
        }
    }
}

/// That no version stands in this one's place, or just what an aborted transaction left.
pub(super) fn in_place(replaces: Option<TransactionId>) -> Condition {
    match replaces {
        Some(aborted) => Condition::AbsentOr(TRANSACTION, aborted.attribute()),
        None => Condition::Absent,
    }
}
