//! A tenant's record and the states that it goes through.

use std::collections::BTreeMap;

use fhirpool_authz::{TenantAccess, TenantId};
use fhirpool_fhir::Timestamp;
use fhirpool_fhir::json::{Document, Value, Writer};

use crate::{Result, StorageError};

/// No tenant has a longer name, in characters.
pub const TENANT_NAME_CHARS_MAX: usize = 200;

/// What may be done for a tenant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TenantState {
    /// Everything.
    Active,
    /// Nothing, until it is resumed; all of it stays.
    Suspended,
    /// Nothing any more: it is being removed.
    Deleting,
    /// It was removed; only its record is left.
    Deleted,
}

impl TenantState {
    /// As it is stored and shown.
    pub fn name(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Suspended => "suspended",
            Self::Deleting => "deleting",
            Self::Deleted => "deleted",
        }
    }

    /// The state of a name.
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Active, Self::Suspended, Self::Deleting, Self::Deleted].into_iter().find(|state| state.name() == name)
    }

    /// Whether what it has is still there: work that began goes on, and what was written is indexed.
    pub fn is_kept(self) -> bool {
        matches!(self, Self::Active | Self::Suspended)
    }
}

/// Why a record cannot become another. The text may be told to operators.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// A state cannot follow another.
    #[error("the tenant is {}, which cannot become {}", from.name(), to.name())]
    State {
        /// What it is.
        from: TenantState,
        /// What it should become.
        to: TenantState,
    },
    /// It is being deleted, or was.
    #[error("the tenant is {}: nothing of it can be set any more", .0.name())]
    Closed(TenantState),
}

/// A tenant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TenantRecord {
    /// Its id, in addresses and keys.
    pub id: TenantId,
    /// For people; up to [`TENANT_NAME_CHARS_MAX`] characters.
    pub name: String,
    /// What may be done for it.
    pub state: TenantState,
    /// Counts the record's changes, from 1; 0: an earlier version registered it.
    pub revision: u64,
    /// When it was made; `None`: not known.
    pub created_at: Option<Timestamp>,
    /// When the state was last changed; `None`: never since it was made.
    pub changed_at: Option<Timestamp>,
    /// Who made it or asked for its state, as `issuer|subject`; `None`: not known.
    pub changed_by: Option<String>,
    /// Roles, quotas and issuers of its own, as `fhirpool_authz::TenantAccess` has them in JSON; `None`: those of the deployment.
    pub access: Option<String>,
    /// What was removed, by part of the store; empty unless it was deleted.
    pub removed: BTreeMap<String, u64>,
}

impl TenantRecord {
    /// Of a new tenant; named like its id where no name is given.
    ///
    /// # Errors
    /// What the name may be, where it is something else.
    pub fn new(id: TenantId, name: &str, now: Timestamp) -> std::result::Result<Self, String> {
        let name = if name.is_empty() { id.as_str() } else { name };
        if name.chars().count() > TENANT_NAME_CHARS_MAX || name.chars().any(char::is_control) {
            return Err(format!("a tenant's name has 1 to {TENANT_NAME_CHARS_MAX} characters, none of them a control character"));
        }
        Ok(Self { name: name.to_owned(), revision: 1, ..Self::unrecorded(id, Some(now)) })
    }

    /// Of a tenant that an earlier version registered.
    pub fn unrecorded(id: TenantId, created_at: Option<Timestamp>) -> Self {
        let name = id.as_str().to_owned();
        let (changed_at, changed_by, access, removed) = (None, None, None, BTreeMap::new());
        Self { id, name, state: TenantState::Active, revision: 0, created_at, changed_at, changed_by, access, removed }
    }

    /// The record with roles, quotas and issuers of its own, or without; `None`: it is so already.
    ///
    /// # Errors
    /// The tenant is being deleted, or was.
    pub fn with_access(&self, access: Option<&TenantAccess>) -> std::result::Result<Option<Self>, Refused> {
        let access = access.map(|access| access.as_json().to_owned());
        match self.state {
            TenantState::Deleting | TenantState::Deleted => Err(Refused::Closed(self.state)),
            _ if self.access == access => Ok(None),
            _ => Ok(Some(Self { access, revision: self.revision + 1, ..self.clone() })),
        }
    }

    /// The record after a change of state; `None`: it is so already. One that is deleted has no roles, quotas and issuers any more.
    ///
    /// # Errors
    /// The state cannot follow: what is being deleted can only become deleted, and what was deleted stays so.
    pub fn with_state(&self, to: TenantState, now: Timestamp) -> std::result::Result<Option<Self>, Refused> {
        use TenantState::{Active, Deleted, Deleting, Suspended};
        match (self.state, to) {
            (from, to) if from == to => Ok(None),
            (Active, Suspended) | (Suspended, Active) | (Active | Suspended, Deleting) | (Deleting, Deleted) => {
                let access = self.access.clone().filter(|_| to.is_kept());
                Ok(Some(Self { state: to, revision: self.revision + 1, changed_at: Some(now), access, ..self.clone() }))
            }
            (from, to) => Err(Refused::State { from, to }),
        }
    }

    /// The record as JSON, for stores; times in milliseconds since 1970.
    pub fn to_json(&self) -> String {
        self.write(|writer, name, time| {
            writer.raw_member(name, &time.0.to_string());
        })
    }

    /// The same for people, with times as texts.
    pub fn to_shown_json(&self) -> String {
        self.write(|writer, name, time| {
            writer.string_member(name, &time.to_string());
        })
    }

