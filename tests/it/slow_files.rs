//! Files of a file system that answers slowly: only the clients that ask for them wait.

mod served;
mod slow_site;
mod stopped;

use std::fs;
use std::os::unix::fs::symlink;
use std::thread;
use std::time::{Duration, Instant};

use crate::support::{Client, Json, Reply, Server, get, request};
use slow_site::SlowSite;

/// Much longer than a reply takes on a busy machine, and much shorter than [`DELAY`].
const SOON: Duration = Duration::from_secs(1);
/// Seconds by which the file system delays its answers.
const DELAY: f64 = 2.0;
const LOCAL: &[u8] = b"Hello, world!\n";

/// Asks for a local file on a new connection and on `kept`, and asserts that both replies come at once.
#[track_caller]
fn assert_is_fast(server: &Server, kept: &mut Client) {
    for client in [&mut server.connect(), kept] {
        let began = Instant::now();
        let reply = client.get("/hello.txt");
        assert_eq!((reply.status(), &*reply.body), (200, LOCAL));
        let took = began.elapsed();
        assert!(took < SOON, "another client waited for {took:?}");
    }
}

/// Asks for `target`. Until the reply is there, and for as long as `after`, other clients must not wait. Returns the reply and how
/// long it took.
#[track_caller]
fn ask_beside_others(server: &Server, target: &str, after: Duration) -> (Reply, Duration) {
    let mut slow = server.connect();
    let mut kept = server.connect();
    slow.send(get(target));
    let began = Instant::now();
    let reading = thread::spawn(move || (slow.read_reply(), began.elapsed()));
    let mut asked = 0;
    while asked < 10 || !reading.is_finished() {
        assert_is_fast(server, &mut kept);
        asked += 1;
        thread::sleep(Duration::from_millis(20));
    }
    let (reply, took) = reading.join().unwrap();
    let replied = Instant::now();
    while replied.elapsed() < after {
        assert_is_fast(server, &mut kept);
        thread::sleep(Duration::from_millis(20));
    }
    (reply, took)
}

/// Asserts that only the client that asks for `target` waits for requests of this kind.
#[track_caller]
fn assert_others_do_not_wait(kind: &str, target: &str) {
    let Some(slow) = SlowSite::new() else { return };
    slow.file("slow.txt", "slow\n");
    slow.file("slow-directory/entry.txt", "");
    let server = slow.server(&[]);
    slow.delay(&[kind], DELAY);
    let (reply, took) = ask_beside_others(&server, target, Duration::ZERO);
    assert_eq!(reply.status(), 200);
    let expected = if target.ends_with('/') {
        "entry.txt"
    } else {
        "slow\n"
    };
    assert!(reply.text().contains(expected), "{}", reply.text());
    assert!(took.as_secs_f64() >= DELAY, "not slow: {took:?}");
}

#[test]
fn others_do_not_wait_for_lookup() {
    assert_others_do_not_wait("lookup", "/mount/slow.txt");
}

#[test]
fn others_do_not_wait_for_getattr() {
    assert_others_do_not_wait("getattr", "/mount/slow.txt");
}

#[test]
fn others_do_not_wait_for_open() {
    assert_others_do_not_wait("open", "/mount/slow.txt");
}

#[test]
fn others_do_not_wait_for_read() {
    assert_others_do_not_wait("read", "/mount/slow.txt");
}

#[test]
fn others_do_not_wait_for_the_lookup_of_a_directory() {
    assert_others_do_not_wait("lookup", "/mount/slow-directory/");
}

#[test]
fn others_do_not_wait_for_opendir() {
    assert_others_do_not_wait("opendir", "/mount/slow-directory/");
}

#[test]
fn others_do_not_wait_for_readdir() {
    assert_others_do_not_wait("readdir", "/mount/slow-directory/");
}

#[test]
fn others_do_not_wait_for_the_attributes_of_entries() {
    let Some(slow) = SlowSite::new() else { return };
    slow.file("directory/slow.txt", "slow\n");
    let server = slow.server(&[]);
    slow.delay(&["lookup"], DELAY);
    let (reply, took) = ask_beside_others(&server, "/mount/directory/?format=json", Duration::ZERO);
    assert!(reply.text().contains("slow.txt"), "{}", reply.text());
    assert!(took.as_secs_f64() >= DELAY, "not slow: {took:?}");
}

/// The first request has read the old rules, and its thread still waits when the second request comes after a change.
#[test]
fn rules_that_a_thread_has_read_are_for_its_request_only() {
    let Some(slow) = SlowSite::new() else { return };
    slow.file("slow-rules", "/slow-page /old 302\n");
    symlink("slow-rules", slow.source().join("_redirects")).unwrap();
    let server = slow.server_below("", &["--site"]);
    slow.delay(&["flush"], DELAY);
    let (mut first, mut second) = (server.connect(), server.connect());
    first.send(get("/page"));
    thread::sleep(SOON / 2);
    slow.delay(&["lookup"], 2.0 * DELAY);
    slow.file("new", "/slow-page /new 302\n");
    fs::rename(slow.source().join("new"), slow.source().join("_redirects")).unwrap();
    let reply = second.get("/slow-page");
    assert_eq!(first.read_reply().status(), 404);
    assert_eq!(reply.field("Location"), Some("/new"));
}

