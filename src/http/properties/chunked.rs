//! Properties of the chunked coding: a body decodes to the same content however it is cut, and to the content that a reader of
//! its lines finds; an encoded body decodes to its content.

use super::take_cuts;
use crate::http::chunked::{ChunkedDecoder, Decoded, LAST_CHUNK, write_chunk};

/// A longer body may exceed the decoder's limits for extensions and trailers.
const SHORT: usize = 16 * 1024;

/// How the decoding of a chunked body ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Unchunked {
    More,
    /// The body ended after this number of bytes.
    Done(usize),
    Malformed,
}

/// Decodes `coded` in pieces that end at `cuts`, and at the end of `coded`.
pub(crate) fn unchunk(coded: &[u8], cuts: &[usize]) -> (Vec<u8>, Unchunked) {
    let (mut content, mut decoder, mut start) = (Vec::new(), ChunkedDecoder::default(), 0);
    for end in cuts.iter().copied().chain([coded.len()]) {
        let piece = &coded[start..end];
        match decoder.decode(piece, &mut |data| content.extend_from_slice(data)) {
            Ok(Decoded::More) => start = end,
            Ok(Decoded::Done { consumed }) => return (content, Unchunked::Done(start + consumed)),
            Err(_) => return (content, Unchunked::Malformed),
        }
    }
    (content, Unchunked::More)
}

/// Checks the properties; the first bytes of `input` tell how the rest is cut.
pub fn chunked(mut input: &[u8]) {
    let (cuts, bytes) = take_cuts(&mut input);
    let whole = unchunk(bytes, &[]);
    assert_eq!(unchunk(bytes, &cuts), whole, "cut at {cuts:?}");
    let every_byte: Vec<_> = (0..bytes.len()).collect();
    assert_eq!(unchunk(bytes, &every_byte), whole, "byte by byte");
    if bytes.len() <= SHORT {
        let done = match whole {
            (content, Unchunked::Done(length)) => Some((content, length)),
            _ => None,
        };
        assert_eq!(read(bytes), done);
    }
    let mut coded = Vec::new();
    let mut starts = cuts.clone();
    starts.push(bytes.len());
    for range in starts.windows(2) {
        write_chunk(&mut coded, &bytes[range[0]..range[1]]);
    }
    coded.extend_from_slice(LAST_CHUNK);
    let content = &bytes[starts[0]..];
    let expected = (content.to_vec(), Unchunked::Done(coded.len()));
    assert_eq!(
        unchunk(&coded, &[coded.len() / 3, coded.len() / 2]),
        expected
    );
}

/// Reads a complete chunked body line by line (RFC 9112 §7.1); returns its content and its length.
fn read(coded: &[u8]) -> Option<(Vec<u8>, usize)> {
    let (mut content, mut rest) = (Vec::new(), coded);
    loop {
        let line = take_line(&mut rest)?;
        let digits = line.bytes().take_while(u8::is_ascii_hexdigit).count();
        let (size, extensions) = line.split_at(digits);
        if digits > 16 {
            return None;
        }
        check_extensions(extensions)?;
        let size = usize::try_from(u64::from_str_radix(size, 16).ok()?).ok()?;
        if size == 0 {
            break;
        }
        let (data, after) = rest.split_at_checked(size)?;
        content.extend_from_slice(data);
        rest = after.strip_prefix(b"\r\n")?;
    }
    loop {
        let line = take_line(&mut rest)?;
        if line.is_empty() {
            return Some((content, coded.len() - rest.len()));
        }
        let (name, _) = line.split_once(':')?;
        if split_token(name)? != (name, "") {
            return None;
        }
    }
}

/// Reads the extensions after a size (RFC 9112 §7.1.1); returns `None` if they are malformed.
fn check_extensions(mut rest: &str) -> Option<()> {
    while !rest.is_empty() {
        let name = rest.trim_start().strip_prefix(';')?.trim_start();
        (_, rest) = split_token(name)?;
        if let Some(value) = rest.trim_start().strip_prefix('=') {
            let value = value.trim_start();
            rest = match value.strip_prefix('"') {
                Some(quoted) => after_quoted(quoted)?,
                None => split_token(value)?.1,
            };
        }
    }
    Some(())
}

/// Splits a token of at least one character off the front.
fn split_token(text: &str) -> Option<(&str, &str)> {
    let is_token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
    let length = text.chars().take_while(|c| is_token(*c)).count();
    (length > 0).then(|| text.split_at(length))
}

/// Returns the text after the closing quote of the quoted-string that starts with `quoted`.
fn after_quoted(quoted: &str) -> Option<&str> {
    let mut chars = quoted.chars();
    loop {
        match chars.next()? {
            '"' => return Some(chars.as_str()),
            '\\' => {
                chars.next()?;
            }
            _ => {}
        }
    }
}

/// Takes a line of text off the front; bytes beyond ASCII become replacement characters.
fn take_line(rest: &mut &[u8]) -> Option<String> {
    let length = rest.windows(2).position(|window| window == b"\r\n")?;
    let (line, after) = rest.split_at(length);
    *rest = &after[2..];
    let is_text = |byte: &u8| *byte == b'\t' || !byte.is_ascii_control();
    line.iter().all(is_text).then(|| {
        line.iter()
            .map(|byte| {
                if byte.is_ascii() {
                    char::from(*byte)
                } else {
                    '\u{fffd}'
                }
            })
            .collect()
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::http::properties::nearly;

    /// A chunked body, and bytes that follow it.
    fn chunks() -> impl Strategy<Value = Vec<u8>> {
        let value = r#"([a-z!]{1,2}|"([a-z;= é]|\\["\\é]){0,4}")"#;
        let named = format!("[a-z!]{{1,2}}([ \t]?=[ \t]?{value})?");
        let junk = r#"[a-z =";@é\\]{0,4}"#;
        let head = format!("0{{0,2}}%([ \t]?;[ \t]?({named}|{named}|{junk})){{0,3}}\r\n");
        let head = prop::string::string_regex(&head).unwrap();
        let chunk = ("[a-z\r\n]{1,12}", head).prop_map(|(data, head)| {
            format!(
                "{}{data}\r\n",
                head.replace('%', &format!("{:x}", data.len()))
            )
        });
        let end = "0{1,2}(;x)?\r\n([A-Z]{1,2}: ?b?\r\n){0,2}\r\n[ -~]{0,3}";
        (prop::collection::vec(chunk, 0..5), end)
            .prop_map(|(chunks, end)| (chunks.concat() + &end).into_bytes())
    }

    proptest! {
        #[test]
        fn holds_for_chunks(cuts: [u8; 7], coded in nearly(chunks())) {
            chunked(&[&[7], cuts.as_slice(), &coded].concat());
        }

        #[test]
        fn holds_for_any_bytes(input in prop::collection::vec(any::<u8>(), 0..300)) {
            chunked(&input);
        }
    }

    #[test]
    fn holds_for_the_corpus() {
        super::super::replay("chunked", chunked);
    }
}
