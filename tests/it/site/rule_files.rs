//! The files `_redirects` and `_headers`: never served, read again when they change, with limits.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::thread::sleep;

use super::{serve, steady};
use crate::support::{SETTLED, Server, Site, get, request, wait_until};

#[test]
fn rule_files_are_served_under_no_spelling() {
    let site = Site::empty();
    site.file("_redirects", "/secret-rule /x\n")
        .file("_headers", "/secret-rule\n  X-Secret: 1\n")
        .file("_redirects.gz", "not the rules")
        .file("dir/_redirects", "an ordinary file");
    for options in [
        &[][..],
        &["--dotfiles"],
        &["--compress"],
        &["--live"],
        &["--spa"],
        &["--file-threads", "0"],
        &["--follow-symlinks"],
    ] {
        let server = serve(&site, options);
        let mut client = server.connect();
        for name in ["_redirects", "_headers"] {
            let encoded = name.replace('_', "%5F");
            for target in [
                format!("/{name}"),
                format!("/{encoded}"),
                format!("/%5f{}", &name[1..]),
                format!("//{name}"),
                format!("/./{name}"),
                format!("/x/../{name}"),
                format!("/dir/%2e%2e/{name}"),
                format!("/{name}/"),
                format!("/{name}/."),
                format!("/{name}?x"),
                format!("/{name}#x"),
                format!("/{name}/index.html"),
                format!("http://test/{name}"),
            ] {
                for method in ["GET", "HEAD"] {
                    for field in ["Accept-Encoding: gzip", "Range: bytes=0-3"] {
                        let reply = client.ask(request(method, &target, &[field]));
                        assert_eq!(reply.status(), 404, "{method} {target} {options:?}");
                        let body = String::from_utf8_lossy(&reply.body);
                        assert!(!body.contains("ecret"), "{target} {options:?}");
                    }
                }
            }
        }
        assert_eq!(client.get("/dir/_redirects").text(), "an ordinary file");
        sleep(SETTLED);
        assert_eq!(client.get("/_redirects").status(), 404);
    }
}

#[test]
fn rules_are_read_again_when_their_file_changes() {
    let site = Site::empty();
    site.file("file.txt", "content");
    let server = serve(&site, &[]);
    let mut client = server.connect();
    let redirects = |to: &str| format!("/a /{to} 302\n");
    let headers = |to: &str| format!("/*\n  X-To: {to}\n");
    let path = |name: &str| site.at(name);
    let replace = |to: &str| {
        for (name, content) in [("_redirects", redirects(to)), ("_headers", headers(to))] {
            fs::write(path("new"), content).unwrap();
            fs::rename(path("new"), path(name)).unwrap();
        }
    };
    let write = |to: &str| {
        site.file("_redirects", redirects(to))
            .file("_headers", headers(to));
    };
    let remove = || {
        fs::remove_file(path("_redirects")).unwrap();
        fs::remove_file(path("_headers")).unwrap();
    };
    let steps: [(&dyn Fn(), Option<&str>); 9] = [
        (&|| (), None),
        (&|| write("one"), Some("one")),
        (&|| write("two"), Some("two")),
        (&|| replace("three"), Some("three")),
        (&remove, None),
        (&|| replace("four"), Some("four")),
        (
            &|| {
                for name in ["_redirects", "_headers"] {
                    fs::rename(path(name), path(&format!("{name}-away"))).unwrap();
                }
            },
            None,
        ),
        (
            &|| {
                for name in ["_redirects", "_headers"] {
                    fs::rename(path(&format!("{name}-away")), path(name)).unwrap();
                }
            },
            Some("four"),
        ),
        (
            &|| {
                remove();
                site.directory("_redirects").directory("_headers");
            },
            None,
        ),
    ];
    for (number, (change, expected)) in steps.iter().enumerate() {
        change();
        for target in ["/a", "/file.txt"] {
            let reply = steady(&mut client, &get(target));
            let to = expected.map(|to| format!("/{to}"));
            if target == "/a" {
                assert_eq!(reply.field("Location"), to.as_deref(), "step {number}");
            }
            assert_eq!(reply.field("X-To"), *expected, "{target} in step {number}");
        }
    }
}

/// Asks until what is wrong with a rule file was logged, and returns the lines about rule files.
fn problems(server: &Server) -> Vec<String> {
    for _ in 0..3 {
        server.get("/file.txt");
        sleep(SETTLED);
    }
    let log = server.log();
    let is_problem = |line: &&str| line.contains("stay in force");
    log.lines().filter(is_problem).map(str::to_owned).collect()
}

