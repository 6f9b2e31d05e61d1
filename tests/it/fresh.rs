//! No reply is older than its request: each kind of change shows in each kind of reply that the server may keep.

mod changes;
mod in_flight;

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::thread::sleep;

use rustix::fs::{AtFlags, CWD, Timespec, Timestamps};

use crate::support::{Client, Reply, SETTLED, Server, Site, command, unprivileged};
use changes::{FILE_CHANGES, Later, SITE_CHANGES, open};

/// The modification time of all files before they change, in seconds since 1970.
const OLD: i64 = 1_577_836_800;
const SMALL: usize = 10;
const LARGE: usize = 200_000;

/// The files that change, their sizes, and the targets that show each.
const FILES: [(&str, usize, &[&str]); 4] = [
    ("up/dir/small", SMALL, &["/up/dir/small"]),
    ("up/dir/large", LARGE, &["/up/dir/large"]),
    ("up/dir/index/index.html", SMALL, &["/up/dir/index/"]),
    (
        "up/dir/list/entry",
        SMALL,
        &["/up/dir/list/", "/up/dir/list/?format=json"],
    ),
];

/// The parts of a reply that depend on the file.
struct Observed {
    status: u16,
    date: Option<String>,
    tag: Option<String>,
    body: Vec<u8>,
}

fn ask(client: &mut Client, target: &str) -> Observed {
    let Reply { head, body } = client.get(target);
    Observed {
        status: head.status,
        date: head.field("Last-Modified").map(str::to_owned),
        tag: head.field("ETag").map(str::to_owned),
        body,
    }
}

impl Observed {
    /// Whether both replies are the same but for the tag, which may be weak at one moment and strong at another.
    fn equals(&self, other: &Self) -> bool {
        (self.status, &self.date, &self.body) == (other.status, &other.date, &other.body)
    }

    /// Whether one strong tag stands for two contents. The tag of a large file is not checked: it is made of date and size.
    fn shares_tag(&self, other: &Self) -> bool {
        let is_strong = |tag: &String| !tag.starts_with("W/");
        let is_small = self.body.len() < LARGE;
        let is_same = self.tag == other.tag && self.tag.as_ref().is_some_and(is_strong);
        is_small && is_same && self.body != other.body
    }
}

/// Starts a server, without the rights of root where possible; says whether permissions bind the server.
fn serve(site: &Site) -> (Server, bool) {
    let root = site.root();
    let options = ["0", "-q", "-b", "127.0.0.1", "-d", root.to_str().unwrap()];
    match unprivileged(&options) {
        Some(command) => (Server::spawn(command), true),
        None => (Server::spawn(command(&options)), false),
    }
}

/// Makes all of [`FILES`] with an old date, and returns the second steps of the changes that `prepare` began.
fn prepare(site: &Site, prepare: impl FnOnce() -> Vec<Later>) -> Vec<Later> {
    for (name, size, _) in FILES {
        site.file(name, vec![b'a'; size]);
    }
    let changes = prepare();
    for (name, _, _) in FILES {
        if site.at(name).is_file() {
            make_old(&site.at(name));
        }
    }
    sleep(SETTLED);
    changes
}

fn make_old(path: &Path) {
    let date = Timespec {
        tv_sec: OLD,
        tv_nsec: 0,
    };
    let dates = Timestamps {
        last_access: date,
        last_modification: date,
    };
    rustix::fs::utimensat(CWD, path, &dates, AtFlags::empty()).unwrap();
}

/// All targets that show a file, each with the number of its file.
fn targets() -> impl Iterator<Item = (usize, &'static str)> {
    let number = |(number, file): (usize, &(_, _, &'static [&'static str]))| {
        file.2.iter().map(move |target| (number, *target))
    };
    FILES.iter().enumerate().flat_map(number)
}

