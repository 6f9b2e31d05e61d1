//! The format of a listing, HTML or JSON, and how a client asks for it (RFC 9110 §12.5.1).
//!
//! Invariant: a client gets HTML unless it asks for JSON in the query, or accepts JSON with a higher quality than HTML.

use crate::handler::page;
use crate::http::accept;
use crate::http::field::{DefaultFields, FieldLines, FieldName, FieldValue};
use crate::http::headers::Headers;

/// JSON is UTF-8, and its media type has no charset (RFC 8259 §11).
const JSON: FieldValue<'static> = FieldValue::constant("application/json");

/// The format of a listing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// A page for people.
    Html,
    /// An array of objects for programs.
    Json,
}

impl Format {
    /// Reads `format=json|html` in the query, which takes precedence over Accept, because a link cannot set a field.
    pub(crate) fn negotiate(query: &str, headers: Headers<'_>) -> Self {
        let asked = query.split('&').rev().find_map(|pair| match pair {
            "format=html" => Some(Self::Html),
            "format=json" => Some(Self::Json),
            _ => None,
        });
        let wanted = |media_type| accept::quality(headers.get_all("accept"), media_type);
        asked.unwrap_or_else(|| {
            if wanted("application/json") > wanted("text/html") {
                Self::Json
            } else {
                Self::Html
            }
        })
    }

    /// Returns a different byte for each format.
    pub(crate) fn code(self) -> u8 {
        self as u8
    }

    /// Returns the fields that describe the listing.
    pub(crate) fn fields(self) -> FieldLines {
        let media_type = match self {
            Self::Html => page::HTML,
            Self::Json => JSON,
        };
        let mut fields = FieldLines::default();
        fields.push(FieldName::CONTENT_TYPE, media_type);
        fields.push(FieldName::VARY, page::ACCEPT);
        fields
    }

    /// Returns the fields that restrict what a browser makes of the listing.
    pub(crate) fn defaults(self) -> &'static DefaultFields {
        match self {
            Self::Html => page::LISTING_FIELDS,
            Self::Json => page::DATA_FIELDS,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::storage::tests::request_with;

    #[test]
    fn json_is_sent_only_if_asked_for() {
        let browser = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";
        let cases = [
            ("", "", Format::Html),
            ("", "*/*", Format::Html),
            ("", browser, Format::Html),
            ("", "application/json", Format::Json),
            ("", "application/json, */*;q=0.5", Format::Json),
            ("", "application/json;q=0.5, text/html", Format::Html),
            ("", "text/plain", Format::Html),
            ("format=json", browser, Format::Json),
            ("sort=size&format=json&order=desc", browser, Format::Json),
            ("format=html", "application/json", Format::Html),
            ("format=json&format=html", "", Format::Html),
            ("format=xml", "application/json", Format::Json),
            ("xformat=json&format=json2", "", Format::Html),
        ];
        for (query, accept, expected) in cases {
            let format = request_with(&[("Accept", accept)], |request| {
                Format::negotiate(query, request.headers)
            });
            assert_eq!(format, expected, "{query} {accept}");
        }
    }
}
