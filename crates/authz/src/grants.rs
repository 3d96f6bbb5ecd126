//! What a principal is granted: on which types each interaction, and within what.

use fhirpool_fhir::{ResourceKey, ResourceType};

use crate::types::{Interaction, InteractionSet, TypeSet};

/// What a grant is narrowed to, as data: all of it must hold of a resource.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Limit {
    /// The resource is in the compartment of this one.
    pub compartment: Option<ResourceKey>,
    /// The resource matches these search criteria, a query such as `category=laboratory`, undecoded.
    pub criteria: Option<String>,
}

/// What is granted of one type for one interaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Leave<'a> {
    /// Nothing.
    Denied,
    /// All of it.
    Whole,
    /// The resources that one of these admits.
    Within(Vec<&'a Limit>),
}

/// A narrowed grant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LimitedGrant {
    pub interactions: InteractionSet,
    pub types: TypeSet,
    pub limit: Limit,
}

/// The types on which each interaction is granted, and what of them, decided once for a token.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Grants {
    /// Without a limit, by interaction.
    whole: [TypeSet; Interaction::COUNT],
    /// Alternatives within limits.
    limited: Vec<LimitedGrant>,
    /// Either way, by interaction.
    types: [TypeSet; Interaction::COUNT],
}

impl Grants {
    /// The types on which the interaction is granted, wholly or within limits; for [`Interaction::Bundle`] any type means yes.
    pub fn types(&self, interaction: Interaction) -> TypeSet {
        self.types[interaction as usize]
    }

    /// What of a type is granted.
    pub fn leave(&self, interaction: Interaction, resource_type: ResourceType) -> Leave<'_> {
        if self.whole[interaction as usize].contains(resource_type) {
            return Leave::Whole;
        }
        if !self.types(interaction).contains(resource_type) {
            return Leave::Denied;
        }
        let limits = self.limited.iter().filter(|grant| grant.interactions.contains(interaction) && grant.types.contains(resource_type));
        Leave::Within(limits.map(|grant| &grant.limit).collect())
    }

    /// The types on which anything is granted.
    pub(crate) fn any_types(&self) -> TypeSet {
        self.types.iter().copied().fold(TypeSet::default(), TypeSet::union)
    }

    /// Everything without a limit.
    pub(crate) fn everything() -> Self {
        Self::whole([TypeSet::all(); Interaction::COUNT])
    }

    /// These types without a limit, by interaction.
    pub(crate) fn whole(types: [TypeSet; Interaction::COUNT]) -> Self {
        Self { whole: types, limited: Vec::new(), types }
    }

    /// Grants one thing more.
    pub(crate) fn add(&mut self, interactions: InteractionSet, types: TypeSet, limit: Limit) {
        if types.is_empty() {
            return;
        }
        for interaction in interactions.iter() {
            let place = interaction as usize;
            self.types[place] = self.types[place].union(types);
            if limit == Limit::default() {
                self.whole[place] = self.whole[place].union(types);
            }
        }
        if limit != Limit::default() {
            self.limited.push(LimitedGrant { interactions, types, limit });
        }
    }

    /// What both these and other grants, which have no limits of their own, grant.
    pub(crate) fn kept_to(&self, allowed: &[TypeSet; Interaction::COUNT]) -> Self {
        let mut kept = Self::default();
        for interaction in Interaction::every() {
            let (place, only) = (interaction as usize, [interaction].into_iter().collect());
            kept.add(only, self.whole[place].intersection(allowed[place]), Limit::default());
            for grant in self.limited.iter().filter(|grant| grant.interactions.contains(interaction)) {
                kept.add(only, grant.types.intersection(allowed[place]), grant.limit.clone());
            }
        }
        kept
    }

    /// How much memory these take beside themselves, about.
    pub(crate) fn bytes(&self) -> u64 {
        // Two allocations have their own cost.
        let of_limit =
            |limit: &Limit| limit.criteria.as_ref().map_or(0, |text| text.len() + 16) + limit.compartment.as_ref().map_or(0, |_| 80);
        self.limited.iter().map(|grant| (size_of::<LimitedGrant>() + of_limit(&grant.limit)) as u64).sum()
    }

    /// A digest of what is granted: alike for alike grants, and for no others.
    pub(crate) fn digest(&self) -> [u8; 32] {
        let mut bytes = Vec::with_capacity(1024);
        self.whole.iter().chain(&self.types).for_each(|types| types.write(&mut bytes));
        let text = |bytes: &mut Vec<u8>, text: Option<&str>| {
            bytes.extend_from_slice(&text.map_or(u64::MAX, |text| text.len() as u64).to_be_bytes());
            bytes.extend_from_slice(text.unwrap_or_default().as_bytes());
        };
        for LimitedGrant { interactions, types, limit } in &self.limited {
            interactions.write(&mut bytes);
            types.write(&mut bytes);
            text(&mut bytes, limit.compartment.as_ref().map(|owner| owner.resource_type.name()));
            text(&mut bytes, limit.compartment.as_ref().map(|owner| owner.id.as_str()));
            text(&mut bytes, limit.criteria.as_deref());
        }
        let digest = ring::digest::digest(&ring::digest::SHA256, &bytes);
        digest.as_ref().try_into().expect("SHA-256 has 32 bytes")
    }
}
