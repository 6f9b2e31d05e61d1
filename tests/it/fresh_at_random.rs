//! Files that change all the time, in every way at random: no reply is older than what was certain when its request was sent, newer
//! than what had begun when it came, torn, or tagged as another content was.
//!
//! Each name has versions that count up, and its content repeats the number of its version. Absence is a version, too. Each name is
//! changed by one thread alone, which notes a version as begun before the system call that makes it and as certain after.

use std::collections::{HashMap, VecDeque};
use std::fmt::Write as _;
use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use memchr::memmem;
use rustix::fs::{AtFlags, CWD, Mode, OFlags, RenameFlags, linkat, renameat_with};

use crate::support::{GUARD, Mount, Server, Site, command, get};

/// A version as content has it: seven digits and a line feed. Reads and writes never tear eight aligned bytes.
const TOKEN: usize = 8;
const SMALL: usize = 40 * TOKEN;
const LARGE: usize = 25_000 * TOKEN;
const WRITERS: usize = 3;
const READERS: usize = 4;
/// For each writer.
const DIRECTORIES: usize = 2;
/// After so many failures the rest says nothing new.
const ENOUGH_FAILURES: usize = 5;

/// What a version is.
#[derive(Clone, Copy, Debug, PartialEq)]
enum State {
    /// A file that came into its place with all its content.
    Whole,
    /// A file that was written in its place: until that is certain, its content may be mixed with the one before.
    Written,
    Empty,
    Absent,
}

const STATES: [State; 4] = [State::Whole, State::Written, State::Empty, State::Absent];

/// Versions that a reply may be of.
struct Window {
    first: u64,
    last: u64,
    states: [bool; 4],
    /// The same without the first, which was certain before the request.
    new_states: [bool; 4],
}

impl Window {
    fn has(&self, state: State) -> bool {
        self.states[state as usize]
    }

    fn has_new(&self, state: State) -> bool {
        self.new_states[state as usize]
    }

    fn contains(&self, version: u64) -> bool {
        (self.first..=self.last).contains(&version)
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Small,
    Large,
    Index,
    /// A directory with one file; the version is its name.
    Listing,
}

/// The names in each directory.
const NAMES: [(&str, Kind); 6] = [
    ("first", Kind::Small),
    ("second", Kind::Small),
    ("third", Kind::Small),
    ("large", Kind::Large),
    ("page/index.html", Kind::Index),
    ("list", Kind::Listing),
];

/// A name, and its versions.
struct Slot {
    /// In the served directory.
    name: String,
    kind: Kind,
    requests: Vec<String>,
    begun: AtomicU64,
    certain: AtomicU64,
    /// The states of the last 32 versions, two bits each.
    states: AtomicU64,
    last_change: Mutex<&'static str>,
}

impl Slot {
    fn new(directory: &str, name: &str, kind: Kind) -> Self {
        let targets = match kind {
            Kind::Index => vec![format!("/{directory}/page/")],
            Kind::Listing => ["", "?format=json"]
                .map(|query| format!("/{directory}/{name}/{query}"))
                .to_vec(),
            _ => vec![format!("/{directory}/{name}")],
        };
        Self {
            name: format!("{directory}/{name}"),
            kind,
            requests: targets.iter().map(|target| get(target)).collect(),
            begun: AtomicU64::new(1),
            certain: AtomicU64::new(1),
            states: AtomicU64::new(0),
            last_change: Mutex::new("laid out"),
        }
    }

    /// The version that comes next; only the one thread that changes this name may ask.
    fn next(&self) -> u64 {
        self.begun.load(SeqCst) + 1
    }

    fn begin(&self, state: State, change: &'static str) {
        *self.last_change.lock().unwrap() = change;
        let next = self.next();
        let shift = next % 32 * 2;
        let others = self.states.load(SeqCst) & !(3 << shift);
        self.states.store(others | (state as u64) << shift, SeqCst);
        self.begun.store(next, SeqCst);
    }

    fn finish(&self) {
        self.certain.store(self.begun.load(SeqCst), SeqCst);
    }

    /// What a reply may be that has come now, if `certain` was noted before its request.
    fn window(&self, certain: u64) -> Window {
        let last = self.begun.load(SeqCst);
        let bits = self.states.load(SeqCst);
        // More than what is known has begun meanwhile: anything may have been.
        let is_known = self.begun.load(SeqCst) - certain < 32;
        let has = |first: u64, state: State| {
            let is = |version: u64| bits >> (version % 32 * 2) & 3 == state as u64;
            !is_known || (first..=last).any(is)
        };
        Window {
            first: certain,
            last,
            states: STATES.map(|state| has(certain, state)),
            new_states: STATES.map(|state| has(certain + 1, state)),
        }
    }

