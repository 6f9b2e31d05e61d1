//! The entries of a directory, kept small: runs sorted one by one and merged while they are given out.
//!
//! Invariant: no call sorts more than one run. A directory of a hundred thousand names costs a heap of two hundred runs
//! and never a sort of them all.

use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::collections::binary_heap::PeekMut;

use super::order::{Order, Ranks};

/// What a visitor finds behind a name: for a symbolic link that of its target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Directory,
    File,
    /// A FIFO, a socket, a device, a link that leads nowhere or outside: nothing that is served.
    Other,
}

/// One entry as the page shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry<'a> {
    pub(super) name: &'a [u8],
    pub(super) kind: Kind,
    pub(super) is_link: bool,
    /// Bytes; of regular files only.
    pub(super) size: Option<u64>,
    /// Seconds since 1970, UTC.
    pub(super) mtime: Option<i64>,
}

impl Entry<'_> {
    pub(super) fn is_directory(&self) -> bool {
        self.kind == Kind::Directory
    }
}

/// An entry in 24 bytes, its name aside; what is unknown is a value that no file system can hold.
#[derive(Clone, Copy)]
struct Packed {
    size: u64,
    mtime: i64,
    name_start: u32,
    name_len: u16,
    kind: Kind,
    is_link: bool,
}

const UNKNOWN_SIZE: u64 = u64::MAX;
const UNKNOWN_MTIME: i64 = i64::MIN;

/// What one slice of reading brought; once sorted it stands backwards so that the next entry is the last one.
pub(super) struct Run {
    order: Order,
    names: Vec<u8>,
    entries: Vec<Packed>,
}

impl Run {
    pub(super) fn new(order: Order) -> Self {
        Self {
            order,
            names: Vec::new(),
            entries: Vec::new(),
        }
    }

    pub(super) fn push(&mut self, entry: Entry<'_>) {
        // Neither fails: a file system's names are shorter than 64 KiB, and a slice of them shorter than 4 GiB.
        let (Ok(name_start), Ok(name_len)) = (
            u32::try_from(self.names.len()),
            u16::try_from(entry.name.len()),
        ) else {
            return;
        };
        self.names.extend_from_slice(entry.name);
        self.entries.push(Packed {
            size: entry.size.unwrap_or(UNKNOWN_SIZE),
            mtime: entry.mtime.unwrap_or(UNKNOWN_MTIME),
            name_start,
            name_len,
            kind: entry.kind,
            is_link: entry.is_link,
        });
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    fn sort(&mut self) {
        let Self {
            order,
            names,
            entries,
        } = self;
        let name = |packed| unpack(names, packed).name;
        let ranks = Ranks::new(*order, entries.iter().map(name));
        let mut ranked: Vec<_> = entries
            .iter()
            .map(|packed| (ranks.rank(&unpack(names, packed)), *packed))
            .collect();
        ranked.sort_unstable_by(|(rank_a, a), (rank_b, b)| {
            rank_b
                .cmp(rank_a)
                .then_with(|| order.compare(&unpack(names, b), &unpack(names, a)))
        });
        *entries = ranked.into_iter().map(|(_, packed)| packed).collect();
        names.shrink_to_fit();
        entries.shrink_to_fit();
    }

    fn next(&self) -> Option<Entry<'_>> {
        self.entries
            .last()
            .map(|packed| unpack(&self.names, packed))
    }
}

fn unpack<'a>(names: &'a [u8], packed: &Packed) -> Entry<'a> {
    let start = packed.name_start as usize;
    Entry {
        name: names
            .get(start..start + usize::from(packed.name_len))
            .unwrap_or_default(),
        kind: packed.kind,
        is_link: packed.is_link,
        size: (packed.size != UNKNOWN_SIZE).then_some(packed.size),
        mtime: (packed.mtime != UNKNOWN_MTIME).then_some(packed.mtime),
    }
}

/// The greatest run is the one whose entry comes next: what `BinaryHeap` gives first.
impl Ord for Run {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self.next(), other.next()) {
            (Some(a), Some(b)) => self.order.compare(&b, &a),
            (a, b) => a.is_some().cmp(&b.is_some()),
        }
    }
}

impl PartialOrd for Run {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Run {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Run {}

/// All entries of a directory, given out in order.
#[derive(Default)]
pub(super) struct Sorted {
    /// Never holds an empty run.
    runs: BinaryHeap<Run>,
    /// How many directories were put in.
    pub(super) directories: usize,
    /// How many other entries were put in.
    pub(super) files: usize,
    left: usize,
}

impl Sorted {
    pub(super) fn push(&mut self, mut run: Run) {
        run.sort();
        let directories = run
            .entries
            .iter()
            .filter(|entry| entry.kind == Kind::Directory)
            .count();
        self.directories += directories;
        self.files += run.entries.len() - directories;
        self.left += run.entries.len();
        if !run.entries.is_empty() {
            self.runs.push(run);
        }
    }

    /// Gives the next entry to `write`; `false` when there was none.
    pub(super) fn pop(&mut self, write: impl FnOnce(Entry<'_>)) -> bool {
        let Some(mut run) = self.runs.peek_mut() else {
            return false;
        };
        if let Some(entry) = run.next() {
            write(entry);
        }
        run.entries.pop();
        self.left -= 1;
        if run.entries.is_empty() {
            PeekMut::pop(run);
        }
        true
    }

    /// Returns how many entries are still to be given out.
    pub(super) fn len(&self) -> usize {
        self.left
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::list_directory::order::SortKey;

    fn file(name: &str, size: Option<u64>, mtime: Option<i64>) -> Entry<'_> {
        Entry {
            name: name.as_bytes(),
            kind: Kind::File,
            is_link: false,
            size,
            mtime,
        }
    }

    fn drained(mut sorted: Sorted) -> Vec<String> {
        let mut names = Vec::new();
        while sorted.pop(|entry| names.push(String::from_utf8_lossy(entry.name).into_owned())) {}
        names
    }

    #[test]
    fn an_entry_stays_small() {
        assert_eq!(size_of::<Packed>(), 24);
    }

    #[test]
    fn what_goes_in_comes_out() {
        let entries = [
            file("", None, None),
            file("a", Some(0), Some(0)),
            file("b", Some(u64::MAX - 1), Some(i64::MAX)),
            Entry {
                kind: Kind::Directory,
                is_link: true,
                ..file("c", None, Some(-1))
            },
            Entry {
                kind: Kind::Other,
                ..file("d", None, None)
            },
        ];
        for entry in entries {
            let mut run = Run::new(Order::from_query(""));
            run.push(file("before", None, None));
            run.push(entry);
            assert_eq!(run.next(), Some(entry));
        }
    }

    #[test]
    fn runs_merge_into_one_order() {
        let order = Order {
            by: SortKey::Size,
            descending: true,
        };
        let mut sorted = Sorted::default();
        for start in 0..7_u64 {
            let mut run = Run::new(order);
            for size in (start..100).step_by(7) {
                run.push(file(&format!("{size:02}"), Some(size), None));
            }
            sorted.push(run);
        }
        sorted.push(Run::new(order));
        assert_eq!(
            (sorted.len(), sorted.files, sorted.directories),
            (100, 100, 0)
        );
        let expected: Vec<_> = (0..100).rev().map(|size| format!("{size:02}")).collect();
        assert_eq!(drained(sorted), expected);
    }

    #[test]
    fn nothing_gives_nothing() {
        let mut sorted = Sorted::default();
        assert_eq!(sorted.len(), 0);
        assert!(!sorted.pop(|_| panic!("there is no entry")));
    }
}
