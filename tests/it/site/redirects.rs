//! The rules of `_redirects` over the wire. The table of patterns is tested where they are parsed.

use std::fs;

use super::{assert_pages, serve, shown, steady};
use crate::support::{Site, get, request};

const RULES: &str = "
/old /new
/moved /new 302
/blog/* /news/:splat 307
/user/:name/edit /profile?name=:name 303
/item id=:id /product/:id 308
/out https://example.com/there 301
/app/* /app.html 200
/gone/* /gone.html 410
/lost/* /lost.html 404
/gone-without-page/* /missing.html 410
/about /other.html 200
/forced /other.html 200!
/git /.git/config 200
/git/* /:splat 200
/rules /_redirects 200
/rules/* /:splat 200
/up/* /../secret.txt 200
/chain /old 200
/loop /loop 200
/loop-a /loop-b
/page /about 200
/directory /dir 200
/missing-target /nowhere.html 200
";

fn site() -> Site {
    let site = Site::empty();
    site.file("_redirects", RULES)
        .file("app.html", "<p>app</p>")
        .file("gone.html", "gone page")
        .file("lost.html", "lost page")
        .file("about.html", "about page")
        .file("other.html", "other page")
        .file("forced", "shadowed file")
        .file("dir/index.html", "dir index")
        .file(".git/config", "SECRET")
        .file("404.html", "no page");
    site
}

#[test]
fn redirects_name_their_target() {
    let server = serve(&site(), &[]);
    let mut client = server.connect();
    for (target, status, location) in [
        ("/old", 301, "/new"),
        ("/old/", 301, "/new"),
        ("/old?a=b", 301, "/new?a=b"),
        ("/%6fld", 301, "/new"),
        ("/moved", 302, "/new"),
        ("/blog/2024/a%20b", 307, "/news/2024/a%20b"),
        ("/blog/%0d%0aX:1", 307, "/news/%0D%0AX%3A1"),
        ("/user/x%2Fy/edit", 404, ""),
        ("/user/x/edit", 303, "/profile?name=x"),
        ("/item?id=7", 308, "/product/7"),
        ("/item", 404, ""),
        ("/out", 301, "https://example.com/there"),
        ("/loop-a", 301, "/loop-b"),
    ] {
        for method in ["GET", "HEAD"] {
            let reply = steady(&mut client, &request(method, target, &["Range: bytes=0-0"]));
            assert_eq!(reply.status(), status, "{method} {target}");
            assert_eq!(
                reply.field("Location").unwrap_or_default(),
                location,
                "{method} {target}"
            );
        }
    }
}

#[test]
fn rewrites_send_another_file() {
    let server = serve(&site(), &[]);
    assert_pages(
        &server,
        &[
            ("/app/x/y", 200, "app"),
            ("/app", 200, "app"),
            ("/gone/x", 410, "gone page"),
            ("/lost/x", 404, "lost page"),
            ("/gone-without-page/x", 410, "410"),
            ("/about", 200, "about page"),
            ("/forced", 200, "other page"),
            ("/page", 200, "about page"),
            ("/directory", 200, "dir index"),
            ("/missing-target", 404, "no page"),
            ("/chain", 404, "no page"),
            ("/loop", 404, "no page"),
            ("/git", 404, "no page"),
            ("/git/.git/config", 404, "no page"),
            ("/git/%2egit/config", 404, "no page"),
            ("/git/%252egit/config", 404, "no page"),
            ("/git/x/..%2f.git/config", 404, "no page"),
            ("/rules", 404, "no page"),
            ("/rules/_redirects", 404, "no page"),
            ("/up/x", 404, "no page"),
        ],
    );
}

#[test]
fn a_rewrite_keeps_validators_and_ranges() {
    let server = serve(&site(), &[]);
    let mut client = server.connect();
    let own = steady(&mut client, &get("/app.html"));
    let rewritten = steady(&mut client, &get("/app/any"));
    assert_eq!(shown(&own), shown(&rewritten));
    let known = format!("If-None-Match: {}", own.field("ETag").unwrap());
    let reply = steady(&mut client, &request("GET", "/app/any", &[&known]));
    assert_eq!(reply.status(), 304);
    let reply = steady(
        &mut client,
        &request("GET", "/app/any", &["Range: bytes=3-5"]),
    );
    assert_eq!((reply.status(), reply.text()), (206, "app"));
    for target in ["/gone/x", "/lost/x"] {
        let fields = ["Range: bytes=0-0", "If-None-Match: *"];
        let reply = steady(&mut client, &request("GET", target, &fields));
        assert!(matches!(reply.status(), 404 | 410) && reply.body.len() > 1);
        assert_eq!(reply.field("ETag"), None);
    }
}

#[test]
fn a_rewrite_follows_its_file() {
    let site = site();
    let server = serve(&site, &[]);
    let mut client = server.connect();
    for content in ["one", "two", "three"] {
        site.file("app.html", content);
        assert_eq!(steady(&mut client, &get("/app/x")).text(), content);
    }
    fs::remove_file(site.at("app.html")).unwrap();
    assert_eq!(steady(&mut client, &get("/app/x")).status(), 404);
    site.file("app/x", "real");
    assert_eq!(steady(&mut client, &get("/app/x")).text(), "real");
}

#[test]
fn dotfiles_are_reached_by_a_rewrite_only_if_they_are_served() {
    let server = serve(&site(), &["--dotfiles"]);
    assert_pages(
        &server,
        &[
            ("/git", 200, "SECRET"),
            ("/git/.git/config", 200, "SECRET"),
            ("/rules", 404, "no page"),
            ("/rules/_redirects", 404, "no page"),
        ],
    );
}

#[test]
fn a_rule_for_a_page_that_is_not_there_wins_over_the_application() {
    let site = site();
    site.file(
        "_redirects",
        "/lost/* /missing.html 404\n/gone/* /missing.html 410\n",
    );
    site.file("index.html", "application");
    let server = serve(&site, &["--spa"]);
    assert_pages(
        &server,
        &[
            ("/any/page", 200, "application"),
            ("/lost/page", 404, "no page"),
            ("/gone/page", 410, ""),
        ],
    );
}
