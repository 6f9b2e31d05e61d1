//! The listing of a directory as HTML and as JSON.

mod long;
mod programs;
mod readme;
mod with_mounts;

use std::collections::BTreeMap;

use crate::support::{HOSTILE, Json, Reply, Server, Site, encode, request, resolve};

/// The targets of all links of a page, with character references decoded.
fn links(page: &str) -> Vec<String> {
    let hrefs = page.split("<a ").skip(1).map(|tag| {
        let tag = tag.split_once('>').unwrap().0;
        let href = tag.split_once("href=").unwrap().1;
        match href.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"').unwrap().0,
            None => href,
        }
    });
    hrefs.map(|href| href.replace("&amp;", "&")).collect()
}

/// The links of a page that lead to entries.
fn entries(page: &str) -> Vec<String> {
    let is_entry = |href: &String| !href.starts_with("../");
    links(page).into_iter().filter(is_entry).collect()
}

fn json(reply: &Reply) -> Vec<Json> {
    Json::parse(reply.text()).items().to_vec()
}

fn names(reply: &Reply) -> Vec<String> {
    json(reply)
        .iter()
        .map(|entry| entry.get("name").text().to_owned())
        .collect()
}

#[test]
fn every_link_leads_to_its_file() {
    for directory in ["", "sub dir/", "<i>%25/"] {
        let site = Site::empty();
        for name in HOSTILE {
            site.file([directory.as_bytes(), name].concat(), name);
        }
        let server = Server::with(&site, &["--dotfiles"]);
        let mut client = server.connect();
        let base: String = directory
            .split_inclusive('/')
            .map(|name| encode(name.trim_end_matches('/').as_bytes()) + "/")
            .collect();
        let page = client.get(&format!("/{base}"));
        let mut found: Vec<_> = entries(page.text())
            .iter()
            .map(|href| {
                let is_plain = |byte: u8| byte.is_ascii_graphic() && !b":?#/\\\"<>".contains(&byte);
                assert!(href.bytes().all(is_plain), "{href}");
                client.get(&format!("/{base}{href}")).body
            })
            .collect();
        found.sort();
        let mut expected = HOSTILE.to_vec();
        expected.sort_unstable();
        assert_eq!(found, expected, "{directory}");
    }
}

#[test]
fn names_are_escaped() {
    let site = Site::hostile();
    site.directory("<u>&\"/<s>");
    let server = Server::start(&site);
    for (target, raw) in [
        ("/", "<img"),
        ("/%3Cu%3E&\"/", "<u>"),
        ("/%3Cu%3E&\"/%3Cs%3E/", "<s>"),
    ] {
        let page = server.get(target);
        assert_eq!(page.status(), 200, "{target}");
        assert!(!page.text().contains(raw), "{target}");
        assert!(
            page.text()
                .contains(&raw.replace('<', "&lt;").replace('>', "&gt;")),
            "{target}"
        );
    }
    assert!(server.get("/").text().contains("\u{1f389} caf\u{e9}"));
    assert!(server.get("/").text().contains("a&amp;amp;b"));
}

#[test]
fn the_page_loads_nothing_else() {
    let reply = Server::start(&Site::new()).get("/dir/");
    assert_eq!(
        reply.field("Content-Type"),
        Some("text/html; charset=utf-8")
    );
    let page = reply.text();
    assert!(page.starts_with("<!DOCTYPE html>") && page.ends_with("</html>\n"));
    for outside in [
        "http://", "https://", "src=", "@import", "url(", " onclick", "fetch", "import",
    ] {
        assert!(!page.contains(outside), "{outside}");
    }
    assert_eq!(page.matches("<script").count(), 1);
    assert!(
        !page.contains("<input"),
        "only the script makes the box that filters"
    );
    for part in [
        "charset=\"utf-8\"",
        "name=\"viewport\"",
        "color-scheme",
        "<title>",
    ] {
        assert!(page.contains(part), "{part}");
    }
}

#[test]
fn the_page_links_to_parent_directories() {
    let site = Site::empty();
    site.file("a/b c/file.txt", "");
    let page = Server::start(&site).get("/a/b%20c/");
    let up: Vec<_> = links(page.text())
        .into_iter()
        .filter(|href| href.starts_with("../"))
        .collect();
    assert!(
        up.contains(&"../".to_owned()) && up.contains(&"../../".to_owned()),
        "{up:?}"
    );
    let root = Server::start(&site).get("/");
    assert!(!root.text().contains("../"), "the root has no parent");
}

/// The pages of missing names are kept, so each target comes twice.
#[test]
fn the_page_of_a_missing_name_leads_one_level_up() {
    let site = Site::empty();
    site.file("a/b/file.txt", "");
    let server = Server::start(&site);
    let mut client = server.connect();
    let mut up = |target: &str| {
        let reply = client.get(target);
        assert_eq!(reply.status(), 404, "{target}");
        let links = links(reply.text());
        links.iter().map(|link| resolve(target, link)).collect()
    };
    for _ in 0..2 {
        for (target, above) in [
            ("/missing", "/"),
            ("/a/b/missing.html", "/a/b/"),
            ("/a/b/missing/", "/a/b/"),
            ("/a/missing/x/y", "/a/missing/x/"),
            ("/a/missing/x/", "/a/missing/"),
            ("/a/missing/", "/a/"),
            ("/a/b/missing?x=/", "/a/b/"),
        ] {
            let links: Vec<String> = up(target);
            assert_eq!(links, [above], "{target}");
        }
    }
    assert_eq!(client.get("/a/b/").status(), 200);
}

