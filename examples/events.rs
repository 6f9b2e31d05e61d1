//! Sends Server-Sent Events: a thread writes each of them to all subscribers. A subscriber that does not keep up is dropped; a
//! browser then connects again by itself.
//!
//! `cargo run --example events`, then `curl -N http://127.0.0.1:8000/`.

use std::{env, io, sync::mpsc, thread, time::Duration};

use httpoll::{BaseHttpRequestHandler, Exchange, HandlerResult, HttpServer, StreamWriter};

struct Events(mpsc::Sender<StreamWriter>);

impl BaseHttpRequestHandler for Events {
    fn do_get(&mut self, exchange: &mut Exchange<'_>) -> HandlerResult {
        exchange.send_response(200);
        exchange.send_header("Content-Type", "text/event-stream");
        exchange.end_headers();
        Ok(self.0.send(exchange.stream_writer(16))?)
    }
}

fn main() -> io::Result<()> {
    let address = env::args().nth(1).unwrap_or("127.0.0.1:8000".into());
    let (arrive, arriving) = mpsc::channel();
    thread::spawn(move || {
        let mut subscribers: Vec<StreamWriter> = Vec::new();
        for event in (1_u64..).map(|n| format!("id: {n}\ndata: tick {n}\n\n")) {
            thread::sleep(Duration::from_millis(200));
            subscribers.extend(arriving.try_iter());
            subscribers.retain(|subscriber| subscriber.try_send(&*event).is_ok());
        }
    });
    let mut server = HttpServer::bind(address, Events(arrive))?;
    println!("http://{}/", server.info().addresses()[0]);
    server.serve_forever()
}
