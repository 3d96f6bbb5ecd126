//! What outside services must hold before the server can use them: numbered descriptions in `migrations/`, applied by
//! `fhirpool migrate`.
//!
//! A description is data; how it is carried out is the adapter's of its part. Applying one twice changes nothing, and a
//! released one is never edited, only followed by another.

use async_trait::async_trait;

use crate::Result;

/// Who carries a migration out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MigrationPart {
    /// The tables.
    DynamoDb,
    /// The index.
    OpenSearch,
    /// The queue of dead letters.
    Sqs,
    /// The bucket of contents.
    S3,
}

/// One step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Migration {
    /// From 1, without gaps; steps are carried out in this order.
    pub number: u32,
    /// What a person calls it.
    pub name: &'static str,
    /// Who carries it out.
    pub part: MigrationPart,
    /// JSON, of a form that the part knows.
    pub description: &'static str,
}

/// All steps, in order.
pub const MIGRATIONS: &[Migration] = &[
    Migration {
        number: 1,
        name: "data table",
        part: MigrationPart::DynamoDb,
        description: include_str!("../../../migrations/0001-dynamodb-data-table.json"),
    },
    Migration {
        number: 2,
        name: "control table",
        part: MigrationPart::DynamoDb,
        description: include_str!("../../../migrations/0002-dynamodb-control-table.json"),
    },
    Migration {
        number: 3,
        name: "search index",
        part: MigrationPart::OpenSearch,
        description: include_str!("../../../migrations/0003-opensearch-index.json"),
    },
    Migration {
        number: 4,
        name: "queue of dead letters",
        part: MigrationPart::Sqs,
        description: include_str!("../../../migrations/0004-sqs-dead-letters.json"),
    },
    Migration {
        number: 5,
        name: "bucket of contents",
        part: MigrationPart::S3,
        description: include_str!("../../../migrations/0005-s3-content-bucket.json"),
    },
];

/// Carries out the migrations of one part.
#[async_trait]
pub trait Migrate: Send + Sync {
    /// Which.
    fn part(&self) -> MigrationPart;

    /// What is not as described, each as a clause (`the table x-data does not exist`); empty: nothing is missing.
    async fn check(&self, migration: &Migration) -> Result<Vec<String>>;

    /// Makes it as described, and waits until it can be used. Changes nothing that is so already.
    async fn apply(&self, migration: &Migration) -> Result<()>;
}

/// Remembers which migrations were applied, where all nodes see it.
#[async_trait]
pub trait MigrationRecord: Send + Sync {
    /// The numbers of those applied; empty where nothing was ever recorded.
    async fn applied(&self) -> Result<Vec<u32>>;

    /// Notes one.
    async fn record(&self, migration: &Migration) -> Result<()>;
}

/// Applies all of the parts at hand, in order, and records each that was not yet recorded. Gives the numbers of those newly recorded.
///
/// # Errors
/// The first failure; what was applied ahead of it is recorded.
pub async fn apply_migrations(parts: &[&dyn Migrate], record: &dyn MigrationRecord) -> Result<Vec<u32>> {
    // The record stands in a table that an early step makes: it is asked for only behind that one.
    let mut waiting = Vec::new();
    for migration in MIGRATIONS {
        for part in parts.iter().filter(|part| part.part() == migration.part) {
            part.apply(migration).await?;
            waiting.push(migration);
        }
    }
    let applied = record.applied().await?;
    let new: Vec<_> = waiting.into_iter().filter(|migration| !applied.contains(&migration.number)).collect();
    for migration in &new {
        record.record(migration).await?;
    }
    Ok(new.into_iter().map(|migration| migration.number).collect())
}

/// What is missing for the parts at hand, as clauses for a person; empty: the server can start.
///
/// # Errors
/// A service that cannot be asked.
pub async fn missing_migrations(parts: &[&dyn Migrate], record: &dyn MigrationRecord) -> Result<Vec<String>> {
    let mut missing = Vec::new();
    let mut incomplete = Vec::new();
    for migration in MIGRATIONS {
        for part in parts.iter().filter(|part| part.part() == migration.part) {
            let clauses = part.check(migration).await?;
            if !clauses.is_empty() {
                incomplete.push(migration.number);
            }
            missing.extend(clauses.into_iter().map(|clause| format!("migration {} ({}): {clause}", migration.number, migration.name)));
        }
    }
    let applied = record.applied().await?;
    let here = MIGRATIONS.iter().filter(|migration| parts.iter().any(|part| part.part() == migration.part));
    for migration in here.filter(|migration| !applied.contains(&migration.number) && !incomplete.contains(&migration.number)) {
        missing.push(format!("migration {} ({}): it was not recorded as applied", migration.number, migration.name));
    }
    if let Some(newer) = applied.iter().copied().filter(|number| *number as usize > MIGRATIONS.len()).max() {
        missing.push(format!("migration {newer} was applied by a newer version of this server, which this one does not know"));
    }
    Ok(missing)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_run_from_one_without_gaps_and_each_file_is_listed() {
        let numbers: Vec<u32> = MIGRATIONS.iter().map(|migration| migration.number).collect();
        assert_eq!(numbers, (1..=MIGRATIONS.len() as u32).collect::<Vec<_>>());
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../migrations");
        let files = std::fs::read_dir(folder).expect("the folder is part of the source").count();
        assert_eq!(files, MIGRATIONS.len());
    }
}
