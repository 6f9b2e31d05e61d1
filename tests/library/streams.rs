//! Bodies that a source makes while they are sent: when the server asks the source, and how the body ends.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};

use httpoll::{Exchange, Fill, HttpStatus, MemoryServer, Source};

use crate::child::Child;
use crate::client::{Framing, Reply, TIMEOUT, get};
use crate::handlers::{answering, reply, request, send_text};
use crate::running::{Running, eventually};
use crate::subscriptions::subscribed;

/// A source that consists of one closure.
struct FromClosure<F>(F);

impl<F> std::fmt::Debug for FromClosure<F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("FromClosure")
    }
}

impl<F: FnMut(&mut Vec<u8>) -> io::Result<Fill> + Send> Source for FromClosure<F> {
    fn fill(&mut self, out: &mut Vec<u8>) -> io::Result<Fill> {
        (self.0)(out)
    }
}

fn stream<F>(exchange: &mut Exchange<'_>, fill: F) -> io::Result<()>
where
    F: FnMut(&mut Vec<u8>) -> io::Result<Fill> + Send + 'static,
{
    exchange.send_response(HttpStatus::OK);
    exchange.end_headers();
    exchange.stream(Box::new(FromClosure(fill)));
    Ok(())
}

const PIECE: usize = 16 * 1024;

#[test]
fn a_source_is_asked_only_as_fast_as_its_reader_reads() {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let server = Running::new(move || {
        answering(move |exchange| {
            if exchange.path() == "/ping" {
                return send_text(exchange, "pong");
            }
            let count = Arc::clone(&count);
            stream(exchange, move |out| {
                count.fetch_add(1, Ordering::Relaxed);
                out.resize(out.len() + PIECE, b'x');
                Ok(Fill::More)
            })
        })
    });
    let mut ping = server.client();
    // A full socket stops the source: many turns later the server has not asked it again.
    let mut rests_at = |at_least: usize| {
        let mut before = 0;
        eventually(|| {
            for _ in 0..20 {
                ping.get("/ping");
            }
            let now = asked.load(Ordering::Relaxed);
            std::mem::replace(&mut before, now) == now && now > at_least
        });
        before
    };
    let mut slow = server.client();
    slow.send(get("/"));
    let first = rests_at(0);
    assert!(first * PIECE < 16 * 1024 * 1024, "{first} pieces");
    // The client reads as much as the buffers of the kernel held, so they have room again.
    let mut read = 0;
    while read < first * PIECE {
        read += slow.receive().unwrap();
    }
    rests_at(first);
}

#[test]
fn clients_that_do_not_read_cost_little_memory() {
    let server = Child::handler("endless");
    let mut reading = server.client();
    reading.send(get("/")).read_until("xxxx");
    let before = server.memory("VmHWM");
    let stalled: Vec<_> = (0..20)
        .map(|_| {
            let mut client = server.client();
            client.send(get("/"));
            client
        })
        .collect();
    // When this client has received so much, all others have had many turns.
    for _ in 0..400 {
        reading.receive().unwrap();
    }
    let growth = server.memory("VmHWM") - before;
    assert!(growth < 20 * 128, "{growth} KiB");
    drop(stalled);
}

#[test]
fn an_early_wake_is_not_lost() {
    let answer = |exchange: &mut Exchange<'_>| {
        let mut letters = ["a", "b", "c"].into_iter();
        let waker = exchange.waker();
        waker.wake_by_ref();
        stream(exchange, move |out| {
            let Some(letter) = letters.next() else {
                return Ok(Fill::Done);
            };
            out.extend_from_slice(letter.as_bytes());
            waker.wake_by_ref();
            Ok(Fill::NotNow)
        })
    };
    let server = Running::new(move || answering(answer));
    assert_eq!(server.client().get("/").text(), "abc");
    assert_eq!(reply(&request("GET"), answer).text(), "abc");
}

#[test]
fn a_failing_source_closes_without_the_last_chunk() {
    let answer = |exchange: &mut Exchange<'_>| {
        let mut pieces = 0;
        stream(exchange, move |out| {
            pieces += 1;
            out.extend_from_slice(b"piece");
            if pieces == 3 {
                Err(io::Error::other("fails"))
            } else {
                Ok(Fill::More)
            }
        })
    };
    let server = Running::new(move || answering(answer));
    let bytes = server.client().send(get("/").repeat(2)).rest();
    assert!(bytes.starts_with(b"HTTP/1.1 200 "));
    assert!(Reply::parse(&bytes, "GET", true).is_none());
    assert!(!bytes.ends_with(b"0\r\n\r\n"));
}

#[test]
fn a_source_that_adds_nothing_yet_does_not_block_others() {
    let server = Running::new(|| {
        let released = Arc::new(AtomicBool::new(false));
        answering(move |exchange| {
            let released = Arc::clone(&released);
            if exchange.path() == "/release" {
                released.store(true, Ordering::Relaxed);
                return send_text(exchange, "released");
            }
            stream(exchange, move |out| {
                if !released.load(Ordering::Relaxed) {
                    return Ok(Fill::More);
                }
                out.extend_from_slice(b"done");
                Ok(Fill::Done)
            })
        })
    });
    let mut working = server.client();
    working.send(get("/"));
    assert!(working.read_until("\r\n\r\n").contains("chunked"));
    assert_eq!(server.client().get("/release").text(), "released");
    assert_eq!(
        working.read_until("0\r\n\r\n"),
        "00000004\r\ndone\r\n0\r\n\r\n"
    );
}

