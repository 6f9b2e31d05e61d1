//! Deferred replies, which another thread gives later: what waits for them, and what happens to those that come too late.

use std::io::{self, Read as _};
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use httpoll::{Deferred, Exchange, Fill, MemoryServer, Source};
use socket2::SockRef;

use crate::client::{Client, Reply, TIMEOUT, get, post};
use crate::handlers::{answering, send_text};
use crate::running::{Running, eventually};

/// A server that defers every request but `/`, and the receiver of its deferred replies.
fn deferring() -> (Running, Receiver<(String, Deferred)>) {
    let (sender, deferreds) = mpsc::channel();
    let server = Running::new(move || {
        answering(move |exchange| {
            if exchange.path() == "/" {
                return send_text(exchange, "at once");
            }
            let path = exchange.path().to_owned();
            sender.send((path, exchange.defer())).unwrap();
            Ok(())
        })
    });
    (server, deferreds)
}

fn next(deferreds: &Receiver<(String, Deferred)>) -> Deferred {
    deferreds.recv_timeout(TIMEOUT).unwrap().1
}

fn answer(deferred: Deferred, text: &'static str) {
    deferred.answer(move |exchange| Ok(send_text(exchange, text)?));
}

#[test]
fn a_reply_may_come_from_another_thread_while_others_are_served() {
    let (server, deferreds) = deferring();
    let mut waiting = server.client();
    waiting.send(get("/later"));
    let deferred = next(&deferreds);
    let mut other = server.client();
    for _ in 0..3 {
        assert_eq!(other.get("/").text(), "at once");
    }
    assert!(waiting.has_nothing());
    thread::spawn(move || answer(deferred, "later"))
        .join()
        .unwrap();
    assert_eq!(waiting.reply().text(), "later");
    assert_eq!(waiting.get("/").text(), "at once");
}

#[test]
fn requests_behind_a_deferred_reply_are_answered_in_order() {
    let (server, deferreds) = deferring();
    let mut client = server.client();
    client.send([get("/"), get("/1"), get("/"), get("/2"), get("/")].concat());
    assert_eq!(client.reply().text(), "at once");
    let first = next(&deferreds);
    server.client().get("/");
    assert!(
        deferreds.try_recv().is_err(),
        "the second must wait for the first"
    );
    assert!(client.has_nothing());
    answer(first, "first");
    assert_eq!(client.reply().text(), "first");
    assert_eq!(client.reply().text(), "at once");
    client.send(get("/"));
    answer(next(&deferreds), "second");
    for text in ["second", "at once", "at once"] {
        assert_eq!(client.reply().text(), text);
    }
}

#[test]
fn connections_may_be_answered_in_any_order() {
    let (server, deferreds) = deferring();
    let mut clients: Vec<_> = (0..20)
        .map(|number| {
            let mut client = server.client();
            client.send(get(&format!("/{number}")));
            client
        })
        .collect();
    let mut open: Vec<_> = clients
        .iter()
        .map(|_| deferreds.recv_timeout(TIMEOUT).unwrap())
        .collect();
    while let Some((path, deferred)) = open.pop() {
        let number: usize = path[1..].parse().unwrap();
        deferred.answer(move |exchange| {
            let path = exchange.path().to_owned();
            Ok(send_text(exchange, &path)?)
        });
        assert_eq!(clients[number].reply().text(), path);
    }
}

#[test]
fn a_dropped_deferred_is_a_500() {
    let (server, deferreds) = deferring();
    let mut client = server.client();
    client.send([get("/later"), get("/")].concat());
    drop(next(&deferreds));
    assert_eq!(client.reply().status, 500);
    assert_eq!(client.reply().text(), "at once");
}

