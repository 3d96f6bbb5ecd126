//! What a record says, and its bytes in a block.
//!
//! ```text
//! format      1 byte   1
//! activity    1 byte
//! flags       1 byte   agent (0), client (1), IPv4 (2), IPv6 (3), type (4), id (5), version (6), goes on (7)
//! status      2 bytes  of HTTP, little-endian; 0: the client went away before there was an answer
//! time        8 bytes  milliseconds since 1970, little-endian
//! peer        4 or 16 bytes
//! type        1 byte
//! version     varint
//! texts       request id, issuer and subject, client, id, parameters: each its length (varint) and UTF-8, those that there are
//! patients    count (varint), then each a text
//! touched     count (varint), then each: activity, flags (4 to 6 as above), status, type, version, id
//! ```
//! In a block each record stands behind its length (4 bytes, little-endian).

use std::net::IpAddr;

use fhirpool_authz::{Administrator, Principal};
use fhirpool_fhir::{ResourceType, Timestamp};
use fhirpool_storage::{Result, StorageError};

const FORMAT: u8 = 1;
/// Bytes of a length.
const LENGTH_BYTES: usize = 4;

const AGENT: u8 = 1;
const CLIENT: u8 = 1 << 1;
const IPV4: u8 = 1 << 2;
const IPV6: u8 = 1 << 3;
const TYPE: u8 = 1 << 4;
const ID: u8 = 1 << 5;
const VERSION: u8 = 1 << 6;
const GOES_ON: u8 = 1 << 7;

/// No record lists more entries of a Bundle: the others follow in further records of the same request.
pub const TOUCHED_MAX: usize = 500;

/// What was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Activity {
    /// Something that is none of the others, such as an entry that could not be read.
    Other = 0,
    /// Read.
    Read = 1,
    /// Read of a version.
    Vread = 2,
    /// Search over a type or in a compartment.
    SearchType = 3,
    /// Search over all types.
    SearchSystem = 4,
    /// History of a resource.
    HistoryInstance = 5,
    /// History of a type.
    HistoryType = 6,
    /// History of the tenant.
    HistorySystem = 7,
    /// Create.
    Create = 8,
    /// Update.
    Update = 9,
    /// Patch.
    Patch = 10,
    /// Delete.
    Delete = 11,
    /// A Bundle that was refused before it was known which kind it is.
    Bundle = 12,
    /// A batch.
    Batch = 13,
    /// A transaction.
    Transaction = 14,
    /// An operation.
    Operation = 15,
    /// Content by a signed address.
    ContentDownload = 16,
    /// Content to a signed address.
    ContentUpload = 17,
    /// A look into the log of accesses itself.
    Audit = 18,
    /// An administrator's making of the tenant.
    TenantCreate = 19,
    /// An administrator's look at the tenant's record.
    TenantShow = 20,
    /// An administrator's suspension of the tenant.
    TenantSuspend = 21,
    /// Its end.
    TenantResume = 22,
    /// An administrator's deletion of the tenant.
    TenantDelete = 23,
    /// An administrator's change of the tenant's roles, quotas and issuers.
    TenantAccess = 24,
}

impl Activity {
    const ALL: [Self; 25] = [
        Self::Other,
        Self::Read,
        Self::Vread,
        Self::SearchType,
        Self::SearchSystem,
        Self::HistoryInstance,
        Self::HistoryType,
        Self::HistorySystem,
        Self::Create,
        Self::Update,
        Self::Patch,
        Self::Delete,
        Self::Bundle,
        Self::Batch,
        Self::Transaction,
        Self::Operation,
        Self::ContentDownload,
        Self::ContentUpload,
        Self::Audit,
        Self::TenantCreate,
        Self::TenantShow,
        Self::TenantSuspend,
        Self::TenantResume,
        Self::TenantDelete,
        Self::TenantAccess,
    ];

