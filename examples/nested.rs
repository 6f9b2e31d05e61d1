//! Runs two servers and a timer in a loop of its own, which polls the servers' descriptors and then gives each a turn.
//!
//! `cargo run --example nested`, then `curl http://127.0.0.1:8000/`.

use std::io;
use std::os::fd::AsRawFd as _;
use std::{env, time::Duration, time::Instant};

use httpoll::{BaseHttpRequestHandler, Exchange, HandlerResult, HttpServer};
use mio::{Events, Interest, Poll, Token, unix::SourceFd};

#[derive(Default)]
struct Ticks(u64);

impl BaseHttpRequestHandler for Ticks {
    fn do_get(&mut self, exchange: &mut Exchange<'_>) -> HandlerResult {
        exchange.send_text(200, format!("{} ticks\n", self.0));
        Ok(())
    }
}

fn main() -> io::Result<()> {
    let address = env::args().nth(1).unwrap_or("127.0.0.1:8000".into());
    let (mut poll, mut events) = (Poll::new()?, Events::with_capacity(2));
    let mut servers = Vec::new();
    for (index, address) in [&*address, "127.0.0.1:0"].into_iter().enumerate() {
        let server = HttpServer::bind(address, Ticks::default())?;
        let descriptor = &mut SourceFd(&server.as_raw_fd());
        let readable = Interest::READABLE;
        poll.registry()
            .register(descriptor, Token(index), readable)?;
        println!("http://{}/", server.info().addresses()[0]);
        servers.push(server);
    }
    let mut tick = Instant::now();
    loop {
        let deadlines = servers.iter().filter_map(HttpServer::next_deadline);
        let wait = deadlines.fold(tick, Instant::min) - Instant::now(); // zero if the deadline has passed
        poll.poll(&mut events, Some(wait))?;
        for server in &mut servers {
            server.turn(Some(Duration::ZERO))?;
        }
        while tick <= Instant::now() {
            tick += Duration::from_millis(100);
            servers.iter_mut().for_each(|s| s.handler_mut().0 += 1);
        }
    }
}
