//! A listing as HTML: one page, complete without its script.
//!
//! Programs read it, too, as they read the listings of Apache httpd and nginx. GDAL wants the title `Index of /path`, GDAL and lftp
//! a date as `DD-Mon-YYYY hh:mm` in the line of the link, and lftp a size behind it. A crawler follows every link, so the only links
//! are those to entries and to directories above.
//!
//! Invariant: a name is written in two forms only. In a link it is percent-encoded, all but the unreserved bytes of RFC 3986 §2.3.
//! As visible text, nothing in it acts as markup, breaks the line or changes its direction.

use super::entries::{Counts, Entry, EntryKind};
use super::order::{Order, SortKey};
use super::text::{Dates, put_size, put_visible};
use crate::files::names::percent_encode::{is_unreserved, percent_encode};
use crate::handler::page::{self, put};
use crate::http::decimal::push_decimal;

/// Writes everything before the first entry; `path` has no slash at its ends.
pub(super) fn begin(out: &mut Vec<u8>, path: &[u8], order: Order, counts: Counts) {
    page::begin(out, page::LISTING_STYLE, |out| {
        put(out, &["Index of /"]);
        put_visible(out, path);
    });
    put_breadcrumb(out, path);
    put_counts(out, counts.directories, counts.files);
    if counts.all() > 0 {
        put(out, &["<script>", page::LISTING_SCRIPT, "</script>\n"]);
    }
    put(out, &["<table>\n"]);
    if counts.all() > 0 {
        put(out, &["<thead><tr>"]);
        put_heading(out, order, SortKey::Name, "Name");
        put_heading(out, order, SortKey::Date, "Modified (UTC)");
        put_heading(out, order, SortKey::Size, "Size");
        put(out, &["</tr></thead>\n"]);
    }
    put(out, &["<tbody>\n"]);
    if !path.is_empty() {
        put(
            out,
            &[
                "<tr><td><a href=\"../\" title=\"Parent directory\">../</a></td><td></td><td></td></tr>\n",
            ],
        );
    }
}

/// Writes the row of one entry.
pub(super) fn row(out: &mut Vec<u8>, entry: &Entry<'_>, dates: &mut Dates) {
    let is_plain = is_unreserved(entry.name);
    put(out, &["<tr><td><a href=\""]);
    if is_plain {
        out.extend_from_slice(entry.name);
    } else {
        out.extend(percent_encode(entry.name).flat_map(str::bytes));
    }
    let slash = if entry.is_directory() { "/" } else { "" };
    put(out, &[slash, "\"", link_attributes(entry), "><bdi>"]);
    if is_plain {
        out.extend_from_slice(entry.name);
    } else {
        put_visible(out, entry.name);
    }
    let sign = if entry.is_link { "<i>@</i>" } else { "" };
    put(out, &["</bdi>", slash, sign, "</a></td>"]);
    match entry.mtime.and_then(|mtime| u64::try_from(mtime).ok()) {
        Some(unix) => dates.put(out, unix),
        None => put(out, &["<td></td>"]),
    }
    match entry.size {
        Some(bytes) => put_size(out, bytes),
        None => put(out, &["<td><i>-</i></td>"]),
    }
    put(out, &["</tr>\n"]);
}

/// Writes everything after the last entry that belongs to the table.
pub(super) fn end_rows(out: &mut Vec<u8>) {
    put(out, &["</tbody>\n</table>\n"]);
}

/// Writes the path. Every directory above this one is a link; the link is relative, so that it works behind a proxy, too.
fn put_breadcrumb(out: &mut Vec<u8>, path: &[u8]) {
    put(out, &["<h1><small>Directory listing for</small>\n"]);
    let mut above = path
        .split(|&byte| byte == b'/')
        .filter(|name| !name.is_empty())
        .count();
    put_crumb(out, above, b"/");
    for name in path
        .split(|&byte| byte == b'/')
        .filter(|name| !name.is_empty())
    {
        above -= 1;
        put_crumb(out, above, name);
        put(out, &["<i>/</i>"]);
    }
    put(out, &["</h1>\n"]);
}

/// fsspec skips `../`, but takes all other quoted links for entries: a quoted `../../` would lead it round for ever. It does not see
/// a link without quotes, which browsers and crawlers read like any other.
fn put_crumb(out: &mut Vec<u8>, above: usize, name: &[u8]) {
    match above {
        0 => {}
        1 => put(out, &["<a href=\"../\">"]),
        _ => put(out, &["<a href=", &"../".repeat(above), ">"]),
    }
    put(out, &["<bdi>"]);
    put_visible(out, name);
    put(out, &[if above > 0 { "</bdi></a>" } else { "</bdi>" }]);
}