    /// R4's code of the interaction (`restful-interaction`), or a word of our own where it has none.
    pub fn code(self) -> &'static str {
        match self {
            Self::Other => "other",
            Self::Read => "read",
            Self::Vread => "vread",
            Self::SearchType => "search-type",
            Self::SearchSystem => "search-system",
            Self::HistoryInstance => "history-instance",
            Self::HistoryType => "history-type",
            Self::HistorySystem => "history-system",
            Self::Create => "create",
            Self::Update => "update",
            Self::Patch => "patch",
            Self::Delete => "delete",
            Self::Bundle => "bundle",
            Self::Batch => "batch",
            Self::Transaction => "transaction",
            Self::Operation => "operation",
            Self::ContentDownload => "content-download",
            Self::ContentUpload => "content-upload",
            Self::Audit => "audit",
            Self::TenantCreate => "tenant-create",
            Self::TenantShow => "tenant-show",
            Self::TenantSuspend => "tenant-suspend",
            Self::TenantResume => "tenant-resume",
            Self::TenantDelete => "tenant-delete",
            Self::TenantAccess => "tenant-access",
        }
    }

    /// Whether R4 has the code.
    pub fn is_fhirs(self) -> bool {
        !matches!(self, Self::Other | Self::Bundle | Self::ContentDownload | Self::ContentUpload | Self::Audit) && !self.is_of_tenants()
    }

    /// Whether it is something that administrators do to a tenant.
    fn is_of_tenants(self) -> bool {
        self as u8 >= Self::TenantCreate as u8
    }

    /// AuditEvent.action: C, R, U, D or E.
    pub fn action(self) -> char {
        match self {
            Self::Create | Self::TenantCreate => 'C',
            Self::Read
            | Self::Vread
            | Self::HistoryInstance
            | Self::HistoryType
            | Self::HistorySystem
            | Self::ContentDownload
            | Self::TenantShow => 'R',
            Self::Update | Self::Patch | Self::ContentUpload | Self::TenantSuspend | Self::TenantResume | Self::TenantAccess => 'U',
            Self::Delete | Self::TenantDelete => 'D',
            Self::SearchType
            | Self::SearchSystem
            | Self::Bundle
            | Self::Batch
            | Self::Transaction
            | Self::Operation
            | Self::Audit
            | Self::Other => 'E',
        }
    }

    fn of_number(number: u8) -> Option<Self> {
        Self::ALL.get(usize::from(number)).copied()
    }
}

/// AuditEvent.outcome of a status: 0 success, 4 the client's fault or a denial, 8 the server's fault or no answer.
pub(crate) fn outcome_of(status: u16) -> char {
    match status {
        100..=399 => '0',
        400..=499 => '4',
        _ => '8',
    }
}

/// A resource that an entry of a Bundle was about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Touched {
    /// What the entry asked for.
    pub activity: Activity,
    /// What it was answered; 0: nobody knows, it may have been done.
    pub status: u16,
    /// The type.
    pub resource_type: Option<ResourceType>,
    /// The id.
    pub id: Option<String>,
    /// The version.
    pub version: Option<u64>,
}

/// An access, as the request knows it. Of what is done to a tenant by an administrator or on the command line, only the first
/// members up to the administrator are told.
#[derive(Debug, Clone, Copy)]
pub struct Access<'a> {
    /// When it was answered.
    pub time: Timestamp,
    /// What was asked for.
    pub activity: Activity,
    /// What was answered; 0: nothing, since the client went away.
    pub status: u16,
    /// Names the request in logs.
    pub request_id: &'a str,
    /// Where it came from.
    pub peer: Option<IpAddr>,
    /// Who asked, if that is known and may be told.
    pub principal: Option<&'a Principal>,
    /// Who did something to the tenant, and is nobody in it.
    pub administrator: Option<&'a Administrator>,
    /// The type it is about.
    pub resource_type: Option<ResourceType>,
    /// The id.
    pub id: Option<&'a str>,
    /// The version.
    pub version: Option<u64>,
    /// Names of parameters, separated by commas.
    pub parameters: &'a str,
    /// Ids of the patients it is about.
    pub patients: &'a [&'a str],
    /// Of a Bundle, its entries.
    pub touched: &'a [Touched],
}

impl<'a> Access<'a> {
    /// Of which nothing more is known.
    pub fn new(activity: Activity, status: u16, time: Timestamp, request_id: &'a str) -> Self {
        Self {
            time,
            activity,
            status,
            request_id,
            peer: None,
            principal: None,
            administrator: None,
            resource_type: None,
            id: None,
            version: None,
            parameters: "",
            patients: &[],
            touched: &[],
        }
    }
}