#[test]
fn a_bad_line_is_logged_once_and_the_last_good_rules_stay() {
    let site = Site::empty();
    site.file("file.txt", "content")
        .file("_redirects", "/a /good\n")
        .file("_headers", "/*\n  X-A: good\n");
    let server = serve(&site, &[]);
    let is_good = || {
        let reply = server.get("/a");
        let fields = (reply.field("Location"), reply.field("X-A"));
        assert_eq!(fields, (Some("/good"), Some("good")));
    };
    is_good();
    site.file("_redirects", "/a /changed\n# comment\n/b /c 999\n");
    is_good();
    let lines = problems(&server);
    assert_eq!(lines.len(), 1, "{lines:#?}");
    assert!(lines[0].contains("_redirects:3: "), "{lines:#?}");
    site.file("_headers", "/*\n  X-A: changed\n  Content-Length: 5\n");
    is_good();
    let lines = problems(&server);
    assert_eq!(lines.len(), 2, "{lines:#?}");
    assert!(lines[1].contains("_headers:3: "), "{lines:#?}");
    site.file("_redirects", "/a /mended\n");
    assert_eq!(server.get("/a").field("Location"), Some("/mended"));
    assert_eq!(problems(&server).len(), 2);
}

#[test]
fn a_bad_line_is_logged_once_by_all_loops() {
    let site = Site::empty();
    site.file("file.txt", "content").file("_redirects", "bad\n");
    let server = serve(&site, &["-n", "2"]);
    for _ in 0..20 {
        server.get("/file.txt");
    }
    let lines = problems(&server);
    assert_eq!(lines.len(), 1, "{lines:#?}");
}

#[test]
fn a_bad_line_cannot_forge_a_log_line() {
    let site = Site::empty();
    site.file("file.txt", "content")
        .file("_redirects", b"/a /b\x1b[2J\rforged \xff\n".as_slice());
    let server = serve(&site, &[]);
    let lines = problems(&server);
    assert_eq!(lines.len(), 1, "{lines:#?}");
    assert!(!lines[0].contains(['\x1b', '\r']), "{lines:?}");
}

#[test]
fn a_rule_file_has_at_most_1_mib() {
    let site = Site::empty();
    site.file("file.txt", "content")
        .file("_redirects", "/a /good\n");
    let server = serve(&site, &[]);
    assert_eq!(server.get("/a").field("Location"), Some("/good"));
    let padding = |length: usize| "#".repeat(length - 11) + "\n/a /filled";
    site.file("_redirects", padding((1 << 20) + 1));
    assert_eq!(server.get("/a").field("Location"), Some("/good"));
    let lines = problems(&server);
    assert_eq!(lines.len(), 1, "{lines:#?}");
    assert!(lines[0].contains("1 MiB"), "{lines:#?}");
    site.file("_redirects", padding(1 << 20));
    assert_eq!(server.get("/a").field("Location"), Some("/filled"));
    site.file("_redirects", "/a /b\n".repeat(2001));
    assert_eq!(server.get("/a").field("Location"), Some("/filled"));
    assert_eq!(problems(&server).len(), 2);
}

#[test]
fn a_rule_file_that_cannot_be_read_leaves_the_rules() {
    let site = Site::empty();
    site.file("file.txt", "content")
        .file("_redirects", "/a /good\n");
    let Some(server) = Server::unprivileged(&site, &["--site"]) else {
        return;
    };
    assert_eq!(server.get("/a").field("Location"), Some("/good"));
    let set_mode = |mode| {
        let permissions = fs::Permissions::from_mode(mode);
        fs::set_permissions(site.at("_redirects"), permissions).unwrap();
    };
    set_mode(0o000);
    let mut client = server.connect();
    let reply = steady(&mut client, &get("/a"));
    assert_eq!(reply.field("Location"), Some("/good"));
    assert_eq!(client.get("/file.txt").text(), "content");
    let lines = problems(&server);
    assert_eq!(lines.len(), 1, "{lines:#?}");
    fs::write(site.at("_redirects"), "/a /new\n").unwrap();
    set_mode(0o644);
    assert_eq!(client.get("/a").field("Location"), Some("/new"));
}

#[test]
fn rule_files_may_be_links_and_nothing_that_blocks() {
    let site = Site::empty();
    site.file("file.txt", "content")
        .file("rules/one", "/a /one\n")
        .link("_redirects", "rules/one")
        .fifo("_headers");
    let server = serve(&site, &[]);
    let mut client = server.connect();
    assert_eq!(
        steady(&mut client, &get("/a")).field("Location"),
        Some("/one")
    );
    site.file("rules/one", "/a /two\n");
    assert_eq!(
        steady(&mut client, &get("/a")).field("Location"),
        Some("/two")
    );
    fs::remove_file(site.at("_redirects")).unwrap();
    site.link("_redirects", "../secret.txt");
    assert_eq!(steady(&mut client, &get("/a")).status(), 404);
}

#[test]
fn rules_are_those_of_the_directory_that_is_served_now() {
    let site = Site::empty();
    fs::create_dir(site.beside("other")).unwrap();
    site.file("_redirects", "/a /one\n");
    fs::write(site.beside("other/_redirects"), "/a /two\n").unwrap();
    let server = serve(&site, &[]);
    let mut client = server.connect();
    assert_eq!(
        steady(&mut client, &get("/a")).field("Location"),
        Some("/one")
    );
    fs::rename(site.root(), site.beside("away")).unwrap();
    assert_eq!(steady(&mut client, &get("/a")).status(), 404);
    fs::rename(site.beside("other"), site.root()).unwrap();
    assert_eq!(
        steady(&mut client, &get("/a")).field("Location"),
        Some("/two")
    );
    wait_until("the log is written", || server.log().contains("/a"));
}
