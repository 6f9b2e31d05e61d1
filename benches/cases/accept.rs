//! Accept: the field of a browser and that of a script.

use std::hint::black_box;

use super::call;
use super::requests::BROWSER_ACCEPT;
use crate::http::accept::quality;

cases! {
    accept:
    browser => call(|| quality(std::iter::once(black_box(BROWSER_ACCEPT.as_bytes())), "text/html"));
    anything => call(|| quality(std::iter::once(black_box(b"*/*".as_slice())), "text/html"));
    json => call(|| quality(std::iter::once(black_box(b"application/json".as_slice())), "text/html"));
}