impl Access<'_> {
    /// Appends the records of it: one, or several where a Bundle has many entries; each behind its length.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        let mut chunks = self.touched.chunks(TOUCHED_MAX);
        self.write_framed(chunks.next().unwrap_or_default(), false, out);
        chunks.for_each(|chunk| self.write_framed(chunk, true, out));
    }

    fn write_framed(&self, touched: &[Touched], goes_on: bool, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(&[0; LENGTH_BYTES]);
        self.write_record(touched, goes_on, out);
        let length = (out.len() - start - LENGTH_BYTES) as u32;
        out[start..start + LENGTH_BYTES].copy_from_slice(&length.to_le_bytes());
    }

    fn write_record(&self, touched: &[Touched], goes_on: bool, out: &mut Vec<u8>) {
        let client = self.principal.and_then(Principal::client);
        let of_principal = self.principal.map(|principal| (principal.issuer(), principal.subject()));
        let agent = of_principal.or(self.administrator.map(|administrator| (administrator.issuer(), administrator.subject())));
        let peer = match self.peer {
            Some(IpAddr::V4(_)) => IPV4,
            Some(IpAddr::V6(_)) => IPV6,
            None => 0,
        };
        let flags = flag(agent.is_some(), AGENT)
            | flag(client.is_some(), CLIENT)
            | peer
            | about(self.resource_type, self.id, self.version)
            | flag(goes_on, GOES_ON);
        out.extend_from_slice(&[FORMAT, self.activity as u8, flags]);
        out.extend_from_slice(&self.status.to_le_bytes());
        out.extend_from_slice(&self.time.0.to_le_bytes());
        match self.peer {
            Some(IpAddr::V4(address)) => out.extend_from_slice(&address.octets()),
            Some(IpAddr::V6(address)) => out.extend_from_slice(&address.octets()),
            None => {}
        }
        write_about(self.resource_type, self.version, out);
        write_text(self.request_id, out);
        if let Some((issuer, subject)) = agent {
            write_text(issuer, out);
            write_text(subject, out);
        }
        client.into_iter().chain(self.id).for_each(|text| write_text(text, out));
        write_text(self.parameters, out);
        write_varint(self.patients.len() as u64, out);
        self.patients.iter().for_each(|patient| write_text(patient, out));
        write_varint(touched.len() as u64, out);
        for Touched { activity, status, resource_type, id, version } in touched {
            out.extend_from_slice(&[*activity as u8, about(*resource_type, id.as_deref(), *version)]);
            out.extend_from_slice(&status.to_le_bytes());
            write_about(*resource_type, *version, out);
            if let Some(id) = id {
                write_text(id, out);
            }
        }
    }
}

fn flag(is: bool, flag: u8) -> u8 {
    if is { flag } else { 0 }
}

fn about(resource_type: Option<ResourceType>, id: Option<&str>, version: Option<u64>) -> u8 {
    flag(resource_type.is_some(), TYPE) | flag(id.is_some(), ID) | flag(version.is_some(), VERSION)
}

fn write_about(resource_type: Option<ResourceType>, version: Option<u64>, out: &mut Vec<u8>) {
    out.extend(resource_type.map(ResourceType::number));
    if let Some(version) = version {
        write_varint(version, out);
    }
}

fn write_text(text: &str, out: &mut Vec<u8>) {
    write_varint(text.len() as u64, out);
    out.extend_from_slice(text.as_bytes());
}

/// Appends a record that was written here, behind its length.
pub(crate) fn write_framed(record: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(&(record.len() as u32).to_le_bytes());
    out.extend_from_slice(record);
}

fn write_varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Who asked, by the token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Agent {
    /// The issuer.
    pub issuer: String,
    /// The subject, a name of the issuer's.
    pub subject: String,
    /// The application.
    pub client: Option<String>,
}

/// A record, as it was read again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// When it was answered.
    pub time: Timestamp,
    /// What was asked for.
    pub activity: Activity,
    /// What was answered; 0: nothing.
    pub status: u16,
    /// Names the request in logs.
    pub request_id: String,
    /// Where it came from.
    pub peer: Option<IpAddr>,
    /// Who asked.
    pub agent: Option<Agent>,
    /// The type.
    pub resource_type: Option<ResourceType>,
    /// The id.
    pub id: Option<String>,
    /// The version.
    pub version: Option<u64>,
    /// Names of parameters, separated by commas.
    pub parameters: String,
    /// Ids of patients.
    pub patients: Vec<String>,
    /// Entries of a Bundle.
    pub touched: Vec<Touched>,
    /// Whether it lists further entries of the Bundle that the record ahead is about.
    pub goes_on: bool,
}