#[test]
fn error_pages_without_a_path_or_as_text_have_no_link() {
    let site = Site::empty();
    let server = Server::with(&site, &["--no-listing"]);
    let root = server.get("/");
    assert_eq!((root.status(), links(root.text()).len()), (403, 0));
    let text = server.ask(request("GET", "/missing", &["Accept: text/plain"]));
    assert_eq!(text.status(), 404);
    assert!(!text.text().contains("./"), "{}", text.text());
    site.directory("dir");
    let refused = server.get("/dir/");
    assert_eq!(
        (refused.status(), links(refused.text())),
        (403, vec!["../".to_owned()])
    );
}

/// A directory whose entries have different orders by name, by size and by date.
fn sortable_site() -> Site {
    let site = Site::empty();
    for (name, size, changed) in [("b", 1, 3), ("C", 3, 1), ("a", 2, 2)] {
        site.file(name, vec![b'x'; size])
            .changed_at(name, changed * 1_000_000_000_000_000);
    }
    site.directory("z");
    site
}

#[test]
fn entries_are_sorted_as_the_query_says() {
    let server = Server::start(&sortable_site());
    for (query, order) in [
        ("", ["z", "a", "b", "C"]),
        ("sort=name&order=asc", ["z", "a", "b", "C"]),
        ("sort=name&order=desc", ["z", "C", "b", "a"]),
        ("sort=size", ["z", "b", "a", "C"]),
        ("sort=size&order=desc", ["z", "C", "a", "b"]),
        ("sort=-size", ["z", "C", "a", "b"]),
        ("sort=date&order=asc", ["z", "C", "a", "b"]),
        ("sort=date&order=desc", ["z", "b", "a", "C"]),
        ("sort=nonsense&order=up&x", ["z", "a", "b", "C"]),
    ] {
        assert_eq!(
            names(&server.get(&format!("/?format=json&{query}"))),
            order,
            "{query}"
        );
        let hrefs = order.map(|name| name.replace('z', "z/"));
        assert_eq!(
            entries(server.get(&format!("/?{query}")).text()),
            hrefs,
            "{query}"
        );
    }
}

/// The targets that the buttons of a page lead to: a form without an action goes to the page itself, with its button as the query.
fn buttons(page: &str) -> Vec<String> {
    let values = page.split("<form><button name=\"sort\" value=\"").skip(1);
    let values = values.map(|value| value.split_once('"').unwrap().0);
    values.map(|value| format!("/?sort={value}")).collect()
}

#[test]
fn column_buttons_sort_both_ways() {
    let server = Server::start(&sortable_site());
    let page = server.get("/");
    let sorts = buttons(page.text());
    assert_eq!(sorts.len(), 3, "{sorts:?}");
    for (key, sort) in ["name", "date", "size"].iter().zip(sorts) {
        assert!(sort.ends_with(key), "{sort}");
        let first = server.get(&sort);
        let again = buttons(first.text())
            .into_iter()
            .find(|target| target.ends_with(key))
            .unwrap();
        let mut files = entries(first.text())[1..].to_vec();
        files.reverse();
        assert_eq!(entries(server.get(&again).text())[1..], files, "{again}");
    }
}

#[test]
fn sizes_and_dates_are_shown() {
    let site = Site::empty();
    site.sparse("big", 5 << 30);
    site.changed_at("big", 1_577_836_800_000_000_000);
    let page = Server::start(&site).get("/");
    assert!(page.text().contains("5.0 GiB"), "{}", page.text());
    assert!(page.text().contains("2020"));
}

#[test]
fn json_has_name_type_size_and_time() {
    let site = Site::empty();
    site.file("file", "12345")
        .changed_at("file", 1_577_836_800_000_000_000);
    site.directory("directory")
        .link("link", "file")
        .fifo("fifo")
        .link("broken", "nowhere");
    let server = Server::start(&site);
    let listing = server.get("/?format=json");
    assert_eq!(listing.field("Content-Type"), Some("application/json"));
    let entries: BTreeMap<_, _> = json(&listing)
        .into_iter()
        .map(|entry| (entry.get("name").text().to_owned(), entry))
        .collect();
    assert_eq!(entries.len(), 5);
    let file = &entries["file"];
    assert_eq!(
        (file.get("size").number(), file.get("mtime").number()),
        (5, 1_577_836_800)
    );
    assert_eq!(file.get("type").text(), "file");
    assert_eq!(entries["directory"].get("type").text(), "directory");
    assert_eq!(entries["link"].get("type").text(), "symlink");
    for name in ["fifo", "broken"] {
        assert_ne!(entries[name].get("type").text(), "file");
        assert_eq!(entries[name].get("size"), &Json::Null);
    }
}