    fn size(&self) -> usize {
        if self.kind == Kind::Large {
            LARGE
        } else {
            SMALL
        }
    }

    fn content(&self, version: u64) -> Vec<u8> {
        format!("{version:07x}\n")
            .repeat(self.size() / TOKEN)
            .into_bytes()
    }

    /// Whether a reply is one of `window`; returns its version where it tells one for certain.
    fn check(&self, reply: &Reply<'_>, window: &Window) -> Result<Option<u64>, String> {
        let is_listing = reply.body.starts_with(b"<!DOCTYPE");
        match (self.kind, reply.status) {
            (_, 404) => expect(window.has(State::Absent), "404"),
            (Kind::Listing, 200) => check_listing(reply.body, window),
            (Kind::Index, 200) if is_listing => expect(window.has(State::Absent), "a listing"),
            (_, 200) if reply.body.is_empty() => expect(window.has(State::Empty), "nothing"),
            (_, 200) => self.check_content(reply.body, window),
            (_, status) => Err(format!("status {status}")),
        }
    }

    fn check_content(&self, body: &[u8], window: &Window) -> Result<Option<u64>, String> {
        // A large file that is being written has grown page by page.
        let is_growing = body.len() < self.size() && window.has_new(State::Written);
        if body.len() != self.size() && !is_growing || !body.len().is_multiple_of(TOKEN) {
            return Err(format!("{} bytes", body.len()));
        }
        let is_whole = !is_growing && body[TOKEN..] == body[..body.len() - TOKEN];
        let tokens = if is_whole { &body[..TOKEN] } else { body };
        for token in tokens.chunks(TOKEN) {
            let version = parse(&token[..TOKEN - 1]).ok_or_else(|| describe("odd", token))?;
            if !window.contains(version) {
                return Err(format!("version {version}"));
            }
        }
        if !is_whole && !window.has_new(State::Written) {
            return Err("a torn file".to_owned());
        }
        let is_steady = is_whole && !window.has_new(State::Written);
        Ok(parse(&body[..TOKEN - 1]).filter(|_| is_steady))
    }
}

fn expect(is_expected: bool, what: &str) -> Result<Option<u64>, String> {
    is_expected.then_some(None).ok_or_else(|| what.to_owned())
}

fn describe(what: &str, bytes: &[u8]) -> String {
    format!("{what}: {}", bytes.escape_ascii())
}

fn parse(digits: &[u8]) -> Option<u64> {
    u64::from_str_radix(str::from_utf8(digits).ok()?, 16).ok()
}

/// The names in a listing are versions. While one takes the place of another, there may be both or none.
fn check_listing(body: &[u8], window: &Window) -> Result<Option<u64>, String> {
    let mut count = 0;
    for position in memmem::find_iter(body, b"\"v0") {
        let digits = body.get(position + 2..position + 9).and_then(parse);
        let version = digits.ok_or("an odd listing")?;
        count += 1;
        if !window.contains(version) {
            return Err(format!("a listing of version {version}"));
        }
    }
    let is_steady = window.first == window.last;
    expect(
        count == 1 || !is_steady,
        &format!("a listing of {count} files"),
    )
}

/// Numbers that look random (xorshift).
struct Random(u64);

impl Random {
    /// One of several sequences that a seed gives.
    fn new(seed: u64, number: usize) -> Self {
        let mut hasher = DefaultHasher::new();
        (seed, number).hash(&mut hasher);
        Self(hasher.finish() | 1)
    }

    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 33) as usize % bound
    }
}

/// Where files change and are served from.
struct Place {
    served: PathBuf,
    /// Holds `served`, as the changing threads name it, and `scratch`.
    written: PathBuf,
    /// Changes are made behind the back of the kernel, which looks twice and may see two versions: while one takes the place of another,
    /// opening the file may fail.
    is_remote: bool,
    _mount: Option<Mount>,
    _site: Site,
}

impl Place {
    fn in_site(site: Site, slots: &[Slot]) -> Self {
        lay_out_all(&site.root(), slots);
        Self {
            served: site.at("served"),
            written: site.root(),
            is_remote: false,
            _mount: None,
            _site: site,
        }
    }

