//! Sends the body of a POST back, whether it comes with a length or in chunks.
//!
//! `cargo run --example echo`, then `curl -d hello http://127.0.0.1:8000/`.

use std::env;
use std::io::{self, Read as _, Write as _};

use httpoll::{
    BaseHttpRequestHandler, Exchange, HandlerResult, HttpServer, HttpStatus, ServerConfig,
};

struct Echo;

impl BaseHttpRequestHandler for Echo {
    fn reads_body(&self, command: &str, _path: &str) -> bool {
        command == "POST" // the bodies of other methods are discarded
    }

    fn do_post(&mut self, exchange: &mut Exchange<'_>) -> HandlerResult {
        let mut body = Vec::new();
        exchange.rfile().read_to_end(&mut body)?;
        let media_type = exchange.headers().get("content-type");
        exchange.send_response(HttpStatus::OK);
        exchange.send_header(
            "Content-Type",
            media_type.unwrap_or(b"application/octet-stream"),
        );
        exchange.end_headers();
        exchange.wfile().write_all(&body)?;
        Ok(())
    }
}

fn main() -> io::Result<()> {
    let address = env::args().nth(1).unwrap_or("127.0.0.1:8000".into());
    let config = ServerConfig::default().with(|config| {
        config.max_body = 16 * 1024 * 1024; // this handler holds the body in memory; a longer one is refused with 413
    });
    let mut server = HttpServer::bind_with(address, Echo, config)?;
    println!("http://{}/", server.info().addresses()[0]);
    server.serve_forever()
}
