//! `--auth`: a user and a password for everything that is served.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use base64ct::{Base64, Encoding as _};

use crate::support::{Client, Reply, Server, Site, get, request, run, skip, wait_until};

/// Hashes of libxcrypt, with the least cost.
const SECRET: &str = "$2y$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW";
const OTHER: &str = "$2y$04$abcdefghijklmnopqrstuu0HtfOlPbTiymk5tcV.3TsFPDd3SYZqu";
const SHA_CRYPT: &str = "$5$abcdefgh$gruCpC7VkOTspMQTTSAR8mtlO9Upms.fwqE5y16JVM.";
const COSTLY: &str = "$2y$10$abcdefghijklmnopqrstuuqflPDzB6gcMhKa1rZqKiun2YGL5sa2u";

/// "alice:secret", and others like it.
const ALICE: &str = "Authorization: Basic YWxpY2U6c2VjcmV0";
const ALICE_OTHER: &str = "Authorization: Basic YWxpY2U6b3RoZXI=";
const BOB: &str = "Authorization: Basic Ym9iOnNlY3JldA==";
const UNKNOWN_USER: &str = "Authorization: Basic bm9ib2R5OnNlY3JldA==";

/// The field for a user and a password.
fn basic(user: &str, password: &str) -> String {
    let mut room = [0; 256];
    let pair = format!("{user}:{password}");
    let encoded = Base64::encode(pair.as_bytes(), &mut room).unwrap();
    format!("Authorization: Basic {encoded}")
}

/// Writes a password file beside the served directory.
fn users(site: &Site, content: &str) -> PathBuf {
    let directory = site.beside("users");
    fs::create_dir_all(&directory).unwrap();
    let path = directory.join("htpasswd");
    fs::write(&path, content).unwrap();
    path
}

fn start(site: &Site, content: &str, options: &[&str]) -> Server {
    let path = users(site, content);
    let options = [&["--auth", path.to_str().unwrap()], options].concat();
    Server::with(site, &options)
}

fn alice() -> Server {
    start(
        &Site::new(),
        &format!("alice:{SECRET}\nbob:{SHA_CRYPT}\n"),
        &[],
    )
}

#[track_caller]
fn assert_refused(reply: &Reply) {
    assert_eq!(reply.status(), 401);
    let challenge = "Basic realm=\"httpoll\", charset=\"UTF-8\"";
    assert_eq!(reply.field("WWW-Authenticate"), Some(challenge));
}

#[test]
fn everything_needs_a_password() {
    let server = alice();
    for target in [
        "/hello.txt",
        "/",
        "/dir",
        "/missing",
        "/?format=json",
        "/%00",
        "*",
    ] {
        for method in ["GET", "HEAD", "OPTIONS", "POST", "PUT", "PROPFIND", "BREW"] {
            for fields in [&[][..], &["Range: bytes=0-0"], &["If-None-Match: *"]] {
                if target == "*" && method != "OPTIONS" {
                    continue;
                }
                let reply = server.ask(request(method, target, fields));
                assert_refused(&reply);
                assert!(!reply.text().contains("hello"), "{method} {target}");
            }
        }
    }
    let mut client = server.connect();
    let old = client.send("GET /hello.txt\r\n").read_to_end();
    assert!(!String::from_utf8(old).unwrap().contains("Hello"));
}

#[test]
fn the_right_password_opens_everything() {
    let server = alice();
    let mut client = server.connect();
    for user in [ALICE, BOB] {
        for (method, target, status) in [
            ("GET", "/hello.txt", 200),
            ("HEAD", "/hello.txt", 200),
            ("GET", "/", 200),
            ("GET", "/missing", 404),
            ("OPTIONS", "/", 204),
            ("POST", "/", 405),
        ] {
            let reply = client.ask(request(method, target, &[user]));
            assert_eq!(reply.status(), status, "{method} {target}");
        }
    }
    let lower = ALICE.replace("Basic", "bASIC");
    assert_eq!(client.ask(request("GET", "/", &[&lower])).status(), 200);
}

