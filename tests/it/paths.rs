//! The mapping from targets to files: which file a target names, and what no target reaches.

use std::fs;
use std::os::unix::fs::symlink;

use crate::support::{HOSTILE, Server, Site, encode, get, resolve};

#[test]
fn nothing_leads_out_of_the_directory() {
    let site = Site::new();
    let server = Server::start(&site);
    let absolute = site.root().with_file_name("secret.txt");
    let absolute = format!("//{}", absolute.display());
    for target in [
        "/../secret.txt",
        "/../site/../secret.txt",
        "/dir/../../secret.txt",
        "/./.././secret.txt",
        "/..//secret.txt",
        "/../../../../../../../../etc/passwd",
        "/%2e%2e/secret.txt",
        "/%2E%2e/secret.txt",
        "/.%2e/secret.txt",
        "/..%2fsecret.txt",
        "/%2e%2e%2fsecret.txt",
        "/dir%2f..%2f..%2fsecret.txt",
        "/%2e%2e%5csecret.txt",
        "/..\\secret.txt",
        "/..%c0%afsecret.txt",
        "/%c0%ae%c0%ae/secret.txt",
        "/%252e%252e/secret.txt",
        "/%252e%252e%252fsecret.txt",
        "/..;/secret.txt",
        "/.../secret.txt",
        "/hello.txt/../../secret.txt",
        "/%2f%2fetc/passwd",
        "//etc/passwd",
        "/secret.txt",
        &absolute,
    ] {
        let reply = server.get(target);
        assert_eq!(reply.status(), 404, "{target}: {}", reply.text());
    }
    for target in ["../secret.txt", "secret.txt", "..", "?x"] {
        assert_eq!(server.get(target).status(), 400, "{target}");
    }
}

#[test]
fn dot_segments_stop_at_the_root() {
    let server = Server::start(&Site::new());
    for target in [
        "/../hello.txt",
        "/../../hello.txt",
        "/./hello.txt",
        "/dir/../hello.txt",
        "/missing/../hello.txt",
        "/%2e%2e/hello.txt",
        "/dir/%2e./hello.txt",
        "//hello.txt",
        "///hello.txt",
        "/dir//..//hello.txt",
        "/dir%2f..%2fhello.txt",
    ] {
        assert_eq!(server.get(target).body, b"Hello, world!\n", "{target}");
    }
}

#[test]
fn query_and_fragment_are_ignored() {
    let server = Server::start(&Site::new());
    for target in [
        "/hello.txt?a=b",
        "/hello.txt?",
        "/hello.txt#x",
        "/hello.txt?/../x#y",
        "/hello.txt?%00",
    ] {
        assert_eq!(server.get(target).body, b"Hello, world!\n", "{target}");
    }
}

#[test]
fn a_nul_is_a_bad_request() {
    let server = Server::start(&Site::new());
    for target in ["/%00", "/hello.txt%00", "/hello.txt%00.html", "/dir/%00/x"] {
        assert_eq!(server.get(target).status(), 400, "{target}");
    }
}

#[test]
fn an_encoded_slash_is_a_slash() {
    let server = Server::start(&Site::new());
    assert_eq!(server.get("/dir%2ffile.txt").body, b"in dir\n");
    assert_eq!(server.get("/docs%2F").body, b"<p>index</p>\n");
    assert_eq!(server.get("%2fhello.txt").status(), 400);
}

#[test]
fn every_name_is_reached_by_its_encoded_target() {
    let site = Site::hostile();
    let server = Server::start(&site);
    let mut client = server.connect();
    for name in HOSTILE.into_iter().filter(|name| !name.starts_with(b".")) {
        let reply = client.get(&format!("/{}", encode(name)));
        assert_eq!(reply.body, name, "{}", name.escape_ascii());
    }
}

#[test]
fn a_malformed_encoding_stands_for_itself() {
    let site = Site::hostile();
    site.file("caf\u{e9}", "raw");
    let server = Server::start(&site);
    for (target, body) in [
        ("/%zz", "%zz"),
        ("/100%", "100%"),
        ("/%2541", "%41"),
        ("/caf\u{e9}", "raw"),
        ("/back\\slash", "back\\slash"),
    ] {
        assert_eq!(server.get(target).text(), body, "{target}");
    }
    assert_eq!(server.get("/%41").status(), 404, "%41 is A");
}