    fn on_disk(slots: &[Slot]) -> Option<Self> {
        Some(Self::in_site(Site::empty(), slots))
    }

    fn in_memory(slots: &[Slot]) -> Option<Self> {
        Some(Self::in_site(Site::in_memory(), slots))
    }

    /// All files are in the lower layer at first.
    fn on_overlay(slots: &[Slot]) -> Option<Self> {
        let site = Site::empty();
        lay_out_all(&site.beside("lower"), slots);
        let mount = Mount::overlay(&site.root())?;
        Some(Self {
            served: site.at("served"),
            written: site.root(),
            is_remote: false,
            _mount: Some(mount),
            _site: site,
        })
    }

    /// Changes are made beside the mount, as on another machine.
    fn on_fuse(slots: &[Slot]) -> Option<Self> {
        let site = Site::empty();
        let source = site.beside("source");
        lay_out_all(&source, slots);
        let mount = Mount::bindfs(&source, &site.root())?;
        Some(Self {
            served: site.at("served"),
            written: source,
            is_remote: true,
            _mount: Some(mount),
            _site: site,
        })
    }
}

/// Lays out files where they can be had.
type Make = fn(&[Slot]) -> Option<Place>;

fn lay_out_all(base: &Path, slots: &[Slot]) {
    fs::create_dir_all(base.join("scratch")).unwrap();
    fs::create_dir_all(base.join("served/store")).unwrap();
    for slots in slots.chunks(NAMES.len()) {
        let (directory, _) = slots[0].name.split_once('/').unwrap();
        lay_out(&base.join("served").join(directory), slots, |_| 1);
    }
}

/// Makes a directory with a version of each of `slots`.
fn lay_out(directory: &Path, slots: &[Slot], version: impl Fn(&Slot) -> u64) {
    for inner in ["page", "list"] {
        fs::create_dir_all(directory.join(inner)).unwrap();
    }
    for (slot, (name, kind)) in slots.iter().zip(NAMES) {
        let path = directory.join(name);
        let version = version(slot);
        match kind {
            Kind::Listing => fs::write(path.join(entry(version)), "").unwrap(),
            _ => fs::write(path, slot.content(version)).unwrap(),
        }
    }
}

/// The one name in a listing of this version.
fn entry(version: u64) -> String {
    format!("v{version:07x}")
}

/// What else leads to a file than its name.
#[derive(Default)]
struct Ways {
    /// An open descriptor.
    open: Option<File>,
    /// A hard link in another directory.
    hard_link: Option<PathBuf>,
    /// The file that the name is a symbolic link to.
    stored: Option<PathBuf>,
}

/// Changes the names in some directories, in all ways.
struct Writer<'a> {
    base: &'a Path,
    is_remote: bool,
    slots: &'a [Slot],
    number: usize,
    made: usize,
    random: Random,
    ways: HashMap<&'a str, Ways>,
    /// What was replaced stays for a while: the server may be on its way there.
    replaced: VecDeque<PathBuf>,
}

impl<'a> Writer<'a> {
    /// Makes changes until it is told to stop; returns their number.
    fn run(mut self, is_over: &AtomicBool) -> usize {
        let mut changes = 0;
        while !is_over.load(SeqCst) {
            let slots = self.slots;
            if self.random.below(40) == 0 {
                let directory = self.random.below(DIRECTORIES);
                let first = directory * NAMES.len();
                self.change_directory(&slots[first..first + NAMES.len()]);
            } else {
                let number = self.random.below(slots.len());
                self.change(&slots[number]);
            }
            changes += 1;
            // Now and then long enough for everything to be kept.
            match self.random.below(20) {
                0 => thread::sleep(Duration::from_millis(100)),
                1..8 => thread::sleep(Duration::from_micros(self.random.below(4000) as u64)),
                _ => thread::yield_now(),
            }
        }
        changes
    }

    /// A new path outside of the served directory.
    fn scratch(&mut self) -> PathBuf {
        self.made += 1;
        let name = format!("scratch/{}-{}", self.number, self.made);
        self.base.join(name)
    }

    fn path(&self, slot: &Slot) -> PathBuf {
        self.base.join("served").join(&slot.name)
    }

    /// A new file outside of the served directory, with the next version of a slot.
    fn prepared(&mut self, slot: &Slot) -> PathBuf {
        let path = self.scratch();
        fs::write(&path, slot.content(slot.next())).unwrap();
        path
    }