#[test]
fn json_has_every_name() {
    let site = Site::hostile();
    let server = Server::with(&site, &["--dotfiles"]);
    let mut found = names(&server.get("/?format=json"));
    let mut expected = HOSTILE
        .map(|name| String::from_utf8_lossy(name).into_owned())
        .to_vec();
    found.sort();
    expected.sort();
    assert_eq!(found, expected);
}

/// Whether a character is a control character, ends a line, or changes the direction of text.
fn acts_on_text(c: char) -> bool {
    c.is_control()
        || "\u{61c}\u{200e}\u{200f}\u{2028}\u{2029}\u{202a}\u{202b}\u{202c}\u{202d}\u{202e}"
            .contains(c)
        || "\u{2066}\u{2067}\u{2068}\u{2069}".contains(c)
}

#[test]
fn control_and_direction_characters_are_escaped() {
    let site = Site::empty();
    let mut expected = vec!["gnp.\u{202e}exe".to_owned(), "\u{9b}31m".to_owned()];
    for c in ('\u{1}'..='\u{2100}').filter(|c| acts_on_text(*c)) {
        expected.push(format!("a{c}b \"{c}\""));
    }
    for name in &expected {
        site.file(name, "");
    }
    let server = Server::start(&site);
    let listing = server.get("/?format=json");
    let acting = |c: char| c != '\n' && acts_on_text(c);
    assert!(!listing.text().contains(acting), "{}", listing.text());
    let mut found = names(&listing);
    found.sort();
    expected.sort();
    assert_eq!(found, expected);
    assert!(!server.get("/").text().contains(acting));
}

#[test]
fn accept_chooses_between_json_and_html() {
    let server = Server::start(&Site::new());
    for (target, accept, content_type) in [
        ("/", "application/json", "application/json"),
        ("/", "application/json, text/html;q=0.5", "application/json"),
        (
            "/",
            "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
            "text/html; charset=utf-8",
        ),
        ("/", "*/*", "text/html; charset=utf-8"),
        ("/?format=json", "text/html", "application/json"),
    ] {
        let reply = server.ask(request("GET", target, &[&format!("Accept: {accept}")]));
        assert_eq!(
            reply.field("Content-Type"),
            Some(content_type),
            "{target} {accept}"
        );
        assert_eq!(reply.field("Vary"), Some("Accept"));
    }
}

#[test]
fn symbolic_links_are_marked() {
    let site = Site::new();
    site.link("inner", "hello.txt")
        .link("inner-dir", "dir")
        .link("outer", "/etc/passwd");
    let server = Server::start(&site);
    let page = server.get("/");
    let row = |name: &str| {
        let row = page
            .text()
            .split("<tr")
            .find(|row| row.contains(&format!("href=\"{name}\"")));
        row.unwrap().to_owned()
    };
    for name in ["inner", "inner-dir/", "outer"] {
        assert!(
            row(name).contains('@') && row(name).contains("Symbolic link"),
            "{}",
            row(name)
        );
    }
    assert!(!row("hello.txt").contains('@') && row("dir/").contains("dir</bdi>/"));
    assert!(
        !row("outer").contains("root:") && !row("outer").contains(" B<"),
        "nothing about the target outside"
    );
}

#[test]
fn an_empty_directory_is_listed() {
    let site = Site::empty();
    let server = Server::start(&site);
    assert_eq!(server.get("/").status(), 200);
    assert_eq!(json(&server.get("/?format=json")), []);
}

#[test]
fn a_listing_has_nosniff_and_a_strict_policy() {
    let site = Site::hostile();
    for number in 0..3000 {
        site.file(format!("many/{number}"), "");
    }
    let server = Server::start(&site);
    for (target, is_page) in [
        ("/", true),
        ("/?format=json", false),
        ("/many/", true),
        ("/many/?format=json", false),
    ] {
        let reply = server.get(target);
        let options = reply.field("X-Content-Type-Options");
        assert_eq!(options, Some("nosniff"), "{target}");
        let policy = reply.field("Content-Security-Policy").unwrap_or_default();
        let is_strict = policy.starts_with("default-src 'none'; style-src 'sha256-")
            && policy.contains("'; script-src 'sha256-")
            && policy.contains("; form-action 'self';")
            && !policy.contains("-inline");
        assert_eq!(is_strict, is_page, "{target}: {policy}");
        assert!(!reply.text().contains("style="), "the policy forbids it");
    }
    assert_eq!(server.get("/%2541").field("X-Content-Type-Options"), None);
}

#[test]
fn a_policy_of_the_command_line_replaces_that_of_the_page() {
    let server = Server::with(
        &Site::new(),
        &[
            "-H",
            "content-security-policy: default-src *",
            "-H",
            "X-Content-Type-Options: nosniff",
        ],
    );
    for target in ["/", "/?format=json", "/missing", "/hello.txt"] {
        let reply = server.get(target);
        assert_eq!(
            reply.field("Content-Security-Policy"),
            Some("default-src *"),
            "{target}"
        );
        assert_eq!(
            reply.field("X-Content-Type-Options"),
            Some("nosniff"),
            "{target}"
        );
    }
}
