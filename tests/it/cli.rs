//! The command line: each option by itself, and options from a file.

use std::ffi::OsStr;
use std::fs;
use std::net::{Ipv6Addr, TcpListener, UdpSocket};
use std::os::unix::ffi::OsStrExt;

use crate::support::{Client, Server, Site, command, encode, get, request, run, skip};

fn text(output: &[u8]) -> &str {
    str::from_utf8(output).unwrap()
}

fn has_ipv6() -> bool {
    let found = TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_ok();
    if !found {
        skip("there is no IPv6 here");
    }
    found
}

#[test]
fn version_prints_the_package_version() {
    for option in ["-V", "--version"] {
        let output = run(&[option]);
        assert!(output.status.success());
        let expected = concat!("httpoll ", env!("CARGO_PKG_VERSION"), "\n");
        assert_eq!(text(&output.stdout), expected);
    }
}

#[test]
fn the_banner_is_that_of_http_server() {
    let server = Server::start(&Site::new());
    let port = server.port();
    let expected = format!("Serving HTTP on 127.0.0.1 port {port} (http://localhost:{port}/) ...");
    assert_eq!(server.banner(), expected);
    assert_ne!(port, 0);
}

#[test]
fn without_an_address_one_port_serves_both_families() {
    if !has_ipv6() {
        return;
    }
    let site = Site::new();
    let server = Server::spawn(command(&["0", "-d", site.root().to_str().unwrap()]));
    let port = server.port();
    let expected = format!("Serving HTTP on :: port {port} (http://localhost:{port}/) ...");
    assert_eq!(server.banner(), expected);
    for address in [format!("127.0.0.1:{port}"), format!("[::1]:{port}")] {
        let reply = Client::connect(address.parse().unwrap()).get("/hello.txt");
        assert_eq!(reply.status(), 200, "{address}");
    }
}

#[test]
fn the_banner_lists_addresses_for_other_devices() {
    // Connecting a UDP socket sends no packet; it only chooses the local address.
    let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
    if socket.connect("192.0.2.1:9").is_err() {
        return skip("no other device can reach this machine");
    }
    let site = Site::new();
    let root = site.root();
    let server = Server::spawn(command(&[
        "0",
        "-b",
        "0.0.0.0",
        "-d",
        root.to_str().unwrap(),
    ]));
    let url = format!(
        "http://{}:{}/",
        socket.local_addr().unwrap().ip(),
        server.port()
    );
    while !server.line().contains(&url) {}
}

#[test]
fn the_current_directory_and_port_8000_are_the_defaults() {
    if TcpListener::bind("[::]:8000").is_err() {
        return skip("port 8000 is taken, or there is no IPv6");
    }
    let site = Site::new();
    let mut command = command(&["-b", "127.0.0.1"]);
    command.current_dir(site.root());
    let server = Server::spawn(command);
    assert_eq!(server.port(), 8000);
    assert_eq!(server.get("/hello.txt").body, b"Hello, world!\n");
}

#[test]
fn bind_takes_a_name_an_ipv6_address_or_a_port() {
    let site = Site::new();
    let root = site.root();
    for bind in [
        "localhost",
        "127.0.0.1:0",
        "::1",
        "[::1]",
        "[::1]:0",
        ":0",
        "*",
        "*:0",
    ] {
        if bind.contains("::") && !has_ipv6() {
            continue;
        }
        let server = Server::spawn(command(&[
            "0",
            "--bind",
            bind,
            "-d",
            root.to_str().unwrap(),
        ]));
        assert_eq!(server.get("/hello.txt").status(), 200, "{bind}");
    }
}

#[test]
fn the_port_of_bind_overrides_the_port_argument() {
    let site = Site::new();
    let root = site.root();
    let options = ["1", "-b", "127.0.0.1:0", "-d", root.to_str().unwrap()];
    assert_ne!(Server::spawn(command(&options)).port(), 1);
}