    /// Has another file take the place of a name: no way to the old one counts any more.
    fn put(
        &mut self,
        slot: &'a Slot,
        change: &'static str,
        ways: Ways,
        replace: impl FnOnce(&Path),
    ) {
        let path = self.path(slot);
        slot.begin(State::Whole, change);
        replace(&path);
        slot.finish();
        self.forget(slot);
        self.ways.insert(&slot.name, ways);
    }

    fn forget(&mut self, slot: &Slot) {
        let old = self.ways.remove(slot.name.as_str()).unwrap_or_default();
        for path in [old.hard_link, old.stored].into_iter().flatten() {
            self.remove_later(path);
        }
    }

    fn remove_later(&mut self, path: PathBuf) {
        self.replaced.push_back(path);
        if self.replaced.len() > 50 {
            let path = self.replaced.pop_front().unwrap();
            if path.is_dir() && !path.is_symlink() {
                fs::remove_dir_all(path).unwrap();
            } else {
                let _ = fs::remove_file(path);
            }
        }
    }

    fn change(&mut self, slot: &'a Slot) {
        if slot.kind == Kind::Listing {
            return self.change_listing(slot);
        }
        if fs::symlink_metadata(self.path(slot)).is_err() {
            return self.create(slot);
        }
        match self.random.below(14) {
            0 | 1 => self.replace(slot),
            2 => self.replace_by_an_old_one(slot),
            3 => self.exchange(slot),
            4 => self.replace_by_a_nameless_one(slot),
            5 => self.replace_by_a_link(slot),
            6 => self.remove(slot),
            7 => self.write_anew(slot),
            8 => self.copy_into(slot),
            9 | 10 => self.write_through_a_hard_link(slot),
            11 | 12 => self.write_through_a_descriptor(slot),
            _ => {
                let file = File::options().write(true).open(self.path(slot)).unwrap();
                write(slot, "written in place", &file);
            }
        }
    }

    fn create(&mut self, slot: &'a Slot) {
        match self.random.below(4) {
            0 => {
                let path = self.path(slot);
                slot.begin(State::Empty, "created");
                let file = File::create_new(path).unwrap();
                slot.finish();
                write(slot, "written after it was created", &file);
            }
            1 => {
                let other = self.prepared(slot);
                let ways = Ways {
                    hard_link: Some(other.clone()),
                    ..Ways::default()
                };
                self.put(slot, "created by a hard link", ways, |path| {
                    fs::hard_link(other, path).unwrap();
                });
            }
            2 => match self.nameless(slot) {
                Some(file) => {
                    let ways = Ways {
                        open: file.try_clone().ok(),
                        ..Ways::default()
                    };
                    self.put(slot, "created as a nameless file", ways, |path| {
                        give_name(&file, path);
                    });
                }
                None => self.replace(slot),
            },
            _ => self.replace(slot),
        }
    }

    fn replace(&mut self, slot: &'a Slot) {
        let other = self.prepared(slot);
        let ways = Ways {
            open: File::options().write(true).open(&other).ok(),
            ..Ways::default()
        };
        self.put(slot, "replaced by rename", ways, |path| {
            fs::rename(other, path).unwrap();
        });
    }

    /// As in trees whose dates say nothing.
    fn replace_by_an_old_one(&mut self, slot: &'a Slot) {
        let other = self.prepared(slot);
        if slot.kind != Kind::Large {
            let file = File::options().write(true).open(&other).unwrap();
            let date = SystemTime::UNIX_EPOCH + Duration::from_secs(1);
            file.set_modified(date).unwrap();
        }
        self.put(slot, "replaced by one of 1970", Ways::default(), |path| {
            fs::rename(other, path).unwrap();
        });
    }

    fn exchange(&mut self, slot: &'a Slot) {
        let other = self.prepared(slot);
        self.put(slot, "exchanged", Ways::default(), |path| {
            exchange(&other, path);
        });
        fs::remove_file(other).unwrap();
    }

    /// A file without a name, with the next version; `None` where the file system has none.
    fn nameless(&self, slot: &Slot) -> Option<File> {
        let flags = OFlags::TMPFILE | OFlags::RDWR;
        let directory = self.base.join("scratch");
        let file = rustix::fs::open(directory, flags, Mode::from_raw_mode(0o644)).ok()?;
        let file = File::from(file);
        file.write_all_at(&slot.content(slot.next()), 0).unwrap();
        Some(file)
    }

