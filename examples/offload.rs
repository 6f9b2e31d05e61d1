//! Answers `/primes/N` from another thread when the count is done, and other requests meanwhile.
//!
//! `cargo run --example offload`, then `curl http://127.0.0.1:8000/primes/1000000`.

use std::io;
use std::sync::mpsc::{self, Sender};
use std::{env, thread};

use httpoll::{BaseHttpRequestHandler, Deferred, Exchange, HandlerResult, HttpServer};

struct Offload {
    worker: Sender<(u64, Deferred)>,
}

impl BaseHttpRequestHandler for Offload {
    fn do_get(&mut self, exchange: &mut Exchange<'_>) -> HandlerResult {
        let number = exchange.path_only().strip_prefix("/primes/");
        match number.and_then(|number| number.parse().ok()) {
            Some(limit) => self.worker.send((limit, exchange.defer()))?,
            None => exchange.send_text(404, "ask for /primes/1000\n"),
        }
        Ok(())
    }
}

/// Counts the primes below `limit`, and stops when the client leaves.
fn count_primes((limit, deferred): (u64, Deferred)) {
    let is_prime = |n: &u64| {
        let mut divisors = (2..).take_while(|d| d * d <= *n);
        divisors.all(|d| !n.is_multiple_of(d))
    };
    let candidates = (2..limit).take_while(|_| !deferred.client_left());
    let count = candidates.filter(is_prime).count();
    deferred.answer(move |exchange| {
        exchange.send_text(
            200,
            format!(
                "{count}
"
            ),
        );
        Ok(())
    });
}

fn main() -> io::Result<()> {
    let address = env::args().nth(1).unwrap_or("127.0.0.1:8000".into());
    let (worker, work) = mpsc::channel();
    thread::spawn(move || work.into_iter().for_each(count_primes));
    let mut server = HttpServer::bind(address, Offload { worker })?;
    println!("http://{}/", server.info().addresses()[0]);
    server.serve_forever()
}
