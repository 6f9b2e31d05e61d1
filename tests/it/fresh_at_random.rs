//! Files that change at random all the time, in every way. No reply is older than the version that was certain when its request was
//! sent, newer than the version that had begun when it came, a mixture of versions, or tagged as another content was.
//!
//! Each name has numbered versions, and its content repeats the number. Absence is a version, too. One thread alone changes a name; it
//! notes a version as begun before the system call that makes it, and as certain after that.

mod place;
mod reader;
mod slot;
mod writer;

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::atomic::Ordering::SeqCst;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use place::{Make, Place};
use reader::{Checker, Connection, Tags};
use slot::{NAMES, Slot};
use writer::Writer;

use crate::support::{Server, command};

const WRITERS: usize = 3;
const READERS: usize = 4;
/// The number of directories that each writer changes.
const DIRECTORIES: usize = 2;
/// The test stops after so many failures, because more of them say nothing new.
const ENOUGH_FAILURES: usize = 5;

/// A generator of pseudo-random numbers (xorshift).
struct Random(u64);

impl Random {
    /// The generator with this number; a seed gives a sequence to each.
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

/// The seed of all generators. The same seed makes the same changes, but not at the same moments.
fn seed() -> u64 {
    if let Ok(seed) = std::env::var("HTTPOLL_FRESH_SEED") {
        return seed.parse().expect("HTTPOLL_FRESH_SEED is not a number");
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

/// Changes files and asks for them until `enough` is true of the number of replies and the time that has passed.
fn change_and_ask(
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
    let checker = Checker::new(&slots, server.address(), place.is_remote);
    let started = Instant::now();
    let (changes, mut tags) = run(&checker, &place, seed, || {
        enough(checker.replies.load(SeqCst), started.elapsed())
    });
    // No file changes any more, so the last version of each name is certain.
    let mut connection = Connection::new(checker.address).unwrap();
    for number in 0..slots.len() {
        let mut random = Random::new(seed, number);
        checker.ask(&mut connection, &[number; 2], &mut random, &mut tags);
    }
    let replies = checker.replies.load(SeqCst);
    let (tags, elapsed) = (tags.len(), started.elapsed());
    let summary =
        format!("seed {seed}: {replies} replies, {changes} changes, {tags} tags, {elapsed:?}");
    eprintln!("{summary}");
    let failures = checker.failures.lock().unwrap();
    assert!(failures.is_empty(), "{summary}: {failures:#?}");
    assert!(replies > 0 && changes > 0, "{summary}");
}

/// Runs writers and readers at the same time; returns the number of changes, and the tags of all replies.
fn run(
    checker: &Checker<'_>,
    place: &Place,
    seed: u64,
    is_enough: impl Fn() -> bool,
) -> (usize, Tags) {
    thread::scope(|scope| {
        let of_writer = checker.slots.chunks(DIRECTORIES * NAMES.len()).enumerate();
        let writers: Vec<_> = of_writer
            .map(|(number, slots)| Writer::new(place, slots, number, seed))
            .map(|writer| scope.spawn(|| writer.run(&checker.is_over)))
            .collect();
        let readers: Vec<_> = (WRITERS..WRITERS + READERS)
            .map(|number| scope.spawn(move || checker.read(Random::new(seed, number))))
            .collect();
        let has_ended = || writers.iter().any(thread::ScopedJoinHandle::is_finished);
        while !is_enough() && !has_ended() {
            thread::sleep(Duration::from_millis(5));
        }
        checker.is_over.store(true, SeqCst);
        let changes = writers
            .into_iter()
            .map(|writer| writer.join().unwrap())
            .sum();
        let mut tags = Tags::new();
        for reader in readers {
            checker.merge(&mut tags, reader.join().unwrap());
        }
        (changes, tags)
    })
}

fn for_a_second(_: u64, elapsed: Duration) -> bool {
    elapsed > Duration::from_secs(1)
}

#[test]
fn no_reply_is_old_while_everything_changes() {
    change_and_ask(Place::on_disk, "1", for_a_second);
}

#[test]
fn no_reply_is_old_while_everything_changes_in_memory() {
    change_and_ask(Place::in_memory, "2", for_a_second);
}

#[test]
fn no_reply_is_old_while_everything_changes_on_an_overlay() {
    change_and_ask(Place::on_overlay, "1", for_a_second);
}

#[test]
fn no_reply_is_old_while_everything_changes_on_fuse() {
    change_and_ask(Place::on_fuse, "2", for_a_second);
}

/// `HTTPOLL_FRESH_REPLIES` sets the number of replies on all file systems together.
#[test]
#[ignore = "takes minutes"]
fn no_reply_of_a_million_is_old() {
    let count = std::env::var("HTTPOLL_FRESH_REPLIES").unwrap_or("1000000".to_owned());
    let count: u64 = count
        .parse()
        .expect("HTTPOLL_FRESH_REPLIES is not a number");
    let places: [(Make, &str); 4] = [
        (Place::on_disk, "2"),
        (Place::in_memory, "1"),
        (Place::on_overlay, "2"),
        (Place::on_fuse, "1"),
    ];
    for (place, loops) in places {
        change_and_ask(place, loops, |replies, _| replies >= count / 4);
    }
}
