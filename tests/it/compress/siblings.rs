//! Siblings of a file: `FILE.br`, `FILE.zst` and `FILE.gz`.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::thread::sleep;

use super::{BROWSER, GZIP, ask, coding, serve, text};
use crate::support::{Client, Mount, Reply, SETTLED, Server, Site, request};

/// The content of a sibling is not decoded here, so any bytes will do.
fn site() -> Site {
    let site = Site::empty();
    site.file("a.css", text(3000))
        .file("a.css.br", "as brotli")
        .file("a.css.zst", "as zstd")
        .file("a.css.gz", "as gzip")
        .file("docs/index.html", "<p>index</p>")
        .file("docs/index.html.gz", "index as gzip")
        .file("large.css", text(300_000))
        .file("large.css.gz", vec![b'g'; 200_000])
        .file("large.css.br", vec![b'b'; 200_000])
        .file("image.png", vec![1; 3000])
        .file("image.png.gz", "png as gzip");
    site
}

fn get(client: &mut Client, target: &str, fields: &[&str]) -> Reply {
    client.ask(request("GET", target, fields))
}

#[test]
fn the_client_decides_which_sibling_is_sent() {
    let server = serve(&site(), &[]);
    let mut client = server.connect();
    for _ in 0..3 {
        for (accepted, expected) in [
            ("gzip, deflate, br, zstd", Some("br")),
            ("zstd, gzip", Some("zstd")),
            ("gzip, zstd", Some("zstd")),
            ("gzip", Some("gzip")),
            ("x-gzip", Some("gzip")),
            ("GZIP", Some("gzip")),
            ("br;q=0.1, gzip;q=1", Some("gzip")),
            ("br;q=0.5, zstd;q=0.7, gzip;q=0.6", Some("zstd")),
            ("br;q=0, zstd;q=0, *", Some("gzip")),
            ("*", Some("br")),
            ("*;q=0", None),
            ("gzip;q=0", None),
            ("gzip;q=0.000", None),
            ("gzip;q=0, br;q=0", None),
            ("identity", None),
            ("identity;q=1, gzip;q=0.5", None),
            ("identity;q=0", None),
            ("identity;q=0, gzip", Some("gzip")),
            ("gzip;q=1.5", None),
            ("gzip;q=x", None),
            ("deflate", None),
            ("", None),
        ] {
            let field = format!("Accept-Encoding: {accepted}");
            for target in ["/a.css", "/a.css?v=1"] {
                let reply = get(&mut client, target, &[&field]);
                assert_eq!(coding(&reply), expected, "{accepted:?}");
                assert_eq!(reply.field("Vary"), Some("Accept-Encoding"));
                let media_type = reply.field("Content-Type").unwrap();
                assert!(media_type.starts_with("text/css"), "{media_type}");
                let head = client.ask(request("HEAD", target, &[&field]));
                for name in ["ETag", "Content-Length", "Content-Encoding", "Content-Type"] {
                    assert_eq!(head.field(name), reply.field(name), "{name} {accepted:?}");
                }
            }
        }
        sleep(SETTLED);
    }
}

#[test]
fn each_coding_has_a_strong_tag_of_its_own() {
    let site = site();
    for name in ["empty.css", "empty.css.gz", "empty.css.br"] {
        site.file(name, "");
    }
    let copy = fs::read(site.at("large.css")).unwrap();
    site.file("same.css", &copy).file("same.css.gz", &copy);
    let time = 1_577_836_800_000_000_000;
    site.changed_at("same.css", time)
        .changed_at("same.css.gz", time);
    let server = serve(&site, &[]);
    for target in ["/a.css", "/large.css", "/empty.css", "/same.css"] {
        let mut tags = Vec::new();
        for accepted in ["br", "zstd", "gzip", "identity"] {
            let field = format!("Accept-Encoding: {accepted}");
            let reply = ask(&server, "GET", target, &[&field]);
            tags.push((
                coding(&reply).map(str::to_owned),
                reply.field("ETag").unwrap().to_owned(),
            ));
        }
        tags.sort();
        tags.dedup();
        assert!(tags.iter().all(|(_, tag)| tag.starts_with('"')), "{tags:?}");
        let mut of_tags: Vec<_> = tags.iter().map(|(_, tag)| tag).collect();
        of_tags.sort();
        of_tags.dedup();
        assert_eq!(of_tags.len(), tags.len(), "{target}: {tags:#?}");
    }
}

