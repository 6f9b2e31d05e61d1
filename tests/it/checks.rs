//! Files that are asked for so much that they are checked by descriptors: none of their replies is older than the request.

use std::fs;
use std::os::unix::fs::symlink;
use std::thread;
use std::time::Duration;

use crate::support::{Client, Server, Site, get, short_of_descriptors, skip, wait_until};

/// Longer than a file and its directory must have been left alone to be kept.
const SETTLED: Duration = Duration::from_millis(80);
const FILES: usize = 32;
/// How many of them are checked by their names in a turn, before the first whose directory is noted.
const FEW: usize = 8;

fn name(number: usize) -> String {
    format!("deep/dir/{number}.txt")
}

/// A directory of files that say what they are.
fn site() -> Site {
    let site = Site::empty();
    for number in 0..FILES {
        site.file(name(number), number.to_string());
    }
    thread::sleep(SETTLED);
    site
}

/// Asks for all files in one go, the `last` at the end; returns what they said, or their status.
fn ask_for_all(client: &mut Client, last: usize) -> Vec<String> {
    let order = |index| (index + last + 1) % FILES;
    client.send(
        (0..FILES)
            .map(|index| get(&format!("/{}", name(order(index)))))
            .collect::<String>(),
    );
    let mut said = vec![String::new(); FILES];
    for index in 0..FILES {
        let reply = client.read_reply();
        said[order(index)] = match reply.status() {
            200 => reply.text().to_owned(),
            status => status.to_string(),
        };
    }
    said
}

/// A client that has `server` hold the last of the files; `None` where the file system does not allow it.
fn held(server: &Server) -> Option<Client> {
    let mut client = server.connect();
    client.get("/");
    let before = server.descriptors();
    for last in [FILES - 1; 3] {
        ask_for_all(&mut client, last);
    }
    if server.descriptors() == before {
        skip("the file system is not one of those that are known");
        return None;
    }
    assert_eq!(server.descriptors(), before + FILES - FEW - 1);
    Some(client)
}

/// Each way to change what the name of a held file leads to, and what it says then.
type Change = (&'static str, fn(&Site), &'static str);
const LAST: &str = "deep/dir/31.txt";
const CHANGES: [Change; 10] = [
    (
        "rewritten",
        |site| {
            site.file(LAST, "new");
        },
        "new",
    ),
    (
        "rewritten with the same size",
        |site| {
            site.file(LAST, "99");
        },
        "99",
    ),
    (
        "truncated",
        |site| {
            site.file(LAST, "");
        },
        "",
    ),
    (
        "another in its place",
        |site| {
            site.file("other", "99");
            fs::rename(site.at("other"), site.at(LAST)).unwrap();
        },
        "99",
    ),
    (
        "removed",
        |site| fs::remove_file(site.at(LAST)).unwrap(),
        "404",
    ),
    (
        "renamed",
        |site| fs::rename(site.at(LAST), site.at("deep/dir/x")).unwrap(),
        "404",
    ),
    (
        "a link in its place",
        |site| {
            fs::remove_file(site.at(LAST)).unwrap();
            symlink("30.txt", site.at(LAST)).unwrap();
        },
        "30",
    ),
    (
        "its directory moved",
        |site| fs::rename(site.at("deep/dir"), site.at("deep/x")).unwrap(),
        "404",
    ),
    (
        "another directory in place of the upper one",
        |site| {
            site.file("new/dir/31.txt", "99");
            fs::rename(site.at("deep"), site.at("old")).unwrap();
            fs::rename(site.at("new"), site.at("deep")).unwrap();
        },
        "99",
    ),
    (
        "a link to another directory",
        |site| {
            site.file("new/31.txt", "99");
            fs::rename(site.at("deep/dir"), site.at("old")).unwrap();
            symlink("../new", site.at("deep/dir")).unwrap();
        },
        "99",
    ),
];

#[test]
fn whatever_happens_to_a_file_that_is_held_shows_at_once() {
    for (what, change, says) in CHANGES {
        let site = site();
        let server = Server::start(&site);
        let Some(mut client) = held(&server) else {
            return;
        };
        change(&site);
        assert_eq!(ask_for_all(&mut client, 0)[FILES - 1], says, "{what}");
    }
}

#[test]
fn a_change_between_any_two_requests_shows() {
    let site = site();
    let server = Server::start(&site);
    let Some(mut client) = held(&server) else {
        return;
    };
    let mut expected: Vec<_> = (0..FILES).map(|number| number.to_string()).collect();
    for round in 0..100 {
        let changed = round * 7 % FILES;
        expected[changed] = format!("{:02}", round % 100);
        if round % 2 == 0 {
            site.file("deep/dir/other", &expected[changed]);
            fs::rename(site.at("deep/dir/other"), site.at(name(changed))).unwrap();
        } else {
            site.file(name(changed), &expected[changed]);
        }
        if round % 10 == 0 {
            thread::sleep(SETTLED);
        }
        assert_eq!(ask_for_all(&mut client, round % FILES), expected, "{round}");
    }
}

#[test]
fn the_last_client_takes_all_that_is_held_along() {
    let site = site();
    let server = Server::start(&site);
    let rest = server.descriptors();
    let Some(client) = held(&server) else {
        return;
    };
    let mut other = server.connect();
    drop(client);
    ask_for_all(&mut other, FILES - 1);
    assert!(server.descriptors() >= rest + FILES - FEW - 1);
    drop(other);
    wait_until("all is let go", || server.descriptors() == rest);
    let mut client = server.connect();
    assert_eq!(ask_for_all(&mut client, 0)[FILES - 1], "31");
}

#[test]
fn files_are_no_reason_to_run_out_of_descriptors() {
    let site = site();
    let server = short_of_descriptors(&site);
    let mut client = server.connect();
    client.get("/");
    let before = server.descriptors();
    for last in [FILES - 1; 3] {
        ask_for_all(&mut client, last);
    }
    // Beside the reserve.
    assert!(server.descriptors() <= before + (40 - 17) / 2);
    // Connections go before files.
    let mut others: Vec<_> = (0..20).map(|_| server.connect()).collect();
    for other in &mut others {
        assert_eq!(other.get("/").status(), 200);
    }
    client.assert_open();
    assert_eq!(ask_for_all(&mut client, 0)[FILES - 1], "31");
}
