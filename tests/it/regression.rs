//! Bugs that were found by reading or in use, each with its test.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::support::{Client, Server, Site, command, get, run, wait_until, without_warnings};

#[test]
fn no_log_line_is_lost_in_a_file() {
    let server = Server::start(&Site::new());
    let mut clients: Vec<_> = (0..100).map(|_| server.connect()).collect();
    let requests = get(&format!("/hello.txt?{}", "x".repeat(500))).repeat(30);
    for client in &mut clients {
        client.send(&requests);
    }
    for client in &mut clients {
        for _ in 0..30 {
            assert_eq!(client.read_reply().status(), 200);
        }
    }
    wait_until("all lines are there", || {
        server.log().lines().count() >= 3000
    });
    assert!(!server.log().contains("lost"));
}

#[test]
fn bytes_sent_during_the_last_download_do_not_cut_it() {
    const BIG: usize = 64 << 20;
    let site = Site::in_memory();
    site.sparse("big", BIG as u64);
    let server = Server::start(&site);
    let mut client = server.connect();
    client.send("GET /big HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    client.read_head();
    assert_eq!(client.take(BIG / 2).len(), BIG / 2);
    client.send("\r\n");
    assert_eq!(client.read_to_end().len(), BIG / 2);
}

#[test]
fn exit_codes_are_right_when_no_message_can_be_written() {
    for (options, code) in [(["--frob", "0"], 2), (["-d", "/nonexistent"], 1)] {
        let mut program = command(&options);
        let full = || {
            fs::OpenOptions::new()
                .write(true)
                .open("/dev/full")
                .unwrap()
        };
        program.stdout(full()).stderr(full());
        assert_eq!(program.status().unwrap().code(), Some(code), "{options:?}");
    }
}

#[test]
fn a_single_file_behind_a_link_is_served_at_the_link_name() {
    let site = Site::new();
    site.link("link", "hello.txt");
    let server = Server::of_path(&site.at("link"), &[]);
    for (target, status) in [
        ("/", 200),
        ("/link", 200),
        ("/link/", 404),
        ("/dir/file.txt", 404),
    ] {
        assert_eq!(server.get(target).status(), status, "{target}");
    }
}

#[test]
fn a_flag_in_a_config_file_takes_no_value() {
    let site = Site::empty();
    for line in ["quiet no", "no-listing=false", "help", "version"] {
        site.file("config", line);
        let output = run(&["-c", site.at("config").to_str().unwrap()]);
        assert_eq!(output.status.code(), Some(2), "{line}");
    }
}

#[test]
fn the_last_log_lines_reach_a_slow_reader() {
    let site = Site::new();
    let root = site.root();
    let mut program = command(&["0", "-b", "127.0.0.1", "-d", root.to_str().unwrap()]);
    program.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = program.spawn().unwrap();
    let mut banner = String::new();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    stdout.read_line(&mut banner).unwrap();
    let port = banner.split(' ').nth(5).unwrap();
    let mut client = Client::connect(format!("127.0.0.1:{port}").parse().unwrap());
    client.send(get("/hello.txt").repeat(700));
    for _ in 0..700 {
        assert_eq!(client.read_reply().status(), 200);
    }
    let id = Pid::from_child(&child);
    kill_process(id, Signal::TERM).unwrap();
    std::thread::sleep(Duration::from_millis(50));
    let mut log = String::new();
    child
        .stderr
        .take()
        .unwrap()
        .read_to_string(&mut log)
        .unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert_eq!(without_warnings(&log).lines().count(), 700);
}