#[test]
fn an_answer_that_fails_panics_or_sends_nothing_is_a_500() {
    let (server, deferreds) = deferring();
    let mut client = server.client();
    let answers: [fn(&mut Exchange<'_>) -> io::Result<()>; 3] = [
        |_| Err(io::Error::other("fails")),
        |_| panic!("expected in this test"),
        |_| Ok(()),
    ];
    for answer in answers {
        client.send([get("/later"), get("/")].concat());
        next(&deferreds).answer(move |exchange| Ok(answer(exchange)?));
        assert_eq!(client.reply().status, 500);
        assert_eq!(client.reply().text(), "at once");
    }
}

#[test]
fn client_left_is_true_after_the_client_closed() {
    let (server, deferreds) = deferring();
    let mut client = server.client();
    client.send(get("/later"));
    let deferred = next(&deferreds);
    server.client().get("/");
    assert!(!deferred.client_left());
    drop(client);
    eventually(|| deferred.client_left());
    answer(deferred, "never sent");
    assert_eq!(server.client().get("/").text(), "at once");
}

#[test]
fn client_left_is_true_after_a_half_close() {
    let (server, deferreds) = deferring();
    let mut client = server.client();
    client.send(get("/later")).half_close();
    let deferred = next(&deferreds);
    eventually(|| deferred.client_left());
    // The client has closed only its sending side, so the answer still reaches it.
    answer(deferred, "all the same");
    assert_eq!(client.reply().text(), "all the same");
    assert!(client.rest().is_empty());
}

#[test]
fn client_left_is_true_for_every_request_of_the_client() {
    let (server, deferreds) = deferring();
    let mut client = server.client();
    client.send([get("/1"), get("/2")].concat()).half_close();
    let first = next(&deferreds);
    eventually(|| first.client_left());
    answer(first, "first");
    let second = next(&deferreds);
    eventually(|| second.client_left());
}

/// Resets the connection, so that the server drops it at once.
fn reset(client: Client) {
    SockRef::from(&client.stream)
        .set_linger(Some(Duration::ZERO))
        .unwrap();
    drop(client);
}

#[test]
fn an_answer_never_reaches_a_later_connection_in_the_same_slot() {
    let (server, deferreds) = deferring();
    let mut leaving = server.client();
    leaving.send(get("/leaving"));
    let stale = next(&deferreds);
    reset(leaving);
    eventually(|| stale.client_left());
    // The slot is free, and the next connection takes it.
    let mut staying = server.client();
    staying.send(get("/staying"));
    let fresh = next(&deferreds);
    answer(stale, "for the one that left");
    server.client().get("/");
    assert!(staying.has_nothing());
    answer(fresh, "for the one that stays");
    assert_eq!(staying.reply().text(), "for the one that stays");
}

#[test]
fn a_reply_beside_a_deferred_is_a_500() {
    let (sender, deferreds) = mpsc::channel();
    let mut server = MemoryServer::new(answering(move |exchange: &mut Exchange<'_>| {
        if exchange.path() == "/both" {
            sender.send(exchange.defer()).unwrap();
        }
        send_text(exchange, "reply")
    }));
    let bytes = server.respond([get("/both"), get("/")].concat().as_bytes());
    let replies = Reply::all(&bytes, &["GET"; 2]);
    assert_eq!(replies[0].status, 500);
    assert_eq!(replies[1].text(), "reply");
    answer(deferreds.recv().unwrap(), "void");
    let bytes = server.respond(get("/").as_bytes());
    assert_eq!(Reply::all(&bytes, &["GET"])[0].text(), "reply");
}

#[test]
fn a_handler_that_fails_after_defer_is_a_500_once() {
    let (sender, deferreds) = mpsc::channel();
    let server = Running::new(move || {
        answering(move |exchange: &mut Exchange<'_>| {
            if exchange.path() == "/" {
                return send_text(exchange, "at once");
            }
            sender.send(exchange.defer()).unwrap();
            Err(io::Error::other("fails"))
        })
    });
    let mut client = server.client();
    assert_eq!(client.get("/fails").status, 500);
    answer(deferreds.recv_timeout(TIMEOUT).unwrap(), "void");
    assert_eq!(client.get("/").text(), "at once");
}

#[test]
fn an_answer_may_read_the_body() {
    let (server, deferreds) = deferring();
    for length in [5, 200_000] {
        let mut client = server.client();
        client.send([post("/later", "x".repeat(length)), get("/").into_bytes()].concat());
        next(&deferreds).answer(|exchange| {
            let mut body = String::new();
            exchange.rfile().read_to_string(&mut body)?;
            assert_eq!(exchange.command(), "POST");
            assert_eq!(exchange.headers().get("host"), Some(b"test".as_slice()));
            Ok(send_text(exchange, &body)?)
        });
        assert_eq!(client.reply().text(), "x".repeat(length));
        assert_eq!(client.reply().text(), "at once");
    }
}

#[test]
fn an_answer_may_come_before_the_handler_returns() {
    let keep = |exchange: &mut Exchange<'_>| {
        let deferred = exchange.defer();
        thread::spawn(move || answer(deferred, "very soon"))
            .join()
            .unwrap();
        Ok(())
    };
    let server = Running::new(move || answering(keep));
    assert_eq!(server.client().get("/").text(), "very soon");
    let bytes = MemoryServer::new(answering(keep)).respond(get("/").repeat(3).as_bytes());
    for reply in Reply::all(&bytes, &["GET"; 3]) {
        assert_eq!(reply.text(), "very soon");
    }
}

