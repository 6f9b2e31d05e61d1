use super::*;
use crate::config::ServerConfig;
use crate::handler::BaseHttpRequestHandler;
use crate::http::framing::Meaning;

const A: FieldName<'static> = FieldName::VARY;
const B: FieldValue<'static> = FieldValue::constant("b");

type Act = fn(&mut Reply<'_>, &ServerInfo);

/// Returns what leaves for a `command` of HTTP/1.1 that is answered by `act`, or why nothing leaves.
fn reply(command: &str, act: Act) -> Result<(String, bool), String> {
    struct UnusedHandler;
    impl BaseHttpRequestHandler for UnusedHandler {}
    let config = ServerConfig {
        extra_response_headers: vec![("A".to_owned(), "b".to_owned())],
        ..ServerConfig::default()
    };
    let server = ServerInfo::new(&UnusedHandler, config, &[]);
    let meaning = Meaning {
        keep_alive: true,
        ..Meaning::default()
    };
    let request = Request {
        command,
        meaning: &meaning,
        ..Request::refused(b"")
    };
    let (mut out, mut written) = (b"before".to_vec(), b"of another".to_vec());
    let mut rest = Body::Empty;
    let mut reply = Reply::new(&mut out, &mut rest, &mut written);
    act(&mut reply, &server);
    if let Some(misuse) = reply.misuse() {
        return Err(misuse.to_owned());
    }
    let framed = reply.finish(&request, &server, &Clock::new(), false);
    framed.map_err(|error| error.to_string())?;
    let out = String::from_utf8(out).unwrap();
    let out = out.strip_prefix("before").unwrap();
    Ok((out.to_owned(), !rest.is_empty()))
}

fn begin(reply: &mut Reply<'_>, server: &ServerInfo, status: HttpStatus) {
    reply.status_line(status, server);
    reply.end_headers();
}

fn put(reply: &mut Reply<'_>, bytes: &[u8]) {
    match reply.body() {
        Ok(body) => body.extend_from_slice(bytes),
        Err(misuse) => reply.refuse(misuse),
    }
}

fn hello(reply: &mut Reply<'_>, server: &ServerInfo) {
    begin(reply, server, HttpStatus::OK);
    put(reply, b"hello");
}

/// A source that is complete after so many further pieces.
#[derive(Debug)]
struct PieceSource(usize);

impl Source for PieceSource {
    fn fill(&mut self, out: &mut Vec<u8>) -> io::Result<Fill> {
        out.extend_from_slice(b"piece");
        let fill = if self.0 == 0 { Fill::Done } else { Fill::More };
        self.0 = self.0.saturating_sub(1);
        Ok(fill)
    }
}

#[test]
fn the_server_frames_what_the_handler_wrote() {
    let ok = "HTTP/1.1 200 OK\r\n";
    let announced: Act = |reply, server| {
        reply.announce(5);
        hello(reply, server);
    };
    let only_announced: Act = |reply, server| {
        reply.announce(99);
        begin(reply, server, HttpStatus::OK);
    };
    let no_content: Act = |reply, server| {
        reply.announce(5);
        begin(reply, server, HttpStatus::NO_CONTENT);
        put(reply, b"hello");
    };
    let reset: Act = |reply, server| begin(reply, server, HttpStatus::RESET_CONTENT);
    let unchanged: Act = |reply, server| {
        reply.announce(5);
        begin(reply, server, HttpStatus::NOT_MODIFIED);
    };
    let complete: Act = |reply, server| {
        begin(reply, server, HttpStatus::OK);
        reply.source(Box::new(PieceSource(0)), Maker::Handler);
    };
    let stream: Act = |reply, server| {
        begin(reply, server, HttpStatus::OK);
        reply.source(Box::new(PieceSource(1)), Maker::Handler);
    };
    let table = [
        (
            "GET",
            hello as Act,
            format!("{ok}Content-Length: 5\r\nA: b\r\n\r\nhello"),
            false,
        ),
        (
            "HEAD",
            hello,
            format!("{ok}Content-Length: 5\r\nA: b\r\n\r\n"),
            false,
        ),
        (
            "GET",
            announced,
            format!("{ok}Content-Length: 5\r\nA: b\r\n\r\nhello"),
            false,
        ),
        (
            "HEAD",
            only_announced,
            format!("{ok}Content-Length: 99\r\nA: b\r\n\r\n"),
            false,
        ),
        (
            "GET",
            no_content,
            "HTTP/1.1 204 No Content\r\nA: b\r\n\r\n".to_owned(),
            false,
        ),
        (
            "GET",
            reset,
            "HTTP/1.1 205 Reset Content\r\nContent-Length: 0\r\nA: b\r\n\r\n".to_owned(),
            false,
        ),
        (
            "GET",
            unchanged,
            "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\nA: b\r\n\r\n".to_owned(),
            false,
        ),
        (
            "GET",
            complete,
            format!("{ok}Content-Length: 5\r\nA: b\r\n\r\npiece"),
            false,
        ),
        (
            "GET",
            stream,
            format!("{ok}Transfer-Encoding: chunked\r\nA: b\r\n\r\n00000005\r\npiece\r\n"),
            true,
        ),
        (
            "HEAD",
            stream,
            format!("{ok}Transfer-Encoding: chunked\r\nA: b\r\n\r\n"),
            false,
        ),
    ];
    for (command, act, expected, streams) in table {
        assert_eq!(reply(command, act), Ok((expected, streams)));
    }
}

#[test]
fn what_would_break_the_framing_is_refused() {
    let table: [(Act, &str); 10] = [
        (|_, _| {}, "the handler made no reply"),
        (
            |reply, server| {
                hello(reply, server);
                reply.status_line(HttpStatus::OK, server);
            },
            "a second status line",
        ),
        (
            |reply, server| {
                hello(reply, server);
                reply.field(A, B);
            },
            "a header field outside of the head",
        ),
        (
            |reply, server| {
                reply.field(A, B);
                hello(reply, server);
            },
            "a header field outside of the head",
        ),
        (|reply, _| reply.end_headers(), "end_headers without a head"),
        (
            |reply, server| {
                reply.status_line(HttpStatus::OK, server);
                put(reply, b"early");
                reply.end_headers();
            },
            "a write before end_headers",
        ),
        (
            |reply, server| {
                hello(reply, server);
                reply.source(Box::new(PieceSource(1)), Maker::Handler);
            },
            "a second body",
        ),
        (
            |reply, server| {
                begin(reply, server, HttpStatus::OK);
                reply.source(Box::new(PieceSource(1)), Maker::Handler);
                put(reply, b"late");
            },
            "a write after the body was handed over",
        ),
        (
            |reply, server| {
                reply.announce(4);
                hello(reply, server);
            },
            "a body of another length than announced",
        ),
        (
            |reply, server| {
                reply.announce(4);
                begin(reply, server, HttpStatus::OK);
                reply.source(Box::new(PieceSource(1)), Maker::Handler);
            },
            "a body of another length than announced",
        ),
    ];
    for (act, misuse) in table {
        assert_eq!(reply("GET", act), Err(misuse.to_owned()));
    }
}

#[test]
fn a_reset_leaves_what_was_there_before() {
    let replaced = reply("GET", |reply, server| {
        reply.announce(77);
        hello(reply, server);
        reply.refuse("misuse");
        reply.reset();
        hello(reply, server);
    });
    let once = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nA: b\r\n\r\nhello";
    assert_eq!(replaced, Ok((once.to_owned(), false)));
}
