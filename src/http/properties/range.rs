//! Property of Range: the selected parts cover exactly the requested bytes, lie within the size, do not overlap and are not
//! too many.

use std::ops::Range;

use crate::http::range::{MAX_RANGES, RangeSet, parse_range};

/// Checks the property. The first byte of `input` is the number of bytes that encode the size, which follow; the rest is the
/// field.
pub fn range(mut input: &[u8]) {
    let length = usize::from(super::take_byte(&mut input) % 9).min(input.len());
    let (size, field) = input.split_at(length);
    let size = size
        .iter()
        .fold(0, |size, byte| size << 8 | u64::from(*byte));
    let asked = read(field, size);
    let set = parse_range(field, size);
    let ranges = match (&set, &asked) {
        (RangeSet::Whole, None) => return,
        (RangeSet::Whole, Some(asked)) => {
            let is_start_of_nothing = size == 0 && asked.iter().any(|range| range.contains(&0));
            assert!(is_start_of_nothing || asked.len() > MAX_RANGES);
            return;
        }
        (RangeSet::Unsatisfiable, Some(asked)) => {
            // In an empty file, position 0 stands for its start.
            let size = u128::from(size.max(1));
            assert!(
                asked
                    .iter()
                    .all(|range| range.is_empty() || range.start >= size)
            );
            return;
        }
        (RangeSet::Single(range), Some(_)) => std::slice::from_ref(range),
        (RangeSet::Multiple(ranges), Some(_)) => ranges.as_slice(),
        (_, None) => panic!("{set:?} from an invalid field"),
    };
    assert_disjoint(ranges, size);
    let asked = asked.unwrap_or_default();
    let edges = asked.iter().flat_map(|range| [range.start, range.end]);
    let edges = edges.chain(
        ranges
            .iter()
            .flat_map(|range| [range.start.into(), range.end.into()]),
    );
    for position in edges.flat_map(|edge| [edge.saturating_sub(1), edge]) {
        let wanted = position < size.into() && asked.iter().any(|range| range.contains(&position));
        let is_sent = |range: &Range<u64>| {
            (u128::from(range.start)..u128::from(range.end)).contains(&position)
        };
        assert_eq!(
            ranges.iter().any(is_sent),
            wanted,
            "{position} of {size}: {set:?}"
        );
    }
}

fn assert_disjoint(ranges: &[Range<u64>], size: u64) {
    assert!((1..=MAX_RANGES).contains(&ranges.len()));
    let mut sorted = ranges.to_vec();
    sorted.sort_by_key(|range| range.start);
    assert!(
        sorted
            .iter()
            .all(|range| range.start < range.end && range.end <= size)
    );
    assert!(
        sorted.windows(2).all(|pair| pair[0].end <= pair[1].start),
        "{ranges:?}"
    );
}

/// Returns the requested ranges in numbers that do not overflow, or `None` if the field is invalid.
fn read(field: &[u8], size: u64) -> Option<Vec<Range<u128>>> {
    let field = str::from_utf8(field).ok()?;
    let (unit, set) = field.split_once('=')?;
    if !unit.eq_ignore_ascii_case("bytes") {
        return None;
    }
    let number = |digits: &str| {
        let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        // A number beyond 64 bits is beyond every size.
        is_number.then(|| {
            digits
                .parse::<u128>()
                .unwrap_or(u128::MAX)
                .min(u64::MAX.into())
        })
    };
    let size = u128::from(size);
    let members = set
        .split(',')
        .map(|member| member.trim_matches(|c: char| c.is_ascii_whitespace()));
    let mut asked = Vec::new();
    for member in members.filter(|member| !member.is_empty()) {
        asked.push(match member.split_once('-')? {
            ("", last) => match number(last)? {
                // A suffix of length 0 requests no bytes.
                0 => size..size,
                last => size.saturating_sub(last)..size.max(1),
            },
            (first, "") => number(first)?..u128::MAX,
            (first, last) => {
                let (first, last) = (number(first)?, number(last)?);
                if first > last {
                    return None;
                }
                first..last + 1
            }
        });
    }
    (!asked.is_empty()).then_some(asked)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn holds_for_ranges(size: u8, set in "(bytes=)?([0-9]{0,3}-[0-9]{0,3}[, ]{0,2}){0,20}") {
            range(&[&[1, size], set.as_bytes()].concat());
        }

        #[test]
        fn holds_for_valid_ranges(
            members in prop::collection::vec((0u8..80, 0u8..12), 1..20),
            size in 0u8..64,
        ) {
            let members: Vec<_> = members.iter().map(|(at, len)| format!("{at}-{}", at + len)).collect();
            let field = format!("bytes={}", members.join(","));
            range(&[&[1, size], field.as_bytes()].concat());
        }

        #[test]
        fn holds_for_large_numbers(size: u64, set in "([0-9]{0,22}-[0-9]{0,22},){0,3}") {
            range(&[&[8], size.to_be_bytes().as_slice(), b"bytes=", set.as_bytes()].concat());
        }

        #[test]
        fn holds_for_many_ranges(
            members in prop::collection::vec((0u32..4000, 0u32..3), MAX_RANGES - 9..MAX_RANGES + 40),
            size in 0u16..5000,
        ) {
            let members: Vec<_> = members.iter().map(|(at, len)| format!("{at}-{}", at + len)).collect();
            let field = format!("bytes={}", members.join(","));
            range(&[&[2], size.to_be_bytes().as_slice(), field.as_bytes()].concat());
        }

        #[test]
        fn holds_for_any_bytes(input in prop::collection::vec(any::<u8>(), 0..100)) {
            range(&input);
        }
    }

    #[test]
    fn holds_for_the_corpus() {
        super::super::replay("range", range);
    }
}
