//! `--site`: pages without their suffix, the nearest `404.html`, and the rules of `_redirects` and `_headers`.

mod at_random;
mod headers;
mod places;
mod redirects;
mod rule_files;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::thread::sleep;

use crate::support::{Client, Reply, SETTLED, Server, Site, request};

/// Starts a server for `site` with `--site`.
fn serve(site: &Site, options: &[&str]) -> Server {
    Server::with(site, &[&["--site"], options].concat())
}

/// Sends a request while its files have just changed, and again when the server keeps what it found. Asserts that the replies are the
/// same, and returns one.
#[track_caller]
fn steady(client: &mut Client, request: &str) -> Reply {
    let first = client.ask(request);
    sleep(SETTLED);
    for _ in 0..3 {
        let again = client.ask(request);
        assert_eq!(shown(&again), shown(&first), "{request}");
    }
    first
}

/// What a reply shows, but for the time.
fn shown(reply: &Reply) -> (u16, Vec<&(String, String)>, &[u8]) {
    let fields = reply.head.fields.iter();
    let fields = fields.filter(|(name, _)| name != "Date").collect();
    (reply.status(), fields, &reply.body)
}

/// Asserts that each target has this status and this text in its body, cold and kept.
#[track_caller]
fn assert_pages(server: &Server, pages: &[(&str, u16, &str)]) {
    let mut client = server.connect();
    for round in 0..3 {
        for (target, status, text) in pages {
            let reply = client.get(target);
            assert_eq!(reply.status(), *status, "{target} in round {round}");
            let body = reply.text();
            assert!(body.contains(text), "{target} in round {round}: {body}");
        }
        sleep(SETTLED);
    }
}

#[test]
fn a_page_is_also_served_without_its_suffix() {
    let site = Site::empty();
    site.file("index.html", "home")
        .file("about.html", "about")
        .file("blog.html", "blog")
        .file("blog/index.html", "blog index")
        .file("blog/post.html", "post")
        .file("team.html", "team")
        .file("team/photo.txt", "photo")
        .file("both", "without suffix")
        .file("both.html", "with suffix");
    let server = serve(&site, &[]);
    assert_pages(
        &server,
        &[
            ("/", 200, "home"),
            ("/index", 200, "home"),
            ("/index.html", 200, "home"),
            ("/about", 200, "about"),
            ("/about?x=1", 200, "about"),
            ("/%61bout", 200, "about"),
            ("/./about", 200, "about"),
            ("/about.html", 200, "about"),
            ("/about.html/", 404, ""),
            ("/about.html.html", 404, ""),
            ("/About", 404, ""),
            ("/blog", 200, "blog"),
            ("/blog/", 200, "blog index"),
            ("/blog/index", 200, "blog index"),
            ("/blog/index.html", 200, "blog index"),
            ("/blog/post", 200, "post"),
            ("/team", 200, "team"),
            ("/team/", 404, ""),
            ("/team/photo.txt", 200, "photo"),
            ("/both", 200, "without suffix"),
        ],
    );
}

#[test]
fn a_page_without_its_suffix_is_like_the_page() {
    let site = Site::empty();
    site.file("about.html", "<p>about</p>");
    let server = serve(&site, &[]);
    let mut client = server.connect();
    let short = steady(&mut client, &request("GET", "/about", &[]));
    let long = steady(&mut client, &request("GET", "/about.html", &[]));
    assert_eq!(shown(&short), shown(&long));
    let tag = long.field("ETag").unwrap();
    let known = format!("If-None-Match: {tag}");
    assert_eq!(
        steady(&mut client, &request("GET", "/about", &[&known])).status(),
        304
    );
    let part = steady(
        &mut client,
        &request("GET", "/about", &["Range: bytes=0-2"]),
    );
    assert_eq!((part.status(), part.text()), (206, "<p>"));
}