fn put_counts(out: &mut Vec<u8>, directories: usize, files: usize) {
    put(out, &["<p class=\"n\">"]);
    match (directories, files) {
        (0, 0) => put(out, &["This directory is empty."]),
        (_, 0) => put_count(out, directories, " directory", " directories"),
        (0, _) => put_count(out, files, " file", " files"),
        _ => {
            put_count(out, directories, " directory", " directories");
            put(out, &[", "]);
            put_count(out, files, " file", " files");
        }
    }
    put(out, &["</p>\n"]);
}

fn put_count(out: &mut Vec<u8>, count: usize, one: &str, many: &str) {
    push_decimal(out, count as u64);
    put(out, &[if count == 1 { one } else { many }]);
}

/// Writes the head of a column: a button that sorts by the column, or reverses the order if it is sorted by it already. A crawler
/// would follow a link, and save a page for each order.
fn put_heading(out: &mut Vec<u8>, order: Order, key: SortKey, title: &str) {
    let (sorted, descending) = match (order.by == key, order.descending) {
        (true, false) => (" aria-sort=\"ascending\"", true),
        (true, true) => (" aria-sort=\"descending\"", false),
        // With sizes and dates, the largest and the latest are usually looked for.
        (false, _) => ("", key != SortKey::Name),
    };
    let minus = if descending { "-" } else { "" };
    put(out, &["<th scope=\"col\"", sorted]);
    put(
        out,
        &["><form><button name=\"sort\" value=\"", minus, key.word()],
    );
    put(out, &["\">", title, "</button></form></th>"]);
}

