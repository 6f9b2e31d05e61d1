//! Listings of many entries: what they share, how much memory they may take, and how they are spread over turns of the loop.

use std::fs::{self, File};
use std::io::Read as _;
use std::num::NonZeroUsize;
use std::path::Path;
use std::time::Duration;

use httpoll::{
    BaseHttpRequestHandler, Exchange, HandlerResult, HttpServer, MemoryServer, ServerConfig,
    SimpleHttpRequestHandler, ThreadingHttpServer,
};
use tempfile::TempDir;

use crate::client::{Client, Framing, Reply, get};
use crate::running::{Running, config, eventually};

const KIB: usize = 1024;

/// Makes a directory with `count` files in `many`, one file in `few`, and a file.
fn site(count: usize) -> TempDir {
    site_of_names(count, 5)
}

/// The same with names of `length` bytes.
fn site_of_names(count: usize, length: usize) -> TempDir {
    let site = tempfile::tempdir().unwrap();
    for name in ["many", "few"] {
        fs::create_dir(site.path().join(name)).unwrap();
    }
    for number in 0..count {
        File::create(site.path().join(format!("many/{number:0length$}"))).unwrap();
    }
    File::create(site.path().join("few/one")).unwrap();
    fs::write(site.path().join("file"), "content").unwrap();
    site
}

fn files(site: &TempDir) -> SimpleHttpRequestHandler {
    SimpleHttpRequestHandler::new(site.path()).unwrap()
}

fn with_memory(max_listing_bytes: usize) -> ServerConfig {
    config().with(|config| config.max_listing_bytes = max_listing_bytes)
}

/// The replies of a server with so much memory for listings to these methods and targets, sent at once.
fn replies(site: &TempDir, memory: usize, requests: &[(&str, &str)]) -> Vec<Reply> {
    let bytes = requests.iter().map(|(method, target)| {
        format!("{method} {target} HTTP/1.1\r\nHost: test\r\nAccept: application/json\r\n\r\n")
    });
    let mut server = MemoryServer::with_config(files(site), with_memory(memory));
    let output = server.respond(bytes.collect::<String>().as_bytes());
    let methods: Vec<_> = requests.iter().map(|(method, _)| *method).collect();
    Reply::all(&output, &methods)
}

fn entries(reply: &Reply) -> usize {
    assert_eq!(reply.status, 200);
    assert!(reply.text().ends_with("}]\n") || reply.text().ends_with("</html>\n"));
    reply.text().matches("\"name\":").count() + reply.text().matches("<tr><td><a href=\"0").count()
}

#[test]
fn a_long_listing_without_memory_is_503_and_keeps_the_connection() {
    let site = site(3000);
    for memory in [0, 16 * KIB, 100 * KIB] {
        // The short listings come first, while the turn has time to make them at once, which needs no memory.
        let requests = [
            ("GET", "/few/"),
            ("HEAD", "/few/"),
            ("GET", "/many/"),
            ("HEAD", "/many/"),
            ("GET", "/file"),
            ("GET", "/many/?sort=size"),
        ];
        let replies = replies(&site, memory, &requests);
        let statuses: Vec<_> = replies.iter().map(|reply| reply.status).collect();
        assert_eq!(statuses, [200, 200, 503, 503, 200, 503], "{memory} bytes");
        for reply in replies.iter().filter(|reply| reply.status == 503) {
            assert_eq!(reply.field("Retry-After"), Some("1"));
            assert!(!reply.closes());
        }
        assert_eq!(
            replies[2].field("Content-Length"),
            replies[3].field("Content-Length")
        );
    }
}

#[test]
fn consecutive_replies_share_the_listing_memory() {
    let site = site(3000);
    let requests: Vec<_> = ["/many/", "/many/?sort=size", "/many/?sort=date&order=desc"]
        .iter()
        .flat_map(|target| [("GET", *target), ("HEAD", *target)])
        .collect();
    for (reply, (method, _)) in replies(&site, 300 * KIB, &requests).iter().zip(&requests) {
        assert_eq!(reply.field("Transfer-Encoding"), Some("chunked"));
        if *method == "GET" {
            assert_eq!((reply.framing, entries(reply)), (Framing::Chunked, 3000));
        }
    }
}