    fn replace_by_a_nameless_one(&mut self, slot: &'a Slot) {
        let Some(file) = self.nameless(slot) else {
            return self.replace(slot);
        };
        let other = self.scratch();
        give_name(&file, &other);
        let ways = Ways {
            open: Some(file),
            ..Ways::default()
        };
        self.put(slot, "replaced by a nameless file", ways, |path| {
            fs::rename(other, path).unwrap();
        });
    }

    fn replace_by_a_link(&mut self, slot: &'a Slot) {
        let (prepared, new_link) = (self.prepared(slot), self.scratch());
        let name = format!("store/{}-{}", self.number, self.made);
        let stored = self.base.join("served").join(&name);
        fs::rename(prepared, &stored).unwrap();
        let up = "../".repeat(slot.name.matches('/').count());
        symlink(up + &name, &new_link).unwrap();
        let ways = Ways {
            stored: Some(stored),
            ..Ways::default()
        };
        self.put(slot, "replaced by a link", ways, |path| {
            fs::rename(new_link, path).unwrap();
        });
    }

    fn remove(&mut self, slot: &'a Slot) {
        slot.begin(State::Absent, "removed");
        fs::remove_file(self.path(slot)).unwrap();
        slot.finish();
        self.forget(slot);
    }

    /// Only a small file grows from nothing to all at one stroke.
    fn write_anew(&mut self, slot: &'a Slot) {
        if slot.kind == Kind::Large {
            return self.replace(slot);
        }
        let file = File::options().write(true).open(self.path(slot)).unwrap();
        slot.begin(State::Empty, "emptied");
        file.set_len(0).unwrap();
        slot.finish();
        write(slot, "written after it was emptied", &file);
    }

    fn copy_into(&mut self, slot: &'a Slot) {
        let other = self.prepared(slot);
        let from = File::open(&other).unwrap();
        let to = File::options().write(true).open(self.path(slot)).unwrap();
        slot.begin(State::Written, "copied into");
        let mut rest = slot.size();
        while rest > 0 {
            rest -= rustix::fs::copy_file_range(&from, None, &to, None, rest).unwrap();
        }
        slot.finish();
        fs::remove_file(other).unwrap();
    }

    /// The first time makes the link, after the file may have been kept.
    fn write_through_a_hard_link(&mut self, slot: &'a Slot) {
        let (path, new) = (self.path(slot), self.scratch());
        let link = &mut self.ways.entry(&slot.name).or_default().hard_link;
        if let Some(link) = link {
            let file = File::options().write(true).open(link).unwrap();
            write(slot, "written through a hard link", &file);
        } else {
            linkat(CWD, path, CWD, &new, AtFlags::SYMLINK_FOLLOW).unwrap();
            *link = Some(new);
        }
    }

    fn write_through_a_descriptor(&mut self, slot: &'a Slot) {
        let path = self.path(slot);
        let open = &mut self.ways.entry(&slot.name).or_default().open;
        let file = open.get_or_insert_with(|| File::options().write(true).open(path).unwrap());
        write(slot, "written through an old descriptor", file);
    }

    fn change_listing(&mut self, slot: &Slot) {
        let path = self.path(slot);
        let [old, new] = [slot.next() - 1, slot.next()].map(|version| path.join(entry(version)));
        slot.begin(State::Written, "an entry changed");
        match self.random.below(3) {
            0 => {
                File::create_new(new).unwrap();
                fs::remove_file(old).unwrap();
            }
            1 => {
                fs::remove_file(old).unwrap();
                fs::create_dir(&new).unwrap();
                fs::remove_dir(&new).unwrap();
                File::create_new(new).unwrap();
            }
            _ => fs::rename(old, new).unwrap(),
        }
        slot.finish();
    }

