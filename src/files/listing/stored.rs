//! All entries of a directory in one order, in little memory, shared by all replies that list it. They are read as sorted runs,
//! which are merged in slices.
//!
//! Invariant: no call sorts more than one run or merges more than [`MERGED`] entries. For a directory of a hundred thousand names,
//! a heap of two hundred runs is merged; the names are never sorted all at once.

use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::collections::binary_heap::PeekMut;
use std::hash::{BuildHasher as _, RandomState};
use std::ops::Range;
use std::sync::Arc;

use super::entries::{Counts, Entry, EntryKind, Run, UNKNOWN_MTIME, UNKNOWN_SIZE};
use super::order::{Order, Ranks};
use crate::handler::listing_memory::{Blocks, Full, ListingMemory, Pool};

/// Entries that one call merges; this takes a third of a millisecond.
const MERGED: usize = 2048;
/// Size of a place in the blocks, in bytes.
const PLACE: usize = size_of::<u32>();
/// Size of the part of a record before the name: size, time, kind, whether it is a link, and the length of the name.
const HEADER: usize = 20;

/// The entries of a directory in one order. They never change.
#[derive(Debug)]
pub(crate) struct Entries {
    memory: Arc<ListingMemory>,
    records: Blocks,
    /// The places of the records, in the order of the entries.
    places: Blocks,
    counts: Counts,
    fingerprint: Fingerprint,
}

impl Entries {
    pub(crate) fn len(&self) -> usize {
        self.counts.all()
    }

    pub(super) fn counts(&self) -> Counts {
        self.counts
    }

    pub(super) fn fingerprint(&self) -> &Fingerprint {
        &self.fingerprint
    }

    /// Passes the entries to `show`, beginning with number `from`, until it returns `false`. Returns the number of the next entry.
    pub(super) fn show(&self, from: usize, mut show: impl FnMut(Entry<'_>) -> bool) -> usize {
        let pool = self.memory.pool();
        for number in from..self.len() {
            let record = place(&pool, &self.places, number)
                .and_then(|place| decode(pool.get(&self.records, place)));
            if !record.is_some_and(&mut show) {
                return number + 1;
            }
        }
        self.len()
    }
}

/// A fingerprint of a set of entries, independent of the order in which they were read: the sum of their hashes. The key of the
/// hash is random and stays in this process, so that no client can prepare names with equal sums.
#[derive(Clone, Debug)]
pub(super) struct Fingerprint {
    hasher: RandomState,
    sum: u64,
    count: usize,
}

impl Fingerprint {
    pub(super) fn new() -> Self {
        Self::with(RandomState::new())
    }

    /// Returns an empty fingerprint that can be compared with this one.
    pub(super) fn anew(&self) -> Self {
        Self::with(self.hasher.clone())
    }

    fn with(hasher: RandomState) -> Self {
        Self {
            hasher,
            sum: 0,
            count: 0,
        }
    }

    pub(super) fn add(&mut self, entry: &Entry<'_>) {
        self.sum = self.sum.wrapping_add(self.hasher.hash_one(entry));
        self.count += 1;
    }

    /// Returns whether `other` is that of the same entries. One of the two must have been made [anew](Self::anew) from the other.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        (self.sum, self.count) == (other.sum, other.count)
    }
}

/// Entries that are being read, as records in sorted runs.
#[derive(Debug)]
pub(super) struct Gathered {
    entries: Entries,
    /// For each run, the range of its places.
    runs: Vec<Range<usize>>,
    ranks: Ranks,
    order: Order,
}

impl Gathered {
    pub(super) fn new(memory: &Arc<ListingMemory>, order: Order) -> Self {
        Self {
            entries: Entries {
                memory: Arc::clone(memory),
                records: Blocks::new(memory),
                places: Blocks::new(memory),
                counts: Counts::default(),
                fingerprint: Fingerprint::new(),
            },
            runs: Vec::new(),
            ranks: Ranks::new(order),
            order,
        }
    }

    /// Adds the entries of `run`, and empties it.
    ///
    /// # Errors
    /// No memory is left.
    pub(super) fn push(&mut self, run: &mut Run) -> Result<(), Full> {
        run.sort();
        let start = self.entries.len();
        let entries = &mut self.entries;
        let mut pool = entries.memory.pool();
        for entry in run.iter() {
            let place = pool.push(&mut entries.records, &[&encode(&entry), entry.name])?;
            pool.push(&mut entries.places, &[&place.to_le_bytes()])?;
            entries.counts.add(&entry);
            entries.fingerprint.add(&entry);
            self.ranks.note(entry.name);
        }
        drop(pool);
        run.clear();
        if start < self.entries.len() {
            self.runs.push(start..self.entries.len());
        }
        Ok(())
    }

