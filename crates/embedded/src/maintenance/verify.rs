//! Checking everything: every value opens, versions have no gaps, postings and their lists agree both ways, feeds name
//! every version once with its time, counters and clock are right.

use std::collections::BTreeMap;

use fhirpool_authz::TenantId;
use fhirpool_fhir::{OrderedId, ResourceKey, ResourceType, VersionId};
use fhirpool_storage::{AuditAnchor, AuditBlock, ChainCheck, SealedAnchor, StorageError};

use super::check::{Superseded, check_version};
use super::fingerprint::Fingerprint;
use super::{Keys, Names, Result};
use crate::audit::{self, Entry};
use crate::database::{Snapshot, Space};
use crate::feed::read_part;
use crate::forward::Forward;
use crate::keys::{CounterKey, FeedRange, ResourceSlot, parse_posting_prefix, parse_version, posting_key, split_posting};
use crate::meta::{Clock, read_tenants};
use crate::record::Head;
use crate::tenants::TenantNumber;

/// So many problems are listed; the others are counted.
const LISTED_MAX: usize = 1_000;

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Report {
    /// Resources that are there.
    pub resources: u64,
    /// Versions, tombstones among them.
    pub versions: u64,
    /// Postings.
    pub postings: u64,
    /// Blocks of the logs of accesses.
    pub audit_blocks: u64,
    /// What is wrong, at most a thousand.
    pub problems: Vec<Problem>,
    /// How many more there are.
    pub problems_left_out: u64,
}

/// Something that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Where: a tenant and a resource, or a part of the store.
    pub place: String,
    /// What.
    pub what: String,
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.place, self.what)
    }
}

impl Report {
    /// Whether nothing is wrong.
    pub fn is_sound(&self) -> bool {
        self.problems.is_empty()
    }

    fn add(&mut self, place: impl Into<String>, what: impl Into<String>) {
        if self.problems.len() < LISTED_MAX {
            self.problems.push(Problem { place: place.into(), what: what.into() });
        } else {
            self.problems_left_out += 1;
        }
    }
}

/// What the parts of the store say of one type of a tenant, to be compared.
#[derive(Debug, Default)]
struct Tally {
    /// Resources that are there, and the counter.
    resources: u64,
    counter: u64,
    /// Postings as the lists name them, and as they are.
    listed: Fingerprint,
    posted: Fingerprint,
    /// Versions as they are stored, as the type's feed and as the tenant's feed name them.
    versions: Fingerprint,
    fed_by_type: Fingerprint,
    fed_by_tenant: Fingerprint,
}

struct Verification<'a> {
    snapshot: &'a Snapshot,
    keys: &'a mut Keys,
    names: Names,
    report: Report,
    tallies: BTreeMap<(TenantNumber, ResourceType), Tally>,
}

/// One part of the checking.
type Step<'a> = fn(&mut Verification<'a>) -> std::result::Result<(), StorageError>;

