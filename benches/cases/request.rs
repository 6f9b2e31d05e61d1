//! Heads: finding and reading usual ones, unusual ones, incomplete ones, and ones like the head before.

use std::hint::black_box;
use std::mem::take;

use super::Case;
use super::requests::{BROWSER, OHA, WRK, bytes};
use crate::config::ServerConfig;
use crate::http::head::HeadSearch;
use crate::http::request::Request;
use crate::http::storage::Storage;

/// A head, read after another one on the same connection.
struct Heads {
    before: Vec<u8>,
    head: Vec<u8>,
    storage: Storage,
    config: ServerConfig,
}

impl Heads {
    fn read(&mut self, head: fn(&Self) -> &[u8]) -> usize {
        let mut storage = take(&mut self.storage);
        let mut search = HeadSearch::default();
        let head = black_box(head(self));
        let found = Request::find(head, &mut search, &mut storage, &self.config);
        let end = found.ok().flatten().map_or(0, |(_, span)| span.end);
        self.storage = storage;
        end
    }
}

impl Case for Heads {
    fn before(&mut self) {
        self.read(|heads| &heads.before);
    }

    fn run(&mut self) {
        black_box(self.read(|heads| &heads.head));
    }
}

fn find_after(before: Vec<u8>, head: Vec<u8>) -> Box<dyn Case> {
    Box::new(Heads {
        before,
        head,
        storage: Storage::default(),
        config: ServerConfig::default(),
    })
}

/// Reads a head after one with other fields.
fn find(head: Vec<u8>) -> Box<dyn Case> {
    find_after(bytes("GET /", "Host: another\r\n"), head)
}

/// Reads a head after one that differs only in the target.
fn find_again(fields: &str) -> Box<dyn Case> {
    find_after(bytes("GET /another", fields), get(fields))
}

fn get(fields: &str) -> Vec<u8> {
    bytes("GET /1k.html", fields)
}

cases! {
    head:
    wrk => find(get(WRK));
    wrk_again => find_again(WRK);
    oha => find(get(OHA));
    browser => find(get(BROWSER));
    browser_again => find_again(BROWSER);
    browser_after_an_empty_line => find([b"\r\n", get(BROWSER).as_slice()].concat());
    browser_incomplete => find(get(BROWSER).split_last().unwrap().1.to_vec());
}
