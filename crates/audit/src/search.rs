//! Finding records in a tenant's log, the newest first, by looking at every block of a range of time.
//!
//! Records of one node come exactly in that order; those of several nodes by the blocks that they came in, which each span some
//! seconds at most.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use fhirpool_authz::ReadAccess;
use fhirpool_fhir::{Date, ResourceType, Timestamp};
use fhirpool_storage::{AUDIT_SPAN_MS, AuditAnchor, AuditBlock, AuditLog, AuditRange, BlockName, KeyRing, Result, SealedAnchor};

use crate::event::reference;
use crate::record::{Record, outcome_of, split};

/// The longest range of time that one search may be over.
const RANGE_DAYS_MAX: i64 = 31;
const MS_PER_DAY: i64 = 86_400_000;
/// Blocks that one page may cost. Where it is not full then, it says where to go on.
const BLOCKS_MAX: usize = 2_000;
/// Bytes of records, unpacked, that one page may cost.
const BYTES_MAX: usize = 64 << 20;
/// Blocks that are read at once.
const BLOCKS_AT_ONCE: usize = 32;
/// Values of one parameter.
const VALUES_MAX: usize = 100;

/// Why a search is refused; the text is for the client.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SearchError {
    /// The parameter is none that the log is searched by.
    #[error("the log of accesses is searched by date, agent, entity, patient, action and outcome, and not by {0:?}")]
    Unsupported(String),
    /// A value cannot be read, or something is missing.
    #[error("{0}")]
    Invalid(String),
    /// The range of time is longer than allowed.
    #[error("date spans more than {RANGE_DAYS_MAX} days")]
    TooLong,
}

/// What is looked for: alternatives of each parameter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditQuery {
    /// Not before this.
    from: Timestamp,
    /// Before this.
    until: Timestamp,
    /// Issuer, where it is named, and subject or application.
    agents: Vec<(Option<String>, String)>,
    entities: Vec<String>,
    patients: Vec<String>,
    actions: Vec<char>,
    outcomes: Vec<char>,
    /// How many a page.
    pub count: Option<u64>,
}

impl AuditQuery {
    /// Reads decoded parameters.
    pub fn parse(parameters: &[(String, String)]) -> std::result::Result<Self, SearchError> {
        let (mut from, mut until) = (None, None);
        let mut query = Self {
            from: Timestamp(0),
            until: Timestamp(0),
            agents: Vec::new(),
            entities: Vec::new(),
            patients: Vec::new(),
            actions: Vec::new(),
            outcomes: Vec::new(),
            count: None,
        };
        for (position, (name, value)) in parameters.iter().enumerate() {
            if name != "date" && parameters[..position].iter().any(|(other, _)| other == name) {
                return Err(SearchError::Invalid(format!("{name} may stand once, with its alternatives separated by commas")));
            }
            match name.as_str() {
                "date" => narrow(value, &mut from, &mut until)?,
                "agent" | "agent:identifier" => query.agents.extend(values(name, value, |value| Some(agent(value)))?),
                "entity" => query.entities = values(name, value, entity)?,
                "patient" => {
                    let patient = |value: &str| Some(value.strip_prefix("Patient/").unwrap_or(value).to_owned());
                    query.patients = values(name, value, patient)?;
                }
                "action" => query.actions = values(name, value, |value| one_of(value, "CRUDE"))?,
                "outcome" => query.outcomes = values(name, value, |value| one_of(value, "048").or((value == "12").then_some('c')))?,
                "_count" => {
                    let count = value.parse().ok().filter(|count| *count > 0);
                    query.count = Some(count.ok_or_else(|| SearchError::Invalid("_count must be a number above 0".to_owned()))?);
                }
                other => return Err(SearchError::Unsupported(other.chars().take(64).collect())),
            }
        }
        let (Some(from), Some(until)) = (from, until) else {
            let text = "date must say from when and until when, such as date=ge2026-11-21&date=lt2026-11-22";
            return Err(SearchError::Invalid(text.to_owned()));
        };
        if until.0.saturating_sub(from.0) > RANGE_DAYS_MAX * MS_PER_DAY {
            return Err(SearchError::TooLong);
        }
        Ok(Self { from: Timestamp(from.0.max(0)), until, ..query })
    }

