//! HTTP dates, and the other formats in which a listing and the log write a time.
//!
//! All formats are derived from IMF-fixdate (RFC 9110 §5.6.7), which has a fixed width and ends with the year 9999. A time is
//! a number of whole seconds since 1970, UTC.

use std::io::Write;
use std::time::{Duration, UNIX_EPOCH};

use httpdate::HttpDate;

use super::request::parse_digits;

/// The length of an IMF-fixdate in bytes.
const IMF_LEN: usize = 29;

/// The length of a date of the Common Log Format in bytes.
pub(crate) const LOG_LEN: usize = 26;

/// The length of a time of RFC 3339 in UTC with milliseconds, in bytes.
const RFC3339_LEN: usize = 24;

/// Fri, 31 Dec 9999 23:59:59 GMT: `httpdate` panics on later times.
pub(crate) const LAST_SECOND: u64 = 253_402_300_799;

/// The text of an IMF-fixdate: a fixed number of ASCII bytes, none of them a control byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ImfFixdate([u8; IMF_LEN]);

impl ImfFixdate {
    /// A placeholder for a date that is written later.
    pub(crate) const BLANK: Self = Self([b' '; IMF_LEN]);

    pub(crate) fn as_bytes(&self) -> &[u8; IMF_LEN] {
        &self.0
    }
}

/// Formats `Sat, 21 Nov 2026 02:51:04 GMT`; a time after the year 9999 becomes its last second.
pub(crate) fn imf_fixdate(unix: u64) -> ImfFixdate {
    let date = HttpDate::from(UNIX_EPOCH + Duration::from_secs(unix.min(LAST_SECOND)));
    let mut text = [b' '; IMF_LEN];
    let written = write!(text.as_mut_slice(), "{date}");
    debug_assert!(written.is_ok(), "an IMF-fixdate has {IMF_LEN} bytes");
    ImfFixdate(text)
}

const WEEKDAYS: [&str; 7] = [
    "Monday",
    "Tuesday",
    "Wednesday",
    "Thursday",
    "Friday",
    "Saturday",
    "Sunday",
];

const MONTHS: [&str; 12] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];

/// Parses any of the three formats of HTTP-date; returns `None` for other text and for times before 1970. The weekday may be
/// wrong for the date. `now` decides the century of a two-digit year.
pub(crate) fn parse_http_date(value: &[u8], now: u64) -> Option<u64> {
    let text = str::from_utf8(value).ok()?;
    // Only the RFC 850 format is longer.
    if text.len() <= IMF_LEN
        && let Some(unix) = parse_exactly(text)
    {
        return Some(unix);
    }
    parse_unusual(text, now)
}

/// Parses an RFC 850 date, or a date with the wrong weekday.
#[cold] // Inlined, it costs every usual date 8 instructions.
fn parse_unusual(text: &str, now: u64) -> Option<u64> {
    if text.len() > IMF_LEN {
        return parse_rfc850_date(text, now);
    }
    let (weekday, rest) = text.split_at_checked("Mon".len())?;
    WEEKDAYS.iter().find(|name| name.starts_with(weekday))?;
    parse_after_weekday(rest)
}

/// Parses `Sunday, 06-Nov-94 08:49:37 GMT`. The year is the latest one with these last two digits that keeps the date at most
/// 50 years after `now` (RFC 9110 §5.6.7).
fn parse_rfc850_date(text: &str, now: u64) -> Option<u64> {
    let (weekday, rest) = text.split_once(", ")?;
    WEEKDAYS.iter().find(|name| **name == weekday)?;
    let (date, time) = rest.split_once(' ')?;
    let mut parts = date.splitn(3, '-');
    let (day, month, digits) = (parts.next()?, parts.next()?, parts.next()?);

    let imf = imf_fixdate(now);
    let mut present = str::from_utf8(imf.as_bytes()).ok()?.splitn(5, ' ').skip(1);
    let (this_day, this_month) = (present.next()?, present.next()?);
    let (this_year, this_time) = (present.next()?, present.next()?);
    let number = |name| MONTHS.iter().position(|month| *month == name);
    let is_later = (number(month)?, day, time) > (number(this_month)?, this_day, this_time);

    let latest = parse_digits(this_year.as_bytes())? + 50 - u64::from(is_later);
    let digits = parse_digits(digits.as_bytes()).filter(|_| digits.len() == 2)?;
    let year = latest - (latest + 100 - digits) % 100;
    parse_after_weekday(&format!(", {day} {month} {year} {time}"))
}

