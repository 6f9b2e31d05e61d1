//! HTTP dates and the two other ways in which a reply or the log writes a point in time.
//!
//! Everything starts from IMF-fixdate (RFC 9110 §5.6.7), whose text has a fixed width and only ever reaches year 9999; a
//! time is a number of whole seconds since 1970, UTC.

use std::io::Write;
use std::time::{Duration, UNIX_EPOCH};

use httpdate::HttpDate;

/// The length of an IMF-fixdate in bytes.
pub(crate) const IMF_LEN: usize = 29;

/// The length of a date of the Common Log Format in bytes.
pub(crate) const LOG_LEN: usize = 26;

/// Fri, 31 Dec 9999 23:59:59 GMT: `httpdate` panics on anything later.
pub(crate) const LAST_SECOND: u64 = 253_402_300_799;

/// Formats `Sat, 21 Nov 2026 02:51:04 GMT`; times after year 9999 become its last second.
pub(crate) fn imf_fixdate(unix: u64) -> [u8; IMF_LEN] {
    let date = HttpDate::from(UNIX_EPOCH + Duration::from_secs(unix.min(LAST_SECOND)));
    let mut text = [b' '; IMF_LEN];
    let written = write!(text.as_mut_slice(), "{date}");
    debug_assert!(written.is_ok(), "an IMF-fixdate has {IMF_LEN} bytes");
    text
}

/// Parses any of the three formats of HTTP-date; `None` for everything else and for times before 1970.
pub(crate) fn parse_http_date(value: &[u8]) -> Option<u64> {
    let text = str::from_utf8(value).ok()?;
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

/// Formats `21 Nov 2026 02:51`, the date of a directory listing.
pub(crate) fn short_date(unix: u64) -> [u8; 17] {
    let imf = imf_fixdate(unix);
    let mut text = [0; 17];
    text.copy_from_slice(&imf[5..22]);
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

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
    fn one_time_in_three_texts() {
        for (unix, imf, log, short) in TIMES {
            assert_eq!(imf_fixdate(unix).escape_ascii().to_string(), imf);
            assert_eq!(log_date(&imf_fixdate(unix)).escape_ascii().to_string(), log);
            assert_eq!(short_date(unix).escape_ascii().to_string(), short);
            assert_eq!(parse_http_date(imf.as_bytes()), Some(unix));
        }
    }

    #[test]
    fn the_last_year_is_never_left() {
        for unix in [LAST_SECOND + 1, i64::MAX as u64, u64::MAX] {
            assert_eq!(imf_fixdate(unix), imf_fixdate(LAST_SECOND));
            assert_eq!(short_date(unix), short_date(LAST_SECOND));
        }
    }

    #[test]
    fn all_three_formats_are_read_and_nothing_else() {
        let cases: [(&[u8], Option<u64>); 12] = [
            (b"Sun, 06 Nov 1994 08:49:37 GMT", Some(784_111_777)),
            (b"Sunday, 06-Nov-94 08:49:37 GMT", Some(784_111_777)),
            (b"Sun Nov  6 08:49:37 1994", Some(784_111_777)),
            (b"Wed, 31 Dec 1969 23:59:59 GMT", None),
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
            assert_eq!(parse_http_date(value), expected, "{}", value.escape_ascii());
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(unix in 0..=LAST_SECOND) {
            prop_assert_eq!(parse_http_date(&imf_fixdate(unix)), Some(unix));
        }

        #[test]
        fn any_bytes_are_survived(value in prop::collection::vec(any::<u8>(), 0..64)) {
            parse_http_date(&value);
        }

        #[test]
        fn any_damage_to_a_date_is_survived(unix in 0..=LAST_SECOND, at in 0..IMF_LEN, byte: u8) {
            let mut value = imf_fixdate(unix);
            value[at] = byte;
            parse_http_date(&value);
        }
    }
}
