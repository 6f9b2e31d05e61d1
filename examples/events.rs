//! Sends Server-Sent Events: a thread makes them, and each subscriber is a stream that sleeps until its waker is called.
//!
//! `cargo run --example events`, then `curl -N http://127.0.0.1:8000/`.

use std::io;
use std::sync::mpsc::{self, Receiver, Sender, SyncSender, TrySendError};
use std::{env, task::Waker, thread, time::Duration};

use httpoll::{
    BaseHttpRequestHandler, Exchange, Fill, HandlerResult, HttpServer, HttpStatus, Source,
};

struct Events(Sender<(SyncSender<String>, Waker)>);

impl BaseHttpRequestHandler for Events {
    fn do_get(&mut self, exchange: &mut Exchange<'_>) -> HandlerResult {
        let (events, subscriber) = mpsc::sync_channel(16);
        let subscribed = self.0.send((events, exchange.waker()));
        exchange.send_response(HttpStatus::OK);
        exchange.send_header("Content-Type", "text/event-stream");
        exchange.end_headers();
        exchange.stream(Box::new(Subscriber(subscriber)));
        Ok(subscribed?)
    }
}

#[derive(Debug)]
struct Subscriber(Receiver<String>);

impl Source for Subscriber {
    fn fill(&mut self, out: &mut Vec<u8>) -> io::Result<Fill> {
        (self.0.try_iter()).for_each(|event| out.extend_from_slice(event.as_bytes()));
        Ok(Fill::NotNow)
    }
}

/// Sends every tick to all subscribers. A slow reader misses some, and one that has left is dropped.
fn broadcast(arriving: &Receiver<(SyncSender<String>, Waker)>) {
    let mut subscribers = Vec::new();
    for tick in 1_u64.. {
        thread::sleep(Duration::from_millis(200));
        subscribers.extend(arriving.try_iter());
        subscribers.retain(|(events, waker)| {
            let sent = events.try_send(format!("id: {tick}\ndata: tick {tick}\n\n"));
            waker.wake_by_ref();
            !matches!(sent, Err(TrySendError::Disconnected(_)))
        });
    }
}

fn main() -> io::Result<()> {
    let address = env::args().nth(1).unwrap_or("127.0.0.1:8000".into());
    let (arrive, arriving) = mpsc::channel();
    thread::spawn(move || broadcast(&arriving));
    let mut server = HttpServer::bind(address, Events(arrive))?;
    println!("http://{}/", server.info().addresses()[0]);
    server.serve_forever()
}
