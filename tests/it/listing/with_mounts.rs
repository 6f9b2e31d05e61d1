//! Listings of a directory that has another file system in it, whose daemon is stopped.

use std::fs;
use std::os::unix::fs::symlink;

use crate::support::{Mount, Server, Site, get};

/// Asks for the listing of the directory twice, so that its names are in memory, and again when the daemon is stopped. Asserts that
/// another client gets its file then.
#[track_caller]
fn assert_others_do_not_wait(mount_point: &str, change: impl FnOnce(&Site)) {
    let site = Site::new();
    site.file("other.txt", "another\n").directory(mount_point);
    fs::create_dir(site.beside("source")).unwrap();
    fs::write(site.beside("delays"), "").unwrap();
    let [source, delays] = ["source", "delays"].map(|name| site.beside(name));
    let Some(mount) = Mount::slow(&source, &site.at(mount_point), &delays) else {
        return;
    };
    let server = Server::of_path(&site.root(), &[]);
    for _ in 0..3 {
        assert!(server.get("/").text().contains("other.txt"));
    }
    let stopped = mount.stop_daemon();
    change(&site);
    let mut waiting = server.connect();
    waiting.send(get("/"));
    assert_eq!(server.get("/other.txt").text(), "another\n");
    drop(stopped);
    assert!(waiting.read_reply().text().contains("other.txt"));
}

#[test]
fn a_listing_with_a_mount_point_makes_no_other_client_wait() {
    assert_others_do_not_wait("mount", |_| {});
}

#[test]
fn a_new_link_to_a_mount_makes_no_other_client_wait() {
    assert_others_do_not_wait("below/mount", |site| {
        symlink("below/mount", site.at("link")).unwrap();
    });
}

#[test]
fn a_listing_does_not_ask_a_file_system_that_is_mounted_on_one_of_its_names() {
    let site = Site::new();
    site.directory("mount");
    fs::create_dir(site.beside("source")).unwrap();
    fs::write(site.beside("delays"), "").unwrap();
    let [source, delays] = ["source", "delays"].map(|name| site.beside(name));
    let Some(mount) = Mount::slow(&source, &site.at("mount"), &delays) else {
        return;
    };
    let server = Server::of_path(&site.root(), &[]);
    let _stopped = mount.stop_daemon();
    for _ in 0..3 {
        assert!(server.get("/").text().contains("<bdi>mount</bdi>"));
    }
}
