#![expect(clippy::unwrap_used, reason = "tests")]

use super::*;

const SERVER: &str = "https://fhir.example";

fn addresses(texts: &[&str]) -> TenantAddresses {
    TenantAddresses::new(Some(SERVER), texts.iter().copied()).unwrap()
}

/// `<tenant> <base> <path>`, `server`, or nothing.
fn found(addresses: &TenantAddresses, host: &str, prefix: &str, path: &str) -> String {
    match addresses.find(host, prefix, path) {
        Place::Server => "server".into(),
        Place::Nowhere => String::new(),
        Place::Tenant { tenant, base, path } => format!("{tenant} {base} {path}"),
    }
}

#[test]
fn a_host_of_a_tenants_own_leads_to_it_and_to_nothing_else() {
    let own = addresses(&["acme=https://FHIR.acme.example/r4", "beta=http://10.0.0.7:9000", "v6=http://[::1]:9000/a"]);
    for host in ["fhir.acme.example", "FHIR.Acme.EXAMPLE", "fhir.acme.example.", "fhir.acme.example:443", "fhir.acme.example:080"] {
        for (path, behind) in [("/r4/Patient/1", "/Patient/1"), ("/r4", ""), ("/r4/", "/"), ("/r4//x", "//x")] {
            assert_eq!(found(&own, host, "", path), format!("acme https://fhir.acme.example/r4 {behind}"), "{host} {path}");
        }
        for path in ["/", "", "/r45/Patient", "/R4/Patient", "/%72%34/Patient", "/r4%2fPatient", "/./r4/Patient", "//r4/Patient", "*"] {
            assert_eq!(found(&own, host, "", path), "", "{host} {path}");
        }
        for path in ["/tenant/beta/Patient", "/tenant/acme/Patient", "/admin/tenants"] {
            assert_eq!(found(&own, host, "", path), "", "{host} {path}");
        }
    }
    assert_eq!(found(&own, "10.0.0.7:9000", "", "/Patient"), "beta http://10.0.0.7:9000 /Patient");
    assert_eq!(found(&own, "[0:0::1]:9000", "", "/a/Patient"), "v6 http://[::1]:9000/a /Patient");
    for host in ["fhir.acme.example:8443", "x.fhir.acme.example", "acme.example", "10.0.0.7", "127.0.0.1:8080", "fhir.example"] {
        assert_eq!(found(&own, host, "", "/r4/Patient"), "server", "{host}");
    }
    // What is no host could be read as one by somebody else.
    for host in
        ["", ".", "fhir.acme.example..", "a..b", "user@fhir.acme.example", "fhir.acme.example:x", "fhir.acme.example:+443", "fhír.example"]
    {
        assert_eq!(found(&own, host, "", "/r4/Patient"), "", "{host}");
    }
}

#[test]
fn a_label_of_the_host_is_the_tenant() {
    let own = addresses(&["https://{tenant}.fhir.example/r4", "http://api.{tenant}.other.example:8080"]);
    assert_eq!(found(&own, "Acme.fhir.example", "", "/r4/Patient"), "acme https://acme.fhir.example/r4 /Patient");
    assert_eq!(found(&own, "api.acme.other.example:8080", "", "/Patient"), "acme http://api.acme.other.example:8080 /Patient");
    assert_eq!(found(&own, "xn--cme-8cd.fhir.example", "", "/r4"), "xn--cme-8cd https://xn--cme-8cd.fhir.example/r4 ");
    for (host, path) in [
        ("acme.fhir.example", "/tenant/beta/Patient"),
        ("acme.fhir.example", "/tenant/acme/Patient"),
        ("acme.fhir.example", "/admin/tenants"),
        ("{tenant}.fhir.example", "/r4/Patient"),
        (".fhir.example", "/r4/Patient"),
        ("\u{430}cme.fhir.example", "/r4/Patient"),
    ] {
        assert_eq!(found(&own, host, "", path), "", "{host} {path}");
    }
    for host in ["fhir.example", "a.b.fhir.example", "api.acme.other.example", "acme.fhir.example:8080", "127.0.0.1"] {
        assert_eq!(found(&own, host, "", "/r4/Patient"), "server", "{host}");
    }
}