#[test]
fn conditions_and_ranges_are_about_the_coding() {
    let server = serve(&site(), &[]);
    let mut client = server.connect();
    for target in ["/a.css", "/large.css"] {
        for _ in 0..3 {
            let plain = get(&mut client, target, &[]);
            let coded = get(&mut client, target, &[GZIP]);
            let tag = |reply: &Reply| reply.field("ETag").unwrap().to_owned();
            let (of_plain, of_coded) = (tag(&plain), tag(&coded));
            let known = format!("If-None-Match: {of_coded}");
            let reply = get(&mut client, target, &[GZIP, &known]);
            assert_eq!(reply.status(), 304);
            assert_eq!(reply.field("Vary"), Some("Accept-Encoding"));
            assert_eq!(reply.field("ETag"), Some(&*of_coded));
            assert_eq!(get(&mut client, target, &[&known]).status(), 200);
            let other = format!("If-None-Match: {of_plain}");
            assert_eq!(get(&mut client, target, &[GZIP, &other]).status(), 200);
            let part = get(&mut client, target, &[GZIP, "Range: bytes=3-6"]);
            assert_eq!((part.status(), &part.body[..]), (206, &coded.body[3..7]));
            assert_eq!(coding(&part), Some("gzip"));
            assert_eq!(part.field("Vary"), Some("Accept-Encoding"));
            let size = coded.body.len();
            let range = format!("bytes 3-6/{size}");
            assert_eq!(part.field("Content-Range"), Some(&*range));
            let parts = get(&mut client, target, &[GZIP, "Range: bytes=0-1,4-5"]);
            assert_eq!((parts.status(), coding(&parts)), (206, Some("gzip")));
            for (tag, status) in [(&of_coded, 206), (&of_plain, 200)] {
                let if_range = format!("If-Range: {tag}");
                let fields = [GZIP, "Range: bytes=0-0", &if_range];
                let reply = get(&mut client, target, &fields);
                assert_eq!(reply.status(), status, "{if_range}");
            }
            let beyond = get(&mut client, target, &[GZIP, "Range: bytes=999999-"]);
            assert_eq!(beyond.status(), 416);
            let size = format!("bytes */{size}");
            assert_eq!(beyond.field("Content-Range"), Some(&*size));
            sleep(SETTLED);
        }
    }
}

/// All codings of a file have its date, so a part of one could be continued with a part of another.
#[test]
fn a_date_does_not_continue_a_download() {
    let site = site();
    let (date, nanoseconds) = ("Wed, 01 Jan 2020 00:00:00 GMT", 1_577_836_800_000_000_000);
    fs::remove_file(site.at("image.png.gz")).unwrap();
    for name in ["a.css", "a.css.gz", "image.png"] {
        site.changed_at(name, nanoseconds);
    }
    let server = serve(&site, &[]);
    let if_range = format!("If-Range: {date}");
    for (target, field, status) in [
        ("/a.css", GZIP, 200),
        ("/a.css", "X: identity", 200),
        ("/image.png", GZIP, 206),
        ("/a.css.gz", GZIP, 206),
    ] {
        let fields = [field, "Range: bytes=1-2", &if_range];
        let reply = ask(&server, "GET", target, &fields);
        assert_eq!(reply.status(), status, "{target} {field}");
        assert_eq!(reply.field("Last-Modified"), Some(date), "{target}");
        let since = format!("If-Modified-Since: {date}");
        let reply = ask(&server, "GET", target, &[field, &since]);
        assert_eq!(reply.status(), 304, "{target} {field}");
    }
}

