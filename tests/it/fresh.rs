//! No reply is older than its request: each kind of change shows in each kind of reply that a server may keep.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::Write;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::thread::{self, sleep};
use std::time::Duration;

use rustix::fs::{AtFlags, CWD, FallocateFlags, Mode, OFlags, RenameFlags, Timespec, Timestamps};
use rustix::process::Signal;

use crate::support::{Client, Reply, Server, Site, command, get, unprivileged, wait_until};

/// Longer than a reply is not kept after a change.
const SETTLED: Duration = Duration::from_millis(120);
/// The date of all files before they change.
const OLD: i64 = 1_577_836_800;
const SMALL: usize = 10;
const LARGE: usize = 200_000;

/// The files that change, their sizes, and what each is asked for by.
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

/// What a reply says about the file.
struct Said {
    status: u16,
    date: Option<String>,
    tag: Option<String>,
    body: Vec<u8>,
}

fn ask(client: &mut Client, target: &str) -> Said {
    let Reply { head, body } = client.get(target);
    Said {
        status: head.status,
        date: head.field("Last-Modified").map(str::to_owned),
        tag: head.field("ETag").map(str::to_owned),
        body,
    }
}

impl Said {
    /// Whether both replies say the same. A tag may be weak at one moment and strong at another; all else stays.
    fn is_as(&self, other: &Self) -> bool {
        (self.status, &self.date, &self.body) == (other.status, &other.date, &other.body)
    }

    /// Whether one strong tag stands for two contents. That of a large file is made of its date and size.
    fn shares_tag(&self, other: &Self) -> bool {
        let is_strong = |tag: &String| !tag.starts_with("W/");
        let is_small = self.body.len() < LARGE;
        let is_same = self.tag == other.tag && self.tag.as_ref().is_some_and(is_strong);
        is_small && is_same && self.body != other.body
    }
}

/// What a change does later; it may have prepared the file for that when it was made.
type Later = Box<dyn FnOnce()>;
type FileChange = (&'static str, fn(PathBuf) -> Later);
type SiteChange = (&'static str, fn(Site) -> Later);

fn later(change: impl FnOnce() + 'static) -> Later {
    Box::new(change)
}

/// A path beside `file`, on the same file system and not served from there.
fn elsewhere(file: &Path) -> PathBuf {
    let name = file.file_name().unwrap().to_str().unwrap();
    let base = file.ancestors().find(|path| path.ends_with("site"));
    base.unwrap().with_file_name(format!("elsewhere-{name}"))
}

fn size_of(file: &Path) -> usize {
    usize::try_from(fs::metadata(file).unwrap().len()).unwrap()
}

fn open(file: &Path) -> File {
    let mut options = OpenOptions::new();
    options.read(true).write(true).open(file).unwrap()
}

/// Fills an open file with other bytes, size and place unchanged.
fn overwrite(file: &File) {
    let length = file.metadata().unwrap().len();
    let content = vec![b'b'; usize::try_from(length).unwrap()];
    file.write_all_at(&content, 0).unwrap();
}

/// Another file for the place of `file`.
fn another(file: &Path) -> PathBuf {
    let other = elsewhere(file);
    fs::write(&other, vec![b'b'; size_of(file)]).unwrap();
    other
}

/// A file without a name, made in `directory`.
fn nameless(directory: &Path, content: &[u8]) -> File {
    let flags = OFlags::TMPFILE | OFlags::RDWR;
    let file = rustix::fs::open(directory, flags, Mode::from_raw_mode(0o644)).unwrap();
    let file = File::from(file);
    file.write_all_at(content, 0).unwrap();
    file
}

/// Gives an open file a name.
fn link(file: &File, name: &Path) {
    rustix::fs::linkat(CWD, by_descriptor(file), CWD, name, AtFlags::SYMLINK_FOLLOW).unwrap();
}

fn by_descriptor(file: &File) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()))
}

fn exchange(one: &Path, other: &Path) {
    rustix::fs::renameat_with(CWD, one, CWD, other, RenameFlags::EXCHANGE).unwrap();
}

