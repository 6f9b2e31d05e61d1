//! Each example runs as its own process, and shows over real sockets what it is about.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use crate::child::Child;
use crate::client::{Client, get, post, put};
use crate::running::eventually;

mod cgi;

const ONE_SCREEN: usize = 60;

/// What the programs of a newcomer may need, apart from the comment at the beginning.
const SHORT: usize = 30;

#[test]
fn every_example_has_a_test_and_fits_on_a_screen() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let tested = ["examples.rs", "examples/cgi.rs", "tls.rs"]
        .map(|file| fs::read_to_string(root.join("tests/library").join(file)).unwrap())
        .concat();
    for entry in fs::read_dir(root.join("examples")).unwrap() {
        let path = entry.unwrap().path();
        // Files for running the command, which are no programs of the library.
        if path.ends_with("deploy") {
            continue;
        }
        let name = path.file_stem().unwrap().to_str().unwrap();
        assert!(
            tested.contains(&format!("example(\"{name}\"")),
            "{name} has no test"
        );
        let files = match fs::read_dir(&path) {
            Ok(files) => files.map(|file| file.unwrap().path()).collect(),
            Err(_) => vec![path.clone()],
        };
        for file in files {
            let text = fs::read_to_string(&file).unwrap();
            assert!(
                text.lines().count() <= ONE_SCREEN,
                "{} is too long",
                file.display()
            );
            assert!(
                text.starts_with("//! "),
                "{} does not say what it shows",
                file.display()
            );
            let code = text.lines().skip_while(|line| line.starts_with("//!"));
            let length = code.skip(1).count(); // without the blank line after the comment
            let is_short = ["json_api", "events", "guard"].contains(&name);
            assert!(
                !is_short || length <= SHORT,
                "{name} has {length} lines of code"
            );
        }
    }
}

#[test]
fn hello_answers_at_the_root_alone() {
    let server = Child::example("hello", &[]);
    let mut client = server.client();
    assert_eq!(client.get("/").text(), "Hello, world!\n");
    assert_eq!(client.get("/else").status, 404);
    let head = client
        .send("HEAD / HTTP/1.1\r\nHost: test\r\n\r\n")
        .reply_to("HEAD");
    assert_eq!(head.field("content-length"), Some("14"));
    assert_eq!(client.send(post("/", "x")).reply().status, 501);
}

#[test]
fn echo_sends_back_what_came() {
    let server = Child::example("echo", &[]);
    let mut client = server.client();
    let body: Vec<u8> = (0..1_000_000_u32).map(|index| (index / 3) as u8).collect();
    let reply = client.send(post("/", &body)).reply();
    assert!(reply.body == body);
    assert_eq!(
        reply.field("content-type"),
        Some("application/octet-stream")
    );
    client.send("POST / HTTP/1.1\r\nHost: test\r\nContent-Type: text/x-tea\r\nTransfer-Encoding: chunked\r\n\r\n");
    client.send("4;ext=1\r\nchun\r\n3\r\nked\r\n0\r\nTrailer: 1\r\n\r\n");
    let reply = client.reply();
    assert_eq!(
        (reply.text(), reply.field("content-type")),
        ("chunked", Some("text/x-tea"))
    );
    let large = "POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 16777217\r\n\r\n";
    assert_eq!(client.send(large).reply().status, 413);
}

