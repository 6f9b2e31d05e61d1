//! `--admin`: whether the program lives and is ready, on an address of its own.

use std::fs;
use std::net::{SocketAddr, TcpListener};

use rustix::process::Signal;

use crate::metrics::value;
use crate::support::{Client, Server, Site, get, request, run, wait_until};

/// A server with an administration, and its address.
pub(crate) fn start(site: &Site, options: &[&str]) -> (Server, SocketAddr) {
    let server = Server::with(site, &[&["--admin", "127.0.0.1:0"], options].concat());
    let admin = admin_of(&server);
    (server, admin)
}

pub(crate) fn admin_of(server: &Server) -> SocketAddr {
    let line = server.line();
    let url = line.strip_prefix("Health and metrics on http://");
    let address = url.and_then(|url| url.strip_suffix('/')).expect(&line);
    address.parse().unwrap()
}

/// Status and body of a reply of the administration.
pub(crate) fn ask(admin: SocketAddr, path: &str) -> (u16, String) {
    let reply = Client::connect(admin).get(path);
    (reply.status(), reply.text().to_owned())
}

#[test]
fn a_server_that_serves_is_alive_and_ready() {
    let (_server, admin) = start(&Site::new(), &[]);
    assert_eq!(ask(admin, "/livez"), (200, "ok\n".to_owned()));
    assert_eq!(ask(admin, "/readyz"), (200, "ok\n".to_owned()));
    // One connection for several questions, with a query, and pipelined.
    let mut client = Client::connect(admin);
    client.send([get("/readyz?a"), get("/metrics"), get("/livez")].concat());
    let statuses = [(); 3].map(|()| client.read_reply().status());
    assert_eq!(statuses, [200; 3]);
}

#[test]
fn a_server_whose_directory_is_gone_is_alive_and_not_ready() {
    let site = Site::new();
    let served = site.at("served");
    fs::create_dir(&served).unwrap();
    let server = Server::of_path(&served, &["--admin", "127.0.0.1:0"]);
    let admin = admin_of(&server);
    assert_eq!(ask(admin, "/readyz").0, 200);
    fs::remove_dir(&served).unwrap();
    let (status, reason) = ask(admin, "/readyz");
    assert_eq!(status, 503);
    assert!(reason.starts_with("cannot serve /"), "{reason}");
    assert!(
        reason.ends_with("No such file or directory (os error 2)\n"),
        "{reason}"
    );
    assert_eq!(ask(admin, "/livez").0, 200);
    fs::create_dir(&served).unwrap();
    assert_eq!(ask(admin, "/readyz").0, 200);
}

#[test]
fn a_server_whose_single_file_is_gone_is_not_ready() {
    let site = Site::new();
    site.file("alone/file.txt", "");
    let file = site.at("alone/file.txt");
    let server = Server::of_path(&file, &["--admin", "127.0.0.1:0"]);
    let admin = admin_of(&server);
    assert_eq!(ask(admin, "/readyz").0, 200);
    fs::remove_file(&file).unwrap();
    assert_eq!(ask(admin, "/readyz").0, 503);
}

#[test]
fn a_server_that_drains_is_alive_and_not_ready_until_its_end() {
    const BIG: u64 = 64 << 20;
    for loops in ["1", "3"] {
        let site = Site::new();
        site.sparse("big.bin", BIG);
        let (mut server, admin) = start(&site, &["-n", loops]);
        // With several loops, some of these downloads are in loops that the administration is not in.
        let mut downloads: Vec<_> = (0..8).map(|_| server.connect()).collect();
        for client in &mut downloads {
            client.send(get("/big.bin")).read_head();
        }
        let mut kept = Client::connect(admin);
        assert_eq!(kept.get("/readyz").status(), 200);
        server.signal(Signal::TERM);
        wait_until("the server drains", || kept.get("/readyz").status() == 503);
        assert_eq!(ask(admin, "/readyz"), (503, "draining\n".to_owned()));
        assert_eq!(ask(admin, "/livez").0, 200);
        assert_eq!(value(admin, "httpoll_draining", ""), 1.0);
        let last = downloads.pop().unwrap();
        downloads.into_iter().for_each(|mut client| {
            client.count_to_end();
        });
        assert_eq!(ask(admin, "/livez").0, 200, "while one download is left");
        assert_eq!(
            value(admin, "httpoll_connections", "state=\"sending\""),
            1.0
        );
        drop(last);
        assert_eq!(server.wait().code(), Some(0));
    }
}

#[test]
fn other_paths_are_404_and_other_methods_405() {
    let (_server, admin) = start(&Site::new(), &[]);
    for path in ["/", "/hello.txt", "/livez/", "/metrics.txt"] {
        assert_eq!(ask(admin, path).0, 404, "{path}");
    }
    let mut client = Client::connect(admin);
    for method in ["POST", "PUT", "DELETE", "OPTIONS", "PROPFIND"] {
        let reply = client.ask(request(method, "/metrics", &[]));
        assert_eq!(reply.status(), 405, "{method}");
        assert_eq!(reply.field("allow"), Some("GET, HEAD"));
    }
}

#[test]
fn head_has_the_fields_of_get() {
    let (_server, admin) = start(&Site::new(), &[]);
    for path in ["/livez", "/readyz", "/metrics"] {
        let mut client = Client::connect(admin);
        let head = client.ask(request("HEAD", path, &[]));
        let reply = client.get(path);
        assert_eq!(head.status(), 200, "{path}");
        assert_eq!(head.field("content-type"), reply.field("content-type"));
        assert_eq!(reply.field("cache-control"), Some("no-store"));
    }
}

#[test]
fn the_administration_is_not_in_the_log_and_not_in_the_metrics() {
    let (server, admin) = start(&Site::new(), &[]);
    for path in ["/livez", "/readyz", "/metrics", "/nothing"] {
        ask(admin, path);
    }
    assert_eq!(value(admin, "httpoll_connections_accepted_total", ""), 0.0);
    server.get("/hello.txt");
    assert_eq!(server.log_lines(1).len(), 1);
}

#[test]
fn a_taken_port_of_the_administration_is_a_one_line_error() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let output = run(&["0", "-b", "127.0.0.1", "--admin", &address]);
    assert_eq!(output.status.code(), Some(1));
    let message = String::from_utf8(output.stderr).unwrap();
    let expected = format!("cannot listen on {address}: the port is already in use (--admin)\n");
    assert_eq!(message, format!("httpoll: {expected}"));
}

#[test]
fn an_administration_wants_a_port() {
    for value in ["localhost", "9090", "", "[::1]", "a:b", "unix"] {
        let output = run(&["0", "--admin", value]);
        assert_eq!(output.status.code(), Some(2), "{value}");
        let message = String::from_utf8(output.stderr).unwrap();
        let expected = format!("--admin wants host:port, :port or unix:PATH, not '{value}'");
        assert!(message.contains(&expected), "{message}");
    }
}
