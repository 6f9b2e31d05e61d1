//! Conditional requests: without a condition, with a tag, with a date.

use std::hint::black_box;

use super::call;
use super::requests::bytes;
use crate::config::ServerConfig;
use crate::http::conditional::{Precondition, Validators, evaluate};
use crate::http::head::HeadSearch;
use crate::http::request::Request;

const NOW: u64 = 1_795_229_465;

const FILE: Validators<'_> = Validators {
    etag: b"\"18a1f2b3c4d5e6f7-400\"",
    last_modified: 1_795_229_464,
    has_date: true,
};

fn ask(field: &str, expected: Precondition) -> impl FnMut() -> Precondition {
    let fields = "Host: localhost\r\nUser-Agent: curl/8.0\r\nAccept: */*\r\n";
    let head = bytes("GET /", &format!("{fields}{field}\r\n"));
    let (storage, config) = (Box::leak(Box::default()), ServerConfig::default());
    let found = Request::find(head.leak(), &mut HeadSearch::default(), storage, &config);
    let (request, _) = found.unwrap().unwrap();
    move || {
        let found = evaluate(black_box(&request.headers), true, Some(&FILE), NOW);
        assert_eq!(found, expected);
        found
    }
}

cases! {
    conditional:
    none => call(ask("Accept-Encoding: gzip", Precondition::Proceed));
    by_tag => call(ask("If-None-Match: \"18a1f2b3c4d5e6f7-400\"", Precondition::NotModified));
    by_date => call(ask("If-Modified-Since: Sat, 21 Nov 2026 02:51:04 GMT", Precondition::NotModified));
}
