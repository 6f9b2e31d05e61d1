//! The framing of replies: what the server adds so that the end of a reply is known, whatever the handler does.

use std::io::{self, Write as _};
use std::net::SocketAddr;

use httpoll::{Exchange, Fill, HttpStatus, MemoryServer, ProtocolVersion, ServerConfig, Source};

use crate::client::{Framing, Reply, get};
use crate::handlers::{answering, reply, request, send_text};
use crate::running::Running;

/// A source of two pieces, so that the length is not known when the head is sent.
#[derive(Debug, Default)]
struct TwoPieces(usize);

impl Source for TwoPieces {
    fn fill(&mut self, out: &mut Vec<u8>) -> io::Result<Fill> {
        self.0 += 1;
        out.extend_from_slice(b"piece ");
        Ok(if self.0 < 2 { Fill::More } else { Fill::Done })
    }
}

fn stream(exchange: &mut Exchange<'_>) -> io::Result<()> {
    exchange.send_response(HttpStatus::OK);
    exchange.end_headers();
    exchange.stream(Box::new(TwoPieces::default()));
    Ok(())
}

#[test]
fn a_body_that_is_complete_has_a_length() {
    let reply = reply(&request("GET"), |exchange| send_text(exchange, "all of it"));
    assert_eq!(reply.framing, Framing::Length);
    assert_eq!(reply.text(), "all of it");
    assert!(!reply.closes());
}

#[test]
fn a_head_without_a_body_has_length_zero() {
    let reply = reply(&request("GET"), |exchange| {
        exchange.send_response(HttpStatus::OK);
        exchange.end_headers();
        Ok(())
    });
    assert_eq!(reply.field("content-length"), Some("0"));
}

#[test]
fn a_stream_is_chunked_for_http_1_1_and_the_connection_stays() {
    let bytes = MemoryServer::new(answering(stream)).respond(get("/").repeat(2).as_bytes());
    for reply in Reply::all(&bytes, &["GET"; 2]) {
        assert_eq!(reply.framing, Framing::Chunked);
        assert_eq!(reply.text(), "piece piece ");
        assert!(!reply.closes());
    }
}

#[test]
fn a_stream_ends_with_the_connection_for_http_1_0() {
    let keep_alive = "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n";
    for request in ["GET / HTTP/1.0\r\n\r\n", keep_alive] {
        let reply = reply(request, stream);
        assert_eq!(reply.framing, Framing::Close);
        assert_eq!(reply.text(), "piece piece ");
    }
}

#[test]
fn a_server_of_http_1_0_never_chunks() {
    let config =
        ServerConfig::default().with(|config| config.protocol_version = ProtocolVersion::Http10);
    let mut server = MemoryServer::with_config(answering(stream), config);
    let bytes = server.respond(get("/").repeat(2).as_bytes());
    let replies = Reply::all(&bytes, &["GET"]);
    assert_eq!(replies[0].version, "HTTP/1.0");
    assert_eq!(replies[0].framing, Framing::Close);
}

#[test]
fn a_stream_that_is_done_at_once_has_a_length() {
    #[derive(Debug)]
    struct OnePiece;
    impl Source for OnePiece {
        fn fill(&mut self, out: &mut Vec<u8>) -> io::Result<Fill> {
            out.extend_from_slice(b"short");
            Ok(Fill::Done)
        }
    }
    let reply = reply(&request("GET"), |exchange| {
        exchange.send_response(HttpStatus::OK);
        exchange.end_headers();
        exchange.stream(Box::new(OnePiece));
        Ok(())
    });
    assert_eq!(reply.field("content-length"), Some("5"));
}

