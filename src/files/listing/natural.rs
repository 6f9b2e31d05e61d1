//! The natural order of names: in lower case, with runs of ASCII digits as numbers, so that `file-2` comes before `file-10`.
//!
//! Invariant: the order is total, and only equal names are equal in it. No comparison allocates.

use std::cmp::Ordering;
use std::iter::Peekable;

/// Compares two names naturally; those that are equal so, by their bytes.
pub(super) fn compare_names(a: &[u8], b: &[u8]) -> Ordering {
    let same = a.iter().zip(b).take_while(|(a, b)| a == b).count();
    let start = separable(a.get(..same).unwrap_or_default());
    let [a, b] = [a, b].map(|name| name.get(start..).unwrap_or_default());
    let natural = if a.is_ascii() && b.is_ascii() {
        let [a, b] = [a, b].map(|name| name.iter().map(u8::to_ascii_lowercase).map(char::from));
        compare_naturally(a.peekable(), b.peekable())
    } else {
        compare_naturally(lower_case(a).peekable(), lower_case(b).peekable())
    };
    natural.then_with(|| a.cmp(b))
}

/// Compares two texts character by character, and two runs of digits as numbers.
fn compare_naturally<I: Iterator<Item = char>>(mut a: Peekable<I>, mut b: Peekable<I>) -> Ordering {
    let is_digit = |c: Option<&char>| c.is_some_and(char::is_ascii_digit);
    loop {
        let ordering = if is_digit(a.peek()) && is_digit(b.peek()) {
            compare_numbers(&mut a, &mut b)
        } else {
            match (a.next(), b.next()) {
                (None, None) => return Ordering::Equal,
                (a, b) => a.cmp(&b),
            }
        };
        if ordering.is_ne() {
            return ordering;
        }
    }
}

/// Compares the numbers at the beginning of two texts. They may have any length, and zeros before them mean nothing.
fn compare_numbers<I: Iterator<Item = char>>(a: &mut Peekable<I>, b: &mut Peekable<I>) -> Ordering {
    for number in [&mut *a, &mut *b] {
        while number.next_if_eq(&'0').is_some() {}
    }
    let mut first_difference = Ordering::Equal;
    loop {
        let digits = [&mut *a, &mut *b].map(|number| number.next_if(char::is_ascii_digit));
        match digits {
            [Some(a), Some(b)] => first_difference = first_difference.then(a.cmp(&b)),
            [None, None] => return first_difference,
            // The longer number is the greater one.
            [a, b] => return a.is_some().cmp(&b.is_some()),
        }
    }
}

fn lower_case(name: &[u8]) -> impl Iterator<Item = char> {
    name.utf8_chunks()
        .flat_map(|chunk| {
            let broken = (!chunk.invalid().is_empty()).then_some(char::REPLACEMENT_CHARACTER);
            chunk.valid().chars().chain(broken)
        })
        .flat_map(char::to_lowercase)
}

/// Returns how many bytes of `common`, the beginning of several names, can be left out when these are compared: the longest part that
/// ends neither within a number nor within a character. An ASCII byte ends even a character that is not UTF-8.
pub(super) fn separable(common: &[u8]) -> usize {
    let last = common
        .iter()
        .rposition(|byte| byte.is_ascii() && !byte.is_ascii_digit());
    last.map_or(0, |last| last + 1)
}

/// Returns a number that has the order of the ASCII names, as far as its bits suffice. Each character takes a byte, in lower case. A
/// number takes a byte `0`, so that it has its place among the characters, a byte for the count of its digits, and four bits a digit.
pub(super) fn name_rank(name: &[u8]) -> u64 {
    let mut rank = Rank {
        bits: 0,
        left: u64::BITS,
    };
    let mut rest = name;
    while rank.left > 0
        && let Some((first, after)) = rest.split_first()
    {
        if !first.is_ascii_digit() {
            rank.push(first.to_ascii_lowercase(), 8);
            rest = after;
            continue;
        }
        let (digits, after) = split_number(rest);
        let count = digits.len().min(255) as u8;
        rank.push(b'0', 8);
        rank.push(count, 8);
        if count == 255 {
            // Numbers of other lengths have the same count, so their digits cannot be compared.
            break;
        }
        digits.iter().for_each(|digit| rank.push(digit - b'0', 4));
        rest = after;
    }
    rank.bits
}

/// A rank that is filled from its highest bit on; what does not fit is left out.
struct Rank {
    bits: u64,
    left: u32,
}

impl Rank {
    fn push(&mut self, value: u8, bits: u32) {
        let value = u64::from(value) << (u64::BITS - bits);
        self.bits |= value.checked_shr(u64::BITS - self.left).unwrap_or(0);
        self.left = self.left.saturating_sub(bits);
    }
}

/// Returns the digits at the beginning of `name`, without the zeros before them, and what follows.
fn split_number(name: &[u8]) -> (&[u8], &[u8]) {
    let end = name.iter().position(|byte| !byte.is_ascii_digit());
    let (run, after) = name.split_at(end.unwrap_or(name.len()));
    let first = run.iter().position(|digit| *digit != b'0');
    let digits = run.get(first.unwrap_or(run.len())..);
    (digits.unwrap_or_default(), after)
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Names that share beginnings, differ in case only, have numbers of all lengths, and characters around the digits.
    pub(in crate::files::listing) const NAMES: &str = "[a-cA-C_]{0,3}|file[kKz\u{212a}é]{0,3}|[fF]?[0-2/:]{1,12}|a0{0,3}[0-9]{0,9}b?|[01]{254,258}";

    #[test]
    fn runs_of_digits_are_compared_as_numbers() {
        let long = "9".repeat(250);
        let longer = format!("1{}", "0".repeat(250));
        let ascending: &[&str] = &[
            "0",
            "00",
            "01",
            "1",
            "1.",
            "1a",
            "2",
            "010",
            "10",
            "99999999999999999999",
            "100000000000000000000",
            &long,
            &longer,
            "a",
            "a-1",
            "a00b2",
            "a0b2",
            "a0b10",
            "a01b",
            "a1b",
            "A1c",
            "a2",
            "a10",
            "aa",
            "file-2",
            "file-10",
            "File-11",
            "v1.2.9",
            "v1.2.10",
            "v1.10.0",
            "z",
            "é2",
            "é10",
            // Only ASCII digits are numbers.
            "é\u{661}\u{660}",
            "é\u{662}",
        ];
        for (number, a) in ascending.iter().enumerate() {
            for (other, b) in ascending.iter().enumerate() {
                let ordering = compare_names(a.as_bytes(), b.as_bytes());
                assert_eq!(ordering, number.cmp(&other), "{a} {b}");
            }
        }
    }

    fn assert_total([a, b, c]: [&[u8]; 3]) {
        assert_eq!(compare_names(a, b).is_eq(), a == b);
        assert_eq!(compare_names(a, b), compare_names(b, a).reverse());
        if compare_names(a, b) == compare_names(b, c) {
            assert_eq!(compare_names(a, c), compare_names(a, b));
        }
    }

    proptest! {
        #[test]
        fn the_order_of_names_is_total(names in prop::array::uniform3(NAMES)) {
            assert_total(names.each_ref().map(String::as_bytes));
        }

        #[test]
        fn the_order_of_bytes_that_are_no_text_is_total(
            names in prop::array::uniform3(prop::collection::vec(prop::sample::select(b"a01-\xc3\xa9\xff\xe2\x84\xaa".to_vec()), 0..6)),
        ) {
            assert_total(names.each_ref().map(Vec::as_slice));
        }
    }
}
