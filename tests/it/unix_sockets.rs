//! `--bind unix:PATH`: the socket file, its end, and what is different without TCP.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::Duration;

use rustix::process::{Signal, geteuid};

use crate::common;
use crate::support::{Server, Site, command, connect_unix, get_unix, run, skip, without_warnings};

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Starts a server that listens on `sockets` only.
fn start(site: &Site, sockets: &[&str], options: &[&str]) -> Server {
    let root = site.root();
    let mut arguments = vec!["-d", text(&root)];
    let binds: Vec<_> = sockets.iter().map(|name| format!("unix:{name}")).collect();
    for bind in &binds {
        arguments.extend(["-b", bind]);
    }
    arguments.extend(options);
    Server::spawn(command(&arguments))
}

/// Without Landlock the confined server may not remove its file.
#[track_caller]
fn assert_removed(path: &Path) {
    assert!(!path.exists() || !common::has_landlock());
}

/// A path for a socket beside the served directory.
fn socket_path(site: &Site) -> PathBuf {
    site.beside("socket")
}

#[test]
fn a_path_is_served_and_its_file_is_removed_at_the_end() {
    for loops in ["1", "3"] {
        let site = Site::new();
        let path = socket_path(&site);
        let mut server = start(&site, &[text(&path)], &["-n", loops]);
        let expected = format!(
            "Serving HTTP on unix:{0} (curl --unix-socket {0} http://localhost/) ...",
            text(&path)
        );
        assert_eq!(server.banner(), expected);
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o660);
        for _ in 0..10 {
            assert!(get_unix(text(&path), "/hello.txt").ends_with("\r\n\r\nHello, world!\n"));
        }
        let log = server.log_lines(10);
        assert!(log[0].starts_with("unix - - ["), "{log:?}");
        server.signal(Signal::TERM);
        assert_eq!(server.wait().code(), Some(0));
        assert_removed(&path);
    }
}

