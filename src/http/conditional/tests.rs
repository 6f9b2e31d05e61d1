use proptest::prelude::*;

use super::Precondition::{Failed, NotModified, Proceed};
use super::*;
use crate::http::storage::tests::request_with;

const BEFORE: &str = "Sun, 06 Nov 1994 08:49:36 GMT";
const MTIME: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
const AFTER: &str = "Sun, 06 Nov 1994 08:49:38 GMT";
/// Sat, 21 Nov 2026 02:51:04 GMT
const NOW: u64 = 1_795_229_464;
const CURRENT: Validators<'static> = Validators {
    etag: b"\"a,1\"",
    last_modified: 784_111_777,
    has_date: true,
};

/// Evaluates the fields, for a safe method also by the fast path, which must give the same.
fn evaluate_both_ways(
    fields: &[(&str, &str)],
    safe: bool,
    current: Option<&Validators<'_>>,
) -> Precondition {
    request_with(fields, |request| {
        let found = evaluate(&request.headers, safe, current, NOW);
        if let (true, Some(current)) = (safe, current) {
            let condition = request.meaning.condition;
            let known = evaluate_known(condition, &request.headers, current, NOW);
            assert_eq!(known, found, "{fields:?}");
        }
        found
    })
}

#[test]
fn if_match_compares_strongly() {
    for (value, expected) in [
        ("\"a,1\"", Proceed),
        ("*", Proceed),
        ("\"b\", \"a,1\"", Proceed),
        (",,\t\"b\" ,\"a,1\" ,", Proceed),
        ("junk, \"un closed, \"a,1\"", Proceed),
        ("\"b\"", Failed),
        ("W/\"a,1\"", Failed),
        ("w/\"a,1\"", Failed),
        ("\"A,1\"", Failed),
        ("a,1", Failed),
        ("\"a,1", Failed),
        ("\"a,1\"x", Failed),
        ("x\"a,1\"", Failed),
        ("\"a,1\" \"b\"", Failed),
        ("*, \"b\"", Failed),
        ("", Failed),
    ] {
        for safe in [true, false] {
            assert_eq!(
                evaluate_both_ways(&[("If-Match", value)], safe, Some(&CURRENT)),
                expected,
                "{value}"
            );
        }
    }
}

#[test]
fn if_none_match_compares_weakly() {
    for (value, matches) in [
        ("\"a,1\"", true),
        ("W/\"a,1\"", true),
        ("*", true),
        ("\"b\",W/\"c\",\"a,1\"", true),
        ("junk, \"a,1\"", true),
        ("\"b\", \"c\"", false),
        ("w/\"a,1\"", false),
        ("W/ \"a,1\"", false),
        ("\"x\", *", false),
        ("\"a\", \"1\"", false),
        ("a,1", false),
        ("", false),
    ] {
        let fields = [("IF-NONE-MATCH", value)];
        let (safe, other) = if matches {
            (NotModified, Failed)
        } else {
            (Proceed, Proceed)
        };
        assert_eq!(
            evaluate_both_ways(&fields, true, Some(&CURRENT)),
            safe,
            "{value}"
        );
        assert_eq!(
            evaluate_both_ways(&fields, false, Some(&CURRENT)),
            other,
            "{value}"
        );
    }
}

#[test]
fn if_modified_since_applies_to_safe_methods() {
    for (value, expected) in [
        (BEFORE, Proceed),
        (MTIME, NotModified),
        (AFTER, NotModified),
        ("Sunday, 06-Nov-94 08:49:37 GMT", NotModified),
        ("Sun Nov  6 08:49:37 1994", NotModified),
        ("Saturday, 21-Nov-76 02:51:04 GMT", NotModified),
        ("Saturday, 21-Nov-76 02:51:05 GMT", Proceed),
        ("784111777", Proceed),
        ("tomorrow", Proceed),
        ("", Proceed),
    ] {
        let fields = [("If-Modified-Since", value)];
        assert_eq!(
            evaluate_both_ways(&fields, true, Some(&CURRENT)),
            expected,
            "{value}"
        );
        assert_eq!(
            evaluate_both_ways(&fields, false, Some(&CURRENT)),
            Proceed,
            "{value}"
        );
    }
}