#[test]
fn another_password_is_refused() {
    let server = alice();
    let twice = format!("{ALICE}\r\n{ALICE}");
    let bearer = ALICE.replace("Basic", "Bearer");
    for fields in [
        ALICE_OTHER,
        UNKNOWN_USER,
        &twice,
        &bearer,
        "Authorization: Basic",
        "Authorization: Basic YWxpY2U6c2VjcmV0=",
        "Authorization: Basic !!!!",
        "Authorization: Basic YWxpY2U=",
        "Authorization: Basic YWxpY2U6",
        "X-Authorization: Basic YWxpY2U6c2VjcmV0",
    ] {
        // A wrong pair is not kept as a right one, and a right one does not open the connection for others.
        let mut client = server.connect();
        assert_refused(&client.ask(request("GET", "/hello.txt", &[fields])));
        assert_eq!(client.ask(request("GET", "/", &[ALICE])).status(), 200);
        assert_refused(&client.ask(request("GET", "/hello.txt", &[fields])));
        assert!(client.ask(request("HEAD", "/", &[fields])).body.is_empty());
    }
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let server = alice();
    let mut client = server.connect();
    let requests = [
        request("GET", "/hello.txt", &[ALICE]),
        request("GET", "/hello.txt", &[ALICE_OTHER]),
        request("GET", "/missing", &[BOB]),
        get("/hello.txt"),
        request("GET", "/hello.txt", &[ALICE]),
    ];
    client.send(requests.concat()).half_close();
    for status in [200, 401, 404, 401, 200] {
        assert_eq!(client.read_reply().status(), status);
    }
    client.assert_closed();
}

#[test]
fn a_body_that_is_not_wanted_is_skipped() {
    let server = alice();
    let mut client = server.connect();
    for field in [ALICE, ALICE_OTHER, "X: y"] {
        let length = ["Content-Length: 5", field];
        let reply = client.ask(request("POST", "/", &length) + "hello");
        assert_eq!(reply.status(), if field == ALICE { 405 } else { 401 });
    }
    assert_eq!(client.ask(request("GET", "/", &[ALICE])).status(), 200);
}