#[test]
fn upload_stores_a_file_byte_by_byte_and_refuses_bad_names() {
    let directory = tempfile::tempdir().unwrap();
    let server = Child::example("upload", &[directory.path().as_os_str()]);
    let mut client = server.client();
    let body: Vec<u8> = (0..1024 * 1024_u32)
        .map(|index| (index / 7) as u8)
        .collect();
    assert_eq!(client.send(put("/file.bin", &body)).reply().status, 201);
    assert!(fs::read(directory.path().join("file.bin")).unwrap() == body);
    let long = format!("/{}", "x".repeat(201));
    for bad in [
        "/",
        "/.hidden",
        "/..",
        "/../escaped-upload",
        "/a/b",
        "/a%2fb",
        "/a?b",
        "/a~",
        "/%00",
        &long,
    ] {
        assert_eq!(client.send(put(bad, "bad")).reply().status, 403, "{bad}");
    }
    // An incomplete upload leaves no file.
    let mut leaving = server.client();
    leaving.send(&put("/half", &body)[..body.len() / 2]);
    drop(leaving);
    client.send(put("/small", "")).reply();
    let mut names: Vec<_> = fs::read_dir(directory.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(names, ["file.bin", "small"]);
    assert!(!directory.path().with_file_name("escaped-upload").exists());
}

#[test]
fn upload_never_shows_half_a_file() {
    let directory = tempfile::tempdir().unwrap();
    let server = Child::example("upload", &[directory.path().as_os_str()]);
    let mut client = server.client();
    let versions = [vec![b'a'; 1024 * 1024], vec![b'b'; 700 * 1024]];
    assert_eq!(client.send(put("/file", &versions[0])).reply().status, 201);
    let (done, path) = (
        Arc::new(AtomicBool::new(false)),
        directory.path().join("file"),
    );
    let reader = {
        let (done, versions) = (Arc::clone(&done), versions.clone());
        thread::spawn(move || {
            let mut seen = HashSet::new();
            while !done.load(Ordering::Acquire) {
                let content = fs::read(&path).unwrap();
                let version = versions.iter().position(|version| *version == content);
                seen.insert(version.expect("half a file"));
            }
            seen.len()
        })
    };
    for number in 1..=20 {
        assert_eq!(
            client
                .send(put("/file", &versions[number % 2]))
                .reply()
                .status,
            201
        );
    }
    done.store(true, Ordering::Release);
    assert!(reader.join().unwrap() > 0);
}

#[test]
fn counter_counts_all_visitors_of_all_connections() {
    let server = Child::example("counter", &[]);
    let threads: Vec<_> = (0..8)
        .map(|_| {
            let mut client = server.client();
            thread::spawn(move || -> Vec<String> {
                (0..25).map(|_| client.get("/").text().to_owned()).collect()
            })
        })
        .collect();
    let seen: HashSet<_> = threads
        .into_iter()
        .flat_map(|thread| thread.join().unwrap())
        .collect();
    assert_eq!(seen.len(), 200, "each visitor has its own number");
    assert!(seen.contains("You are visitor 1.\n") && seen.contains("You are visitor 200.\n"));
}

#[test]
fn files_and_api_serves_both() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("a.txt"), "a file").unwrap();
    let server = Child::example("files_and_api", &[OsStr::new(directory.path())]);
    let mut client = server.client();
    assert_eq!(client.get("/a.txt").text(), "a file");
    for calls in 1..=2 {
        let reply = client.get("/api/calls");
        assert_eq!(reply.text(), format!("{{\"calls\":{calls}}}\n"));
        assert_eq!(reply.field("content-type"), Some("application/json"));
    }
    assert!(client.get("/").text().contains("a.txt"));
    let refused = client.send(post("/api/calls", "x")).reply();
    assert_eq!(
        (refused.status, refused.field("allow")),
        (405, Some("GET, HEAD, OPTIONS"))
    );
    assert_eq!(client.get("/none").status, 404);
}

#[test]
fn guard_asks_for_a_password_however_the_path_is_spelled() {
    let site = tempfile::tempdir().unwrap();
    fs::create_dir(site.path().join("private")).unwrap();
    fs::write(site.path().join("private/x"), "secret").unwrap();
    fs::write(site.path().join("open"), "open").unwrap();
    let server = Child::example("guard", &[OsStr::new(site.path())]);
    let mut client = server.client();
    assert_eq!(client.get("/open").text(), "open");
    assert_eq!(client.get("/private/../open").text(), "open");
    let own_page = client.get("/none");
    assert_eq!(
        (own_page.status, own_page.text()),
        (404, "<title>404</title><p>Nothing here")
    );
    for path in [
        "/private",
        "/private/",
        "/private/x",
        "/%70rivate/x",
        "/./private/x",
        "//private/x",
        "/a/../private/x",
        "/a/%2e%2e/private/x",
        "/private%2fx",
        "/private/x?y",
        "/private/none",
    ] {
        let refused = client.get(path);
        assert_eq!(refused.status, 401, "{path}");
        assert!(
            refused
                .field("www-authenticate")
                .unwrap()
                .starts_with("Basic ")
        );
        assert!(refused.text().contains("Unauthorized"));
        assert!(!refused.text().contains("Nothing here"));
    }
    for (given, status) in [
        ("Basic bWU6c2VjcmV0", 200),
        ("Basic bWU6c2VjcmV1", 401),
        ("Basic bWU6c2VjcmV0x", 401),
        ("Basic bWU6", 401),
        ("Bearer bWU6c2VjcmV0", 401),
        ("", 401),
    ] {
        let head =
            format!("GET /%70rivate/x HTTP/1.1\r\nHost: test\r\nAuthorization: {given}\r\n\r\n");
        let reply = client.send(head).reply();
        assert_eq!(reply.status, status, "{given}");
        assert_eq!(reply.text() == "secret", status == 200);
    }
}