#[test]
fn what_a_path_means_follows_the_files() {
    let site = Site::empty();
    let server = serve(&site, &[]);
    let mut client = server.connect();
    let steps: [(&dyn Fn(), u16, &str); 9] = [
        (&|| (), 404, "File not found"),
        (
            &|| {
                site.file("about.html", "page");
            },
            200,
            "page",
        ),
        (
            &|| {
                site.directory("about");
            },
            200,
            "page",
        ),
        (&|| fs::remove_file(site.at("about.html")).unwrap(), 301, ""),
        (
            &|| {
                site.file("about.html", "again");
            },
            200,
            "again",
        ),
        (
            &|| {
                fs::remove_dir(site.at("about")).unwrap();
                site.file("about", "file");
            },
            200,
            "file",
        ),
        (&|| fs::remove_file(site.at("about")).unwrap(), 200, "again"),
        (
            &|| fs::rename(site.at("about.html"), site.at("other.html")).unwrap(),
            404,
            "File not found",
        ),
        (
            &|| fs::rename(site.at("other.html"), site.at("about.html")).unwrap(),
            200,
            "again",
        ),
    ];
    for (number, (change, status, text)) in steps.iter().enumerate() {
        change();
        let reply = steady(&mut client, &request("GET", "/about", &[]));
        assert_eq!(reply.status(), *status, "step {number}");
        assert!(reply.text().contains(text), "step {number}");
    }
}

#[test]
fn a_directory_without_an_index_page_is_not_found() {
    let site = Site::empty();
    site.file("dir/file.txt", "secret name");
    let server = serve(&site, &[]);
    for target in ["/", "/dir/", "/dir/?format=json", "/dir/."] {
        let reply = steady(&mut server.connect(), &request("GET", target, &[]));
        assert_eq!(reply.status(), 404, "{target}");
        assert!(!reply.text().contains("file.txt"), "{target}");
    }
    let reply = server.get("/dir");
    assert_eq!(
        (reply.status(), reply.field("Location")),
        (301, Some("dir/"))
    );
    site.file("dir/index.html", "index");
    assert_pages(&server, &[("/dir/", 200, "index")]);
}

#[test]
fn the_nearest_404_page_upwards_is_sent() {
    let site = Site::empty();
    site.file("404.html", "root 404")
        .file("docs/404.html", "docs 404")
        .file("docs/api/index.html", "api")
        .file("blog/post.html", "post");
    let server = serve(&site, &[]);
    assert_pages(
        &server,
        &[
            ("/x", 404, "root 404"),
            ("/x/", 404, "root 404"),
            ("/x/y/z", 404, "root 404"),
            ("/blog/x", 404, "root 404"),
            ("/blog/", 404, "root 404"),
            ("/docs", 301, ""),
            ("/docs/", 404, "docs 404"),
            ("/docs/x", 404, "docs 404"),
            ("/docs/x/y/", 404, "docs 404"),
            ("/docs/api/x", 404, "docs 404"),
            ("/docs/api/index.html/x", 404, "docs 404"),
            ("/docsx", 404, "root 404"),
            ("/docs/../x", 404, "root 404"),
            ("/404.html", 200, "root 404"),
            ("/404", 200, "root 404"),
        ],
    );
}

#[test]
fn a_404_page_has_no_conditions_and_no_ranges() {
    let site = Site::empty();
    site.file("404.html", "<p>not here</p>");
    site.file("big/404.html", "x".repeat(100_000));
    let server = serve(&site, &[]);
    let mut client = server.connect();
    for (target, length) in [("/x", 15), ("/big/x", 100_000)] {
        let page = steady(&mut client, &request("GET", target, &[]));
        assert_eq!((page.status(), page.body.len()), (404, length));
        for name in ["ETag", "Last-Modified", "Accept-Ranges"] {
            assert_eq!(page.field(name), None, "{name}");
        }
        let own = format!("{}/404.html", target.trim_end_matches("/x"));
        let tag = client.get(&own).field("ETag").unwrap().to_owned();
        let known = format!("If-None-Match: {tag}");
        for field in [
            "If-None-Match: *",
            &known,
            "If-Match: \"x\"",
            "If-Modified-Since: Fri, 01 Jan 2100 00:00:00 GMT",
            "If-Unmodified-Since: Thu, 01 Jan 1970 00:00:00 GMT",
            "Range: bytes=0-1",
            "Range: bytes=0-1,3-4",
            "Range: bytes=999999999-",
        ] {
            let reply = steady(&mut client, &request("GET", target, &[field]));
            assert_eq!((reply.status(), reply.body.len()), (404, length), "{field}");
            let head = steady(&mut client, &request("HEAD", target, &[field]));
            assert_eq!(head.status(), 404, "{field}");
            assert_eq!(head.head.content_length(), Some(length as u64), "{field}");
        }
    }
    client.assert_open();
}

