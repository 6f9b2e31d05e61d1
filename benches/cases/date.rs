//! Dates: writing them for headers, log and listing, and parsing them.

use std::hint::black_box;

use super::call;
use crate::http::date::{imf_fixdate, log_date, parse_http_date, short_date};

const NOW: u64 = 1_795_229_464;

cases! {
    date:
    imf_fixdate => call(|| imf_fixdate(black_box(NOW)));
    log_date => call(|| log_date(black_box(b"Sat, 21 Nov 2026 02:51:04 GMT")));
    short_date => call(|| short_date(black_box(NOW)));
    parse => call(|| parse_http_date(black_box(b"Sat, 21 Nov 2026 02:51:04 GMT"), 1_795_229_464));
}