#[test]
fn a_segment_of_the_path_is_the_tenant() {
    let own = addresses(&["https://fhir.example/{tenant}/r4", "https://other.example/hospitals/{tenant}", "b=https://other.example/b"]);
    assert_eq!(found(&own, "fhir.example", "", "/T1/r4/Patient"), "T1 https://fhir.example/T1/r4 /Patient");
    assert_eq!(found(&own, "other.example", "", "/hospitals/t1/metadata"), "t1 https://other.example/hospitals/t1 /metadata");
    assert_eq!(found(&own, "other.example", "", "/b"), "b https://other.example/b ");
    // At the server's own host, all else is the server's.
    for path in [
        "/tenant/t1/Patient",
        "/tenant/r4",
        "/tenant/r4/Patient",
        "/admin/r4",
        "/health/r4",
        "/t1/r5/Patient",
        "/%741/r4/Patient",
        "/t 1/r4",
    ] {
        assert_eq!(found(&own, "fhir.example", "", path), "server", "{path}");
    }
    for path in ["/tenant/t1/Patient", "/hospitals", "/hospitals/", "/hospitals/{tenant}/x", "/hospitals/t1;x/y", "/hospitals/../b"] {
        assert_eq!(found(&own, "other.example", "", path), "", "{path}");
    }
}

#[test]
fn what_a_proxy_has_cut_off_belongs_to_the_path() {
    let own = addresses(&["a=https://x.example/hospitals/a"]);
    for (prefix, path) in [("/hospitals/a", "/Patient"), ("/hospitals", "/a/Patient"), ("", "/hospitals/a/Patient")] {
        assert_eq!(found(&own, "x.example", prefix, path), "a https://x.example/hospitals/a /Patient", "{prefix}");
    }
    for (prefix, path) in [("/hospitals/a/r4", "/Patient"), ("/hospitals/b", "/Patient"), ("/hospitals/..", "/a"), ("//hospitals", "/a")] {
        assert_eq!(found(&own, "x.example", prefix, path), "", "{prefix}");
    }
    let below = TenantAddresses::new(Some("https://fhir.example/api"), ["https://fhir.example/api/{tenant}/r4"]).unwrap();
    assert_eq!(found(&below, "fhir.example", "", "/a/r4/Patient"), "a https://fhir.example/api/a/r4 /Patient");
    assert_eq!(found(&below, "fhir.example", "/other", "/a/r4/Patient"), "a https://fhir.example/api/a/r4 /Patient");
    assert_eq!(found(&below, "fhir.example", "", "/tenant/a/Patient"), "server");
}

#[test]
fn a_tenant_is_known_by_all_its_bases() {
    let tenant = |id| TenantId::parse(id).unwrap();
    let own = addresses(&["acme=https://fhir.acme.example:443", "https://{tenant}.fhir.example/r4", "https://fhir.example/{tenant}/r4"]);
    let bases =
        ["https://fhir.acme.example", "https://acme.fhir.example/r4", "https://fhir.example/acme/r4", "https://fhir.example/tenant/acme"];
    assert_eq!(own.bases(&tenant("acme")), bases);
    assert_eq!(own.own_bases(&tenant("T1")), ["https://fhir.example/T1/r4"], "hosts know no capital letters");
    assert_eq!(own.own_bases(&tenant("admin")), ["https://admin.fhir.example/r4"]);
    for base in &bases[..3] {
        assert_eq!(own.tenant_of(base), Some(tenant("acme")), "{base}");
    }
    for other in [
        bases[3],
        "https://fhir.acme.example/",
        "https://fhir.acme.example:443",
        "http://fhir.acme.example",
        "https://FHIR.acme.example",
        "https://acme.fhir.example/r4/",
        "https://acme.fhir.example/r4/Patient",
        "https://acme.fhir.example",
        "https://fhir.example/admin/r4",
        "acme",
        "",
    ] {
        assert_eq!(own.tenant_of(other), None, "{other}");
    }
    assert!(TenantAddresses::default().bases(&tenant("acme")).is_empty());
}

