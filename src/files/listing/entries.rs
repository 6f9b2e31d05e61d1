//! One entry of a directory, and a run of entries: those that are read and sorted in one slice.
//!
//! Invariant: an entry that is pushed to a run comes out unchanged.

use super::order::{Order, Ranks};

/// The type of an entry; for a symbolic link, that of its target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum EntryKind {
    Directory,
    File,
    /// Not served: a FIFO, a socket, a device, or a link that leads nowhere or outside.
    Other,
}

/// One entry, as a listing shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Entry<'a> {
    pub(super) name: &'a [u8],
    pub(super) kind: EntryKind,
    pub(super) is_link: bool,
    /// In bytes; regular files only.
    pub(super) size: Option<u64>,
    /// In seconds since 1970, UTC.
    pub(super) mtime: Option<i64>,
}

impl Entry<'_> {
    pub(super) fn is_directory(&self) -> bool {
        self.kind == EntryKind::Directory
    }
}

/// An entry in 24 bytes beside its name. Unknown values are stored as values that no file system has.
#[derive(Clone, Copy, Debug)]
struct Packed {
    size: u64,
    mtime: i64,
    name_start: u32,
    name_len: u16,
    kind: EntryKind,
    is_link: bool,
}

pub(super) const UNKNOWN_SIZE: u64 = u64::MAX;
pub(super) const UNKNOWN_MTIME: i64 = i64::MIN;

/// The numbers of directories and of other entries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) directories: usize,
    /// All entries that are not directories.
    pub(super) files: usize,
}

impl Counts {
    pub(super) fn add(&mut self, entry: &Entry<'_>) {
        if entry.is_directory() {
            self.directories += 1;
        } else {
            self.files += 1;
        }
    }

    pub(super) fn all(self) -> usize {
        self.directories + self.files
    }
}

/// Entries in the order in which they were read, or sorted.
#[derive(Debug)]
pub(crate) struct Run {
    order: Order,
    names: Vec<u8>,
    entries: Vec<Packed>,
}

impl Run {
    pub(crate) fn new(order: Order) -> Self {
        Self {
            order,
            names: Vec::new(),
            entries: Vec::new(),
        }
    }

    pub(super) fn push(&mut self, entry: Entry<'_>) {
        // Neither fails: a name is shorter than 64 KiB, and all names of a run are shorter than 4 GiB.
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

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Returns the size of its memory, in bytes.
    pub(super) fn bytes(&self) -> usize {
        self.names.capacity() + self.entries.capacity() * size_of::<Packed>()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = Entry<'_>> {
        self.entries
            .iter()
            .map(|packed| unpack(&self.names, packed))
    }

    pub(super) fn counts(&self) -> Counts {
        let mut counts = Counts::default();
        self.iter().for_each(|entry| counts.add(&entry));
        counts
    }

    pub(super) fn sort(&mut self) {
        let Self {
            order,
            names,
            entries,
        } = self;
        let mut ranks = Ranks::new(*order);
        for packed in entries.iter() {
            ranks.note(unpack(names, packed).name);
        }
        let mut ranked: Vec<_> = entries
            .iter()
            .map(|packed| (ranks.rank(&unpack(names, packed)), *packed))
            .collect();
        ranked.sort_unstable_by(|(rank_a, a), (rank_b, b)| {
            rank_a
                .cmp(rank_b)
                .then_with(|| order.compare(&unpack(names, a), &unpack(names, b)))
        });
        entries.clear();
        entries.extend(ranked.into_iter().map(|(_, packed)| packed));
    }

    /// Removes all entries, and keeps the memory.
    pub(super) fn clear(&mut self) {
        self.names.clear();
        self.entries.clear();
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

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::files::listing::order::SortKey;

    pub(in crate::files::listing) fn file(
        name: &str,
        size: Option<u64>,
        mtime: Option<i64>,
    ) -> Entry<'_> {
        Entry {
            name: name.as_bytes(),
            kind: EntryKind::File,
            is_link: false,
            size,
            mtime,
        }
    }

    /// Returns entries with every kind of value.
    pub(in crate::files::listing) fn odd_entries() -> [Entry<'static>; 5] {
        [
            file("", None, None),
            file("a", Some(0), Some(0)),
            file("b", Some(u64::MAX - 1), Some(i64::MAX)),
            Entry {
                kind: EntryKind::Directory,
                is_link: true,
                ..file("c", None, Some(-1))
            },
            Entry {
                kind: EntryKind::Other,
                ..file("d", None, None)
            },
        ]
    }

    #[test]
    fn an_entry_stays_small() {
        assert_eq!(size_of::<Packed>(), 24);
    }

    #[test]
    fn pushed_entries_come_out_unchanged() {
        let mut run = Run::new(Order::from_query(""));
        odd_entries().into_iter().for_each(|entry| run.push(entry));
        assert!(run.iter().eq(odd_entries()));
        assert_eq!(
            run.counts(),
            Counts {
                directories: 1,
                files: 4
            }
        );
        run.clear();
        assert_eq!((run.len(), run.iter().count()), (0, 0));
    }

    #[test]
    fn a_run_is_sorted_in_its_order() {
        let mut run = Run::new(Order {
            by: SortKey::Size,
            descending: true,
        });
        for size in [3, 1, 4, 1, 5] {
            run.push(file("n", Some(size), None));
        }
        run.sort();
        let sizes: Vec<_> = run.iter().filter_map(|entry| entry.size).collect();
        assert_eq!(sizes, [5, 4, 3, 1, 1]);
    }
}