#[test]
fn if_unmodified_since_fails_after_a_change() {
    for (value, expected) in [
        (BEFORE, Failed),
        (MTIME, Proceed),
        (AFTER, Proceed),
        ("Saturday, 21-Nov-76 02:51:04 GMT", Proceed),
        ("Saturday, 21-Nov-76 02:51:05 GMT", Failed),
        ("yesterday", Proceed),
        ("", Proceed),
    ] {
        for safe in [true, false] {
            let fields = [("If-Unmodified-Since", value)];
            assert_eq!(
                evaluate_both_ways(&fields, safe, Some(&CURRENT)),
                expected,
                "{value}"
            );
        }
    }
}

#[test]
fn the_steps_are_taken_in_order() {
    let (good, bad) = ("\"a,1\"", "\"b\"");
    let cases: [(&[(&str, &str)], Precondition); 10] = [
        (&[], Proceed),
        (&[("Host", "if"), ("If-Range", good), ("If", good)], Proceed),
        (
            &[("If-Match", good), ("If-Unmodified-Since", BEFORE)],
            Proceed,
        ),
        (&[("If-Match", bad), ("If-None-Match", good)], Failed),
        (&[("If-None-Match", good), ("If-Match", good)], NotModified),
        (
            &[("If-Unmodified-Since", BEFORE), ("If-None-Match", good)],
            Failed,
        ),
        (
            &[("If-None-Match", bad), ("If-Modified-Since", AFTER)],
            Proceed,
        ),
        (
            &[("If-None-Match", good), ("If-Modified-Since", BEFORE)],
            NotModified,
        ),
        (
            &[("If-None-Match", bad), ("if-none-match", good)],
            NotModified,
        ),
        (
            &[("If-Modified-Since", AFTER), ("If-Modified-Since", AFTER)],
            Proceed,
        ),
    ];
    for (fields, expected) in cases {
        assert_eq!(
            evaluate_both_ways(fields, true, Some(&CURRENT)),
            expected,
            "{fields:?}"
        );
    }
}

#[test]
fn nothing_matches_a_missing_representation() {
    for (name, value, expected) in [
        ("If-Match", "*", Failed),
        ("If-Match", "\"a,1\"", Failed),
        ("If-None-Match", "*", Proceed),
        ("If-None-Match", "\"a,1\"", Proceed),
        ("If-Modified-Since", AFTER, Proceed),
        ("If-Unmodified-Since", BEFORE, Proceed),
    ] {
        for safe in [true, false] {
            assert_eq!(
                evaluate_both_ways(&[(name, value)], safe, None),
                expected,
                "{name}: {value}"
            );
        }
    }
}

#[test]
fn if_range_needs_a_strong_validator() {
    let later = CURRENT.last_modified + 1;
    for (value, now, expected) in [
        ("\"a,1\"", CURRENT.last_modified, true),
        ("W/\"a,1\"", later, false),
        ("\"a,1\", \"b\"", later, false),
        ("\"b\"", later, false),
        ("*", later, false),
        (MTIME, later, true),
        ("Sun Nov  6 08:49:37 1994", later, true),
        ("Sunday, 06-Nov-94 08:49:37 GMT", later, true),
        (MTIME, CURRENT.last_modified, false),
        (MTIME, 0, false),
        (BEFORE, later, false),
        (AFTER, later, false),
        ("", later, false),
    ] {
        assert_eq!(
            if_range_holds(value.as_bytes(), &CURRENT, now),
            expected,
            "{value} at {now}"
        );
    }
}

proptest! {
    #[test]
    fn no_value_panics(value in "(W/|[\"*, ab\\PC]){0,24}", name in "If-(None-)?Match", safe: bool) {
        evaluate_both_ways(&[(&name, &value)], safe, Some(&CURRENT));
        if_range_holds(value.as_bytes(), &CURRENT, u64::MAX);
    }

    #[test]
    fn a_tag_is_found_at_any_place_of_the_list(
        others in prop::collection::vec("(W/)?\"[!a-z,]{0,5}\"|[a-z]{0,5}", 0..6),
        at in 0usize..6,
    ) {
        let mut members = others;
        members.retain(|member| !member.contains("a,1"));
        let without = members.join(", ");
        prop_assert_eq!(evaluate_both_ways(&[("If-None-Match", &without)], true, Some(&CURRENT)), Proceed);
        members.insert(at.min(members.len()), "\"a,1\"".to_owned());
        let with = members.join(", ");
        prop_assert_eq!(evaluate_both_ways(&[("If-None-Match", &with)], true, Some(&CURRENT)), NotModified);
    }
}
