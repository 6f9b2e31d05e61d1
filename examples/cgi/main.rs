//! Runs the scripts below `cgi-bin` (RFC 3875), as CGIHTTPRequestHandler did, and serves the other files of a directory.
//!
//! `cargo run --example cgi 127.0.0.1:8000 .`, then `curl http://127.0.0.1:8000/cgi-bin/script/path?query`. Clients may run as many
//! scripts at a time as they like. A symbolic link from elsewhere to a script would show its source.

use std::{env, fs, io, thread};

use httpoll::{BaseHttpRequestHandler, Exchange, HandlerError, HandlerResult};
use httpoll::{HttpServer, SimpleHttpRequestHandler};

mod environment;
mod output;

struct Cgi(SimpleHttpRequestHandler);

impl BaseHttpRequestHandler for Cgi {
    fn reads_body(&self, _command: &str, path: &str) -> bool {
        self.0.is_below(path, "cgi-bin")
    }

    fn handle_one_request(&mut self, exchange: &mut Exchange<'_>) -> HandlerResult {
        if !self.0.is_below(exchange.path(), "cgi-bin") {
            return self.0.handle_one_request(exchange);
        }
        let root = self.0.path().unwrap_or_default();
        let path = self.0.translate_path(exchange.path()).unwrap_or_default();
        let script = path.ancestors().find(|path| root.join(path).is_file());
        let script = script.ok_or_else(|| HandlerError::new(404, "There is no such script."))?;
        let path_info = path.strip_prefix(script)?;
        let command = environment::command(exchange, &root, script, path_info);
        let (body, deferred) = (exchange.take_body(), exchange.defer());
        thread::spawn(move || {
            let output = output::start(command, body).map_err(|error| error.to_string());
            deferred.answer(|exchange| {
                let mut output = output.map_err(|error| HandlerError::new(502, error))?;
                exchange.send_response(output.status);
                for (name, value) in &output.fields {
                    exchange.send_header(name, value);
                }
                exchange.end_headers();
                let mut body = exchange.stream_writer(16);
                thread::spawn(move || io::copy(&mut output.body, &mut body));
                Ok(())
            });
        });
        Ok(())
    }
}

fn main() -> io::Result<()> {
    let address = env::args().nth(1).unwrap_or("127.0.0.1:8000".into());
    let root = fs::canonicalize(env::args().nth(2).unwrap_or(".".into()))?;
    let mut server = HttpServer::bind(address, Cgi(SimpleHttpRequestHandler::new(root)?))?;
    println!("http://{}/", server.info().addresses()[0]);
    server.serve_forever()
}
