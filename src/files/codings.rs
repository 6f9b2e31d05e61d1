//! The codings in which the content of a kept reply can be sent (RFC 9110 §8.4.1), and the choice among them.
//!
//! Invariant: a coding belongs to the reply whose content it has. When that reply is dropped, all its codings are.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use super::SimpleHttpRequestHandler;
use super::send_head::FileRequest;
use crate::handler::server_info::ServerInfo;
use crate::http::accept_encoding::{AcceptedCodings, Coding};
use crate::http::field::{FieldLines, FieldName, FieldValue};

const ACCEPT_ENCODING: FieldValue<'static> = FieldValue::constant("Accept-Encoding");
/// Content below this size, in bytes, is not compressed: it leaves in one packet anyway.
const MIN_COMPRESSED: u64 = 1024;
/// Content beyond this size, in bytes, is not compressed.
const MAX_COMPRESSED: u64 = 1024 * 1024;

/// One content in several codings.
#[derive(Debug)]
pub(crate) struct Codings<T> {
    /// In the order of [`Coding::ALL`].
    slots: [Slot<T>; Coding::ALL.len()],
}

/// One coding of a content.
#[derive(Debug)]
struct Slot<T> {
    /// Unset until it is known whether there is this coding; `None` if there is none.
    reply: OnceLock<Option<Arc<T>>>,
    /// Whether a thread was asked to make it.
    is_begun: AtomicBool,
}

impl<T> Codings<T> {
    /// Begins with no coding. `may_make` tells which can be made.
    pub(crate) fn new(may_make: impl Fn(Coding) -> bool) -> Self {
        let slot = |coding| Slot {
            reply: if may_make(coding) {
                OnceLock::new()
            } else {
                OnceLock::from(None)
            },
            is_begun: AtomicBool::new(false),
        };
        Self {
            slots: Coding::ALL.map(slot),
        }
    }

    /// Sets a coding that a sibling has.
    pub(crate) fn insert(&mut self, coding: Coding, reply: Arc<T>) {
        self.slots[coding as usize].reply = OnceLock::from(Some(reply));
    }

    /// Sets the reply in a coding that a thread was asked to make, once; `None` if it cannot be made or is not smaller.
    pub(crate) fn set(&self, coding: Coding, reply: Option<Arc<T>>) {
        // Only one thread is asked, so it is not set yet.
        let _ = self.slots[coding as usize].reply.set(reply);
    }

    /// Returns the best coding that is there, of those that the client accepts. If a better one can be made, `make` is asked for it.
    pub(crate) fn choose(
        &self,
        accepted: AcceptedCodings,
        mut make: impl FnMut(Coding),
    ) -> Option<&Arc<T>> {
        let mut is_first = true;
        for coding in accepted.iter() {
            let slot = &self.slots[coding as usize];
            if slot.reply.get().is_none() && is_first {
                make(coding);
                is_first = false;
            }
            if let Some(Some(reply)) = slot.reply.get() {
                return Some(reply);
            }
        }
        None
    }

    /// Returns the best coding that is there, of those that the client accepts.
    pub(crate) fn best(&self, accepted: AcceptedCodings) -> Option<&Arc<T>> {
        self.choose(accepted, |_| ())
    }

    /// Notes that a thread is to make a coding; returns whether that is new.
    pub(crate) fn begin(&self, coding: Coding) -> bool {
        !self.slots[coding as usize]
            .is_begun
            .swap(true, Ordering::Relaxed)
    }

    /// Notes that no thread makes a coding, so that the next request may ask for it again.
    pub(crate) fn give_up(&self, coding: Coding) {
        self.slots[coding as usize]
            .is_begun
            .store(false, Ordering::Relaxed);
    }

    /// Returns the replies that there are.
    pub(crate) fn replies(&self) -> impl Iterator<Item = &Arc<T>> {
        self.slots
            .iter()
            .filter_map(|slot| slot.reply.get()?.as_ref())
    }
}

/// The most stale siblings that are remembered. Further ones are not logged.
const MAX_STALE: usize = 1024;

/// The siblings that were logged as older than their files. All loops and their threads share them, so each is logged once.
#[derive(Clone, Debug, Default)]
pub(super) struct StaleSiblings(Arc<Mutex<BTreeSet<Vec<u8>>>>);

impl StaleSiblings {
    /// Returns whether the sibling at `path` is to be logged.
    fn note(&self, path: &[u8]) -> bool {
        let mut logged = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        logged.len() < MAX_STALE && logged.insert(path.to_vec())
    }
}

impl FileRequest<'_, '_> {
    /// Logs once that the sibling at `path` is older than its file.
    pub(super) fn note_stale(&mut self, path: &[u8]) {
        if self.files.stale_siblings.note(path) {
            let name = path.escape_ascii();
            self.exchange
                .log_message(&format!("{name} is older than its file, and not sent"));
        }
    }
}

