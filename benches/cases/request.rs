//! Heads: found and read, as nearly all are spelled, as some are, and cut short.

use std::hint::black_box;

use super::call;
use super::requests::{BROWSER, OHA, WRK, bytes};
use crate::config::ServerConfig;
use crate::http::head::HeadSearch;
use crate::http::request::{Request, Storage};

/// Reads `head`.
fn find(head: Vec<u8>) -> impl FnMut() -> usize {
    let config = ServerConfig::default();
    move || {
        let mut storage = Storage::new();
        let mut search = HeadSearch::default();
        let found = Request::find(black_box(&head), &mut search, &mut storage, &config);
        found.ok().flatten().map_or(0, |(_, span)| span.end)
    }
}

fn get(fields: &str) -> Vec<u8> {
    bytes("GET /1k.html", fields)
}

cases! {
    head:
    wrk => call(find(get(WRK)));
    oha => call(find(get(OHA)));
    browser => call(find(get(BROWSER)));
    browser_after_an_empty_line => call(find([b"\r\n", get(BROWSER).as_slice()].concat()));
    browser_incomplete => call(find(get(BROWSER).split_last().unwrap().1.to_vec()));
}