#[test]
fn a_redirect_never_leads_to_another_host() {
    let site = Site::new();
    site.directory("evil.example")
        .directory("\\evil.example")
        .directory("%2fevil.example");
    site.directory("http:").directory("x\r\nSet-Cookie: a=b");
    let server = Server::start(&site);
    for (target, location) in [
        ("//dir", "dir/"),
        ("///dir", "dir/"),
        ("//evil.example", "evil.example/"),
        ("/%2fevil.example", "evil.example/"),
        ("//evil.example/%2e%2e/dir", "dir/"),
        ("/\\evil.example", "%5Cevil.example/"),
        ("/%5cevil.example", "%5Cevil.example/"),
        ("/%252fevil.example", "%252fevil.example/"),
        ("/http:", "http%3A/"),
        ("/x%0d%0aSet-Cookie:%20a=b", "x%0D%0ASet-Cookie%3A%20a%3Db/"),
        ("http://any.example//dir?x", "dir/?x"),
    ] {
        let reply = server.get(target);
        assert_eq!(reply.status(), 301, "{target}");
        let given = reply.field("Location").unwrap();
        assert!(given.eq_ignore_ascii_case(location), "{target}: {given}");
    }
}

#[test]
fn a_redirect_leads_to_the_directory() {
    let server = Server::start(&Site::new());
    for target in [
        "/dir",
        "/dir/.",
        "/.",
        "/..",
        "/dir/..",
        "/docs/%2e%2e/dir",
        "/dir/.?x",
    ] {
        let mut reply = server.get(target);
        if reply.status() == 301 {
            let location = reply.field("Location").unwrap().to_owned();
            assert!(!location.starts_with('/'), "{target}: {location}");
            reply = server.get(&resolve(target, &location));
        }
        assert_eq!(reply.status(), 200, "{target}");
    }
}

#[test]
fn a_dot_segment_at_the_end_means_a_directory() {
    let site = Site::new();
    site.link("link", "hello.txt")
        .file("a.", "dot")
        .file("a..", "dots")
        .file("b/c.", "c");
    let server = Server::start(&site);
    for target in [
        "/hello.txt/",
        "/hello.txt/.",
        "/hello.txt/./",
        "/hello.txt/./.",
        "/hello.txt//.",
        "/hello.txt/%2e",
        "/hello.txt/%2E/",
        "/hello.txt%2f.",
        "/hello.txt/x/..",
        "/hello.txt/x/../",
        "/hello.txt/x/.%2e",
        "/hello.txt/x/../.",
        "/hello.txt/.?x",
        "/hello.txt/.#x",
        "/dir/../hello.txt/.",
        "/link/.",
        "/missing/.",
        "http://any.example/hello.txt/.",
    ] {
        assert_eq!(server.get(target).status(), 404, "{target}");
    }
    let listing = |target: &str| {
        let reply = server.get(target);
        assert_eq!(reply.status(), 200, "{target}");
        reply.body
    };
    for (target, same) in [
        ("/dir/.", "/dir/"),
        ("/dir/%2e", "/dir/"),
        ("/dir/./.?x", "/dir/"),
        ("/dir/x/..", "/dir/"),
        ("/.", "/"),
        ("/..", "/"),
        ("/dir/..", "/"),
        ("/dir/%2e%2e", "/"),
        ("/docs/.", "/docs/"),
    ] {
        assert_eq!(listing(target), listing(same), "{target}");
    }
    // A name that only begins or ends with a dot is a name.
    for (target, body) in [("/a.", "dot"), ("/a..", "dots"), ("/b/c.", "c")] {
        assert_eq!(server.get(target).text(), body, "{target}");
    }
}

#[test]
fn dotfiles_are_hidden() {
    let site = Site::new();
    site.file(".env", "")
        .file(".git/config", "")
        .file("dir/.hidden/file", "")
        .file("...", "");
    site.file(".well-known/acme", "token")
        .file(".well-known/.hidden", "")
        .file("dir/..data", "");
    let server = Server::start(&site);
    for target in [
        "/.env",
        "/%2eenv",
        "/.git",
        "/.git/",
        "/.git/config",
        "/dir/.hidden/file",
        "/dir/.hidden",
        "/...",
        "/.well-known/.hidden",
        "/dir/..data",
        "/.well-knownx",
    ] {
        assert_eq!(server.get(target).status(), 404, "{target}");
    }
    assert_eq!(server.get("/.well-known/acme").body, b"token");
    let listing = server.get("/?format=json");
    assert!(listing.text().contains(".well-known") && !listing.text().contains(".env"));
    assert!(!server.get("/dir/").text().contains("hidden"));
}

