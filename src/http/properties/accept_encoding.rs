//! Property of Accept-Encoding: a coding is in the list exactly if the client accepts it and does not prefer identity, and the list
//! is ordered by weight.

use crate::http::accept_encoding::{AcceptedCodings, Coding};

/// Checks the property; each line of `input` is the value of a field.
pub fn accept_encoding(input: &[u8]) {
    let fields = || input.split(|byte| *byte == b'\n');
    let accepted: Vec<_> = AcceptedCodings::of(fields()).iter().collect();
    let members: Vec<_> = fields().flat_map(read).collect();
    let named = |names: &[&str]| {
        let weights = members.iter().filter(|(name, _)| names.contains(&&**name));
        weights.map(|(_, weight)| *weight).max()
    };
    let weight = |coding: Coding| {
        let own = match coding {
            Coding::Gzip => named(&["gzip", "x-gzip"]),
            Coding::Brotli | Coding::Zstd => named(&[coding.token()]),
        };
        own.or(named(&["*"])).unwrap_or(0)
    };
    let identity = named(&["identity"]).unwrap_or(0);
    for coding in Coding::ALL {
        let wanted = weight(coding) > 0 && weight(coding) >= identity;
        assert_eq!(accepted.contains(&coding), wanted, "{coding:?}");
    }
    for pair in accepted.windows(2) {
        let (first, second) = (weight(pair[0]), weight(pair[1]));
        assert!(
            first > second || first == second && pair[0] < pair[1],
            "{accepted:?}"
        );
    }
}

/// Returns the names in `field` in lower case with their weights in thousandths, without malformed members.
fn read(field: &[u8]) -> Vec<(String, u32)> {
    let text = String::from_utf8_lossy(field).to_ascii_lowercase();
    let blank = |char: char| char.is_ascii_whitespace();
    let member = |member: &str| {
        let (name, weight) = member.split_once(';').unwrap_or((member, "q=1"));
        let weight = weight.trim_matches(blank).strip_prefix("q=")?;
        let is_long = weight.len() > 5 || weight.len() == 1 && weight == ".";
        let is_valid = weight.starts_with(['0', '1'])
            && weight[1..].chars().enumerate().all(|(index, char)| {
                if index == 0 {
                    char == '.'
                } else {
                    char.is_ascii_digit()
                }
            });
        let weight: f64 = weight.parse().ok().filter(|_| is_valid && !is_long)?;
        (weight <= 1.0).then(|| {
            (
                name.trim_matches(blank).to_owned(),
                (weight * 1000.0).round() as u32,
            )
        })
    };
    text.split(',').filter_map(member).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn holds_for_lists(
            field in "((br|zstd|gzip|x-gzip|identity|\\*|deflate|GZIP)([ \t]?;[ \t]?[qQ]=(0|1)(\\.[0-9]{0,4})?)?[,\n] ?){0,8}"
        ) {
            accept_encoding(field.as_bytes());
        }

        #[test]
        fn holds_for_near_lists(field in "(br|gzip|identity|\\*|;q=|[0-9.]|[,; \t\nq=]){0,20}") {
            accept_encoding(field.as_bytes());
        }

        #[test]
        fn holds_for_any_bytes(input in prop::collection::vec(any::<u8>(), 0..100)) {
            accept_encoding(&input);
        }
    }

    #[test]
    fn holds_for_the_corpus() {
        super::super::replay("accept_encoding", accept_encoding);
    }
}
