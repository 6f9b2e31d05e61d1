//! File systems that are mounted over the served directory and unmounted, and the space of deleted files.

use std::fs;
use std::thread::sleep;

use super::warm_server::{WarmServer, fill};
use crate::support::{Mount, SETTLED, Server, Site, wait_until};

#[test]
fn a_file_system_mounted_over_the_served_directory_is_served() {
    for above in ["p", "", "p/sub"] {
        let site = Site::empty();
        fill(&site.at("p"), "1");
        let mut warm = WarmServer::directory(&site.at("p"), "1");
        for _ in 0..2 {
            let Some(mount) = Mount::tmpfs(&site.at(above)) else {
                return;
            };
            assert_eq!(warm.server.get("/sub/f").status(), 404, "below {above:?}");
            match above {
                "" => warm.assert_missing(),
                "p" => assert_eq!(warm.clients[0].get("/?format=json").text().trim(), "[]"),
                _ => assert_eq!(warm.clients[0].get("/sub/f").status(), 404),
            }
            if above == "p/sub" {
                fs::write(site.at("p/sub/f"), "2").unwrap();
                sleep(SETTLED);
                for _ in 0..3 {
                    assert_eq!(warm.clients[0].get("/sub/f").text(), "2");
                }
            } else {
                fill(&site.at("p"), "2");
                warm.assert_served_or_out_of_reach("2");
            }
            mount.detach();
            warm.warm_up("1");
        }
    }
}

#[test]
fn a_served_file_system_can_be_unmounted() {
    // The served directory is the mount point, a directory in it, or its parent.
    for served in ["site", "site/sub", ""] {
        let site = Site::empty();
        let Some(mount) = Mount::tmpfs(&site.root()) else {
            return;
        };
        fill(&site.root(), "1");
        let server = Server::of_path(&site.beside(served), &[]);
        let mut client = server.connect();
        for _ in 0..3 {
            for target in ["/", "/none", "/i", "/large", "/f", "/site/", "/site/large"] {
                client.get(target);
            }
        }
        // The client is still connected, and sends nothing.
        wait_until("the file system is free", || mount.unmount());
    }
}

#[test]
fn a_fuse_file_system_is_served_again_after_a_crash() {
    let site = Site::empty();
    fill(&site.beside("source"), "1");
    let Some(mut mount) = Mount::bindfs(&site.beside("source"), &site.root()) else {
        return;
    };
    let mut warm = WarmServer::directory(&site.root(), "1");
    mount.kill_daemon();
    assert_ne!(warm.server.get("/i").status(), 200);
    drop(mount);
    fill(&site.beside("other"), "2");
    let _mount = Mount::bindfs(&site.beside("other"), &site.root()).unwrap();
    warm.assert_served("2");
}

#[test]
fn the_space_of_a_deleted_file_is_freed() {
    let site = Site::empty();
    fill(&site.root(), "1");
    fs::write(site.at("huge"), vec![b'x'; 8 << 20]).unwrap();
    let mut warm = WarmServer::directory(&site.root(), "1");
    for _ in 0..3 {
        assert_eq!(warm.clients[0].get("/huge").body.len(), 8 << 20);
    }
    for name in ["huge", "large", "i"] {
        fs::remove_file(site.at(name)).unwrap();
    }
    fs::remove_dir_all(site.at("sub")).unwrap();
    wait_until("nothing deleted is open", || !warm.has_deleted_files_open());
}

#[test]
fn the_space_of_a_deleted_directory_is_freed() {
    let site = Site::empty();
    fill(&site.root(), "1");
    let mut warm = WarmServer::directory(&site.root(), "1");
    fs::remove_dir_all(site.root()).unwrap();
    wait_until("nothing deleted is open", || !warm.has_deleted_files_open());
    warm.assert_missing();
}
