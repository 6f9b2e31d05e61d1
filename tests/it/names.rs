//! Names are resolved at each request: the server serves the current target of its path, also where it keeps replies.

mod mounts;
mod single_file;
mod warm_server;

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::{Server, Site, command, wait_until};
use warm_server::{WarmServer, fill, relink, replace};

#[test]
fn a_recreated_directory_is_served() {
    let site = Site::empty();
    fill(&site.root(), "1");
    let mut warm = WarmServer::directory(&site.root(), "1");
    for mark in ["2", "3", "4"] {
        replace(&site.root(), mark);
        warm.warm_up(mark);
    }
}

#[test]
fn a_recreated_directory_is_served_by_all_loops() {
    let site = Site::empty();
    fill(&site.root(), "1");
    let mut warm = WarmServer::directory_by_three_loops(&site.root(), "1");
    for mark in ["2", "3"] {
        replace(&site.root(), mark);
        warm.warm_up(mark);
    }
}

#[test]
fn another_directory_may_take_the_name_of_a_renamed_one() {
    let site = Site::empty();
    fill(&site.root(), "1");
    fill(&site.beside("new"), "2");
    let mut warm = WarmServer::directory(&site.root(), "1");
    fs::rename(site.root(), site.beside("old")).unwrap();
    warm.assert_missing();
    fs::rename(site.beside("new"), site.root()).unwrap();
    warm.warm_up("2");
    fs::remove_dir_all(site.root()).unwrap();
    fs::rename(site.beside("old"), site.root()).unwrap();
    warm.assert_served("1");
}

#[test]
fn a_served_link_is_followed_to_its_current_target() {
    let site = Site::empty();
    let (first, second) = (site.beside("r1"), site.beside("r2"));
    fill(&first, "1");
    fill(&second, "2");
    let current = site.beside("cur");
    symlink("r1", &current).unwrap();
    let mut warm = WarmServer::directory(&current, "1");
    for (target, mark) in [("r2", "2"), ("r1", "1"), ("r2", "2")] {
        relink(target, &current);
        warm.warm_up(mark);
    }
    fs::remove_file(&current).unwrap();
    warm.assert_missing();
    symlink(&first, &current).unwrap();
    warm.assert_served("1");
}

#[test]
fn a_served_link_is_followed_by_all_loops() {
    let site = Site::empty();
    fill(&site.beside("r1"), "1");
    fill(&site.beside("r2"), "2");
    let current = site.beside("cur");
    symlink("r1", &current).unwrap();
    let mut warm = WarmServer::directory_by_three_loops(&current, "1");
    for (target, mark) in [("r2", "2"), ("r1", "1")] {
        relink(target, &current);
        warm.warm_up(mark);
    }
}

#[test]
fn the_target_of_a_served_link_may_be_recreated() {
    let site = Site::empty();
    fill(&site.beside("r1"), "1");
    symlink("r1", site.beside("cur")).unwrap();
    let mut warm = WarmServer::directory(&site.beside("cur"), "1");
    replace(&site.beside("r1"), "2");
    warm.assert_served("2");
}

#[test]
fn a_link_within_the_served_path_is_followed_to_its_current_target() {
    let site = Site::empty();
    fill(&site.beside("r1/public/html"), "1");
    fill(&site.beside("r2/public/html"), "2");
    let current = site.beside("cur");
    symlink("r1", &current).unwrap();
    let mut warm = WarmServer::directory(&current.join("public/html"), "1");
    for (target, mark) in [("r2", "2"), ("r1", "1")] {
        relink(target, &current);
        warm.warm_up(mark);
    }
}

#[test]
fn a_parent_of_the_served_directory_may_be_exchanged() {
    let site = Site::empty();
    for depth in ["a", "a/b"] {
        fill(&site.at("a/b/p"), "1");
        let mut warm = WarmServer::directory(&site.at("a/b/p"), "1");
        fs::rename(site.at(depth), site.at("old")).unwrap();
        warm.assert_missing();
        fill(&site.at("new/b/p"), "2");
        fill(&site.at("new/p"), "2");
        fs::rename(site.at("new"), site.at(depth)).unwrap();
        warm.assert_served_or_out_of_reach("2");
        fs::remove_dir_all(site.root()).unwrap();
        warm.assert_missing();
    }
}

#[test]
fn a_relative_path_is_followed() {
    let site = Site::empty();
    fill(&site.root(), "1");
    let mut command = command(&["-d", "site"]);
    command.current_dir(site.beside(""));
    let mut warm = WarmServer::start(command, "1");
    replace(&site.root(), "2");
    warm.warm_up("2");
    fs::rename(site.root(), site.beside("r3")).unwrap();
    warm.assert_missing();
    symlink("r3", site.root()).unwrap();
    warm.assert_served("2");
}

