//! `--live`: pages reload when a file of theirs changes.
//!
//! HTML gets a line that loads a script, which listens to Server-Sent Events. The loop tells all pages whenever the kernel
//! reports a change of something that a kept reply depends on. The script finds out by entity tags what has changed.
//!
//! Invariant: an open page costs a connection and the memory of its stream, and no time until something changes.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use super::representation::EntityTag;
use crate::handler::exchange::Exchange;
use crate::handler::page::Page;
use crate::handler::server_info::ServerInfo;
use crate::http::field::{FieldName, FieldValue};
use crate::http::status::HttpStatus;
use crate::wire::source::{Fill, Source};

/// HTML up to this size gets the script.
pub(super) const MAX_SIZE: u64 = 1024 * 1024;
/// The line that is added to the end of each HTML document.
pub(super) const LINE: &[u8] = b"<script src=\"/.httpoll/live.js\"></script>\n";
/// Names that begin with a dot are not served unless asked for, so a site has no file of this path.
const SCRIPT_PATH: &str = "/.httpoll/live.js";
const EVENTS_PATH: &str = "/.httpoll/live";
const SCRIPT: &str = include_str!("live.js");

/// Returns whether a document begins with the byte order mark of UTF-16, in which the line would be other characters.
pub(super) fn is_utf_16(content: &[u8]) -> bool {
    matches!(content, [0xff, 0xfe, ..] | [0xfe, 0xff, ..])
}

/// Adds the script to a page of this crate, and allows it in the Content-Security-Policy of the page. The script compares entity
/// tags, so the page gets one; the tag is weak, because all codings of the page have it. The tag also stands in the line: the script
/// cannot ask the cache of the browser for it, because the page depends on Accept.
pub(super) fn add_to(page: &mut Page, server: &ServerInfo) {
    let tag = EntityTag::of_content(&page.content, None);
    let weak = [b"W/", tag.as_bytes()].concat();
    page.content
        .extend_from_slice(b"<script src=\"/.httpoll/live.js\" data-tag='");
    page.content.extend_from_slice(&weak);
    page.content.extend_from_slice(b"'></script>\n");
    if let Ok(tag) = FieldValue::new(&weak) {
        page.fields.push(FieldName::ETAG, tag);
    }
    let name = FieldName::CONTENT_SECURITY_POLICY;
    let own = page.defaults.iter().find(|(own, _)| *own == name);
    let Some((_, policy)) = own.filter(|_| !server.is_extra_field(name.as_str())) else {
        return;
    };
    let policy = String::from_utf8_lossy(policy.as_bytes());
    let policy = match policy.split_once("script-src ") {
        Some((before, after)) => format!("{before}script-src 'self' {after}"),
        None => format!("{policy}; script-src 'self'"),
    };
    let policy = format!("{policy}; connect-src 'self'");
    if let Ok(policy) = FieldValue::new(policy.as_bytes()) {
        page.fields.push(name, policy);
    }
}

/// The pages that listen, and how often something has changed.
///
/// All loops share the pages: the loop that sends a file watches it, and another loop may send the events of the page.
#[derive(Clone, Debug, Default)]
pub(super) struct Live {
    pages: Arc<Mutex<Pages>>,
}

#[derive(Debug, Default)]
struct Pages {
    changes: u64,
    /// The wakers of the streams, each with the number of its stream.
    wakers: Vec<(u64, Waker)>,
    next: u64,
}

/// The events of one page.
struct Stream {
    pages: Arc<Mutex<Pages>>,
    number: u64,
    seen: Option<u64>,
}

impl Live {
    /// Tells all pages that something has changed.
    pub(super) fn note_change(&self) {
        let mut pages = lock(&self.pages);
        pages.changes += 1;
        for (_, waker) in &pages.wakers {
            waker.wake_by_ref();
        }
    }

    /// Replies to a request for the script or the events; returns whether it was one.
    pub(super) fn send(&self, exchange: &mut Exchange<'_>) -> bool {
        match exchange.path_only() {
            SCRIPT_PATH => {
                exchange.send_text(HttpStatus::OK, SCRIPT);
                exchange.send_header("Content-Type", "text/javascript; charset=utf-8");
                exchange.send_header("Cache-Control", "no-cache");
            }
            EVENTS_PATH => {
                exchange.send_response(HttpStatus::OK);
                exchange.send_header("Content-Type", "text/event-stream");
                exchange.send_header("Cache-Control", "no-store");
                exchange.end_headers();
                let stream = self.stream(exchange.waker());
                exchange.stream(Box::new(stream));
            }
            _ => return false,
        }
        true
    }

    fn stream(&self, waker: Waker) -> Stream {
        let mut pages = lock(&self.pages);
        let number = pages.next;
        pages.next += 1;
        pages.wakers.push((number, waker));
        Stream {
            pages: Arc::clone(&self.pages),
            number,
            seen: None,
        }
    }
}

impl Source for Stream {
    fn fill(&mut self, out: &mut Vec<u8>) -> io::Result<Fill> {
        let changes = lock(&self.pages).changes;
        match self.seen.replace(changes) {
            // The browser comes back soon if the server is started again.
            None => out.extend_from_slice(b"retry: 500\n\n"),
            Some(seen) if seen != changes => out.extend_from_slice(b"data: changed\n\n"),
            Some(_) => {}
        }
        Ok(Fill::NotNow)
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        let mut pages = lock(&self.pages);
        let found = pages
            .wakers
            .iter()
            .position(|(number, _)| *number == self.number);
        if let Some(index) = found {
            pages.wakers.swap_remove(index);
        }
    }
}

fn lock(pages: &Mutex<Pages>) -> MutexGuard<'_, Pages> {
    pages.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_page_is_told_once_of_changes_since_its_last_event() {
        let live = Live::default();
        let mut streams = [
            live.stream(Waker::noop().clone()),
            live.stream(Waker::noop().clone()),
        ];
        let mut events = |count| {
            let streams = &mut streams[..count];
            let texts = streams.iter_mut().map(|stream| {
                let mut out = Vec::new();
                assert_eq!(stream.fill(&mut out).unwrap(), Fill::NotNow);
                String::from_utf8(out).unwrap()
            });
            texts.collect::<Vec<_>>()
        };
        assert_eq!(events(1), ["retry: 500\n\n"]);
        live.note_change();
        live.note_change();
        assert_eq!(events(2), ["data: changed\n\n", "retry: 500\n\n"]);
        assert_eq!(events(2), ["", ""]);
        live.note_change();
        assert_eq!(events(2), ["data: changed\n\n", "data: changed\n\n"]);
        assert_eq!(lock(&live.pages).wakers.len(), 2);
        drop(streams);
        assert_eq!(lock(&live.pages).wakers.len(), 0);
    }
}
