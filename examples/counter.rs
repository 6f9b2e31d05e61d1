//! Counts the requests of all connections in a plain field: one loop owns the handler, so no lock is needed.
//!
//! `cargo run --example counter`, then `curl http://127.0.0.1:8000/` a few times.

use std::env;
use std::io;

use httpoll::{BaseHttpRequestHandler, Exchange, HandlerResult, HttpServer};

#[derive(Default)]
struct Counter {
    visitors: u64,
}

impl BaseHttpRequestHandler for Counter {
    fn do_get(&mut self, exchange: &mut Exchange<'_>) -> HandlerResult {
        self.visitors += 1;
        exchange.send_text(200, format!("You are visitor {}.\n", self.visitors));
        exchange.send_header("Cache-Control", "no-store");
        Ok(())
    }
}

fn main() -> io::Result<()> {
    let address = env::args().nth(1).unwrap_or("127.0.0.1:8000".into());
    let mut server = HttpServer::bind(address, Counter::default())?;
    println!("http://{}/", server.info().addresses()[0]);
    server.serve_forever()
}
