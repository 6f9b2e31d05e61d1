//! Answers `/` with a greeting, and every other path with 404.
//!
//! `cargo run --example hello`, then `curl http://127.0.0.1:8000/`.

use std::env;
use std::io::{self, Write as _};

use httpoll::{BaseHttpRequestHandler, Exchange, HandlerResult, HttpServer};

struct Hello;

impl BaseHttpRequestHandler for Hello {
    fn do_get(&mut self, exchange: &mut Exchange<'_>) -> HandlerResult {
        if exchange.path_only() != "/" {
            exchange.send_error(404, None, None);
            return Ok(());
        }
        exchange.send_response(200);
        exchange.send_header("Content-Type", "text/plain; charset=utf-8");
        exchange.end_headers();
        exchange.wfile().write_all(b"Hello, world!\n")?;
        Ok(())
    }
}

fn main() -> io::Result<()> {
    let address = env::args().nth(1).unwrap_or("127.0.0.1:8000".into());
    let mut server = HttpServer::bind(address, Hello)?;
    println!("http://{}/", server.info().addresses()[0]);
    server.serve_forever()
}
