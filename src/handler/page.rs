//! Pages as values, the style that error pages and listings share, and the script of a listing.
//!
//! Invariant: a page is one document that loads no script, font, picture or other file; only `--live` adds a script to it. So it works
//! the same offline, behind any proxy, and under a Content-Security-Policy that allows only its own style sheets and script. Without
//! the script a listing is complete: the script only adds to it.

use crate::http::field::{DefaultFields, FieldLines, FieldName, FieldValue};

/// A page, with the fields of its reply.
#[derive(Debug)]
pub(crate) struct Page {
    /// `Content-Type`, and `Vary` where other clients get another document.
    pub(crate) fields: FieldLines,
    /// Fields that are added to the head unless the handler or the configuration has set them.
    pub(crate) defaults: &'static DefaultFields,
    pub(crate) content: Vec<u8>,
}

/// The style sheet of all pages, for light and dark, and for screens of any width. The contrast of text is at least 4.5:1 (WCAG 2.2
/// §1.4.3).
pub(crate) const STYLE: &str = "
:root{color-scheme:light dark;--bg:#fff;--fg:#1d2227;--dim:#5b6570;--link:#0b57c4}
@media(prefers-color-scheme:dark){:root{--bg:#15181c;--fg:#e3e6ea;--dim:#9aa4af;--link:#8ab8ff}}
*{box-sizing:border-box}
body{max-width:62rem;margin:0 auto;padding:clamp(1.25rem,5vw,3.5rem) clamp(1rem,4vw,2rem);background:var(--bg);color:var(--fg);font:1rem/1.5 system-ui,sans-serif;overflow-wrap:anywhere;-webkit-text-size-adjust:100%;text-size-adjust:100%}
h1{margin:0 0 .5rem;font-size:1.5rem;font-weight:600;line-height:1.35}
h1 small{display:block;margin-bottom:.25rem;color:var(--dim);font-size:.875rem;font-weight:400}
p{margin:0}
p+p{margin-top:1rem}
a{color:var(--link);text-decoration:none}
a:hover,button:hover{text-decoration:underline}
:focus-visible{outline:2px solid var(--link);outline-offset:2px}
";

/// The second style sheet of a listing.
///
/// What only programs read in the cell of a size is an `i` that is not displayed: `hidden` would make every row longer.
/// Directories are recognised by the slash at the end of their link, which costs no byte per row. With the fixed layout a browser
/// shows a long table while it arrives.
pub(crate) const LISTING_STYLE: &str = "
:root{--line:#e4e8ec;--edge:#84909b;--tint:#f3f6fa;--dir:#5b93e0;--file:#ccd4dd}
@media(prefers-color-scheme:dark){:root{--line:#2a3037;--edge:#6c7783;--tint:#1e242b;--dir:#5b8fd6;--file:#454e59}}
h1 i,td i{padding:0 .2em;color:var(--dim);font-style:normal;font-weight:400}
h1 small+a{margin-left:-.1em;padding:.1em .4em .1em .1em}
.n{display:flex;flex-wrap:wrap;align-items:center;gap:.5rem 1rem;color:var(--dim);font-size:.875rem}
input{flex:0 1 16rem;min-width:8rem;margin-left:auto;padding:.2rem .6rem;border:1px solid var(--edge);border-radius:.3rem;background:none;color:var(--fg);font:inherit;font-size:1rem}
::placeholder{color:var(--dim);opacity:1}
table{width:calc(100% + 1.5rem);margin:1.5rem -.75rem 0;border-collapse:collapse;table-layout:fixed;font-variant-numeric:tabular-nums}
th,td{padding:.45rem .75rem;text-align:right;vertical-align:top;white-space:nowrap}
th{position:sticky;top:0;width:11.5rem;background:var(--bg);box-shadow:inset 0 -1px var(--line);font-size:.875rem;font-weight:400}
th:last-child{width:7.5rem}
th:first-child,td:first-child{width:auto;text-align:left;white-space:pre-wrap}
button{all:unset;padding:.25rem 0;color:var(--dim);cursor:pointer}
th[aria-sort] button{color:var(--fg);font-weight:600}
th[aria-sort=ascending] button::after{content:' \\2191'}
th[aria-sort=descending] button::after{content:' \\2193'}
td{border-bottom:1px solid var(--line);color:var(--dim)}
td a{display:block;padding-left:1.75rem;background:linear-gradient(225deg,transparent .22rem,var(--file) 0) .15rem .28rem/.78rem .96rem no-repeat}
td a[href$='/']{font-weight:600;background:linear-gradient(var(--dir) 0 0) 0 .35rem/.5rem .5rem no-repeat,linear-gradient(var(--dir) 0 0) 0 .5rem/1.05rem .7rem no-repeat}
td+td i{display:none}
td .x{color:var(--dim)}
tbody tr:hover{background:var(--tint)}
h2{margin:2.5rem 0 .5rem;color:var(--dim);font-size:.875rem;font-weight:600}
pre{margin:0;padding:1rem 1.25rem;border:1px solid var(--line);border-radius:.3rem;white-space:pre-wrap;font:.875rem/1.5 ui-monospace,monospace;tab-size:4}
@media(max-width:40rem){
table{width:100%;margin:1.5rem 0 0}
tr{display:flex;flex-wrap:wrap;column-gap:1rem;padding:.5rem 0;border-bottom:1px solid var(--line)}
th,td,th:last-child{width:auto;padding:0;border:0;box-shadow:none;text-align:left}
td{font-size:.8125rem}
tbody tr{padding-left:1.75rem}
td:first-child{flex:0 0 100%;font-size:1rem}
td a{margin-left:-1.75rem}
td:empty{display:none}
input{flex:1 0 100%}
}
";

/// The script of a listing. It adds a box that hides the rows without the text that is typed, and to each date a title that says how
/// long ago it is.
///
/// It runs when the browser has read the heading, so it looks for the rows each time: those of a long listing come later. It handles
/// names only as text. The row that leads to the parent directory has no `bdi`, and is never hidden.
pub(crate) const LISTING_SCRIPT: &str = "
const [box, count] = ['input', 'output'].map(name => document.createElement(name)), ago = new Intl.RelativeTimeFormat('en');
const fold = text => text.normalize().toLowerCase();
const filter = () => {
  const names = [...document.querySelectorAll('td bdi')], text = fold(box.value);
  const shown = new Set(names.filter(name => fold(name.textContent).includes(text)));
  for (const name of names) name.closest('tr').style.display = shown.has(name) ? '' : 'none';
  count.textContent = text && `${shown.size} of ${names.length} shown`;
};
const setAge = (time, age = (Date.parse(time.dateTime) - Date.now()) / 6e4) => {
  for (const [unit, length] of [['minute', 60], ['hour', 24], ['day', 30.44], ['month', 12], ['year', 1 / 0]])
    if (length > Math.abs(age)) return time.title = ago.format(Math.trunc(age), unit); else age /= length;
};
Object.assign(box, { type: 'search', placeholder: 'Filter names', ariaLabel: 'Filter names', oninput: filter });
count.ariaLive = 'polite';
document.querySelector('.n').append(count, box);
onkeydown = event => {
  if (event.target == box) event.key == 'Escape' && (box.value = '', filter());
  else if (event.key == '/' && !event.ctrlKey && !event.altKey && !event.metaKey) box.focus(), event.preventDefault();
};
onmouseover = event => event.target.dateTime && setAge(event.target);
addEventListener('DOMContentLoaded', () => (box.value && filter(), document.querySelectorAll('time').forEach(time => setAge(time))));
";

/// The Content-Security-Policy of a page: it loads nothing, and cannot be framed. `$forms` is `none`, or `self` for the buttons that
/// sort a listing. Style sheets and the script are allowed by their SHA-256, so a style or script that a name or a message brings
/// into the page has no effect.
macro_rules! policy {
    ($forms:literal, [$($style:literal),+] $(, $script:literal)?) => {
        concat!(
            "default-src 'none'; style-src", $(" 'sha256-", $style, "'"),+,
            $("; script-src 'sha256-", $script, "'",)?
            "; img-src data:; base-uri 'none'; form-action '", $forms, "'; frame-ancestors 'none'"
        )
    };
}

/// Fields of an error page.
pub(crate) const ERROR_FIELDS: &DefaultFields = &[
    NOSNIFF,
    (
        FieldName::CONTENT_SECURITY_POLICY,
        FieldValue::constant(policy!(
            "none",
            ["7a5pvcZij233QtrLqk3CWw5gVOHJDBVtfrUQ5tfM7pU="]
        )),
    ),
];

/// Fields of the page of a listing.
pub(crate) const LISTING_FIELDS: &DefaultFields = &[
    NOSNIFF,
    (
        FieldName::CONTENT_SECURITY_POLICY,
        FieldValue::constant(policy!(
            "self",
            [
                "7a5pvcZij233QtrLqk3CWw5gVOHJDBVtfrUQ5tfM7pU=",
                "6B6gKUb6ObBsT9DNJmVCBySbMQOBVKYbzBxfR7kvaR8="
            ],
            "xPmtMmrOXAVPO2nl8qJQZcLZK8GTtwjwZYoW70GUV0A="
        )),
    ),
];

/// Fields of pages that are JSON or plain text.
pub(crate) const DATA_FIELDS: &DefaultFields = &[NOSNIFF];

/// Fields of a handler's text.
pub(crate) const TEXT_FIELDS: &DefaultFields = &[(FieldName::CONTENT_TYPE, TEXT), NOSNIFF];
/// Fields of a handler's JSON.
pub(crate) const JSON_FIELDS: &DefaultFields = &[(FieldName::CONTENT_TYPE, JSON), NOSNIFF];

const NOSNIFF: (FieldName<'static>, FieldValue<'static>) = (
    FieldName::X_CONTENT_TYPE_OPTIONS,
    FieldValue::constant("nosniff"),
);

/// The media types of pages.
pub(crate) const HTML: FieldValue<'static> = FieldValue::constant("text/html; charset=utf-8");
pub(crate) const TEXT: FieldValue<'static> = FieldValue::constant("text/plain; charset=utf-8");
pub(crate) const JSON: FieldValue<'static> = FieldValue::constant("application/json");
/// The `Vary` of a page that depends on what the client accepts.
pub(crate) const ACCEPT: FieldValue<'static> = FieldValue::constant("Accept");

/// Writes everything before the content. `put_title` writes the title as markup; `style` is added to the common style sheet.
pub(crate) fn begin(out: &mut Vec<u8>, style: &str, put_title: impl FnOnce(&mut Vec<u8>)) {
    // Without an icon a browser requests /favicon.ico, and each listing would put a 404 into the log.
    put(
        out,
        &[
            "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <link rel=\"icon\" href=\"data:,\">\n<title>",
        ],
    );
    put_title(out);
    put(out, &["</title>\n<style>", STYLE, "</style>\n"]);
    if !style.is_empty() {
        put(out, &["<style>", style, "</style>\n"]);
    }
    put(out, &["</head>\n<body>\n<main>\n"]);
}

/// Writes everything after the content.
pub(crate) fn end(out: &mut Vec<u8>) {
    put(out, &["</main>\n</body>\n</html>\n"]);
}

/// Appends `pieces` as they are.
pub(crate) fn put(out: &mut Vec<u8>, pieces: &[&str]) {
    for piece in pieces {
        out.extend_from_slice(piece.as_bytes());
    }
}

/// Appends `text`, escaped for the content of an element and for a quoted attribute.
pub(crate) fn put_escaped(out: &mut Vec<u8>, text: &str) {
    let mut rest = text.as_bytes();
    while let Some(length) = rest.iter().position(|byte| entity(*byte).is_some()) {
        let (plain, special) = rest.split_at(length);
        out.extend_from_slice(plain);
        if let Some((byte, after)) = special.split_first() {
            put(out, &[entity(*byte).unwrap_or_default()]);
            rest = after;
        }
    }
    out.extend_from_slice(rest);
}

/// Returns the entity of a byte that has a meaning in HTML.
fn entity(byte: u8) -> Option<&'static str> {
    Some(match byte {
        b'&' => "&amp;",
        b'<' => "&lt;",
        b'>' => "&gt;",
        b'"' => "&quot;",
        b'\'' => "&#39;",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use sha2::{Digest as _, Sha256};

    use super::*;

    #[test]
    fn bytes_with_a_meaning_in_html_are_escaped() {
        let cases = [
            ("", ""),
            ("plain.txt", "plain.txt"),
            ("<b>&amp;</b>", "&lt;b&gt;&amp;amp;&lt;/b&gt;"),
            ("\"'", "&quot;&#39;"),
            ("é<🎉", "é&lt;🎉"),
        ];
        for (text, html) in cases {
            let mut out = Vec::new();
            put_escaped(&mut out, text);
            assert_eq!(String::from_utf8(out).unwrap(), html, "{text}");
        }
    }

    #[test]
    fn a_page_refers_to_no_other_file() {
        let mut page = Vec::new();
        begin(&mut page, LISTING_STYLE, |out| put(out, &["title"]));
        end(&mut page);
        let page = String::from_utf8(page).unwrap();
        for foreign in ["<script", "http:", "https:", "@import", "url(", "src="] {
            assert!(!page.contains(foreign), "{foreign}");
        }
        assert!(page.starts_with("<!DOCTYPE html>"));
        assert!(page.contains("<title>title</title>"));
        assert!(page.ends_with("</html>\n"));
    }

    /// With another hash, a browser shows the page without its style, and does not run the script.
    #[test]
    fn the_policy_allows_the_style_sheets_and_the_script() {
        let hash = |text| format!("'sha256-{}'", base64(&Sha256::digest(text)));
        let both = format!("{} {}", hash(STYLE), hash(LISTING_STYLE));
        let script = format!("script-src {};", hash(LISTING_SCRIPT));
        for (fields, hashes, script) in [
            (ERROR_FIELDS, hash(STYLE), None),
            (LISTING_FIELDS, both, Some(script.as_str())),
        ] {
            let policy = str::from_utf8(fields[1].1.as_bytes()).unwrap();
            assert!(policy.contains(&format!("style-src {hashes};")), "{hashes}");
            assert_eq!(policy.contains("script-src"), script.is_some());
            assert!(
                script.is_none_or(|script| policy.contains(script)),
                "{script:?}"
            );
            for weak in ["-inline", "-eval", "-hashes"] {
                assert!(!policy.contains(weak), "{policy}");
            }
        }
    }

    #[test]
    fn the_script_makes_no_markup_and_is_no_markup() {
        let forbidden = [
            "<",
            "innerHTML",
            "outerHTML",
            "insertAdjacent",
            "write",
            "eval",
            "Function",
            "href",
            "http",
        ];
        for word in forbidden {
            assert!(!LISTING_SCRIPT.contains(word), "{word}");
        }
    }

    fn base64(bytes: &[u8]) -> String {
        const DIGITS: &[u8; 64] =
            b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        let digits = |chunk: &[u8]| {
            let bits = (0..3).fold(0, |bits, index| {
                bits << 8 | usize::from(chunk.get(index).copied().unwrap_or(0))
            });
            let digit = |index| match index <= chunk.len() {
                true => char::from(DIGITS[bits >> (18 - 6 * index) & 63]),
                false => '=',
            };
            [0, 1, 2, 3].map(digit)
        };
        bytes.chunks(3).flat_map(digits).collect()
    }

    #[test]
    fn every_style_sheet_has_both_colour_schemes_and_is_balanced() {
        for style in [STYLE, LISTING_STYLE] {
            assert!(style.contains("prefers-color-scheme:dark"));
            assert_eq!(style.matches('{').count(), style.matches('}').count());
            assert!(!style.contains('<'), "it stands inside a style element");
        }
    }
}
