//! Serves a directory with limits from the command line: `limits ADDRESS DIRECTORY [NAME=VALUE]...`, by the names of `ServerConfig`.
//!
//! `cargo run --example limits 127.0.0.1:8000 . max_head=100`, then `curl -i http://127.0.0.1:8000/$(printf %0100d)`.

use std::error::Error;

use httpoll::{HttpServer, LogFormat, ServerConfig, SimpleHttpRequestHandler};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let address = arguments.next().unwrap_or_else(|| "127.0.0.1:8000".into());
    let directory = arguments.next().unwrap_or_else(|| ".".into());
    let mut config = ServerConfig::default().with(|config| config.log_format = LogFormat::None);
    for argument in arguments {
        match argument.split_once('=').ok_or("not NAME=VALUE")? {
            ("max_head", value) => config.max_head = value.parse()?,
            ("turn_bytes", value) => config.tuning.turn_bytes = value.parse()?,
            ("turn_requests", value) => config.tuning.turn_requests = value.parse()?,
            ("max_connections", value) => config.max_connections = Some(value.parse()?),
            ("max_connections_per_ip", value) => {
                config.max_connections_per_ip = Some(value.parse()?);
            }
            ("read_ahead", value) => config.tuning.read_ahead = value.parse()?,
            ("defer_accept", value) => config.defer_accept = value.parse()?,
            ("report", value) => config.report = value.parse()?,
            (name, _) => return Err(format!("unknown limit: {name}").into()),
        }
    }
    let handler = SimpleHttpRequestHandler::new(directory)?;
    let mut server = HttpServer::bind_with(address, handler, config)?;
    server.shutdown_on_signals(|_| ())?;
    println!("http://{}/", server.server_addresses()[0]);
    Ok(server.serve_forever()?)
}