    fn matches(&self, record: &Record) -> bool {
        let any = |is_empty: bool, found: bool| is_empty || found;
        (self.from..self.until).contains(&record.time)
            && any(self.agents.is_empty(), self.agents.iter().any(|agent| is_agent(record, agent)))
            && any(self.entities.is_empty(), self.entities.iter().any(|entity| is_entity(record, entity)))
            && any(self.patients.is_empty(), self.patients.iter().any(|patient| is_patient(record, patient)))
            && any(self.actions.is_empty(), self.actions.contains(&record.activity.action()))
            && any(self.outcomes.is_empty(), self.outcomes.contains(&outcome_of(record.status)))
    }
}

fn narrow(value: &str, from: &mut Option<Timestamp>, until: &mut Option<Timestamp>) -> std::result::Result<(), SearchError> {
    let letters = value.find(|letter: char| !letter.is_ascii_lowercase()).unwrap_or(value.len());
    let (prefix, text) = value.split_at(letters);
    let date = Date::parse_search(text).ok_or_else(|| SearchError::Invalid("date is no date".to_owned()))?;
    let behind = |time: Timestamp| Timestamp(time.0.saturating_add(1));
    let (begins, ends) = match prefix {
        "ge" => (Some(date.begin()), None),
        "gt" => (Some(behind(date.end())), None),
        "lt" => (None, Some(date.begin())),
        "le" => (None, Some(behind(date.end()))),
        "" | "eq" => (Some(date.begin()), Some(behind(date.end()))),
        _ => return Err(SearchError::Invalid("date takes the prefixes ge, gt, le, lt and eq".to_owned())),
    };
    *from = (*from).max(begins);
    *until = match (*until, ends) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    };
    Ok(())
}

/// The alternatives of a value.
fn values<T>(name: &str, value: &str, read: impl Fn(&str) -> Option<T>) -> std::result::Result<Vec<T>, SearchError> {
    let refused = || SearchError::Invalid(format!("{name} has a value that cannot be understood"));
    let mut values = vec![String::new()];
    let mut letters = value.chars();
    while let Some(letter) = letters.next() {
        let last = values.last_mut().expect("there is one");
        match letter {
            '\\' => last.push(letters.next().ok_or_else(refused)?),
            ',' => values.push(String::new()),
            letter => last.push(letter),
        }
    }
    if values.len() > VALUES_MAX || values.iter().any(String::is_empty) {
        return Err(refused());
    }
    values.iter().map(|value| read(value).ok_or_else(refused)).collect()
}

fn one_of(value: &str, letters: &str) -> Option<char> {
    let mut chars = value.chars();
    chars.next().filter(|letter| letters.contains(*letter) && chars.next().is_none())
}

/// `issuer|subject`, or a subject or application alone.
fn agent(value: &str) -> (Option<String>, String) {
    match value.rsplit_once('|') {
        Some((issuer, name)) => (Some(issuer.to_owned()), name.to_owned()),
        None => (None, value.to_owned()),
    }
}

fn entity(value: &str) -> Option<String> {
    let type_name = value.split('/').next().unwrap_or_default();
    (value.contains('/') && ResourceType::parse(type_name).is_some()).then(|| value.to_owned())
}

fn is_agent(record: &Record, (issuer, name): &(Option<String>, String)) -> bool {
    record.agent.as_ref().is_some_and(|agent| {
        issuer.as_ref().is_none_or(|issuer| *issuer == agent.issuer) && (agent.subject == *name || agent.client.as_ref() == Some(name))
    })
}

/// The resource of the record, or of one of its entries; with any version, where none is asked for.
fn is_entity(record: &Record, entity: &str) -> bool {
    let is = |resource_type: Option<ResourceType>, id: Option<&str>, version: Option<u64>| {
        resource_type.is_some_and(|name| {
            id.is_some() && (reference(name.name(), id, None) == entity || reference(name.name(), id, version) == entity)
        })
    };
    is(record.resource_type, record.id.as_deref(), record.version)
        || record.touched.iter().any(|touched| is(touched.resource_type, touched.id.as_deref(), touched.version))
        || entity.strip_prefix("Patient/").is_some_and(|id| record.patients.iter().any(|patient| patient == id))
}

fn is_patient(record: &Record, patient: &str) -> bool {
    let is = |resource_type: Option<ResourceType>, id: Option<&str>| {
        id == Some(patient) && resource_type.is_some_and(|resource_type| resource_type.name() == "Patient")
    };
    record.patients.iter().any(|id| id == patient)
        || is(record.resource_type, record.id.as_deref())
        || record.touched.iter().any(|touched| is(touched.resource_type, touched.id.as_deref()))
}