    /// Begins the merge, after all entries were added.
    pub(super) fn merge(self) -> Merge {
        let merged = Blocks::new(&self.entries.memory);
        Merge {
            gathered: self,
            merged,
        }
    }
}

/// All entries of a directory, while their runs are merged.
#[derive(Debug)]
pub(super) struct Merge {
    /// The runs, without the entries that were merged already.
    gathered: Gathered,
    /// The places that were merged already, in order.
    merged: Blocks,
}

impl Merge {
    /// Merges a slice of entries. Returns `true` after the last one.
    ///
    /// # Errors
    /// No memory is left.
    pub(super) fn advance(&mut self) -> Result<bool, Full> {
        let Self {
            gathered:
                Gathered {
                    entries,
                    runs,
                    ranks,
                    order,
                },
            merged,
        } = self;
        let mut pool = entries.memory.pool();
        let head = |run| RunHead::new(&pool, entries, ranks, *order, run);
        let mut heads: BinaryHeap<_> = runs.drain(..).filter_map(head).collect();
        let mut places = Vec::with_capacity(MERGED);
        while places.len() < MERGED
            && let Some(mut first) = heads.peek_mut()
        {
            places.push(first.place);
            let rest = first.run.start + 1..first.run.end;
            match head(rest) {
                Some(next) => *first = next,
                None => drop(PeekMut::pop(first)),
            }
        }
        runs.extend(heads.into_iter().map(|head| head.run));
        for place in places {
            pool.push(merged, &[&place.to_le_bytes()])?;
        }
        Ok(runs.is_empty())
    }

    pub(super) fn finish(self) -> Entries {
        Entries {
            places: self.merged,
            ..self.gathered.entries
        }
    }
}

/// The rest of a run, with its first entry.
struct RunHead<'a> {
    rank: u64,
    entry: Entry<'a>,
    order: Order,
    place: u32,
    run: Range<usize>,
}

impl<'a> RunHead<'a> {
    /// `None` for an empty run.
    fn new(
        pool: &'a Pool,
        entries: &'a Entries,
        ranks: &Ranks,
        order: Order,
        run: Range<usize>,
    ) -> Option<Self> {
        let number = run.clone().next()?;
        let place = place(pool, &entries.places, number)?;
        let entry = decode(pool.get(&entries.records, place))?;
        Some(Self {
            rank: ranks.rank(&entry),
            entry,
            order,
            place,
            run,
        })
    }
}

/// `BinaryHeap` gives the greatest head first, so that must be the one with the first entry.
impl Ord for RunHead<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        let ranks = other.rank.cmp(&self.rank);
        ranks.then_with(|| self.order.compare(&other.entry, &self.entry))
    }
}

impl PartialOrd for RunHead<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for RunHead<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for RunHead<'_> {}

/// Reads the place with this `number`. A block has room for a whole number of places, so there are no gaps.
fn place(pool: &Pool, places: &Blocks, number: usize) -> Option<u32> {
    let at = u32::try_from(number * PLACE).ok()?;
    let bytes = pool.get(places, at).first_chunk()?;
    Some(u32::from_le_bytes(*bytes))
}

fn encode(entry: &Entry<'_>) -> [u8; HEADER] {
    let mut header = [0; HEADER];
    let size = entry.size.unwrap_or(UNKNOWN_SIZE);
    let mtime = entry.mtime.unwrap_or(UNKNOWN_MTIME);
    header[..8].copy_from_slice(&size.to_le_bytes());
    header[8..16].copy_from_slice(&mtime.to_le_bytes());
    header[16] = match entry.kind {
        EntryKind::Directory => 0,
        EntryKind::File => 1,
        EntryKind::Other => 2,
    };
    header[17] = u8::from(entry.is_link);
    // Names of file systems are shorter than 64 KiB.
    header[18..].copy_from_slice(&(entry.name.len() as u16).to_le_bytes());
    header
}

