//! What must hold for all names: a page is well-formed, links to exactly these names and shows them as text; the JSON has the same
//! names; and stored entries are the same in the same order. See [`crate::http::properties`].
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a property says what must hold by panicking where it does not"
)]

use super::entries::{Entry, EntryKind, Run};
use super::order::Order;
use super::stored::{Entries, Gathered};
use super::text::Dates;
use super::{html, json};
use crate::handler::listing_memory::ListingMemory;
use crate::handler::page::{self, LISTING_SCRIPT, LISTING_STYLE, STYLE};
use crate::http::properties::take_byte;

const KINDS: [EntryKind; 3] = [EntryKind::Directory, EntryKind::File, EntryKind::Other];

/// Checks the property; `input` is the path of the directory and its names, each after a NUL and a byte with its type. Returns the
/// JSON, so that other parsers can be tried on it.
pub fn listing(input: &[u8]) -> String {
    let mut parts = input.split(|byte| *byte == 0);
    let path = parts.next().unwrap_or_default().trim_ascii();
    let path = path
        .split(|byte| *byte == b'/')
        .filter(|name| !name.is_empty());
    let path = path.collect::<Vec<_>>().join(&b'/');
    let mut names = Vec::new();
    let mut run = Run::new(Order::from_query(""));
    for mut name in parts {
        let nature = take_byte(&mut name);
        let name = name.split(|byte| *byte == b'/').next().unwrap_or_default();
        if name.is_empty() || names.contains(&name) {
            continue;
        }
        names.push(name);
        run.push(Entry {
            name,
            kind: KINDS[usize::from(nature % 3)],
            is_link: nature & 4 > 0,
            size: (nature & 8 > 0).then_some(1 << (nature >> 4 << 2)),
            mtime: (nature & 16 > 0).then_some(i64::from(nature) << (nature >> 3)),
        });
    }
    let unsorted: Vec<_> = run.iter().collect();
    let stored = store(&unsorted);
    drop(unsorted);
    run.sort();
    assert_stored(&stored, &run);
    let (page, text, order) = write(&path, &run);
    assert_page(&page, &path, &order);
    assert_json(&text, &order);
    let mut order = order;
    order.sort_unstable();
    names.sort_unstable();
    assert_eq!(order, names);
    text
}

/// Gathers entries in runs of three, and merges them.
fn store(entries: &[Entry<'_>]) -> Entries {
    let memory = ListingMemory::new(usize::MAX);
    let order = Order::from_query("");
    let mut gathered = Gathered::new(&memory, order);
    for entries in entries.chunks(3) {
        let mut run = Run::new(order);
        entries.iter().for_each(|entry| run.push(*entry));
        gathered.push(&mut run).unwrap();
    }
    let mut merge = gathered.merge();
    while !merge.advance().unwrap() {}
    merge.finish()
}

fn assert_stored(stored: &Entries, run: &Run) {
    let mut left = run.iter();
    stored.show(0, |entry| {
        assert_eq!(left.next(), Some(entry));
        true
    });
    assert_eq!((left.next(), stored.counts()), (None, run.counts()));
}

/// Returns the page, the JSON, and the names in their order.
fn write(path: &[u8], run: &Run) -> (String, String, Vec<Vec<u8>>) {
    let (mut page, mut text, mut names) = (Vec::new(), Vec::new(), Vec::new());
    let mut dates = Dates::new();
    html::begin(&mut page, path, Order::from_query(""), run.counts());
    json::begin(&mut text);
    for (number, entry) in run.iter().enumerate() {
        html::row(&mut page, &entry, &mut dates);
        json::row(&mut text, &entry, number + 1 == run.len());
        names.push(entry.name.to_vec());
    }
    html::end_rows(&mut page);
    page::end(&mut page);
    json::end(&mut text);
    (
        String::from_utf8(page).unwrap(),
        String::from_utf8(text).unwrap(),
        names,
    )
}

/// Parses the page as strictly as it is written: a few tags, attributes in double quotes, five entities.
fn assert_page(page: &str, path: &[u8], names: &[Vec<u8>]) {
    let mut page = page.to_owned();
    for part in [STYLE, LISTING_STYLE, LISTING_SCRIPT] {
        page = page.replacen(part, "", 1);
    }
    let (mut open, mut links, mut shown) = (Vec::new(), Vec::new(), Vec::new());
    let mut rest = page.as_str();
    while let Some((text, after)) = rest.split_once('<') {
        let text = assert_text(text);
        if open.last() == Some(&"bdi") {
            shown.push(text);
        }
        let (tag, after) = after.split_once('>').unwrap();
        rest = after;
        let (name, attributes) = tag.split_once(' ').unwrap_or((tag, ""));
        // A link to a directory two levels above, or more, has no quotes.
        let href = match attributes.strip_prefix("href=../") {
            Some(above) => Some(above).filter(|above| above.replace("../", "").is_empty()),
            None => assert_attributes(attributes),
        };
        match name {
            "!DOCTYPE" | "meta" | "link" => {}
            "html" | "head" | "title" | "style" | "script" | "body" | "main" | "h1" | "small"
            | "a" | "bdi" | "i" | "p" | "table" | "thead" | "tbody" | "tr" | "th" | "td"
            | "time" | "form" | "button" => {
                open.push(name);
                links.extend(href);
            }
            _ => assert_eq!(open.pop(), name.strip_prefix('/'), "<{tag}>"),
        }
    }
    assert_eq!((rest, open.len()), ("\n", 0));
    let above = path
        .split(|byte| *byte == b'/')
        .filter(|name| !name.is_empty())
        .count();
    let links = &links[if above > 0 { above + 1 } else { 0 }..];
    assert_eq!(links.len(), names.len());
    let shown = &shown[above + 1..];
    for ((link, name), shown) in links.iter().zip(names).zip(shown) {
        assert_eq!(
            unescape_percent(link.strip_suffix('/').unwrap_or(link)),
            *name
        );
        assert_eq!(
            shown.chars().count(),
            String::from_utf8_lossy(name).chars().count()
        );
    }
}

/// Returns whether `c` is a control character, ends a line, or changes the direction of the text that follows.
fn acts(c: char) -> bool {
    let lines_and_directions = "\u{2028}\u{2029}\u{61c}\u{200e}\u{200f}\u{202a}\u{202b}\u{202c}\u{202d}\u{202e}\u{2066}\u{2067}\u{2068}\u{2069}";
    c.is_control() || lines_and_directions.contains(c)
}

/// Checks that no character of `text` acts on it, and returns the text with its entities decoded.
fn assert_text(text: &str) -> String {
    let is_bad = |c: char| matches!(c, '>' | '"' | '\'') || (c != '\n' && acts(c));
    assert!(!text.contains(is_bad), "{text:?}");
    let mut pieces = text.split('&');
    let mut shown = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let (entity, after) = piece.split_once(';').unwrap();
        shown.push(match entity {
            "amp" => '&',
            "lt" => '<',
            "gt" => '>',
            "quot" => '"',
            "#39" => '\'',
            other => panic!("&{other};"),
        });
        shown += after;
    }
    shown
}

