//! Random policies, tokens and requests against a plain model of who may do what.

use fhirpool_fhir::{ResourceId, ResourceKey, ResourceType};
use ring::rand::{SecureRandom, SystemRandom};

use crate::{Interaction, Launch, Leave, Policy, Principal, ReadAccess, TenantId, WriteAccess};

/// A small generator (SplitMix64) of the seed in `FHIRPOOL_SEED`, or of a new one, which it prints.
struct Random(u64);

impl Random {
    fn seeded() -> Self {
        let given = std::env::var("FHIRPOOL_SEED").ok().and_then(|seed| seed.parse().ok());
        let seed = given.unwrap_or_else(|| {
            let mut bytes = [0; 8];
            SystemRandom::new().fill(&mut bytes).expect("randomness");
            u64::from_le_bytes(bytes)
        });
        println!("FHIRPOOL_SEED={seed}");
        Self(seed)
    }

    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((mixed ^ (mixed >> 31)) % bound as u64) as usize
    }

    fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())]
    }

    fn some<T: Copy>(&mut self, choices: &[T]) -> Vec<T> {
        choices.iter().copied().filter(|_| self.below(3) == 0).collect()
    }
}

const TYPES: [&str; 5] = ["Patient", "Observation", "Practitioner", "Account", "Location"];
const GROUPS: [&str; 4] = ["practitioner", "nurse", "auditor", "clerk"];
const OWNERS: [&str; 4] = ["Patient/p", "Patient/q", "RelatedPerson/p", "Practitioner/d"];
const CRITERIA: [&str; 3] = ["code=a", "code=b", "status=final"];

/// A rule as the file has it; `*` in a list means all.
#[derive(Debug, Clone)]
struct Rule {
    allows: bool,
    groups: Vec<&'static str>,
    types: Vec<&'static str>,
    interactions: Vec<&'static str>,
    operations: Vec<&'static str>,
}

#[derive(Debug, Clone)]
struct Token {
    groups: Vec<&'static str>,
    scopes: Vec<Scope>,
    /// Scopes that are no resource scopes, or are not of their form.
    odd_scopes: Vec<&'static str>,
    patient: Option<&'static str>,
    user: Option<&'static str>,
}

#[derive(Debug, Clone)]
struct Scope {
    context: &'static str,
    name: &'static str,
    permissions: &'static str,
    criteria: Option<&'static str>,
}

/// A resource, as far as limits look at it.
#[derive(Debug, Clone)]
struct Resource {
    name: &'static str,
    compartments: Vec<&'static str>,
    matching: Vec<&'static str>,
}

fn random_rules(random: &mut Random) -> Vec<Rule> {
    let names: Vec<&'static str> = Interaction::ALL.iter().map(|interaction| interaction.name()).collect();
    let list = |random: &mut Random, choices: &[&'static str]| match random.some(choices) {
        chosen if chosen.is_empty() || random.below(2) == 0 => vec!["*"],
        chosen => chosen,
    };
    let rule = |random: &mut Random| Rule {
        allows: random.below(4) > 0,
        groups: list(random, &GROUPS),
        types: list(random, &TYPES),
        interactions: list(random, &names),
        operations: random.pick(&[&[][..], &["*"], &["$everything"]]).to_vec(),
    };
    (0..random.below(5)).map(|_| rule(random)).collect()
}

fn file_of(rules: &[Rule], scopes_alone: bool) -> String {
    let mut text = format!("defaults = false\nscopes_alone = {scopes_alone}\n");
    for Rule { allows, groups, types, interactions, operations } in rules {
        let effect = if *allows { "allow" } else { "deny" };
        text += &format!("[[rule]]\neffect = {effect:?}\ngroups = {groups:?}\ntypes = {types:?}\n");
        text += &format!("interactions = {interactions:?}\noperations = {operations:?}\n");
    }
    text
}

