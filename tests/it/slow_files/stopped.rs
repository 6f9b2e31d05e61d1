//! A file system that does not answer at all, because its daemon is stopped: the rest of the server goes on.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::slow_site::SlowSite;
use super::{LOCAL, SOON, assert_is_fast};
use crate::admin::{admin_of, ask};
use crate::metrics::value;
use crate::support::{Client, Mount, Server, StoppedDaemon, get, short_of_descriptors, wait_until};

const CLIENTS: usize = 100;
/// More than the buffers of a connection take.
const BIG: usize = 50_000_000;

/// A site whose daemon is stopped, and a server that has served all its files before.
fn stopped(options: &[&str]) -> Option<(SlowSite, Server, StoppedDaemon)> {
    let slow = SlowSite::new()?;
    slow.file("file.txt", "from the mount\n");
    let server = slow.server(options);
    assert_eq!(server.get("/mount/file.txt").text(), "from the mount\n");
    let daemon = slow.stop();
    Some((slow, server, daemon))
}

fn crowd(server: &Server) -> Vec<Client> {
    let mut clients: Vec<_> = (0..CLIENTS).map(|_| server.connect()).collect();
    for client in &mut clients {
        client.send(get("/mount/file.txt"));
    }
    // Time enough for all threads to hang.
    thread::sleep(Duration::from_millis(200));
    clients
}

#[track_caller]
fn assert_local_files_are_served(server: &Server) {
    let mut kept = server.connect();
    for _ in 0..20 {
        assert_is_fast(server, &mut kept);
    }
    // This one was not asked for before.
    let began = Instant::now();
    assert_eq!(server.get("/other.txt").text(), "another\n");
    assert!(
        began.elapsed() < SOON,
        "a local file was not served at once"
    );
}

#[test]
fn clients_of_a_stopped_daemon_are_answered_when_it_goes_on() {
    let Some((_slow, server, daemon)) = stopped(&[]) else {
        return;
    };
    let mut clients = crowd(&server);
    assert_local_files_are_served(&server);
    drop(daemon);
    for client in &mut clients {
        let reply = client.read_reply();
        assert_eq!((reply.status(), reply.text()), (200, "from the mount\n"));
    }
    assert_eq!(server.get("/mount/file.txt").text(), "from the mount\n");
}

#[test]
fn clients_of_a_stopped_daemon_are_refused_after_the_timeout() {
    let Some((_slow, server, daemon)) = stopped(&["--file-timeout", "1"]) else {
        return;
    };
    let began = Instant::now();
    for client in &mut crowd(&server) {
        let reply = client.read_reply();
        assert_eq!(reply.status(), 503);
        assert!(reply.field("Retry-After").is_some());
    }
    let took = began.elapsed();
    let expected = Duration::from_millis(900)..Duration::from_secs(4);
    assert!(expected.contains(&took), "503 after {took:?}");
    // A thread is lost a second after it began: once all of them are, such a request is refused at once.
    wait_until("a request is refused at once", || {
        let began = Instant::now();
        assert_eq!(server.get("/mount/file.txt").status(), 503);
        began.elapsed() < Duration::from_millis(500)
    });
    assert_local_files_are_served(&server);
    drop(daemon);
    wait_until("the files are served again", || {
        server.get("/mount/file.txt").status() == 200
    });
    assert_eq!(server.get("/mount/file.txt").text(), "from the mount\n");
}

