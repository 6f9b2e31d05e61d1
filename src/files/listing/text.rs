//! Names, sizes and dates as they are written on the page.
//!
//! Invariant: every name is written as one line of text. Nothing in it acts as markup, breaks the line or changes the direction of
//! the text that follows.

use crate::handler::page::{put, put_escaped};
use crate::handler::text::acts_on_text;
use crate::http::date::{LAST_SECOND, short_date};
use crate::http::decimal::push_decimal;

/// Writes a name as one line of text.
pub(super) fn put_visible(out: &mut Vec<u8>, name: &[u8]) {
    for piece in String::from_utf8_lossy(name).split_inclusive(acts_on_text) {
        let text = piece.strip_suffix(acts_on_text);
        put_escaped(out, text.unwrap_or(piece));
        if let (Some(_), Some(last)) = (text, piece.chars().next_back()) {
            put(out, &[visible(last).encode_utf8(&mut [0; 4])]);
        }
    }
}

/// Returns a visible character in place of one that acts on text.
fn visible(c: char) -> char {
    match c {
        '\0'..='\x1f' => {
            char::from_u32(0x2400 + u32::from(c)).unwrap_or(char::REPLACEMENT_CHARACTER)
        }
        '\x7f' => '\u{2421}',
        _ => char::REPLACEMENT_CHARACTER,
    }
}

/// Writes the cell of a size in a readable unit. If the size is rounded, the title of the cell is the exact one, and so is the hidden
/// number before the rounded one: programs such as lftp read the first number, and know no units.
pub(super) fn put_size(out: &mut Vec<u8>, bytes: u64) {
    let mut shift = 0;
    for unit in *b"KMGTPE" {
        if bytes < 1024 {
            break;
        }
        shift += 10;
        let tenths = (u128::from(bytes) * 10 + (1 << (shift - 1))) >> shift;
        if tenths < 10_240 {
            let tenths = tenths as u64;
            put(out, &["<td title=\""]);
            let start = out.len();
            push_decimal(out, bytes);
            let exact = start..out.len();
            put(out, &[" B\"><i>"]);
            out.extend_from_within(exact);
            put(out, &[" </i>"]);
            push_decimal(out, tenths / 10);
            let mut rest = *b".0 KiB</td>";
            rest[1] += (tenths % 10) as u8;
            rest[3] = unit;
            return out.extend_from_slice(&rest);
        }
    }
    put(out, &["<td>"]);
    push_decimal(out, bytes);
    put(out, &[" B</td>"]);
}

/// Writes the cells of dates, in UTC, in the format of nginx, which programs know. The files of a directory are often of the same
/// day, so the text of the last day is kept.
pub(super) struct Dates {
    day: u64,
    cell: [u8; Self::CELL.len()],
}

impl Dates {
    const CELL: &[u8; 68] =
        b"<td><time datetime=\"yyyy-mm-ddThh:mmZ\">dd-Mon-yyyy hh:mm</time></td>";
    const ISO: usize = 20;
    const TEXT: usize = 39;

    pub(super) fn new() -> Self {
        Self {
            day: u64::MAX,
            cell: *Self::CELL,
        }
    }

    pub(super) fn put(&mut self, out: &mut Vec<u8>, unix: u64) {
        const DAY: u64 = 24 * 60 * 60;
        let unix = unix.min(LAST_SECOND);
        if self.day != unix / DAY {
            self.day = unix / DAY;
            let date = short_date(unix);
            self.cell[Self::ISO..Self::ISO + 17].copy_from_slice(&iso_date(&date));
            self.cell[Self::TEXT..Self::TEXT + 17].copy_from_slice(&date);
            self.cell[Self::TEXT + 2] = b'-';
            self.cell[Self::TEXT + 6] = b'-';
        }
        let (hours, minutes) = (unix % DAY / 3600, unix / 60 % 60);
        for (at, number) in [
            (Self::ISO + 11, hours),
            (Self::ISO + 14, minutes),
            (Self::TEXT + 12, hours),
            (Self::TEXT + 15, minutes),
        ] {
            self.cell[at] = b'0' + (number / 10) as u8;
            self.cell[at + 1] = b'0' + (number % 10) as u8;
        }
        out.extend_from_slice(&self.cell);
    }
}