#[test]
fn json_api_takes_json_and_refuses_what_is_not() {
    let server = Child::example("json_api", &[]);
    let mut client = server.client();
    let empty = client.get("/notes");
    assert_eq!(
        (empty.status, empty.text(), empty.field("content-type")),
        (200, "[]", Some("application/json"))
    );
    let added = client.send(post("/notes", r#"{"text":"tea"}"#)).reply();
    assert_eq!((added.status, added.text()), (201, r#"{"notes":1}"#));
    assert_eq!(client.send(post("/notes", "[1]")).reply().status, 201);
    assert_eq!(client.get("/notes?x").text(), r#"[{"text":"tea"},[1]]"#);
    for broken in ["", "{", "{} {}", "{\"text\":}", "tea", "\u{fffd}"] {
        let refused = client.send(post("/notes", broken)).reply();
        assert_eq!(refused.status, 400, "{broken}");
        assert!(refused.text().contains(" at line 1 column "));
        assert!(!refused.closes());
    }
    assert_eq!(
        client
            .send(post("/notes", [b'"', 0xff, b'"']))
            .reply()
            .status,
        400
    );
    let head = "HEAD /notes HTTP/1.1\r\nHost: test\r\n\r\n";
    let head = client.send(head).reply_to("HEAD");
    assert_eq!(
        (head.status, head.field("content-length")),
        (200, Some("20"))
    );
    assert_eq!(client.get("/").status, 404);
    assert_eq!(client.send(post("/other", "{}")).reply().status, 404);
    assert_eq!(client.send(put("/notes", "{}")).reply().status, 404);
    let large = post("/notes", vec![b' '; 1024 * 1024 + 1]);
    assert_eq!(server.client().send(large).reply().status, 413);
    assert_eq!(client.get("/notes").text(), r#"[{"text":"tea"},[1]]"#);
}

#[test]
fn limits_come_from_the_command_line() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("a.txt"), "a file").unwrap();
    let arguments = [directory.path().as_os_str(), OsStr::new("max_head=100")];
    let server = Child::example("limits", &arguments);
    assert_eq!(server.client().get("/a.txt").text(), "a file");
    assert_eq!(server.client().get(&"/a".repeat(50)).status, 431);
}

#[test]
fn events_reach_all_subscribers() {
    let server = Child::example("events", &[]);
    let mut subscribers = [server.client(), server.client()];
    for subscriber in &mut subscribers {
        let head = subscriber.send(get("/")).read_until("\r\n\r\n");
        assert!(
            head.contains("Content-Type: text/event-stream\r\n"),
            "{head}"
        );
    }
    let tick = |subscriber: &mut Client| {
        let event = subscriber.read_until("\n\n");
        let (_, id) = event.split_once("id: ").unwrap();
        let id: u64 = id.lines().next().unwrap().parse().unwrap();
        assert!(
            event.ends_with(&format!("id: {id}\ndata: tick {id}\n\n")),
            "{event}"
        );
        id
    };
    let [first, second] = &mut subscribers;
    let (mut one, mut two) = (tick(first), tick(second));
    // The first subscriber may be ahead; then both see the same events.
    while one != two {
        if one < two {
            one = tick(first);
        } else {
            two = tick(second);
        }
    }
    assert_eq!(tick(first), one + 1);
    assert_eq!(tick(second), two + 1);
    // A HEAD or a client that leaves does not disturb the others.
    let head = "HEAD / HTTP/1.1\r\nHost: test\r\n\r\n";
    assert_eq!(server.client().send(head).reply_to("HEAD").status, 200);
    let [first, mut second] = subscribers;
    drop(first);
    let two = tick(&mut second);
    assert_eq!(tick(&mut second), two + 1);
}

#[test]
fn offload_answers_others_while_it_works_and_stops_when_the_client_leaves() {
    let server = Child::example("offload", &[]);
    let mut client = server.client();
    assert_eq!(client.get("/primes/1000").text(), "168\n");
    // This takes longer than any test waits.
    let mut endless = server.client();
    endless.send(get("/primes/1000000000000"));
    for _ in 0..10 {
        assert_eq!(client.get("/").text(), "ask for /primes/1000\n");
    }
    assert!(endless.has_nothing());
    // The only worker is busy until its client leaves.
    client.send([get("/primes/100"), get("/")].concat());
    drop(endless);
    assert_eq!(client.reply().text(), "25\n");
    assert_eq!(client.reply().text(), "ask for /primes/1000\n");
}

#[test]
fn nested_runs_two_servers_and_a_timer_in_one_loop() {
    let mut server = Child::example("nested", &[]);
    let second = server.next_address();
    assert_ne!(second, server.address);
    for address in [server.address, second] {
        let mut client = Client::connect(address);
        let mut ticks = || -> u64 {
            let reply = client.get("/");
            reply
                .text()
                .strip_suffix(" ticks\n")
                .unwrap()
                .parse()
                .unwrap()
        };
        let first = ticks();
        eventually(|| ticks() > first);
    }
}

#[test]
fn threads_answers_from_several_loops() {
    let server = Child::example("threads", &[OsStr::new("3")]);
    let mut clients: Vec<_> = (0..64).map(|_| server.client()).collect();
    let mut loops = HashSet::new();
    for client in &mut clients {
        let first = client.get("/").text().to_owned();
        let (thread, count) = first.trim_end().split_once(": answer ").unwrap();
        let next: u64 = count.parse::<u64>().unwrap() + 1;
        loops.insert(thread.to_owned());
        // A connection stays with its loop, and each loop has its own count.
        assert_eq!(client.get("/").text(), format!("{thread}: answer {next}\n"));
    }
    assert!((2..=3).contains(&loops.len()), "{loops:?}");
}
