//! Stores the body of a PUT as a file: under a temporary name first, then renamed, so that no reader sees half a file.
//!
//! `cargo run --example upload 127.0.0.1:8000 /tmp`, then `curl -T file.bin http://127.0.0.1:8000/`.

use std::env;
use std::io;
use std::path::PathBuf;

use httpoll::{
    BaseHttpRequestHandler, Exchange, HandlerResult, HttpServer, HttpStatus, ServerConfig,
};
use tempfile::NamedTempFile;

struct Upload {
    directory: PathBuf,
}

impl BaseHttpRequestHandler for Upload {
    fn reads_body(&self, command: &str, path: &str) -> bool {
        command == "PUT" && file_name(path).is_some() // the body of a PUT that is refused is discarded
    }

    fn do_put(&mut self, exchange: &mut Exchange<'_>) -> HandlerResult {
        let Some(name) = file_name(exchange.path()) else {
            exchange.send_error(HttpStatus::FORBIDDEN, Some("Not a plain file name"), None);
            return Ok(());
        };
        let mut file = NamedTempFile::new_in(&self.directory)?;
        io::copy(&mut exchange.rfile(), &mut file)?;
        file.persist(self.directory.join(name))?;
        exchange.send_response(HttpStatus::CREATED);
        exchange.end_headers();
        Ok(())
    }
}

/// Returns the name to store, if it is plain: not hidden, not encoded, and in the directory itself.
fn file_name(path: &str) -> Option<&str> {
    let name = path.strip_prefix('/')?;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    (name.bytes().all(plain) && (1..=200).contains(&name.len()) && !name.starts_with('.'))
        .then_some(name)
}

fn main() -> io::Result<()> {
    let address = env::args().nth(1).unwrap_or("127.0.0.1:8000".into());
    let directory = env::args().nth(2).unwrap_or(".".into()).into();
    let config = ServerConfig::default().with(|config| {
        config.max_body = 1024 * 1024 * 1024; // a larger body is refused with 413
    });
    let mut server = HttpServer::bind_with(address, Upload { directory }, config)?;
    println!("http://{}/", server.info().addresses()[0]);
    server.serve_forever()
}