#[test]
fn all_bind_addresses_are_served() {
    let server = Server::with(&Site::new(), &["-b", "127.0.0.2"]);
    let second = server.line();
    assert!(
        second.starts_with("Serving HTTP on 127.0.0.2 port "),
        "{second}"
    );
    let url = second.split(['(', ')']).nth(1).unwrap();
    let address = url.trim_start_matches("http://").trim_end_matches('/');
    let mut client = Client::connect(address.parse().unwrap());
    assert_eq!(client.get("/hello.txt").status(), 200);
    assert_eq!(server.get("/hello.txt").status(), 200);
}

#[test]
fn a_single_file_is_served_at_the_root_and_at_its_name() {
    let site = Site::new();
    let server = Server::of_path(&site.at("hello.txt"), &[]);
    for target in ["/", "/hello.txt", "/?query"] {
        let reply = server.get(target);
        assert_eq!(reply.body, b"Hello, world!\n", "{target}");
        assert_eq!(
            reply.field("Content-Type"),
            Some("text/plain; charset=utf-8")
        );
    }
    for target in [
        "/page.html",
        "/dir/",
        "/dir/file.txt",
        "/hello.txt/x",
        "/hello.txt/",
        "/hello.txt/.",
    ] {
        assert_eq!(server.get(target).status(), 404, "{target}");
    }
}

#[test]
fn a_single_file_may_have_any_name() {
    let site = Site::empty();
    for name in [&b".env"[..], b"<b> %41?#", b"invalid \xff", b"index.html"] {
        site.file(name, name);
        let mut command = command(&["0", "-b", "127.0.0.1", "-d"]);
        command.arg(site.at(name));
        let server = Server::spawn(command);
        for target in ["/".to_owned(), format!("/{}", encode(name))] {
            assert_eq!(server.get(&target).body, name, "{target}");
        }
    }
}

#[test]
fn a_directory_may_be_given_in_any_way() {
    let site = Site::new();
    site.file(b"invalid \xff/docs/index.html", "in it")
        .link("link", "dir");
    for (directory, target, body) in [
        (&b"."[..], "/hello.txt", "Hello, world!\n"),
        (b"./", "/docs/", "<p>index</p>\n"),
        (b"dir/../docs", "/", "<p>index</p>\n"),
        (b"link", "/file.txt", "in dir\n"),
        (b"invalid \xff", "/docs/", "in it"),
    ] {
        let mut command = command(&["0", "-b", "127.0.0.1", "-d"]);
        command.arg(OsStr::from_bytes(directory));
        command.current_dir(site.root());
        let reply = Server::spawn(command).get(target);
        assert_eq!(reply.text(), body, "{}", directory.escape_ascii());
    }
}

#[test]
fn headers_are_added_to_every_reply() {
    let options = [
        "-H",
        "X-One: 1",
        "--header",
        "Cache-Control: no-cache, x=\"y: z\"",
    ];
    let server = Server::with(&Site::new(), &options);
    let requests = [
        (get("/hello.txt"), 200),
        (request("GET", "/hello.txt", &["If-None-Match: *"]), 304),
        (request("GET", "/hello.txt", &["Range: bytes=0-0"]), 206),
        (request("HEAD", "/", &[]), 200),
        (get("/dir"), 301),
        (get("/missing"), 404),
        (request("POST", "/hello.txt", &[]), 405),
        ("nonsense / HTTP/9.9.9\r\n\r\n".to_owned(), 400),
    ];
    for (request, status) in requests {
        let reply = server.ask(&request);
        assert_eq!(reply.status(), status, "{request}");
        assert_eq!(reply.field("X-One"), Some("1"), "{request}");
        assert_eq!(reply.field("Cache-Control"), Some("no-cache, x=\"y: z\""));
    }
}

#[test]
fn content_type_sets_the_type_of_unknown_suffixes() {
    let site = Site::new();
    site.file("README", "").file("x.unknown-suffix", "");
    let server = Server::with(&site, &["--content-type", "text/x-unknown"]);
    for target in ["/README", "/x.unknown-suffix"] {
        let content_type = server.get(target).field("Content-Type").unwrap().to_owned();
        assert!(content_type.starts_with("text/x-unknown"), "{content_type}");
    }
    let known = server.get("/page.html");
    assert_eq!(
        known.field("Content-Type"),
        Some("text/html; charset=utf-8")
    );
}