#[test]
fn an_answer_may_defer_again() {
    let (server, deferreds) = deferring();
    let mut client = server.client();
    client.send(get("/later"));
    let (again, more) = mpsc::channel();
    next(&deferreds).answer(move |exchange| {
        again.send(exchange.defer()).unwrap();
        Ok(())
    });
    answer(more.recv_timeout(TIMEOUT).unwrap(), "at last");
    assert_eq!(client.reply().text(), "at last");
}

#[test]
fn an_answer_may_be_a_stream_or_an_error() {
    #[derive(Debug)]
    struct Countdown(usize);
    impl Source for Countdown {
        fn fill(&mut self, out: &mut Vec<u8>) -> io::Result<Fill> {
            self.0 -= 1;
            out.extend_from_slice(format!("{} ", self.0).as_bytes());
            Ok(if self.0 == 0 { Fill::Done } else { Fill::More })
        }
    }
    let (server, deferreds) = deferring();
    let mut client = server.client();
    client.send([get("/1"), get("/2")].concat());
    next(&deferreds).answer(|exchange| {
        exchange.send_response(httpoll::HttpStatus::OK);
        exchange.end_headers();
        exchange.stream(Box::new(Countdown(3)));
        Ok(())
    });
    assert_eq!(client.reply().text(), "2 1 0 ");
    next(&deferreds).answer(|exchange| {
        exchange.send_error(httpoll::HttpStatus::NOT_FOUND, None, None);
        Ok(())
    });
    assert_eq!(client.reply().status, 404);
}

#[test]
fn an_answer_may_reset_the_connection() {
    let (server, deferreds) = deferring();
    let mut client = server.client();
    client.send(get("/later"));
    next(&deferreds).answer(|exchange| {
        exchange.abort();
        Ok(())
    });
    assert_eq!(
        client.receive().unwrap_err().kind(),
        io::ErrorKind::ConnectionReset
    );
}

#[test]
fn the_second_of_two_deferreds_counts() {
    let kept = Arc::new(Mutex::new(Vec::new()));
    let deferreds = Arc::clone(&kept);
    let server = Running::new(move || {
        answering(move |exchange: &mut Exchange<'_>| {
            let both = [exchange.defer(), exchange.defer()];
            deferreds.lock().unwrap().extend(both);
            Ok(())
        })
    });
    let mut client = server.client();
    client.send(get("/"));
    eventually(|| kept.lock().unwrap().len() == 2);
    let second = kept.lock().unwrap().pop().unwrap();
    let first = kept.lock().unwrap().pop().unwrap();
    answer(first, "first");
    answer(second, "second");
    assert_eq!(client.reply().text(), "second");
}

#[test]
fn a_shutdown_waits_for_deferred_replies() {
    let (server, deferreds) = deferring();
    let mut client = server.client();
    client.send(get("/later"));
    let deferred = next(&deferreds);
    let mut idle = server.client();
    idle.get("/");
    server.handle.shutdown();
    assert!(idle.rest().is_empty(), "an idle connection is closed");
    answer(deferred, "before the end");
    let reply = client.reply();
    assert_eq!(reply.text(), "before the end");
    assert!(reply.closes());
    server.join();
}

#[test]
fn a_deferred_may_outlive_its_server() {
    let (server, deferreds) = deferring();
    let mut client = server.client();
    client.send([get("/1")].concat());
    let (kept, dropped) = (next(&deferreds), {
        let mut other = server.client();
        other.send(get("/2"));
        next(&deferreds)
    });
    reset(client);
    drop(server);
    answer(kept, "never sent");
    drop(dropped);
}

#[test]
fn the_handler_may_be_asked_again_for_a_request_that_it_has_deferred() {
    let mut asked = 0;
    let mut server = MemoryServer::new(answering(move |exchange| {
        asked += 1;
        match asked {
            1 => drop(thread::spawn({
                let deferred = exchange.defer();
                move || deferred.ask_handler()
            })),
            _ => exchange.send_text(200, format!("{asked} {}", exchange.path())),
        }
        Ok(())
    }));
    let reply = server.respond(b"GET /a HTTP/1.1\r\nHost: x\r\n\r\nGET /b HTTP/1.0\r\n\r\n");
    let reply = String::from_utf8(reply).unwrap();
    assert!(reply.contains("\r\n\r\n2 /aHTTP/1.1 200 OK\r\n"), "{reply}");
    assert!(reply.ends_with("\r\n\r\n3 /b"), "{reply}");
}
