//! Complete requests with the longest input that a head allows: lists of 31 KiB in one field, and targets of 8 KB. The cost
//! must be linear in the length.

use httpoll::{MemoryServer, SimpleHttpRequestHandler};

use super::call;
use super::requests::{bytes, site};

const FIELD: usize = 31 * 1024;
const TARGET: usize = 8000;
/// The kernel takes paths of less than 4096 bytes.
const PATH: usize = 4000;

/// Returns `start`, followed by as many copies of `member` as fit into `length`.
fn fill(start: &str, member: &str, length: usize) -> String {
    start.to_owned() + &member.repeat((length - start.len()) / member.len())
}

/// Sends the `head` for a number that is different each time, so that no part of the server remembers it.
fn ask(status: u16, head: impl Fn(u32) -> Vec<u8>) -> impl FnMut() {
    let files = SimpleHttpRequestHandler::new(site()).unwrap();
    let (mut server, mut number) = (MemoryServer::new(files), 1000);
    move || {
        let reply = server.respond(&head(number));
        assert!(reply.starts_with(format!("HTTP/1.1 {status} ").as_bytes()));
        number += 1;
    }
}

fn ask_with(target: &'static str, name: &'static str, list: String, status: u16) -> impl FnMut() {
    ask(status, move |number| {
        let fields = format!("Host: h\r\n{name}: {list}{number}\r\n");
        bytes(&format!("GET {target}"), &fields)
    })
}

fn ask_for(target: String) -> impl FnMut() {
    ask(404, move |number| {
        bytes(&format!("GET {target}{number}"), "Host: h\r\n")
    })
}

fn file(name: &'static str, start: &str, member: &str) -> impl FnMut() {
    ask_with("/1k.html", name, fill(start, member, FIELD), 200)
}

fn accept(start: &str, member: &str) -> impl FnMut() {
    ask_with("/", "Accept", fill(start, member, FIELD), 200)
}

cases! {
    list:
    connection => call(file("Connection", "", "x, "));
    tags => call(file("If-None-Match", "", "\"18a1f2b3c4d5e6f7-401\", "));
    tags_without_an_end => call(file("If-None-Match", "\"", ","));
    dates => call(file("If-Modified-Since", "Sunday, 06-Nov-94 08:49:37 ", "- "));
    ranges => call(file("Range", "bytes=", "0-1,3-4,2000-,"));
    media_types => call(accept("", "text/html;q=0.1, "));
    media_types_without_an_end => call(accept("text/html;q=0.1;a=\"", ",;"));
    query => call(ask_for(fill("/missing?", "sort=size&", TARGET)));
    target_of_dots => call(ask_for(fill("/", "a/../", TARGET)));
    target_that_climbs => call(ask_for(fill("/", "../", TARGET)));
    target_of_escapes => call(ask_for(fill("/", "%2e%2F", TARGET)));
    target_that_is_missing => call(ask_for(fill("/", "a/", PATH)));
}
