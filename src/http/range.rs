//! Range: which parts of a representation a request asks for (RFC 9110 §14.1.1, §14.1.2, §14.2).
//!
//! Invariant: every range that leaves this module is non-empty, lies within the representation and overlaps no other,
//! so a multipart reply is never longer than the whole by more than its part heads. Whatever is not valid is no error
//! but no Range at all.

use std::ops::Range;

use super::request::parse_digits;

/// The parts of a representation to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum RangeSet {
    /// No Range that counts: send the whole.
    Whole,
    /// Valid, but nothing of it lies within the representation: 416.
    Unsatisfiable,
    /// One part.
    Single(Range<u64>),
    /// Two parts or more, in the order in which they were asked for.
    Multiple(Vec<Range<u64>>),
}

/// More parts than this are answered with the whole, because each costs a head of its own. zsync asks for 20 ranges at a time,
/// zchunk for up to 255.
pub(crate) const MAX_RANGES: usize = 256;

/// Parses the value of a Range field for a representation of `size` bytes.
pub(crate) fn parse_range(field: &[u8], size: u64) -> RangeSet {
    select(field, size).unwrap_or(RangeSet::Whole)
}

/// Returns `None` where the field is to be ignored.
fn select(field: &[u8], size: u64) -> Option<RangeSet> {
    let mut members = range_set(field)?
        .split(|&byte| byte == b',')
        .map(<[u8]>::trim_ascii)
        .filter(|member| !member.is_empty())
        .peekable();
    members.peek()?;

    let mut first = None;
    let mut others = Vec::new();
    for (position, member) in members.enumerate() {
        let Some(range) = RangeSpec::parse(member)?.resolve(size) else {
            continue;
        };
        if range.is_empty() {
            // No Content-Range can name a part of an empty file, and nginx sends the whole too.
            return None;
        }
        match first {
            None => first = Some(range),
            Some(_) => others.push((position, range)),
        }
    }
    match first {
        None => Some(RangeSet::Unsatisfiable),
        Some(range) if others.is_empty() => Some(RangeSet::Single(range)),
        Some(range) => {
            others.push((0, range));
            coalesce(others)
        }
    }
}

/// Returns what follows `bytes=`.
fn range_set(field: &[u8]) -> Option<&[u8]> {
    let (unit, set) = field.split_at_checked(b"bytes=".len())?;
    unit.eq_ignore_ascii_case(b"bytes=").then_some(set)
}

/// One member of a range-set, before the size is known.
enum RangeSpec {
    From(u64),
    FromTo(u64, u64),
    Suffix(u64),
}

impl RangeSpec {
    fn parse(member: &[u8]) -> Option<Self> {
        let dash = memchr::memchr(b'-', member)?;
        let (first, last) = (member.get(..dash)?, member.get(dash + 1..)?);
        match (first, last) {
            ([], last) => Some(Self::Suffix(parse_digits(last)?)),
            (first, []) => Some(Self::From(parse_digits(first)?)),
            (first, last) => {
                let (first, last) = (parse_digits(first)?, parse_digits(last)?);
                (first <= last).then_some(Self::FromTo(first, last))
            }
        }
    }

    /// Returns `None` where the range is not satisfiable. The range is empty where an empty representation is asked for from its
    /// start, as nginx's slice module does it.
    fn resolve(self, size: u64) -> Option<Range<u64>> {
        let starts_within = |first| first < size.max(1);
        match self {
            Self::From(first) => starts_within(first).then_some(first..size),
            Self::FromTo(first, last) => {
                starts_within(first).then(|| first..size.min(last.saturating_add(1)))
            }
            Self::Suffix(length) => (length > 0).then(|| size.saturating_sub(length)..size),
        }
    }
}

