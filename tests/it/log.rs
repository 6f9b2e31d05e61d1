//! The access log: its three formats, escaping, byte counts, and that it never stalls the server.

use std::io::{PipeReader, Read, pipe};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::thread;

use rustix::process::Signal;

use crate::support::{Client, Json, Server, Site, command, get, request, without_warnings};

/// Parses a line of the common format into request line, status, bytes, and the rest.
#[track_caller]
fn parse_common(line: &str) -> (&str, u16, u64, &str) {
    let (client, rest) = line.split_once(" - - [").expect(line);
    assert_eq!(client, "127.0.0.1");
    let (date, rest) = rest.split_once("] \"").expect(line);
    let shape: String = date
        .chars()
        .map(|c| if c.is_ascii_digit() { '0' } else { c })
        .collect();
    assert_eq!(shape.len(), 26, "{date}");
    assert!(
        shape.starts_with("00/") && shape.ends_with("/0000:00:00:00 +0000"),
        "{date}"
    );
    let (request, rest) = rest.split_once("\" ").expect(line);
    let mut words = rest.splitn(3, ' ');
    let status = words.next().unwrap().parse().expect(line);
    let bytes = words.next().unwrap().parse().expect(line);
    (request, status, bytes, words.next().unwrap_or_default())
}

#[test]
fn the_common_format_is_the_default() {
    for options in [&[][..], &["--log-format", "common"]] {
        let server = Server::with(&Site::new(), options);
        server.get("/hello.txt?query");
        let lines = server.log_lines(1);
        assert_eq!(
            parse_common(&lines[0]),
            ("GET /hello.txt?query HTTP/1.1", 200, 14, "")
        );
    }
}

#[test]
fn an_ipv4_client_of_a_socket_for_both_families_is_logged_as_ipv4() {
    let site = Site::new();
    let server = Server::spawn(command(&["0", "-d", site.root().to_str().unwrap()]));
    let address = SocketAddr::from(([127, 0, 0, 1], server.port()));
    Client::connect(address).get("/hello.txt");
    assert_eq!(parse_common(&server.log_lines(1)[0]).1, 200);
}

