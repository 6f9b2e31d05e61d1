//! `--spa`: the page of a single-page application for paths that are not found.

use std::fs;

use crate::support::{Reply, Server, Site, request};

const HTML: &str = "Accept: text/html,application/xhtml+xml,*/*;q=0.8";

fn site() -> Site {
    let site = Site::empty();
    site.file("index.html", "<p>application</p>")
        .file("app.js", "run()")
        .file("files/readme.txt", "text")
        .file("with-index/index.html", "own index")
        .file(".hidden", "SECRET");
    site
}

/// Asks several times, so that the last reply is one that is kept.
fn ask(server: &Server, method: &str, target: &str, field: &str) -> Reply {
    let mut client = server.connect();
    for _ in 0..2 {
        client.ask(request(method, target, &[field]));
    }
    std::thread::sleep(crate::support::SETTLED);
    client.ask(request(method, target, &[field]));
    client.ask(request(method, target, &[field]))
}

#[test]
fn pages_that_are_not_found_are_the_application() {
    let server = Server::with(&site(), &["--spa"]);
    for (target, field, status) in [
        ("/", HTML, 200),
        ("/users", HTML, 200),
        ("/users/", HTML, 200),
        ("/users/7/edit?tab=1", HTML, 200),
        ("/users/7", "Accept: */*", 200),
        ("/users/7", "X: no Accept", 200),
        ("/users/7", "Accept: application/json", 404),
        ("/users/7", "Accept: text/html;q=0", 404),
        ("/users/7", "Accept: image/*", 404),
        ("/app.js/x", HTML, 200),
        ("/missing.js", HTML, 404),
        ("/users/missing.map", HTML, 404),
        ("/.hidden", HTML, 404),
        ("/.git/page", HTML, 404),
        ("/a%00b", HTML, 400),
    ] {
        let reply = ask(&server, "GET", target, field);
        assert_eq!(reply.status(), status, "{target} {field}");
        let is_application = reply.text() == "<p>application</p>";
        assert_eq!(is_application, status == 200, "{target} {field}");
        let head = ask(&server, "HEAD", target, field);
        assert_eq!(head.status(), status, "HEAD {target} {field}");
        let length = head.head.content_length();
        assert_eq!(length, reply.head.content_length(), "HEAD {target}");
    }
}

#[test]
fn files_and_directories_stay_what_they_are() {
    let server = Server::with(&site(), &["--spa"]);
    let text = |target| ask(&server, "GET", target, HTML).text().to_owned();
    assert_eq!(text("/app.js"), "run()");
    assert_eq!(text("/with-index/"), "own index");
    assert!(text("/files/").contains("readme.txt"));
    assert_eq!(ask(&server, "GET", "/files", HTML).status(), 301);
    let both = Server::with(&site(), &["--spa", "--site"]);
    let text = |target| ask(&both, "GET", target, HTML).text().to_owned();
    assert_eq!(text("/files/"), "<p>application</p>");
    assert_eq!(text("/with-index/"), "own index");
    assert_eq!(text("/with-index/x"), "<p>application</p>");
}

#[test]
fn other_methods_get_no_application() {
    let server = Server::with(&site(), &["--spa"]);
    for method in ["POST", "PUT", "DELETE"] {
        let reply = server.ask(request(method, "/users", &[HTML, "Content-Length: 0"]));
        assert_eq!(reply.status(), 405, "{method}");
    }
}

#[test]
fn the_application_has_validators_and_follows_its_file() {
    let site = site();
    let server = Server::with(&site, &["--spa"]);
    let reply = ask(&server, "GET", "/users", HTML);
    let known = format!("If-None-Match: {}", reply.field("ETag").unwrap());
    assert_eq!(ask(&server, "GET", "/users", &known).status(), 304);
    assert_eq!(ask(&server, "GET", "/other/page", &known).status(), 304);
    site.file("index.html", "second version");
    assert_eq!(server.get("/users").text(), "second version");
    assert_eq!(
        ask(&server, "GET", "/users", &known).text(),
        "second version"
    );
    site.file("users", "a file");
    assert_eq!(server.get("/users").text(), "a file");
    fs::remove_file(site.at("users")).unwrap();
    assert_eq!(server.get("/users").text(), "second version");
    fs::remove_file(site.at("index.html")).unwrap();
    for _ in 0..2 {
        assert_eq!(server.get("/users").status(), 404);
    }
    fs::write(site.at("index.html"), "third").unwrap();
    assert_eq!(server.get("/users").text(), "third");
}

#[test]
fn a_404_page_is_for_what_is_no_page() {
    let site = site();
    site.file("404.html", "no such file");
    let server = Server::with(&site, &["--spa", "--site"]);
    let reply = ask(&server, "GET", "/missing.png", HTML);
    assert_eq!((reply.status(), reply.text()), (404, "no such file"));
    let reply = ask(&server, "GET", "/users", "Accept: application/json");
    assert_eq!((reply.status(), reply.text()), (404, "no such file"));
    assert_eq!(ask(&server, "GET", "/users", HTML).status(), 200);
}

#[test]
fn a_single_file_is_no_application() {
    let site = site();
    let server = Server::of_path(&site.at("index.html"), &["--spa", "--site"]);
    assert_eq!(ask(&server, "GET", "/", HTML).status(), 200);
    assert_eq!(ask(&server, "GET", "/users", HTML).status(), 404);
}
