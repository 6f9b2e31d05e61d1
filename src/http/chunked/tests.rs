use super::ChunkedError::{Malformed, TooLarge};
use super::*;

/// Decodes `input` in pieces that end at `cuts`; returns the content, and where the body ended or the error.
fn decode(input: &[u8], cuts: &[usize]) -> (Vec<u8>, Result<Option<usize>, ChunkedError>) {
    let mut decoder = ChunkedDecoder::default();
    let mut body = Vec::new();
    let mut start = 0;
    for &end in cuts.iter().chain([&input.len()]) {
        let end = end.clamp(start, input.len());
        let mut sink = |data: &[u8]| {
            assert!(!data.is_empty());
            body.extend_from_slice(data);
        };
        match decoder.decode(&input[start..end], &mut sink) {
            Ok(Decoded::More) => start = end,
            Ok(Decoded::Done { consumed }) => return (body, Ok(Some(start + consumed))),
            Err(error) => return (body, Err(error)),
        }
    }
    (body, Ok(None))
}

/// Decodes `input` at once and byte by byte, which must give the same result.
fn decode_both_ways(input: &[u8]) -> (Vec<u8>, Result<Option<usize>, ChunkedError>) {
    let at_once = decode(input, &[]);
    let every_byte: Vec<usize> = (0..input.len()).collect();
    assert_eq!(decode(input, &every_byte), at_once);
    at_once
}

#[test]
fn complete_bodies_are_decoded() {
    let cases: [(&[u8], &[u8]); 12] = [
        (b"0\r\n\r\n", b""),
        (b"0000000000000000\r\n\r\n", b""),
        (b"5\r\nhello\r\n0\r\n\r\n", b"hello"),
        (b"5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n", b"hello world"),
        (b"a\r\n0123456789\r\n0\r\n\r\n", b"0123456789"),
        (b"A\r\n0123456789\r\n00\r\n\r\n", b"0123456789"),
        (
            b"000000000000000a\r\n\r\n\r\n\r\n\r\n\r\n\r\n0\r\n\r\n",
            b"\r\n\r\n\r\n\r\n\r\n",
        ),
        (
            b"2;name=value;b=\"quoted; \xff\"\r\nok\r\n0;last\r\n\r\n",
            b"ok",
        ),
        (b"2 \t;name\r\nok\r\n0\t; last\r\n\r\n", b"ok"),
        (b"2\r\nok\r\n0\r\nExpires: never\r\n\r\n", b"ok"),
        (b"0\r\nA:\r\nb: \t\xe9 x:y \r\n\r\n", b""),
        (b"2\r\n\n\r\r\n0\r\n\r\n", b"\n\r"),
    ];
    for (input, body) in cases {
        let followed = [input, b"GET / HTTP/1.1\r\n"].concat();
        let expected = (body.to_vec(), Ok(Some(input.len())));
        let shown = input.escape_ascii();
        assert_eq!(decode_both_ways(&followed), expected, "{shown}");
        for end in 0..input.len() {
            assert_eq!(decode(&input[..end], &[]).1, Ok(None), "{shown} to {end}");
        }
    }
}

#[test]
fn extensions_must_match_the_grammar() {
    for extensions in [
        ";a",
        "; a",
        " ;a",
        "\t; \ta",
        ";a=b",
        ";a = \t b",
        ";a ;b",
        ";a;b=c;d",
        ";a=b ; c=d",
        ";!#$%&'*+-.^_`|~9",
        ";a=!#$%&'*+-.^_`|~9",
        ";a=\"\"",
        ";a=\"b\\\"c\"",
        ";a=\"b\\\\\"",
        ";a = \"b;c=d, e\t\" ;f",
        ";a=\"\\\t\\ \\a\u{e9}\\\u{e9}\"",
    ] {
        let body = format!("2{extensions}\r\nok\r\n0{extensions}\r\n\r\n");
        let expected = (b"ok".to_vec(), Ok(Some(body.len())));
        assert_eq!(decode_both_ways(body.as_bytes()), expected, "{extensions}");
    }
    for extensions in [
        ";",
        "; ",
        ";;a",
        ";a;",
        ";a;;b",
        ";a ",
        ";a b",
        ";a=",
        ";a= ",
        ";a=;b",
        ";a=@",
        ";a=b ",
        ";a=b c",
        ";a=b=c",
        ";a=b\"c\"",
        ";=b",
        "=b",
        " =b",
        ",a",
        " ",
        ";@",
        ";a@",
        ";\"a\"",
        ";\u{e9}",
        ";a=\u{e9}",
        ";a=\"",
        ";a=\"b",
        ";a=\"b\\",
        ";a=\"b\\\"",
        ";a=\"b\"c",
        ";a=\"b\"\"c\"",
        ";a=\"b\" ",
        ";a=\"b\0\"",
        ";a=\"b\\\x7f\"",
        ";a='b c'",
    ] {
        for size in ["2", "0"] {
            let line = format!("{size}{extensions}\r\n");
            let (_, end) = decode_both_ways(line.as_bytes());
            assert_eq!(end, Err(Malformed), "{line:?}");
        }
    }
}