/// A command without `-d`, started in `directory` with `pwd` as the variable PWD.
fn in_working_directory(directory: &Path, pwd: &Path) -> Command {
    let mut command = command(&[]);
    command.current_dir(directory).env("PWD", pwd);
    command
}

#[test]
fn the_working_directory_is_served_by_its_pwd() {
    let site = Site::empty();
    fill(&site.beside("r1"), "1");
    fill(&site.beside("r2"), "2");
    let current = site.beside("cur");
    symlink("r1", &current).unwrap();
    let mut warm = WarmServer::start(in_working_directory(&current, &current), "1");
    relink("r2", &current);
    warm.assert_served("2");
}

#[test]
fn a_wrong_pwd_is_ignored() {
    for lie in ["other", "missing", "."] {
        let site = Site::empty();
        fill(&site.root(), "1");
        fill(&site.beside("other"), "other");
        let pwd = match lie {
            "." => PathBuf::from("."),
            name => site.beside(name),
        };
        let mut warm = WarmServer::start(in_working_directory(&site.root(), &pwd), "1");
        replace(&site.root(), "2");
        warm.assert_served("2");
    }
}

#[test]
fn a_missing_directory_is_logged_once_and_served_again() {
    let site = Site::empty();
    fill(&site.root(), "1");
    let mut warm = WarmServer::directory(&site.root(), "1");
    assert!(warm.notices(&site.root()).is_empty());
    for round in 0..2 {
        fs::remove_dir_all(site.root()).unwrap();
        for _ in 0..3 {
            warm.assert_missing();
        }
        wait_until("its absence is logged", || {
            warm.notices(&site.root()).len() > 2 * round
        });
        fs::create_dir(site.root()).unwrap();
        assert_eq!(warm.server.get("/").status(), 200);
        assert_eq!(warm.server.get("/i").status(), 404);
        fill(&site.root(), "2");
        warm.warm_up("2");
        wait_until("its return is logged", || {
            warm.notices(&site.root()).len() > 2 * round + 1
        });
    }
    let notices = warm.notices(&site.root());
    assert_eq!(notices.len(), 4, "{notices:#?}");
}

/// inotify reports the deletion of an open directory only when it is closed.
#[test]
fn a_deleted_directory_that_is_still_open_is_not_served() {
    let site = Site::empty();
    fs::create_dir_all(site.at("sub/deep")).unwrap();
    let server = Server::start(&site);
    let mut client = server.connect();
    let open: Vec<_> = ["", "sub", "sub/deep"]
        .map(|path| fs::File::open(site.at(path)).unwrap())
        .into();
    for _ in 0..3 {
        assert_eq!(client.get("/sub/deep/f").status(), 404);
    }
    fs::remove_dir(site.at("sub/deep")).unwrap();
    site.file("sub/deep/f", "1");
    assert_eq!(client.get("/sub/deep/f").text(), "1");
    for _ in 0..3 {
        assert_eq!(client.get("/sub/deep/g").status(), 404);
    }
    fs::remove_dir_all(site.root()).unwrap();
    site.file("sub/deep/g", "2");
    assert_eq!(client.get("/sub/deep/g").text(), "2");
    drop(open);
}

#[test]
fn a_directory_moved_out_is_not_served_through_a_link() {
    let site = Site::empty();
    fill(&site.root(), "1");
    fs::create_dir(site.beside("out")).unwrap();
    let mut warm = WarmServer::directory(&site.root(), "1");
    fs::rename(site.at("sub"), site.beside("out/sub")).unwrap();
    symlink("../out/sub", site.at("sub")).unwrap();
    for client in [&mut warm.server.connect(), &mut warm.clients[0]] {
        for target in ["/sub/f", "/sub/"] {
            assert_eq!(client.get(target).status(), 404, "{target}");
        }
    }
}

#[test]
fn a_broken_link_is_followed_once_its_target_exists() {
    let site = Site::empty();
    fill(&site.beside("r1"), "1");
    let current = site.beside("cur");
    symlink("r1", &current).unwrap();
    let mut warm = WarmServer::directory(&current, "1");
    relink("r2", &current);
    warm.assert_missing();
    fill(&site.beside("r2"), "2");
    warm.assert_served("2");
}

#[test]
fn a_missing_directory_is_logged_once_by_all_loops() {
    let site = Site::empty();
    fill(&site.root(), "1");
    let mut warm = WarmServer::directory_by_three_loops(&site.root(), "1");
    fs::remove_dir_all(site.root()).unwrap();
    for _ in 0..3 {
        warm.assert_missing();
    }
    fill(&site.root(), "2");
    warm.warm_up("2");
    wait_until("its return is logged", || {
        warm.notices(&site.root()).len() > 1
    });
    let notices = warm.notices(&site.root());
    assert_eq!(notices.len(), 2, "{notices:#?}");
}
