//! What the fields of a head mean: host, framing, persistence, expectation.

use super::*;
use crate::http::framing::Framing;

#[test]
fn a_host_is_one_and_looks_like_one() {
    let table = [
        ("1.1", "Host: h\r\n", true),
        ("1.1", "hOST:h:8000\r\n", true),
        ("1.1", "Host: [fe80::1]:8000\r\n", true),
        ("1.1", "Host: h:\r\n", true),
        ("1.1", "Host:\r\n", false),
        ("1.1", "Host: \t \r\n", false),
        ("1.1", "Host: :80\r\n", false),
        ("1.1", "Host: :\r\n", false),
        ("1.1", "Host: []\r\n", false),
        ("1.2", "Host:\r\n", false),
        ("1.2", "", false),
        ("1.1", "", false),
        ("1.1", "Hosts: h\r\n", false),
        ("1.1", "Host: h\r\nHost: h\r\n", false),
        ("1.1", "Host: h, h\r\nHost: \r\n", false),
        ("1.1", "Host: a b\r\n", false),
        ("1.1", "Host: a/b\r\n", false),
        ("1.1", "Host: u@h\r\n", false),
        ("1.1", "Host: h\u{e9}\r\n", false),
        ("1.0", "", true),
        ("1.0", "Host:\r\n", true),
        ("1.0", "Host: :80\r\n", true),
        ("1.0", "Host: []\r\n", false),
        ("1.0", "Host: h\r\n", true),
        ("1.0", "Host: h\r\nHost: h\r\n", false),
        ("1.0", "Host: a\\b\r\n", false),
    ];
    for (version, fields, accepted) in table {
        let expected = if accepted {
            Ok(())
        } else {
            Err(RequestError::Host)
        };
        assert_eq!(
            read_fields(version, fields, |_| ()),
            expected,
            "HTTP/{version}, {fields:?}"
        );
    }
}

#[test]
fn a_body_whose_end_is_not_certain_is_refused() {
    use Framing::{Chunked, Length};
    use RequestError::{ContentLength, TransferEncoding, UnknownCoding};
    let table = [
        ("", Ok(Length(0))),
        ("Content-Length: 5\r\n", Ok(Length(5))),
        ("Content-Length: \t 5 \t\r\n", Ok(Length(5))),
        ("content-LENGTH:007\r\n", Ok(Length(7))),
        ("Content-Length: 5\r\nContent-Length: 5\r\n", Ok(Length(5))),
        (
            "Content-Length: 18446744073709551615\r\n",
            Ok(Length(u64::MAX)),
        ),
        (
            "Content-Length: 999999999999999999999999999999\r\n",
            Ok(Length(u64::MAX)),
        ),
        (
            "Content-Length: 5\r\nContent-Length: 6\r\n",
            Err(ContentLength),
        ),
        ("Content-Length: 5, 5\r\n", Err(ContentLength)),
        ("Content-Length: 5,\r\n", Err(ContentLength)),
        ("Content-Length: 5 5\r\n", Err(ContentLength)),
        ("Content-Length: +5\r\n", Err(ContentLength)),
        ("Content-Length: -1\r\n", Err(ContentLength)),
        ("Content-Length: 0x5\r\n", Err(ContentLength)),
        ("Content-Length: 5.0\r\n", Err(ContentLength)),
        ("Content-Length: \r\n", Err(ContentLength)),
        (
            "Content-Length: 5\r\nContent-Length:\r\n",
            Err(ContentLength),
        ),
        ("Transfer-Encoding: chunked\r\n", Ok(Chunked)),
        ("transfer-encoding: , CHUNKED ,\r\n", Ok(Chunked)),
        (
            "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
            Err(TransferEncoding),
        ),
        (
            "Content-Length: 0\r\nTransfer-Encoding: chunked\r\n",
            Err(TransferEncoding),
        ),
        (
            "Content-Length: 5\r\nTransfer-Encoding: gzip\r\n",
            Err(TransferEncoding),
        ),
        (
            "Transfer-Encoding: chunked, chunked\r\n",
            Err(TransferEncoding),
        ),
        (
            "Transfer-Encoding: chunked, gzip\r\n",
            Err(TransferEncoding),
        ),
        (
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
            Err(TransferEncoding),
        ),
        ("Transfer-Encoding:\r\n", Err(TransferEncoding)),
        ("Transfer-Encoding: ,\r\n", Err(TransferEncoding)),
        ("Transfer-Encoding: gzip\r\n", Err(UnknownCoding)),
        ("Transfer-Encoding: gzip, chunked\r\n", Err(UnknownCoding)),
        (
            "Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n",
            Err(UnknownCoding),
        ),
        ("Transfer-Encoding: xchunked\r\n", Err(UnknownCoding)),
        ("Transfer-Encoding: chunked;x\r\n", Err(UnknownCoding)),
        ("Transfer-Encoding: \"chunked\"\r\n", Err(UnknownCoding)),
        ("Transfer-Encoding: identity\r\n", Err(UnknownCoding)),
    ];
    for (fields, expected) in table {
        let fields = format!("Host: h\r\n{fields}");
        let framing = read_fields("1.1", &fields, |request| request.meaning.framing);
        assert_eq!(framing, expected, "{fields:?}");
    }
    for fields in [
        "Transfer-Encoding: chunked\r\n",
        "Transfer-Encoding: gzip\r\n",
    ] {
        let framing = read_fields("1.0", fields, |request| request.meaning.framing);
        assert_eq!(framing, Err(TransferEncoding), "HTTP/1.0, {fields:?}");
    }
}