#[test]
fn what_would_name_two_things_is_refused() {
    let refused = |server: Option<&str>, texts: &[&str]| TenantAddresses::new(server, texts.iter().copied()).err();
    let alone = [
        "",
        "acme",
        "acme=",
        "acme=fhir.example",
        "acme=ftp://fhir.example",
        "acme=https://",
        "acme=https:///r4",
        "acme=https://x.example/",
        "acme=https://x.example/r4/",
        "acme=https://x.example//r4",
        "acme=https://x.example/r4?x",
        "acme=https://x.example/r4#x",
        "acme=https://x.example/r 4",
        "acme=https://x.example/%72",
        "acme=https://x.example/../r4",
        "acme=https://user@x.example",
        "acme=https://x.example.",
        "acme=https://x.example:",
        "acme=https://x.example:99999",
        "acme=https://x..example",
        "acme=https://{tenant}.example",
        "ac me=https://x.example",
        "=https://x.example",
        "https://x.example",
        "https://x.example/r{tenant}",
        "https://x{tenant}.example",
        "https://{tenant}.example/{tenant}",
        "https://{tenant}",
        "https://{tenant}:8080",
        "https://{tenant}.0.0.1",
        "https://{Tenant}.example",
        "acme=https://x.example/tenant/acme",
        "acme=https://x.example/admin",
        "acme=https://x.example/health/acme",
        "https://x.example/tenant/{tenant}",
        "acme=https://fhir.example",
        "acme=https://fhir.example/tenant",
        "https://{tenant}.example/r4",
    ];
    for text in alone {
        assert!(refused(Some(SERVER), &[text]).is_some(), "{text}");
    }
    let together: &[&[&str]] = &[
        &["a=https://x.example/r4", "b=https://X.example:443/r4"],
        &["a=https://x.example/r4", "b=http://x.example/r4"],
        &["a=https://x.example/a", "a=https://x.example/b"],
        &["a=https://x.example/r4", "b=https://x.example/r4/b"],
        &["a=https://x.example", "b=https://x.example/b"],
        &["a=https://x.example/b/c/d", "b=https://x.example/b"],
        &["https://x.example/{tenant}", "b=https://x.example/b"],
        &["https://x.example/{tenant}/r4", "b=https://x.example/b"],
        &["https://x.example/{tenant}/r4", "b=https://x.example/b/r4/c"],
        &["https://x.example/{tenant}/r4", "https://x.example/r4/{tenant}"],
        &["https://x.example/{tenant}/r4", "https://x.example/{tenant}/r4"],
        &["https://{tenant}.x.example", "b=https://b.x.example"],
        &["https://{tenant}.x.example/r4", "b=https://c.x.example/other"],
        &["https://{tenant}.x.example", "https://y.{tenant}.example"],
        &["https://{tenant}.x.example", "https://{tenant}.x.example/r4"],
    ];
    for texts in together {
        assert!(refused(Some(SERVER), texts).is_some(), "{texts:?}");
    }
    let apart: &[&[&str]] = &[
        &["a=https://x.example/a", "b=https://x.example/b", "c=https://x.example:8443/a"],
        &["https://{tenant}.x.example/r4", "https://{tenant}.x.example/r5", "a=https://a.b.x.example"],
        &["https://x.example/{tenant}/r4", "b=https://x.example/b/r5"],
    ];
    for texts in apart {
        assert_eq!(refused(None, texts), None, "{texts:?}");
    }
    let of_server = refused(Some("https://fhir.example/a b"), &["a=https://x.example"]).unwrap();
    assert!(of_server.is_servers, "{of_server}");
    assert_eq!(refused(Some("https://fhir.example/a b"), &[]), None);
    assert!(refused(Some("https://fhir.example/api"), &["a=https://fhir.example/a"]).is_some(), "not below the server's own root");
}
