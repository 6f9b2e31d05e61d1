//! Serves files with a JSON route beside them: where Python would inherit, this handler owns the file handler and calls it.
//!
//! `cargo run --example files_and_api 127.0.0.1:8000 .`, then `curl http://127.0.0.1:8000/api/calls`.

use std::env;
use std::io;

use httpoll::{
    BaseHttpRequestHandler, Exchange, HandlerResult, HttpServer, SimpleHttpRequestHandler,
};

struct FilesAndApi {
    files: SimpleHttpRequestHandler,
    calls: u64,
}

impl BaseHttpRequestHandler for FilesAndApi {
    fn handle_one_request(&mut self, exchange: &mut Exchange<'_>) -> HandlerResult {
        match (exchange.command(), exchange.path_only()) {
            ("GET" | "HEAD", "/api/calls") => self.send_calls(exchange),
            _ => self.files.handle_one_request(exchange),
        }
    }

    fn reads_body(&self, command: &str, path: &str) -> bool {
        self.files.reads_body(command, path)
    }

    fn may_change_files(&self) -> bool {
        false // so requests that arrive together share one check of the files for changes
    }
}

impl FilesAndApi {
    fn send_calls(&mut self, exchange: &mut Exchange<'_>) -> HandlerResult {
        self.calls += 1;
        exchange.send_json(200, format!("{{\"calls\":{}}}\n", self.calls));
        Ok(())
    }
}

fn main() -> io::Result<()> {
    let address = env::args().nth(1).unwrap_or("127.0.0.1:8000".into());
    let files = SimpleHttpRequestHandler::new(env::args().nth(2).unwrap_or(".".into()))?;
    let mut server = HttpServer::bind(address, FilesAndApi { files, calls: 0 })?;
    println!("http://{}/", server.info().addresses()[0]);
    server.serve_forever()
}