    fn write(&self, write_time: fn(&mut Writer, &str, Timestamp)) -> String {
        let mut writer = Writer::new();
        writer.begin_object().string_member("id", self.id.as_str()).string_member("name", &self.name);
        writer.string_member("state", self.state.name()).raw_member("revision", &self.revision.to_string());
        for (name, time) in [("createdAt", self.created_at), ("changedAt", self.changed_at)] {
            if let Some(time) = time {
                write_time(&mut writer, name, time);
            }
        }
        if let Some(changed_by) = &self.changed_by {
            writer.string_member("changedBy", changed_by);
        }
        if let Some(access) = &self.access {
            writer.raw_member("access", access);
        }
        if !self.removed.is_empty() {
            writer.key("removed").begin_object();
            for (part, count) in &self.removed {
                writer.raw_member(part, &count.to_string());
            }
            writer.end_object();
        }
        writer.end_object();
        writer.finish()
    }

    /// Reads what [`TenantRecord::to_json`] wrote.
    ///
    /// # Errors
    /// [`StorageError::Damaged`] for anything else.
    pub fn from_json(json: &[u8]) -> Result<Self> {
        let document = Document::parse(json).map_err(|_| damaged())?;
        Self::read(document.root()).ok_or_else(damaged)
    }

    fn read(record: Value<'_>) -> Option<Self> {
        let time = |name| match record.get(name) {
            Some(time) => time.as_number()?.parse().ok().map(|millis| Some(Timestamp(millis))),
            None => Some(None),
        };
        let removed = record.get("removed").into_iter().flat_map(|removed| removed.members());
        let removed = removed.map(|member| Some((member.name().into_owned(), member.value().as_number()?.parse().ok()?)));
        Some(Self {
            id: TenantId::parse(&record.get("id")?.as_str()?)?,
            name: record.get("name")?.as_str()?.into_owned(),
            state: TenantState::parse(&record.get("state")?.as_str()?)?,
            revision: record.get("revision")?.as_number()?.parse().ok()?,
            created_at: time("createdAt")?,
            changed_at: time("changedAt")?,
            changed_by: match record.get("changedBy") {
                Some(by) => Some(by.as_str()?.into_owned()),
                None => None,
            },
            access: record.get("access").map(|access| access.raw().to_owned()),
            removed: removed.collect::<Option<_>>()?,
        })
    }
}

fn damaged() -> StorageError {
    StorageError::Damaged("a tenant's record cannot be read".into())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn record() -> TenantRecord {
        TenantRecord::new(TenantId::parse("acme").unwrap(), "Acme \"Süd\"", Timestamp(5)).unwrap()
    }

    #[test]
    fn what_is_written_is_read() {
        let removed = BTreeMap::from([("resources".to_owned(), 7)]);
        let changed_by = Some("https://issuer|some \"one\"".to_owned());
        let deleted = TenantRecord { removed, changed_at: Some(Timestamp(9)), changed_by, state: TenantState::Deleted, ..record() };
        let access = Some(r#"{"quota":{"points_per_second":5}}"#.to_owned());
        let suspended = TenantRecord { access, state: TenantState::Suspended, ..record() };
        for record in [record(), deleted, suspended, TenantRecord::unrecorded(TenantId::parse("old").unwrap(), None)] {
            assert_eq!(TenantRecord::from_json(record.to_json().as_bytes()), Ok(record));
        }
        for text in ["", "{}", "[]", "{\"id\":\"acme\",\"name\":\"x\",\"state\":\"open\",\"revision\":1}"] {
            assert!(TenantRecord::from_json(text.as_bytes()).is_err(), "{text}");
        }
    }

    #[test]
    fn states_follow_each_other_and_deletion_is_final() {
        use TenantState::{Active, Deleted, Deleting, Suspended};
        let may = [(Active, Suspended), (Suspended, Active), (Active, Deleting), (Suspended, Deleting), (Deleting, Deleted)];
        for from in [Active, Suspended, Deleting, Deleted] {
            for to in [Active, Suspended, Deleting, Deleted] {
                let next = TenantRecord { state: from, ..record() }.with_state(to, Timestamp(8));
                match (from == to, may.contains(&(from, to))) {
                    (true, _) => assert_eq!(next, Ok(None)),
                    (_, true) => assert_eq!(next.unwrap().map(|next| (next.state, next.revision)), Some((to, 2))),
                    (_, false) => assert_eq!(next, Err(Refused::State { from, to })),
                }
            }
        }
    }

    #[test]
    fn a_record_has_access_of_its_own_until_it_is_deleted() {
        let access = TenantAccess::parse(&record().id, r#"{"quota": {"points_per_second": 5}}"#).unwrap();
        let with = record().with_access(access.as_ref()).unwrap().unwrap();
        assert_eq!((with.access.as_deref(), with.revision), (Some(r#"{"quota":{"points_per_second":5}}"#), 2));
        assert_eq!(with.with_access(access.as_ref()), Ok(None));
        let suspended = with.with_state(TenantState::Suspended, Timestamp(8)).unwrap().unwrap();
        assert_eq!(suspended.access, with.access);
        let deleting = suspended.with_state(TenantState::Deleting, Timestamp(9)).unwrap().unwrap();
        assert_eq!((deleting.access.as_ref(), deleting.with_access(access.as_ref())), (None, Err(Refused::Closed(TenantState::Deleting))));
    }

    #[test]
    fn names_have_limits() {
        let id = || TenantId::parse("acme").unwrap();
        assert_eq!(TenantRecord::new(id(), "", Timestamp(0)).unwrap().name, "acme");
        for name in ["a\nb".to_owned(), "x".repeat(TENANT_NAME_CHARS_MAX + 1)] {
            assert!(TenantRecord::new(id(), &name, Timestamp(0)).is_err());
        }
    }
}
