//! Whether a tenant's log is whole: every block opens, its records can be read, and every chain has all of its blocks.

use fhirpool_authz::ReadAccess;
use fhirpool_fhir::Timestamp;
use fhirpool_storage::{AuditRange, ChainCheck, Result, StorageError};

use crate::record::{Record, split};
use crate::search::Reader;

/// Blocks that are read at once.
const BLOCKS_AT_ONCE: usize = 100;
/// No more problems are told.
const PROBLEMS_MAX: usize = 1_000;

/// What was found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verified {
    /// Blocks.
    pub blocks: u64,
    /// Records in those that could be opened.
    pub records: u64,
    /// Chains.
    pub chains: usize,
    /// What is wrong, a sentence each.
    pub problems: Vec<String>,
}

/// Looks at all of a tenant's log.
pub async fn verify(reader: &Reader, access: &ReadAccess) -> Result<Verified> {
    let mut range = AuditRange { from: Timestamp(0), until: Timestamp(i64::MAX), before: None, limit: BLOCKS_AT_ONCE };
    let (mut check, mut verified) = (ChainCheck::default(), Verified::default());
    loop {
        let page = reader.log().scan(access, &range).await?;
        range.before = page.blocks.last().map(|block| block.name);
        for block in &page.blocks {
            let records = match check.add(block) {
                Ok(()) => reader.records(access, block).await,
                Err(error) => Err(error),
            };
            let read = records.and_then(|records| {
                let records = split(&records)?;
                records.iter().try_for_each(|record| Record::read(record).map(drop))?;
                Ok(records.len() as u64)
            });
            match read {
                Ok(records) => verified.records += records,
                Err(StorageError::Damaged(what)) => {
                    verified.problems.push(format!("chain {:016x}: block {}: {what}", block.name.chain, block.name.sequence));
                }
                Err(error) => return Err(error),
            }
        }
        if !page.more || verified.problems.len() > PROBLEMS_MAX {
            break;
        }
    }
    // Behind the scan: what has expired meanwhile is ahead of the anchors then.
    let mut anchors = Vec::new();
    for sealed in reader.log().anchors(access).await? {
        match reader.anchor(access, &sealed).await {
            Ok(anchor) => anchors.push(anchor),
            Err(StorageError::Damaged(what)) => verified.problems.push(format!("chain {:016x}: its anchor: {what}", sealed.chain)),
            Err(error) => return Err(error),
        }
    }
    verified.problems.extend(check.problems(&reader.log().ends(access).await?, &anchors));
    verified.problems.truncate(PROBLEMS_MAX);
    (verified.blocks, verified.chains) = (check.blocks(), check.chains());
    Ok(verified)
}