/// Returns the attributes of an entry's link that tell more than the name does.
fn link_attributes(entry: &Entry<'_>) -> &'static str {
    match (entry.is_link, entry.kind) {
        (true, EntryKind::Other) => {
            " class=\"x\" title=\"Symbolic link that leads nowhere or outside\""
        }
        (true, EntryKind::Directory | EntryKind::File) => " title=\"Symbolic link\"",
        (false, EntryKind::Other) => " class=\"x\" title=\"Not a regular file\"",
        (false, EntryKind::Directory | EntryKind::File) => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::listing::entries::Run;

    const FILE: Entry<'_> = Entry {
        name: b"n",
        kind: EntryKind::File,
        is_link: false,
        size: Some(0),
        mtime: None,
    };

    fn page(path: &[u8], query: &str, entries: &[Entry<'_>]) -> String {
        let (mut out, order) = (Vec::new(), Order::from_query(query));
        let mut run = Run::new(order);
        entries.iter().for_each(|&entry| run.push(entry));
        run.sort();
        begin(&mut out, path, order, run.counts());
        let mut dates = Dates::new();
        run.iter()
            .for_each(|entry| row(&mut out, &entry, &mut dates));
        end_rows(&mut out);
        page::end(&mut out);
        String::from_utf8(out).unwrap()
    }

    fn written(entry: &Entry<'_>) -> String {
        let mut out = Vec::new();
        row(&mut out, entry, &mut Dates::new());
        String::from_utf8(out).unwrap()
    }

    fn link(name: &[u8]) -> String {
        let row = written(&Entry { name, ..FILE });
        row.split_once("<td>")
            .unwrap()
            .1
            .split_once("</td>")
            .unwrap()
            .0
            .to_owned()
    }

    /// Checks that every element is closed in the right order, and that no name has broken a tag.
    fn assert_balanced(page: &str) {
        let mut open = Vec::new();
        let page = page.replace(page::LISTING_SCRIPT, "");
        for tag in page.split('<').skip(1) {
            let (tag, _) = tag.split_once('>').unwrap();
            let name = tag.split(' ').next().unwrap();
            match name.strip_prefix('/') {
                Some(closed) => assert_eq!(open.pop(), Some(closed), "{tag}"),
                None if ["!DOCTYPE", "meta", "link"].contains(&name) => {}
                None => open.push(name),
            }
            assert_eq!(tag.matches('"').count() % 2, 0, "{tag}");
        }
        assert!(open.is_empty(), "{open:?}");
    }

    #[test]
    fn every_name_has_a_link_and_a_text() {
        let cases: [(&[u8], &str, &str); 12] = [
            (b"plain-_.~0", "plain-_.~0", "plain-_.~0"),
            (b"say \"hi\"", "say%20%22hi%22", "say &quot;hi&quot;"),
            (b"it's", "it%27s", "it&#39;s"),
            (b"<script>", "%3Cscript%3E", "&lt;script&gt;"),
            (b"a&amp;b", "a%26amp%3Bb", "a&amp;amp;b"),
            (b"100%25#x?y", "100%2525%23x%3Fy", "100%25#x?y"),
            (b"javascript:x", "javascript%3Ax", "javascript:x"),
            (b"back\\slash", "back%5Cslash", "back\\slash"),
            (b"a\n\tb\x7f", "a%0A%09b%7F", "a\u{240a}\u{2409}b\u{2421}"),
            ("🎉é".as_bytes(), "%F0%9F%8E%89%C3%A9", "🎉é"),
            (b"caf\xe9", "caf%E9", "caf\u{fffd}"),
            (
                "a\u{202e}b\u{85}".as_bytes(),
                "a%E2%80%AEb%C2%85",
                "a\u{fffd}b\u{fffd}",
            ),
        ];
        for (name, href, text) in cases {
            assert_eq!(
                link(name),
                format!("<a href=\"{href}\"><bdi>{text}</bdi></a>")
            );
        }
    }

    #[test]
    fn directories_end_with_a_slash_and_links_with_a_sign() {
        let entry = |kind, is_link| {
            written(&Entry {
                kind,
                is_link,
                size: None,
                ..FILE
            })
        };
        let directory =
            "<tr><td><a href=\"n/\"><bdi>n</bdi>/</a></td><td></td><td><i>-</i></td></tr>\n";
        assert_eq!(entry(EntryKind::Directory, false), directory);
        let title = "title=\"Symbolic link\"";
        assert!(
            entry(EntryKind::Directory, true)
                .contains(&format!("\"n/\" {title}><bdi>n</bdi>/<i>@</i>"))
        );
        assert!(
            entry(EntryKind::File, true).contains(&format!("\"n\" {title}><bdi>n</bdi><i>@</i>"))
        );
        assert!(
            entry(EntryKind::Other, true).contains("\"n\" class=\"x\" title=\"Symbolic link that")
        );
        assert!(entry(EntryKind::Other, false).contains("<bdi>n</bdi></a>"));
    }

    #[test]
    fn a_time_before_1970_is_not_shown() {
        for mtime in [None, Some(-1), Some(i64::MIN)] {
            assert!(written(&Entry { mtime, ..FILE }).contains("</a></td><td></td><td>"));
        }
        assert!(
            written(&Entry {
                mtime: Some(0),
                ..FILE
            })
            .contains("01-Jan-1970")
        );
    }

    #[test]
    fn the_path_is_in_the_title_and_in_a_row_of_links() {
        let root = page(b"", "", &[FILE]);
        assert!(root.contains("<title>Index of /</title>"));
        assert!(root.contains("<bdi>/</bdi></h1>"));
        assert!(!root.contains("../"), "there is nothing above the root");
        let deep = page(b"a<b/c\xff\n/d", "", &[]);
        assert!(deep.contains("<title>Index of /a&lt;b/c\u{fffd}\u{240a}/d</title>"));
        let trail = "<a href=../../../><bdi>/</bdi></a><a href=../../><bdi>a&lt;b</bdi></a><i>/</i>\
                     <a href=\"../\"><bdi>c\u{fffd}\u{240a}</bdi></a><i>/</i><bdi>d</bdi><i>/</i></h1>";
        assert!(deep.contains(trail), "{deep}");
        assert!(deep.contains("<td><a href=\"../\" title=\"Parent directory\">../</a></td>"));
    }

    #[test]
    fn headings_sort_and_reverse_the_order() {
        let heading = |query| page(b"a'\"b", query, &[FILE]);
        let button = |sorted, value| {
            format!("<th scope=\"col\"{sorted}><form><button name=\"sort\" value=\"{value}\">")
        };
        let (up, down) = (" aria-sort=\"ascending\"", " aria-sort=\"descending\"");
        let default = heading("");
        assert!(default.contains(&button(up, "-name")), "{default}");
        assert!(default.contains(&button("", "-size")), "{default}");
        let turned = heading("sort=-size");
        assert!(turned.contains(&button(down, "size")), "{turned}");
        assert!(turned.contains(&button("", "name")), "{turned}");
        assert_eq!(turned, heading("sort=size&order=desc"));
        assert_eq!(turned.matches("aria-sort=\"").count(), 1);
    }

    #[test]
    fn counts_are_words() {
        let directory = Entry {
            kind: EntryKind::Directory,
            ..FILE
        };
        let cases: [(&[Entry<'_>], &str); 4] = [
            (&[], "This directory is empty."),
            (&[FILE], "1 file"),
            (&[directory], "1 directory"),
            (
                &[directory, directory, FILE, FILE],
                "2 directories, 2 files",
            ),
        ];
        for (entries, counts) in cases {
            let page = page(b"", "", entries);
            assert!(
                page.contains(&format!("<p class=\"n\">{counts}</p>")),
                "{page}"
            );
        }
    }

    #[test]
    fn a_page_of_hostile_names_is_balanced() {
        let names: [&[u8]; 6] = [b"<b>", b"\"><i>", b"'</td>", b"<!--", b"&lt;", b"\xff<\n>"];
        let entries = names.map(|name| Entry { name, ..FILE });
        for path in names.iter().chain([&b"".as_slice()]) {
            assert_balanced(&page(path, "", &entries));
        }
    }
}
