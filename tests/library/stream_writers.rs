//! Bodies that another thread writes while they are sent.

use std::io::{ErrorKind, Write as _};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;

use httpoll::{BaseHttpRequestHandler, Exchange, HandlerResult, HttpStatus, StreamWriter};

use crate::client::{Framing, get};
use crate::running::{Running, eventually};

/// Hands the writer of each GET to the test; the path says how many pieces it holds.
struct Handing(Sender<StreamWriter>);

impl BaseHttpRequestHandler for Handing {
    fn do_get(&mut self, exchange: &mut Exchange<'_>) -> HandlerResult {
        let pieces = exchange.path().trim_start_matches('/').parse()?;
        exchange.send_response(HttpStatus::OK);
        exchange.end_headers();
        Ok(self.0.send(exchange.stream_writer(pieces))?)
    }

    fn do_post(&mut self, exchange: &mut Exchange<'_>) -> HandlerResult {
        exchange.send_text(200, "alive");
        Ok(())
    }
}

fn handing() -> (Running, Receiver<StreamWriter>) {
    let (sender, writers) = mpsc::channel();
    (Running::new(move || Handing(sender)), writers)
}

#[test]
fn a_thread_writes_a_body_of_any_size_which_ends_with_the_writer() {
    let (server, writers) = handing();
    let mut client = server.client();
    let body: Vec<u8> = (0..3_000_000_u32).map(|index| (index / 7) as u8).collect();
    // No room for a piece is room for one.
    for pieces in [0, 1, 16] {
        client.send(get(&format!("/{pieces}")));
        let mut writer = writers.recv().unwrap();
        let written = body.clone();
        let thread = thread::spawn(move || writer.write_all(&written));
        let reply = client.reply();
        assert!(reply.body == body && reply.framing == Framing::Chunked);
        thread.join().unwrap().unwrap();
    }
}

#[test]
fn each_piece_leaves_at_once_and_others_are_served_meanwhile() {
    let (server, writers) = handing();
    let mut client = server.client();
    client.send(get("/2")).read_until("\r\n\r\n");
    let mut writer = writers.recv().unwrap();
    for piece in ["one", "two", "three"] {
        assert!(client.has_nothing());
        write!(writer, "{piece}").unwrap();
        client.read_until(&format!("{piece}\r\n"));
        let request = "POST / HTTP/1.1\r\nHost: test\r\n\r\n";
        assert_eq!(server.client().send(request).reply().text(), "alive");
    }
    writer.try_send("four").unwrap();
    drop(writer);
    client.read_until("four\r\n");
    assert_eq!(client.read_until("\r\n\r\n"), "0\r\n\r\n");
}

#[test]
fn a_writer_that_is_dropped_unused_sends_an_empty_body() {
    let (server, writers) = handing();
    let mut client = server.client();
    client.send(get("/1"));
    drop(writers.recv().unwrap());
    assert_eq!(client.reply().text(), "");
    client.send("GET /1 HTTP/1.0\r\n\r\n");
    writers.recv().unwrap().try_send("one").unwrap();
    assert_eq!(client.reply().text(), "one");
}

#[test]
fn a_full_writer_refuses_a_piece_and_sends_those_before_it() {
    let (server, writers) = handing();
    let mut client = server.client();
    client.send(get("/3")).read_until("\r\n\r\n");
    let writer = writers.recv().unwrap();
    let piece = vec![b'x'; 1024 * 1024];
    let mut sent = 0;
    let refused = loop {
        match writer.try_send(piece.clone()) {
            Ok(()) => sent += 1,
            Err(error) => break error,
        }
    };
    assert_eq!(refused.kind(), ErrorKind::WouldBlock);
    drop(writer);
    let rest = client.half_close().rest();
    let received = rest.iter().filter(|byte| **byte == b'x').count();
    assert_eq!(received, sent * piece.len());
}

#[test]
fn a_writer_fails_when_its_client_has_left() {
    let (server, writers) = handing();
    let mut leaving = server.client();
    leaving.send(get("/1")).read_until("\r\n\r\n");
    let mut waiting = writers.recv().unwrap();
    // The thread waits for a client that does not read.
    let thread = thread::spawn(move || {
        let error = waiting.write_all(&vec![b'x'; 50_000_000]).unwrap_err();
        (error.kind(), waiting)
    });
    drop(leaving);
    let (kind, writer) = thread.join().unwrap();
    assert_eq!(kind, ErrorKind::BrokenPipe);
    let error = writer.try_send("x").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::BrokenPipe);
    // A reply to HEAD has no body to write.
    let mut client = server.client();
    client.send("HEAD /1 HTTP/1.1\r\nHost: test\r\n\r\n");
    assert_eq!(client.reply_to("HEAD").status, 200);
    let writer = writers.recv().unwrap();
    eventually(|| {
        writer
            .try_send("x")
            .is_err_and(|error| error.kind() == ErrorKind::BrokenPipe)
    });
}
