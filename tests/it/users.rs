//! `--user`: the program gives up the rights of root once its port is open.

use std::fs;
use std::io::Read;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::PathBuf;

use rustix::process::{Signal, geteuid};

use crate::confinement::status;
use crate::support::{Server, Site, command, run, run_command, skip, unprivileged, wait_until};

/// The user that the server becomes; `None` where the test cannot run.
pub(crate) fn test_user() -> Option<&'static str> {
    let users = fs::read_to_string("/etc/passwd").unwrap();
    if !geteuid().is_root() || !users.contains("nobody:x:65534:65534:") {
        skip("not run by root, or there is no user 'nobody'");
        return None;
    }
    Some("nobody")
}

#[test]
fn root_becomes_the_user_for_good() {
    let Some(user) = test_user() else { return };
    let site = Site::new();
    site.file("private.txt", "SECRET");
    fs::set_permissions(site.at("private.txt"), fs::Permissions::from_mode(0o600)).unwrap();
    let server = Server::with(&site, &["--user", user, "-n", "2"]);
    // Two loops, and four threads for files.
    wait_until("all threads run", || status(&server, "Name:").len() == 6);
    assert_eq!(status(&server, "Uid:"), ["65534 65534 65534 65534"; 6]);
    assert_eq!(status(&server, "Gid:"), ["65534 65534 65534 65534"; 6]);
    assert_eq!(status(&server, "Groups:"), ["65534"; 6]);
    for capabilities in ["CapInh:", "CapPrm:", "CapEff:", "CapBnd:", "CapAmb:"] {
        assert_eq!(status(&server, capabilities), ["0000000000000000"; 6]);
    }
    // /proc files of a process belong to root where other processes of its user may not read its memory.
    let maps = fs::metadata(format!("/proc/{}/maps", server.id())).unwrap();
    assert_eq!(maps.uid(), 0);
    assert_eq!(server.get("/hello.txt").status(), 200);
    assert_eq!(server.get("/private.txt").status(), 403);
    assert_eq!(server.log_lines(2).len(), 2);
    let all = server.log_with_warnings();
    assert!(!all.contains("serving as root"), "{all}");
}

#[test]
fn a_directory_the_user_cannot_reach_is_403() {
    let Some(user) = test_user() else { return };
    let site = Site::new();
    site.file("private/site/file.txt", "SECRET");
    fs::set_permissions(site.at("private"), fs::Permissions::from_mode(0o700)).unwrap();
    let mut command = command(&["0", "-b", "127.0.0.1", "--user", user, "-d"]);
    command.arg(site.at("private/site"));
    let server = Server::spawn(command);
    assert_eq!(server.get("/file.txt").status(), 403);
    wait_until("the log says why", || {
        server.log().contains("cannot be served: Permission denied")
    });
}

#[test]
fn a_config_file_sets_the_user() {
    let Some(user) = test_user() else { return };
    let site = Site::new();
    let (mut reader, writer) = std::io::pipe().unwrap();
    site.file(
        "httpoll.conf",
        format!("user {user}\nbind 127.0.0.1\nport 0\n"),
    );
    let mut command = command(&["-c", site.at("httpoll.conf").to_str().unwrap(), "-d"]);
    command.arg(site.root()).stderr(writer);
    let mut server = Server::spawn_with_stderr(command, PathBuf::new());
    assert_eq!(server.get("/hello.txt").status(), 200);
    let users = status(&server, "Uid:");
    assert!(users.iter().all(|uid| uid == "65534 65534 65534 65534"));
    server.signal(Signal::TERM);
    server.wait();
    let mut log = String::new();
    reader.read_to_string(&mut log).unwrap();
    assert!(
        log.contains("\"GET /hello.txt HTTP/1.1\" 200 14\n"),
        "{log}"
    );
}

#[test]
fn root_is_warned_in_one_line() {
    if !geteuid().is_root() {
        return skip("not run by root");
    }
    let server = Server::start(&Site::new());
    let log = server.log_with_warnings();
    let warning = "httpoll: serving as root; --user NAME gives that up once the port is open\n";
    assert_eq!(log.matches(warning).count(), 1, "{log}");
}

#[test]
fn other_users_are_not_warned() {
    let site = Site::new();
    let root = site.root();
    let Some(command) = unprivileged(&["0", "-b", "127.0.0.1", "-d", root.to_str().unwrap()])
    else {
        return;
    };
    let server = Server::spawn(command);
    assert_eq!(server.get("/hello.txt").status(), 200);
    let log = server.log_with_warnings();
    assert!(!log.contains("root"), "{log}");
}

#[test]
fn an_impossible_user_is_a_one_line_error() {
    let fails = |output: std::process::Output, words: &str| {
        let message = str::from_utf8(&output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{message}");
        assert_eq!(message.matches('\n').count(), 1, "{message}");
        assert!(message.contains(words), "no {words:?} in {message:?}");
    };
    let options = |user| ["0", "-b", "127.0.0.1", "--user", user];
    if geteuid().is_root() {
        fails(
            run(&options("no-such\nuser")),
            "no such user: no-such\\nuser",
        );
        fails(run(&options("")), "no such user");
        fails(run(&options("root")), "--user root would stay root");
    }
    if let Some(command) = unprivileged(&options("nobody")) {
        fails(run_command(command), "only root can become nobody");
    }
}