/// `close` sends FLUSH and waits for its answer.
#[test]
fn others_do_not_wait_for_a_file_to_be_closed() {
    let Some(slow) = SlowSite::new() else { return };
    let content = vec![b'x'; 5_000_000];
    slow.file("slow.txt", "slow\n").file("slow.bin", &content);
    let server = slow.server(&[]);
    slow.delay(&["flush"], DELAY);
    let (reply, _) = ask_beside_others(&server, "/mount/slow.txt", Duration::ZERO);
    assert_eq!(reply.text(), "slow\n");
    // Longer than idle files stay open.
    let after = Duration::from_secs(7);
    let (reply, _) = ask_beside_others(&server, "/mount/slow.bin", after);
    assert!(reply.body == content, "wrong bytes");
}

#[test]
fn others_do_not_wait_after_a_client_has_left_in_the_middle_of_a_download() {
    let Some(slow) = SlowSite::new() else { return };
    slow.file("slow.bin", vec![b'x'; 50_000_000]);
    let server = slow.server(&[]);
    slow.delay(&["flush"], DELAY);
    let mut client = server.connect();
    client.send(get("/mount/slow.bin")).read_head();
    client.take(100_000);
    slow.delay(&["flush", "read"], DELAY);
    let mut kept = server.connect();
    assert_is_fast(&server, &mut kept);
    client.reset();
    let left = Instant::now();
    while left.elapsed().as_secs_f64() < 2.0 * DELAY + 1.0 {
        assert_is_fast(&server, &mut kept);
        thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn pipelined_requests_behind_a_slow_one_are_answered_in_order() {
    let Some(slow) = SlowSite::new() else { return };
    slow.file("slow.txt", "slow\n");
    let server = slow.server(&[]);
    slow.delay(&["open"], 0.5);
    let mut client = server.connect();
    let targets = [
        "/mount/slow.txt",
        "/hello.txt",
        "/mount/slow.txt",
        "/missing",
    ];
    client.send(targets.map(get).concat());
    let replies = targets.map(|_| client.read_reply());
    let bodies = [0, 1, 2].map(|number: usize| replies[number].text());
    assert_eq!(bodies, ["slow\n", "Hello, world!\n", "slow\n"]);
    assert_eq!(replies[3].status(), 404);
    client.assert_open();
}

#[test]
fn a_client_that_closes_its_side_gets_the_slow_file() {
    let Some(slow) = SlowSite::new() else { return };
    slow.file("slow.txt", "slow\n");
    let server = slow.server(&[]);
    slow.delay(&["open", "read"], 0.5);
    let mut client = server.connect();
    let reply = client
        .send(get("/mount/slow.txt"))
        .half_close()
        .read_reply();
    assert_eq!((reply.status(), reply.text()), (200, "slow\n"));
    client.assert_closed();
}

#[test]
fn clients_that_reset_while_a_file_is_opened_leave_no_trace() {
    let Some(slow) = SlowSite::new() else { return };
    slow.file("slow.txt", "slow\n");
    let server = slow.server(&[]);
    let rest = server.descriptors();
    slow.delay(&["open"], 0.2);
    for _ in 0..10 {
        let mut client = server.connect();
        client.send(get("/mount/slow.txt"));
        thread::sleep(Duration::from_millis(20));
        client.reset();
    }
    assert_eq!(server.get("/mount/slow.txt").text(), "slow\n");
    assert_eq!(server.get("/hello.txt").body, LOCAL);
    crate::support::wait_until("all descriptors are closed", || {
        server.descriptors() <= rest
    });
}

#[test]
fn clients_that_have_left_are_not_waited_for() {
    let Some(slow) = SlowSite::new() else { return };
    slow.file("slow.txt", "slow\n");
    let server = slow.server(&["--file-threads", "1"]);
    slow.delay(&["open"], 0.5);
    let mut gone: Vec<_> = (0..20).map(|_| server.connect()).collect();
    for client in &mut gone {
        client.send(get("/mount/slow.txt"));
    }
    let mut client = server.connect();
    client.send(get("/mount/slow.txt"));
    thread::sleep(Duration::from_millis(100));
    gone.into_iter().for_each(Client::reset);
    let began = Instant::now();
    assert_eq!(client.read_reply().text(), "slow\n");
    let took = began.elapsed();
    assert!(
        took < Duration::from_secs(4),
        "all were waited for: {took:?}"
    );
}

#[test]
fn a_file_that_takes_longer_than_the_timeout_is_refused_and_served_later() {
    let Some(slow) = SlowSite::new() else { return };
    slow.file("slow.txt", "slow\n");
    let server = slow.server(&["--file-timeout", "1"]);
    slow.delay(&["open"], 5.0);
    let (reply, took) = ask_beside_others(&server, "/mount/slow.txt", Duration::ZERO);
    assert_eq!(reply.status(), 503);
    assert!(reply.field("Retry-After").is_some());
    let expected = Duration::from_millis(900)..Duration::from_secs(3);
    assert!(expected.contains(&took), "503 after {took:?}");
    slow.delay(&[], 0.0);
    assert_eq!(server.get("/mount/slow.txt").text(), "slow\n");
    // The thread that opened it for the first client is back, too.
    thread::sleep(Duration::from_secs(5));
    assert_eq!(server.get("/mount/slow.txt").text(), "slow\n");
}

/// A request must not share a reading that has begun before it, so it waits for two; the deadline is that of one wait.
#[test]
fn a_listing_that_takes_longer_than_the_timeout_is_sent_to_all_while_entries_come() {
    let Some(slow) = SlowSite::new() else { return };
    for number in 0..20 {
        slow.file(&format!("directory/slow-{number}.txt"), "slow\n");
    }
    let server = slow.server(&["--file-timeout", "1"]);
    slow.delay(&["lookup"], 0.1);
    let mut clients: Vec<_> = (0..3).map(|_| server.connect()).collect();
    for client in &mut clients {
        client.send(get("/mount/directory/?format=json"));
        thread::sleep(Duration::from_millis(200));
    }
    for client in &mut clients {
        let reply = client.read_reply();
        assert_eq!(reply.status(), 200);
        assert_eq!(Json::parse(reply.text()).items().len(), 20);
    }
}

/// Asks for `count` slow files at the same time, all of which must come; returns how long that took.
#[track_caller]
fn ask_at_once(server: &Server, count: usize) -> Duration {
    let began = Instant::now();
    let mut clients: Vec<_> = (0..count).map(|_| server.connect()).collect();
    for (number, client) in clients.iter_mut().enumerate() {
        client.send(get(&format!("/mount/slow-{number}.txt")));
    }
    assert_is_fast(server, &mut server.connect());
    for (number, client) in clients.iter_mut().enumerate() {
        let reply = client.read_reply();
        assert_eq!((reply.status(), reply.text()), (200, &*number.to_string()));
    }
    began.elapsed()
}

fn with_numbered_files(count: usize) -> Option<SlowSite> {
    let slow = SlowSite::new()?;
    for number in 0..count {
        slow.file(&format!("slow-{number}.txt"), number.to_string());
    }
    Some(slow)
}

#[test]
fn more_slow_files_than_threads_are_served_one_after_the_other() {
    let Some(slow) = with_numbered_files(6) else {
        return;
    };
    let server = slow.server(&["--file-threads", "2"]);
    slow.delay(&["open"], 1.0);
    let took = ask_at_once(&server, 6);
    let expected = Duration::from_millis(2900)..Duration::from_secs(5);
    assert!(expected.contains(&took), "6 files, 2 at a time: {took:?}");
}

#[test]
fn all_loops_share_the_file_threads() {
    let Some(slow) = with_numbered_files(8) else {
        return;
    };
    let server = slow.server(&["--loops", "2", "--file-threads", "4"]);
    slow.delay(&["open"], 1.0);
    let took = ask_at_once(&server, 8);
    let expected = Duration::from_millis(1900)..Duration::from_secs(4);
    assert!(expected.contains(&took), "8 files, 4 at a time: {took:?}");
}

#[test]
fn without_file_threads_the_loop_opens_all_files() {
    let Some(slow) = with_numbered_files(3) else {
        return;
    };
    slow.file("slow-directory/entry.txt", "");
    let server = slow.server(&["--file-threads", "0"]);
    slow.delay(&["open", "readdir"], 0.2);
    for number in 0..3 {
        let reply = server.get(&format!("/mount/slow-{number}.txt"));
        assert_eq!(reply.text(), number.to_string());
    }
    let listing = server.get("/mount/slow-directory/");
    assert!(listing.text().contains("entry.txt"));
    let reply = server.ask(request("HEAD", "/mount/slow-0.txt", &[]));
    assert_eq!(reply.status(), 200);
}

#[test]
fn a_slow_request_is_logged_when_it_is_answered() {
    let Some(slow) = with_numbered_files(1) else {
        return;
    };
    let server = slow.server(&[]);
    slow.delay(&["open"], 1.0);
    let mut client = server.connect();
    client.send(get("/mount/slow-0.txt"));
    thread::sleep(Duration::from_millis(100));
    server.get("/hello.txt");
    client.read_reply();
    let lines = server.log_lines(2);
    assert!(
        lines[0].contains("\"GET /hello.txt HTTP/1.1\" 200 14"),
        "{lines:#?}"
    );
    assert!(
        lines[1].contains("\"GET /mount/slow-0.txt HTTP/1.1\" 200 1"),
        "{lines:#?}"
    );
}
