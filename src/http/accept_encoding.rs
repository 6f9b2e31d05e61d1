//! Accept-Encoding: which content codings a client accepts, best first (RFC 9110 §12.5.3).
//!
//! Invariant: identity is not in the list. A file can always be sent as it is, so a client gets identity where no accepted coding
//! is available, and the list ends where the client prefers identity to what follows.

use super::accept::{MAX_QUALITY, qvalue};
use super::field::FieldValue;

/// A content coding that a reply may have. The variants stand in the server's order: the best comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Coding {
    Brotli,
    Zstd,
    Gzip,
}

impl Coding {
    pub(crate) const ALL: [Self; 3] = [Self::Brotli, Self::Zstd, Self::Gzip];

    /// Returns the name in Content-Encoding.
    pub(crate) const fn token(self) -> &'static str {
        match self {
            Self::Brotli => "br",
            Self::Zstd => "zstd",
            Self::Gzip => "gzip",
        }
    }

    /// Returns the [token](Self::token) as the value of a field.
    pub(crate) const fn value(self) -> FieldValue<'static> {
        FieldValue::constant(self.token())
    }

    /// Returns the suffix of a file in this coding.
    pub(crate) const fn suffix(self) -> &'static str {
        match self {
            Self::Brotli => ".br",
            Self::Zstd => ".zst",
            Self::Gzip => ".gz",
        }
    }
}

/// The codings that a client accepts and does not rank below identity, best first.
///
/// A coding that the client accepts wins over identity even with a low weight, because identity has no weight unless it is named. On
/// equal weights the server's order decides, and identity comes last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct AcceptedCodings([Option<Coding>; 3]);

impl AcceptedCodings {
    /// Only identity.
    pub(crate) const NONE: Self = Self([None; 3]);

    /// Reads the values of the Accept-Encoding fields; without a field nothing is encoded.
    ///
    /// `identity;q=0` and `*;q=0` do not lead to 406: where none of the accepted codings is available, identity is better than an
    /// error page, which would have to be in identity, too.
    pub(crate) fn of<'a>(mut fields: impl Iterator<Item = &'a [u8]>) -> Self {
        let Some(first) = fields.next() else {
            return Self::NONE;
        };
        let second = fields.next();
        if second.is_none()
            && let Some(usual) = usual(first)
        {
            return usual;
        }
        let mut weights = Weights::default();
        for field in [first].into_iter().chain(second).chain(fields) {
            for member in field.split(|byte| *byte == b',') {
                weights.add(member);
            }
        }
        weights.best_first()
    }

    /// Returns the codings, best first.
    pub(crate) fn iter(self) -> impl Iterator<Item = Coding> {
        self.0.into_iter().flatten()
    }
}

/// Fast path: the fields that browsers, curl and wget send.
fn usual(field: &[u8]) -> Option<AcceptedCodings> {
    use Coding::{Brotli, Gzip, Zstd};

    Some(AcceptedCodings(match field {
        b"gzip, deflate, br, zstd" => [Some(Brotli), Some(Zstd), Some(Gzip)],
        b"gzip, deflate, br" => [Some(Brotli), Some(Gzip), None],
        b"gzip, deflate" | b"gzip" => [Some(Gzip), None, None],
        b"identity" => [None; 3],
        _ => return None,
    }))
}

/// The weights that a client gives, in thousandths; `None` where it names no weight.
#[derive(Default)]
struct Weights {
    /// In the order of [`Coding::ALL`].
    codings: [Option<u16>; 3],
    identity: Option<u16>,
    /// Of `*`, which stands for every coding that is not named.
    others: Option<u16>,
}

impl Weights {
    /// Adds a member of the list; a malformed or unknown one is ignored. If a name stands there twice, its highest weight counts.
    fn add(&mut self, member: &[u8]) {
        let mut parts = member
            .splitn(2, |byte| *byte == b';')
            .map(<[u8]>::trim_ascii);
        let name = parts.next().unwrap_or_default();
        let weight = match parts.next() {
            None => Some(MAX_QUALITY),
            Some([b'q' | b'Q', b'=', weight @ ..]) => qvalue(weight),
            Some(_) => None,
        };
        if let (Some(known), Some(_)) = (self.named(name), weight) {
            *known = weight.max(*known);
        }
    }

    fn named(&mut self, name: &[u8]) -> Option<&mut Option<u16>> {
        let [brotli, zstd, gzip] = &mut self.codings;
        let is = |known: &str| name.eq_ignore_ascii_case(known.as_bytes());
        match name {
            b"*" => Some(&mut self.others),
            _ if is("br") => Some(brotli),
            _ if is("zstd") => Some(zstd),
            // A recipient considers `x-gzip` equivalent to `gzip` (RFC 9110 §8.4.1.3).
            _ if is("gzip") || is("x-gzip") => Some(gzip),
            _ if is("identity") => Some(&mut self.identity),
            _ => None,
        }
    }