#[test]
fn the_404_page_follows_its_files() {
    let site = Site::empty();
    site.directory("a/b");
    let server = serve(&site, &[]);
    let mut client = server.connect();
    let steps: [(&dyn Fn(), &str); 8] = [
        (&|| (), "File not found"),
        (
            &|| {
                site.file("404.html", "one");
            },
            "one",
        ),
        (
            &|| {
                site.file("404.html", "two");
            },
            "two",
        ),
        (
            &|| {
                site.file("a/b/404.html", "deep");
            },
            "deep",
        ),
        (
            &|| {
                site.file("a/404.html", "middle");
            },
            "deep",
        ),
        (
            &|| fs::remove_file(site.at("a/b/404.html")).unwrap(),
            "middle",
        ),
        (&|| fs::rename(site.at("a"), site.at("z")).unwrap(), "two"),
        (
            &|| fs::remove_file(site.at("404.html")).unwrap(),
            "File not found",
        ),
    ];
    for (number, (change, text)) in steps.iter().enumerate() {
        change();
        let reply = steady(&mut client, &request("GET", "/a/b/missing", &[]));
        assert_eq!(reply.status(), 404, "step {number}");
        assert!(
            reply.text().contains(text),
            "step {number}: {}",
            reply.text()
        );
    }
}

#[test]
fn a_404_page_of_unknown_length_has_its_status() {
    let site = Site::empty();
    site.link("404.html", "/proc/kallsyms");
    let server = serve(&site, &["--follow-symlinks"]);
    let reply = server.get("/x");
    assert_eq!((reply.status(), reply.field("ETag")), (404, None));
    assert!(reply.head.is_chunked(), "its length is known");
}

#[test]
fn a_404_page_that_cannot_be_read_is_passed_over() {
    let site = Site::empty();
    site.file("404.html", "readable")
        .file("dir/404.html", "not readable");
    let set_mode = |mode| {
        let permissions = fs::Permissions::from_mode(mode);
        fs::set_permissions(site.at("dir/404.html"), permissions).unwrap();
    };
    set_mode(0o000);
    let Some(server) = Server::unprivileged(&site, &["--site"]) else {
        return;
    };
    let reply = steady(&mut server.connect(), &request("GET", "/dir/x", &[]));
    assert_eq!((reply.status(), reply.text()), (404, "readable"));
    assert_eq!(server.get("/dir/404.html").status(), 403);
    set_mode(0o644);
    assert_eq!(server.get("/dir/x").text(), "not readable");
}

#[test]
fn hidden_directories_have_no_404_page() {
    let site = Site::empty();
    site.file(".git/404.html", "SECRET")
        .file("404.html", "public")
        .file("dir/.git/404.html", "SECRET")
        .file(".git/page.html", "SECRET");
    let server = serve(&site, &[]);
    assert_pages(
        &server,
        &[
            ("/.git/x", 404, "public"),
            ("/.git/", 404, "public"),
            ("/.git/x/y/z", 404, "public"),
            ("/%2egit/x", 404, "public"),
            ("/dir/.git/x", 404, "public"),
            ("/.git/page", 404, "public"),
            ("/.git", 404, "public"),
        ],
    );
    let shown = serve(&site, &["--dotfiles"]);
    assert_pages(
        &shown,
        &[("/.git/x", 404, "SECRET"), ("/.git/page", 200, "SECRET")],
    );
}
