//! Sets of resource types and of interactions.

use fhirpool_fhir::ResourceType;

/// A set of resource types.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct TypeSet([u64; 3]);

impl TypeSet {
    /// Every type.
    pub fn all() -> Self {
        ResourceType::all().collect()
    }

    /// Whether the type is among them.
    pub fn contains(&self, resource_type: ResourceType) -> bool {
        let number = usize::from(resource_type.number());
        self.0[number / 64] & (1 << (number % 64)) != 0
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0 == [0; 3]
    }

    /// The types of either.
    pub fn union(self, other: Self) -> Self {
        Self(std::array::from_fn(|word| self.0[word] | other.0[word]))
    }

    /// The types of both.
    pub fn intersection(self, other: Self) -> Self {
        Self(std::array::from_fn(|word| self.0[word] & other.0[word]))
    }

    /// The types of this one alone.
    pub fn difference(self, other: Self) -> Self {
        Self(std::array::from_fn(|word| self.0[word] & !other.0[word]))
    }

    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        self.0.iter().for_each(|word| out.extend_from_slice(&word.to_be_bytes()));
    }
}

impl FromIterator<ResourceType> for TypeSet {
    fn from_iter<I: IntoIterator<Item = ResourceType>>(types: I) -> Self {
        let mut set = Self::default();
        for resource_type in types {
            let number = usize::from(resource_type.number());
            set.0[number / 64] |= 1 << (number % 64);
        }
        set
    }
}

/// What a request does, as far as rules tell interactions apart (R4 http.html).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Interaction {
    /// Read the newest version.
    Read,
    /// Read a certain version.
    Vread,
    /// Search a type, a compartment or everything.
    Search,
    /// History of a resource.
    HistoryInstance,
    /// History of a type or of everything.
    HistoryType,
    /// Create.
    Create,
    /// Update, or create under the client's id.
    Update,
    /// Patch.
    Patch,
    /// Delete.
    Delete,
    /// POST a batch or transaction; each entry is authorized besides.
    Bundle,
    /// Search and read the server's own log of accesses, as the type AuditEvent. None of FHIR's, so that no rule for all of those
    /// grants it.
    Audit,
    /// The operation `$everything`; what it shows is what searches do.
    Everything,
}

impl Interaction {
    /// How many there are.
    pub(crate) const COUNT: usize = 12;

    /// All of FHIR's but operations.
    pub const ALL: [Self; Self::COUNT - 2] = [
        Self::Read,
        Self::Vread,
        Self::Search,
        Self::HistoryInstance,
        Self::HistoryType,
        Self::Create,
        Self::Update,
        Self::Patch,
        Self::Delete,
        Self::Bundle,
    ];

    /// The operations.
    pub const OPERATIONS: [Self; 1] = [Self::Everything];

    /// FHIR's and our own.
    pub(crate) fn every() -> impl Iterator<Item = Self> {
        Self::ALL.into_iter().chain([Self::Audit]).chain(Self::OPERATIONS)
    }

    /// Whether it may change something.
    pub fn writes(self) -> bool {
        matches!(self, Self::Create | Self::Update | Self::Patch | Self::Delete | Self::Bundle)
    }

    /// Its name in policy files: R4's code, `bundle` for both kinds of it, an operation's name with `$`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Vread => "vread",
            Self::Search => "search",
            Self::HistoryInstance => "history-instance",
            Self::HistoryType => "history-type",
            Self::Create => "create",
            Self::Update => "update",
            Self::Patch => "patch",
            Self::Delete => "delete",
            Self::Bundle => "bundle",
            Self::Audit => "audit",
            Self::Everything => "$everything",
        }
    }
}

/// A set of interactions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct InteractionSet(u16);

impl InteractionSet {
    /// Whether the interaction is among them.
    pub fn contains(self, interaction: Interaction) -> bool {
        self.0 & (1 << interaction as u8) != 0
    }

    /// Whether there is none.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The interactions, in their order.
    pub fn iter(self) -> impl Iterator<Item = Interaction> {
        Interaction::every().filter(move |interaction| self.contains(*interaction))
    }

    pub(crate) fn write(self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.0.to_be_bytes());
    }
}

impl FromIterator<Interaction> for InteractionSet {
    fn from_iter<I: IntoIterator<Item = Interaction>>(interactions: I) -> Self {
        Self(interactions.into_iter().fold(0, |set, interaction| set | 1 << interaction as u8))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_hold_what_went_in() {
        let types: Vec<ResourceType> = ResourceType::all().collect();
        for (index, resource_type) in types.iter().enumerate() {
            let one: TypeSet = [*resource_type].into_iter().collect();
            assert!(types.iter().enumerate().all(|(other, each)| one.contains(*each) == (other == index)));
            assert!(TypeSet::all().difference(one).union(one) == TypeSet::all() && TypeSet::all().intersection(one) == one);
        }
        for (index, interaction) in Interaction::ALL.into_iter().enumerate() {
            assert_eq!(interaction as usize, index);
            assert!([interaction].into_iter().collect::<InteractionSet>().iter().eq([interaction]));
        }
    }
}