    /// Puts another directory in the place of one, with new versions of all names.
    fn change_directory(&mut self, slots: &'a [Slot]) {
        let (name, _) = slots[0].name.split_once('/').unwrap();
        let path = self.base.join("served").join(name);
        let (new, old) = (self.scratch(), self.scratch());
        // What answers for a remote file system follows a link that leads out itself.
        let kinds = if self.is_remote { 3 } else { 4 };
        match self.random.below(kinds) {
            0 => {
                all(slots, State::Absent, "its directory renamed", || {
                    fs::rename(&path, &old).unwrap();
                });
                thread::sleep(Duration::from_millis(self.random.below(10) as u64));
                lay_out(&new, slots, Slot::next);
                all(slots, State::Whole, "a directory renamed", || {
                    fs::rename(&new, &path).unwrap();
                });
            }
            1 => {
                lay_out(&new, slots, Slot::next);
                all(slots, State::Whole, "its directory exchanged", || {
                    exchange(&new, &path);
                });
                fs::rename(&new, &old).unwrap();
            }
            2 => {
                let real = format!("real-{}-{}", self.number, self.made);
                lay_out(&self.base.join("served").join(&real), slots, Slot::next);
                symlink(real, &new).unwrap();
                all(slots, State::Whole, "a link to a directory", || {
                    exchange(&new, &path);
                });
                fs::rename(&new, &old).unwrap();
            }
            _ => {
                let outside = self.scratch();
                lay_out(&outside, slots, |_| 0);
                symlink(&outside, &new).unwrap();
                all(slots, State::Absent, "a link that leads out", || {
                    exchange(&new, &path);
                });
                fs::rename(&new, &old).unwrap();
                thread::sleep(Duration::from_millis(self.random.below(10) as u64));
                lay_out(&new, slots, Slot::next);
                all(slots, State::Whole, "a directory for a link", || {
                    exchange(&new, &path);
                });
                fs::remove_file(new).unwrap();
                self.remove_later(outside);
            }
        }
        if let Ok(real) = fs::read_link(&old) {
            self.remove_later(self.base.join("served").join(real));
        }
        self.remove_later(old);
        for slot in slots {
            self.forget(slot);
        }
    }
}

/// Writes the next version over what is in a file, at one stroke.
fn write(slot: &Slot, change: &'static str, file: &File) {
    let content = slot.content(slot.next());
    slot.begin(State::Written, change);
    assert_eq!(file.write_at(&content, 0).unwrap(), content.len());
    slot.finish();
}

fn all(slots: &[Slot], state: State, change: &'static str, make: impl FnOnce()) {
    slots.iter().for_each(|slot| slot.begin(state, change));
    make();
    slots.iter().for_each(Slot::finish);
}

fn exchange(one: &Path, other: &Path) {
    renameat_with(CWD, one, CWD, other, RenameFlags::EXCHANGE).unwrap();
}

fn give_name(file: &File, path: &Path) {
    let open = format!("/proc/self/fd/{}", file.as_raw_fd());
    linkat(CWD, open, CWD, path, AtFlags::SYMLINK_FOLLOW).unwrap();
}

/// A reply in the buffer of its connection.
struct Reply<'a> {
    status: u16,
    tag: Option<&'a [u8]>,
    body: &'a [u8],
}

/// A connection that copies nothing, unlike [`crate::support::Client`].
struct Connection {
    stream: TcpStream,
    room: Vec<u8>,
    start: usize,
    end: usize,
}

impl Connection {
    fn new(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(GUARD))?;
        Ok(Self {
            stream,
            room: vec![0; 2 * LARGE],
            start: 0,
            end: 0,
        })
    }

    fn read_reply(&mut self) -> io::Result<Reply<'_>> {
        let odd = || io::Error::other("an odd head");
        let head = loop {
            if let Some(length) = memmem::find(&self.room[self.start..self.end], b"\r\n\r\n") {
                break self.start..self.start + length + 2;
            }
            self.fill()?;
        };
        let length = field(&self.room[head.clone()], "Content-Length");
        let length = length.and_then(|digits| str::from_utf8(digits).ok()?.parse().ok());
        let length: usize = length.ok_or_else(odd)?;
        let head_length = head.len();
        while self.end - self.start < head_length + 2 + length {
            self.fill()?;
        }
        let reply = &self.room[self.start..self.start + head_length + 2 + length];
        self.start += reply.len();
        let (head, body) = reply.split_at(head_length + 2);
        let status = head
            .get(9..12)
            .and_then(|status| str::from_utf8(status).ok());
        Ok(Reply {
            status: status
                .and_then(|status| status.parse().ok())
                .ok_or_else(odd)?,
            tag: field(head, "ETag"),
            body,
        })
    }

    /// Reads once.
    fn fill(&mut self) -> io::Result<()> {
        if self.end == self.room.len() || self.start == self.end {
            self.room.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        match self.stream.read(&mut self.room[self.end..])? {
            0 => Err(ErrorKind::UnexpectedEof.into()),
            length => {
                self.end += length;
                Ok(())
            }
        }
    }
}