    fn best_first(&self) -> AcceptedCodings {
        let weight = |named: Option<u16>| named.or(self.others).unwrap_or(0);
        // `*` gives identity no preference: a coding that the client names is what it wants.
        let identity = self.identity.unwrap_or(0);
        let mut weighed: [_; 3] = std::array::from_fn(|index| {
            let weight = weight(self.codings[index]);
            let is_accepted = weight > 0 && weight >= identity;
            (weight, is_accepted.then_some(Coding::ALL[index]))
        });
        // The sort is stable, so equal weights keep the server's order.
        weighed.sort_by_key(|(weight, coding)| (coding.is_none(), u16::MAX - weight));
        AcceptedCodings(weighed.map(|(_, coding)| coding))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accepted(fields: &[&str]) -> String {
        let codings = AcceptedCodings::of(fields.iter().map(|field| field.as_bytes()));
        let tokens: Vec<_> = codings.iter().map(Coding::token).collect();
        tokens.join(" ")
    }

    #[test]
    fn codings_are_ordered_by_weight_and_then_by_the_server() {
        for (field, expected) in [
            ("gzip, deflate, br, zstd", "br zstd gzip"),
            ("gzip,deflate,br,zstd", "br zstd gzip"),
            ("gzip, deflate, br", "br gzip"),
            ("gzip, deflate", "gzip"),
            ("deflate, gzip, br, zstd", "br zstd gzip"),
            ("gzip;q=1.0, deflate;q=0.8, br;q=0.9", "gzip br"),
            ("br;q=0.1, gzip;q=1", "gzip br"),
            ("br;q=0.1", "br"),
            ("br;q=0.001", "br"),
            ("zstd;q=0.5,br;q=0.5,gzip;q=0.5", "br zstd gzip"),
            ("gzip;q=0.9, zstd;q=0.8, br;q=0.7", "gzip zstd br"),
            ("x-gzip", "gzip"),
            ("GZIP, Br;Q=0.5", "gzip br"),
            ("gzip\t;\tq=0.5 ,\tbr", "br gzip"),
            ("gzip;q=0.2, gzip;q=0.8, br;q=0.5", "gzip br"),
        ] {
            assert_eq!(accepted(&[field]), expected, "{field}");
        }
    }

    #[test]
    fn a_weight_of_zero_refuses_a_coding() {
        for (field, expected) in [
            ("gzip;q=0", ""),
            ("gzip;q=0.000, br", "br"),
            ("x-gzip;q=0", ""),
            ("gzip;q=0, *", "br zstd"),
            ("br;q=0, *;q=0.5, gzip", "gzip zstd"),
            ("*;q=0", ""),
            ("*;q=0, gzip", "gzip"),
            ("identity;q=0", ""),
            ("identity;q=0, gzip;q=0", ""),
            ("identity;q=0, gzip;q=0.1", "gzip"),
        ] {
            assert_eq!(accepted(&[field]), expected, "{field}");
        }
    }

    #[test]
    fn a_star_stands_for_what_is_not_named() {
        for (field, expected) in [
            ("*", "br zstd gzip"),
            ("*;q=0.1", "br zstd gzip"),
            ("gzip, *;q=0.5", "gzip br zstd"),
            ("gzip;q=0.5, *", "br zstd gzip"),
            ("gzip;q=0.5, *, identity", "br zstd"),
        ] {
            assert_eq!(accepted(&[field]), expected, "{field}");
        }
    }

    #[test]
    fn codings_after_identity_are_left_out() {
        for (field, expected) in [
            ("identity", ""),
            ("identity, gzip", "gzip"),
            ("identity;q=0.5, gzip;q=0.5", "gzip"),
            ("identity;q=0.5, gzip;q=0.4", ""),
            ("identity, gzip;q=0.5", ""),
            ("br;q=0.2, identity;q=0.5, gzip;q=0.8", "gzip"),
        ] {
            assert_eq!(accepted(&[field]), expected, "{field}");
        }
    }

    #[test]
    fn malformed_and_unknown_members_are_ignored() {
        for junk in [
            "gzip;q=",
            "gzip;q=2",
            "gzip;q=1.001",
            "gzip;q=0.1234",
            "gzip;q=.5",
            "gzip;q=-1",
            "gzip;q=\"1\"",
            "gzip;q=1;x",
            "gzip;x=1",
            "gzip;",
            "gzip;q",
            "gzip q=1",
            "gzip br",
            "gzipped",
            "gz",
            "deflate",
            "dcb",
            ";q=1",
            "",
            ",",
            "*;q=x",
            "\u{e9}",
            "gzip;q =1",
        ] {
            assert_eq!(accepted(&[&format!("{junk},br;q=0.5")]), "br", "{junk}");
            assert_eq!(accepted(&["br;q=0.5", junk]), "br", "{junk}");
            assert_eq!(accepted(&[junk]), "", "{junk}");
        }
    }

    #[test]
    fn several_fields_are_one_list() {
        assert_eq!(accepted(&[]), "");
        assert_eq!(accepted(&["gzip", "br;q=0.5"]), "gzip br");
        assert_eq!(accepted(&["gzip", "gzip;q=0"]), "gzip");
        assert_eq!(accepted(&["", "*;q=0.5", "zstd"]), "zstd br gzip");
    }

    #[test]
    fn the_fast_path_gives_what_reading_gives() {
        for field in [
            "gzip, deflate, br, zstd",
            "gzip, deflate, br",
            "gzip, deflate",
            "gzip",
            "identity",
        ] {
            assert!(usual(field.as_bytes()).is_some(), "{field}");
            assert_eq!(accepted(&[field]), accepted(&[field, ""]), "{field}");
        }
    }
}