fn random_token(random: &mut Random) -> Token {
    let scope = |random: &mut Random| {
        let permissions = random.pick(&["read", "write", "*", "cruds", "rs", "r", "s", "cud", "u", "cd"]);
        let has_criteria = !["read", "write", "*"].contains(&permissions) && random.below(2) == 0;
        Scope {
            context: random.pick(&["patient", "user", "system"]),
            name: random.pick(&["*", "Patient", "Observation", "Practitioner", "Account", "Location"]),
            permissions,
            criteria: has_criteria.then(|| random.pick(&CRITERIA)),
        }
    };
    let count = random.below(4);
    Token {
        groups: random.some(&GROUPS),
        scopes: (0..count).map(|_| scope(random)).collect(),
        odd_scopes: random.some(&["openid", "patient/Observation.sr", "launch/patient", "system/Foo.read", "fhirUser"]),
        patient: Some(random.pick(&["p", "q"])).filter(|_| random.below(3) > 0),
        user: Some(random.pick(&["Patient/p", "Patient/q", "RelatedPerson/p", "Practitioner/d", "Person/x"]))
            .filter(|_| random.below(3) > 0),
    }
}

fn random_resource(random: &mut Random) -> Resource {
    Resource { name: random.pick(&TYPES), compartments: random.some(&OWNERS), matching: random.some(&CRITERIA) }
}

/// The letter of version 2 for an interaction.
fn letter(interaction: Interaction) -> char {
    match interaction {
        Interaction::Create => 'c',
        Interaction::Read | Interaction::Vread | Interaction::HistoryInstance => 'r',
        Interaction::Update | Interaction::Patch => 'u',
        Interaction::Delete => 'd',
        Interaction::Search | Interaction::HistoryType | Interaction::Bundle | Interaction::Audit | Interaction::Everything => 's',
    }
}