#[test]
fn the_dotfiles_option_shows_dotfiles() {
    let site = Site::new();
    site.file(".env", "env")
        .file(".git/config", "config")
        .file("...", "dots");
    let server = Server::with(&site, &["--dotfiles"]);
    for (target, body) in [
        ("/.env", "env"),
        ("/.git/config", "config"),
        ("/...", "dots"),
    ] {
        assert_eq!(server.get(target).text(), body);
    }
    let listing = server.get("/");
    assert!(listing.text().contains("href=\".env\"") && listing.text().contains("href=\".git/\""));
    assert_eq!(server.get("/../secret.txt").status(), 404);
}

/// A site with links of all kinds: inside of the directory, out of it, and broken.
fn site_with_links() -> Site {
    let site = Site::new();
    site.link("inner", "hello.txt")
        .link("inner-dir", "dir")
        .link("dir/up", "../hello.txt");
    site.link("broken", "nowhere")
        .link("loop", "loop")
        .link("device", "/dev/null");
    site.link("outer", "../secret.txt")
        .link("outer-dir", "..")
        .link("etc", "/etc");
    site.directory("away").link("away/passwd", "/etc/passwd");
    site
}

#[test]
fn links_that_stay_inside_are_followed() {
    let server = Server::start(&site_with_links());
    for target in ["/inner", "/dir/up", "/inner-dir/up"] {
        assert_eq!(server.get(target).body, b"Hello, world!\n", "{target}");
    }
    assert_eq!(server.get("/inner-dir/file.txt").body, b"in dir\n");
    assert_eq!(
        server.get("/inner-dir").field("Location"),
        Some("inner-dir/")
    );
}

#[test]
fn links_that_lead_out_are_404() {
    let server = Server::start(&site_with_links());
    for target in [
        "/outer",
        "/outer-dir",
        "/outer-dir/",
        "/outer-dir/secret.txt",
        "/outer-dir/site/hello.txt",
        "/etc/",
        "/etc/passwd",
        "/away/passwd",
        "/broken",
        "/loop",
        "/loop/x",
        "/device",
    ] {
        let reply = server.get(target);
        assert_eq!(reply.status(), 404, "{target}: {}", reply.text());
    }
}

#[test]
fn follow_symlinks_follows_links_that_lead_out() {
    let server = Server::with(&site_with_links(), &["--follow-symlinks"]);
    for target in ["/outer", "/outer-dir/secret.txt"] {
        assert_eq!(server.get(target).body, b"SECRET\n", "{target}");
    }
    for target in ["/inner", "/outer-dir/site/hello.txt"] {
        assert_eq!(server.get(target).body, b"Hello, world!\n", "{target}");
    }
    assert_eq!(server.get("/etc").status(), 301);
    for target in ["/broken", "/loop", "/device", "/../secret.txt"] {
        assert_eq!(server.get(target).status(), 404, "{target}");
    }
}

#[test]
fn a_directory_replaced_by_a_link_leads_nowhere() {
    let site = Site::new();
    let server = Server::start(&site);
    let mut client = server.connect();
    assert_eq!(client.get("/dir/file.txt").status(), 200);
    fs::write(site.root().with_file_name("file.txt"), "SECRET").unwrap();
    fs::remove_dir_all(site.at("dir")).unwrap();
    symlink("..", site.at("dir")).unwrap();
    assert_eq!(client.get("/dir/file.txt").status(), 404);
}

#[test]
fn fifos_and_sockets_are_404_and_do_not_block() {
    let site = Site::new();
    site.fifo("fifo")
        .socket("socket")
        .directory("index")
        .fifo("index/index.html");
    let server = Server::start(&site);
    let mut client = server.connect();
    for target in ["/fifo", "/socket"] {
        assert_eq!(client.get(target).status(), 404, "{target}");
    }
    assert_eq!(client.get("/index/").status(), 200, "a listing");
    client.assert_open();
}

#[test]
fn long_names_are_404() {
    let server = Server::start(&Site::new());
    let long = "x".repeat(300);
    assert_eq!(server.get(&format!("/{long}")).status(), 404);
    let deep = "x/".repeat(2500);
    assert_eq!(server.get(&format!("/{deep}")).status(), 404);
    assert_eq!(
        server
            .ask(get(&format!("/{}", "../".repeat(2500))))
            .status(),
        200
    );
}
