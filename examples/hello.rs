//! Answers `/` with a greeting, and every other path with 404.
//!
//! `cargo run --example hello`, then `curl http://127.0.0.1:8000/`.

use std::env;
use std::io::{self, Write as _};

use httpoll::{BaseHttpRequestHandler, Exchange, HttpServer, HttpStatus};

struct Hello;

impl BaseHttpRequestHandler for Hello {
    fn do_get(&mut self, exchange: &mut Exchange<'_>) -> io::Result<()> {
        if exchange.path() != "/" {
            exchange.send_error(HttpStatus::NOT_FOUND, None, None);
            return Ok(());
        }
        exchange.send_response(HttpStatus::OK);
        exchange.send_header("Content-Type", "text/plain; charset=utf-8");
        exchange.end_headers();
        exchange.wfile().write_all(b"Hello, world!\n")
    }
}

fn main() -> io::Result<()> {
    let address = env::args().nth(1).unwrap_or("127.0.0.1:8000".into());
    let mut server = HttpServer::bind(address, Hello)?;
    println!("http://{}/", server.info().addresses()[0]);
    server.serve_forever()
}
