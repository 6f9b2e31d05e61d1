//! SIGHUP reads the files again: renewed, bad, linked and on a file system that hangs.

use std::fs;
use std::io::Write as _;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::fs::symlink;
use std::os::unix::net::SocketAddr;
use std::path::Path;

use rustix::process::Signal;

use super::{
    Pair, finish, has_openssl, pair, reload, replace, s_client, subject, subject_in, with,
};
use crate::confinement::has_landlock;
use crate::notify::Manager;
use crate::support::{Mount, Server, Site, command, get, wait_until};

#[test]
fn sighup_puts_renewed_files_in_force_in_all_loops() {
    if !has_openssl() {
        return;
    }
    let site = Site::new();
    let pair = Pair::beside(&site, "one");
    let server = pair.serve(&site, &["-n", "3"]);
    assert_eq!(subject(&server), "one");
    pair.renew("two");
    assert_eq!(subject(&server), "one");
    reload(&server, "two");
    for _ in 0..12 {
        assert_eq!(subject(&server), "two");
    }
    pair.renew("three");
    server.signal(Signal::HUP);
    reload(&server, "three");
    assert!(!server.log().contains("httpoll:"), "{}", server.log());
}

#[test]
fn a_connection_outlives_its_certificate() {
    if !has_openssl() {
        return;
    }
    let site = Site::new();
    let pair = Pair::beside(&site, "one");
    let server = pair.serve(&site, &[]);
    let mut client = s_client(&server);
    let stdin = client.stdin.as_mut().unwrap();
    stdin.write_all(get("/page.html").as_bytes()).unwrap();
    wait_until("the first request is answered", || {
        server.log().contains("GET /page.html")
    });
    pair.renew("two");
    reload(&server, "two");
    let printed = finish(client, "/hello.txt");
    assert_eq!(subject_in(&printed), "one");
    assert!(printed.contains("<p>A page</p>") && printed.contains("Hello, world!"));
}

#[test]
fn an_ordinary_user_reads_renewed_files() {
    if !has_openssl() {
        return;
    }
    let site = Site::new();
    let pair = Pair::beside(&site, "one");
    let files = pair.options();
    let Some(server) = Server::unprivileged(&site, &with(&files, &[])) else {
        return;
    };
    assert_eq!(subject(&server), "one");
    pair.renew("two");
    reload(&server, "two");
}

#[test]
fn a_bad_new_pair_leaves_the_old_one_in_force() {
    if !has_openssl() {
        return;
    }
    let site = Site::new();
    let pair = Pair::beside(&site, "one");
    let server = pair.serve(&site, &["-n", "2", "-q"]);
    let (_, other_key) = super::pair("other");
    let key = fs::read_to_string(pair.at("key.pem")).unwrap();
    for (count, bad) in (1..).zip(["", "no PEM\n", &other_key]) {
        replace(Path::new(&pair.at("key.pem")), bad);
        server.signal(Signal::HUP);
        let log = server.log_lines(count);
        let beginning = "httpoll: the TLS files are not reloaded: ";
        assert!(
            log.iter().all(|line| line.starts_with(beginning)),
            "{log:?}"
        );
        assert!(log.iter().all(|line| line.contains("key.pem")), "{log:?}");
        assert_eq!(subject(&server), "one");
    }
    fs::remove_file(pair.at("key.pem")).unwrap();
    server.signal(Signal::HUP);
    server.log_lines(4);
    assert_eq!(subject(&server), "one");
    replace(Path::new(&pair.at("key.pem")), &key);
    pair.renew("two");
    reload(&server, "two");
}