#[test]
fn malformed_bodies_are_refused() {
    let cases: [&[u8]; 31] = [
        b"\r\n",
        b"\n",
        b" 5\r\n",
        b";a\r\n",
        b"x\r\n",
        b"0x5\r\n",
        b"+5\r\n",
        b"-5\r\n",
        b"5_0\r\n",
        b"5\n",
        b"5\r\r\n",
        b"5\rh",
        b"5 \r\n",
        b"5\t\r\n",
        b"5 5\r\n",
        b"5;a\n",
        b"5;a\rb\r\n",
        b"5;a\0\r\n",
        b"5;a\x7f\r\n",
        b"2\r\nok\n",
        b"2\r\nok\rx",
        b"2\r\nokay\r\n",
        b"0\r\n\n",
        b"0\r\n\rx",
        b"0\r\n: value\r\n",
        b"0\r\n folded\r\n",
        b"0\r\nname : value\r\n",
        b"0\r\nname\r\n",
        b"0\r\nname: value\n",
        b"0\r\nname: v\0\r\n",
        b"0\r\nna\xefme: v\r\n",
    ];
    for input in cases {
        let shown = input.escape_ascii();
        assert_eq!(decode_both_ways(input).1, Err(Malformed), "{shown}");
    }
}

#[test]
fn a_size_has_at_most_sixteen_digits() {
    assert_eq!(
        decode(b"ffffffffffffffff\r\ndata", &[]),
        (b"data".to_vec(), Ok(None))
    );
    assert_eq!(decode(b"10000000000000000\r\n", &[]).1, Err(TooLarge));
    assert_eq!(decode(b"00000000000000000\r\n", &[]).1, Err(TooLarge));
}

#[test]
fn the_extensions_of_all_chunks_share_a_limit() {
    let line = |length: usize| format!("1;{}\r\nx\r\n", "e".repeat(length - 1));
    let half = line(MAX_EXTENSIONS / 2);
    let body = format!("{half}{half}0\r\n\r\n");
    assert_eq!(
        decode(body.as_bytes(), &[]),
        (b"xx".to_vec(), Ok(Some(body.len())))
    );
    let body = format!("{half}{half}0;e\r\n\r\n");
    assert_eq!(decode(body.as_bytes(), &[]).1, Err(TooLarge));
    let blanks = format!("1{};\r\n", " ".repeat(MAX_EXTENSIONS));
    assert_eq!(decode(blanks.as_bytes(), &[]).1, Err(TooLarge));
    let quoted = format!("1;e=\"{}\"\r\n", "\\\"".repeat(MAX_EXTENSIONS / 2));
    assert_eq!(decode(quoted.as_bytes(), &[]).1, Err(TooLarge));
}

#[test]
fn trailers_have_a_limit() {
    let body = |length: usize| format!("0\r\nA:{}\r\n\r\n", "v".repeat(length - 3));
    let largest = body(MAX_TRAILERS);
    assert_eq!(decode(largest.as_bytes(), &[]).1, Ok(Some(largest.len())));
    let larger = body(MAX_TRAILERS + 1);
    assert_eq!(decode(larger.as_bytes(), &[]).1, Err(TooLarge));
    let many = "0\r\n".to_owned() + &"A:\r\n".repeat(MAX_TRAILERS);
    assert_eq!(decode(many.as_bytes(), &[]).1, Err(TooLarge));
}

#[test]
fn a_complete_body_consumes_no_more_input() {
    let mut decoder = ChunkedDecoder::default();
    let mut sink = |_: &[u8]| panic!("the body has no data");
    for consumed in [5, 0] {
        let decoded = decoder.decode(LAST_CHUNK, &mut sink);
        assert_eq!(decoded, Ok(Decoded::Done { consumed }));
    }
}

#[test]
fn chunk_heads_have_a_fixed_width() {
    for (length, head) in [
        (0, b"00000000\r\n"),
        (1, b"00000001\r\n"),
        (0xab_cdef, b"00abcdef\r\n"),
        (u32::MAX, b"ffffffff\r\n"),
    ] {
        assert_eq!(&chunk_head(length), head);
    }
}

#[test]
fn an_empty_chunk_is_not_written() {
    let mut out = b"head".to_vec();
    write_chunk(&mut out, b"");
    assert_eq!(out, b"head");
    write_chunk(&mut out, b"data");
    assert_eq!(out, b"head00000004\r\ndata\r\n");
}
