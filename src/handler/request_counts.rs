//! Requests, counted by their method and by the class of the reply's status.
//!
//! Invariant: no client can make the table grow: methods without a row of their own share the last one.

use std::fmt;

use crate::http::status::HttpStatus;

/// The rows: the methods of RFC 9110 and RFC 5789, and all others together.
const METHODS: [&str; 10] = [
    "GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH", OTHER,
];
const OTHER: &str = "other";
/// A status has three digits; the first is its class.
const CLASSES: usize = 10;

/// How many requests were answered, by method and by the class of the status (RFC 9110 §15).
///
/// Methods other than those of RFC 9110 and PATCH count as `other`, so that clients cannot invent new ones. The class is the first
/// digit of the status. Class 0 has the requests whose connection was [reset](crate::Exchange::abort) in place of a reply.
///
/// ```
/// # use httpoll::{BaseHttpRequestHandler, HttpServer};
/// # struct Nothing;
/// # impl BaseHttpRequestHandler for Nothing {}
/// let server = HttpServer::bind("127.0.0.1:0", Nothing)?;
/// let counters = server.info().counters();
/// assert_eq!(counters.requests_by.get("GET", 2), 0);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct RequestCounts([u64; METHODS.len() * CLASSES]);

impl Default for RequestCounts {
    fn default() -> Self {
        Self([0; METHODS.len() * CLASSES])
    }
}

impl RequestCounts {
    /// Returns how many requests with `method` got a status of `class`; 0 for what is not counted by itself.
    pub fn get(&self, method: &str, class: u8) -> u64 {
        let mut counts = self.iter();
        let found = counts.find(|(name, number, _)| *name == method && *number == class);
        found.map_or(0, |(.., count)| count)
    }

    /// Returns method, class and count for each pair of the first two, those included that did not occur.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, u8, u64)> {
        let rows = METHODS.iter().zip(self.0.chunks(CLASSES));
        rows.flat_map(|(method, row)| {
            (0..)
                .zip(row)
                .map(|(class, count)| (*method, class, *count))
        })
    }

    /// Counts a request; `None` stands for no reply.
    // Inlined into what runs for every request.
    #[inline(always)]
    pub(crate) fn count(&mut self, method: &str, status: Option<HttpStatus>) {
        let class = status.map_or(0, |status| usize::from(status.code() / 100));
        // Fast path: nearly every request is a GET.
        let row = if method == "GET" { 0 } else { row(method) };
        if let Some(count) = self.0.get_mut(row * CLASSES + class) {
            *count += 1;
        }
    }

    pub(crate) fn add(&mut self, other: &Self) {
        for (count, more) in self.0.iter_mut().zip(other.0) {
            *count += more;
        }
    }
}

#[inline(never)]
fn row(method: &str) -> usize {
    match method {
        "GET" => 0,
        "HEAD" => 1,
        "POST" => 2,
        "PUT" => 3,
        "DELETE" => 4,
        "CONNECT" => 5,
        "OPTIONS" => 6,
        "TRACE" => 7,
        "PATCH" => 8,
        _ => METHODS.len() - 1,
    }
}

/// Writes only what occurred.
impl fmt::Debug for RequestCounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let occurred = self.iter().filter(|(.., count)| *count > 0);
        f.debug_set().entries(occurred).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_method_has_its_row_and_unknown_ones_share_the_last() {
        let mut counts = RequestCounts::default();
        for method in METHODS {
            counts.count(method, Some(HttpStatus::OK));
        }
        for method in ["", "get", "PROPFIND", "X\"}\n"] {
            counts.count(method, Some(HttpStatus::NOT_FOUND));
        }
        counts.count("GET", None);
        for method in METHODS {
            assert_eq!(counts.get(method, 2), 1, "{method}");
        }
        assert_eq!((counts.get(OTHER, 4), counts.get("PROPFIND", 4)), (4, 0));
        assert_eq!(counts.get("GET", 0), 1);
        let mut sum = counts;
        sum.add(&counts);
        assert_eq!((sum.get(OTHER, 4), sum.iter().count()), (8, 100));
    }
}