/// Parses the text after the weekday of an IMF-fixdate or asctime-date. All weekdays are tried, because `httpdate` accepts
/// only the right one.
fn parse_after_weekday(rest: &str) -> Option<u64> {
    WEEKDAYS
        .iter()
        .find_map(|weekday| parse_exactly(&format!("{}{rest}", &weekday[..3])))
}

/// Parses a date with the right weekday, as nearly all dates have.
fn parse_exactly(text: &str) -> Option<u64> {
    let time = httpdate::parse_http_date(text).ok()?;
    Some(time.duration_since(UNIX_EPOCH).ok()?.as_secs())
}

/// Rearranges an IMF-fixdate into `21/Nov/2026:02:51:04 +0000`, the date of the Common Log Format.
pub(crate) fn log_date(imf: &[u8; IMF_LEN]) -> [u8; LOG_LEN] {
    let mut text = *b"dd/Mon/yyyy:hh:mm:ss +0000";
    text[0..2].copy_from_slice(&imf[5..7]);
    text[3..6].copy_from_slice(&imf[8..11]);
    text[7..11].copy_from_slice(&imf[12..16]);
    text[12..20].copy_from_slice(&imf[17..25]);
    text
}

/// Rearranges an IMF-fixdate into `2026-11-21T02:51:04.007Z`, the time of a JSON line in the log (RFC 3339 §5.6).
pub(crate) fn rfc3339(imf: &[u8; IMF_LEN], milliseconds: u32) -> [u8; RFC3339_LEN] {
    let month = MONTHS
        .iter()
        .position(|name| name.as_bytes() == &imf[8..11])
        .map_or(0, |index| index as u32 + 1);
    let digit = |number: u32, place: u32| b'0' + (number / place % 10) as u8;
    let mut text = *b"yyyy-mm-ddThh:mm:ss.mmmZ";
    text[0..4].copy_from_slice(&imf[12..16]);
    text[5..7].copy_from_slice(&[digit(month, 10), digit(month, 1)]);
    text[8..10].copy_from_slice(&imf[5..7]);
    text[11..19].copy_from_slice(&imf[17..25]);
    text[20..23].copy_from_slice(&[100, 10, 1].map(|place| digit(milliseconds, place)));
    text
}

