#![expect(clippy::unwrap_used, reason = "tests")]

use super::*;

fn texts(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn tenant(name: &str) -> TenantId {
    TenantId::parse(name).unwrap()
}

fn of_groups(policy: &Policy, name: &str, groups: &[&str]) -> Grants {
    policy.grants(&tenant(name), &texts(groups), &Scopes::default(), &Launch::default())
}

fn allows(grants: &Grants, interaction: Interaction, name: &str) -> bool {
    grants.types(interaction).contains(ResourceType::parse(name).unwrap())
}

#[test]
fn every_name_in_the_default_roles_is_a_type_of_r4() {
    assert!(FINANCIAL.iter().all(|name| ResourceType::parse(name).is_some()));
    assert_eq!(FINANCIAL.len(), 16);
}

#[test]
fn a_practitioner_may_do_everything_of_fhirs() {
    let grants = of_groups(&Policy::default(), "acme", &["practitioner"]);
    assert!(Interaction::ALL.iter().all(|interaction| grants.types(*interaction) == TypeSet::all()));
    assert!(grants.types(Interaction::Audit).is_empty());
}

#[test]
fn operations_are_for_whom_they_are_named() {
    let patient = ResourceType::parse("Patient").expect("a type");
    let may = |policy: &Policy, group: &str| of_groups(policy, "acme", &[group]).types(Interaction::Everything).contains(patient);
    assert!(may(&Policy::default(), "practitioner") && !may(&Policy::default(), "auditor"));
    let rules = |rest: &str| format!("[[rule]]\neffect = \"allow\"\ngroups = [\"g\"]\ntypes = [\"Patient\"]\n{rest}\n");
    let parsed = |text: &str| Policy::parse(text).expect("rules");
    assert!(!may(&parsed(&rules("interactions = [\"*\"]")), "g"));
    assert!(may(&parsed(&rules("operations = [\"$everything\"]")), "g") && may(&parsed(&rules("operations = [\"*\"]")), "g"));
    let deny = "[[rule]]\neffect = \"deny\"\ngroups = [\"*\"]\ntypes = [\"*\"]\noperations = [\"*\"]\n";
    assert!(!may(&parsed(&(rules("operations = [\"*\"]") + deny)), "g"));
    for (wrong, told) in [
        ("operations = [\"$nothing\"]", "found \"$nothing\"; allowed: $everything, or \"*\" alone"),
        ("interactions = [\"$everything\"]", "found \"$everything\"; allowed: read"),
        ("operations = []", "found no types or no interactions and operations"),
    ] {
        let refused = Policy::parse(&rules(wrong)).expect_err(wrong).to_string();
        assert!(refused.contains(told), "{refused}");
    }
}

#[test]
fn the_log_of_accesses_is_for_whom_it_is_named() {
    let of_scopes = |policy: &Policy, groups: &[&str], scopes: &[&str]| {
        let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        let tenant = TenantId::parse("acme").expect("a tenant");
        policy.grants(&tenant, &texts(groups), &Scopes::parse(&texts(scopes)), &Launch::default())
    };
    let may = |grants: &Grants| !grants.types(Interaction::Audit).is_empty();
    let (default, alone) = (Policy::default(), Policy::default().with_scopes_alone());
    assert!(may(&of_groups(&default, "acme", &["audit-admin"])));
    for scope in ["system/AuditEvent.s", "system/AuditEvent.rs", "system/AuditEvent.read"] {
        assert!(may(&of_scopes(&alone, &[], &[scope])) && may(&of_scopes(&default, &["audit-admin"], &[scope])), "{scope}");
        assert!(!may(&of_scopes(&default, &["practitioner"], &[scope])) && !may(&of_scopes(&default, &[], &[scope])), "{scope}");
    }
    for scope in
        ["system/*.rs", "system/*.*", "system/AuditEvent.r", "patient/AuditEvent.rs", "user/AuditEvent.rs", "system/AuditEvent.rs?action=R"]
    {
        assert!(!may(&of_scopes(&alone, &[], &[scope])), "{scope}");
    }
    assert!(!may(&of_scopes(&default, &["audit-admin"], &["system/*.rs"])), "both must allow");
    let rules = |interactions: &str| {
        Policy::parse(&format!("[[rule]]\neffect = \"allow\"\ngroups = [\"g\"]\ntypes = [\"*\"]\ninteractions = [{interactions}]"))
            .expect("rules")
    };
    assert!(may(&of_groups(&rules("\"audit\""), "acme", &["g"])) && !may(&of_groups(&rules("\"*\""), "acme", &["g"])));
}

#[test]
fn an_auditor_who_is_a_non_practitioner_too_reads_what_both_read_and_writes_nothing() {
    let grants = of_groups(&Policy::default(), "acme", &["auditor", "non-practitioner", "wheel"]);
    let read = |name| allows(&grants, Interaction::Read, name);
    assert!(read("Patient") && read("Claim") && !read("Observation"));
    assert!(Interaction::ALL.iter().filter(|interaction| interaction.writes()).all(|interaction| grants.types(*interaction).is_empty()));
    assert!(grants.types(Interaction::HistoryInstance).is_empty() && grants.types(Interaction::HistoryType).is_empty());
}

#[test]
fn no_group_and_unknown_groups_grant_nothing() {
    assert_eq!(of_groups(&Policy::default(), "acme", &[]), Grants::default());
    assert_eq!(of_groups(&Policy::default(), "acme", &["Practitioner", "practitioner ", "admin"]), Grants::default());
}

const FILE: &str = r#"
    [[rule]]
    effect = "allow"
    groups = ["nurse", "doctor"]
    types = ["*"]
    interactions = ["read", "search"]

    [[rule]]
    effect = "deny"
    groups = ["nurse"]
    types = ["Account"]
    interactions = ["*"]

    [tenant.acme]
    rule = [{ effect = "allow", groups = ["*"], types = ["Location"], interactions = ["read"] }]

    [tenant.alone]
    inherit = false
    scopes_alone = true
"#;

#[test]
fn a_deny_wins_and_a_tenant_adds_or_stands_alone() {
    let policy = Policy::parse(FILE).unwrap();
    let nurse = of_groups(&policy, "other", &["nurse", "doctor"]);
    assert!(allows(&nurse, Interaction::Read, "Patient") && !allows(&nurse, Interaction::Read, "Account"));
    assert!(allows(&of_groups(&policy, "other", &["doctor"]), Interaction::Search, "Account"));
    assert!(!allows(&nurse, Interaction::Vread, "Patient"));
    assert_eq!(of_groups(&policy, "other", &["practitioner"]), Grants::default());
    assert!(allows(&of_groups(&policy, "acme", &[]), Interaction::Read, "Location"));
    assert!(allows(&of_groups(&policy, "acme", &["doctor"]), Interaction::Read, "Patient"));
    assert_eq!(of_groups(&policy, "alone", &["doctor"]), Grants::default());
}

#[test]
fn a_file_without_rules_keeps_the_defaults() {
    assert_eq!(Policy::parse("").unwrap(), Policy::default());
    assert_eq!(Policy::parse("scopes_alone = true").unwrap(), Policy::default().with_scopes_alone());
    assert_eq!(of_groups(&Policy::parse("defaults = false").unwrap(), "acme", &["practitioner"]), Grants::default());
}

#[test]
fn what_a_file_says_wrongly_is_told_in_a_sentence() {
    let rule = |effect: &str, groups: &str, types: &str, interactions: &str| {
        format!("[[rule]]\neffect = \"{effect}\"\ngroups = {groups}\ntypes = {types}\ninteractions = {interactions}\n")
    };
    let good = ["allow", "[\"a\"]", "[\"Patient\"]", "[\"read\"]"];
    let with = |place: usize, text: &'static str| {
        let mut parts = good;
        parts[place] = text;
        rule(parts[0], parts[1], parts[2], parts[3])
    };
    assert!(Policy::parse(&rule(good[0], good[1], good[2], good[3])).is_ok());
    let cases = [
        (with(0, "permit"), "rule 1: effect: found \"permit\"; allowed: allow, deny"),
        (with(1, "[]"), "rule 1: groups: found no name; allowed: names of groups, or \"*\" alone"),
        (with(1, "[\"*\", \"a\"]"), "rule 1: groups: found \"*\" among names; allowed: names of groups, or \"*\" alone"),
        (with(2, "[\"patient\"]"), "rule 1: types: found \"patient\"; allowed: resource types of FHIR R4, or \"*\" alone"),
        (
            with(2, "[]"),
            "rule 1: found no types or no interactions and operations; allowed: a type, and an interaction or operation, or \"*\"",
        ),
        ("[tenant.\"a/b\"]".to_owned(), "found the tenant \"a/b\"; allowed: 1 to 64 letters, digits, `-` and `_`"),
        ("shared_types = [\"Doctor\"]".to_owned(), "shared_types: found \"Doctor\"; allowed: resource types of FHIR R4, or \"*\" alone"),
    ];
    for (text, expected) in cases {
        assert_eq!(Policy::parse(&text).unwrap_err().to_string(), expected);
    }
    assert!(Policy::parse(&with(3, "[\"history\"]")).unwrap_err().to_string().contains("history-instance"));
    assert!(Policy::parse("colour = 1").unwrap_err().to_string().contains("colour"));
    assert!(Policy::parse("[[rule]]\neffect = \"allow\"").unwrap_err().to_string().contains("groups"));
}

