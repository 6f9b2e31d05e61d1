//! Answers `/primes/N` from another thread when the count is done, and other requests meanwhile.
//!
//! `cargo run --example offload`, then `curl http://127.0.0.1:8000/primes/1000000`.

use std::io::{self, Write as _};
use std::sync::mpsc::{self, Sender};
use std::{env, thread};

use httpoll::{BaseHttpRequestHandler, Deferred, Exchange, HttpServer, HttpStatus};

struct Offload {
    worker: Sender<(u64, Deferred)>,
}

impl BaseHttpRequestHandler for Offload {
    fn do_get(&mut self, exchange: &mut Exchange<'_>) -> io::Result<()> {
        let number = exchange.path().strip_prefix("/primes/");
        match number.and_then(|number| number.parse().ok()) {
            Some(limit) => self
                .worker
                .send((limit, exchange.defer()))
                .map_err(io::Error::other),
            None => send_text(exchange, "ask for /primes/1000"),
        }
    }
}

fn send_text(exchange: &mut Exchange<'_>, text: &str) -> io::Result<()> {
    exchange.send_response(HttpStatus::OK);
    exchange.send_header("Content-Type", "text/plain; charset=utf-8");
    exchange.end_headers();
    writeln!(exchange.wfile(), "{text}")
}

/// Counts the primes below `limit`, and stops when the client leaves.
fn count_primes((limit, deferred): (u64, Deferred)) {
    let is_prime = |n: &u64| {
        let mut divisors = (2..).take_while(|d| d * d <= *n);
        divisors.all(|d| !n.is_multiple_of(d))
    };
    let candidates = (2..limit).take_while(|_| !deferred.client_left());
    let count = candidates.filter(is_prime).count();
    deferred.answer(move |exchange| send_text(exchange, &count.to_string()));
}

fn main() -> io::Result<()> {
    let address = env::args().nth(1).unwrap_or("127.0.0.1:8000".into());
    let (worker, work) = mpsc::channel();
    thread::spawn(move || work.into_iter().for_each(count_primes));
    let mut server = HttpServer::bind(address, Offload { worker })?;
    println!("http://{}/", server.info().addresses()[0]);
    server.serve_forever()
}
