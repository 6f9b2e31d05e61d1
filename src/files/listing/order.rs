//! The order of the entries of a listing, and how a query asks for it.
//!
//! Invariant: `Order::compare` is a total order of the names of one directory, so runs that are sorted by themselves can be merged.

use std::cmp::Ordering;

use super::entries::Entry;
use super::natural::{compare_names, name_rank, separable};

/// What a listing is sorted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SortKey {
    /// The name in lower case, in which a run of digits is a number; equal names by their bytes.
    Name,
    /// The size; an unknown one is smaller than all others.
    Size,
    /// The time of the last change; an unknown one is earlier than all others.
    Date,
}

impl SortKey {
    /// Returns the word for it in a query.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Name => "name",
            Self::Size => "size",
            Self::Date => "date",
        }
    }
}

/// The order of the entries of a listing. Directories always come first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Order {
    pub(crate) by: SortKey,
    pub(crate) descending: bool,
}

impl Order {
    /// Reads `sort=name|size|date` and `order=asc|desc`; other parameters and values are ignored. `sort=-size` is short for
    /// `sort=size&order=desc`, because a button has one value.
    pub(crate) fn from_query(query: &str) -> Self {
        let mut order = Self {
            by: SortKey::Name,
            descending: false,
        };
        for pair in query.split('&') {
            match pair {
                "sort=name" => order.by = SortKey::Name,
                "sort=size" => order.by = SortKey::Size,
                "sort=date" => order.by = SortKey::Date,
                "sort=-name" => order = Self::descending(SortKey::Name),
                "sort=-size" => order = Self::descending(SortKey::Size),
                "sort=-date" => order = Self::descending(SortKey::Date),
                "order=asc" => order.descending = false,
                "order=desc" => order.descending = true,
                _ => {}
            }
        }
        order
    }

    fn descending(by: SortKey) -> Self {
        Self {
            by,
            descending: true,
        }
    }

    /// Returns a different byte for each order.
    pub(crate) fn code(self) -> u8 {
        2 * self.by as u8 + u8::from(self.descending)
    }

    /// Compares two entries. Those of equal size or date are in the order of their names, which is never reversed.
    pub(super) fn compare(self, a: &Entry<'_>, b: &Entry<'_>) -> Ordering {
        let name = || compare_names(a.name, b.name);
        let directed = |ordering: Ordering| {
            if self.descending {
                ordering.reverse()
            } else {
                ordering
            }
        };
        let directories_first = b.is_directory().cmp(&a.is_directory());
        directories_first.then_with(|| match self.by {
            SortKey::Name => directed(name()),
            SortKey::Size => directed(a.size.cmp(&b.size)).then_with(name),
            SortKey::Date => directed(a.mtime.cmp(&b.mtime)).then_with(name),
        })
    }
}

/// Numbers by which most entries of a directory can be compared in one instruction: that makes sorting them several times faster.
#[derive(Clone, Debug)]
pub(super) struct Ranks {
    order: Order,
    /// The bytes that all names begin with: they would fill the ranks of names without telling them apart.
    common: Option<Vec<u8>>,
    is_ascii: bool,
}

impl Ranks {
    pub(super) fn new(order: Order) -> Self {
        Self {
            order,
            common: None,
            is_ascii: true,
        }
    }

    /// Adds the name of an entry that is to be ranked. All names must be added first.
    pub(super) fn note(&mut self, name: &[u8]) {
        self.is_ascii = self.is_ascii && name.is_ascii();
        let common = self.common.get_or_insert_with(|| name.to_vec());
        let same = common.iter().zip(name).take_while(|(a, b)| a == b);
        common.truncate(same.count());
    }

    /// Returns the rank of `entry`: an entry of lower rank comes first. Entries of equal rank are to be
    /// [compared](Order::compare).
    pub(super) fn rank(&self, entry: &Entry<'_>) -> u64 {
        let rank = match self.order.by {
            SortKey::Size => entry.size.map_or(0, |size| size.saturating_add(1)),
            SortKey::Date => entry
                .mtime
                .map_or(0, |mtime| mtime.cast_unsigned() ^ 1 << 63),
            SortKey::Name if !self.is_ascii => 0,
            SortKey::Name => name_rank(entry.name.get(self.common_length()..).unwrap_or_default()),
        };
        let directed = if self.order.descending { !rank } else { rank };
        u64::from(!entry.is_directory()) << 63 | directed >> 1
    }

