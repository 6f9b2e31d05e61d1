//! Keeps notes: GET returns them as a JSON array, POST adds one, and what is not JSON is a 400.
//!
//! `cargo run --example json_api`, then `curl -d '{"text":"tea"}' http://127.0.0.1:8000/notes`.

use httpoll::{BaseHttpRequestHandler, Exchange, HandlerError, HandlerResult, HttpServer};
use serde_json::{Value, json};

struct Notes(Vec<Value>);

impl BaseHttpRequestHandler for Notes {
    fn reads_body(&self, command: &str, _path: &str) -> bool {
        command == "POST"
    }

    fn handle_one_request(&mut self, exchange: &mut Exchange<'_>) -> HandlerResult {
        match (exchange.command(), exchange.path_only()) {
            ("GET" | "HEAD", "/notes") => exchange.send_json(200, json!(self.0).to_string()),
            ("POST", "/notes") => {
                let note = serde_json::from_reader(exchange.rfile());
                self.0.push(note.map_err(|e| HandlerError::new(400, e))?);
                exchange.send_json(201, json!({ "notes": self.0.len() }).to_string());
            }
            _ => exchange.send_error(404, None, None),
        }
        Ok(())
    }
}

fn main() -> std::io::Result<()> {
    let address = std::env::args().nth(1).unwrap_or("127.0.0.1:8000".into());
    let mut server = HttpServer::bind(address, Notes(Vec::new()))?;
    println!("http://{}/", server.info().addresses()[0]);
    server.serve_forever()
}
