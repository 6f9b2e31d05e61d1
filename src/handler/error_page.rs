//! The page of an error: code, message and explanation, as in `http.server`, as HTML or plain text.
//!
//! Invariant: message and explanation are text. They may have bytes of the client in them, so they are escaped.

use crate::handler::page::{self, Page, put, put_escaped};
use crate::handler::server_info::ServerInfo;
use crate::handler::text::acts_on_text;
use crate::http::decimal::push_decimal;
use crate::http::field::{FieldLines, FieldName, FieldValue, ForbiddenBytes};
use crate::http::status::HttpStatus;

/// Room for a usual page, in bytes.
const ROOM: usize = 2048;

/// The form of an error page. It is the same for so many requests that a page can be kept.
///
/// A page as HTML has a link one level up. The link is relative: behind a proxy, `/` may be another site. So it depends on the end of
/// the path, and on nothing else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ErrorForm {
    Text,
    /// Without a link: nothing is above the path `/`, or the path is not known.
    Html,
    /// The path ends with a name, and the link leads to its directory.
    HtmlOfName,
    /// The path ends with a slash, and the link leads to the directory above.
    HtmlOfDirectory,
}

impl ErrorForm {
    pub(crate) const COUNT: usize = Self::HtmlOfDirectory as usize + 1;

    /// Returns the form for a client that `accepts_html` or not, and has asked for `target`.
    pub(crate) fn new(accepts_html: bool, target: &[u8]) -> Self {
        if !accepts_html {
            return Self::Text;
        }
        let end = target.iter().position(|byte| matches!(byte, b'?' | b'#'));
        match target.get(..end.unwrap_or(target.len())) {
            Some([b'/', .., b'/']) => Self::HtmlOfDirectory,
            Some([b'/', _, ..]) => Self::HtmlOfName,
            _ => Self::Html,
        }
    }

    fn link(self) -> Option<&'static str> {
        match self {
            Self::Text | Self::Html => None,
            Self::HtmlOfName => Some("./"),
            Self::HtmlOfDirectory => Some("../"),
        }
    }
}

/// Returns the page of `status`: in the handler's own format if it has one, else in this `form`. `message` replaces the phrase of the
/// status, `explain` its description.
///
/// # Errors
/// The handler's own media type has bytes that HTTP forbids.
pub(crate) fn error_page(
    server: &ServerInfo,
    form: ErrorForm,
    status: HttpStatus,
    message: Option<&str>,
    explain: Option<&str>,
) -> Result<Page, ForbiddenBytes> {
    let message = message.unwrap_or_else(|| status.phrase());
    let explain = explain.unwrap_or_else(|| status.description());
    let mut content = Vec::with_capacity(ROOM);
    let mut fields = FieldLines::default();
    let defaults = if let Some((format, content_type)) = server.error_pages().of_status(status) {
        let content_type = FieldValue::new(content_type.as_bytes())?;
        fields.push(FieldName::CONTENT_TYPE, content_type);
        filled(&mut content, format, status, message, explain);
        page::DATA_FIELDS
    } else if form != ErrorForm::Text {
        fields.push(FieldName::VARY, page::ACCEPT);
        fields.push(FieldName::CONTENT_TYPE, page::HTML);
        html(&mut content, form.link(), status, message, explain);
        page::ERROR_FIELDS
    } else {
        fields.push(FieldName::VARY, page::ACCEPT);
        fields.push(FieldName::CONTENT_TYPE, page::TEXT);
        text(&mut content, status, message, explain);
        page::DATA_FIELDS
    };
    Ok(Page {
        fields,
        defaults,
        content,
    })
}

/// Writes the page as HTML, with a `link` one level up if there is one.
fn html(out: &mut Vec<u8>, link: Option<&str>, status: HttpStatus, message: &str, explain: &str) {
    page::begin(out, "", |out| {
        put_code(out, status);
        put(out, &[" "]);
        put_escaped(out, message);
    });
    put(out, &["<h1><small>Error code: "]);
    put_code(out, status);
    put(out, &["</small>"]);
    put_escaped(out, message);
    put(out, &["</h1>\n"]);
    if !explain.is_empty() {
        put(out, &["<p>"]);
        put_escaped(out, explain);
        put(out, &[full_stop(explain), "</p>\n"]);
    }
    if let Some(link) = link {
        put(out, &["<p><a href=\"", link, "\">Up one level</a></p>\n"]);
    }
    page::end(out);
}

/// Writes a page in the handler's own `format`, with its three places filled in; `%%` is a percent sign.
fn filled(out: &mut Vec<u8>, format: &str, status: HttpStatus, message: &str, explain: &str) {
    let mut rest = format;
    while let Some(position) = rest.find('%') {
        let (text, place) = rest.split_at(position);
        put(out, &[text]);
        rest = if let Some(rest) = place.strip_prefix("%(code)d") {
            put_code(out, status);
            rest
        } else if let Some(rest) = place.strip_prefix("%(message)s") {
            put_escaped(out, message);
            rest
        } else if let Some(rest) = place.strip_prefix("%(explain)s") {
            put_escaped(out, explain);
            rest
        } else {
            put(out, &["%"]);
            let rest = place.strip_prefix("%%").or(place.strip_prefix('%'));
            rest.unwrap_or_default()
        };
    }
    put(out, &[rest]);
}