/// The server learns the type of a file system from the kernel's table of mounts. A request to the file system itself would wait for a
/// daemon that hangs, whenever a container or an automounter mounts something.
#[test]
fn local_files_are_served_after_something_was_mounted_elsewhere() {
    let Some((slow, server, daemon)) = stopped(&["--file-timeout", "1"]) else {
        return;
    };
    for client in &mut crowd(&server) {
        assert_eq!(client.read_reply().status(), 503);
    }
    let elsewhere = slow.site().beside("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    let mount = Mount::tmpfs(&elsewhere);
    assert_local_files_are_served(&server);
    drop(mount);
    assert_local_files_are_served(&server);
    drop(daemon);
}

/// A client in the middle of a download when the daemon stops.
fn interrupted(options: &[&str]) -> Option<(SlowSite, Server, Client, StoppedDaemon)> {
    let slow = SlowSite::new()?;
    slow.file("big.bin", content());
    let server = slow.server(options);
    let mut client = server.connect();
    client.send(get("/mount/big.bin")).read_head();
    assert!(client.take(1_000_000) == content()[..1_000_000]);
    let daemon = slow.stop();
    Some((slow, server, client, daemon))
}

fn content() -> Vec<u8> {
    (0..BIG).map(|i| (i / 7 % 251) as u8).collect()
}

#[test]
fn a_download_goes_on_when_the_daemon_does() {
    let Some((_slow, server, mut client, daemon)) = interrupted(&[]) else {
        return;
    };
    assert_local_files_are_served(&server);
    drop(daemon);
    assert!(client.take(BIG - 1_000_000) == content()[1_000_000..]);
    client.assert_open();
}

#[test]
fn a_download_of_a_stopped_daemon_ends_after_the_timeout() {
    let Some((_slow, server, mut client, daemon)) = interrupted(&["--file-timeout", "1"]) else {
        return;
    };
    let began = Instant::now();
    assert!(client.count_to_end() < (BIG - 1_000_000) as u64);
    assert!(
        began.elapsed() < Duration::from_secs(5),
        "{:?}",
        began.elapsed()
    );
    assert_local_files_are_served(&server);
    drop(daemon);
    wait_until("the files are served again", || {
        server.get("/mount/big.bin").status() == 200
    });
}

#[test]
fn clients_that_wait_for_a_file_make_room() {
    let Some(slow) = SlowSite::new() else { return };
    slow.file("file.txt", "from the mount\n");
    let server = short_of_descriptors(slow.site());
    assert_eq!(server.get("/mount/file.txt").text(), "from the mount\n");
    let _daemon = slow.stop();
    let mut waiting: Vec<_> = (0..30).map(|_| server.connect()).collect();
    for client in &mut waiting {
        client.send(get("/mount/file.txt"));
    }
    // No room is made for a second, and then for each new client.
    for _ in 0..5 {
        assert_eq!(server.get("/other.txt").text(), "another\n");
    }
    assert_eq!(waiting[0].read_reply().status(), 503);
}

#[test]
fn sigterm_ends_the_process_while_the_daemon_is_stopped() {
    let Some((_slow, mut server, _daemon)) = stopped(&["--drain-timeout", "1"]) else {
        return;
    };
    let _clients = crowd(&server);
    let began = Instant::now();
    server.signal(Signal::TERM);
    assert_eq!(server.wait().code(), Some(0));
    assert!(
        began.elapsed() < Duration::from_secs(3),
        "{:?}",
        began.elapsed()
    );
}

#[test]
fn sigterm_lets_slow_requests_end() {
    let Some((_slow, mut server, daemon)) = stopped(&[]) else {
        return;
    };
    let mut clients = crowd(&server);
    server.signal(Signal::TERM);
    thread::sleep(Duration::from_millis(300));
    drop(daemon);
    for client in &mut clients {
        assert_eq!(client.read_reply().text(), "from the mount\n");
    }
    assert_eq!(server.wait().code(), Some(0));
}

#[test]
fn the_administration_answers_while_the_served_directory_hangs() {
    let Some(slow) = SlowSite::new() else { return };
    slow.file("file.txt", "from the mount\n");
    let options = ["--admin", "127.0.0.1:0", "--file-timeout", "1"];
    let server = slow.server_below("", &options);
    let admin = admin_of(&server);
    let ask_at_once = |path: &str| {
        let began = Instant::now();
        let reply = ask(admin, path);
        assert!(began.elapsed() < SOON, "{path} took {:?}", began.elapsed());
        reply
    };
    wait_until("the server is ready", || ask_at_once("/readyz").0 == 200);
    let daemon = slow.stop();
    let clients = crowd(&server);
    for path in ["/metrics", "/livez"] {
        assert_eq!(ask_at_once(path).0, 200);
    }
    wait_until("/readyz says 503", || ask_at_once("/readyz").0 == 503);
    assert_eq!(ask_at_once("/metrics").0, 200);
    drop(clients);
    drop(daemon);
    wait_until("/readyz says 200", || ask_at_once("/readyz").0 == 200);
    assert_eq!(server.get("/file.txt").text(), "from the mount\n");
}

#[test]
fn metrics_show_the_file_threads_and_their_queue() {
    let options = ["--admin", "127.0.0.1:0", "--file-threads", "3"];
    let Some((_slow, server, daemon)) = stopped(&options) else {
        return;
    };
    let admin = admin_of(&server);
    let threads = |state: &str| value(admin, "httpoll_file_threads", &format!("state=\"{state}\""));
    let queue = || value(admin, "httpoll_file_queue", "");
    assert_eq!(threads("idle"), 3.0);
    let mut clients = crowd(&server);
    wait_until("all clients wait", || queue() == (CLIENTS - 3) as f64);
    assert_eq!((threads("busy"), threads("idle")), (3.0, 0.0));
    wait_until("the longest wait grows", || {
        value(admin, "httpoll_file_longest_wait_seconds", "") >= 0.2
    });
    assert_eq!(value(admin, "httpoll_file_jobs_refused_total", ""), 0.0);
    drop(daemon);
    for client in &mut clients {
        assert_eq!(client.read_reply().status(), 200);
    }
    wait_until("all threads are idle", || threads("idle") == 3.0);
    assert_eq!((threads("lost"), queue()), (0.0, 0.0));
    assert_eq!(server.get("/hello.txt").body, LOCAL);
}