#[test]
fn the_log_names_the_user() {
    let site = Site::new();
    let users = format!("alice:{SECRET}\na b\"c:{SECRET}\n");
    let ask = |server: &Server| {
        let mut client = server.connect();
        for field in [ALICE, &basic("a b\"c", "secret"), ALICE_OTHER] {
            client.ask(request("GET", "/hello.txt", &[field]));
        }
    };
    let server = start(&site, &users, &[]);
    ask(&server);
    let log = server.log_lines(3);
    for (line, user) in log.iter().zip(["alice", r#"a\x20b\"c"#, "-"]) {
        assert!(line.starts_with(&format!("127.0.0.1 - {user} [")), "{line}");
    }
    let server = start(&site, &users, &["--log-format", "json"]);
    ask(&server);
    let log = server.log_lines(3);
    assert!(log[0].ends_with(",\"user\":\"alice\"}"), "{log:?}");
    assert!(log[1].ends_with(r#","user":"a b\"c"}"#), "{log:?}");
    assert!(!log[2].contains("\"user\""), "{log:?}");
}

#[test]
fn a_change_of_the_file_counts_for_new_and_old_pairs() {
    let site = Site::new();
    let server = start(&site, &format!("alice:{SECRET}\n"), &[]);
    let status = |user| server.ask(request("GET", "/", &[user])).status();
    assert_eq!([status(ALICE), status(BOB)], [200, 401]);
    // A new user counts at once, also if the file is replaced.
    users(&site, &format!("alice:{SECRET}\nbob:{SHA_CRYPT}\n"));
    assert_eq!([status(ALICE), status(BOB)], [200, 200]);
    let new = site.beside("users/new");
    fs::write(&new, format!("alice:{OTHER}\n")).unwrap();
    fs::rename(&new, site.beside("users/htpasswd")).unwrap();
    assert_eq!(status(ALICE_OTHER), 200);
    assert_eq!([status(ALICE), status(BOB)], [401, 401]);
    users(&site, &format!("bob:{SHA_CRYPT}\n"));
    wait_until("a removed user is refused", || status(ALICE_OTHER) == 401);
    assert_eq!(status(BOB), 200);
}

#[test]
fn a_file_that_becomes_unusable_changes_nothing_and_is_reported_once() {
    let site = Site::new();
    let server = start(&site, &format!("alice:{SECRET}\n"), &["-q"]);
    let status = |user| server.ask(request("GET", "/", &[user])).status();
    for (content, message) in [
        ("alice:$apr1$x\n", "line 1: MD5 of Apache is too weak"),
        ("", "no user is in it"),
        ("bob\n", "line 1: no colon"),
    ] {
        let before = server.log().lines().count();
        let path = users(&site, content);
        for _ in 0..3 {
            assert_eq!(status(UNKNOWN_USER), 401);
        }
        assert_eq!(status(ALICE), 200);
        let log = server.log_lines(before + 1);
        let line = log.last().unwrap();
        let expected = format!(
            "httpoll: the password file {} stays as it was: ",
            path.display()
        );
        assert!(
            line.starts_with(&expected) && line.contains(message),
            "{line}"
        );
    }
    let path = users(&site, "");
    fs::remove_file(&path).unwrap();
    assert_eq!([status(UNKNOWN_USER), status(ALICE)], [401, 200]);
    users(&site, &format!("bob:{SHA_CRYPT}\n"));
    assert_eq!([status(BOB), status(ALICE)], [200, 401]);
}

#[test]
fn others_are_served_while_many_send_wrong_passwords() {
    let site = Site::new();
    let content = format!("alice:{SECRET}\nbob:{COSTLY}\n");
    let server = start(&site, &content, &["-n", "2"]);
    assert_eq!(server.ask(request("GET", "/", &[ALICE])).status(), 200);
    let address = server.address();
    let has_ended = AtomicBool::new(false);
    let attack = |attacker: usize| {
        let mut client = Client::connect(address);
        let mut refused = 0;
        for number in 0.. {
            if has_ended.load(Ordering::Relaxed) {
                return refused;
            }
            let wrong = basic(
                ["bob", "eve"][attacker % 2],
                &format!("{attacker} {number}"),
            );
            let reply = client.ask(request("GET", "/hello.txt", &[&wrong]));
            assert!(matches!(reply.status(), 401 | 503), "{}", reply.status());
            if reply.status() == 503 {
                assert_eq!(reply.field("Retry-After"), Some("1"));
                refused += 1;
            }
        }
        refused
    };
    let refused: usize = thread::scope(|scope| {
        let attack = &attack;
        let attackers: Vec<_> = (0..24)
            .map(|attacker| scope.spawn(move || attack(attacker)))
            .collect();
        let mut clients: Vec<_> = (0..20).map(|_| Client::connect(address)).collect();
        for _ in 0..50 {
            for client in &mut clients {
                client.send(request("GET", "/hello.txt", &[ALICE]));
            }
            for client in &mut clients {
                assert_eq!(client.read_reply().body, b"Hello, world!\n");
            }
        }
        has_ended.store(true, Ordering::Relaxed);
        attackers
            .into_iter()
            .map(|attacker| attacker.join().unwrap())
            .sum()
    });
    assert!(
        refused > 0,
        "one client may have 16 pairs checked at a time"
    );
}

#[test]
fn a_thousand_requests_that_come_at_once_share_one_check() {
    let site = Site::new();
    let server = start(&site, &format!("bob:{COSTLY}\n"), &[]);
    let mut clients: Vec<_> = (0..1000).map(|_| server.connect()).collect();
    for client in &mut clients {
        client.send(request("GET", "/hello.txt", &[BOB]));
    }
    for client in &mut clients {
        assert_eq!(client.read_reply().body, b"Hello, world!\n");
    }
}

#[test]
fn a_client_that_leaves_during_the_check_harms_nothing() {
    let site = Site::new();
    let server = start(&site, &format!("bob:{COSTLY}\n"), &[]);
    for wrong in [BOB, ALICE, UNKNOWN_USER] {
        let mut client = server.connect();
        client.send(request("GET", "/hello.txt", &[wrong]));
        client.reset();
    }
    assert_eq!(server.ask(request("GET", "/", &[BOB])).status(), 200);
}

#[test]
fn a_preflight_needs_no_password() {
    let site = Site::new();
    let server = start(&site, &format!("alice:{SECRET}\n"), &["--cors"]);
    let preflight = ["Origin: null", "Access-Control-Request-Method: GET"];
    let reply = server.ask(request("OPTIONS", "/hello.txt", &preflight));
    assert_eq!(reply.status(), 204);
    for (method, fields) in [("OPTIONS", &preflight[..1]), ("GET", &preflight[..])] {
        let reply = server.ask(request(method, "/hello.txt", fields));
        assert_refused(&reply);
        assert_eq!(reply.field("Access-Control-Allow-Origin"), Some("*"));
    }
    let server = start(&site, &format!("alice:{SECRET}\n"), &[]);
    assert_refused(&server.ask(request("OPTIONS", "/hello.txt", &preflight)));
}

#[test]
fn the_administration_needs_no_password() {
    let site = Site::new();
    let server = start(
        &site,
        &format!("alice:{SECRET}\n"),
        &["--admin", "127.0.0.1:0"],
    );
    let line = server.line();
    let address = line.rsplit_once("http://").unwrap().1.trim_end_matches('/');
    let mut client = Client::connect(address.parse().unwrap());
    for target in ["/livez", "/readyz"] {
        assert_eq!(client.ask(get(target)).status(), 200, "{target}");
    }
}

#[test]
fn a_file_that_cannot_be_used_is_refused_at_the_start() {
    let site = Site::new();
    let good = format!("alice:{SECRET}\n");
    for (content, message) in [
        (String::new(), "no user is in it"),
        (format!("{good}bob:{{SHA}}x\n"), "line 2: SHA-1 is too weak"),
        (
            format!("{good}bob:$apr1$x\n"),
            "line 2: MD5 of Apache is too weak",
        ),
        (
            good.replace("$04$", "$17$"),
            "line 1: the cost of bcrypt is 17",
        ),
        (
            format!("{good}{good}"),
            "line 2: the user is in line 1 already",
        ),
        (
            format!("#{}\n{good}", "x".repeat(1 << 20)),
            "larger than 1 MiB",
        ),
    ] {
        let path = users(&site, &content);
        assert_fails(&site, path.to_str().unwrap(), message);
    }
    assert_fails(&site, "/nonexistent/users", "No such file");
    assert_fails(&site, "/", "not a regular file");
}

#[track_caller]
fn assert_fails(site: &Site, path: &str, message: &str) {
    let root = site.root();
    let output = run(&[
        "0",
        "-b",
        "127.0.0.1",
        "-d",
        root.to_str().unwrap(),
        "--auth",
        path,
    ]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(
        said.starts_with("httpoll: ") && said.contains(message),
        "{said}"
    );
    assert_eq!(said.lines().count(), 1, "{said}");
}

#[test]
fn a_file_that_clients_could_read_is_refused() {
    let site = Site::new();
    for name in ["htpasswd", ".htpasswd", ".private/htpasswd"] {
        site.file(name, format!("alice:{SECRET}\n"));
    }
    let at = |name: &str| site.at(name).to_str().unwrap().to_owned();
    assert_fails(&site, &at("htpasswd"), "is in the served directory");
    for name in [".htpasswd", ".private/htpasswd"] {
        let server = Server::with(&site, &["--auth", &at(name)]);
        let reply = server.ask(request("GET", &format!("/{name}"), &[ALICE]));
        assert_eq!(reply.status(), 404);
    }
    let options = ["--dotfiles", "--auth", &at(".htpasswd")];
    let root = site.root();
    let output = run(&[&["0", "-d", root.to_str().unwrap()], &options[..]].concat());
    assert_eq!(output.status.code(), Some(1));
    let single = run(&["0", "-d", &at(".htpasswd"), "--auth", &at(".htpasswd")]);
    assert_eq!(single.status.code(), Some(1));
}

#[test]
fn the_user_of_the_process_must_be_able_to_read_the_file() {
    let is_root = rustix::process::geteuid().is_root();
    if !is_root
        || !fs::read_to_string("/etc/passwd")
            .unwrap()
            .contains("nobody:x:65534:")
    {
        return skip("not run by root, or there is no user 'nobody'");
    }
    let site = Site::new();
    let path = users(&site, &format!("alice:{SECRET}\n"));
    let mode = |mode| fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    let options = ["--user", "nobody", "--auth", path.to_str().unwrap()];
    mode(0o600);
    let root = site.root();
    let place = ["0", "-b", "127.0.0.1", "-d", root.to_str().unwrap()];
    let output = run(&[&place[..], &options].concat());
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    let expected = "Permission denied (os error 13), as user nobody (--user)";
    assert!(said.trim_end().ends_with(expected), "{said}");
    mode(0o644);
    let server = Server::with(&site, &options);
    let status = |user| server.ask(request("GET", "/", &[user])).status();
    assert_eq!([status(ALICE), status(BOB)], [200, 401]);
    let mut file = fs::OpenOptions::new().append(true).open(&path).unwrap();
    writeln!(file, "bob:{SHA_CRYPT}").unwrap();
    assert_eq!(status(BOB), 200);
}