/// Writes the page as plain text, for clients that accept no HTML; most of them are terminals.
fn text(out: &mut Vec<u8>, status: HttpStatus, message: &str, explain: &str) {
    put(out, &["Error code: "]);
    put_code(out, status);
    put(out, &["\nMessage: "]);
    put_harmless(out, message);
    put(out, &[full_stop(message), "\n"]);
    if !explain.is_empty() {
        put(out, &["Error code explanation: "]);
        put_code(out, status);
        put(out, &[" - "]);
        put_harmless(out, explain);
        put(out, &[full_stop(explain), "\n"]);
    }
}

fn put_code(out: &mut Vec<u8>, status: HttpStatus) {
    push_decimal(out, status.code().into());
}

/// Appends `text` with a replacement character for each character that a terminal would obey.
fn put_harmless(out: &mut Vec<u8>, text: &str) {
    let obeyed = |c: char| acts_on_text(c) && !matches!(c, '\n' | '\t');
    for (index, piece) in text.split(obeyed).enumerate() {
        if index > 0 {
            put(out, &["\u{fffd}"]);
        }
        put(out, &[piece]);
    }
}

/// Returns the full stop that a `sentence` lacks: of Python's texts only the teapot's has one.
fn full_stop(sentence: &str) -> &'static str {
    if sentence.ends_with(['.', '!', '?']) {
        ""
    } else {
        "."
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Writer = fn(&mut Vec<u8>, HttpStatus, &str, &str);

    fn html(out: &mut Vec<u8>, status: HttpStatus, message: &str, explain: &str) {
        super::html(out, Some("./"), status, message, explain);
    }

    fn written(writer: Writer, status: HttpStatus, message: &str, explain: &str) -> String {
        let mut out = Vec::new();
        writer(&mut out, status, message, explain);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn the_page_names_code_message_and_explanation() {
        let status = HttpStatus::NOT_FOUND;
        let page = written(html, status, "File not found", status.description());
        assert!(page.contains("<title>404 File not found</title>"));
        assert!(page.contains("<h1><small>Error code: 404</small>File not found</h1>"));
        assert!(page.contains("<p>Nothing matches the given URI.</p>"));
    }

    #[test]
    fn a_page_as_html_leads_one_level_up() {
        use ErrorForm::{Html, HtmlOfDirectory, HtmlOfName};
        let cases: [(&[u8], ErrorForm, &str); 12] = [
            (b"/missing", HtmlOfName, "./"),
            (b"/a/b.html?c=/", HtmlOfName, "./"),
            (b"/a/b#/", HtmlOfName, "./"),
            (b"/a\xff", HtmlOfName, "./"),
            (b"/missing/", HtmlOfDirectory, "../"),
            (b"/a/b/?c", HtmlOfDirectory, "../"),
            (b"//", HtmlOfDirectory, "../"),
            (b"/", Html, ""),
            (b"/?a/", Html, ""),
            (b"*", Html, ""),
            (b"", Html, ""),
            (b"\"><b>/", Html, ""),
        ];
        for (target, form, link) in cases {
            assert_eq!(ErrorForm::new(true, target), form, "{target:?}");
            assert_eq!(form.link().unwrap_or_default(), link);
            assert_eq!(ErrorForm::new(false, target), ErrorForm::Text);
        }
        let page = written(html, HttpStatus::NOT_FOUND, "a", "b");
        assert!(
            page.contains("<p><a href=\"./\">Up one level</a></p>"),
            "{page}"
        );
    }

    #[test]
    fn the_places_of_a_format_are_filled_in_once() {
        let mut out = Vec::new();
        let format = "%(code)d|%(message)s|%(explain)s|100%%|%s|%";
        filled(&mut out, format, HttpStatus::NOT_FOUND, "<%(code)d>", "why");
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "404|&lt;%(code)d&gt;|why|100%|%s|%"
        );
    }

    #[test]
    fn the_text_is_that_of_http_server() {
        let status = HttpStatus::NOT_FOUND;
        assert_eq!(
            written(text, status, "File not found", status.description()),
            "Error code: 404\nMessage: File not found.\n\
             Error code explanation: 404 - Nothing matches the given URI.\n"
        );
    }

    #[test]
    fn bytes_of_the_client_are_escaped() {
        let hostile = "Bad request syntax ('GET /<script>alert(\"1\")&')";
        let page = written(html, HttpStatus::BAD_REQUEST, hostile, hostile);
        assert!(!page.contains("<script"));
        assert_eq!(
            page.matches("&lt;script&gt;alert(&quot;1&quot;)&amp;&#39;")
                .count(),
            3
        );
    }

    #[test]
    fn plain_text_has_nothing_that_a_terminal_obeys() {
        let message = "a\x1b[2Jb\u{9b}\r\u{202e}";
        let plain = written(text, HttpStatus::BAD_REQUEST, message, "c\n\td");
        assert_eq!(
            plain,
            "Error code: 400\nMessage: a\u{fffd}[2Jb\u{fffd}\u{fffd}\u{fffd}.\n\
             Error code explanation: 400 - c\n\td.\n"
        );
    }

    #[test]
    fn an_explanation_may_be_missing_or_have_its_own_full_stop() {
        let page = written(html, HttpStatus::LOCKED, "Locked", "");
        assert_eq!(page.matches("<p>").count(), 1, "the link");
        let plain = written(text, HttpStatus::LOCKED, "Locked", "");
        assert_eq!(plain, "Error code: 423\nMessage: Locked.\n");
        let teapot = HttpStatus::IM_A_TEAPOT;
        assert!(written(html, teapot, "Teapot", teapot.description()).contains("a teapot.</p>"));
    }
}
