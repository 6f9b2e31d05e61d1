//! Guards the files below `private` with a password (Basic authentication, RFC 7617), and has its own page for 404.
//!
//! `cargo run --example guard 127.0.0.1:8000 .`, then `curl -u me:secret http://127.0.0.1:8000/private/`. Put TLS in front: the
//! password is only encoded.

use std::{env, hint::black_box, io};

use httpoll::{
    BaseHttpRequestHandler, Exchange, HandlerResult, HttpServer, HttpStatus,
    SimpleHttpRequestHandler,
};

struct Guard {
    files: SimpleHttpRequestHandler,
    authorization: &'static [u8],
}

impl BaseHttpRequestHandler for Guard {
    fn handle_one_request(&mut self, exchange: &mut Exchange<'_>) -> HandlerResult {
        // Not `path().starts_with("/private/")`: `/%70rivate/` and `/./private/` mean the same files.
        let guarded = self.files.is_below(exchange.path(), "private");
        let given = exchange.headers().get("authorization").unwrap_or_default();
        if guarded && !is_equal(given, self.authorization) {
            exchange.send_error(401, None, None);
            exchange.send_header(
                "WWW-Authenticate",
                "Basic realm=\"private\", charset=\"UTF-8\"",
            );
            return Ok(());
        }
        self.files.handle_one_request(exchange)
    }

    fn error_message_format(&self, status: HttpStatus) -> Option<String> {
        (status == HttpStatus::NOT_FOUND).then(|| "<title>404</title><p>Nothing here".to_owned())
    }
}

/// Compares in a time that depends on the length alone, so that it does not tell how many bytes are right.
fn is_equal(given: &[u8], expected: &[u8]) -> bool {
    let pairs = given.iter().zip(expected);
    let difference = pairs.fold(0, |difference, (a, b)| difference | (a ^ b));
    given.len() == expected.len() && black_box(difference) == 0
}

fn main() -> io::Result<()> {
    let address = env::args().nth(1).unwrap_or("127.0.0.1:8000".into());
    let files = SimpleHttpRequestHandler::new(env::args().nth(2).unwrap_or(".".into()))?;
    let authorization = b"Basic bWU6c2VjcmV0"; // printf me:secret | base64
    let mut server = HttpServer::bind(
        address,
        Guard {
            files,
            authorization,
        },
    )?;
    println!("http://{}/", server.info().addresses()[0]);
    server.serve_forever()
}
