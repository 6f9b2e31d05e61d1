//! Guards the files below `private` with a password (Basic authentication, RFC 7617), and has its own page for 404. It asks
//! `is_below` what a path means, because a comparison with `/private/` would let `/%70rivate/` and `/./private/` through.
//!
//! `cargo run --example guard 127.0.0.1:8000 .`, then `curl -u me:secret http://127.0.0.1:8000/private/`. Put TLS in front: the
//! password is only encoded.

use constant_time_eq::constant_time_eq;
use httpoll::{BaseHttpRequestHandler, Exchange, HandlerResult};
use httpoll::{HttpServer, HttpStatus, SimpleHttpRequestHandler};

struct Guard(SimpleHttpRequestHandler);

impl BaseHttpRequestHandler for Guard {
    fn handle_one_request(&mut self, exchange: &mut Exchange<'_>) -> HandlerResult {
        let given = exchange.headers().get("authorization").unwrap_or_default();
        let is_known = constant_time_eq(given, b"Basic bWU6c2VjcmV0"); // printf me:secret | base64
        if self.0.is_below(exchange.path(), "private") && !is_known {
            exchange.send_error(401, None, None);
            exchange.send_header("WWW-Authenticate", "Basic realm=\"private\"");
            return Ok(());
        }
        self.0.handle_one_request(exchange)
    }

    fn error_message_format(&self, status: HttpStatus) -> Option<String> {
        (status == HttpStatus::NOT_FOUND).then(|| "<title>404</title><p>Nothing here".into())
    }
}

fn main() -> std::io::Result<()> {
    let address = std::env::args().nth(1).unwrap_or("127.0.0.1:8000".into());
    let files = SimpleHttpRequestHandler::new(std::env::args().nth(2).unwrap_or(".".into()))?;
    let mut server = HttpServer::bind(address, Guard(files))?;
    println!("http://{}/", server.info().addresses()[0]);
    server.serve_forever()
}