/// Returns the value of `href`.
fn assert_attributes(mut rest: &str) -> Option<&str> {
    let mut href = None;
    while !rest.is_empty() && rest != "html" {
        let (name, after) = rest.split_once("=\"").unwrap();
        let (value, after) = after.split_once('"').unwrap();
        assert_text(value);
        match name {
            "href" => assert_eq!(href.replace(value), None),
            "lang" | "charset" | "name" | "content" | "rel" | "class" | "title" | "scope"
            | "aria-sort" | "datetime" | "value" => {}
            other => panic!("the attribute {other:?}"),
        }
        rest = after.strip_prefix(' ').unwrap_or(after);
    }
    href
}

/// Decodes a link, which has only unreserved characters and percent-encoded bytes (RFC 3986 §2.3).
fn unescape_percent(link: &str) -> Vec<u8> {
    let mut bytes = link.bytes();
    let mut name = Vec::new();
    while let Some(byte) = bytes.next() {
        name.push(match byte {
            b'%' => {
                let digits = [bytes.next().unwrap(), bytes.next().unwrap()];
                u8::from_str_radix(str::from_utf8(&digits).unwrap(), 16).unwrap()
            }
            b'-' | b'.' | b'_' | b'~' => byte,
            _ => {
                assert!(byte.is_ascii_alphanumeric(), "{link}");
                byte
            }
        });
    }
    name
}

/// Checks that each line has one object, with the strings of one name.
fn assert_json(text: &str, names: &[Vec<u8>]) {
    let rows = text
        .strip_prefix('[')
        .and_then(|text| text.strip_suffix("]\n"))
        .unwrap();
    let rows: Vec<_> = if rows.is_empty() {
        vec![]
    } else {
        rows.split(",\n").collect()
    };
    assert_eq!(rows.len(), names.len());
    for (row, name) in rows.iter().zip(names) {
        let rest = row
            .strip_prefix("{\"name\":\"")
            .and_then(|row| row.strip_suffix('}'))
            .unwrap();
        let (shown, rest) = read_string(rest);
        assert_eq!(shown, String::from_utf8_lossy(name));
        let href = rest
            .split_once("\"href\":\"")
            .map(|(_, href)| read_string(href));
        assert_eq!(href.is_some(), str::from_utf8(name).is_err(), "{row}");
        if let Some((href, rest)) = href {
            assert_eq!((unescape_percent(&href), rest), (name.clone(), ""));
        }
    }
}

/// Reads the inside of a string (RFC 8259 §7) up to its quote. Returns the string and the text that follows.
fn read_string(text: &str) -> (String, &str) {
    let (mut string, mut chars) = (String::new(), text.chars());
    loop {
        let c = match chars.next().unwrap() {
            '"' => return (string, chars.as_str()),
            '\\' => match chars.next().unwrap() {
                c @ ('"' | '\\') => c,
                'n' => '\n',
                'r' => '\r',
                't' => '\t',
                'u' => {
                    let digits: String = chars.by_ref().take(4).collect();
                    char::from_u32(u32::from_str_radix(&digits, 16).unwrap()).unwrap()
                }
                other => panic!("\\{other}"),
            },
            c => {
                assert!(!acts(c), "{c:?}");
                c
            }
        };
        string.push(c);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::http::properties::replay;

    proptest! {
        #[test]
        fn holds_for_hostile_names(
            path in "[a-z/<>&'\"é]{0,20}",
            names in prop::collection::vec((any::<u8>(), "[a-c<>&'\";=%?#:\\\\.\n\r\t \u{202e}\u{85}\u{9b}\u{200f}é🎉]{1,9}"), 0..9),
        ) {
            let mut input = path.into_bytes();
            for (nature, name) in names {
                input.extend_from_slice(&[0, nature]);
                input.extend_from_slice(name.as_bytes());
            }
            listing(&input);
        }

        #[test]
        fn holds_for_any_bytes(input in prop::collection::vec(prop_oneof![Just(0), any::<u8>()], 0..100)) {
            listing(&input);
        }
    }

    #[test]
    fn holds_for_the_corpus() {
        replay("listing", |input| drop(listing(input)));
    }
}