#[test]
fn the_combined_format_adds_referer_and_agent() {
    let server = Server::with(&Site::new(), &["--log-format", "combined"]);
    server.ask(request(
        "GET",
        "/",
        &["User-Agent: curl/8", "Referer: http://x/?a b"],
    ));
    server.ask(request("GET", "/", &["User-Agent: a \"b\\ \u{e9}\t\x7e"]));
    let lines = server.log_lines(2);
    assert_eq!(parse_common(&lines[0]).3, "\"http://x/?a b\" \"curl/8\"");
    assert_eq!(parse_common(&lines[1]).3, r#""-" "a \"b\\ \xc3\xa9\x09~""#);
}

#[test]
fn the_json_format_is_one_object_a_line() {
    let server = Server::with(&Site::new(), &["--log-format", "json"]);
    server.ask(request(
        "GET",
        "/hello.txt",
        &["User-Agent: a \"b\\ \u{e9}\t"],
    ));
    server.ask(b"GET /\"\\\xc3\xa9 HTTP/1.1\r\nHost: x\r\nReferer: \xff\r\n\r\n");
    let lines = server.log_lines(2);
    let first = Json::parse(&lines[0]);
    assert_eq!(first.get("request").text(), "GET /hello.txt HTTP/1.1");
    assert_eq!(
        (first.get("status").number(), first.get("bytes").number()),
        (200, 14)
    );
    assert_eq!(first.get("client").text(), "127.0.0.1");
    assert!(first.get("duration_us").number() >= 0);
    assert!(first.get("agent").text().starts_with("a \"b\\ \u{e9}"));
    assert_eq!(first.get("referer"), &Json::Null);
    assert_eq!(
        Json::parse(&lines[1]).get("request").text(),
        "GET /\"\\\u{e9} HTTP/1.1"
    );
}

#[test]
fn request_bytes_are_escaped() {
    let server = Server::start(&Site::new());
    for (line, logged, status) in [
        (
            &b"GET /\"quoted\" HTTP/1.1"[..],
            r#"GET /\"quoted\" HTTP/1.1"#,
            404,
        ),
        (
            b"GET /back\\slash HTTP/1.1",
            r"GET /back\\slash HTTP/1.1",
            404,
        ),
        (b"GET /\xc3\xa9 HTTP/1.1", r"GET /\xc3\xa9 HTTP/1.1", 404),
        (b"GET /\x1b[2J HTTP/1.1", r"GET /\x1b[2J HTTP/1.1", 400),
        (
            b"GET /\x7f\x00\xff HTTP/1.1",
            r"GET /\x7f\x00\xff HTTP/1.1",
            400,
        ),
        (b"GET /\" 200 1 HTTP/1.1", r#"GET /\" 200 1 HTTP/1.1"#, 400),
    ] {
        let before = server.log();
        server.ask([line, b"\r\nHost: x\r\n\r\n"].concat());
        let lines = server.log_lines(before.lines().count() + 1);
        let line = lines.last().unwrap();
        assert!(line.contains(&format!("\"{logged}\" {status} ")), "{line}");
        assert!(
            line.bytes().all(|byte| (b' '..=b'~').contains(&byte)),
            "{line}"
        );
    }
}

#[test]
fn the_byte_count_is_that_of_the_body() {
    let site = Site::new();
    let server = Server::start(&site);
    let mut client = server.connect();
    for (request, status) in [
        (get("/hello.txt"), 200),
        (get("/empty.txt"), 200),
        (get("/"), 200),
        (get("/dir"), 301),
        (get("/missing"), 404),
        (request("HEAD", "/hello.txt", &[]), 200),
        (request("HEAD", "/missing", &[]), 404),
        (request("OPTIONS", "*", &[]), 204),
        (request("GET", "/hello.txt", &["If-None-Match: *"]), 304),
        (request("GET", "/hello.txt", &["Range: bytes=2-5"]), 206),
        (request("GET", "/hello.txt", &["Range: bytes=0-1,4-5"]), 206),
        (request("GET", "/hello.txt", &["Range: bytes=99-"]), 416),
        ("GET / HTTP/1.1\r\n\r\n".to_owned(), 400),
    ] {
        let before = server.log().lines().count();
        let sent = client.ask(&request).body.len() as u64;
        let lines = server.log_lines(before + 1);
        let (_, logged_status, bytes, _) = parse_common(lines.last().unwrap());
        assert_eq!((logged_status, bytes), (status, sent), "{request}");
    }
}

#[test]
fn the_byte_count_of_a_chunked_body_excludes_framing() {
    let site = Site::empty();
    for number in 0..2000 {
        site.file(number.to_string(), "");
    }
    let server = Server::start(&site);
    let reply = server.get("/");
    assert!(reply.head.is_chunked());
    assert_eq!(
        parse_common(&server.log_lines(1)[0]).2,
        reply.body.len() as u64
    );
}

#[test]
fn an_http_0_9_request_is_logged_as_it_came() {
    let server = Server::start(&Site::new());
    server.connect().send("GET /hello.txt\r\n").read_to_end();
    assert_eq!(
        parse_common(&server.log_lines(1)[0]),
        ("GET /hello.txt", 200, 14, "")
    );
}

#[test]
fn pipelined_requests_are_logged_in_order() {
    let server = Server::start(&Site::new());
    let mut client = server.connect();
    client.send(
        (0..200)
            .map(|number| get(&format!("/{number}")))
            .collect::<String>(),
    );
    for _ in 0..200 {
        client.read_reply();
    }
    for (number, line) in server.log_lines(200).iter().enumerate() {
        assert_eq!(parse_common(line).0, format!("GET /{number} HTTP/1.1"));
    }
}

#[test]
fn an_aborted_reply_is_logged_with_the_bytes_sent() {
    const SIZE: u64 = 256 << 20;
    const TAKEN: usize = 1 << 20;
    let site = Site::new();
    site.sparse("big", SIZE);
    let server = Server::start(&site);
    let mut client = server.connect();
    client.send(get("/big")).read_head();
    client.take(TAKEN);
    assert_eq!(server.log(), "", "nothing is logged before the end");
    client.reset();
    let lines = server.log_lines(1);
    let (request, status, bytes, _) = parse_common(&lines[0]);
    assert_eq!((request, status), ("GET /big HTTP/1.1", 200));
    assert!((TAKEN as u64..SIZE).contains(&bytes), "{bytes}");
}

#[test]
fn a_quiet_server_logs_nothing() {
    for option in ["-q", "--quiet"] {
        let mut server = Server::with(&Site::new(), &[option]);
        for request in [
            get("/hello.txt"),
            get("/missing"),
            "nonsense\r\n\r\n".to_owned(),
        ] {
            server.ask(request);
        }
        server.signal(Signal::TERM);
        assert_eq!(server.remaining_output(), "");
    }
}

/// A server whose standard error is a pipe.
fn server_with_piped_log(site: &Site) -> (Server, PipeReader) {
    let (reader, writer) = pipe().unwrap();
    let root = site.root();
    let mut command = command(&["0", "-b", "127.0.0.1", "-d", root.to_str().unwrap()]);
    command.stderr(writer);
    (Server::spawn_with_stderr(command, PathBuf::new()), reader)
}

/// The number of lost lines that a line of the log reports.
fn lost_lines(line: &str) -> Option<usize> {
    let before = line.split_once(" lost").map(|(before, _)| before)?;
    before.split(' ').find_map(|word| word.parse().ok())
}

#[test]
fn an_unread_log_does_not_stall_the_server() {
    const REQUESTS: usize = 1000;
    let site = Site::new();
    let (mut server, mut reader) = server_with_piped_log(&site);
    let mut client = server.connect();
    let long = get(&format!("/hello.txt?{}", "x".repeat(4000)));
    for _ in 0..REQUESTS {
        assert_eq!(client.ask(&long).status(), 200);
    }
    let reading = thread::spawn(move || {
        let mut log = String::new();
        reader.read_to_string(&mut log).unwrap();
        log
    });
    // More requests follow, so that the server writes again once the pipe has been read.
    let mut later = 0;
    for _ in 0..20 {
        assert_eq!(client.get("/later").status(), 404);
        later += 1;
        thread::sleep(std::time::Duration::from_millis(10));
    }
    server.signal(Signal::TERM);
    server.wait();
    let log = without_warnings(&reading.join().unwrap());
    let lost: usize = log.lines().filter_map(lost_lines).sum();
    let logged = log
        .lines()
        .filter(|line| line.starts_with("127.0.0.1 - - ["))
        .count();
    assert!(
        lost > 0,
        "{REQUESTS} lines of 4 KB do not fit into pipe and buffer"
    );
    assert_eq!(logged + lost, REQUESTS + later);
    assert!(
        log.lines()
            .all(|line| line.starts_with("127.0.0.1 - - [") || lost_lines(line).is_some())
    );
}

#[test]
fn a_closed_log_pipe_does_not_stop_the_server() {
    let site = Site::new();
    let (mut server, reader) = server_with_piped_log(&site);
    assert_eq!(server.get("/hello.txt").status(), 200);
    drop(reader);
    for _ in 0..10 {
        assert_eq!(server.get("/hello.txt").status(), 200);
    }
    server.signal(Signal::TERM);
    assert_eq!(server.wait().code(), Some(0));
}

/// Bytes that act on a terminal, a page or a head, in each place of a request.
#[test]
fn hostile_bytes_are_escaped_in_log_page_and_head() {
    const HOSTILE: [&[u8]; 6] = [
        b"\x1b[31m\x07\x08",
        b"</title><script>alert(1)</script>\"'",
        b"%0d%0aSet-Cookie:%20a=b",
        b"%1b%5b2J%00",
        "\u{202e}\u{2028}\u{85}\u{9b}\u{200f}\u{61c}".as_bytes(),
        b"\xff\xfe\xc0\xaf",
    ];
    let acts = |c: char| {
        c.is_control()
            || matches!(
                c,
                '\u{2028}'..='\u{202e}' | '\u{200e}' | '\u{200f}' | '\u{61c}'
            )
    };
    for format in ["common", "combined", "json"] {
        let site = Site::new();
        let server = Server::with(&site, &["--log-format", format]);
        let mut count = 0;
        for hostile in HOSTILE {
            let places: [&[&[u8]]; 7] = [
                &[b"GET /", hostile, b" HTTP/1.1\r\nHost: x\r\n\r\n"],
                &[b"GET /dir?", hostile, b" HTTP/1.1\r\nHost: x\r\n\r\n"],
                &[b"GET /dir/?sort=", hostile, b" HTTP/1.1\r\nHost: x\r\n\r\n"],
                &[hostile, b" / HTTP/1.1\r\nHost: x\r\n\r\n"],
                &[b"GET / HTTP/1.1", hostile, b"\r\nHost: x\r\n\r\n"],
                &[b"GET / HTTP/1.1\r\nHost: ", hostile, b"\r\n\r\n"],
                &[
                    b"GET /x HTTP/1.1\r\nHost: x\r\nAccept: text/plain\r\nReferer: ",
                    hostile,
                    b"\r\nUser-Agent: ",
                    hostile,
                    b"\r\n\r\n",
                ],
            ];
            for place in places {
                let request = place.concat();
                // The client checks the head strictly: no control characters, one Date, only fields.
                let reply = server.ask(&request);
                assert_eq!(reply.field("Set-Cookie"), None);
                let page = reply.text();
                let acting = |c: char| c != '\n' && acts(c);
                assert!(
                    !page.contains("<script>alert") && !page.contains(acting),
                    "{page:?}"
                );
                count += 1;
            }
        }
        for line in server.log_lines(count) {
            assert!(!line.contains(acts), "{line:?}");
            let is_whole = match format {
                "json" => line.starts_with("{\"time\":") && line.ends_with('}'),
                _ => line.starts_with("127.0.0.1 - - ["),
            };
            assert!(is_whole, "{line:?}");
        }
    }
}
