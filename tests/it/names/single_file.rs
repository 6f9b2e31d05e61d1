//! A served path that leads to a single file.

use std::fs;
use std::thread::sleep;

use super::warm_server::relink;
use crate::support::{Client, SETTLED, Server, Site, command};

/// Asserts that a server of one file gives `content` at `/` and at its name, or 404 for both.
#[track_caller]
fn assert_content(server: &Server, client: &mut Client, content: Option<&str>) {
    for client in [client, &mut server.connect()] {
        for target in ["/", "/f"] {
            let reply = client.get(target);
            match content {
                Some(content) => assert_eq!((reply.status(), reply.text()), (200, content)),
                None => assert_eq!(reply.status(), 404),
            }
        }
    }
}

#[test]
fn a_single_file_is_looked_up_at_each_request() {
    let site = Site::empty();
    site.file("a/f", "1").file("b/f", "of b");
    let file = site.at("a/f");
    let server = Server::of_path(&file, &[]);
    let mut client = server.connect();
    let mut is = |content: Option<&str>| {
        sleep(SETTLED);
        for _ in 0..3 {
            assert_content(&server, &mut client, content);
        }
    };
    is(Some("1"));
    site.file("a/new", "2");
    fs::rename(site.at("a/new"), &file).unwrap();
    is(Some("2"));
    fs::remove_file(&file).unwrap();
    is(None);
    site.file("a/f", "3");
    is(Some("3"));
    fs::rename(site.at("a"), site.at("old")).unwrap();
    is(None);
    // The confinement allows only files below the directory that had this name at the start.
    fs::rename(site.at("b"), site.at("a")).unwrap();
    assert!(matches!(server.get("/").status(), 200 | 503));
    fs::remove_dir_all(site.at("a")).unwrap();
    is(None);
    site.link("a", "old");
    is(Some("3"));
}

#[test]
fn a_link_to_a_single_file_is_followed_to_its_current_target() {
    let site = Site::empty();
    site.file("r1", "1").file("r2", "2").link("f", "r1");
    let link = site.at("f");
    // The confinement allows the other files of the directory only with --follow-symlinks.
    let options = ["0", "-b", "127.0.0.1", "--follow-symlinks", "-d"];
    let mut command = command(&options);
    command.arg(&link);
    let server = Server::spawn(command);
    let mut client = server.connect();
    for (target, content) in [("r1", "1"), ("r2", "2"), ("r1", "1")] {
        relink(target, &link);
        assert_content(&server, &mut client, Some(content));
        sleep(SETTLED);
        for _ in 0..3 {
            assert_content(&server, &mut client, Some(content));
        }
    }
    fs::remove_file(&link).unwrap();
    assert_content(&server, &mut client, None);
}