/// Asks for each target until the server keeps the reply, makes the changes, and compares each reply with that of a new server;
/// returns the differences. A change is made immediately before the request for the file with its number.
fn compare(what: &str, site: &Site, new_first: bool, changes: Vec<Later>) -> Vec<String> {
    let (server, is_bound) = serve(site);
    if !is_bound && what.starts_with("chmod") {
        return Vec::new();
    }
    let mut old = server.connect();
    let mut before = Vec::new();
    for _ in 0..3 {
        before = targets().map(|(_, target)| ask(&mut old, target)).collect();
        assert_ne!(old.get("/up/dir/none").status(), 200);
    }
    let mut changes = changes.into_iter().enumerate().peekable();
    let mut after = Vec::new();
    for (number, target) in targets() {
        if let Some((_, change)) = changes.next_if(|(index, _)| *index == number) {
            change();
        }
        let mut new = server.connect();
        after.push(if new_first {
            [ask(&mut new, target), ask(&mut old, target)]
        } else {
            [ask(&mut old, target), ask(&mut new, target)]
        });
    }
    let (server, _) = serve(site);
    let mut fresh = server.connect();
    let mut wrong = Vec::new();
    for (((_, target), before), after) in targets().zip(before).zip(after) {
        let fresh = ask(&mut fresh, target);
        let is_listing = target.contains("/list/");
        assert!(is_listing || !fresh.equals(&before), "{what}: no change");
        let differences = differences(&before, &after, &fresh);
        wrong.extend(differences.map(|difference| format!("{what}: {target}: {difference}")));
    }
    wrong
}

/// The differences of the two replies after a change from that of a new server, and tags that came before the change.
fn differences<'a>(
    before: &'a Observed,
    after: &'a [Observed; 2],
    fresh: &'a Observed,
) -> impl Iterator<Item = String> + 'a {
    let old = after.iter().zip(["first", "second"]);
    let old = old.filter(|(reply, _)| !reply.equals(fresh));
    let old = old.map(|(reply, which)| {
        let is_old = if reply.equals(before) { "old" } else { "wrong" };
        format!("{which} reply: {is_old} ({})", reply.status)
    });
    let mut replies = after.iter().chain([fresh]);
    let tag = replies
        .any(|reply| reply.shares_tag(before))
        .then(|| format!("{:?} once more", before.tag));
    old.chain(tag)
}

fn assert_file_changes_show_at_once(make: fn() -> Site) {
    let mut wrong = Vec::new();
    for (index, (what, change)) in FILE_CHANGES.into_iter().enumerate() {
        let site = make();
        let changes = prepare(&site, || {
            let change = |(name, _, _)| change(site.at(name));
            FILES.map(change).into_iter().collect()
        });
        wrong.extend(compare(what, &site, index % 2 == 0, changes));
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn every_change_of_a_file_shows_at_once() {
    assert_file_changes_show_at_once(Site::empty);
}

#[test]
fn every_change_of_a_file_in_memory_shows_at_once() {
    assert_file_changes_show_at_once(Site::in_memory);
}

#[test]
fn every_change_of_a_directory_shows_at_once() {
    let mut wrong = Vec::new();
    for (index, (what, change)) in SITE_CHANGES.into_iter().enumerate() {
        let site = Site::empty();
        let changes = prepare(&site, || vec![change(site.clone())]);
        wrong.extend(compare(what, &site, index % 2 == 0, changes));
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn the_date_of_a_subdirectory_shows_at_once() {
    for target in ["/", "/?format=json"] {
        let site = Site::empty();
        site.directory("sub");
        make_old(&site.at("sub"));
        sleep(SETTLED);
        let server = Server::start(&site);
        let mut client = server.connect();
        for _ in 0..3 {
            let text = client.get(target).text().to_owned();
            assert!(text.contains("2020") || text.contains("1577836800"));
        }
        site.file("sub/file", "makes the directory new");
        let text = client.get(target).text().to_owned();
        assert!(
            !text.contains("2020") && !text.contains("1577836800"),
            "{text}"
        );
    }
}

#[test]
fn a_write_through_a_later_hard_link_shows_at_once() {
    let site = Site::empty();
    site.file("file", "aaaaaaaaaa")
        .file("large", vec![b'a'; LARGE]);
    sleep(SETTLED);
    let server = Server::start(&site);
    let mut client = server.connect();
    let mut ask_for = |name: &str| {
        let target = format!("/{name}");
        (0..3).for_each(|_| drop(client.get(&target)));
        client.get(&target).body
    };
    for name in ["file", "large"] {
        ask_for(name);
        fs::hard_link(site.at(name), site.beside(name)).unwrap();
        // The server keeps it again, now that the file has two names.
        assert!(ask_for(name).starts_with(b"aaa"));
        for byte in b"bcd" {
            let file = open(&site.beside(name));
            file.write_all_at(&[*byte; 10], 0).unwrap();
            assert!(ask_for(name).starts_with(&[*byte; 10]));
        }
    }
}
