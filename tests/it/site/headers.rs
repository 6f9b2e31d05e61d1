//! The rules of `_headers` over the wire.

use super::{serve, steady};
use crate::support::{Site, get, request};

const RULES: &str = "
/*
  X-All: yes
  X-Frame-Options: DENY
/assets/*
  Cache-Control: public, max-age=31536000
/plain/*
  ! Cache-Control
  ! X-All
/typed/*
  Content-Type: application/json
/twice
  X-All: again
/cookies
  Set-Cookie: a=1
  Set-Cookie: b=2
";

fn site() -> Site {
    let site = Site::empty();
    site.file("_headers", RULES)
        .file(
            "_redirects",
            "/old /new\n/gone /missing 410\n/page /file.txt 200\n",
        )
        .file("file.txt", "content")
        .file("assets/app.js", "app()")
        .file("assets/large.bin", vec![7; 100_000])
        .file("plain/file.txt", "plain")
        .file("typed/file", "{}")
        .file("twice", "twice")
        .file("cookies", "cookies")
        .file("dir/index.html", "index");
    site
}

#[test]
fn every_kind_of_reply_has_the_fields_of_its_path() {
    let server = serve(&site(), &[]);
    let mut client = server.connect();
    let tag = client.get("/file.txt").field("ETag").unwrap().to_owned();
    let known = format!("If-None-Match: {tag}");
    for (target, field, status) in [
        ("/file.txt", "X: 1", 200),
        ("/page", "X: 1", 200),
        ("/file.txt", "Range: bytes=0-2", 206),
        ("/file.txt", "Range: bytes=0-0,2-2", 206),
        ("/assets/large.bin", "Range: bytes=0-0,99-99", 206),
        ("/file.txt", &known, 304),
        ("/missing", "X: 1", 404),
        ("/.hidden", "X: 1", 404),
        ("/dir", "X: 1", 301),
        ("/old", "X: 1", 301),
        ("/gone", "X: 1", 410),
        ("/dir/", "X: 1", 200),
    ] {
        for method in ["GET", "HEAD"] {
            if method == "HEAD" && status == 206 {
                continue;
            }
            // The boundary of several parts is another one each time.
            let request = request(method, target, &[field]);
            let reply = match field.contains(',') {
                true => client.ask(request),
                false => steady(&mut client, &request),
            };
            assert_eq!(reply.status(), status, "{method} {target} {field}");
            let fields = (reply.field("X-All"), reply.field("X-Frame-Options"));
            assert_eq!(
                fields,
                (Some("yes"), Some("DENY")),
                "{method} {target} {field}"
            );
        }
    }
}

#[test]
fn rules_replace_and_remove_fields() {
    let server = serve(&site(), &[]);
    let mut client = server.connect();
    for (target, name, value) in [
        ("/file.txt", "Cache-Control", Some("no-cache")),
        (
            "/assets/app.js",
            "Cache-Control",
            Some("public, max-age=31536000"),
        ),
        (
            "/assets/missing",
            "Cache-Control",
            Some("public, max-age=31536000"),
        ),
        (
            "/assets/large.bin",
            "Cache-Control",
            Some("public, max-age=31536000"),
        ),
        ("/plain/file.txt", "Cache-Control", None),
        ("/plain/missing", "Cache-Control", None),
        ("/plain/file.txt", "X-All", None),
        ("/typed/file", "Content-Type", Some("application/json")),
        ("/twice", "X-All", Some("yes, again")),
    ] {
        let reply = steady(&mut client, &get(target));
        assert_eq!(reply.field(name), value, "{target}");
        let tag = reply.field("ETag").unwrap_or("\"none\"");
        let known = format!("If-None-Match: {tag}");
        let again = steady(&mut client, &request("GET", target, &[&known]));
        if again.status() == 304 && name != "Content-Type" {
            assert_eq!(again.field(name), value, "304 for {target}");
        }
    }
    let reply = client.get("/cookies");
    assert_eq!(reply.head.all("Set-Cookie"), ["a=1", "b=2"]);
}

#[test]
fn the_command_line_wins() {
    let options = ["-H", "X-All: mine", "-H", "cache-control: max-age=5"];
    let server = serve(&site(), &options);
    for target in [
        "/assets/app.js",
        "/plain/file.txt",
        "/missing",
        "/typed/file",
        "/dir",
    ] {
        let reply = steady(&mut server.connect(), &get(target));
        assert_eq!(reply.head.all("X-All"), ["mine"], "{target}");
        assert_eq!(reply.head.all("Cache-Control"), ["max-age=5"], "{target}");
    }
}

#[test]
fn a_rule_counts_for_the_path_and_not_for_the_file() {
    let site = site();
    site.file(
        "_headers",
        "/page\n  X-Path: page\n/file.txt\n  X-Path: file\n/dir/\n  X-Path: dir\n",
    );
    let server = serve(&site, &[]);
    let mut client = server.connect();
    for (target, value) in [
        ("/page", Some("page")),
        ("/page?x=1", Some("page")),
        ("/p%61ge", Some("page")),
        ("/file.txt", Some("file")),
        ("/dir/", Some("dir")),
        ("/dir/index.html", None),
    ] {
        for _ in 0..2 {
            let reply = steady(&mut client, &get(target));
            assert_eq!(reply.field("X-Path"), value, "{target}");
        }
    }
}
