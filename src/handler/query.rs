//! The query of a target as pairs, in the form that browsers send (`application/x-www-form-urlencoded`, WHATWG URL §5.1).

use std::borrow::Cow;

use percent_encoding::percent_decode_str;

/// Returns the path of `target`, without query and fragment, and its query, which is empty if there is none.
pub(crate) fn split_target(target: &str) -> (&str, &str) {
    let target = target.split_once('#').map_or(target, |(before, _)| before);
    target.split_once('?').unwrap_or((target, ""))
}

/// Returns the decoded pairs of `query`. A name without `=` has an empty value; bytes that are not UTF-8 become U+FFFD.
pub(crate) fn pairs(query: &str) -> impl Iterator<Item = (Cow<'_, str>, Cow<'_, str>)> {
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    pairs.map(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        (decode(name), decode(value))
    })
}

fn decode(text: &str) -> Cow<'_, str> {
    if !text.contains('+') {
        return percent_decode_str(text).decode_utf8_lossy();
    }
    let text = text.replace('+', " ");
    let decoded = percent_decode_str(&text).decode_utf8_lossy();
    Cow::Owned(decoded.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_has_a_path_and_a_query() {
        for (target, path, query) in [
            ("/a/b", "/a/b", ""),
            ("/a?", "/a", ""),
            ("/a?b=c?d", "/a", "b=c?d"),
            ("/a?b#c?d", "/a", "b"),
            ("/a#b?c", "/a", ""),
            ("*", "*", ""),
        ] {
            assert_eq!(split_target(target), (path, query), "{target}");
        }
    }

    #[test]
    fn pairs_are_decoded_as_a_form_is() {
        let table: [(&str, &[(&str, &str)]); 8] = [
            ("", &[]),
            ("&&", &[]),
            ("a=1&b=2&a=3", &[("a", "1"), ("b", "2"), ("a", "3")]),
            ("a&=&b=", &[("a", ""), ("", ""), ("b", "")]),
            ("q=a+b%2Bc&x=%26%3D", &[("q", "a b+c"), ("x", "&=")]),
            ("a=b=c", &[("a", "b=c")]),
            (
                "%C3%A9=%e2%82%ac&%ff=%zz%4",
                &[("é", "€"), ("\u{fffd}", "%zz%4")],
            ),
            ("a;b=c", &[("a;b", "c")]),
        ];
        for (query, expected) in table {
            let found: Vec<_> = pairs(query).collect();
            let found: Vec<_> = found
                .iter()
                .map(|(name, value)| (&**name, &**value))
                .collect();
            assert_eq!(found, expected, "{query}");
        }
    }
}