/// The value of a field of a head.
fn field<'a>(head: &'a [u8], name: &str) -> Option<&'a [u8]> {
    let start = memmem::find(head, format!("\r\n{name}: ").as_bytes())? + name.len() + 4;
    let length = memmem::find(&head[start..], b"\r\n")?;
    Some(&head[start..start + length])
}

/// What all threads know.
struct Test<'a> {
    slots: &'a [Slot],
    address: SocketAddr,
    is_remote: bool,
    replies: AtomicU64,
    is_over: AtomicBool,
    failures: Mutex<Vec<String>>,
}

/// The name and version that a tag stood for, by the hash of name and tag.
type Tags = HashMap<u64, (usize, u64)>;

impl Test<'_> {
    /// Asks until the test is over; returns the tags that came.
    fn read(&self, mut random: Random) -> Tags {
        let mut tags = Tags::new();
        let mut batch = Vec::new();
        while !self.is_over.load(SeqCst) {
            let mut connection = Connection::new(self.address).unwrap();
            for _ in 0..1000 {
                batch.clear();
                let depth = [1, 1, 1, 1 + random.below(8)][random.below(4)];
                batch.extend((0..depth).map(|_| self.choose(&mut random)));
                let is_open = self.ask(&mut connection, &batch, &mut random, &mut tags);
                if !is_open || self.is_over.load(SeqCst) {
                    break;
                }
            }
        }
        tags
    }

    /// A slot; large ones less often.
    fn choose(&self, random: &mut Random) -> usize {
        loop {
            let number = random.below(self.slots.len());
            if self.slots[number].kind != Kind::Large || random.below(8) == 0 {
                return number;
            }
        }
    }

    /// Asks for some slots in one go; false if the connection has ended.
    fn ask(
        &self,
        connection: &mut Connection,
        batch: &[usize],
        random: &mut Random,
        tags: &mut Tags,
    ) -> bool {
        let mut requests = String::new();
        let mut certain = Vec::new();
        for number in batch {
            let slot = &self.slots[*number];
            requests += &slot.requests[random.below(slot.requests.len())];
            certain.push(slot.certain.load(SeqCst));
        }
        if connection.stream.write_all(requests.as_bytes()).is_err() {
            return false;
        }
        for (number, certain) in batch.iter().zip(certain) {
            let slot = &self.slots[*number];
            let reply = match connection.read_reply() {
                Ok(reply) => reply,
                // A file that shrinks while it is sent cannot be sent to its end.
                Err(_) if slot.window(certain).has_new(State::Empty) => return false,
                Err(error) => {
                    self.fail(slot, &slot.window(certain), &error.to_string());
                    return false;
                }
            };
            let mut window = slot.window(certain);
            let may_fail = self.is_remote && window.first < window.last;
            window.states[State::Absent as usize] |= may_fail;
            match slot.check(&reply, &window) {
                Err(_) if may_fail && reply.status >= 400 => {}
                Err(what) => self.fail(slot, &window, &what),
                Ok(version) => {
                    if let (Some(version), Some(tag)) = (version, reply.tag) {
                        let other = tags.insert(hash(*number, tag), (*number, version));
                        if other.is_some_and(|(_, other)| other != version) {
                            let what = describe("one tag for two versions", tag);
                            self.fail(slot, &window, &what);
                        }
                    }
                }
            }
            self.replies.fetch_add(1, SeqCst);
        }
        true
    }

    fn fail(&self, slot: &Slot, window: &Window, what: &str) {
        let Window { first, last, .. } = window;
        let change = slot.last_change.lock().unwrap();
        let mut failures = self.failures.lock().unwrap();
        failures.push(format!(
            "{}: {what}, where {first} was certain and {last} had begun; {change}",
            slot.name
        ));
        if failures.len() >= ENOUGH_FAILURES {
            self.is_over.store(true, SeqCst);
        }
    }
}

fn hash(number: usize, tag: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    (number, tag).hash(&mut hasher);
    hasher.finish()
}

/// The same seed makes the same changes, not at the same moments.
fn seed() -> u64 {
    if let Ok(seed) = std::env::var("HTTPOLL_FRESH_SEED") {
        return seed.parse().expect("HTTPOLL_FRESH_SEED is no number");
    }
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    u64::from(now.unwrap().subsec_nanos())
}

fn slots() -> Vec<Slot> {
    let directories = (0..WRITERS * DIRECTORIES).map(|number| format!("d{number}"));
    directories
        .flat_map(|directory| NAMES.map(|(name, kind)| Slot::new(&directory, name, kind)))
        .collect()
}