#[test]
fn head_has_the_fields_of_get() {
    let handlers: [fn(&mut Exchange<'_>) -> io::Result<()>; 3] = [
        stream,
        |exchange| send_text(exchange, "twelve bytes"),
        |exchange| {
            exchange.send_error(HttpStatus::NOT_FOUND, None, None);
            Ok(())
        },
    ];
    for handler in handlers {
        let got = reply(&request("GET"), handler);
        let head = reply(&request("HEAD"), handler);
        let without_date = |reply: &Reply| {
            let lines = reply.head.lines().filter(|line| !line.starts_with("Date"));
            lines.map(str::to_owned).collect::<Vec<_>>()
        };
        assert_eq!(without_date(&head), without_date(&got));
    }
}

#[test]
fn a_status_without_content_never_has_a_body() {
    for status in [
        HttpStatus::NO_CONTENT,
        HttpStatus::RESET_CONTENT,
        HttpStatus::NOT_MODIFIED,
    ] {
        let bodies: [fn(&mut Exchange<'_>) -> io::Result<()>; 3] = [
            |exchange| exchange.wfile().write_all(b"written"),
            |exchange| {
                exchange.stream(Box::new(TwoPieces::default()));
                Ok(())
            },
            |exchange| {
                exchange.copyfile(std::fs::File::open("Cargo.toml")?, 0..10);
                Ok(())
            },
        ];
        for body in bodies {
            let answer = |exchange: &mut Exchange<'_>| {
                if exchange.path() == "/next" {
                    return send_text(exchange, "next");
                }
                exchange.send_response(status);
                exchange.end_headers();
                body(exchange)
            };
            let two = format!("{}{}", get("/"), get("/next"));
            let bytes = MemoryServer::new(answering(answer)).respond(two.as_bytes());
            let replies = Reply::all(&bytes, &["GET"; 2]);
            assert_eq!(replies[0].status, status.code());
            assert_eq!(replies[0].body, b"");
            if status != HttpStatus::NOT_MODIFIED {
                let length = (status == HttpStatus::RESET_CONTENT).then_some("0");
                assert_eq!(replies[0].field("content-length"), length, "{status}");
            }
            assert_eq!(replies[0].field("transfer-encoding"), None, "{status}");
            assert_eq!(replies[1].text(), "next");
        }
    }
}

#[test]
fn a_304_may_announce_a_length() {
    let reply = reply(&request("GET"), |exchange| {
        exchange.send_response(HttpStatus::NOT_MODIFIED);
        exchange.send_header("Content-Length", "1234");
        exchange.end_headers();
        Ok(())
    });
    assert_eq!(reply.field("content-length"), Some("1234"));
    assert!(!reply.closes());
}

#[test]
fn an_announced_length_is_sent_once() {
    let reply = reply(&request("GET"), |exchange| {
        exchange.send_response(HttpStatus::OK);
        exchange.send_header("content-LENGTH", "4");
        exchange.end_headers();
        exchange.wfile().write_all(b"four")
    });
    assert_eq!(reply.field("content-length"), Some("4"));
    assert_eq!(reply.text(), "four");
}

#[test]
fn a_range_of_a_file_is_sent_from_memory_or_by_the_kernel() {
    let mut file = tempfile::tempfile().unwrap();
    let content: Vec<u8> = (0..300_000_u32).flat_map(u32::to_le_bytes).collect();
    file.write_all(&content).unwrap();
    for range in [0..0, 5..6, 0..32 * 1024, 1..32 * 1024 + 2, 7..1_200_000] {
        let (start, end) = (range.start as usize, range.end as usize);
        let reply = reply(&request("GET"), |exchange| {
            exchange.send_response(HttpStatus::OK);
            exchange.end_headers();
            exchange.copyfile(file.try_clone()?, range.clone());
            Ok(())
        });
        assert_eq!(reply.framing, Framing::Length);
        assert!(reply.body == content[start..end], "{range:?}");
    }
}

#[test]
fn a_file_shorter_than_its_range_never_gives_a_complete_reply() {
    let small = reply(&request("GET"), |exchange| {
        exchange.send_response(HttpStatus::OK);
        exchange.end_headers();
        exchange.copyfile(tempfile::tempfile()?, 0..10);
        Ok(())
    });
    assert_eq!(small.status, 500);
    // A large file goes by sendfile: its head has been sent, so the server can only close the connection.
    let bytes = MemoryServer::new(answering(|exchange| {
        exchange.send_response(HttpStatus::OK);
        exchange.end_headers();
        let file = tempfile::tempfile()?;
        file.set_len(50_000)?;
        exchange.copyfile(file, 0..100_000);
        Ok(())
    }))
    .respond(get("/").repeat(2).as_bytes());
    assert!(Reply::parse(&bytes, "GET", true).is_none());
}

#[test]
fn connection_close_is_said_and_done() {
    let by_field = |exchange: &mut Exchange<'_>| {
        exchange.send_response(HttpStatus::OK);
        exchange.send_header("Connection", "Close");
        exchange.end_headers();
        assert!(exchange.close_connection());
        Ok(())
    };
    let by_call = |exchange: &mut Exchange<'_>| {
        assert!(!exchange.close_connection());
        exchange.set_close_connection(true);
        send_text(exchange, "")
    };
    let two = get("/").repeat(2);
    for bytes in [
        MemoryServer::new(answering(by_field)).respond(two.as_bytes()),
        MemoryServer::new(answering(by_call)).respond(two.as_bytes()),
    ] {
        assert!(Reply::all(&bytes, &["GET"])[0].closes());
    }
}