/// Merges what overlaps, each group taking the place of its member that was asked for first; `None` if too many remain.
fn coalesce(mut ranges: Vec<(usize, Range<u64>)>) -> Option<RangeSet> {
    ranges.sort_unstable_by_key(|(_, range)| range.start);

    let mut groups: Vec<(usize, Range<u64>)> = Vec::new();
    for (position, range) in ranges {
        match groups.last_mut() {
            Some((first, group)) if range.start < group.end => {
                *first = position.min(*first);
                group.end = range.end.max(group.end);
            }
            _ => groups.push((position, range)),
        }
    }
    if groups.len() > MAX_RANGES {
        return None;
    }
    if let [(_, range)] = groups.as_slice() {
        return Some(RangeSet::Single(range.clone()));
    }
    groups.sort_unstable_by_key(|(position, _)| *position);
    Some(RangeSet::Multiple(
        groups.into_iter().map(|(_, range)| range).collect(),
    ))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What is expected, as an array of pairs of first position and end.
    fn parts(expected: &[(u64, u64)]) -> RangeSet {
        match expected {
            [(first, end)] => RangeSet::Single(*first..*end),
            many => RangeSet::Multiple(many.iter().map(|(first, end)| *first..*end).collect()),
        }
    }

    #[test]
    fn one_range() {
        let cases: [(&str, u64, (u64, u64)); 16] = [
            ("bytes=0-0", 10, (0, 1)),
            ("bytes=0-", 10, (0, 10)),
            ("bytes=9-", 10, (9, 10)),
            ("bytes=2-5", 10, (2, 6)),
            ("bytes=2-99", 10, (2, 10)),
            ("bytes=-3", 10, (7, 10)),
            ("bytes=-10", 10, (0, 10)),
            ("bytes=-11", 10, (0, 10)),
            ("BYTES=0-0", 10, (0, 1)),
            (
                "bytes=00000000000000000000000002-000000000000000000000000000000005",
                10,
                (2, 6),
            ),
            ("bytes=2-99999999999999999999999999", 10, (2, 10)),
            ("bytes=-99999999999999999999999999", 10, (0, 10)),
            (
                "bytes=18446744073709551614-18446744073709551615",
                u64::MAX,
                (u64::MAX - 1, u64::MAX),
            ),
            ("bytes=, ,\t1-2 ,,", 10, (1, 3)),
            ("bytes=10-20, 3-4, -0", 10, (3, 5)),
            ("bytes=2-5,4-8", 10, (2, 9)),
        ];
        for (field, size, expected) in cases {
            assert_eq!(
                parse_range(field.as_bytes(), size),
                parts(&[expected]),
                "{field}"
            );
        }
    }

    #[test]
    fn several_ranges_in_the_order_asked_for() {
        let cases: [(&str, &[(u64, u64)]); 6] = [
            ("bytes=0-0,-1", &[(0, 1), (99, 100)]),
            ("bytes=50-59, 0-9", &[(50, 60), (0, 10)]),
            ("bytes=0-9,10-19", &[(0, 10), (10, 20)]),
            ("bytes=80-,200-,10-19", &[(80, 100), (10, 20)]),
            ("bytes=60-69,10-19,15-24,5-10", &[(60, 70), (5, 25)]),
            ("bytes=40-49,0-9,30-44,0-9", &[(30, 50), (0, 10)]),
        ];
        for (field, expected) in cases {
            assert_eq!(
                parse_range(field.as_bytes(), 100),
                parts(expected),
                "{field}"
            );
        }
    }

    #[test]
    fn what_lies_outside_is_unsatisfiable() {
        for (field, size) in [
            ("bytes=10-", 10),
            ("bytes=10-20", 10),
            ("bytes=-0", 10),
            ("bytes=-0", 0),
            ("bytes=-000", 10),
            ("bytes=5-", 0),
            ("bytes=1-1048575", 0),
            ("bytes=5-,-0", 0),
            ("bytes=99-,-0,10-11", 10),
            ("bytes=99999999999999999999999999-", 10),
            ("bytes=18446744073709551615-", u64::MAX),
        ] {
            assert_eq!(
                parse_range(field.as_bytes(), size),
                RangeSet::Unsatisfiable,
                "{field}"
            );
        }
    }

    #[test]
    fn what_is_not_valid_is_ignored() {
        for field in [
            "",
            "bytes",
            "bytes=",
            "bytes= , ",
            "bytes=-",
            "bytes=5-2",
            "bytes=5",
            "bytes=a-b",
            "bytes=0-0x5",
            "bytes=+1-2",
            "bytes=--5",
            "bytes=1-2-3",
            "bytes=1 -2",
            "bytes=1- 2",
            "bytes=0-1;2-3",
            "bytes=0-1,junk",
            "bytes=junk,0-1",
            "bytes=99-,junk",
            "bytes =0-1",
            "lines=0-1",
            "bytes:0-1",
            "0-1",
            "bytes=\u{661}-2",
        ] {
            assert_eq!(
                parse_range(field.as_bytes(), 10),
                RangeSet::Whole,
                "{field}"
            );
        }
    }

    #[test]
    fn the_start_of_an_empty_file_is_the_whole() {
        for field in [
            "bytes=0-",
            "bytes=0-0",
            "bytes=0-1048575",
            "bytes=-1",
            "bytes=0-,-5",
            "bytes=-5,-3",
            "bytes=5-,0-",
            "bytes=-0,7-9,-1",
            "bytes=0-0,5-",
        ] {
            assert_eq!(parse_range(field.as_bytes(), 0), RangeSet::Whole, "{field}");
        }
    }

    #[test]
    fn too_many_parts_are_the_whole() {
        let field = |count: usize| {
            let members: Vec<String> = (0..count).map(|i| format!("{}-{}", 2 * i, 2 * i)).collect();
            format!("bytes={}", members.join(","))
        };
        let RangeSet::Multiple(ranges) = parse_range(field(MAX_RANGES).as_bytes(), 1000) else {
            panic!("as many as are allowed");
        };
        assert_eq!(ranges.len(), MAX_RANGES);
        assert_eq!(
            parse_range(field(MAX_RANGES + 1).as_bytes(), 1000),
            RangeSet::Whole
        );

        let overlapping = field(MAX_RANGES + 1) + ",0-600";
        let merged = parse_range(overlapping.as_bytes(), 1000);
        assert_eq!(merged, parts(&[(0, 601)]));
    }

    fn ranges_of(set: RangeSet) -> Vec<Range<u64>> {
        match set {
            RangeSet::Single(range) => vec![range],
            RangeSet::Multiple(ranges) => ranges,
            RangeSet::Whole | RangeSet::Unsatisfiable => vec![],
        }
    }

    fn assert_within_and_disjoint(ranges: &[Range<u64>], size: u64) {
        assert!(ranges.len() <= MAX_RANGES);
        for (at, range) in ranges.iter().enumerate() {
            assert!(
                range.start < range.end && range.end <= size,
                "{range:?} of {size}"
            );
            for other in &ranges[at + 1..] {
                assert!(
                    range.end <= other.start || other.end <= range.start,
                    "{ranges:?}"
                );
            }
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(field in prop::collection::vec(any::<u8>(), 0..64), size: u64) {
            assert_within_and_disjoint(&ranges_of(parse_range(&field, size)), size);
        }

        #[test]
        fn anything_that_looks_like_a_range_is_survived(set in "[-0-9, ]{0,60}", size in 0u64..2000) {
            let set = parse_range(format!("bytes={set}").as_bytes(), size);
            assert_within_and_disjoint(&ranges_of(set), size);
        }

        #[test]
        fn the_union_is_what_was_asked_for(
            asked in prop::collection::vec((0u64..80, 0u64..12), 1..20),
            size in 0u64..64,
        ) {
            let members: Vec<String> = asked.iter().map(|(at, len)| format!("{at}-{}", at + len)).collect();
            let set = parse_range(format!("bytes={}", members.join(",")).as_bytes(), size);
            let wanted = |byte| asked.iter().any(|(at, len)| (*at..=at + len).contains(&byte));
            prop_assert_eq!(set == RangeSet::Unsatisfiable, !(0..size.max(1)).any(wanted));

            let ranges = ranges_of(set);
            assert_within_and_disjoint(&ranges, size);
            for byte in 0..size {
                prop_assert_eq!(ranges.iter().any(|range| range.contains(&byte)), wanted(byte));
            }
        }

        #[test]
        fn the_order_is_that_of_the_first_member(
            asked in prop::collection::vec((0u64..200, 0u64..12), 1..20),
        ) {
            let members: Vec<String> = asked.iter().map(|(at, len)| format!("{at}-{}", at + len)).collect();
            let ranges = ranges_of(parse_range(format!("bytes={}", members.join(",")).as_bytes(), 500));
            let first_asked = |range: &Range<u64>| asked.iter().position(|(at, _)| range.contains(at));
            prop_assert!(ranges.is_sorted_by_key(first_asked));
        }
    }
}