#[test]
fn json_lines_name_the_peer_unix() {
    let site = Site::new();
    let path = socket_path(&site);
    let server = start(&site, &[text(&path)], &["--log-format", "json"]);
    get_unix(text(&path), "/hello.txt");
    assert!(server.log_lines(1)[0].contains(r#""client":"unix""#));
}

#[test]
fn an_abstract_name_is_served_beside_tcp() {
    let name = format!("@httpoll-it-{}", std::process::id());
    let site = Site::new();
    let bind = format!("unix:{name}");
    let server = Server::with(&site, &["-b", &bind, "-n", "2"]);
    let line = server.line();
    let curl = format!("(curl --abstract-unix-socket {} http", &name[1..]);
    assert!(line.contains(&curl), "{line}");
    assert_eq!(server.get("/hello.txt").status(), 200);
    assert!(get_unix(&name, "/hello.txt").starts_with("HTTP/1.1 200 OK\r\n"));
    let second = run(&["-d", text(&site.root()), "-b", &bind]);
    assert_eq!(second.status.code(), Some(1));
}

#[test]
fn a_stale_file_is_replaced_and_a_live_server_is_an_error() {
    let site = Site::new();
    let path = socket_path(&site);
    let (root, bind) = (site.root(), format!("unix:{}", text(&path)));
    let mut killed = start(&site, &[text(&path)], &[]);
    let second = run(&["-d", text(&root), "-b", &bind]);
    assert_eq!(second.status.code(), Some(1));
    let message = String::from_utf8(second.stderr).unwrap();
    let expected = format!("httpoll: cannot listen on {bind}: another server listens on it\n");
    assert_eq!(without_warnings(&message), expected);
    assert!(get_unix(text(&path), "/hello.txt").contains(" 200 OK"));
    killed.signal(Signal::KILL);
    killed.wait();
    assert!(path.exists());
    let mut successor = start(&site, &[text(&path)], &[]);
    assert!(get_unix(text(&path), "/hello.txt").contains(" 200 OK"));
    successor.signal(Signal::TERM);
    successor.wait();
    assert_removed(&path);
}

#[test]
fn the_file_of_another_server_is_not_removed() {
    let site = Site::new();
    let path = socket_path(&site);
    let mut server = start(&site, &[text(&path)], &[]);
    fs::remove_file(&path).unwrap();
    let _other = UnixListener::bind(&path).unwrap();
    server.signal(Signal::TERM);
    assert_eq!(server.wait().code(), Some(0));
    assert!(path.exists());
}

#[test]
fn what_cannot_be_a_socket_is_refused() {
    let site = Site::new();
    let root = site.root();
    let long = site.beside(&"x".repeat(120));
    let table = [
        (site.at("hello.txt"), "the file exists and is not a socket"),
        (site.beside("none/socket"), "no such directory"),
        (long, "path must be shorter than"),
    ];
    for (path, reason) in table {
        let output = run(&["-d", text(&root), "-b", &format!("unix:{}", text(&path))]);
        assert_eq!(output.status.code(), Some(1));
        let message = String::from_utf8(output.stderr).unwrap();
        assert!(message.contains(reason), "{message}");
    }
    assert!(site.at("hello.txt").exists());
    for empty in ["unix:", "unix:@"] {
        let output = run(&["-b", empty]);
        assert_eq!(output.status.code(), Some(2), "{empty}");
    }
}

#[test]
fn the_user_of_the_server_owns_the_file() {
    if !geteuid().is_root() {
        return skip("only root can become another user");
    }
    let site = Site::new();
    // The user that the server becomes may remove files from this directory.
    let directory = site.beside("run");
    fs::create_dir(&directory).unwrap();
    fs::set_permissions(&directory, fs::Permissions::from_mode(0o777)).unwrap();
    let path = directory.join("socket");
    let mut server = start(&site, &[text(&path)], &["--user", "nobody"]);
    assert_ne!(fs::metadata(&path).unwrap().uid(), 0);
    assert!(get_unix(text(&path), "/").starts_with("HTTP/1.1 "));
    server.signal(Signal::TERM);
    assert_eq!(server.wait().code(), Some(0));
    assert_removed(&path);
}

#[test]
fn keep_alive_pipelining_and_large_files_work_over_a_unix_socket() {
    let site = Site::new();
    site.sparse("big", 16 << 20);
    let path = socket_path(&site);
    let _server = start(&site, &[text(&path)], &["--max-per-ip", "1"]);
    // All peers of a UNIX socket have one address, and no limit.
    let _idle = [connect_unix(text(&path)), connect_unix(text(&path))];
    let mut stream = connect_unix(text(&path)).unwrap();
    let get = |target: &str| format!("GET {target} HTTP/1.1\r\nHost: test\r\n\r\n");
    let requests = get("/hello.txt") + &get("/hello.txt") + &get("/big");
    stream.write_all(requests.as_bytes()).unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    // A reader that pauses fills the socket.
    thread::sleep(Duration::from_millis(50));
    let mut replies = Vec::new();
    stream.read_to_end(&mut replies).unwrap();
    assert!(replies.len() > 16 << 20);
    let heads = String::from_utf8_lossy(&replies[..2000]);
    assert_eq!(heads.matches("HTTP/1.1 200 OK\r\n").count(), 3);
}

#[test]
fn curl_and_a_drain_get_whole_replies() {
    if Command::new("curl").arg("--version").output().is_err() {
        return skip("there is no curl");
    }
    let site = Site::new();
    let path = socket_path(&site);
    let mut server = start(&site, &[text(&path)], &[]);
    let curl = Command::new("curl")
        .args([
            "-s",
            "--unix-socket",
            text(&path),
            "http://localhost/hello.txt",
        ])
        .output()
        .unwrap();
    assert_eq!(curl.stdout, b"Hello, world!\n");
    site.sparse("big", 8 << 20);
    let mut stream = connect_unix(text(&path)).unwrap();
    stream
        .write_all(b"GET /big HTTP/1.1\r\nHost: test\r\n\r\n")
        .unwrap();
    let mut first = [0; 1];
    stream.read_exact(&mut first).unwrap();
    server.signal(Signal::TERM);
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).unwrap();
    assert!(rest.len() > 8 << 20);
    assert_eq!(server.wait().code(), Some(0));
}