#[test]
fn a_sibling_itself_has_no_coding() {
    let server = serve(&site(), &[]);
    for target in ["/a.css.gz", "/a.css.br", "/a.css.zst"] {
        for field in [BROWSER, GZIP, "X: none"] {
            let reply = ask(&server, "GET", target, &[field]);
            assert_eq!((reply.status(), coding(&reply)), (200, None), "{target}");
            assert!(reply.text().starts_with("as "), "{target}");
        }
    }
}

#[test]
fn index_pages_and_formats_that_are_compressed_have_siblings() {
    let server = serve(&site(), &[]);
    let reply = ask(&server, "GET", "/docs/", &[GZIP]);
    assert_eq!(
        (coding(&reply), reply.text()),
        (Some("gzip"), "index as gzip")
    );
    let reply = ask(&server, "GET", "/image.png", &[GZIP]);
    assert_eq!(
        (coding(&reply), reply.text()),
        (Some("gzip"), "png as gzip")
    );
    assert_eq!(reply.field("Content-Type"), Some("image/png"));
    let reply = ask(&server, "GET", "/missing.css", &[GZIP]);
    assert_eq!((reply.status(), coding(&reply)), (404, None));
}

#[test]
fn siblings_follow_their_files() {
    let site = site();
    let server = serve(&site, &["--file-threads", "0"]);
    let mut client = server.connect();
    let at = |name: &str| site.at(name);
    let write = |name: &str, content: &str| {
        site.file(name, content);
    };
    type Step<'a> = (&'a dyn Fn(), Option<&'a str>, &'a str);
    let steps: [Step<'_>; 9] = [
        (&|| (), Some("gzip"), "as gzip"),
        (&|| write("a.css.gz", "changed"), Some("gzip"), "changed"),
        (&|| fs::remove_file(at("a.css.gz")).unwrap(), None, "line 0"),
        (&|| write("a.css.gz", "again"), Some("gzip"), "again"),
        (
            &|| {
                write("new", "renamed over");
                fs::rename(at("new"), at("a.css.gz")).unwrap();
            },
            Some("gzip"),
            "renamed over",
        ),
        (
            &|| {
                write("a.css", "newer");
                site.changed_at("a.css.gz", 1_577_836_800_000_000_000);
            },
            None,
            "newer",
        ),
        (&|| write("a.css.gz", "fresh"), Some("gzip"), "fresh"),
        (
            &|| {
                fs::remove_file(at("a.css.gz")).unwrap();
                site.directory("a.css.gz");
            },
            None,
            "newer",
        ),
        (
            &|| {
                fs::remove_dir(at("a.css.gz")).unwrap();
                write("a.css.gz", "file again");
            },
            Some("gzip"),
            "file again",
        ),
    ];
    for (number, (change, expected, content)) in steps.iter().enumerate() {
        change();
        for _ in 0..3 {
            let reply = get(&mut client, "/a.css", &[GZIP]);
            assert_eq!(coding(&reply), *expected, "step {number}");
            assert!(reply.text().starts_with(content), "step {number}");
            sleep(SETTLED);
        }
    }
    let log = server.log();
    assert_eq!(log.matches("is older than its file").count(), 1, "{log}");
    fs::remove_file(at("a.css")).unwrap();
    assert_eq!(get(&mut client, "/a.css", &[GZIP]).status(), 404);
}

#[test]
fn a_stale_sibling_is_logged_once_on_any_file_system() {
    let site = Site::empty();
    fs::create_dir(site.beside("source")).unwrap();
    let source = site.beside("source");
    fs::write(source.join("a.css"), text(3000)).unwrap();
    fs::write(source.join("a.css.gz"), "stale").unwrap();
    let old = std::time::SystemTime::UNIX_EPOCH;
    let sibling = fs::File::open(source.join("a.css.gz")).unwrap();
    sibling.set_modified(old).unwrap();
    let Some(_mount) = Mount::bindfs(&source, &site.root()) else {
        return;
    };
    let server = Server::of_path(&site.root(), &["--compress"]);
    for _ in 0..3 {
        let reply = ask(&server, "GET", "/a.css", &[GZIP]);
        assert_eq!((reply.status(), coding(&reply)), (200, None));
    }
    let log = server.log();
    assert_eq!(log.matches("is older than its file").count(), 1, "{log}");
}