/// Names a record: its block, and its number in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct RecordId {
    /// The block.
    pub block: BlockName,
    /// From 0.
    pub index: u32,
}

/// Where a page ended: behind this record, in the order of the log.
pub type Place = RecordId;

impl RecordId {
    /// What ids of records begin with.
    const PREFIX: &str = "log-";

    /// As bytes of a page token.
    pub fn to_bytes(self) -> Vec<u8> {
        [&self.block.to_bytes()[..], &self.index.to_be_bytes()].concat()
    }

    /// What [`RecordId::to_bytes`] wrote.
    pub fn of_bytes(bytes: &[u8]) -> Option<Self> {
        let (block, index) = bytes.split_at_checked(BlockName::LENGTH)?;
        Some(Self { block: BlockName::of_bytes(block)?, index: u32::from_be_bytes(index.try_into().ok()?) })
    }
}

impl fmt::Display for RecordId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { block: BlockName { time, chain, sequence }, index } = self;
        write!(f, "{}{:x}-{chain:x}-{sequence:x}-{index:x}", Self::PREFIX, time.0)
    }
}

impl FromStr for RecordId {
    type Err = ();

    fn from_str(text: &str) -> std::result::Result<Self, ()> {
        let mut numbers = text.strip_prefix(Self::PREFIX).ok_or(())?.split('-').map(|number| u64::from_str_radix(number, 16));
        let mut next = || numbers.next().and_then(std::result::Result::ok).ok_or(());
        let time = Timestamp(i64::try_from(next()?).map_err(|_| ())?);
        let block = BlockName { time, chain: next()?, sequence: next()? };
        let id = Self { block, index: u32::try_from(next()?).map_err(|_| ())? };
        if id.to_string() == text { Ok(id) } else { Err(()) }
    }
}

/// What a search found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The newest first.
    pub records: Vec<(RecordId, Record)>,
    /// Records that were passed over since they cannot be read: they are damaged, and may be some that were looked for.
    pub unreadable: usize,
    /// Where the next page goes on; `None` at the end. A page may be short, even empty, and still go on: it has looked at as much
    /// as a page may.
    pub next: Option<Place>,
}

/// Reads the logs of tenants.
#[derive(Clone)]
pub struct Reader {
    log: Arc<dyn AuditLog>,
    keys: Arc<dyn KeyRing>,
}

impl Reader {
    /// Of these ports.
    pub fn new(log: Arc<dyn AuditLog>, keys: Arc<dyn KeyRing>) -> Self {
        Self { log, keys }
    }

    pub(crate) fn log(&self) -> &dyn AuditLog {
        &*self.log
    }

    pub(crate) async fn anchor(&self, access: &ReadAccess, sealed: &SealedAnchor) -> Result<AuditAnchor> {
        sealed.open_with(&*self.keys, access.tenant()).await
    }

    pub(crate) async fn records(&self, access: &ReadAccess, block: &AuditBlock) -> Result<Vec<u8>> {
        block.open_with(&*self.keys, access.tenant()).await
    }

    /// A page of what a query finds.
    pub async fn find(&self, access: &ReadAccess, query: &AuditQuery, after: Option<Place>, count: usize) -> Result<Found> {
        // The block of the place itself is looked at again.
        let before = after.map(|place| BlockName { sequence: place.block.sequence.saturating_add(1), ..place.block });
        let from = Timestamp(query.from.0.saturating_sub(AUDIT_SPAN_MS).max(0));
        let mut range = AuditRange { from, until: query.until, before, limit: BLOCKS_AT_ONCE };
        let mut found = Found { records: Vec::new(), unreadable: 0, next: None };
        let (mut blocks, mut bytes) = (0, 0);
        loop {
            let page = self.log.scan(access, &range).await?;
            range.before = page.blocks.last().map(|block| block.name);
            for block in &page.blocks {
                let opened = self.records(access, block).await?;
                (blocks, bytes) = (blocks + 1, bytes + opened.len());
                for (index, record) in split(&opened)?.into_iter().enumerate().rev() {
                    let id = RecordId { block: block.name, index: index as u32 };
                    if after.is_some_and(|place| place.block == id.block && id.index >= place.index) {
                        continue;
                    }
                    // One that is damaged must not hide all the others.
                    let record = match Record::read(record) {
                        Ok(record) => record,
                        Err(error) => {
                            tracing::error!(tenant = %access.tenant(), record = %id, %error, "a record is left out of a search");
                            found.unreadable += 1;
                            continue;
                        }
                    };
                    if !query.matches(&record) {
                        continue;
                    }
                    if found.records.len() == count {
                        found.next = found.records.last().map(|(id, _)| *id);
                        return Ok(found);
                    }
                    found.records.push((id, record));
                }
                if blocks >= BLOCKS_MAX || bytes >= BYTES_MAX {
                    found.next = Some(RecordId { block: block.name, index: 0 });
                    return Ok(found);
                }
                // Opening a block takes up to a millisecond.
                tokio::task::yield_now().await;
            }
            if !page.more {
                return Ok(found);
            }
        }
    }

