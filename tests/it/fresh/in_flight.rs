//! Files that change between the first and the last byte of a request, or while requests wait to be read.

use std::fs;
use std::thread::{self, sleep};

use rustix::process::Signal;

use crate::support::{Reply, SETTLED, Server, Site, get, wait_until};

/// Stops the server until [`resume`], so that it then finds all requests at once.
fn stop(server: &Server) {
    server.signal(Signal::STOP);
    let stat = format!("/proc/{}/stat", server.id());
    wait_until("the server has stopped", || {
        fs::read_to_string(&stat).unwrap().contains(") T ")
    });
}

fn resume(server: &Server) {
    server.signal(Signal::CONT);
}

/// The content of `/n`; `None` for 404.
fn content(reply: &Reply) -> Option<&str> {
    match reply.status() {
        200 => Some(reply.text()),
        404 => None,
        status => panic!("{status}"),
    }
}

/// Replaces `/n` by another file, or removes it.
fn change(site: &Site, new: Option<&str>) {
    match new {
        Some(content) => {
            fs::write(site.beside("new"), content).unwrap();
            fs::rename(site.beside("new"), site.at("n")).unwrap();
        }
        None => fs::remove_file(site.at("n")).unwrap(),
    }
}

/// The content of `/n` before and after a change; `None` where there is no file.
const TRANSITIONS: [(Option<&str>, Option<&str>); 3] = [
    (Some("old"), Some("new")),
    (Some("old"), None),
    (None, Some("new")),
];
const ROUNDS: usize = 30;
const OTHERS: usize = 100;

/// Runs all transitions at the same time, each with its own server.
fn for_each_transition(test: fn(&Site, Option<&str>, Option<&str>)) {
    thread::scope(|scope| {
        for (old, new) in TRANSITIONS {
            scope.spawn(move || {
                let site = Site::empty();
                site.file("other", "other");
                test(&site, old, new);
            });
        }
    });
}

/// Gives `/n` the content before a change, and waits until the server would keep a reply.
fn begin(site: &Site, old: Option<&str>) {
    let _ = fs::remove_file(site.at("n"));
    if old.is_some() {
        change(site, old);
    }
    sleep(SETTLED);
}

#[test]
fn a_request_that_ends_after_a_change_gets_the_new_content() {
    for_each_transition(|site, old, new| {
        let server = Server::start(site);
        let [mut first, mut last] = [server.connect(), server.connect()];
        let mut others: Vec<_> = (0..OTHERS).map(|_| server.connect()).collect();
        let (start, end) = (&get("/n")[..8], &get("/n")[8..]);
        for round in 0..ROUNDS {
            begin(site, old);
            for _ in 0..2 {
                assert_eq!(content(&last.get("/n")), old);
            }
            stop(&server);
            first.send(get("/n"));
            for other in &mut others {
                other.send(get(["/other", "/n"][round % 2]));
            }
            last.send(start);
            resume(&server);
            assert_eq!(content(&first.read_reply()), old);
            change(site, new);
            last.send(end);
            assert_eq!(content(&last.read_reply()), new, "round {round}");
            for other in &mut others {
                other.read_reply();
            }
            // A later request gets the new content, too.
            assert_eq!(content(&others[round].get("/n")), new);
        }
    });
}

#[test]
fn requests_that_wait_while_a_file_changes_get_the_new_content() {
    for_each_transition(|site, old, new| {
        let server = Server::start(site);
        let mut clients: Vec<_> = (0..OTHERS).map(|_| server.connect()).collect();
        for round in 0..ROUNDS {
            begin(site, old);
            for _ in 0..2 {
                assert_eq!(content(&clients[0].get("/n")), old);
            }
            stop(&server);
            change(site, new);
            for client in &mut clients {
                client.send(get("/n"));
            }
            resume(&server);
            for client in &mut clients {
                assert_eq!(content(&client.read_reply()), new, "round {round}");
            }
        }
    });
}

#[test]
fn a_pipelined_request_that_ends_after_a_change_gets_the_new_content() {
    for_each_transition(|site, old, new| {
        let server = Server::start(site);
        let mut client = server.connect();
        let (start, end) = (&get("/n")[..8], &get("/n")[8..]);
        for round in 0..ROUNDS {
            begin(site, old);
            client.send(get("/n").repeat(9) + start);
            for _ in 0..9 {
                assert_eq!(content(&client.read_reply()), old);
            }
            change(site, new);
            client.send(end.to_owned() + &get("/n"));
            for _ in 0..2 {
                assert_eq!(content(&client.read_reply()), new, "round {round}");
            }
        }
    });
}