#[test]
fn issuers_and_the_authorization_server_are_read_and_checked() {
    let good = r#"
        [[issuer]]
        url = "https://issuer.example/pool"
        audiences = ["app"]
        [[issuer]]
        url = "http://127.0.0.1:4566/pool"
        jwks_uri = "http://localhost:4566/pool/jwks.json"
        algorithm = "ES256"
        token_uses = ["id"]
        audience_bases = ["https://fhir.example"]
        tenants = ["acme"]
        [authorization_server]
        issuer = "https://issuer.example/pool"
        token_endpoint = "https://issuer.example/token"
        capabilities = ["launch-ehr"]
    "#;
    let file = AccessFile::parse(good).unwrap();
    assert_eq!(file.policy, Policy::default());
    assert_eq!(file.issuers.len(), 2);
    assert_eq!((file.issuers[0].algorithm.name(), file.issuers[1].algorithm.name()), ("RS256", "ES256"));
    assert_eq!(file.authorization_server.unwrap().capabilities, ["launch-ehr"]);
    let issuer = |lines: &str| AccessFile::parse(&format!("[[issuer]]\n{lines}")).unwrap_err().to_string();
    for url in [
        "http://issuer.example",
        "ftp://x",
        "https://",
        "https://a b",
        "https://x?y",
        "https://user@x",
        "http://127.0.0.1.evil.example",
        "",
    ] {
        assert!(issuer(&format!("url = {url:?}\naudiences = [\"a\"]")).contains("allowed: an https URL"), "{url}");
    }
    assert!(issuer("url = \"https://x\"").contains("audiences"));
    assert!(issuer("url = \"https://x\"\naudiences = [\"a\"]\nalgorithm = \"HS256\"").contains("found \"HS256\""));
    assert!(issuer("url = \"https://x\"\naudiences = [\"a\"]\njwks_uri = \"http://x/k\"").contains("jwks_uri"));
    assert!(issuer("url = \"https://x\"\naudiences = [\"a\"]\ntenants = [\"a/b\"]").contains("tenants"));
    let twice = "url = \"https://x\"\naudiences = [\"a\"]\n";
    assert!(issuer(&format!("{twice}[[issuer]]\n{twice}")).contains("twice"));
    let server = "[authorization_server]\nissuer = \"https://x\"\ntoken_endpoint = \"http://x\"";
    assert!(AccessFile::parse(server).unwrap_err().to_string().contains("token_endpoint"));
}