    fn common_length(&self) -> usize {
        separable(self.common.as_deref().unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::files::listing::entries::EntryKind;
    use crate::files::listing::natural::tests::NAMES;

    const ENTRY: Entry<'_> = Entry {
        name: b"",
        kind: EntryKind::File,
        is_link: false,
        size: None,
        mtime: None,
    };

    fn sorted(query: &str, mut entries: Vec<Entry<'_>>) -> Vec<String> {
        let order = Order::from_query(query);
        entries.sort_by(|a, b| order.compare(a, b));
        let name = |entry: &Entry<'_>| String::from_utf8_lossy(entry.name).into_owned();
        entries.iter().map(name).collect()
    }

    #[test]
    fn a_query_asks_for_an_order() {
        let cases = [
            ("", SortKey::Name, false),
            ("sort=size", SortKey::Size, false),
            ("sort=size&order=desc", SortKey::Size, true),
            ("order=desc&format=json&sort=date", SortKey::Date, true),
            ("sort=name&order=asc", SortKey::Name, false),
            ("order=desc", SortKey::Name, true),
            ("sort=colour&order=up", SortKey::Name, false),
            ("Sort=size&sort=size2&sort", SortKey::Name, false),
            ("&&=&%00", SortKey::Name, false),
            ("sort=date&sort=size", SortKey::Size, false),
            ("sort=-size", SortKey::Size, true),
            ("sort=-date&format=json", SortKey::Date, true),
            ("sort=-name", SortKey::Name, true),
            ("sort=-date&order=asc", SortKey::Date, false),
            ("sort=--size", SortKey::Name, false),
            ("sort=-", SortKey::Name, false),
        ];
        for (query, by, descending) in cases {
            assert_eq!(
                Order::from_query(query),
                Order { by, descending },
                "{query}"
            );
        }
    }

    #[test]
    fn names_are_compared_in_lower_case_then_by_their_bytes() {
        let names: [&[u8]; 10] = [
            b"b",
            b"B",
            b"a",
            b"",
            b"_",
            b"Z",
            b"\xff",
            "Ä".as_bytes(),
            "ä".as_bytes(),
            b"a0",
        ];
        let entries = names.map(|name| Entry { name, ..ENTRY }).to_vec();
        let expected = ["", "_", "a", "a0", "B", "b", "Z", "Ä", "ä", "\u{fffd}"];
        assert_eq!(sorted("", entries.clone()), expected);
        let reversed: Vec<_> = expected.into_iter().rev().collect();
        assert_eq!(sorted("order=desc", entries), reversed);
    }

    #[test]
    fn directories_come_first_in_both_directions() {
        let directory = Entry {
            name: b"z",
            kind: EntryKind::Directory,
            ..ENTRY
        };
        let fifo = Entry {
            name: b"b",
            kind: EntryKind::Other,
            ..ENTRY
        };
        let entries = vec![
            fifo,
            Entry {
                name: b"a",
                ..ENTRY
            },
            directory,
        ];
        assert_eq!(sorted("", entries.clone()), ["z", "a", "b"]);
        assert_eq!(sorted("order=desc", entries), ["z", "b", "a"]);
    }

    #[test]
    fn unknown_values_are_the_least_and_equal_ones_are_sorted_by_name() {
        let entry = |name: &'static str, value: Option<u8>| Entry {
            name: name.as_bytes(),
            size: value.map(u64::from),
            mtime: value.map(i64::from),
            ..ENTRY
        };
        let values = [("d", Some(9)), ("c", None), ("b", Some(0)), ("a", Some(9))];
        let entries = values.map(|(name, value)| entry(name, value)).to_vec();
        for key in ["size", "date"] {
            let (up, down) = (format!("sort={key}"), format!("sort={key}&order=desc"));
            assert_eq!(sorted(&up, entries.clone()), ["c", "b", "a", "d"]);
            assert_eq!(sorted(&down, entries.clone()), ["a", "d", "b", "c"]);
        }
    }

    proptest! {
        #[test]
        fn a_lower_rank_comes_first(
            names in prop::collection::vec(NAMES, 2..6),
            facts in prop::collection::vec((any::<bool>(), 0_u64..4, -2_i64..2), 6),
            by in prop::sample::select(vec![SortKey::Name, SortKey::Size, SortKey::Date]),
            descending: bool,
        ) {
            let entry = |(name, &(is_directory, size, mtime)): (&String, &(bool, u64, i64))| Entry {
                name: name.clone().leak().as_bytes(),
                kind: if is_directory { EntryKind::Directory } else { EntryKind::File },
                size: [None, Some(0), Some(1), Some(u64::MAX - 1)][size as usize],
                mtime: (mtime < 1).then_some(mtime * (i64::MAX / 2)),
                ..ENTRY
            };
            let entries: Vec<_> = names.iter().zip(&facts).map(entry).collect();
            let order = Order { by, descending };
            let mut ranks = Ranks::new(order);
            entries.iter().for_each(|entry| ranks.note(entry.name));
            for a in &entries {
                for b in &entries {
                    if ranks.rank(a) < ranks.rank(b) {
                        prop_assert_eq!(order.compare(a, b), Ordering::Less, "{:?} {:?}", a, b);
                    }
                }
            }
        }
    }
}
