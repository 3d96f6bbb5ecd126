//! The parser beside serde_json: the same texts are taken, and the same trees come out.

use serde_json::Value as Theirs;

use super::*;

/// Whether both trees are the same. Numbers compare as texts that serde_json would read alike.
fn same(ours: Value<'_>, theirs: &Theirs) -> bool {
    match theirs {
        Theirs::Null => ours.kind() == Kind::Null,
        Theirs::Bool(theirs) => ours.as_bool() == Some(*theirs),
        Theirs::Number(theirs) => {
            ours.as_number().is_some_and(|text| serde_json::from_str::<Theirs>(text).unwrap() == Theirs::Number(theirs.clone()))
        }
        Theirs::String(theirs) => ours.as_str().is_some_and(|ours| ours == theirs.as_str()),
        Theirs::Array(theirs) => {
            ours.is_array()
                && ours.elements().count() == theirs.len()
                && ours.elements().zip(theirs).all(|(ours, theirs)| same(ours, theirs))
        }
        Theirs::Object(theirs) => {
            ours.is_object()
                && ours.members().count() == theirs.len()
                && ours.members().all(|member| theirs.get(&*member.name()).is_some_and(|theirs| same(member.value(), theirs)))
                && theirs.iter().all(|(name, theirs)| ours.get(name).is_some_and(|ours| same(ours, theirs)))
        }
    }
}

/// Both take it and read the same, or both refuse it, or there is a reason why only we do.
fn check(text: &[u8]) -> Result<(), TestCaseError> {
    let theirs = serde_json::from_slice::<Theirs>(text);
    match (Document::parse(text), theirs) {
        (Ok(ours), Ok(theirs)) => {
            prop_assert!(same(ours.root(), &theirs), "{:?}", String::from_utf8_lossy(text));
            let mut compact = String::new();
            ours.root().write_compact(&mut compact);
            let again = Document::parse(compact.as_str()).unwrap();
            prop_assert!(same(again.root(), &theirs));
            prop_assert_eq!(serde_json::from_str::<Theirs>(&ours.root().to_pretty()).unwrap(), theirs);
            let mut once_more = String::new();
            again.root().write_compact(&mut once_more);
            prop_assert_eq!(once_more, compact);
        }
        (Err(_), Err(_)) => {}
        (Err(error), Ok(_)) => {
            use ParseErrorKind as K;
            prop_assert!(matches!(error.kind, K::DuplicateKey | K::Nul | K::Depth), "{error} in {:?}", String::from_utf8_lossy(text));
        }
        (Ok(_), Err(error)) => {
            // Exponents that no float has.
            prop_assert!(error.to_string().contains("number out of range"), "{error} in {:?}", String::from_utf8_lossy(text));
        }
    }
    Ok(())
}

/// Trees with hostile names, strings and numbers.
fn trees() -> impl Strategy<Value = String> {
    let scalar = prop_oneof![
        Just("null".to_owned()),
        Just("true".to_owned()),
        Just("false".to_owned()),
        "-?(0|[1-9][0-9]{0,20})(\\.[0-9]{1,20})?([eE][+-]?[0-9]{1,3})?",
        strings(),
    ];
    scalar.prop_recursive(6, 60, 8, |inner| {
        prop_oneof![
            (prop::collection::vec(inner.clone(), 0..8), spaces())
                .prop_map(|(elements, space)| format!("[{space}{}{space}]", elements.join(&format!("{space},{space}")))),
            (prop::collection::vec((strings(), inner), 0..8), spaces()).prop_map(|(members, space)| {
                let members: Vec<String> = members.into_iter().map(|(name, value)| format!("{name}{space}:{space}{value}")).collect();
                format!("{{{space}{}{space}}}", members.join(&format!(",{space}")))
            }),
        ]
    })
}

fn strings() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        "[a-z ]{1,12}",
        "\\PC{1,3}",
        "\\\\[\"\\\\/bfnrt]",
        "\\\\u[0-9a-fA-F]{4}",
        "\\\\u[dD][89abAB][0-9a-f]{2}\\\\u[dD][c-fC-F][0-9a-f]{2}",
    ];
    prop::collection::vec(piece, 0..5).prop_map(|pieces| {
        let text: String = pieces.concat();
        // Of the second alternative: characters that stand for something else in JSON.
        let mut out = String::from("\"");
        let mut escaped = false;
        for character in text.chars() {
            if character == '"' && !escaped {
                out.push('\\');
            }
            escaped = character == '\\' && !escaped;
            out.push(character);
        }
        if escaped {
            out.push('\\');
        }
        out.push('"');
        out
    })
}

fn spaces() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["", "", " ", "\n  ", "\r\n\t\t  ", "                    "])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn trees_are_read_alike(text in trees()) {
        check(text.as_bytes())?;
    }

    #[test]
    fn damaged_trees_are_read_or_refused_alike(text in trees(), places in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..4_u8), 1..4)) {
        let mut bytes = text.into_bytes();
        for (place, byte, what) in places {
            if bytes.is_empty() {
                break;
            }
            let at = place.index(bytes.len());
            match what {
                0 => bytes[at] = byte,
                1 => drop(bytes.remove(at)),
                2 => bytes.insert(at, *b"{}[],:\"\\0 e".get(usize::from(byte) % 11).unwrap()),
                _ => bytes.truncate(at),
            }
        }
        check(&bytes)?;
    }

    #[test]
    fn any_bytes_are_read_or_refused_alike(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
        check(&bytes)?;
    }
}
