//! Runs one loop per processor, each in a thread with its own clone of the handler; the loops share only the port.
//!
//! `cargo run --example threads 127.0.0.1:8000 4`, then `curl http://127.0.0.1:8000/` a few times.

use std::env;
use std::io;
use std::thread;

use httpoll::{BaseHttpRequestHandler, Exchange, HandlerResult, ServerConfig, ThreadingHttpServer};

#[derive(Clone, Default)]
struct Counter {
    answered: u64,
}

impl BaseHttpRequestHandler for Counter {
    fn do_get(&mut self, exchange: &mut Exchange<'_>) -> HandlerResult {
        self.answered += 1;
        let thread = thread::current().id();
        exchange.send_text(200, format!("{thread:?}: answer {}\n", self.answered));
        Ok(())
    }
}

fn main() -> io::Result<()> {
    let address = env::args().nth(1).unwrap_or("127.0.0.1:8000".into());
    let loops = env::args().nth(2).and_then(|loops| loops.parse().ok());
    let loops = loops.unwrap_or(thread::available_parallelism()?);
    let config = ServerConfig::default();
    let server = ThreadingHttpServer::bind_with(address, Counter::default(), config, loops)?;
    println!("http://{}/", server.server_addresses()[0]);
    server.serve_forever()
}
