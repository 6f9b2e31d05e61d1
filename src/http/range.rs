//! Range: which parts of a representation a request asks for (RFC 9110 §14.1.1, §14.1.2, §14.2).
//!
//! Invariant: every range that leaves this module is non-empty, lies within the representation and overlaps no other,
//! so a multipart reply exceeds the whole representation by at most the heads of its parts. An invalid Range field is
//! ignored, not refused.

use std::ops::Range;

use super::request::parse_digits;

/// The parts of a representation to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum RangeSet {
    /// The field is ignored, and the whole representation is sent: the field is invalid, asks for too many parts, or asks for the
    /// start of an empty representation.
    Whole,
    /// The field is valid but selects no byte of the representation: 416.
    Unsatisfiable,
    /// One part.
    Single(Range<u64>),
    /// Two or more parts, in the order of the request.
    Multiple(Vec<Range<u64>>),
}

/// A request for more parts than this gets the whole representation, because each part costs a head of its own. zsync asks
/// for 20 ranges at a time, zchunk for up to 255.
pub(crate) const MAX_RANGES: usize = 256;

/// Parses the value of a Range field for a representation of `size` bytes.
pub(crate) fn parse_range(field: &[u8], size: u64) -> RangeSet {
    select(field, size).unwrap_or(RangeSet::Whole)
}

/// Returns `None` if the field must be ignored.
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
            // Content-Range cannot describe a part of an empty file; nginx sends the whole file too.
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

    /// Returns `None` if the range is not satisfiable. In an empty representation, a range from its start and a suffix resolve
    /// to an empty range; nginx's slice module asks for such ranges.
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

/// Merges overlapping ranges. A merged range takes the place of its earliest member in the request. Returns `None` if more
/// than [`MAX_RANGES`] remain.
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

    /// Builds the expected set from pairs of a first position and an end.
    fn parts(expected: &[(u64, u64)]) -> RangeSet {
        match expected {
            [(first, end)] => RangeSet::Single(*first..*end),
            many => RangeSet::Multiple(many.iter().map(|(first, end)| *first..*end).collect()),
        }
    }

    #[test]
    fn a_single_range_is_cut_to_the_size() {
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
    fn several_ranges_keep_the_order_of_the_request() {
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
    fn ranges_outside_the_representation_are_unsatisfiable() {
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
    fn an_invalid_field_is_ignored() {
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
    fn a_range_from_the_start_of_an_empty_file_is_ignored() {
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
    fn a_field_with_too_many_ranges_is_ignored() {
        let field = |count: usize| {
            let members: Vec<String> = (0..count).map(|i| format!("{}-{}", 2 * i, 2 * i)).collect();
            format!("bytes={}", members.join(","))
        };
        let RangeSet::Multiple(ranges) = parse_range(field(MAX_RANGES).as_bytes(), 1000) else {
            panic!("{MAX_RANGES} ranges are allowed");
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

    proptest! {
        #[test]
        fn ranges_keep_the_order_of_their_first_members(
            asked in prop::collection::vec((0u64..200, 0u64..12), 1..20),
        ) {
            let members: Vec<String> = asked.iter().map(|(at, len)| format!("{at}-{}", at + len)).collect();
            let set = parse_range(format!("bytes={}", members.join(",")).as_bytes(), 500);
            if let RangeSet::Multiple(ranges) = set {
                let first_asked = |range: &Range<u64>| asked.iter().position(|(at, _)| range.contains(at));
                prop_assert!(ranges.is_sorted_by_key(first_asked));
            }
        }
    }
}