#[test]
fn up_to_512_entries_have_a_content_length() {
    for (count, framing) in [(512, Framing::Length), (513, Framing::Chunked)] {
        let site = site(count);
        let requests = [("GET", "/many/"); 3];
        for reply in replies(&site, usize::MAX, &requests) {
            assert_eq!((reply.framing, entries(&reply)), (framing, count));
        }
    }
    assert_eq!(replies(&site(512), 0, &[("GET", "/many/")])[0].status, 200);
}

/// A server whose turns the test takes one by one.
struct Stepwise {
    server: HttpServer<SimpleHttpRequestHandler>,
}

impl Stepwise {
    fn new(site: &TempDir, config: ServerConfig) -> Self {
        let server = HttpServer::bind_with("127.0.0.1:0", files(site), config).unwrap();
        Self { server }
    }

    /// A client whose request has arrived when the next turn begins.
    fn ask(&self, target: &str) -> Client {
        let mut client = Client::connect(self.server.server_address().unwrap());
        client.send(get(target));
        client
    }

    fn turn(&mut self) {
        self.server.turn(Some(Duration::ZERO)).unwrap();
    }

    /// Takes turns until `client` has its whole reply.
    fn reply(&mut self, client: &mut Client) -> Reply {
        let mut received = Vec::new();
        client.stream.set_nonblocking(true).unwrap();
        for _ in 0..1_000_000 {
            self.turn();
            let mut buffer = [0; 64 * KIB];
            while let Ok(length @ 1..) = client.stream.read(&mut buffer) {
                received.extend_from_slice(&buffer[..length]);
            }
            let ends = received.ends_with(b"0\r\n\r\n") || !received.ends_with(b"\r\n");
            let is_some = ends && !received.is_empty();
            if let Some((reply, _)) = is_some
                .then(|| Reply::parse(&received, "GET", false))
                .flatten()
            {
                return reply;
            }
        }
        panic!("no reply");
    }
}

#[test]
fn others_are_served_between_the_slices_of_a_long_listing() {
    let site = site(10_000);
    let mut stepwise = Stepwise::new(&site, config());
    let mut long = stepwise.ask("/many/");
    for _ in 0..4 {
        stepwise.turn();
    }
    let mut short = stepwise.ask("/file");
    let mut small = stepwise.ask("/few/");
    assert_eq!(stepwise.reply(&mut short).text(), "content");
    assert!(stepwise.reply(&mut small).text().contains("\"one\""));
    assert!(long.has_nothing(), "its head waits for all entries");
    assert_eq!(entries(&stepwise.reply(&mut long)), 10_000);
}

#[test]
fn all_clients_are_served_with_a_small_turn_bytes() {
    let site = site(2000);
    for turn_bytes in [1, 1000] {
        let config = config().with(|config| config.tuning.turn_bytes = turn_bytes);
        let mut stepwise = Stepwise::new(&site, config);
        let mut clients: Vec<_> = (0..5).map(|_| stepwise.ask("/many/")).collect();
        for client in &mut clients {
            assert_eq!(entries(&stepwise.reply(client)), 2000);
        }
    }
}

#[test]
fn a_file_created_between_two_requests_is_in_the_second_listing() {
    let site = site(3000);
    for turns in (0..40).step_by(3) {
        let mut stepwise = Stepwise::new(&site, config());
        let mut first = stepwise.ask("/many/?format=json");
        (0..turns).for_each(|_| stepwise.turn());
        let name = format!("new-{turns}");
        File::create(site.path().join("many").join(&name)).unwrap();
        let mut second = stepwise.ask("/many/?format=json");
        let reply = stepwise.reply(&mut second);
        assert!(
            reply.text().contains(&format!("\"{name}\"")),
            "after {turns} turns"
        );
        assert!(entries(&stepwise.reply(&mut first)) >= 3000);
    }
}

#[test]
fn clients_that_do_not_read_share_one_set_of_entries() {
    let site = site(5000);
    // A separate set for each client would need ten times as much memory.
    let running = serve(&site, with_memory(1024 * KIB));
    let mut clients: Vec<_> = (0..50).map(|_| running.client()).collect();
    for (number, client) in clients.iter_mut().enumerate() {
        let target = if number % 2 == 0 {
            "/many/"
        } else {
            "/many/?format=json"
        };
        client.send(get(target));
    }
    for client in &mut clients {
        assert_eq!(entries(&client.reply()), 5000);
    }
    // Clients that ask when others have received a part share the same set.
    for _ in 0..50 {
        let mut client = running.client();
        client.send(get("/many/")).read_until("<tbody>");
        clients.push(client);
    }
}

