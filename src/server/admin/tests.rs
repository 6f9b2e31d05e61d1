use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use crate::config::ServerConfig;
use crate::handler::exchange::Exchange;
use crate::handler::ready_checks::{self, Readiness};
use crate::handler::{BaseHttpRequestHandler, HandlerResult};
use crate::server::HttpServer;

/// A handler whose check hangs as a dead file system does, until it is told to return.
#[derive(Clone, Default)]
struct DeadMount {
    is_dead: Arc<AtomicBool>,
    checks: Arc<AtomicUsize>,
}

impl BaseHttpRequestHandler for DeadMount {
    fn check_ready(&mut self) -> Readiness {
        let Self { is_dead, checks } = self.clone();
        let check = move || {
            checks.fetch_add(1, Ordering::SeqCst);
            while is_dead.load(Ordering::SeqCst) {
                thread::sleep(Duration::from_millis(1));
            }
            Ok(())
        };
        ready_checks::check(check, "it does not answer".to_owned())
    }

    fn do_get(&mut self, exchange: &mut Exchange<'_>) -> HandlerResult {
        exchange.send_text(200, "served");
        Ok(())
    }
}

fn ask(address: SocketAddr, path: &str) -> TcpStream {
    let mut client = TcpStream::connect(address).unwrap();
    client
        .set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    write!(
        client,
        "GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
    )
    .unwrap();
    client
}

/// Returns the status and the body.
fn reply(mut client: TcpStream) -> (String, String) {
    let mut reply = String::new();
    client.read_to_string(&mut reply).unwrap();
    let (head, body) = reply.split_once("\r\n\r\n").unwrap();
    (head[9..12].to_owned(), body.trim_end().to_owned())
}

#[test]
fn a_check_that_hangs_delays_no_client_and_is_made_once() {
    let handler = DeadMount::default();
    let config = ServerConfig::default().with(|config| config.file_threads = 2);
    let mut server = HttpServer::bind_with("127.0.0.1:0", handler.clone(), config).unwrap();
    let site = server.server_address().unwrap();
    let admin = server.bind_admin("127.0.0.1:0").unwrap()[0];
    let handle = server.handle();
    let running = thread::spawn(move || server.serve_forever());
    let pair = |status: &str, body: &str| (status.to_owned(), body.to_owned());

    handler.is_dead.store(true, Ordering::SeqCst);
    let probe = ask(admin, "/readyz");
    while handler.checks.load(Ordering::SeqCst) == 0 {
        thread::yield_now();
    }
    assert_eq!(reply(ask(site, "/")), pair("200", "served"));
    assert_eq!(reply(ask(admin, "/livez")), pair("200", "ok"));
    let metrics = reply(ask(admin, "/metrics")).1;
    let busy = "httpoll_file_threads{state=\"busy\"} 1\n";
    assert!(metrics.contains(busy), "{metrics}");
    assert_eq!(reply(probe), pair("503", "it does not answer"));
    for _ in 0..3 {
        let again = reply(ask(admin, "/readyz"));
        assert_eq!(again, pair("503", "it does not answer"));
    }
    assert_eq!(handler.checks.load(Ordering::SeqCst), 1);

    handler.is_dead.store(false, Ordering::SeqCst);
    // The check comes back within a few milliseconds.
    while reply(ask(admin, "/readyz")) != pair("200", "ok") {
        assert_eq!(handler.checks.load(Ordering::SeqCst), 1);
        thread::yield_now();
    }
    handle.shutdown();
    running.join().unwrap().unwrap();
}