/// Changes files and asks for them until there are enough replies, or the time is over.
fn test(
    make: impl FnOnce(&[Slot]) -> Option<Place>,
    loops: &str,
    enough: impl Fn(u64, Duration) -> bool,
) {
    let slots = slots();
    let Some(place) = make(&slots) else {
        return;
    };
    let served = place.served.to_str().unwrap();
    let options = ["0", "-q", "-b", "127.0.0.1", "-n", loops, "-d", served];
    let server = Server::spawn(command(&options));
    let seed = seed();
    let test = Test {
        slots: &slots,
        address: server.address(),
        is_remote: place.is_remote,
        replies: AtomicU64::new(0),
        is_over: AtomicBool::new(false),
        failures: Mutex::new(Vec::new()),
    };
    let started = Instant::now();
    let mut tags = Tags::new();
    let mut changes = 0;
    thread::scope(|scope| {
        let of_writer = slots.chunks(DIRECTORIES * NAMES.len()).enumerate();
        let writers: Vec<_> = of_writer
            .map(|(number, slots)| Writer {
                base: &place.written,
                is_remote: place.is_remote,
                slots,
                number,
                made: 0,
                random: Random::new(seed, number),
                ways: HashMap::new(),
                replaced: VecDeque::new(),
            })
            .map(|writer| scope.spawn(|| writer.run(&test.is_over)))
            .collect();
        let readers: Vec<_> = (WRITERS..WRITERS + READERS)
            .map(|number| (number, &test))
            .map(|(number, test)| scope.spawn(move || test.read(Random::new(seed, number))))
            .collect();
        let ended = || writers.iter().any(thread::ScopedJoinHandle::is_finished);
        while !enough(test.replies.load(SeqCst), started.elapsed()) && !ended() {
            thread::sleep(Duration::from_millis(5));
        }
        test.is_over.store(true, SeqCst);
        changes = writers
            .into_iter()
            .map(|writer| writer.join().unwrap())
            .sum();
        for reader in readers {
            for (tag, (number, version)) in reader.join().unwrap() {
                let (_, other) = *tags.entry(tag).or_insert((number, version));
                if other != version {
                    let window = slots[number].window(version.min(other));
                    test.fail(&slots[number], &window, "one tag for two versions");
                }
            }
        }
    });
    // In the end everything is certain.
    let mut connection = Connection::new(test.address).unwrap();
    for number in 0..slots.len() {
        let mut random = Random::new(seed, number);
        test.ask(&mut connection, &[number; 2], &mut random, &mut tags);
    }
    let replies = test.replies.load(SeqCst);
    let mut summary = format!("seed {seed}: {replies} replies, {changes} changes");
    let _ = write!(summary, ", {} tags, {:?}", tags.len(), started.elapsed());
    eprintln!("{summary}");
    let failures = test.failures.lock().unwrap();
    assert!(failures.is_empty(), "{summary}: {failures:#?}");
    assert!(replies > 0 && changes > 0, "{summary}");
}

fn for_a_second(_: u64, elapsed: Duration) -> bool {
    elapsed > Duration::from_secs(1)
}

#[test]
fn no_reply_is_old_while_everything_changes() {
    test(Place::on_disk, "1", for_a_second);
}

#[test]
fn no_reply_is_old_while_everything_changes_in_memory() {
    test(Place::in_memory, "2", for_a_second);
}

#[test]
fn no_reply_is_old_while_everything_changes_on_an_overlay() {
    test(Place::on_overlay, "1", for_a_second);
}

#[test]
fn no_reply_is_old_while_everything_changes_on_fuse() {
    test(Place::on_fuse, "2", for_a_second);
}

/// `HTTPOLL_FRESH_REPLIES` says how many replies there are to be, on all file systems together.
#[test]
#[ignore = "takes minutes"]
fn no_reply_of_a_million_is_old() {
    let count = std::env::var("HTTPOLL_FRESH_REPLIES").unwrap_or("1000000".to_owned());
    let count: u64 = count.parse().expect("HTTPOLL_FRESH_REPLIES is no number");
    let places: [(Make, &str); 4] = [
        (Place::on_disk, "2"),
        (Place::in_memory, "1"),
        (Place::on_overlay, "2"),
        (Place::on_fuse, "1"),
    ];
    for (place, loops) in places {
        test(place, loops, |replies, _| replies >= count / 4);
    }
}
