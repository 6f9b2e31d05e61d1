//! Streams whose sources wait for events from another thread.

use std::io;
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex};
use std::task::Waker;

use httpoll::{BaseHttpRequestHandler, Exchange, Fill, HandlerResult, HttpStatus, Source};

use crate::client::{Client, get};
use crate::handlers::send_text;
use crate::running::Running;

/// A handler that sends the events of a test to all its connections.
#[derive(Clone, Debug, Default)]
pub(crate) struct Hub(Arc<Mutex<Vec<Subscription>>>);

type Subscription = (Sender<String>, Waker);

impl Hub {
    fn publish(&self, text: &str) {
        for (sender, waker) in self.0.lock().unwrap().iter() {
            let _ = sender.send(text.to_owned());
            waker.wake_by_ref();
        }
    }

    fn subscribers(&self) -> usize {
        self.0.lock().unwrap().len()
    }

    fn end(&self) {
        for (sender, waker) in self.0.lock().unwrap().drain(..) {
            drop(sender);
            waker.wake();
        }
    }
}

#[derive(Debug)]
struct Subscriber(Receiver<String>);

impl Source for Subscriber {
    fn fill(&mut self, out: &mut Vec<u8>) -> io::Result<Fill> {
        loop {
            match self.0.try_recv() {
                Ok(event) => out.extend_from_slice(event.as_bytes()),
                Err(mpsc::TryRecvError::Empty) => return Ok(Fill::NotNow),
                Err(mpsc::TryRecvError::Disconnected) => return Ok(Fill::Done),
            }
        }
    }
}

impl BaseHttpRequestHandler for Hub {
    fn do_get(&mut self, exchange: &mut Exchange<'_>) -> HandlerResult {
        let (sender, receiver) = mpsc::channel();
        self.0.lock().unwrap().push((sender, exchange.waker()));
        exchange.send_response(HttpStatus::OK);
        exchange.send_header("Content-Type", "text/event-stream");
        exchange.end_headers();
        exchange.stream(Box::new(Subscriber(receiver)));
        Ok(())
    }

    fn do_post(&mut self, exchange: &mut Exchange<'_>) -> HandlerResult {
        Ok(send_text(exchange, "alive")?)
    }
}

/// A server with a hub, and `count` clients that have read the heads of their replies.
pub(crate) fn subscribed(count: usize) -> (Running, Hub, Vec<Client>) {
    let hub = Hub::default();
    let server = Running::new({
        let hub = hub.clone();
        move || hub
    });
    let mut clients: Vec<_> = (0..count)
        .map(|_| {
            let mut client = server.client();
            client.send(get("/"));
            client
        })
        .collect();
    for client in &mut clients {
        client.read_until("\r\n\r\n");
    }
    assert_eq!(hub.subscribers(), count);
    (server, hub, clients)
}

#[test]
fn a_stream_that_has_nothing_now_is_woken_from_another_thread() {
    let (server, hub, mut clients) = subscribed(1);
    for event in ["one", "two", "three"] {
        assert!(clients[0].has_nothing());
        hub.publish(event);
        assert_eq!(
            clients[0].read_until(event),
            format!("{:08x}\r\n{event}", event.len())
        );
        assert_eq!(clients[0].read_until("\r\n"), "\r\n");
    }
    hub.end();
    assert_eq!(clients[0].read_until("\r\n\r\n"), "0\r\n\r\n");
    // The connection continues after the end of the stream.
    clients[0].send(get("/")).read_until("\r\n\r\n");
    drop(server);
}

fn every_subscriber_gets_every_event(count: usize) {
    let (server, hub, mut clients) = subscribed(count);
    for event in ["event 1;", "event 2;"] {
        hub.publish(event);
        for client in &mut clients {
            assert!(client.read_until(event).ends_with(event));
        }
    }
    assert_eq!(
        server
            .client()
            .send("POST / HTTP/1.0\r\n\r\n")
            .reply()
            .text(),
        "alive"
    );
}

#[test]
fn two_hundred_subscribers_get_every_event() {
    every_subscriber_gets_every_event(200);
}

#[test]
#[ignore = "needs ten thousand descriptors"]
fn five_thousand_subscribers_get_every_event() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let maximum = getrlimit(Resource::Nofile).maximum;
    setrlimit(
        Resource::Nofile,
        Rlimit {
            current: maximum,
            maximum,
        },
    )
    .unwrap();
    every_subscriber_gets_every_event(5000);
}

#[test]
fn a_waker_may_outlive_its_stream() {
    let (server, hub, mut clients) = subscribed(2);
    let wakers: Vec<Waker> = hub
        .0
        .lock()
        .unwrap()
        .iter()
        .map(|(_, waker)| waker.clone())
        .collect();
    hub.end();
    clients.truncate(1);
    clients[0].read_until("0\r\n\r\n");
    let mut late = server.client();
    for _ in 0..100 {
        wakers.iter().for_each(Waker::wake_by_ref);
    }
    assert_eq!(
        late.send("POST / HTTP/1.1\r\nHost: test\r\n\r\n")
            .reply()
            .text(),
        "alive"
    );
    clients[0].send(get("/")).read_until("\r\n\r\n");
    drop(server);
    wakers.iter().for_each(Waker::wake_by_ref);
}

#[test]
fn an_idle_stream_to_http_1_0_ends_with_its_connection() {
    let (server, hub, _) = subscribed(0);
    let mut client = server.client();
    client.send("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    let head = client.read_until("\r\n\r\n");
    assert!(
        head.contains("Connection: close") && !head.contains("Transfer-Encoding"),
        "{head}"
    );
    hub.publish("one");
    assert_eq!(client.read_until("one"), "one");
    hub.publish("two");
    hub.end();
    assert_eq!(client.rest(), b"two");
}