#[test]
fn persistence_follows_the_connection_tokens() {
    let table = [
        ("1.1", "", true),
        ("1.1", "Connection: close\r\n", false),
        ("1.1", "connection: cLOSe\r\n", false),
        ("1.1", "Connection: close, x\r\n", false),
        ("1.1", "Connection: x ,\tclose\r\n", false),
        ("1.1", "Connection: x\r\nConnection: close\r\n", false),
        ("1.1", "Connection: keep-alive, close\r\n", false),
        ("1.1", "Connection: closed, x-close\r\n", true),
        ("1.1", "Connections: close\r\n", true),
        ("1.0", "", false),
        ("1.0", "Connection: x, Keep-Alive\r\n", true),
        ("1.0", "Connection: x\r\nConnection: keep-alive\r\n", true),
        ("1.0", "Connection: keep-alive, close\r\n", false),
        ("1.0", "Connection: keep\r\n", false),
    ];
    for (version, fields, expected) in table {
        let fields = format!("Host: h\r\n{fields}");
        let keep_alive = read_fields(version, &fields, |request| request.meaning.keep_alive);
        assert_eq!(keep_alive, Ok(expected), "HTTP/{version}, {fields:?}");
    }
    let http09 = b"GET / HTTP/0.9\r\nConnection: keep-alive\r\n\r\n";
    assert_eq!(
        read(http09, |request| request.meaning.keep_alive),
        Ok(false)
    );
}

#[test]
fn only_100_continue_may_be_expected() {
    let table = [
        ("1.1", "", Ok(false)),
        ("1.1", "Expect: 100-continue\r\n", Ok(true)),
        ("1.1", "expect:100-CONTINUE \r\n", Ok(true)),
        (
            "1.1",
            "Expect: 100-continues\r\n",
            Err(RequestError::Expectation),
        ),
        (
            "1.1",
            "Expect: 100-continue, x\r\n",
            Err(RequestError::Expectation),
        ),
        (
            "1.1",
            "Expect: 100-continue\r\nExpect: x\r\n",
            Err(RequestError::Expectation),
        ),
        ("1.0", "Expect: 100-continue\r\n", Ok(false)),
        ("1.0", "Expect: x\r\n", Ok(false)),
    ];
    for (version, fields, expected) in table {
        let fields = format!("Host: h\r\n{fields}");
        let expects = read_fields(version, &fields, |request| request.meaning.expects_continue);
        assert_eq!(expects, expected, "HTTP/{version}, {fields:?}");
    }
}
