//! Answers over HTTPS with the name of the server that the client has asked for.
//!
//! `cargo run --example https 127.0.0.1:8443 cert.pem key.pem`, then `curl --cacert cert.pem https://localhost:8443/`.

use std::env;
use std::io;

use httpoll::{
    BaseHttpRequestHandler, CertificateFiles, Exchange, HandlerResult, HttpServer, TlsConfig,
};

struct Hello;

impl BaseHttpRequestHandler for Hello {
    fn do_get(&mut self, exchange: &mut Exchange<'_>) -> HandlerResult {
        let name = exchange.server_name().unwrap_or("a server without a name");
        let text = format!("Hello from {name}!\n");
        exchange.send_text(200, text);
        Ok(())
    }
}

fn main() -> io::Result<()> {
    let mut arguments = env::args().skip(1);
    let mut next = |default: &str| arguments.next().unwrap_or(default.into());
    let address = next("127.0.0.1:8443");
    let files = CertificateFiles::new(next("cert.pem")).with_key(next("key.pem"));
    let tls = TlsConfig::from_files([files])?;
    let mut server = HttpServer::bind_tls(address, Hello, &tls)?;
    println!("https://{}/", server.info().addresses()[0]);
    server.serve_forever()
}