/// Rearranges `21 Nov 2026 02:51` into `2026-11-21T02:51Z`, a global date of HTML.
fn iso_date(date: &[u8; 17]) -> [u8; 17] {
    let [
        d1,
        d2,
        _,
        m1,
        m2,
        m3,
        _,
        y1,
        y2,
        y3,
        y4,
        _,
        h1,
        h2,
        _,
        n1,
        n2,
    ] = *date;
    let [m1, m2] = match &[m1, m2, m3] {
        b"Jan" => *b"01",
        b"Feb" => *b"02",
        b"Mar" => *b"03",
        b"Apr" => *b"04",
        b"May" => *b"05",
        b"Jun" => *b"06",
        b"Jul" => *b"07",
        b"Aug" => *b"08",
        b"Sep" => *b"09",
        b"Oct" => *b"10",
        b"Nov" => *b"11",
        _ => *b"12",
    };
    [
        y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2, b'T', h1, h2, b':', n1, n2, b'Z',
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_name_stays_one_line_of_text() {
        let cases: [(&[u8], &str); 8] = [
            (b"", ""),
            (b"two  words", "two  words"),
            (
                b"<a href=\"x\">&'",
                "&lt;a href=&quot;x&quot;&gt;&amp;&#39;",
            ),
            (
                b"\na\r\tb\0\x7f",
                "\u{240a}a\u{240d}\u{2409}b\u{2400}\u{2421}",
            ),
            (b"\xff<\xfe", "\u{fffd}&lt;\u{fffd}"),
            ("gnp.\u{202e}exe".as_bytes(), "gnp.\u{fffd}exe"),
            (
                "\u{85}\u{2028}\u{2066}\u{200f}".as_bytes(),
                "\u{fffd}\u{fffd}\u{fffd}\u{fffd}",
            ),
            ("עברית 🎉".as_bytes(), "עברית 🎉"),
        ];
        for (name, text) in cases {
            assert_eq!(written(|out| put_visible(out, name)), text);
        }
    }

    #[test]
    fn sizes_are_readable_and_exact() {
        let cases = [
            (0, "<td>0 B</td>"),
            (1023, "<td>1023 B</td>"),
            (1024, "<td title=\"1024 B\"><i>1024 </i>1.0 KiB</td>"),
            (1536, "<td title=\"1536 B\"><i>1536 </i>1.5 KiB</td>"),
            (
                1_048_524,
                "<td title=\"1048524 B\"><i>1048524 </i>1023.9 KiB</td>",
            ),
            (
                1_048_525,
                "<td title=\"1048525 B\"><i>1048525 </i>1.0 MiB</td>",
            ),
            (
                5 << 30,
                "<td title=\"5368709120 B\"><i>5368709120 </i>5.0 GiB</td>",
            ),
            (
                u64::MAX,
                "<td title=\"18446744073709551615 B\"><i>18446744073709551615 </i>16.0 EiB</td>",
            ),
        ];
        for (bytes, cell) in cases {
            assert_eq!(written(|out| put_size(out, bytes)), cell);
        }
    }

    #[test]
    fn dates_are_shown_in_utc() {
        let mut dates = Dates::new();
        let mut date = |unix| written(|out| dates.put(out, unix));
        assert_eq!(
            date(1_795_229_464),
            "<td><time datetime=\"2026-11-21T02:51Z\">21-Nov-2026 02:51</time></td>"
        );
        assert!(date(1_795_229_464 + 3600).contains("\"2026-11-21T03:51Z\">21-Nov-2026 03:51<"));
        assert!(date(0).contains("\"1970-01-01T00:00Z\">01-Jan-1970 00:00<"));
        assert!(date(86_399).contains("\"1970-01-01T23:59Z\">01-Jan-1970 23:59<"));
        assert!(date(u64::MAX).contains("\"9999-12-31T23:59Z\""));
        for month in 0..12 {
            let cell = date(86_400 * (15 + month * 30));
            assert!(
                cell.contains(&format!("\"1970-{:02}-", month + 1)),
                "{cell}"
            );
        }
    }
}