    /// A certain record.
    pub async fn record(&self, access: &ReadAccess, id: &RecordId) -> Result<Option<Record>> {
        let Some(block) = self.log.block(access, &id.block).await? else { return Ok(None) };
        let opened = self.records(access, &block).await?;
        split(&opened)?.get(id.index as usize).map(|record| Record::read(record)).transpose()
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn parse(query: &str) -> std::result::Result<AuditQuery, SearchError> {
        let pairs: Vec<(String, String)> =
            query.split('&').filter_map(|pair| pair.split_once('=')).map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        AuditQuery::parse(&pairs)
    }

    #[test]
    fn a_range_of_time_is_demanded() {
        let day = parse("date=ge2026-11-21T00:00:00Z&date=lt2026-11-22T00:00:00Z").unwrap();
        assert_eq!(day.until.0 - day.from.0, MS_PER_DAY);
        let hour = parse("date=2026-11-21T10:00:00Z").unwrap();
        assert_eq!(hour.until.0 - hour.from.0, 1000);
        for missing in ["", "date=ge2026-11-21", "date=lt2026-11-21", "action=R", "date=ge2026-11-21&date=gt2026-11-20"] {
            assert!(matches!(parse(missing), Err(SearchError::Invalid(_))), "{missing}");
        }
        assert_eq!(parse("date=2026"), Err(SearchError::TooLong));
        assert_eq!(parse("date=2026&date=ge2026-11-30"), Err(SearchError::TooLong));
        assert!(parse("date=2026&date=ge2026-12-01").is_ok());
        assert!(parse("date=2026-11").is_ok());
        for wrong in ["date=ap2026-11-21", "date=yesterday", "date=ge"] {
            assert!(matches!(parse(wrong), Err(SearchError::Invalid(_))), "{wrong}");
        }
    }

    #[test]
    fn other_parameters_and_values_are_refused() {
        let with = |rest: &str| parse(&format!("date=2026-11-21&{rest}"));
        for unsupported in ["site=x", "_sort=date", "type=rest", "patient:Patient.name=x", "_include=*"] {
            assert!(matches!(with(unsupported), Err(SearchError::Unsupported(_))), "{unsupported}");
        }
        for wrong in [
            "action=X",
            "action=",
            "action=CR",
            "outcome=1",
            "entity=x",
            "entity=Foo/1",
            "_count=0",
            "_count=x",
            "action=C&action=R",
            "agent=a,",
        ] {
            assert!(matches!(with(wrong), Err(SearchError::Invalid(_))), "{wrong}");
        }
        assert!(
            with("action=C,R&outcome=0,4,8,12&entity=Patient/1,Observation/2&patient=Patient/p,q&agent=https://i|s,t&_count=5").is_ok()
        );
        assert_eq!(with("agent=a\\,b").unwrap().agents, [(None, "a,b".to_owned())]);
    }

    #[test]
    fn ids_come_back() {
        let id =
            RecordId { block: BlockName { time: Timestamp(1_700_000_000_123), chain: u64::MAX, sequence: 9_999_999_999 }, index: 70_000 };
        let text = id.to_string();
        assert!(text.len() <= 64 && fhirpool_fhir::ResourceId::parse(&text).is_some(), "{text}");
        assert_eq!((text.parse(), RecordId::of_bytes(&id.to_bytes())), (Ok(id), Some(id)));
        for other in ["log-", "log-1-2-3", "log-1-2-3-4-5", "log-01-2-3-4", "log--1-2-3-4", "x", "log-1-2-3-fffffffff"] {
            assert_eq!(other.parse::<RecordId>(), Err(()), "{other}");
        }
    }
}
