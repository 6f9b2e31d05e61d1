//! The error pages that a handler brings: it is asked once for each status, when the server starts.

use std::ops::RangeInclusive;

use super::BaseHttpRequestHandler;
use crate::http::status::HttpStatus;

/// The statuses that have error pages (RFC 9110 §15.5 and §15.6).
const ERRORS: RangeInclusive<u16> = 400..=599;

/// The formats of a handler's own error pages, and their media type.
#[derive(Clone, Debug, Default)]
pub(crate) struct ErrorPages {
    /// In ascending order; each format, or `None`, is also that of the statuses up to the next one.
    formats: Vec<(HttpStatus, Option<String>)>,
    content_type: Option<String>,
}

impl ErrorPages {
    pub(crate) fn of(handler: &impl BaseHttpRequestHandler) -> Self {
        let mut formats: Vec<(HttpStatus, Option<String>)> = Vec::new();
        for status in ERRORS.filter_map(HttpStatus::new) {
            let format = handler.error_message_format(status);
            if formats.last().is_none_or(|(_, last)| *last != format) {
                formats.push((status, format));
            }
        }
        let has_own = formats.iter().any(|(_, format)| format.is_some());
        Self {
            formats,
            content_type: has_own.then(|| handler.error_content_type()),
        }
    }

    /// Returns the media type of the pages, if there are any.
    pub(crate) fn content_type(&self) -> Option<&str> {
        self.content_type.as_deref()
    }

    /// Returns the format and the media type of the page of `status`, if the handler has one.
    pub(crate) fn of_status(&self, status: HttpStatus) -> Option<(&str, &str)> {
        if !ERRORS.contains(&status.code()) {
            return None;
        }
        let after = self.formats.partition_point(|(first, _)| *first <= status);
        let (_, format) = self.formats.get(after.checked_sub(1)?)?;
        Some((format.as_deref()?, self.content_type()?))
    }
}