/// Checks a snapshot. An error means that the checking itself could not go on; it is then the last problem.
pub(super) fn verify(snapshot: &Snapshot, keys: &mut Keys) -> Result<Report> {
    let names = Names::of(&read_tenants(snapshot)?);
    let mut verification = Verification { snapshot, keys, names, report: Report::default(), tallies: BTreeMap::new() };
    let steps: [(&str, Step<'_>); 6] = [
        ("resources", Verification::resources),
        ("lists of postings", Verification::lists),
        ("postings", Verification::postings),
        ("feeds", Verification::feeds),
        ("counters", Verification::counters),
        ("audit log", Verification::audit),
    ];
    for (name, step) in steps {
        if let Err(error) = step(&mut verification) {
            verification.report.add(name, format!("reading stopped: {error}"));
        }
    }
    verification.compare();
    Ok(verification.report)
}

impl Verification<'_> {
    /// Every version opens; versions run from 1 without gaps; times grow.
    fn resources(&mut self) -> std::result::Result<(), StorageError> {
        let mut superseded = Superseded::new(self.snapshot.range::<&[u8]>(Space::Versions, ..))?;
        for item in self.snapshot.range::<&[u8]>(Space::Resources, ..) {
            let (slot, record) = item?;
            while let Some((key, _)) = superseded.next_before(Some(&slot))? {
                self.orphan(&key);
            }
            let Some((tenant, key, number)) = self.parse(&slot) else {
                self.report.add("resources", "a key cannot be read");
                continue;
            };
            let mut before: Option<Head> = None;
            while let Some((version_key, record)) = superseded.next_of(&slot)? {
                let version = parse_version(&version_key).map(|(_, version)| version);
                before = self.version(&tenant, &key, number, version, &record, before);
            }
            if let Some(head) = self.version(&tenant, &key, number, None, &record, before)
                && !head.deleted
            {
                self.report.resources += 1;
                self.tally(number, key.resource_type).resources += 1;
            }
        }
        while let Some((key, _)) = superseded.next_before(None)? {
            self.orphan(&key);
        }
        Ok(())
    }

    fn version(
        &mut self,
        tenant: &TenantId,
        key: &ResourceKey,
        number: TenantNumber,
        expected: Option<VersionId>,
        record: &[u8],
        before: Option<Head>,
    ) -> Option<Head> {
        self.report.versions += 1;
        let head = match check_version(self.keys, tenant, key, expected, record) {
            Ok(head) => head,
            Err(what) => {
                let version = expected.map_or("the newest version".into(), |version| format!("version {version}"));
                self.report.add(format!("{tenant} {key}"), format!("{version}: {what}"));
                return Head::of(record).ok();
            }
        };
        let version_before = before.map_or(0, |before| before.version.0);
        if head.version.0 != version_before + 1 {
            self.report.add(format!("{tenant} {key}"), format!("version {} follows version {version_before}", head.version));
        }
        if before.is_some_and(|before| before.last_updated >= head.last_updated) {
            self.report.add(format!("{tenant} {key}"), format!("version {} is not later than the one before it", head.version));
        }
        let id = OrderedId::from(&key.id);
        self.tally(number, key.resource_type).versions.add((id, head.version.0, head.last_updated.0));
        Some(head)
    }

    fn orphan(&mut self, key: &[u8]) {
        let slot = parse_version(key).map_or(key, |(slot, _)| slot);
        let place = match self.parse(slot) {
            Some((tenant, key, _)) => format!("{tenant} {key}"),
            None => "versions".into(),
        };
        self.report.add(place, "there is a superseded version, but no newest one");
    }

    /// A resource has a list exactly if it is there.
    fn lists(&mut self) -> std::result::Result<(), StorageError> {
        for item in self.snapshot.range::<&[u8]>(Space::Forward, ..) {
            let (slot, list) = item?;
            let Some((tenant, key, number)) = self.parse(&slot) else {
                self.report.add("lists of postings", "a key cannot be read");
                continue;
            };
            let list = Forward::read(list);
            if !list.is_sound() {
                self.report.add(format!("{tenant} {key}"), "its list of postings cannot be read");
            }
            for (parameter, value) in list.entries() {
                let posting = posting_key(&slot, parameter, value);
                self.tally(number, key.resource_type).listed.add((posting, value.len()));
            }
            let record = self.snapshot.get(Space::Resources, &slot)?;
            if !record.is_some_and(|record| Head::of(&record).is_ok_and(|head| !head.deleted)) {
                self.report.add(format!("{tenant} {key}"), "there is a list of postings, but no resource");
            }
        }
        for item in self.snapshot.range::<&[u8]>(Space::Resources, ..) {
            let (slot, record) = item?;
            let is_there = Head::of(&record).is_ok_and(|head| !head.deleted);
            if is_there
                && self.snapshot.get(Space::Forward, &slot)?.is_none()
                && let Some((tenant, key, _)) = self.parse(&slot)
            {
                self.report.add(format!("{tenant} {key}"), "there is a resource, but no list of its postings");
            }
        }
        Ok(())
    }

    fn postings(&mut self) -> std::result::Result<(), StorageError> {
        for item in self.snapshot.range::<&[u8]>(Space::Postings, ..) {
            let (key, value) = item?;
            self.report.postings += 1;
            match (parse_posting_prefix(&key), split_posting(&key, &value)) {
                (Some((number, resource_type, _)), Some((value, _))) => {
                    let length = value.len();
                    self.tally(number, resource_type).posted.add((key.to_vec(), length));
                }
                _ => self.report.add("postings", "a posting cannot be read"),
            }
        }
        Ok(())
    }

    fn feeds(&mut self) -> std::result::Result<(), StorageError> {
        let clock = Clock::read(self.snapshot)?;
        let mut before = None;
        for item in self.snapshot.range::<&[u8]>(Space::Feed, ..) {
            let (key, part) = item?;
            let (Some((number, resource_type)), Some(place)) = (FeedRange::parse(&key), FeedRange::place(&key)) else {
                self.report.add("feeds", "a key cannot be read");
                continue;
            };
            if place.sequence > clock.sequence || place.last_updated > clock.timestamp() {
                self.report.add("feeds", format!("commit {} is later than the clock", place.sequence));
            }
            let feed = (number, resource_type);
            if before.is_some_and(|(other, sequence)| other == feed && sequence > place.sequence) {
                self.report.add("feeds", format!("commit {} is not in order", place.sequence));
            }
            before = Some((feed, place.sequence));
            match read_part(&part) {
                Err(error) => self.report.add("feeds", format!("commit {}: {error}", place.sequence)),
                Ok(entries) => {
                    for entry in entries {
                        let tally = self.tally(number, entry.resource_type);
                        let fed = if resource_type.is_none() { &mut tally.fed_by_tenant } else { &mut tally.fed_by_type };
                        fed.add((entry.id, entry.version.0, place.last_updated.0));
                    }
                }
            }
        }
        Ok(())
    }

    fn counters(&mut self) -> std::result::Result<(), StorageError> {
        for item in self.snapshot.prefix(Space::Meta, &[CounterKey::PREFIX]) {
            let (key, value) = item?;
            // Other records of the store begin with the same letter.
            let Some((number, resource_type)) = CounterKey::parse(&key) else { continue };
            match value.as_ref().try_into() {
                Ok(bytes) => self.tally(number, resource_type).counter = u64::from_be_bytes(bytes),
                Err(_) => self.report.add("counters", "a counter cannot be read"),
            }
        }
        Ok(())
    }

    /// Every block opens and follows the one ahead of it; each chain ends where it is noted to.
    fn audit(&mut self) -> std::result::Result<(), StorageError> {
        let mut checks: BTreeMap<TenantNumber, (ChainCheck, Vec<AuditAnchor>)> = BTreeMap::new();
        for item in self.snapshot.range::<&[u8]>(Space::Audit, ..) {
            let (key, bytes) = item?;
            let Some((number, entry)) = audit::parse(&key) else {
                self.report.add("audit log", "a key cannot be read");
                continue;
            };
            let (check, anchors) = checks.entry(number).or_default();
            let Some(tenant) = self.names.get(number) else { continue };
            let name = match entry {
                Entry::End => continue,
                Entry::Block(name) => name,
                Entry::Anchor(chain) => {
                    let sealed = audit::read_anchor(chain, &bytes);
                    let key =
                        sealed.as_ref().map_err(Clone::clone).and_then(SealedAnchor::epoch).and_then(|epoch| self.keys.key(tenant, epoch));
                    match key.and_then(|key| sealed.and_then(|sealed| sealed.open(&key, tenant))) {
                        Ok(anchor) => anchors.push(anchor),
                        Err(StorageError::UnknownTenant) => {}
                        Err(error) => self.report.add(format!("{tenant} audit log"), error.to_string()),
                    }
                    continue;
                }
            };
            let block = AuditBlock { name, bytes: bytes.to_vec() };
            let opened = check.add(&block).and_then(|()| block.epoch()).and_then(|epoch| self.keys.key(tenant, epoch));
            match opened.and_then(|key| block.open(&key, tenant)) {
                Ok(_) => self.report.audit_blocks += 1,
                // Of a tenant whose keys were destroyed: nobody can read it any more, as it should be.
                Err(StorageError::UnknownTenant) => {}
                Err(error) => self.report.add(format!("{tenant} audit log"), format!("block {}: {error}", name.sequence)),
            }
        }
        for (number, (check, anchors)) in checks {
            let place = format!("{} audit log", self.names.get(number).map_or("an unknown tenant", TenantId::as_str));
            let end = audit::end(self.snapshot, number)?;
            if end.is_none() {
                self.report.add(&place, "it is not noted where it ends");
            }
            for problem in check.problems(end.as_slice(), &anchors) {
                self.report.add(&place, problem);
            }
        }
        Ok(())
    }

    fn compare(&mut self) {
        for ((number, resource_type), tally) in std::mem::take(&mut self.tallies) {
            let tenant = self.names.get(number).map_or("an unknown tenant", TenantId::as_str).to_owned();
            let place = format!("{tenant} {resource_type}");
            if tally.counter != tally.resources {
                self.report.add(&place, format!("the counter says {}, but there are {} resources", tally.counter, tally.resources));
            }
            if tally.listed != tally.posted {
                let what = format!("{} postings are listed, {} are there, and they do not agree", tally.listed.count, tally.posted.count);
                self.report.add(&place, what);
            }
            for (feed, fed) in [("type", tally.fed_by_type), ("tenant", tally.fed_by_tenant)] {
                if fed != tally.versions {
                    let what = format!(
                        "the feed of the {feed} names {} versions, {} are there, and they do not agree",
                        fed.count, tally.versions.count
                    );
                    self.report.add(&place, what);
                }
            }
        }
    }

    fn parse(&self, slot: &[u8]) -> Option<(TenantId, ResourceKey, TenantNumber)> {
        let (number, resource_type, id) = ResourceSlot::parse(slot)?;
        Some((self.names.get(number)?.clone(), ResourceKey::new(resource_type, (&id).into()), number))
    }

    fn tally(&mut self, number: TenantNumber, resource_type: ResourceType) -> &mut Tally {
        self.tallies.entry((number, resource_type)).or_default()
    }
}