#[test]
fn no_listing_refuses_listings() {
    let server = Server::with(&Site::new(), &["--no-listing"]);
    for target in ["/", "/dir/", "/?format=json"] {
        assert_eq!(server.get(target).status(), 403, "{target}");
    }
    assert_eq!(server.get("/docs/").body, b"<p>index</p>\n");
    assert_eq!(server.get("/dir").status(), 301);
}

/// How many sockets listen on this port of 127.0.0.1.
fn listening(port: u16) -> usize {
    let table = fs::read_to_string("/proc/net/tcp").unwrap();
    let local = format!(" 0100007F:{port:04X} 00000000:0000 0A ");
    table.matches(&local).count()
}

#[test]
fn each_loop_has_its_own_socket() {
    let site = Site::new();
    for (loops, sockets) in [("1", 1), ("2", 2), ("5", 5)] {
        let server = Server::with(&site, &["-n", loops]);
        assert_eq!(listening(server.port()), sockets);
        for _ in 0..50 {
            assert_eq!(server.get("/hello.txt").body, b"Hello, world!\n");
        }
        assert_eq!(server.log_lines(50).len(), 50, "every loop logs");
    }
}

#[test]
fn zero_loops_means_one_per_processor() {
    let server = Server::with(&Site::new(), &["--loops", "0"]);
    let processors = std::thread::available_parallelism().unwrap().get();
    assert_eq!(listening(server.port()), processors);
    assert_eq!(server.get("/hello.txt").status(), 200);
}

#[test]
fn max_per_ip_works_as_flag_and_in_a_file() {
    let site = Site::new();
    site.file("two.conf", "max-per-ip 2\n");
    let file = site.root().join("two.conf");
    for options in [
        &["--max-per-ip", "2"][..],
        &["--config", file.to_str().unwrap()],
    ] {
        let server = Server::with(&site, options);
        let mut staying = [server.connect(), server.connect()];
        for client in &mut staying {
            assert_eq!(client.get("/hello.txt").status(), 200);
        }
        // The server may reset a refused connection before the request is written.
        assert_eq!(server.connect().send("GET").count_to_end(), 0);
        for client in &mut staying {
            client.assert_open();
        }
    }
}

#[test]
fn the_command_line_overrides_the_config_file() {
    let site = Site::new();
    site.file(".dot", "dot").file("README", "");
    site.file("httpoll.conf", "# how this is served\n\n  # more\n--dotfiles\n--header X-One: from # file\n-H X-Two: 2\n--content-type text/x-file\n--log-format json\n");
    let file = site.at("httpoll.conf");
    let file = file.to_str().unwrap();

    let server = Server::with(&site, &["-c", file]);
    let reply = server.get("/.dot");
    assert_eq!(reply.body, b"dot");
    assert_eq!(reply.field("X-One"), Some("from # file"));
    assert_eq!(reply.field("X-Two"), Some("2"));
    assert!(server.log_lines(1)[0].starts_with('{'));

    let server = Server::with(
        &site,
        &[
            "--config",
            file,
            "--content-type",
            "text/x-line",
            "--log-format",
            "common",
        ],
    );
    let content_type = server
        .get("/README")
        .field("Content-Type")
        .unwrap()
        .to_owned();
    assert!(content_type.starts_with("text/x-line"), "{content_type}");
    assert!(server.log_lines(1)[0].starts_with("127.0.0.1 - - ["));
}

#[test]
fn a_config_file_sets_directory_address_and_port() {
    let site = Site::new();
    let root = site.root();
    // Editors of Windows begin a file with a byte order mark.
    let options = format!(
        "\u{feff}--directory {}\r\n--bind 127.0.0.1\r\n0\r\n",
        root.display()
    );
    site.file("httpoll.conf", options);
    let file = site.at("httpoll.conf");
    let server = Server::spawn(command(&["-c", file.to_str().unwrap()]));
    assert_eq!(server.get("/hello.txt").status(), 200);
}