impl SimpleHttpRequestHandler {
    /// Returns whether content of this `size` is compressed if its media type allows that.
    pub(super) fn compresses(&self, server: &ServerInfo, size: u64) -> bool {
        let has_threads = server.file_threads().is_some();
        self.compress && has_threads && (MIN_COMPRESSED..=MAX_COMPRESSED).contains(&size)
    }

    /// Returns the fields of a listing that say how it may be cached.
    pub(super) fn listing_policy(&self, server: &ServerInfo) -> Arc<FieldLines> {
        let policy = server.file_policy();
        if self.compress {
            with_vary(policy)
        } else {
            Arc::clone(policy)
        }
    }
}

/// Returns `policy` for a reply that depends on Accept-Encoding.
pub(super) fn with_vary(policy: &FieldLines) -> Arc<FieldLines> {
    let mut fields = policy.clone();
    fields.push(FieldName::VARY, ACCEPT_ENCODING);
    Arc::new(fields)
}

/// Returns whether content of this media type becomes smaller: text, and formats that are not compressed already.
pub(crate) fn is_compressible(media_type: &str) -> bool {
    let media_type = media_type
        .split(';')
        .next()
        .unwrap_or_default()
        .trim_ascii();
    let is = |known: &&str| media_type.eq_ignore_ascii_case(known);
    let ends_with = |suffix: &str| {
        let at = media_type.len().saturating_sub(suffix.len());
        let end = media_type.get(at..);
        end.is_some_and(|end| end.eq_ignore_ascii_case(suffix))
    };
    let begins_with = |prefix: &str| {
        let start = media_type.get(..prefix.len());
        start.is_some_and(|start| start.eq_ignore_ascii_case(prefix))
    };
    begins_with("text/") || ends_with("+json") || ends_with("+xml") || OTHERS.iter().any(is)
}

/// Media types whose names do not tell that they can be compressed.
const OTHERS: [&str; 16] = [
    "application/javascript",
    "application/json",
    "application/rtf",
    "application/sql",
    "application/toml",
    "application/vnd.ms-fontobject",
    "application/wasm",
    "application/x-javascript",
    "application/x-ndjson",
    "application/x-sh",
    "application/xml",
    "application/yaml",
    "font/otf",
    "font/ttf",
    "image/bmp",
    "image/x-icon",
];

#[cfg(test)]
mod tests {
    use super::*;

    fn accepted(field: &str) -> AcceptedCodings {
        AcceptedCodings::of([field.as_bytes()].into_iter())
    }

    #[test]
    fn the_best_coding_that_is_there_is_chosen() {
        let mut codings = Codings::new(|coding| coding == Coding::Zstd);
        codings.insert(Coding::Gzip, Arc::new("gzip"));
        let chosen = |field: &str| {
            let mut asked = None;
            let chosen = codings.choose(accepted(field), |coding| asked = Some(coding));
            (chosen.map(|reply| **reply), asked)
        };
        let all = "gzip, deflate, br, zstd";
        assert_eq!(chosen(all), (Some("gzip"), Some(Coding::Zstd)));
        assert_eq!(chosen("gzip"), (Some("gzip"), None));
        assert_eq!(chosen("gzip, zstd;q=0.1"), (Some("gzip"), None));
        assert_eq!(chosen("zstd"), (None, Some(Coding::Zstd)));
        assert_eq!(chosen("br"), (None, None));
        assert_eq!(chosen("identity"), (None, None));
        codings.set(Coding::Zstd, Some(Arc::new("zstd")));
        let chosen = codings.choose(accepted(all), |_| {});
        assert_eq!(chosen.map(|reply| **reply), Some("zstd"));
    }

    #[test]
    fn a_coding_is_begun_once_unless_it_is_given_up() {
        let codings = Codings::<()>::new(|_| true);
        assert!(codings.begin(Coding::Gzip));
        assert!(!codings.begin(Coding::Gzip) && codings.begin(Coding::Zstd));
        codings.give_up(Coding::Gzip);
        assert!(codings.begin(Coding::Gzip));
    }

    #[test]
    fn formats_that_are_compressed_already_are_not_compressible() {
        for media_type in [
            "text/html",
            "TEXT/plain; charset=utf-8",
            "image/svg+xml",
            "application/geo+json",
            "application/JSON",
            "application/wasm",
            "font/ttf",
        ] {
            assert!(is_compressible(media_type), "{media_type}");
        }
        for media_type in [
            "image/png",
            "video/mp4",
            "font/woff2",
            "application/zip",
            "application/gzip",
            "application/octet-stream",
            "application/pdf",
            "",
            "text",
        ] {
            assert!(!is_compressible(media_type), "{media_type}");
        }
    }
}