fn serve(site: &TempDir, config: ServerConfig) -> Running {
    let handler = files(site);
    Running::with(config, move || handler)
}

#[test]
fn a_client_that_leaves_frees_the_memory_of_its_listing() {
    let site = site(5000);
    let running = serve(&site, with_memory(400 * KIB));
    for turn in 0..20 {
        let mut client = running.client();
        client.send(get("/many/?sort=size"));
        if turn % 2 == 0 {
            client.read_until("<tbody>");
        }
        drop(client);
        eventually(|| running.client().get("/many/").status == 200);
    }
}

#[test]
fn listings_beyond_the_memory_are_503_until_memory_is_free() {
    // The listing is larger than what the kernel buffers for a client that does not read.
    let site = site_of_names(20_000, 200);
    let running = serve(&site, with_memory(6000 * KIB));
    let mut first = running.client();
    first.send(get("/many/")).read_until("<tbody>");
    let refused = running.client().get("/many/?sort=size");
    assert_eq!(
        (refused.status, refused.field("Retry-After")),
        (503, Some("1"))
    );
    let mut same = running.client();
    assert_eq!(entries(&same.get("/many/?format=json")), 20_000);
    drop(first);
    eventually(|| same.get("/many/?sort=size").status == 200);
}

#[test]
fn each_loop_has_a_share_of_the_memory() {
    let site = site(5000);
    for (loops, status) in [(1, 200), (4, 503)] {
        let loops = NonZeroUsize::new(loops).unwrap();
        let config = with_memory(600 * KIB);
        let server =
            ThreadingHttpServer::bind_with("127.0.0.1:0", files(&site), config, loops).unwrap();
        let (address, handle) = (server.server_addresses()[0], server.handle());
        std::thread::scope(|scope| {
            scope.spawn(|| server.serve_forever().unwrap());
            for _ in 0..10 {
                assert_eq!(Client::connect(address).get("/many/").status, status);
            }
            handle.shutdown();
        });
    }
}

#[test]
fn a_shutdown_waits_for_an_unfinished_listing() {
    let site = site(10_000);
    let mut stepwise = Stepwise::new(&site, config());
    let mut client = stepwise.ask("/many/");
    for _ in 0..4 {
        stepwise.turn();
    }
    assert!(client.has_nothing());
    stepwise.server.handle().shutdown();
    let reply = stepwise.reply(&mut client);
    assert_eq!((entries(&reply), reply.closes()), (10_000, true));
}

#[test]
fn list_directory_beside_a_reply_is_a_500() {
    struct Named(SimpleHttpRequestHandler);
    impl BaseHttpRequestHandler for Named {
        fn do_get(&mut self, exchange: &mut Exchange<'_>) -> HandlerResult {
            if exchange.path() == "/beside" {
                exchange.send_response(httpoll::HttpStatus::OK);
            }
            Ok(self.0.list_directory(exchange, Path::new("many"))?)
        }
    }
    let site = site(3000);
    let mut server = MemoryServer::new(Named(files(&site)));
    let output = server.respond([get("/"), get("/beside"), get("/")].concat().as_bytes());
    let replies = Reply::all(&output, &["GET"; 3]);
    let statuses: Vec<_> = replies.iter().map(|reply| reply.status).collect();
    assert_eq!(statuses, [200, 500, 200]);
    assert_eq!(entries(&replies[2]), 3000);
}

#[test]
fn a_directory_deleted_while_it_is_read_is_listed_in_part() {
    let site = site(3000);
    let mut stepwise = Stepwise::new(&site, config());
    let mut client = stepwise.ask("/many/?format=json");
    for _ in 0..4 {
        stepwise.turn();
    }
    fs::remove_dir_all(site.path().join("many")).unwrap();
    let entries = entries(&stepwise.reply(&mut client));
    assert!((1..3000).contains(&entries), "{entries}");
    let mut client = stepwise.ask("/many/");
    assert_eq!(stepwise.reply(&mut client).status, 404);
}
