//! `--site` on other file systems, with several loops, with old clients, and with many or strange paths.

use std::fs;
use std::thread::sleep;

use super::{assert_pages, serve};
use crate::common::memory;
use crate::support::{Mount, SETTLED, Server, Site, request};

const PAGES: [(&str, u16, &str); 9] = [
    ("/about", 200, "about"),
    ("/about/", 200, "inner"),
    ("/about.html", 200, "about"),
    ("/x", 404, "root 404"),
    ("/docs/x/y", 404, "docs 404"),
    ("/docs/", 404, "docs 404"),
    ("/app/x", 200, "about"),
    ("/gone", 410, "410"),
    ("/_redirects", 404, "root 404"),
];

fn fill(site: &Site, below: &str) {
    for (name, content) in [
        ("about.html", "about"),
        ("about/index.html", "inner"),
        ("404.html", "root 404"),
        ("docs/404.html", "docs 404"),
        (
            "_redirects",
            "/old /new\n/app/* /about 200\n/gone /none 410\n",
        ),
        ("_headers", "/*\n  X-Site: yes\n"),
    ] {
        let path = site.beside(below).join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
}

fn assert_site(server: &Server) {
    assert_pages(server, &PAGES);
    let reply = server.get("/old");
    assert_eq!(
        (reply.status(), reply.field("Location")),
        (301, Some("/new"))
    );
    for (target, ..) in PAGES {
        assert_eq!(server.get(target).field("X-Site"), Some("yes"), "{target}");
    }
}

#[test]
fn options_do_not_change_what_a_site_means() {
    let site = Site::empty();
    fill(&site, "site");
    for options in [
        &["-n", "2"][..],
        &["--file-threads", "0"],
        &["--compress"],
        &["--live"],
        &["--follow-symlinks"],
        &["--no-listing"],
    ] {
        assert_site(&serve(&site, options));
    }
}

#[test]
fn a_file_system_that_is_not_local_gives_the_same_site() {
    let site = Site::empty();
    fill(&site, "source");
    let source = site.beside("source");
    let Some(_mount) = Mount::bindfs(&source, &site.root()) else {
        return;
    };
    for options in [
        &["--site"][..],
        &["--site", "--compress", "--live", "--spa"],
    ] {
        let server = Server::of_path(&site.root(), options);
        assert_site(&server);
        fs::write(source.join("404.html"), "changed").unwrap();
        fs::write(source.join("_headers"), "/*\n  X-Site: new\n").unwrap();
        let reply = server.get("/x");
        assert!(reply.text().starts_with("changed"), "{}", reply.text());
        assert_eq!(reply.field("X-Site"), Some("new"));
        fill(&site, "source");
    }
}

#[test]
fn old_clients_get_the_site() {
    let site = Site::empty();
    fill(&site, "site");
    let server = serve(&site, &[]);
    for _ in 0..2 {
        for (target, status, text) in PAGES {
            let mut client = server.connect();
            let reply = client.ask(format!("GET {target} HTTP/1.0\r\n\r\n"));
            assert_eq!(reply.status(), status, "{target}");
            assert!(reply.text().contains(text), "{target}");
        }
        sleep(SETTLED);
    }
}

#[test]
fn other_methods_are_not_for_files() {
    let site = Site::empty();
    fill(&site, "site");
    let server = serve(&site, &["--spa"]);
    for method in ["POST", "PUT", "DELETE", "PATCH"] {
        for target in ["/x", "/about", "/old"] {
            let reply = server.ask(request(method, target, &["Content-Length: 0"]));
            assert_eq!(reply.status(), 405, "{method} {target}");
        }
    }
}

#[test]
fn a_path_with_thousands_of_segments_is_not_found() {
    let site = Site::empty();
    fill(&site, "site");
    let server = serve(&site, &[]);
    let mut client = server.connect();
    for segment in ["/a", "/", "/a/..", "/docs", "/%2e", "/."] {
        let target = segment.repeat(8000 / segment.len()) + "/x";
        for _ in 0..3 {
            let reply = client.get(&target);
            assert_eq!(reply.status(), 404, "{segment}");
        }
    }
    let deep = format!("/docs{}", "/a".repeat(30));
    assert_eq!(client.get(&deep).text(), "docs 404");
}

/// The cache may have 32 MiB.
#[test]
fn missing_paths_take_no_more_memory_than_the_cache_may() {
    let site = Site::empty();
    fill(&site, "site");
    let server = serve(&site, &["-q", "--spa"]);
    let mut client = server.connect();
    for number in 0..10_000 {
        let target = format!("/docs/missing/{number}.js");
        assert_eq!(client.get(&target).status(), 404);
    }
    let kilobytes = memory(server.id(), "VmRSS");
    assert!(kilobytes < 64 * 1024, "{kilobytes} KB");
}