#[test]
fn a_handler_may_undo_its_own_close_but_not_the_peers() {
    let answer = |exchange: &mut Exchange<'_>| {
        exchange.set_close_connection(true);
        exchange.set_close_connection(false);
        send_text(exchange, "")
    };
    let close = "GET / HTTP/1.1\r\nHost: test\r\nConnection: x, close\r\n\r\n";
    let three = format!("{}{close}{}", get("/"), get("/"));
    let bytes = MemoryServer::new(answering(answer)).respond(three.as_bytes());
    let replies = Reply::all(&bytes, &["GET"; 2]);
    assert!(!replies[0].closes());
    assert!(replies[1].closes());
}

#[test]
fn an_exchange_that_is_aborted_resets_the_connection() {
    let server = Running::new(|| {
        answering(|exchange| {
            if exchange.path() == "/abort" {
                exchange.abort();
                return Ok(());
            }
            send_text(exchange, "alive")
        })
    });
    let mut client = server.client();
    assert_eq!(client.get("/").text(), "alive");
    client.send(get("/abort"));
    let error = client.receive().unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    assert_eq!(server.client().get("/").text(), "alive");
}

#[test]
fn an_abort_discards_a_reply_that_was_begun() {
    let mut server = MemoryServer::new(answering(|exchange| {
        send_text(exchange, "never seen")?;
        exchange.abort();
        Ok(())
    }));
    assert_eq!(server.respond(get("/").as_bytes()), b"");
}

#[test]
fn fields_keep_their_order_and_may_repeat() {
    let bytes = MemoryServer::new(answering(|exchange| {
        exchange.send_response_only(HttpStatus::OK);
        exchange.send_header("Set-Cookie", "a=1");
        exchange.send_header("X-Bytes", [0xff, b'x'].as_slice());
        exchange.send_header("Set-Cookie", "b=2");
        exchange.end_headers();
        Ok(())
    }))
    .respond(get("/").as_bytes());
    assert_eq!(
        bytes,
        b"HTTP/1.1 200 OK\r\nSet-Cookie: a=1\r\nX-Bytes: \xffx\r\nSet-Cookie: b=2\r\nContent-Length: 0\r\n\r\n"
    );
}

#[test]
fn fields_of_the_configuration_are_in_every_reply() {
    let config = ServerConfig::default().with(|config| {
        config.extra_response_headers = vec![("X-Extra".to_owned(), "yes".to_owned())];
    });
    let mut server =
        MemoryServer::with_config(answering(|exchange| send_text(exchange, "")), config);
    for request in [get("/"), "GET / HTTP/1.1\r\n\r\n".to_owned()] {
        let bytes = server.respond(request.as_bytes());
        assert_eq!(
            Reply::all(&bytes, &["GET"])[0].field("x-extra"),
            Some("yes")
        );
    }
}

#[test]
fn the_request_is_seen_as_it_came() {
    let request = "SPAM //a/b?c=%20#d HTTP/1.1\r\nHost: test\r\nX-A: one\r\nx-a:  two \r\n\r\n";
    let reply = reply(request, |exchange| {
        assert_eq!(exchange.command(), "SPAM");
        assert_eq!(exchange.path(), "/a/b?c=%20#d");
        assert_eq!(exchange.request_version(), "HTTP/1.1");
        assert_eq!(exchange.requestline(), b"SPAM //a/b?c=%20#d HTTP/1.1");
        assert_eq!(exchange.headers().get("X-a"), Some(b"one".as_slice()));
        assert_eq!(exchange.headers().get("x-b"), None);
        let all: Vec<_> = exchange.headers().get_all("x-A").collect();
        assert_eq!(all, [b"one", b"two"]);
        assert_eq!(exchange.headers().iter().count(), 3);
        assert_eq!(
            exchange.client_address(),
            SocketAddr::from(([127, 0, 0, 1], 1))
        );
        assert_eq!(exchange.address_string(), "127.0.0.1");
        assert_eq!(exchange.body_length(), 0);
        send_text(exchange, "seen")
    });
    assert_eq!(reply.text(), "seen");
}

#[test]
fn a_handler_sees_its_server() {
    let server = Running::new(|| {
        answering(|exchange| {
            let server = exchange.server();
            let (name, port) = (server.server_name(), server.server_port());
            let version = server.version_string().to_owned();
            assert_eq!(server.config().max_head, 32 * 1024);
            send_text(exchange, &format!("{name}:{port} {version}"))
        })
    });
    let expected = format!("{} httpoll/{}", server.address, env!("CARGO_PKG_VERSION"));
    let reply = server.client().get("/");
    assert_eq!(reply.text(), expected);
    assert_eq!(reply.field("server"), expected.split(' ').nth(1));
}