#[test]
fn siblings_on_a_file_system_that_is_not_local_are_sent() {
    let site = Site::empty();
    fs::create_dir(site.beside("source")).unwrap();
    let source = site.beside("source");
    for (name, size) in [("small.css", 3000), ("large.css", 200_000)] {
        fs::write(source.join(name), text(size)).unwrap();
        fs::write(source.join(format!("{name}.gz")), vec![b'g'; size - 1]).unwrap();
    }
    let Some(_mount) = Mount::bindfs(&source, &site.root()) else {
        return;
    };
    let server = Server::of_path(&site.root(), &["--compress"]);
    for (target, size) in [("/small.css", 2999), ("/large.css", 199_999)] {
        let reply = ask(&server, "GET", target, &[GZIP]);
        assert_eq!((coding(&reply), reply.body.len()), (Some("gzip"), size));
        assert!(reply.body.iter().all(|byte| *byte == b'g'));
        let part = ask(&server, "GET", target, &[GZIP, "Range: bytes=-3"]);
        assert_eq!((part.status(), part.text()), (206, "ggg"));
        assert_eq!(coding(&part), Some("gzip"));
        let plain = ask(&server, "GET", target, &[]);
        assert_eq!((coding(&plain), plain.body.len()), (None, size + 1));
    }
}

#[test]
fn siblings_may_be_links_inside_and_nothing_that_is_no_file() {
    let site = Site::empty();
    for name in ["inside", "outside", "directory", "dangling", "fifo"] {
        site.file(format!("{name}.css"), format!("{name} as it is"));
    }
    site.file("elsewhere", "linked")
        .link("inside.css.gz", "elsewhere")
        .link("outside.css.gz", "../secret.txt")
        .directory("directory.css.gz")
        .link("dangling.css.gz", "nowhere")
        .fifo("fifo.css.gz");
    let server = serve(&site, &[]);
    let reply = ask(&server, "GET", "/inside.css", &[GZIP]);
    assert_eq!((coding(&reply), reply.text()), (Some("gzip"), "linked"));
    for name in ["outside", "directory", "dangling", "fifo"] {
        let reply = ask(&server, "GET", &format!("/{name}.css"), &[GZIP]);
        assert_eq!(coding(&reply), None, "{name}");
        assert_eq!(reply.text(), format!("{name} as it is"));
    }
    site.file("elsewhere", "changed");
    let reply = server.ask(request("GET", "/inside.css", &[GZIP]));
    assert_eq!(reply.text(), "changed");
    site.file("nowhere", "appears");
    let reply = server.ask(request("GET", "/dangling.css", &[GZIP]));
    assert_eq!(reply.text(), "appears");
}

/// With all three names taken, nothing is missing; a directory among them can still become a file.
#[test]
fn a_directory_that_becomes_a_sibling_is_noticed() {
    let site = site();
    fs::remove_file(site.at("a.css.gz")).unwrap();
    site.directory("a.css.gz");
    let server = serve(&site, &["--file-threads", "0"]);
    let reply = ask(&server, "GET", "/a.css", &[GZIP]);
    assert_eq!(coding(&reply), None);
    fs::remove_dir(site.at("a.css.gz")).unwrap();
    site.file("a.css.gz", "now a file");
    let reply = server.ask(request("GET", "/a.css", &[GZIP]));
    assert_eq!((coding(&reply), reply.text()), (Some("gzip"), "now a file"));
}

