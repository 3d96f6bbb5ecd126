//! Patterns in the cluster's language of regular expressions (Lucene's, which `&` intersects).

use fhirpool_search::Pattern;

/// An expression for terms that begin with a prefix and go on as the pattern says.
pub(crate) fn write(prefix: &str, pattern: &Pattern) -> String {
    let mut out = String::new();
    prefix.chars().for_each(|character| push_character(&mut out, character));
    push(&mut out, pattern);
    out
}

fn push(out: &mut String, pattern: &Pattern) {
    match pattern {
        Pattern::Bytes(bytes) => push_bytes(out, bytes),
        Pattern::AnyBytes(count) => out.extend(std::iter::repeat_n('.', *count)),
        Pattern::Until(end) => {
            push_class(out, end.checked_add(1), end.checked_sub(1));
            out.push('*');
            push_bytes(out, &[*end]);
        }
        Pattern::TextWith(needle) => {
            push_class(out, Some(1), None);
            out.push('*');
            push_bytes(out, needle);
            push_class(out, Some(1), None);
            out.push('*');
        }
        Pattern::Sequence(patterns) => patterns.iter().for_each(|pattern| push(out, pattern)),
        Pattern::OneOf(patterns) if patterns.is_empty() => out.push('#'),
        Pattern::OneOf(patterns) => {
            out.push('(');
            for (index, pattern) in patterns.iter().enumerate() {
                if index > 0 {
                    out.push('|');
                }
                push(out, pattern);
            }
            out.push(')');
        }
        Pattern::Between { pattern, from, to } => {
            out.push_str("((");
            push(out, pattern);
            out.push_str(")&");
            push_between(out, from.as_deref().unwrap_or_default(), to.as_deref());
            out.push(')');
        }
    }
}

/// Whatever lies between.
fn push_between(out: &mut String, from: &[u8], to: Option<&[u8]>) {
    let Some(to) = to else { return push_from(out, from) };
    // All that lies between two texts begins with what both begin with.
    let shared = from.iter().zip(to).take_while(|(one, other)| one == other).count();
    push_bytes(out, &from[..shared]);
    out.push('(');
    push_from(out, &from[shared..]);
    out.push('&');
    push_below(out, &to[shared..]);
    out.push(')');
}

/// Whatever is not less than these bytes.
fn push_from(out: &mut String, from: &[u8]) {
    let Some((first, rest)) = from.split_first() else { return out.push_str(".*") };
    out.push('(');
    if let Some(next) = first.checked_add(1) {
        push_class(out, Some(next), None);
        out.push_str(".*|");
    }
    push_bytes(out, &[*first]);
    push_from(out, rest);
    out.push(')');
}

/// Whatever is less than these bytes.
fn push_below(out: &mut String, to: &[u8]) {
    let Some((first, rest)) = to.split_first() else { return out.push('#') };
    // A beginning is less than what goes on behind it.
    out.push_str("(()|");
    if let Some(previous) = first.checked_sub(1) {
        push_class(out, None, Some(previous));
        out.push_str(".*|");
    }
    push_bytes(out, &[*first]);
    push_below(out, rest);
    out.push(')');
}

/// One byte up to the second bound or from the first on, both included; with both, outside of what lies between them.
fn push_class(out: &mut String, from: Option<u8>, to: Option<u8>) {
    let ranges = to.map(|to| (0, to)).into_iter().chain(from.map(|from| (from, u8::MAX)));
    out.push('(');
    for (index, (least, greatest)) in ranges.enumerate() {
        if index > 0 {
            out.push('|');
        }
        push_range(out, least, greatest);
    }
    out.push(')');
}

/// One byte between the two. Within brackets nothing can be escaped as the bound of a range: such bounds stand aside.
fn push_range(out: &mut String, mut least: u8, mut greatest: u8) {
    let is_bound = |byte: u8| byte.is_ascii_alphanumeric() || !byte.is_ascii_punctuation();
    while least < greatest && !is_bound(least) {
        push_bytes(out, &[least]);
        out.push('|');
        least += 1;
    }
    while least < greatest && !is_bound(greatest) {
        push_bytes(out, &[greatest]);
        out.push('|');
        greatest -= 1;
    }
    if least == greatest {
        return push_bytes(out, &[least]);
    }
    out.extend(['[', char::from(least), '-', char::from(greatest), ']']);
}

fn push_bytes(out: &mut String, bytes: &[u8]) {
    bytes.iter().for_each(|byte| push_character(out, char::from(*byte)));
}

fn push_character(out: &mut String, character: char) {
    // Escaped letters and digits would mean classes; any other escaped character is itself.
    if character.is_ascii_punctuation() {
        out.push('\\');
    }
    out.push(character);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_escaped_and_classes_leave_out_the_end() {
        let pattern = Pattern::Sequence(vec![Pattern::Bytes(b"a.\0\xFF".to_vec()), Pattern::Until(0)]);
        assert_eq!(write("x-", &pattern), "x\\-a\\.\0\u{FF}([\u{1}-\u{FF}])*\0");
        assert_eq!(write("", &Pattern::OneOf(Vec::new())), "#");
    }

    #[test]
    fn what_brackets_give_a_meaning_to_stands_aside() {
        let mut out = String::new();
        push_class(&mut out, Some(b'Z' + 1), Some(b'.'));
        assert_eq!(out, "(\\.|\\-|\\,|\\+|\\*|\\)|\\(|\\'|\\&|\\%|\\$|\\#|\\\"|\\!|[\0- ]|\\[|\\\\|\\]|\\^|\\_|\\`|[a-\u{FF}])");
    }

    #[test]
    fn bounds_share_what_both_begin_with() {
        let pattern = Pattern::Between { pattern: Box::new(Pattern::AnyBytes(2)), from: Some(b"ab".to_vec()), to: Some(b"ad".to_vec()) };
        assert_eq!(write("", &pattern), "((..)&a((([c-\u{FF}]).*|b.*)&(()|([\0-c]).*|d#)))");
    }
}
