//! Reads of newest and older versions, and of several resources together.

use super::*;

/// A commit is read as soon as it is acknowledged, with its bytes, version, time and method.
pub async fn what_was_committed_is_read(fixture: Fixture) {
    let client = &fixture.a;
    let (version, last_updated) = client.put("Patient/1", "\"active\":true").await;
    assert_eq!(version, VersionId(1));
    let expected =
        StoredVersion { version, last_updated, method: Method::Put, content: Content::Resource(body("Patient/1", "\"active\":true")) };
    assert_eq!(client.read("Patient/1").await, Some(expected));
    for number in 2..20 {
        let members = format!("\"multipleBirthInteger\":{number}");
        let (version, _) = client.put("Patient/1", &members).await;
        let read = client.read("Patient/1").await.unwrap();
        assert_eq!((version, read.version), (VersionId(number), VersionId(number)));
        assert_eq!(read.content, Content::Resource(body("Patient/1", &members)));
    }
}

/// What was never written is absent everywhere.
pub async fn what_was_never_written_is_absent(fixture: Fixture) {
    let client = &fixture.a;
    client.put("Patient/1", "").await;
    for name in ["Patient/2", "Patient/11", "Person/1", "Patient/1.", "Patient/-"] {
        assert_eq!(client.read(name).await, None, "{name}");
        assert_eq!(client.read_version(name, 1).await, None, "{name}");
        assert_eq!(client.history(history(HistoryScope::Instance(key(name)), 10)).await, [], "{name}");
    }
    for version in [0, 2, 3, u64::from(u32::MAX), u64::MAX] {
        assert_eq!(client.read_version("Patient/1", version).await, None, "{version}");
    }
}

/// A deleted resource is told apart from one that never was.
pub async fn a_tombstone_is_read_as_deleted(fixture: Fixture) {
    let client = &fixture.a;
    client.put("Patient/1", "").await;
    let (version, last_updated) = client.delete("Patient/1").await;
    let tombstone = StoredVersion { version, last_updated, method: Method::Delete, content: Content::Deleted };
    assert_eq!(version, VersionId(2));
    assert_eq!(client.read("Patient/1").await, Some(tombstone.clone()));
    assert_eq!(client.read_version("Patient/1", 2).await, Some(tombstone.clone()));
    let view = client.view().await;
    assert_eq!(client.read_many(&view, &["Patient/1"]).await, [Some(tombstone)]);
}

/// Older versions stay readable, tombstones among them.
pub async fn every_version_is_kept(fixture: Fixture) {
    let client = &fixture.a;
    for number in [1, 2, 3] {
        client.put("Patient/1", &format!("\"multipleBirthInteger\":{number}")).await;
    }
    client.delete("Patient/1").await;
    client.put("Patient/1", "\"multipleBirthInteger\":5").await;
    for number in [1, 2, 3, 5] {
        let version = client.read_version("Patient/1", number).await.unwrap();
        assert_eq!(version.version, VersionId(number));
        assert!(text(&version).contains(&format!("\"multipleBirthInteger\":{number}")));
    }
    assert_eq!(client.read_version("Patient/1", 4).await.unwrap().content, Content::Deleted);
}

/// A view shows what was there when it was taken, whatever happens later; in the order asked for.
pub async fn a_view_stays_as_it_was(fixture: Fixture) {
    let client = &fixture.a;
    client.put("Patient/1", "\"active\":true").await;
    client.put("Patient/2", "").await;
    let before = client.view().await;
    client.put("Patient/1", "\"active\":false").await;
    client.delete("Patient/2").await;
    client.put("Patient/3", "").await;
    let after = client.view().await;
    assert!(before.sequence < after.sequence);
    let versions = |read: Vec<Option<StoredVersion>>| {
        read.into_iter().map(|version| version.map(|version| (version.version.0, version.content != Content::Deleted))).collect::<Vec<_>>()
    };
    let names = ["Patient/3", "Patient/2", "Patient/1", "Patient/2", "Patient/4"];
    let (one, two) = (Some((1, true)), Some((2, true)));
    assert_eq!(versions(client.read_many(&before, &names).await), [None, one, one, one, None]);
    assert_eq!(versions(client.read_many(&after, &names).await), [one, Some((2, false)), two, Some((2, false)), None]);
    assert_eq!(client.read_many(&after, &[]).await, []);
}

/// Texts come back byte by byte: decimals, escapes, order, large ones, and wherever meta stands.
pub async fn texts_of_all_kinds_come_back(fixture: Fixture) {
    let client = &fixture.a;
    let large = format!("\"data\":\"{}\"", "QUJDREVG".repeat(200_000));
    let mut random = Random::seeded("texts_of_all_kinds_come_back");
    let noise: String = (0..60_000).map(|_| char::from(b'a' + random.below(26) as u8)).collect();
    let noise = format!("\"data\":\"{noise}\"");
    let cases = [
        "\"valueDecimal\":1.00",
        "\"z\":1,\"a\":[1E5,-0.0,null]",
        "\"text\":\"\\u00e4 ä 😀 \\ud83d\\ude00 \\/ \\\" \\n\"",
        "\"meta\":{}",
        "\"meta\":{\"tag\":[{\"code\":\"x\"}]}",
        large.as_str(),
        noise.as_str(),
    ];
    for (number, members) in cases.iter().enumerate() {
        let name = format!("Binary/{number}");
        let change = Change { content: ChangeContent::Put { body: body(&name, members), entries: Vec::new() }, ..put(&name, "") };
        made(client.commit(vec![change]).await);
        let read = client.read(&name).await.unwrap();
        assert!(read.content == Content::Resource(body(&name, members)), "case {number}");
        assert!(client.read_version(&name, 1).await == Some(read), "case {number}");
    }
}

/// Ids that begin alike, look like others' bytes or differ only in case are different resources.
pub async fn keys_of_all_kinds_are_told_apart(fixture: Fixture) {
    let client = &fixture.a;
    let longest = "x".repeat(64);
    let ids = [
        "1",
        "10",
        "1.",
        "1-",
        "a",
        "A",
        "aa",
        "-",
        ".",
        "0",
        "00",
        longest.as_str(),
        &longest[1..],
        "01234567-89ab-cdef-0123-456789abcdef",
        "01234567-89AB-CDEF-0123-456789ABCDEF",
        "01234567-89ab-cdef-0123-456789abcde0",
        "00000000-0000-0000-0000-000000000000",
        "ffffffff-ffff-ffff-ffff-ffffffffffff",
    ];
    let all: Vec<String> =
        ["Patient", "Person", "Observation"].iter().flat_map(|name| ids.iter().map(move |id| format!("{name}/{id}"))).collect();
    for (number, name) in all.iter().enumerate() {
        assert_eq!(client.put(name, &format!("\"id\":\"{}\",\"language\":\"l{number}\"", key(name).id)).await.0, VersionId(1), "{name}");
    }
    for (number, name) in all.iter().enumerate() {
        let read = client.read(name).await.unwrap();
        assert!(text(&read).ends_with(&format!("\"language\":\"l{number}\"}}")), "{name}");
        assert_eq!(client.history(history(HistoryScope::Instance(key(name)), 10)).await.len(), 1, "{name}");
    }
    let everything = client.history(history(HistoryScope::Tenant, 7)).await;
    assert_eq!(name_set(&everything).len(), all.len());
    for type_name in ["Patient", "Person", "Observation"] {
        assert_eq!(client.search(type_name).await.len(), ids.len(), "{type_name}");
    }
}