fn relink(target: &Path, name: &Path) {
    let new = elsewhere(name).with_extension("link");
    symlink(target, &new).unwrap();
    fs::rename(new, name).unwrap();
}

fn chmod(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

/// A name beside that of `file`.
fn sibling(file: &Path) -> PathBuf {
    file.with_extension("other")
}

/// Puts a link in place of `file`; returns where it leads.
fn behind_link(file: &Path) -> PathBuf {
    let real = file.with_extension("real");
    fs::rename(file, &real).unwrap();
    symlink(real.file_name().unwrap(), file).unwrap();
    real
}

const FILE_CHANGES: [FileChange; 34] = [
    ("written in place", |file| {
        later(move || overwrite(&open(&file)))
    }),
    ("written through an open descriptor", |file| {
        let open = open(&file);
        later(move || overwrite(&open))
    }),
    ("written through /proc/self/fd", |file| {
        let held = File::open(file).unwrap();
        later(move || overwrite(&open(&by_descriptor(&held))))
    }),
    ("written and its date put back", |file| {
        later(move || {
            let file = open(&file);
            let date = file.metadata().unwrap().modified().unwrap();
            overwrite(&file);
            file.set_modified(date).unwrap();
        })
    }),
    ("written anew", |file| {
        later(move || fs::write(file, "new").unwrap())
    }),
    ("appended to", |file| {
        later(move || {
            let mut file = OpenOptions::new().append(true).open(file).unwrap();
            file.write_all(b"more").unwrap();
        })
    }),
    ("emptied", |file| {
        later(move || drop(File::create(file).unwrap()))
    }),
    ("made shorter", |file| {
        later(move || open(&file).set_len(3).unwrap())
    }),
    ("made longer", |file| {
        later(move || open(&file).set_len(LARGE as u64 + 1).unwrap())
    }),
    ("allocated beyond its end", |file| {
        later(move || {
            let allocated =
                rustix::fs::fallocate(open(&file), FallocateFlags::empty(), 0, LARGE as u64 + 1);
            allocated.unwrap();
        })
    }),
    ("punched", |file| {
        later(move || {
            let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
            rustix::fs::fallocate(open(&file), flags, 0, SMALL as u64).unwrap();
        })
    }),
    ("copied into", |file| {
        let from = File::open(another(&file)).unwrap();
        later(move || {
            let copied = rustix::fs::copy_file_range(from, None, open(&file), None, SMALL);
            assert_eq!(copied, Ok(SMALL));
        })
    }),
    ("sent into", |file| {
        let from = File::open(another(&file)).unwrap();
        later(move || {
            let sent = rustix::fs::sendfile(open(&file), from, None, SMALL);
            assert_eq!(sent, Ok(SMALL));
        })
    }),
    ("given another date", |file| {
        later(move || {
            let date = open(&file).metadata().unwrap().modified().unwrap();
            open(&file)
                .set_modified(date + Duration::from_secs(9))
                .unwrap();
        })
    }),
    ("replaced by rename", |file| {
        let other = another(&file);
        later(move || fs::rename(other, file).unwrap())
    }),
    ("exchanged", |file| {
        let other = another(&file);
        later(move || exchange(&other, &file))
    }),
    ("deleted", |file| {
        later(move || fs::remove_file(file).unwrap())
    }),
    ("renamed", |file| {
        later(move || fs::rename(&file, sibling(&file)).unwrap())
    }),
    ("deleted and made again", |file| {
        later(move || {
            fs::remove_file(&file).unwrap();
            fs::write(&file, "new").unwrap();
        })
    }),
    ("replaced by a directory", |file| {
        later(move || {
            fs::remove_file(&file).unwrap();
            fs::create_dir(&file).unwrap();
        })
    }),
    ("replaced by a link", |file| {
        fs::rename(another(&file), sibling(&file)).unwrap();
        later(move || relink(Path::new(sibling(&file).file_name().unwrap()), &file))
    }),
    ("replaced by a link that leads out", |file| {
        let other = another(&file);
        later(move || relink(&other, &file))
    }),
    ("written where a link leads", |file| {
        let real = behind_link(&file);
        later(move || overwrite(&open(&real)))
    }),
    ("a link that leads elsewhere", |file| {
        fs::rename(another(&file), sibling(&file)).unwrap();
        behind_link(&file);
        later(move || relink(Path::new(sibling(&file).file_name().unwrap()), &file))
    }),
    ("chmod", |file| later(move || chmod(&file, 0))),
    ("chmod back", |file| {
        chmod(&file, 0);
        later(move || chmod(&file, 0o644))
    }),
    ("written through an older hard link", |file| {
        let other = elsewhere(&file);
        fs::hard_link(file, &other).unwrap();
        later(move || overwrite(&open(&other)))
    }),
    ("written through a newer hard link", |file| {
        later(move || {
            let other = elsewhere(&file);
            fs::hard_link(file, &other).unwrap();
            overwrite(&open(&other));
        })
    }),
    (
        "written through the descriptor of a name that is gone",
        |file| {
            let other = elsewhere(&file);
            fs::rename(&file, &other).unwrap();
            let open = open(&other);
            fs::hard_link(&other, file).unwrap();
            fs::remove_file(other).unwrap();
            later(move || overwrite(&open))
        },
    ),
    ("written through a descriptor older than a rename", |file| {
        let other = another(&file);
        let open = open(&other);
        fs::write(&other, vec![b'c'; size_of(&file)]).unwrap();
        fs::rename(other, file).unwrap();
        later(move || overwrite(&open))
    }),
    (
        "a nameless file of the same directory, linked and written",
        |file| {
            let open = nameless(file.parent().unwrap(), &fs::read(&file).unwrap());
            fs::remove_file(&file).unwrap();
            link(&open, &file);
            later(move || overwrite(&open))
        },
    ),
    (
        "a nameless file of another directory, linked and written",
        |file| {
            let open = nameless(
                elsewhere(&file).parent().unwrap(),
                &fs::read(&file).unwrap(),
            );
            fs::remove_file(&file).unwrap();
            link(&open, &file);
            later(move || overwrite(&open))
        },
    ),
    ("created", |file| {
        fs::remove_file(&file).unwrap();
        later(move || fs::write(file, "new").unwrap())
    }),
    ("created by a link", |file| {
        let other = another(&file);
        fs::remove_file(&file).unwrap();
        later(move || fs::hard_link(other, file).unwrap())
    }),
];

/// A directory that holds the same names as `up` at first, with other contents.
fn another_tree(site: &Site) -> PathBuf {
    for (name, _, _) in FILES {
        site.file(name.replacen("up", "tree", 1), "of another tree");
    }
    let tree = site.beside("tree");
    fs::rename(site.at("tree"), &tree).unwrap();
    tree
}

const SITE_CHANGES: [SiteChange; 15] = [
    ("chmod of the directory", |site| {
        later(move || chmod(&site.at("up/dir"), 0))
    }),
    ("chmod of the directory above", |site| {
        later(move || chmod(&site.at("up"), 0))
    }),
    ("chmod back", |site| {
        chmod(&site.at("up/dir"), 0);
        later(move || chmod(&site.at("up/dir"), 0o755))
    }),
    ("the directory renamed", |site| {
        later(move || fs::rename(site.at("up/dir"), site.at("up/other")).unwrap())
    }),
    ("the directory above renamed", |site| {
        later(move || fs::rename(site.at("up"), site.at("other")).unwrap())
    }),
    ("the directory above moved out", |site| {
        later(move || fs::rename(site.at("up"), site.beside("other")).unwrap())
    }),
    ("the directory above renamed back", |site| {
        fs::rename(site.at("up"), site.at("other")).unwrap();
        later(move || fs::rename(site.at("other"), site.at("up")).unwrap())
    }),
    ("the directory exchanged", |site| {
        let tree = another_tree(&site);
        later(move || exchange(&tree.join("dir"), &site.at("up/dir")))
    }),
    ("the directory above exchanged", |site| {
        let tree = another_tree(&site);
        later(move || exchange(&tree, &site.at("up")))
    }),
    ("everything removed", |site| {
        later(move || fs::remove_dir_all(site.at("up")).unwrap())
    }),
    ("everything made again", |site| {
        let tree = another_tree(&site);
        later(move || {
            fs::remove_dir_all(site.at("up")).unwrap();
            fs::rename(tree, site.at("up")).unwrap();
        })
    }),
    ("a link in place of the directory", |site| {
        fs::rename(another_tree(&site), site.at("tree")).unwrap();
        later(move || {
            fs::rename(site.at("up/dir"), site.at("up/old")).unwrap();
            symlink("../tree/dir", site.at("up/dir")).unwrap();
        })
    }),
    ("a link in place of the directory above", |site| {
        fs::rename(another_tree(&site), site.at("tree")).unwrap();
        later(move || {
            fs::rename(site.at("up"), site.at("old")).unwrap();
            symlink("tree", site.at("up")).unwrap();
        })
    }),
    ("a link that leads to another directory", |site| {
        fs::rename(another_tree(&site), site.at("tree")).unwrap();
        fs::rename(site.at("up"), site.at("old")).unwrap();
        symlink("old", site.at("up")).unwrap();
        later(move || relink(Path::new("tree"), &site.at("up")))
    }),
    (
        "files written where a link to their directory leads",
        |site| {
            fs::rename(site.at("up"), site.at("old")).unwrap();
            symlink("old", site.at("up")).unwrap();
            later(move || {
                for (name, _, _) in FILES {
                    overwrite(&open(&site.at(name.replacen("up", "old", 1))));
                }
            })
        },
    ),
];

/// A server without the rights of root, which chmod does not bind, where that can be had.
fn serve(site: &Site) -> (Server, bool) {
    let root = site.root();
    let options = ["0", "-q", "-b", "127.0.0.1", "-d", root.to_str().unwrap()];
    match unprivileged(&options) {
        Some(command) => (Server::spawn(command), true),
        None => (Server::spawn(command(&options)), false),
    }
}

/// Makes all of [`FILES`], old ones; the changes that `prepare` returns come later.
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

/// All targets that show the files, with the number of the file.
fn targets() -> impl Iterator<Item = (usize, &'static str)> {
    let number = |(number, file): (usize, &(_, _, &'static [&'static str]))| {
        file.2.iter().map(move |target| (number, *target))
    };
    FILES.iter().enumerate().flat_map(number)
}

