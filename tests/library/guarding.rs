//! A guard before the files: it asks the file handler what a path means, because many spellings mean one file.

use std::fs;
use std::path::PathBuf;

use httpoll::SimpleHttpRequestHandler;

#[test]
fn every_spelling_of_a_guarded_path_is_below_its_directory() {
    let site = tempfile::tempdir().unwrap();
    fs::create_dir(site.path().join("private")).unwrap();
    let files = SimpleHttpRequestHandler::new(&site).unwrap();
    for directory in [
        "private",
        "/private",
        "/private/",
        "./private//",
        "a/../private",
    ] {
        for target in [
            "/private",
            "/private/",
            "/private/x",
            "/private/x/y?z",
            "/%70rivate/x",
            "/%70%72%69%76%61%74%65",
            "/private%2Fx",
            "/./private/x",
            "//private/x",
            "/a/../private/x",
            "/a/%2e%2e/private",
            "/../private",
            "/private?x",
            "/private#x",
            "/private/.",
            "/private/a/..",
            "private/x",
        ] {
            assert!(files.is_below(target, directory), "{target} {directory}");
        }
        for target in [
            "/",
            "/privat",
            "/privateer",
            "/PRIVATE/",
            "/a/private/",
            "/private/..",
            "/private/../a",
            "/?/private/",
            "/a%00/../private",
            "/private/.hidden",
        ] {
            assert!(!files.is_below(target, directory), "{target} {directory}");
        }
    }
    assert!(files.is_below("/any", "/"));
}

#[test]
fn a_guarded_index_page_is_guarded_where_its_directory_shows_it() {
    let site = tempfile::tempdir().unwrap();
    fs::create_dir(site.path().join("docs")).unwrap();
    let files = SimpleHttpRequestHandler::new(&site).unwrap();
    for target in [
        "/docs/index.html",
        "/docs/",
        "/docs/.",
        "/docs/?x",
        "//docs//",
    ] {
        assert!(files.is_below(target, "docs/index.html"), "{target}");
    }
    for target in ["/", "/docs/a", "/index.html", "/docs/x/"] {
        assert!(!files.is_below(target, "docs/index.html"), "{target}");
    }
    assert!(files.is_below("/", "index.htm"));
}

#[test]
fn a_guard_knows_a_single_file_at_both_of_its_places() {
    let site = tempfile::tempdir().unwrap();
    let file = site.path().join("movie.mp4");
    fs::write(&file, "").unwrap();
    let files = SimpleHttpRequestHandler::new(file).unwrap();
    for target in ["/", "/movie.mp4", "/./%6dovie.mp4?x"] {
        assert!(files.is_below(target, "movie.mp4"), "{target}");
        assert!(files.is_below(target, "/"), "{target}");
    }
    assert!(!files.is_below("/other", "/"));
}

#[test]
fn a_guard_follows_a_translation_of_the_owner() {
    let site = tempfile::tempdir().unwrap();
    let mut files = SimpleHttpRequestHandler::new(&site).unwrap();
    files.set_translate_path(|target| Some(PathBuf::from(target.replace("/old/", "/private/"))));
    assert!(files.is_below("/old/x", "private"));
    assert!(!files.is_below("/other/x", "private"));
}
