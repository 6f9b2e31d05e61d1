//! `--cors`: pages of other origins read every reply, and preflights are answered.

use crate::support::{Reply, Server, Site, get, request};

const ORIGIN: &str = "Origin: https://page.example";
const METHOD: &str = "Access-Control-Request-Method: GET";

fn server() -> Server {
    Server::with(&Site::new(), &["--cors"])
}

fn preflight(server: &Server, fields: &[&str]) -> Reply {
    server.ask(request("OPTIONS", "/hello.txt", fields))
}

#[track_caller]
fn assert_readable(reply: &Reply) {
    assert_eq!(reply.field("Access-Control-Allow-Origin"), Some("*"));
    let exposed = reply.field("Access-Control-Expose-Headers").unwrap();
    for name in [
        "Accept-Ranges",
        "Content-Length",
        "Content-Range",
        "ETag",
        "Last-Modified",
    ] {
        assert!(exposed.split(", ").any(|exposed| exposed == name), "{name}");
    }
    assert_eq!(reply.field("Access-Control-Allow-Credentials"), None);
}

#[test]
fn every_reply_is_readable() {
    let server = Server::with(&Site::new(), &["--cors", "--host", "test"]);
    let tag = server.get("/hello.txt").field("ETag").unwrap().to_owned();
    let known = format!("If-None-Match: {tag}");
    let table: [(&str, &str, &[&str], u16); 14] = [
        ("GET", "/hello.txt", &[], 200),
        ("GET", "/hello.txt", &[ORIGIN], 200),
        ("HEAD", "/hello.txt", &[ORIGIN], 200),
        ("GET", "/hello.txt", &["Range: bytes=0-1"], 206),
        ("GET", "/hello.txt", &["Range: bytes=0-1,3-4"], 206),
        ("GET", "/hello.txt", &["Range: bytes=99-"], 416),
        ("GET", "/hello.txt", &[&known], 304),
        ("GET", "/", &[], 200),
        ("GET", "/?format=json", &[], 200),
        ("GET", "/dir", &[], 301),
        ("GET", "/missing", &[ORIGIN], 404),
        ("POST", "/hello.txt", &[ORIGIN], 405),
        ("BREW", "/hello.txt", &[ORIGIN], 501),
        ("OPTIONS", "/hello.txt", &[], 204),
    ];
    for (method, target, fields, status) in table {
        // The second reply may be a kept one.
        for _ in 0..2 {
            let reply = server.ask(request(method, target, fields));
            assert_eq!(reply.status(), status, "{method} {target} {fields:?}");
            assert_readable(&reply);
        }
    }
    for (head, status) in [
        ("GET / HTTP/1.1\r\nHost: other\r\n\r\n", 421),
        ("GET / HTTP/1.1\r\n\r\n", 400),
        ("nonsense\r\n\r\n", 400),
        ("GET / HTTP/3.0\r\n\r\n", 505),
    ] {
        let reply = server.ask(head);
        assert_eq!(reply.status(), status, "{head}");
        assert_readable(&reply);
    }
}

#[test]
fn a_reply_that_is_the_same_for_every_origin_does_not_vary_by_origin() {
    let server = server();
    for fields in [&[][..], &[ORIGIN]] {
        let reply = server.ask(request("GET", "/hello.txt", fields));
        assert_eq!(reply.field("Vary"), None);
    }
}

#[test]
fn a_preflight_is_answered() {
    let asked = "Access-Control-Request-Headers: authorization,range,x-mine";
    let reply = preflight(&server(), &[ORIGIN, METHOD, asked]);
    assert_eq!(reply.status(), 204);
    assert_readable(&reply);
    let field = |name: &str| reply.field(&format!("Access-Control-{name}"));
    assert_eq!(field("Allow-Methods"), Some("GET, HEAD, OPTIONS"));
    assert_eq!(field("Allow-Headers"), Some("authorization,range,x-mine"));
    assert!(field("Max-Age").unwrap().parse::<u32>().unwrap() > 0);
    assert_eq!(field("Allow-Private-Network"), None);
    let vary = reply.field("Vary").unwrap();
    for name in ["Origin", "Method", "Headers", "Private-Network"] {
        assert!(vary.contains(name), "{vary}");
    }
}

