//! Everything of a tenant that ever was, upwards in time, so that what is appended meanwhile is met as well.

use std::collections::HashSet;

use aws_sdk_dynamodb::types::AttributeValue;
use fhirpool_authz::WriteAccess;
use fhirpool_fhir::ResourceKey;
use fhirpool_storage::{Result, StorageError};

use super::segment::Place;
use super::{DynamoChangeLog, READ, read};
use crate::client::{Query, SortRange};
use crate::item::{key, text};
use crate::keys::{Partition, PartitionKey, SORT};

/// Items of a page.
const SEGMENTS_MAX: i32 = 100;

/// A page, and where the next continues. A resource may come again on another page.
pub(super) async fn page(log: &DynamoChangeLog, access: &WriteAccess, after: Option<&str>) -> Result<(Vec<ResourceKey>, Option<String>)> {
    let (hour, sort) = match after.map(|after| after.split_once('|').ok_or_else(not_a_place)).transpose()? {
        Some((hour, sort)) => (hour.to_owned(), Some(sort).filter(|sort| !sort.is_empty())),
        None => match hour_from(log, access, "0").await? {
            Some(hour) => (hour, None),
            None => return Ok((Vec::new(), None)),
        },
    };
    let partition = PartitionKey::new(access, Partition::LogSegments(&hour))?;
    let after = sort.map(|sort| key(&partition, sort.to_owned()));
    let page = log.client.query(READ, Query { limit: Some(SEGMENTS_MAX), after, ..Query::data(&partition, SortRange::All) }).await?;
    let mut keys = HashSet::new();
    for item in &page.items {
        // A part of a segment that is not whole yet was committed all the same.
        for (place, _) in read::open(&*log.keys, access, &partition, item).await? {
            keys.insert(Place::key(&place)?);
        }
    }
    let next = match page.next {
        Some(next) => Some(format!("{hour}|{}", text(&next, SORT)?)),
        // Digits come before the character that the hour at hand is followed by.
        None => hour_from(log, access, &format!("{hour}~")).await?.map(|next| format!("{next}|")),
    };
    Ok((keys.into_iter().collect(), next))
}

/// The first hour that is not empty from one on.
async fn hour_from(log: &DynamoChangeLog, access: &WriteAccess, from: &str) -> Result<Option<String>> {
    let partition = PartitionKey::new(access, Partition::LogHours)?;
    let range = SortRange::Between(from.to_owned(), "~".into());
    let page = log.client.query(READ, Query { limit: Some(1), ..Query::data(&partition, range) }).await?;
    match page.items.first().and_then(|item| item.get(SORT)) {
        Some(AttributeValue::S(hour)) => Ok(Some(hour.clone())),
        _ => Ok(None),
    }
}

fn not_a_place() -> StorageError {
    StorageError::Unavailable("no place in the list of resources".into())
}
