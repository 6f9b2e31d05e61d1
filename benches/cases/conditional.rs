//! Conditional requests: none, by tag, by date.

use std::hint::black_box;

use super::call;
use crate::http::conditional::{Precondition, Validators, evaluate};
use crate::http::headers::Headers;
use crate::http::request::Field;

const FILE: Validators<'_> = Validators {
    etag: b"\"18a1f2b3c4d5e6f7-400\"",
    last_modified: 1_795_229_464,
};

fn ask(
    name: &'static str,
    value: &'static str,
    expected: Precondition,
) -> impl FnMut() -> Precondition {
    let field = |name, value: &'static str| Field {
        name,
        value: value.as_bytes(),
    };
    let fields = [
        field("Host", "localhost"),
        field("User-Agent", "curl/8.0"),
        field("Accept", "*/*"),
        field(name, value),
    ];
    move || {
        let found = evaluate(&Headers::new(black_box(&fields)), true, Some(&FILE));
        assert_eq!(found, expected);
        found
    }
}

cases! {
    conditional:
    none => call(ask("Accept-Encoding", "gzip", Precondition::Proceed));
    by_tag => call(ask("If-None-Match", "\"18a1f2b3c4d5e6f7-400\"", Precondition::NotModified));
    by_date => call(ask("If-Modified-Since", "Sat, 21 Nov 2026 02:51:04 GMT", Precondition::NotModified));
}