#[test]
fn a_sibling_that_cannot_be_read_is_not_sent() {
    let site = site();
    let set_mode = |mode| {
        let permissions = fs::Permissions::from_mode(mode);
        fs::set_permissions(site.at("a.css.gz"), permissions).unwrap();
    };
    set_mode(0o000);
    let Some(server) = Server::unprivileged(&site, &["--compress", "--file-threads", "0"]) else {
        return;
    };
    let reply = ask(&server, "GET", "/a.css", &[GZIP]);
    assert_eq!((reply.status(), coding(&reply)), (200, None));
    set_mode(0o644);
    let reply = server.ask(request("GET", "/a.css", &[GZIP]));
    assert_eq!((coding(&reply), reply.text()), (Some("gzip"), "as gzip"));
}

#[test]
fn a_page_of_a_site_has_siblings() {
    let site = Site::empty();
    site.file("about.html", "about")
        .file("about.html.gz", "about as gzip")
        .file("404.html", "missing")
        .file("404.html.gz", "missing as gzip")
        .file("_redirects", "/app/* /about.html 200\n/old /new\n")
        .file("_headers", "/*\n  Vary: Origin\n");
    let server = serve(&site, &["--site"]);
    for (target, status, content) in [
        ("/about", 200, "about as gzip"),
        ("/app/x", 200, "about as gzip"),
        ("/missing", 404, "missing as gzip"),
    ] {
        let reply = ask(&server, "GET", target, &[GZIP]);
        assert_eq!((reply.status(), reply.text()), (status, content));
        assert_eq!(coding(&reply), Some("gzip"));
        let vary = reply.head.all("Vary").join(", ");
        assert!(
            vary.contains("Origin") && vary.contains("Accept-Encoding"),
            "{vary}"
        );
        let plain = ask(&server, "GET", target, &[]);
        assert_eq!(plain.text(), content.trim_end_matches(" as gzip"));
    }
}

/// An overlay may open another inode for a file of several names after a write, and reports nothing of the first one.
#[test]
fn a_sibling_on_an_overlay_follows_its_changes() {
    let site = Site::empty();
    let lower = site.beside("lower");
    fs::create_dir(&lower).unwrap();
    fs::write(lower.join("a.css"), text(3000)).unwrap();
    fs::write(lower.join("a.css.gz"), "first").unwrap();
    fs::hard_link(lower.join("a.css.gz"), lower.join("other-name")).unwrap();
    let Some(_mount) = Mount::overlay(&site.root()) else {
        return;
    };
    assert_follows_sibling(&site);
}

/// A single file can be mounted, too.
#[test]
fn a_mounted_sibling_follows_its_changes() {
    let site = Site::empty();
    let [source, mounted] = ["source", "mounted"].map(|name| site.beside(name));
    for directory in [&source, &mounted] {
        fs::create_dir(directory).unwrap();
    }
    fs::write(source.join("a.css.gz"), "first").unwrap();
    site.file("a.css", text(3000)).file("a.css.gz", "below");
    let old = std::time::SystemTime::UNIX_EPOCH;
    let file = fs::File::open(site.at("a.css")).unwrap();
    file.set_modified(old).unwrap();
    let Some(_mount) = Mount::bindfs(&source, &mounted) else {
        return;
    };
    let sibling = site.at("a.css.gz");
    let Some(_sibling) = Mount::bind(&mounted.join("a.css.gz"), &sibling) else {
        return;
    };
    let server = serve(&site, &["--file-threads", "0"]);
    for content in ["first", "second", "third"] {
        fs::write(source.join("a.css.gz"), content).unwrap();
        for _ in 0..2 {
            let reply = ask(&server, "GET", "/a.css", &[GZIP]);
            assert_eq!(reply.text(), content);
        }
    }
}

#[track_caller]
fn assert_follows_sibling(site: &Site) {
    let server = serve(site, &["--file-threads", "0"]);
    for content in ["first", "second", "third"] {
        if content != "first" {
            site.file("a.css.gz", content);
        }
        let reply = server.ask(request("GET", "/a.css", &[GZIP]));
        assert_eq!(reply.text(), content);
        let reply = ask(&server, "GET", "/a.css", &[GZIP]);
        assert_eq!(reply.text(), content);
    }
}