impl Record {
    /// Reads one record.
    pub(crate) fn read(bytes: &[u8]) -> Result<Self> {
        let mut reader = Cursor { bytes };
        let record = reader.record().filter(|_| reader.bytes.is_empty());
        record.ok_or_else(|| StorageError::Damaged("a record of the audit log cannot be read".into()))
    }
}

/// Cuts the bytes of a block into records.
pub(crate) fn split(bytes: &[u8]) -> Result<Vec<&[u8]>> {
    let mut reader = Cursor { bytes };
    let mut records = Vec::new();
    while !reader.bytes.is_empty() {
        let record = reader.array().map(u32::from_le_bytes).and_then(|length| reader.take(length as usize));
        records.push(record.ok_or_else(|| StorageError::Damaged("a block of the audit log ends within a record".into()))?);
    }
    Ok(records)
}

/// The time of a record that was written here.
pub(crate) fn time_of(record: &[u8]) -> Timestamp {
    let bytes = record.get(5..13).and_then(|bytes| bytes.try_into().ok());
    Timestamp(bytes.map_or(0, i64::from_le_bytes))
}

/// Reads from the front of bytes that may be damaged.
struct Cursor<'a> {
    bytes: &'a [u8],
}

impl<'a> Cursor<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.bytes.split_at_checked(length)?;
        self.bytes = rest;
        Some(taken)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    fn byte(&mut self) -> Option<u8> {
        self.array().map(|[byte]| byte)
    }

    fn varint(&mut self) -> Option<u64> {
        let mut value = 0_u64;
        for place in 0..10 {
            let byte = self.byte()?;
            // Nine bytes hold 63 bits: the tenth has the last one and ends the number.
            if place == 9 && byte > 1 {
                return None;
            }
            value |= u64::from(byte & 0x7F) << (7 * place);
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }

    fn text(&mut self) -> Option<String> {
        let length = usize::try_from(self.varint()?).ok()?;
        String::from_utf8(self.take(length)?.to_vec()).ok()
    }

    fn resource_type(&mut self, flags: u8) -> Option<Option<ResourceType>> {
        if flags & TYPE == 0 { Some(None) } else { ResourceType::from_number(self.byte()?).map(Some) }
    }

    fn version(&mut self, flags: u8) -> Option<Option<u64>> {
        if flags & VERSION == 0 { Some(None) } else { self.varint().map(Some) }
    }

    fn text_if(&mut self, is: bool) -> Option<Option<String>> {
        if is { self.text().map(Some) } else { Some(None) }
    }

    fn record(&mut self) -> Option<Record> {
        let [format, activity, flags] = self.array()?;
        if format != FORMAT {
            return None;
        }
        let (status, time) = (u16::from_le_bytes(self.array()?), i64::from_le_bytes(self.array()?));
        let peer = match flags & (IPV4 | IPV6) {
            0 => None,
            IPV4 => Some(IpAddr::from(self.array::<4>()?)),
            IPV6 => Some(IpAddr::from(self.array::<16>()?)),
            _ => return None,
        };
        let (resource_type, version) = (self.resource_type(flags)?, self.version(flags)?);
        let request_id = self.text()?;
        let issuer_and_subject = if flags & AGENT == 0 { None } else { Some((self.text()?, self.text()?)) };
        let client = self.text_if(flags & CLIENT != 0)?;
        let agent = issuer_and_subject.map(|(issuer, subject)| Agent { issuer, subject, client });
        let (id, parameters) = (self.text_if(flags & ID != 0)?, self.text()?);
        let patients = (0..self.varint()?).map(|_| self.text()).collect::<Option<_>>()?;
        let touched = (0..self.varint()?).map(|_| self.touched()).collect::<Option<_>>()?;
        Some(Record {
            time: Timestamp(time),
            activity: Activity::of_number(activity)?,
            status,
            request_id,
            peer,
            agent,
            resource_type,
            id,
            version,
            parameters,
            patients,
            touched,
            goes_on: flags & GOES_ON != 0,
        })
    }

    fn touched(&mut self) -> Option<Touched> {
        let [activity, flags] = self.array()?;
        let status = u16::from_le_bytes(self.array()?);
        let (resource_type, version) = (self.resource_type(flags)?, self.version(flags)?);
        Some(Touched { activity: Activity::of_number(activity)?, status, resource_type, id: self.text_if(flags & ID != 0)?, version })
    }
}

