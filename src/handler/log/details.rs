//! What only a JSON line says of a request. Its texts are ranges of the reply's arena.

use std::ops::Range;

use super::record::append;
use crate::handler::waits::Waits;
use crate::http::host;
use crate::http::request::Request;
use crate::http::trace;

/// The details of a request; those of a request that was refused before it was understood are `None`.
#[derive(Debug, Default)]
pub(crate) struct LogDetails {
    pub(super) method: Option<Range<usize>>,
    pub(super) path: Option<Range<usize>>,
    pub(super) version: Option<&'static str>,
    pub(super) host: Option<Range<usize>>,
    pub(super) request_id: Option<Range<usize>>,
    pub(super) trace_id: Option<Range<usize>>,
    pub(crate) waits: Waits,
}

impl LogDetails {
    /// Takes the details from `request`, and appends their texts to `arena`. Not inlined, because other formats need none.
    #[inline(never)]
    pub(crate) fn of(request: &Request<'_>, arena: &mut Vec<u8>) -> Self {
        // Only what stands for a refused head has no path.
        if request.path.is_empty() {
            return Self::default();
        }
        let mut note = |text: &[u8]| append(arena, text);
        let fields = |name| request.headers.get_all(name);
        Self {
            method: Some(note(request.command.as_bytes())),
            path: Some(note(&request.path)),
            version: Some(request.meaning.version.name()),
            host: host::authority(request).map(&mut note),
            request_id: trace::request_id(fields("x-request-id")).map(&mut note),
            trace_id: trace::trace_id(fields("traceparent")).map(&mut note),
            waits: Waits::default(),
        }
    }
}
