//! Work that takes long, in a thread of its own: `/primes/N` is answered when it is done, everything else meanwhile.

use std::io::{self, Write as _};
use std::sync::mpsc::{self, Sender};
use std::{env, thread};

use httpoll::{BaseHttpRequestHandler, Deferred, Exchange, HttpServer, HttpStatus};

struct Offload {
    worker: Sender<(u64, Deferred)>,
}

impl BaseHttpRequestHandler for Offload {
    fn reads_body(&self, _command: &str, _path: &str) -> bool {
        false
    }

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

/// Counts the primes below `limit`, unless nobody wants to know any more.
fn count_primes(limit: u64, deferred: Deferred) {
    let is_prime = |n: &u64| {
        (2..)
            .take_while(|d| d * d <= *n)
            .all(|d| !n.is_multiple_of(d))
    };
    let wanted = (2..limit).take_while(|_| !deferred.client_left());
    let count = wanted.filter(is_prime).count();
    deferred.answer(move |exchange| send_text(exchange, &count.to_string()));
}

fn main() -> io::Result<()> {
    let address = env::args().nth(1).unwrap_or("127.0.0.1:8000".into());
    let (worker, work) = mpsc::channel();
    thread::spawn(move || {
        for (limit, deferred) in work {
            count_primes(limit, deferred);
        }
    });
    let mut server = HttpServer::bind(address, Offload { worker })?;
    println!("http://{}/", server.info().addresses()[0]);
    server.serve_forever()
}