#[cfg(test)]
pub(crate) mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use fhirpool_authz::TenantId;

    use super::*;

    pub(crate) fn access<'a>() -> Access<'a> {
        Access::new(Activity::Read, 200, Timestamp(1_700_000_000_123), "r-1")
    }

    #[test]
    fn a_record_says_again_what_was_written() {
        let operator = Principal::operator(TenantId::parse("acme").unwrap());
        let patient = ResourceType::parse("Patient");
        let touched: Vec<Touched> = (0..TOUCHED_MAX + 1)
            .map(|number| Touched {
                activity: Activity::Create,
                status: 201,
                resource_type: patient.filter(|_| number % 2 == 0),
                id: (number % 3 == 0).then(|| number.to_string()),
                version: (number % 5 == 0).then_some(number as u64),
            })
            .collect();
        let full = Access {
            peer: Some("192.0.2.7".parse().unwrap()),
            principal: Some(&operator),
            resource_type: patient,
            id: Some("p"),
            version: Some(300),
            parameters: "name,birthdate",
            patients: &["p", "q"],
            touched: &touched,
            ..access()
        };
        let mut bytes = Vec::new();
        full.write(&mut bytes);
        Access { peer: Some("2001:db8::1".parse().unwrap()), status: 0, version: Some(u64::MAX), ..access() }.write(&mut bytes);
        let records: Vec<Record> = split(&bytes).unwrap().into_iter().map(|record| Record::read(record).unwrap()).collect();
        assert_eq!(records.len(), 3);
        let agent = records[0].agent.as_ref().unwrap();
        assert_eq!((agent.subject.as_str(), &agent.client), ("operator", &None));
        assert_eq!((records[0].id.as_deref(), records[0].version, records[0].patients.len()), (Some("p"), Some(300), 2));
        assert_eq!([&records[0].touched[..], &records[1].touched[..]].concat(), touched);
        assert_eq!((records[0].goes_on, records[1].goes_on, records[1].request_id.as_str()), (false, true, "r-1"));
        assert_eq!((records[2].peer, records[2].status, &records[2].agent), (Some("2001:db8::1".parse().unwrap()), 0, &None));
        assert_eq!(records[2].version, Some(u64::MAX));
        assert!(split(&bytes).unwrap().iter().all(|record| time_of(record) == Timestamp(1_700_000_000_123)));
    }

    #[test]
    fn damaged_bytes_are_refused_without_a_panic() {
        let mut bytes = Vec::new();
        Access { parameters: "name", patients: &["p"], id: Some("x"), ..access() }.write(&mut bytes);
        for length in 0..bytes.len() {
            assert!(length == 0 || split(&bytes[..length]).is_err());
            let _ = Record::read(&bytes[LENGTH_BYTES..length.max(LENGTH_BYTES)]).unwrap_err();
        }
        for place in 0..bytes.len() {
            for bit in 0..8 {
                let mut changed = bytes.clone();
                changed[place] ^= 1 << bit;
                let _ = split(&changed).map(|records| records.into_iter().map(Record::read).collect::<Vec<_>>());
            }
        }
    }

    #[test]
    fn every_number_comes_back_and_longer_ones_are_refused() {
        for number in (0..64).flat_map(|bit| [(1_u64 << bit) - 1, 1 << bit]).chain([u64::MAX]) {
            let mut bytes = Vec::new();
            write_varint(number, &mut bytes);
            assert_eq!(Cursor { bytes: &bytes }.varint(), Some(number));
        }
        for last in [2, 0x7F, 0x80, 0x81] {
            let mut bytes = [0xFF; 11];
            (bytes[9], bytes[10]) = (last, 0);
            assert_eq!(Cursor { bytes: &bytes }.varint(), None);
        }
    }

    #[test]
    fn numbers_of_activities_stay() {
        assert!(Activity::ALL.iter().enumerate().all(|(number, activity)| *activity as usize == number));
    }
}
