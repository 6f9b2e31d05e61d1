//! A file changes between the first and the last byte of a request, or while requests wait to be read.

use std::fs;
use std::thread::{self, sleep};

use rustix::process::Signal;

use crate::support::{Reply, SETTLED, Server, Site, get, wait_until};

/// Stops the server until [`resume`]: all that is sent meanwhile comes to it at once.
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

/// What `/n` says: its content, or nothing for 404.
fn said(reply: &Reply) -> Option<&str> {
    match reply.status() {
        200 => Some(reply.text()),
        404 => None,
        status => panic!("{status}"),
    }
}

/// Puts another file in place of `/n`, or removes it.
fn change(site: &Site, new: Option<&str>) {
    match new {
        Some(content) => {
            fs::write(site.beside("new"), content).unwrap();
            fs::rename(site.beside("new"), site.at("n")).unwrap();
        }
        None => fs::remove_file(site.at("n")).unwrap(),
    }
}

/// What `/n` is before and after a change.
const TRANSITIONS: [(Option<&str>, Option<&str>); 3] = [
    (Some("old"), Some("new")),
    (Some("old"), None),
    (None, Some("new")),
];
const ROUNDS: usize = 30;
const OTHERS: usize = 100;

/// Goes through all transitions at the same time, each with a server of its own.
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

/// Makes `/n` what it is before a change, so long ago that it is kept once it was asked for.
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
                assert_eq!(said(&last.get("/n")), old);
            }
            stop(&server);
            first.send(get("/n"));
            for other in &mut others {
                other.send(get(["/other", "/n"][round % 2]));
            }
            last.send(start);
            resume(&server);
            assert_eq!(said(&first.read_reply()), old);
            change(site, new);
            last.send(end);
            assert_eq!(said(&last.read_reply()), new, "round {round}");
            for other in &mut others {
                other.read_reply();
            }
            // And as often as it is asked for from then on.
            assert_eq!(said(&others[round].get("/n")), new);
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
                assert_eq!(said(&clients[0].get("/n")), old);
            }
            stop(&server);
            change(site, new);
            for client in &mut clients {
                client.send(get("/n"));
            }
            resume(&server);
            for client in &mut clients {
                assert_eq!(said(&client.read_reply()), new, "round {round}");
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
                assert_eq!(said(&client.read_reply()), old);
            }
            change(site, new);
            client.send(end.to_owned() + &get("/n"));
            for _ in 0..2 {
                assert_eq!(said(&client.read_reply()), new, "round {round}");
            }
        }
    });
}
