//! A thread that changes the names of some directories at random, in every way that there is.

use std::collections::{HashMap, VecDeque};
use std::fs::{self, File};
use std::os::unix::fs::{FileExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::thread;
use std::time::{Duration, SystemTime};

use rustix::fs::{AtFlags, CWD, linkat};

use super::place::{Place, entry, lay_out};
use super::slot::{Kind, NAMES, Slot, State};
use super::{DIRECTORIES, Random};
use crate::support::{exchange, give_name, unnamed_file};

/// Other ways to the file that has a name.
#[derive(Default)]
struct Aliases {
    /// An open descriptor.
    open: Option<File>,
    /// A hard link in another directory.
    hard_link: Option<PathBuf>,
    /// The target, where the name is a symbolic link.
    stored: Option<PathBuf>,
}

/// Changes the names in its directories.
pub(super) struct Writer<'a> {
    base: &'a Path,
    is_remote: bool,
    slots: &'a [Slot],
    number: usize,
    made: usize,
    random: Random,
    aliases: HashMap<&'a str, Aliases>,
    /// Files and directories that were replaced. They stay for a while, because the server may be opening them.
    replaced: VecDeque<PathBuf>,
}

impl<'a> Writer<'a> {
    /// The writer with this number, which changes `slots` and no others.
    pub(super) fn new(place: &'a Place, slots: &'a [Slot], number: usize, seed: u64) -> Self {
        Self {
            base: &place.written,
            is_remote: place.is_remote,
            slots,
            number,
            made: 0,
            random: Random::new(seed, number),
            aliases: HashMap::new(),
            replaced: VecDeque::new(),
        }
    }