#[test]
fn quotas_are_read_and_checked() {
    let text = "[quota]\npoints_per_second = 5\nrequests_at_once = 3\nstored_resources = 9\nstored_bytes = 11\nbody_bytes = 10\n[application_quota]\npoints_per_second = 1\nburst_points = 9\n
        [tenant.acme.quota]\npoints_per_second = 7\nburst_points = 8\n[tenant.other]\n";
    let quotas = AccessFile::parse(text).unwrap().quotas;
    let (rate, application) = (crate::Rate { points_per_s: 5, burst_points: 20 }, crate::Rate { points_per_s: 1, burst_points: 9 });
    let deployment = crate::TenantQuota {
        tenant: Some(rate),
        application: Some(application),
        requests_at_once_max: Some(3),
        stored_resources_max: Some(9),
        stored_bytes_max: Some(11),
        body_bytes_max: Some(10),
    };
    assert_eq!(quotas.deployment, deployment);
    assert_eq!(quotas.tenants[&tenant("other")], deployment);
    let acme = quotas.tenants[&tenant("acme")];
    assert_eq!((acme.tenant.unwrap().points_per_s, acme.application, acme.requests_at_once_max), (7, Some(application), None));
    for (text, expected) in [
        ("[quota]\npoints_per_second = 0", "quota: found 0 points"),
        ("[quota]\nburst_points = 3", "burst_points alone"),
        ("[quota]\nbody_bytes = 0", "body_bytes: found 0"),
        ("[quota]\nrequests_at_once = 0", "requests_at_once: found 0"),
        ("[tenant.acme.application_quota]\npoints_per_second = 0", "tenant.acme.application_quota"),
        ("[quota]\npoints_per_second = -1", "points_per_second"),
    ] {
        let error = AccessFile::parse(text).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn the_documented_file_is_a_good_one() {
    let page = include_str!("../../../../docs/access-file.md");
    let (_, behind) = page.split_once("```toml\n").unwrap();
    let (text, _) = behind.split_once("```").unwrap();
    let file = AccessFile::parse(text).unwrap();
    assert!(file.authorization_server.is_some() && file.issuers.len() == 1 && file.policy.tenants().count() == 1);
    let commented: String =
        text.lines().map(|line| format!("{}\n", line.strip_prefix("# ").filter(|rest| rest.contains(" = ")).unwrap_or(line))).collect();
    let file = AccessFile::parse(&commented.replace("https://…", "https://auth.example/keys")).unwrap();
    assert_eq!(file.issuers[0].tenants.len(), 1);
}

#[test]
fn keys_of_applications_are_read_and_checked() {
    let key = |name: &str, sha256: &str, rest: &str| format!("[[api_key]]\nname = {name:?}\nsha256 = {sha256:?}\n{rest}\n");
    // Of "secret".
    let good = "2BB80D537B1DA3E38BD30361AA855686BDE0EACD7162FEF6A25FE97BF527A25B";
    let text = format!("api_keys_required = true\n{}", key("portal", good, "tenants = [\"acme\"]\nquota = { points_per_second = 5 }"));
    let keys = AccessFile::parse(&text).unwrap().quotas.api_keys;
    let found = keys.check(&tenant("acme"), Some("secret")).unwrap().unwrap();
    assert_eq!((found.name.as_str(), found.rate.unwrap().burst_points), ("portal", 20));
    assert!(keys.check(&tenant("other"), Some("secret")).is_err() && keys.check(&tenant("acme"), None).is_err());
    for (text, expected) in [
        (key("a", "00", ""), "64 hexadecimal digits"),
        (key("a", &"zz".repeat(32), ""), "64 hexadecimal digits"),
        (key("", good, ""), "no name"),
        (key("a", good, "") + &key("b", good, ""), "twice"),
        (key("a", good, "quota = { points_per_second = 0 }"), "found 0 points"),
        (key("a", good, "tenants = [\"a/b\"]"), "tenants"),
        ("api_keys_required = true".to_owned(), "nobody gets in"),
    ] {
        let error = AccessFile::parse(&text).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
        assert!(!error.contains(good));
    }
}