/// Formats `21 Nov 2026 02:51`, the date of a directory listing.
pub(crate) fn short_date(unix: u64) -> [u8; 17] {
    let ImfFixdate(imf) = imf_fixdate(unix);
    let mut text = [0; 17];
    text.copy_from_slice(&imf[5..22]);
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Sat, 21 Nov 2026 02:51:04 GMT
    const NOW: u64 = 1_795_229_464;

    /// The most seconds that 50 years can have.
    const FIFTY_YEARS: u64 = 18_263 * 86_400;

    const TIMES: [(u64, &str, &str, &str); 4] = [
        (
            0,
            "Thu, 01 Jan 1970 00:00:00 GMT",
            "01/Jan/1970:00:00:00 +0000",
            "01 Jan 1970 00:00",
        ),
        (
            951_782_400,
            "Tue, 29 Feb 2000 00:00:00 GMT",
            "29/Feb/2000:00:00:00 +0000",
            "29 Feb 2000 00:00",
        ),
        (
            1_795_229_464,
            "Sat, 21 Nov 2026 02:51:04 GMT",
            "21/Nov/2026:02:51:04 +0000",
            "21 Nov 2026 02:51",
        ),
        (
            LAST_SECOND,
            "Fri, 31 Dec 9999 23:59:59 GMT",
            "31/Dec/9999:23:59:59 +0000",
            "31 Dec 9999 23:59",
        ),
    ];

    #[test]
    fn a_time_is_formatted_in_three_ways() {
        for (unix, imf, log, short) in TIMES {
            let date = imf_fixdate(unix);
            let date = date.as_bytes();
            assert_eq!(date.escape_ascii().to_string(), imf);
            assert_eq!(log_date(date).escape_ascii().to_string(), log);
            assert_eq!(short_date(unix).escape_ascii().to_string(), short);
            assert_eq!(parse_http_date(imf.as_bytes(), NOW), Some(unix));
        }
    }

    #[test]
    fn a_time_of_rfc_3339_has_milliseconds() {
        for (unix, milliseconds, expected) in [
            (0, 0, "1970-01-01T00:00:00.000Z"),
            (951_782_400, 7, "2000-02-29T00:00:00.007Z"),
            (NOW, 999, "2026-11-21T02:51:04.999Z"),
            (LAST_SECOND, 120, "9999-12-31T23:59:59.120Z"),
        ] {
            let text = rfc3339(imf_fixdate(unix).as_bytes(), milliseconds);
            assert_eq!(text.escape_ascii().to_string(), expected);
        }
    }

    #[test]
    fn times_after_the_last_year_become_its_last_second() {
        for unix in [LAST_SECOND + 1, i64::MAX as u64, u64::MAX] {
            assert_eq!(imf_fixdate(unix), imf_fixdate(LAST_SECOND));
            assert_eq!(short_date(unix), short_date(LAST_SECOND));
        }
    }

    #[test]
    fn only_the_three_formats_are_parsed() {
        let cases: [(&[u8], Option<u64>); 29] = [
            (b"Sun, 06 Nov 1994 08:49:37 GMT", Some(784_111_777)),
            (b"Sunday, 06-Nov-94 08:49:37 GMT", Some(784_111_777)),
            (b"Sun Nov  6 08:49:37 1994", Some(784_111_777)),
            (b"Mon, 06 Nov 1994 08:49:37 GMT", Some(784_111_777)),
            (b"Monday, 06-Nov-94 08:49:37 GMT", Some(784_111_777)),
            (b"Mon Nov  6 08:49:37 1994", Some(784_111_777)),
            (b"Wednesday, 29-Feb-00 00:00:00 GMT", Some(951_782_400)),
            (b"Wed, 31 Dec 1969 23:59:59 GMT", None),
            (b"Day, 06 Nov 1994 08:49:37 GMT", None),
            (b"Sunday, 06 Nov 1994 08:49:37 GMT", None),
            (b"Sun, 06-Nov-94 08:49:37 GMT", None),
            (b"Someday, 06-Nov-94 08:49:37 GMT", None),
            (b"Sunday, 6-Nov-94 08:49:37 GMT", None),
            (b"Sunday, 06-Nov-1994 08:49:37 GMT", None),
            (b"Sunday, 06-Nov-94-95 08:49:37 GMT", None),
            (b"Sunday, 06-Nov-+4 08:49:37 GMT", None),
            (b"Sunday, 06-nov-94 08:49:37 GMT", None),
            (b"Sunday, 31-Feb-94 08:49:37 GMT", None),
            (b"Sunday, 29-Feb-01 08:49:37 GMT", None),
            (b"Sunday, 06-Nov-94 08:49:37 GMT+1", None),
            (b"Sunday, 06-Nov-94 08:49:60 GMT", None),
            (b"Sun, 06 Nov 1994 08:49:37 CET", None),
            (b"Sun, 06 Nov 1994 25:49:37 GMT", None),
            (b"Sun, 06 Nov 1994", None),
            (b"784111777", None),
            (b"0", None),
            (b"", None),
            (b"Sun, 06 Nov 1994 08:49:37 GM\xff", None),
            ("Sun, 06 Növ 1994 08:49:37 GMT".as_bytes(), None),
        ];
        for (value, expected) in cases {
            let found = parse_http_date(value, NOW);
            assert_eq!(found, expected, "{}", value.escape_ascii());
        }
    }

    #[test]
    fn a_two_digit_year_is_at_most_fifty_years_ahead() {
        let cases = [
            // To the second: up to 50 years ahead is the future, more is the past.
            ("Sat, 21 Nov 2026 02:51:04 GMT", "21-Nov-76 02:51:04", 2076),
            ("Sat, 21 Nov 2026 02:51:04 GMT", "21-Nov-76 02:51:05", 1976),
            ("Sat, 21 Nov 2026 02:51:04 GMT", "22-Nov-76 00:00:00", 1976),
            ("Sat, 21 Nov 2026 02:51:04 GMT", "01-Dec-76 00:00:00", 1976),
            ("Sat, 21 Nov 2026 02:51:04 GMT", "31-Oct-76 23:59:59", 2076),
            ("Sat, 21 Nov 2026 02:51:04 GMT", "31-Dec-75 23:59:59", 2075),
            ("Sat, 21 Nov 2026 02:51:04 GMT", "01-Jan-77 00:00:00", 1977),
            ("Sat, 21 Nov 2026 02:51:04 GMT", "31-Dec-99 23:59:59", 1999),
            ("Sat, 21 Nov 2026 02:51:04 GMT", "31-Dec-26 23:59:59", 2026),
            ("Sat, 21 Nov 2026 02:51:04 GMT", "31-Dec-69 23:59:59", 2069),
            ("Thu, 29 Feb 2024 12:00:00 GMT", "28-Feb-74 12:00:00", 2074),
            ("Thu, 29 Feb 2024 12:00:00 GMT", "01-Mar-74 00:00:00", 1974),
            // Around the turns of centuries; 2100 has no 29 February.
            ("Thu, 31 Dec 1998 00:00:00 GMT", "01-Jan-00 00:00:00", 2000),
            ("Thu, 31 Dec 1998 00:00:00 GMT", "01-Jan-49 00:00:00", 1949),
            ("Thu, 31 Dec 2099 00:00:00 GMT", "01-Jan-01 00:00:00", 2101),
            ("Thu, 31 Dec 2099 00:00:00 GMT", "01-Jan-50 00:00:00", 2050),
        ];
        for (now, date, year) in cases {
            let now = parse_http_date(now.as_bytes(), 0).unwrap();
            for weekday in WEEKDAYS {
                let text = format!("{weekday}, {date} GMT");
                let (date, time) = date.split_once(' ').unwrap();
                let imf = format!("Sun, {} {} {year} {time} GMT", &date[..2], &date[3..6]);
                let found = parse_http_date(text.as_bytes(), now);
                assert_eq!(
                    found,
                    parse_http_date(imf.as_bytes(), now),
                    "{text} at {now}"
                );
                assert_eq!(found.is_some(), year >= 1970, "{text} at {now}");
            }
        }
    }

    proptest! {
        #[test]
        fn a_formatted_date_is_parsed_back(unix in 0..=LAST_SECOND) {
            prop_assert_eq!(parse_http_date(imf_fixdate(unix).as_bytes(), NOW), Some(unix));
        }

        #[test]
        fn a_two_digit_year_is_within_fifty_years(
            unix in 0..4_102_444_800_u64,
            now in 0..8_000_000_000_u64,
        ) {
            let imf = imf_fixdate(unix).as_bytes().escape_ascii().to_string();
            let (day, month, digits, time) = (&imf[5..7], &imf[8..11], &imf[14..16], &imf[17..]);
            let short = format!("Sunday, {day}-{month}-{digits} {time}");
            // A date before 1970, and 29 February 2100, is not parsed.
            if let Some(found) = parse_http_date(short.as_bytes(), now) {
                let text = imf_fixdate(found).as_bytes().escape_ascii().to_string();
                prop_assert_eq!((&text[5..12], &text[14..]), (&imf[5..12], &imf[14..]));
                prop_assert!(found <= now + FIFTY_YEARS, "{} at {}", found, now);
                prop_assert!(found + FIFTY_YEARS >= now, "{} at {}", found, now);
            }
        }

        #[test]
        fn no_bytes_panic(value in prop::collection::vec(any::<u8>(), 0..64), now: u64) {
            parse_http_date(&value, now);
        }

        #[test]
        fn no_changed_byte_of_a_date_panics(unix in 0..=LAST_SECOND, at in 0..IMF_LEN, byte: u8) {
            let mut value = *imf_fixdate(unix).as_bytes();
            value[at] = byte;
            parse_http_date(&value, NOW);
            let text = String::from_utf8_lossy(&value);
            let short = format!("Sunday, {}", text.replace(' ', "-"));
            parse_http_date(short.as_bytes(), NOW);
        }
    }
}