    /// Makes changes until the test is over; returns their number.
    pub(super) fn run(mut self, is_over: &AtomicBool) -> usize {
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
            // The longest pause is long enough for the server to keep every reply.
            match self.random.below(20) {
                0 => thread::sleep(Duration::from_millis(100)),
                1..8 => thread::sleep(Duration::from_micros(self.random.below(4000) as u64)),
                _ => thread::yield_now(),
            }
        }
        changes
    }

    /// A path that is not in use, outside of the served directory.
    fn scratch(&mut self) -> PathBuf {
        self.made += 1;
        let name = format!("scratch/{}-{}", self.number, self.made);
        self.base.join(name)
    }

    fn path(&self, slot: &Slot) -> PathBuf {
        self.base.join("served").join(&slot.name)
    }

    /// Makes a file with the next version of a slot outside of the served directory.
    fn prepared(&mut self, slot: &Slot) -> PathBuf {
        let path = self.scratch();
        fs::write(&path, slot.content(slot.next())).unwrap();
        path
    }

    /// Gives a name to another file by `replace`, and forgets the other ways to the old file.
    fn put(
        &mut self,
        slot: &'a Slot,
        change: &'static str,
        aliases: Aliases,
        replace: impl FnOnce(&Path),
    ) {
        let path = self.path(slot);
        slot.begin(State::Whole, change);
        replace(&path);
        slot.finish();
        self.forget(slot);
        self.aliases.insert(&slot.name, aliases);
    }

    fn forget(&mut self, slot: &Slot) {
        let old = self.aliases.remove(slot.name.as_str()).unwrap_or_default();
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
            4 => self.replace_by_an_unnamed_one(slot),
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
                let aliases = Aliases {
                    hard_link: Some(other.clone()),
                    ..Aliases::default()
                };
                self.put(slot, "created by a hard link", aliases, |path| {
                    fs::hard_link(other, path).unwrap();
                });
            }
            2 => match self.unnamed(slot) {
                Some(file) => {
                    let aliases = Aliases {
                        open: file.try_clone().ok(),
                        ..Aliases::default()
                    };
                    self.put(slot, "created as an unnamed file", aliases, |path| {
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
        let aliases = Aliases {
            open: File::options().write(true).open(&other).ok(),
            ..Aliases::default()
        };
        self.put(slot, "replaced by rename", aliases, |path| {
            fs::rename(other, path).unwrap();
        });
    }

    /// The file is dated 1970, as in directories whose dates have no meaning.
    fn replace_by_an_old_one(&mut self, slot: &'a Slot) {
        let other = self.prepared(slot);
        if slot.kind != Kind::Large {
            let file = File::options().write(true).open(&other).unwrap();
            let date = SystemTime::UNIX_EPOCH + Duration::from_secs(1);
            file.set_modified(date).unwrap();
        }
        self.put(
            slot,
            "replaced by a file of 1970",
            Aliases::default(),
            |path| {
                fs::rename(other, path).unwrap();
            },
        );
    }

    fn exchange(&mut self, slot: &'a Slot) {
        let other = self.prepared(slot);
        self.put(slot, "exchanged", Aliases::default(), |path| {
            exchange(&other, path);
        });
        fs::remove_file(other).unwrap();
    }

    /// A file without a name, with the next version; `None` where the file system has none.
    fn unnamed(&self, slot: &Slot) -> Option<File> {
        unnamed_file(&self.base.join("scratch"), &slot.content(slot.next()))
    }

    fn replace_by_an_unnamed_one(&mut self, slot: &'a Slot) {
        let Some(file) = self.unnamed(slot) else {
            return self.replace(slot);
        };
        let other = self.scratch();
        give_name(&file, &other);
        let aliases = Aliases {
            open: Some(file),
            ..Aliases::default()
        };
        self.put(slot, "replaced by an unnamed file", aliases, |path| {
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
        let aliases = Aliases {
            stored: Some(stored),
            ..Aliases::default()
        };
        self.put(slot, "replaced by a link", aliases, |path| {
            fs::rename(new_link, path).unwrap();
        });
    }

    fn remove(&mut self, slot: &'a Slot) {
        slot.begin(State::Absent, "removed");
        fs::remove_file(self.path(slot)).unwrap();
        slot.finish();
        self.forget(slot);
    }

    /// Only a small file is written by a single system call, so a large one is replaced.
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

    /// The first call only makes the link, when the server may already keep the file.
    fn write_through_a_hard_link(&mut self, slot: &'a Slot) {
        let (path, new) = (self.path(slot), self.scratch());
        let link = &mut self.aliases.entry(&slot.name).or_default().hard_link;
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
        let open = &mut self.aliases.entry(&slot.name).or_default().open;
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

    /// Replaces a directory by another one with new versions of all names.
    fn change_directory(&mut self, slots: &'a [Slot]) {
        let (name, _) = slots[0].name.split_once('/').unwrap();
        let path = self.base.join("served").join(name);
        let (new, old) = (self.scratch(), self.scratch());
        // The FUSE daemon follows links itself, so the server would not see that a link leads out.
        let kinds = if self.is_remote { 3 } else { 4 };
        match self.random.below(kinds) {
            0 => {
                change_all(slots, State::Absent, "its directory renamed", || {
                    fs::rename(&path, &old).unwrap();
                });
                thread::sleep(Duration::from_millis(self.random.below(10) as u64));
                lay_out(&new, slots, Slot::next);
                change_all(slots, State::Whole, "a directory renamed", || {
                    fs::rename(&new, &path).unwrap();
                });
            }
            1 => {
                lay_out(&new, slots, Slot::next);
                change_all(slots, State::Whole, "its directory exchanged", || {
                    exchange(&new, &path);
                });
                fs::rename(&new, &old).unwrap();
            }
            2 => {
                let real = format!("real-{}-{}", self.number, self.made);
                lay_out(&self.base.join("served").join(&real), slots, Slot::next);
                symlink(real, &new).unwrap();
                change_all(slots, State::Whole, "a link to a directory", || {
                    exchange(&new, &path);
                });
                fs::rename(&new, &old).unwrap();
            }
            _ => self.put_link_out_for_a_while(slots, &path, &new, &old),
        }
        if let Ok(real) = fs::read_link(&old) {
            self.remove_later(self.base.join("served").join(real));
        }
        self.remove_later(old);
        for slot in slots {
            self.forget(slot);
        }
    }
    /// Replaces the directory `path` by a link that leads out, and that by a new directory.
    fn put_link_out_for_a_while(&mut self, slots: &[Slot], path: &Path, new: &Path, old: &Path) {
        let outside = self.scratch();
        lay_out(&outside, slots, |_| 0);
        symlink(&outside, new).unwrap();
        change_all(slots, State::Absent, "a link that leads out", || {
            exchange(new, path);
        });
        fs::rename(new, old).unwrap();
        thread::sleep(Duration::from_millis(self.random.below(10) as u64));
        lay_out(new, slots, Slot::next);
        change_all(slots, State::Whole, "a directory for a link", || {
            exchange(new, path);
        });
        fs::remove_file(new).unwrap();
        self.remove_later(outside);
    }
}

/// Overwrites a file with the next version by a single system call.
fn write(slot: &Slot, change: &'static str, file: &File) {
    let content = slot.content(slot.next());
    slot.begin(State::Written, change);
    assert_eq!(file.write_at(&content, 0).unwrap(), content.len());
    slot.finish();
}

fn change_all(slots: &[Slot], state: State, change: &'static str, make: impl FnOnce()) {
    slots.iter().for_each(|slot| slot.begin(state, change));
    make();
    slots.iter().for_each(Slot::finish);
}