#[test]
fn a_server_in_a_private_network_says_that_it_may_be_reached() {
    let server = server();
    for (value, answer) in [("true", Some("true")), ("false", None), ("yes", None)] {
        let asked = format!("Access-Control-Request-Private-Network: {value}");
        let reply = preflight(&server, &[ORIGIN, METHOD, &asked]);
        let allowed = reply.field("Access-Control-Allow-Private-Network");
        assert_eq!(allowed, answer, "{value}");
    }
}

#[test]
fn only_names_of_fields_are_echoed() {
    let server = server();
    let many = ["x-name"; 300].join(",");
    for names in ["", ",", "a b", "a;b", "<script>", &many] {
        let asked = format!("Access-Control-Request-Headers: {names}");
        let reply = preflight(&server, &[ORIGIN, METHOD, &asked]);
        assert_eq!(reply.status(), 204);
        assert_eq!(
            reply.field("Access-Control-Allow-Headers"),
            None,
            "{names:?}"
        );
    }
    let twice = ["Access-Control-Request-Headers: a"; 2];
    let reply = preflight(&server, &[ORIGIN, METHOD, twice[0], twice[1]]);
    assert_eq!(reply.field("Access-Control-Allow-Headers"), Some("a, a"));
}

#[test]
fn other_options_requests_get_no_answer_of_a_preflight() {
    let server = server();
    let no_token = "Access-Control-Request-Method: G T";
    for fields in [&[][..], &[ORIGIN], &[METHOD], &[ORIGIN, no_token]] {
        let reply = preflight(&server, fields);
        assert_eq!(reply.status(), 204);
        assert_eq!(reply.field("Allow"), Some("GET, HEAD, OPTIONS"));
        assert_eq!(reply.field("Access-Control-Allow-Methods"), None);
        assert_readable(&reply);
    }
}

#[test]
fn a_field_of_the_command_line_wins() {
    let options = [
        "--cors",
        "-Haccess-control-allow-origin: https://a.example",
        "-HAccess-Control-Expose-Headers: X-Mine",
        "-HAccess-Control-Allow-Methods: GET",
        "-HAccess-Control-Allow-Headers: X-Mine",
        "-HAccess-Control-Max-Age: 5",
        "-HAccess-Control-Allow-Private-Network: false",
    ];
    let server = Server::with(&Site::new(), &options);
    let asked = [
        ORIGIN,
        METHOD,
        "Access-Control-Request-Headers: range",
        "Access-Control-Request-Private-Network: true",
    ];
    for reply in [
        preflight(&server, &asked),
        server.get("/hello.txt"),
        server.get("/missing"),
        server.ask("nonsense\r\n\r\n"),
    ] {
        for field in &options[1..] {
            let (name, value) = field[2..].split_once(": ").unwrap();
            assert_eq!(reply.field(name), Some(value), "{name}");
        }
    }
}

#[test]
fn without_the_flag_no_reply_is_for_other_origins() {
    let server = Server::start(&Site::new());
    for reply in [
        preflight(&server, &[ORIGIN, METHOD]),
        server.ask(get("/hello.txt")),
    ] {
        let fields = &reply.head.fields;
        assert!(
            !fields
                .iter()
                .any(|(name, _)| name.starts_with("Access-Control"))
        );
        assert_eq!(reply.field("Vary"), None);
    }
}

#[test]
fn the_administration_is_not_readable_by_other_origins() {
    let server = Server::with(&Site::new(), &["--cors", "--admin", "127.0.0.1:0"]);
    let line = server.line();
    let address = line.rsplit_once("http://").unwrap().1.trim_end_matches('/');
    let mut client = crate::support::Client::connect(address.parse().unwrap());
    let reply = client.ask(request("GET", "/metrics", &[ORIGIN]));
    assert_eq!(reply.status(), 200);
    assert_eq!(reply.field("Access-Control-Allow-Origin"), None);
}