#[test]
fn an_endless_stream_does_not_block_others() {
    let server = Child::handler("endless");
    let mut greedy = server.client();
    greedy.send(get("/"));
    for _ in 0..100 {
        greedy.receive().unwrap();
    }
    let mut other = server.client();
    other.send(get("/")).read_until("xxxx");
}

#[test]
fn head_of_a_stream_has_no_body_and_drops_the_source() {
    let (server, hub, _) = subscribed(0);
    let mut client = server.client();
    client.send("HEAD / HTTP/1.1\r\nHost: test\r\n\r\n");
    let head = client.reply_to("HEAD");
    assert_eq!((head.status, head.framing), (200, Framing::Bodiless));
    drop(server);
    let dropped = Arc::new(());
    let held = Arc::clone(&dropped);
    let reply = reply(&request("HEAD"), move |exchange| {
        let held = Arc::clone(&held);
        stream(exchange, move |_| {
            let _ = &held;
            Ok(Fill::NotNow)
        })
    });
    assert_eq!(reply.framing, Framing::Bodiless);
    assert_eq!(reply.field("transfer-encoding"), Some("chunked"));
    assert_eq!(Arc::strong_count(&dropped), 1);
    drop(hub);
}

#[test]
fn a_source_is_dropped_when_its_client_leaves() {
    struct Flag(Arc<AtomicBool>);
    impl Drop for Flag {
        fn drop(&mut self) {
            self.0.store(true, Ordering::Release);
        }
    }
    let (handler_side, test_side) = mpsc::channel();
    let server = Running::new(move || {
        answering(move |exchange| {
            let gone = Arc::new(AtomicBool::new(false));
            handler_side
                .send((exchange.waker(), Arc::clone(&gone)))
                .unwrap();
            let flag = Flag(gone);
            stream(exchange, move |out| {
                let _ = &flag;
                out.extend_from_slice(b"tick");
                Ok(Fill::NotNow)
            })
        })
    });
    let mut client = server.client();
    client.send(get("/")).read_until("tick");
    let (waker, gone) = test_side.recv_timeout(TIMEOUT).unwrap();
    assert!(!gone.load(Ordering::Acquire));
    drop(client);
    eventually(|| {
        waker.wake_by_ref();
        gone.load(Ordering::Acquire)
    });
}

#[test]
fn a_pipelined_request_behind_a_stream_waits_for_its_end() {
    let mut server = MemoryServer::new(answering(|exchange| {
        if exchange.path() == "/next" {
            return send_text(exchange, "next");
        }
        let mut left = 100;
        stream(exchange, move |out| {
            left -= 1;
            out.resize(out.len() + 10_000, b'x');
            Ok(if left == 0 { Fill::Done } else { Fill::More })
        })
    }));
    let three = format!("{}{}{}", get("/"), get("/next"), get("/"));
    let replies = Reply::all(&server.respond(three.as_bytes()), &["GET"; 3]);
    assert_eq!(replies[0].body.len(), 1_000_000);
    assert_eq!(replies[1].text(), "next");
    assert_eq!(replies[2].body.len(), 1_000_000);
}

/// Announces `length` bytes, and streams `pieces` pieces of five bytes.
fn announced(exchange: &mut Exchange<'_>, length: u64, pieces: usize) -> io::Result<()> {
    exchange.send_response(HttpStatus::OK);
    exchange.send_header("Content-Length", length.to_string());
    exchange.end_headers();
    let mut left = pieces;
    exchange.stream(Box::new(FromClosure(move |out: &mut Vec<u8>| {
        out.extend_from_slice(b"piece");
        left -= 1;
        Ok(if left > 0 { Fill::More } else { Fill::Done })
    })));
    Ok(())
}

#[test]
fn a_stream_of_announced_length_keeps_the_connection() {
    let server = Running::new(|| answering(|exchange| announced(exchange, 15, 3)));
    let mut client = server.client();
    for _ in 0..2 {
        let reply = client.get("/");
        assert_eq!(
            (reply.framing, reply.text()),
            (Framing::Length, "piecepiecepiece")
        );
        assert!(!reply.closes());
    }
    let head = client
        .send("HEAD / HTTP/1.1\r\nHost: test\r\n\r\n")
        .reply_to("HEAD");
    assert_eq!(head.field("Content-Length"), Some("15"));
}

#[test]
fn a_stream_of_another_length_than_announced_is_broken_off() {
    for (length, pieces) in [(12, 3), (20, 3)] {
        let server =
            Running::new(move || answering(move |exchange| announced(exchange, length, pieces)));
        let mut client = server.client();
        let head = client.send(get("/")).read_until("\r\n\r\n");
        assert!(
            head.contains(&format!("Content-Length: {length}\r\n")),
            "{head}"
        );
        assert!((client.rest().len() as u64) < length, "{length}");
    }
    let reply = reply(&request("GET"), |exchange| announced(exchange, 4, 3));
    assert_eq!(
        reply.status, 500,
        "nothing has been sent yet when the first piece is too long"
    );
}

#[test]
fn a_silent_stream_does_not_delay_shutdown() {
    let config = crate::running::config().with(|config| config.drain_timeout = 10 * TIMEOUT);
    let server = Running::with(config, || {
        answering(|exchange| {
            let mut first = true;
            stream(exchange, move |out| {
                if std::mem::take(&mut first) {
                    out.extend_from_slice(b"hello");
                }
                Ok(Fill::NotNow)
            })
        })
    });
    let mut client = server.client();
    client.send(get("/")).read_until("hello");
    server.handle.shutdown();
    server.join();
}