fn decode(record: &[u8]) -> Option<Entry<'_>> {
    let (size, rest) = record.split_first_chunk()?;
    let (mtime, rest) = rest.split_first_chunk()?;
    let ([kind, is_link], rest) = rest.split_first_chunk()?;
    let (length, rest) = rest.split_first_chunk()?;
    let (size, mtime) = (u64::from_le_bytes(*size), i64::from_le_bytes(*mtime));
    Some(Entry {
        name: rest.get(..usize::from(u16::from_le_bytes(*length)))?,
        kind: match kind {
            0 => EntryKind::Directory,
            1 => EntryKind::File,
            _ => EntryKind::Other,
        },
        is_link: *is_link != 0,
        size: (size != UNKNOWN_SIZE).then_some(size),
        mtime: (mtime != UNKNOWN_MTIME).then_some(mtime),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::files::listing::entries::tests::{file, odd_entries};
    use crate::files::listing::order::SortKey;
    use crate::handler::listing_memory::BLOCK;

    /// Stores `entries` that were read in runs of this `length`.
    fn stored(
        memory: &Arc<ListingMemory>,
        order: Order,
        entries: &[Entry<'_>],
        length: usize,
    ) -> Result<Entries, Full> {
        let mut gathered = Gathered::new(memory, order);
        let mut run = Run::new(order);
        for chunk in entries.chunks(length) {
            chunk.iter().for_each(|&entry| run.push(entry));
            gathered.push(&mut run)?;
            assert_eq!(run.len(), 0);
        }
        gathered.push(&mut run)?;
        let mut merge = gathered.merge();
        while !merge.advance()? {}
        Ok(merge.finish())
    }

    fn names(entries: &Entries) -> Vec<String> {
        let mut names = Vec::new();
        let shown = entries.show(0, |entry| {
            names.push(String::from_utf8_lossy(entry.name).into_owned());
            true
        });
        assert_eq!(shown, entries.len());
        names
    }

    #[test]
    fn a_record_has_all_values_of_its_entry() {
        for entry in odd_entries() {
            let mut record = encode(&entry).to_vec();
            record.extend_from_slice(entry.name);
            record.extend_from_slice(b"the next");
            assert_eq!(decode(&record), Some(entry));
            assert_eq!(decode(&record[..HEADER - 1]), None);
        }
    }

    #[test]
    fn runs_merge_into_one_order_and_are_shown_from_anywhere() {
        let order = Order {
            by: SortKey::Size,
            descending: true,
        };
        let memory = ListingMemory::new(usize::MAX);
        let texts: Vec<_> = (0..5000).map(|size| format!("{size:04}")).collect();
        let mut entries: Vec<_> = (0..)
            .zip(&texts)
            .map(|(size, name)| file(name, Some(size), None))
            .collect();
        entries.sort_by_key(|entry| entry.size.map(|size| size.wrapping_mul(0x9e37_79b9) % 4093));
        let stored = stored(&memory, order, &entries, 700).unwrap();
        let expected: Vec<_> = texts.iter().rev().cloned().collect();
        assert_eq!(names(&stored), expected);
        let mut shown = Vec::new();
        let next = stored.show(4000, |entry| {
            shown.push(entry.size);
            shown.len() < 3
        });
        assert_eq!((next, shown), (4003, vec![Some(999), Some(998), Some(997)]));
        assert_eq!(
            stored.show(5000, |_| panic!("there is no such entry")),
            5000
        );
    }

    #[test]
    fn an_empty_directory_has_no_entries() {
        let memory = ListingMemory::new(0);
        let stored = stored(&memory, Order::from_query(""), &[], 1).unwrap();
        assert_eq!((stored.len(), names(&stored).len()), (0, 0));
    }

    #[test]
    fn entries_that_do_not_fit_use_no_memory_afterwards() {
        let texts: Vec<_> = (0..3000).map(|number| format!("{number:0100}")).collect();
        let entries: Vec<_> = texts.iter().map(|name| file(name, None, None)).collect();
        let order = Order::from_query("");
        let enough = (0..)
            .find(|blocks| {
                let memory = ListingMemory::new(blocks * BLOCK);
                stored(&memory, order, &entries, 500).is_ok()
            })
            .unwrap();
        let least = 3000 * (HEADER + 100 + 2 * PLACE) / BLOCK;
        assert!((least..least + 5).contains(&enough), "{enough} blocks");
        let memory = ListingMemory::new(enough * BLOCK);
        for _ in 0..3 {
            let kept = stored(&memory, order, &entries, 500).unwrap();
            assert!(stored(&memory, order, &entries, 500).is_err());
            drop(kept);
        }
    }

    proptest! {
        #[test]
        fn the_order_is_that_of_one_sort(
            names in prop::collection::hash_set("[a-cA-C_]{0,3}|file[kKz\u{212a}é]{0,3}|n?[0-2]{1,9}", 0..40),
            by in prop::sample::select(vec![SortKey::Name, SortKey::Size, SortKey::Date]),
            descending: bool,
            length in 1_usize..9,
        ) {
            let order = Order { by, descending };
            let mut entries: Vec<_> = names
                .iter()
                .map(|name| file(name, (name.len() > 1).then_some(name.len() as u64), Some(-1)))
                .collect();
            let memory = ListingMemory::new(usize::MAX);
            let stored = stored(&memory, order, &entries, length).unwrap();
            entries.sort_by(|a, b| order.compare(a, b));
            let mut left = entries.iter();
            stored.show(0, |entry| left.next() == Some(&entry));
            prop_assert_eq!(left.next(), None);
            prop_assert_eq!(stored.len(), entries.len());
        }
    }
}
