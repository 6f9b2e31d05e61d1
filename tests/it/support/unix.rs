//! Requests over UNIX sockets.

use std::io::{Read, Write};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixStream};
use std::path::Path;

use super::TIMEOUT;

/// Connects to a path, or to `@` and an abstract name.
pub(crate) fn connect_unix(address: &str) -> std::io::Result<UnixStream> {
    let stream = match address.strip_prefix('@') {
        Some(name) => UnixStream::connect_addr(&SocketAddr::from_abstract_name(name)?)?,
        None => UnixStream::connect(Path::new(address))?,
    };
    stream.set_read_timeout(Some(TIMEOUT))?;
    Ok(stream)
}

/// Sends one GET on a new connection, and returns the whole reply.
pub(crate) fn get_unix(address: &str, target: &str) -> String {
    let mut stream = connect_unix(address).expect("no connection");
    let request = format!("GET {target} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut reply = Vec::new();
    stream.read_to_end(&mut reply).unwrap();
    String::from_utf8_lossy(&reply).into_owned()
}