/// Asks for everything until it is kept, makes the changes, and compares each reply at once with that of a new server; returns what is
/// wrong. Each change is made right before the file with its number is asked for.
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
        assert!(is_listing || !fresh.is_as(&before), "{what}: no change");
        for (said, which) in after.iter().zip(["first", "second"]) {
            if !said.is_as(&fresh) {
                let is_old = if said.is_as(&before) { "old" } else { "wrong" };
                let status = said.status;
                wrong.push(format!(
                    "{what}: {target}, {which} reply: {is_old} ({status})"
                ));
            }
        }
        if fresh.shares_tag(&before) || after.iter().any(|said| said.shares_tag(&before)) {
            wrong.push(format!("{what}: {target}: {:?} once more", before.tag));
        }
    }
    wrong
}

fn file_changes_show_at_once(make: fn() -> Site) {
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
fn whatever_happens_to_a_file_shows_at_once() {
    file_changes_show_at_once(Site::empty);
}

#[test]
fn whatever_happens_to_a_file_in_memory_shows_at_once() {
    file_changes_show_at_once(Site::in_memory);
}

#[test]
fn whatever_happens_to_a_directory_shows_at_once() {
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
fn a_hard_link_made_after_a_file_was_kept_is_no_way_around() {
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
        // Kept again, now that it has two names.
        assert!(ask_for(name).starts_with(b"aaa"));
        for byte in b"bcd" {
            let file = open(&site.beside(name));
            file.write_all_at(&[*byte; 10], 0).unwrap();
            assert!(ask_for(name).starts_with(&[*byte; 10]));
        }
    }
}

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