fn has(list: &[&'static str], name: &str) -> bool {
    list.contains(&"*") || list.contains(&name)
}

/// Whether the rules with this effect say this to someone in these groups.
fn rules_say(rules: &[Rule], allows: bool, groups: &[&'static str], interaction: Interaction, name: &str) -> bool {
    rules.iter().any(|rule| {
        rule.allows == allows
            && (rule.groups.contains(&"*") || rule.groups.iter().any(|group| groups.contains(group)))
            && has(&rule.types, name)
            && has(if interaction == Interaction::Everything { &rule.operations } else { &rule.interactions }, interaction.name())
    })
}

fn scope_allows(scope: &Scope, token: &Token, interaction: Interaction, resource: &Resource) -> bool {
    let letters = match scope.permissions {
        "read" => "rs",
        "write" => "cud",
        "*" => "cruds",
        letters => letters,
    };
    let in_context = match (scope.context, token.user) {
        ("system", _) => true,
        ("patient", _) => token.patient.is_some_and(|patient| resource.compartments.contains(&format!("Patient/{patient}").as_str())),
        (_, Some("Practitioner/d")) => true,
        (_, Some("Person/x")) => false,
        (_, Some(user)) => resource.compartments.contains(&user),
        (_, None) => !token.groups.is_empty(),
    };
    letters.contains(letter(interaction))
        && (scope.name == "*" || scope.name == resource.name)
        && in_context
        && scope.criteria.is_none_or(|criteria| resource.matching.contains(&criteria))
}

/// Whether the token may do this with this resource, in plain words.
fn may(rules: &[Rule], scopes_alone: bool, token: &Token, interaction: Interaction, resource: &Resource) -> bool {
    let denied = rules_say(rules, false, &token.groups, interaction, resource.name);
    let by_role = rules_say(rules, true, &token.groups, interaction, resource.name) && !denied;
    let is_smart = !token.scopes.is_empty() || token.odd_scopes.iter().any(|scope| scope.contains('/'));
    let by_scope = token.scopes.iter().any(|scope| scope_allows(scope, token, interaction, resource));
    match (is_smart, token.groups.is_empty() && scopes_alone) {
        (false, _) => by_role,
        (true, false) => by_role && by_scope,
        (true, true) => by_scope && !denied,
    }
}

fn key(text: &str) -> ResourceKey {
    let (name, id) = text.split_once('/').expect("a type and an id");
    ResourceKey::new(ResourceType::parse(name).expect("a type"), ResourceId::parse(id).expect("an id"))
}

fn principal(policy: &Policy, tenant: &TenantId, token: &Token) -> Principal {
    let texts = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
    let scope = |scope: &Scope| {
        let criteria = scope.criteria.map_or(String::new(), |criteria| format!("?{criteria}"));
        format!("{}/{}.{}{criteria}", scope.context, scope.name, scope.permissions)
    };
    let scopes: Vec<String> = token.scopes.iter().map(scope).chain(texts(&token.odd_scopes)).collect();
    let launch = Launch { patient: token.patient.and_then(ResourceId::parse), user: token.user.map(key), ..Launch::default() };
    let grants = policy.grants(tenant, &texts(&token.groups), &crate::smart::Scopes::parse(&scopes), &launch);
    Principal { grants: grants.into(), launch, ..Principal::operator(tenant.clone()) }
}

/// What the access of an interaction says of a resource.
fn decides(principal: &Principal, tenant: &TenantId, interaction: Interaction, resource: &Resource) -> bool {
    let resource_type = ResourceType::parse(resource.name).expect("a type");
    let holds = |leave: Leave<'_>| match leave {
        Leave::Denied => false,
        Leave::Whole => true,
        Leave::Within(limits) => limits.iter().any(|limit| {
            let is_within = |owner: &ResourceKey| resource.compartments.contains(&owner.to_string().as_str());
            limit.compartment.as_ref().is_none_or(is_within)
                && limit.criteria.as_deref().is_none_or(|criteria| resource.matching.contains(&criteria))
        }),
    };
    let decided = if interaction.writes() {
        let access = WriteAccess::authorize_for(principal, tenant, interaction, Some(resource_type));
        access.is_ok_and(|access| holds(access.leave(interaction, resource_type)))
    } else {
        let access = ReadAccess::authorize_for(principal, tenant, interaction, Some(resource_type));
        access.is_ok_and(|access| {
            assert!(access.allows(resource_type));
            holds(access.leave(resource_type))
        })
    };
    // The entry of a Bundle is decided as the request would be.
    if let Ok(bundle) = WriteAccess::authorize(principal, tenant) {
        let leave = match interaction.writes() {
            true => holds(bundle.leave(interaction, resource_type)),
            false => holds(bundle.reading(interaction).leave(resource_type)),
        };
        assert_eq!(leave, decided);
    }
    decided
}

#[test]
fn random_policies_and_tokens_decide_as_a_plain_model_does() {
    let mut random = Random::seeded();
    let (tenant, other) = (TenantId::parse("t1").expect("a tenant"), TenantId::parse("t10").expect("a tenant"));
    let (mut decisions, mut allowed) = (0, 0);
    for _ in 0..800 {
        let (rules, scopes_alone) = (random_rules(&mut random), random.below(2) == 0);
        let policy = Policy::parse(&file_of(&rules, scopes_alone)).expect("a good policy");
        for _ in 0..3 {
            let token = random_token(&mut random);
            let principal = principal(&policy, &tenant, &token);
            for _ in 0..8 {
                let resource = random_resource(&mut random);
                let single = Interaction::ALL.into_iter().filter(|interaction| *interaction != Interaction::Bundle);
                for interaction in single.chain(Interaction::OPERATIONS) {
                    let expected = may(&rules, scopes_alone, &token, interaction, &resource);
                    let decided = decides(&principal, &tenant, interaction, &resource);
                    assert_eq!(decided, expected, "{rules:?}\n{scopes_alone} {token:?}\n{interaction:?} {resource:?}");
                    assert!(!decides(&principal, &other, interaction, &resource));
                    decisions += 1;
                    allowed += usize::from(decided);
                }
            }
        }
    }
    println!("{decisions} decisions, {allowed} of them allow");
    assert!(decisions >= 100_000 && allowed >= decisions / 50);
}
