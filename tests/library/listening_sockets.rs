//! `from_listeners` with TCP and UNIX sockets, and what the service manager is told of a loop that is stuck.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::num::NonZeroUsize;
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::path::Path;
use std::thread;
use std::time::Duration;

use httpoll::{
    BaseHttpRequestHandler, Exchange, HandlerResult, HttpServer, ListeningSocket, ServerConfig,
    ThreadingHttpServer,
};

use crate::child::Child;
use crate::client::{Client, TIMEOUT};

/// Answers with the peer, or aborts.
#[derive(Clone)]
struct Peer;

impl BaseHttpRequestHandler for Peer {
    fn do_get(&mut self, exchange: &mut Exchange<'_>) -> HandlerResult {
        if exchange.path() == "/abort" {
            exchange.abort();
            return Ok(());
        }
        let (address, name) = (exchange.client_address(), exchange.address_string());
        exchange.send_text(200, format!("{address} {name}"));
        Ok(())
    }
}

fn body_over_unix(path: &Path, target: &str) -> String {
    let mut stream = UnixStream::connect(path).unwrap();
    stream.set_read_timeout(Some(TIMEOUT)).unwrap();
    let request = format!("GET {target} HTTP/1.0\r\nHost: test\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut reply = String::new();
    // A connection that was aborted may end with an error.
    let _ = stream.read_to_string(&mut reply);
    let body = reply.split_once("\r\n\r\n");
    body.map_or_else(String::new, |(_, body)| body.to_owned())
}

#[test]
fn both_kinds_of_sockets_are_served_by_one_loop_and_by_several() {
    let directory = tempfile::tempdir().unwrap();
    let paths = ["std", "bound", "descriptor"].map(|name| directory.path().join(name));
    for loops in [1, 3] {
        let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = tcp.local_addr().unwrap();
        let descriptor = OwnedFd::from(UnixListener::bind(&paths[2]).unwrap());
        let sockets = [
            tcp.into(),
            UnixListener::bind(&paths[0]).unwrap().into(),
            ListeningSocket::bind_unix(&paths[1]).unwrap(),
            ListeningSocket::try_from(descriptor).unwrap(),
        ];
        let (config, several) = (ServerConfig::default(), NonZeroUsize::new(loops).unwrap());
        let (handle, addresses, thread);
        if loops == 1 {
            let mut server = HttpServer::from_listeners(sockets, Peer, config).unwrap();
            (handle, addresses) = (server.handle(), server.server_addresses().to_vec());
            thread = thread::spawn(move || server.serve_forever());
        } else {
            let server =
                ThreadingHttpServer::from_listeners(sockets, Peer, config, several).unwrap();
            (handle, addresses) = (server.handle(), server.server_addresses().to_vec());
            thread = thread::spawn(move || server.serve_forever());
        }
        assert_eq!(addresses, [address]);
        let mut client = Client::connect(address);
        assert!(client.get("/").text().ends_with(" 127.0.0.1"));
        for path in &paths {
            for _ in 0..5 {
                assert_eq!(body_over_unix(path, "/"), "0.0.0.0:0 unix");
            }
            assert_eq!(body_over_unix(path, "/abort"), "");
        }
        handle.shutdown();
        thread.join().unwrap().unwrap();
        // The server removes only the file that it has bound.
        assert_eq!(
            paths.each_ref().map(|path| path.exists()),
            [true, false, true]
        );
        std::fs::remove_file(&paths[0]).unwrap();
        std::fs::remove_file(&paths[2]).unwrap();
    }
}

#[test]
fn unix_sockets_are_added_to_addresses() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("socket");
    let loops = NonZeroUsize::new(2).unwrap();
    let mut server = ThreadingHttpServer::bind("127.0.0.1:0", Peer, loops).unwrap();
    let socket = ListeningSocket::bind_unix(&path).unwrap();
    server.add_listeners([socket]).unwrap();
    let (address, handle) = (server.server_addresses()[0], server.handle());
    let thread = thread::spawn(move || server.serve_forever());
    assert_eq!(body_over_unix(&path, "/"), "0.0.0.0:0 unix");
    assert_eq!(Client::connect(address).get("/").status, 200);
    handle.reload();
    handle.shutdown();
    thread.join().unwrap().unwrap();
    assert!(!path.exists());
}

/// Blocks its loop from the request for `/stuck` on until the file `release` exists.
#[derive(Clone)]
struct Blocking(std::path::PathBuf);

impl BaseHttpRequestHandler for Blocking {
    fn do_get(&mut self, exchange: &mut Exchange<'_>) -> HandlerResult {
        std::fs::write(self.0.join("stuck"), "")?;
        while !self.0.join("release").exists() {
            thread::sleep(Duration::from_millis(1));
        }
        exchange.send_text(200, "released");
        Ok(())
    }
}

/// Serves [`Blocking`] with two loops, one of which can be stuck.
pub(crate) fn serve_blocking(directory: &Path) {
    let loops = NonZeroUsize::new(2).unwrap();
    let handler = Blocking(directory.to_owned());
    let mut server = ThreadingHttpServer::bind("127.0.0.1:0", handler, loops).unwrap();
    server.notify_service_manager().unwrap();
    println!("\nhttp://{}/", server.server_addresses()[0]);
    server.serve_forever().unwrap();
}

#[test]
fn a_stuck_loop_stops_the_signs_of_life() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("notify");
    let manager = UnixDatagram::bind(&path).unwrap();
    let within = |time| {
        manager.set_read_timeout(Some(time)).unwrap();
        let mut buffer = [0; 256];
        let length = manager.recv(&mut buffer).ok()?;
        Some(String::from_utf8_lossy(&buffer[..length]).into_owned())
    };
    let variables = [
        ("NOTIFY_SOCKET", path.to_str().unwrap()),
        ("WATCHDOG_USEC", "20000"),
    ];
    let child = Child::handler_with("blocking", directory.path(), &variables);
    assert!(within(TIMEOUT).unwrap().starts_with("READY=1\n"));
    assert_eq!(within(TIMEOUT).as_deref(), Some("WATCHDOG=1\n"));
    let address: SocketAddr = child.address;
    let client = thread::spawn(move || Client::connect(address).get("/stuck").text().to_owned());
    while !directory.path().join("stuck").exists() {
        thread::sleep(Duration::from_millis(1));
    }
    // The other loop goes on, and is not enough.
    let silence = Duration::from_millis(300);
    while within(Duration::from_millis(50)).is_some() {}
    assert_eq!(within(silence), None);
    std::fs::write(directory.path().join("release"), "").unwrap();
    assert_eq!(within(TIMEOUT).as_deref(), Some("WATCHDOG=1\n"));
    assert_eq!(client.join().unwrap(), "released");
}
