//! `--open`: a browser at the address of the server.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use crate::support::{Server, Site, command, wait_until};

/// Makes a program that writes its arguments to the file `opened`, and does `more`.
fn browser(site: &Site, name: &str, more: &str) -> PathBuf {
    let path = site.beside(name);
    let opened = site.beside("opened");
    let part = site.beside("part");
    let (part, opened) = (part.display(), opened.display());
    let script =
        format!("#!/bin/sh\necho \"$(basename \"$0\") $*\" >{part}\nmv {part} {opened}\n{more}\n");
    fs::write(&path, script).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path
}

fn start(site: &Site, browsers: &str, path: &str, options: &[&str]) -> Server {
    let root = site.root();
    let place = ["0", "-d", root.to_str().unwrap(), "--open"];
    let mut command = command(&[&place, options].concat());
    command.env("BROWSER", browsers).env("PATH", path);
    Server::spawn(command)
}

fn path_of_system() -> String {
    std::env::var("PATH").unwrap()
}

fn opened(site: &Site) -> String {
    let opened = site.beside("opened");
    wait_until("the browser is opened", || opened.exists());
    let text = fs::read_to_string(&opened).unwrap();
    fs::remove_file(opened).unwrap();
    text.trim_end().to_owned()
}

#[test]
fn the_browser_of_the_environment_is_opened() {
    let site = Site::new();
    let program = browser(&site, "browser", "");
    let program = program.to_str().unwrap();
    for (browsers, before) in [
        (program.to_owned(), ""),
        (format!("nonexistent:{program}"), ""),
        (format!("{program} --app=%s"), "--app="),
    ] {
        let server = start(&site, &browsers, &path_of_system(), &["-b", "127.0.0.1"]);
        let port = server.port();
        let expected = format!("browser {before}http://localhost:{port}/");
        assert_eq!(opened(&site), expected);
        assert_eq!(server.get("/hello.txt").status(), 200);
        assert_eq!(server.log_lines(1).len(), 1);
    }
}

#[test]
fn xdg_open_is_the_browser_if_there_is_no_other() {
    let site = Site::new();
    let program = browser(&site, "xdg-open", "");
    let directory = program.parent().unwrap().to_str().unwrap();
    let path = format!("{directory}:{}", path_of_system());
    let server = start(&site, "", &path, &["-b", "127.0.0.2"]);
    let expected = format!("xdg-open http://127.0.0.2:{}/", server.port());
    assert_eq!(opened(&site), expected);
}

#[test]
fn the_url_is_for_a_host_that_is_answered() {
    let site = Site::new();
    let program = browser(&site, "browser", "");
    let options = ["-b", "127.0.0.1", "--host", "site.example"];
    let server = start(
        &site,
        program.to_str().unwrap(),
        &path_of_system(),
        &options,
    );
    let expected = format!("browser http://site.example:{}/", server.port());
    assert_eq!(opened(&site), expected);
}

#[test]
fn the_server_has_no_child_and_the_browser_lives_on() {
    let site = Site::new();
    let more = format!(
        "readlink /proc/self/fd/0 /proc/self/fd/1 /proc/self/fd/2 >{0}/links\n\
         ls -l /proc/self/fd | grep -c -e socket: -e anon_inode >{0}/part\nmv {0}/part {0}/descriptors\nexec sleep 60",
        site.beside("").display()
    );
    let program = browser(&site, "browser", &more);
    let server = start(&site, program.to_str().unwrap(), &path_of_system(), &[]);
    opened(&site);
    wait_until("the browser has looked", || {
        site.beside("descriptors").exists()
    });
    let children = format!("/proc/{0}/task/{0}/children", server.id());
    assert_eq!(fs::read_to_string(children).unwrap(), "");
    let links = fs::read_to_string(site.beside("links")).unwrap();
    // The shell redirects standard output of readlink itself.
    let mut links = links.lines();
    assert_eq!(links.next(), Some("/dev/null"));
    assert_eq!(links.next_back(), Some("/dev/null"));
    let descriptors = fs::read_to_string(site.beside("descriptors")).unwrap();
    assert_eq!(
        descriptors.trim(),
        "0",
        "the browser has none of the server's"
    );
    assert_eq!(server.get("/hello.txt").status(), 200);
}

#[test]
fn a_missing_browser_is_one_warning() {
    let site = Site::new();
    let server = start(&site, "nonexistent", "/nonexistent", &["-b", "127.0.0.1"]);
    assert_eq!(server.get("/hello.txt").status(), 200);
    let log = server.log_lines(2);
    let expected = format!(
        "httpoll: no browser is opened: neither $BROWSER nor xdg-open is there; the address is http://localhost:{}/ (--open)",
        server.port()
    );
    assert_eq!(log[0], expected);
}

#[test]
fn a_unix_socket_has_nothing_to_open() {
    let site = Site::new();
    let socket = format!("unix:{}", site.beside("socket").display());
    let server = start(&site, "true", &path_of_system(), &["-b", &socket]);
    let log = server.log_lines(1);
    assert!(log[0].contains("a UNIX socket has no URL"), "{log:?}");
}