#[test]
fn a_file_system_that_hangs_stops_no_loop() {
    if !has_openssl() {
        return;
    }
    let site = Site::new();
    let source = Pair::beside(&site, "one");
    let mounted = Pair(site.beside("mounted"));
    fs::create_dir(&mounted.0).unwrap();
    let Some(mount) = Mount::bindfs(&source.0, &mounted.0) else {
        return;
    };
    let server = mounted.serve(&site, &["-q"]);
    source.renew("two");
    let stopped = mount.stop_daemon();
    for _ in 0..3 {
        server.signal(Signal::HUP);
        assert_eq!(subject(&server), "one");
    }
    drop(stopped);
    wait_until("the files are read", || subject(&server) == "two");
}

#[test]
fn links_may_lead_to_new_files() {
    if !has_openssl() || !has_landlock() {
        return;
    }
    // As certbot does it: live/site/cert.pem is a link to ../../archive/site/cert1.pem.
    let site = Site::new();
    let (live, archive) = (site.beside("live/site"), site.beside("archive/site"));
    fs::create_dir_all(&live).unwrap();
    fs::create_dir_all(&archive).unwrap();
    let renew = |number: u32, name: &str| {
        let (certificate, key) = pair(name);
        for (file, content) in [("cert", certificate), ("key", key)] {
            fs::write(archive.join(format!("{file}{number}.pem")), content).unwrap();
            let new = live.join("new");
            symlink(format!("../../archive/site/{file}{number}.pem"), &new).unwrap();
            fs::rename(new, live.join(format!("{file}.pem"))).unwrap();
        }
    };
    renew(1, "one");
    let made = Pair(live.clone());
    let server = made.serve(&site, &[]);
    assert_eq!(subject(&server), "one");
    renew(2, "two");
    reload(&server, "two");
}

#[test]
fn a_link_on_the_way_may_lead_to_a_new_directory() {
    if !has_openssl() || !has_landlock() {
        return;
    }
    // As Kubernetes mounts a secret: cert.pem is a link to ..data/cert.pem, and ..data one to a directory that is replaced.
    let site = Site::new();
    let mount = site.beside("mount");
    let renew = |directory: &str, name: &str| {
        let (certificate, key) = pair(name);
        fs::create_dir_all(mount.join(directory)).unwrap();
        fs::write(mount.join(directory).join("cert.pem"), certificate).unwrap();
        fs::write(mount.join(directory).join("key.pem"), key).unwrap();
        symlink(directory, mount.join("..new")).unwrap();
        fs::rename(mount.join("..new"), mount.join("..data")).unwrap();
    };
    renew("..1", "one");
    for file in ["cert.pem", "key.pem"] {
        symlink(format!("..data/{file}"), mount.join(file)).unwrap();
    }
    let made = Pair(mount.clone());
    let server = made.serve(&site, &[]);
    assert_eq!(subject(&server), "one");
    renew("..2", "two");
    fs::remove_dir_all(mount.join("..1")).unwrap();
    reload(&server, "two");
}

#[test]
fn the_service_manager_hears_of_https_and_of_the_end_of_a_reload() {
    let site = Site::new();
    let pair = Pair::beside(&site, "one");
    let name = format!("httpoll-tls-notify-{}", std::process::id());
    let manager = Manager::at(&SocketAddr::from_abstract_name(&name).unwrap());
    let root = site.root();
    let place = [
        "0",
        "-b",
        "127.0.0.1",
        "-d",
        root.to_str().unwrap(),
        "-n",
        "2",
    ];
    let files = pair.options();
    let mut command = command(&with(&files, &place));
    command.env("NOTIFY_SOCKET", format!("@{name}"));
    let server = Server::spawn(command);
    let ready = format!("READY=1\nSTATUS=Serving HTTPS on {}\n", server.address());
    assert_eq!(manager.message(), ready);
    for bad in [false, true] {
        if bad {
            fs::write(pair.at("key.pem"), "").unwrap();
        }
        server.signal(Signal::HUP);
        assert!(manager.message().starts_with("RELOADING=1\n"));
        assert_eq!(manager.message(), ready);
    }
    // The failure is known before the server counts as reloaded.
    wait_until("the log says why", || server.log().contains("not reloaded"));
}
