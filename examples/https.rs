//! Hello over HTTPS: `cargo run --example https CERTIFICATE KEY`, then `curl -k https://localhost:8443/`.

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
    let mut files = std::env::args_os().skip(1);
    let (Some(certificate), Some(key)) = (files.next(), files.next()) else {
        eprintln!("usage: https CERTIFICATE KEY");
        return Ok(());
    };
    let files = CertificateFiles::new(certificate).with_key(key);
    let tls = TlsConfig::from_files([files])?;
    HttpServer::bind_tls("127.0.0.1:8443", Hello, &tls)?.serve_forever()
}
