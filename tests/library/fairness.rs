//! The budget of a turn of the loop, and which connection goes first: counted in bytes and requests, never in time.

use std::io::{self, Read as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use httpoll::{
    BaseHttpRequestHandler, Exchange, HandlerResult, HttpServer, HttpStatus, ServerConfig,
};

use crate::client::{Client, get};
use crate::running::config;

const MIB: usize = 1024 * 1024;
/// The heads of one turn have fewer bytes.
const HEADS: u64 = 10_000;

/// Answers `/N` with a file of N bytes.
#[derive(Debug)]
struct Files;

impl BaseHttpRequestHandler for Files {
    fn do_get(&mut self, exchange: &mut Exchange<'_>) -> HandlerResult {
        let length: u64 = exchange.path()[1..].parse().unwrap();
        let file = tempfile::tempfile()?;
        file.set_len(length)?;
        exchange.send_response(HttpStatus::OK);
        exchange.end_headers();
        exchange.copyfile(file, 0..length);
        Ok(())
    }
}

/// A server whose turns the test takes one by one, and its clients.
struct Stepwise {
    server: HttpServer<Files>,
    clients: Vec<TcpStream>,
}

impl Stepwise {
    fn new(config: ServerConfig, clients: usize) -> Self {
        let server = HttpServer::bind_with("127.0.0.1:0", Files, config).unwrap();
        let address: SocketAddr = server.server_addresses()[0];
        let connect = |_| Client::connect(address).stream;
        let mut this = Self {
            server,
            clients: (0..clients).map(connect).collect(),
        };
        while this.server.info().counters().accepted < clients as u64 {
            this.turn();
        }
        // Each socket reports once that it is writable.
        this.turn();
        for client in &this.clients {
            client.set_nonblocking(true).unwrap();
        }
        this
    }

    /// Takes one turn, and returns how many bytes were sent in it.
    fn turn(&mut self) -> u64 {
        let before = self.server.info().counters().bytes_sent;
        self.server.turn(Some(Duration::ZERO)).unwrap();
        self.server.info().counters().bytes_sent - before
    }

    fn send(&self, client: usize, bytes: &str) {
        io::Write::write_all(&mut &self.clients[client], bytes.as_bytes()).unwrap();
    }

    /// Reads what has arrived for a client; returns the number of bytes.
    fn read(&self, client: usize) -> usize {
        let mut buffer = vec![0; MIB];
        let mut length = 0;
        while let Ok(read @ 1..) = (&self.clients[client]).read(&mut buffer) {
            length += read;
        }
        length
    }
}

#[test]
fn turn_bytes_limits_all_connections_together() {
    let turn_bytes = 256 * 1024;
    let config = config().with(|config| config.tuning.turn_bytes = turn_bytes);
    // Large files take many turns; small ones are sent at once where the budget allows.
    for length in [64 * MIB, 100_000] {
        let mut stepwise = Stepwise::new(config.clone(), 20);
        (0..20).for_each(|client| stepwise.send(client, &get(&format!("/{length}"))));
        for _ in 0..10 {
            let sent = stepwise.turn();
            assert!(sent <= turn_bytes as u64 + HEADS, "{sent} bytes in a turn");
            assert!(length < MIB || sent > 0);
            (0..20).for_each(|client| {
                stepwise.read(client);
            });
        }
    }
}

#[test]
fn the_connection_with_least_left_goes_first() {
    let config = config().with(|config| config.tuning.turn_bytes = 64 * 1024);
    let mut stepwise = Stepwise::new(config, 3);
    let mut turns = |client: usize, request: &str, length: usize| {
        stepwise.send(client, request);
        let mut read = [0; 3];
        while read[client] < length {
            stepwise.turn();
            (0..3).for_each(|client| read[client] += stepwise.read(client));
        }
        read
    };
    // The large file is requested first.
    assert!(turns(0, &get(&format!("/{}", 512 * MIB)), MIB)[0] >= MIB);
    let read = turns(1, &get(&format!("/{}", 2 * MIB)), 2 * MIB);
    assert!(
        read[0] < MIB,
        "{} bytes were sent before those of a smaller file",
        read[0]
    );
    // A small file does not wait at all.
    let read = turns(2, &get("/1000"), 1000);
    assert!(read[0] <= 64 * 1024, "{}", read[0]);
}

#[test]
fn pipelined_requests_are_spread_over_turns() {
    let clients = 100;
    let mut stepwise = Stepwise::new(config(), clients);
    (0..clients).for_each(|client| stepwise.send(client, &get("/10").repeat(100)));
    let (mut answered, mut turns) = (0, 0);
    while answered < 100 * clients as u64 {
        stepwise.turn();
        let requests = stepwise.server.info().counters().requests;
        // Without a common budget each connection would have 64 in one turn.
        assert!(
            requests - answered < 2000,
            "{} in one turn",
            requests - answered
        );
        answered = requests;
        turns += 1;
        assert!(turns < 1000, "no progress");
    }
}
