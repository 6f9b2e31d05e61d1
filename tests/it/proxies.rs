//! The client of a request behind proxies: raw bytes of a proxy, and HAProxy, nginx and curl as they are.
//!
//! All addresses are loopback: the proxies connect from 127.0.0.1, and clients from 127.0.0.2.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::thread::sleep;

use crate::support::{Json, SETTLED, Server, Site, command, get, request, run, skip, wait_until};

const TRUSTING: [&str; 2] = ["--trusted-proxy", "127.0.0.1"];
const REQUIRING: [&str; 3] = ["--trusted-proxy", "127.0.0.1", "--proxy-protocol"];
const LINE: &str = "PROXY TCP4 203.0.113.7 198.51.100.1 4711 443\r\n";

fn server(options: &[&str]) -> Server {
    Server::with(&Site::new(), options)
}

fn get_for(fields: &[&str]) -> String {
    request("GET", "/hello.txt", fields)
}

/// The clients in the log, once it has `count` lines.
#[track_caller]
fn clients(server: &Server, count: usize) -> Vec<String> {
    let lines = server.log_lines(count);
    let clients = lines.iter().map(|line| line.split(' ').next().unwrap());
    clients.map(str::to_owned).collect()
}

#[test]
fn a_trusted_proxy_names_the_client_in_the_log() {
    let server = server(&TRUSTING);
    let mut proxy = server.connect();
    proxy.ask(get_for(&[
        "X-Forwarded-For: 198.51.100.9, 203.0.113.1:80, 127.0.0.1",
    ]));
    proxy.ask(get_for(&[
        "Forwarded: for=\"[2001:db8::1]:4711\";proto=http",
    ]));
    proxy.ask(get_for(&["X-Forwarded-For: 203.0.113.1, unknown"]));
    proxy.ask(get_for(&[]));
    assert_eq!(
        clients(&server, 4),
        ["203.0.113.1", "2001:db8::1", "127.0.0.1", "127.0.0.1"]
    );
}

#[test]
fn every_format_of_the_log_has_the_client() {
    for format in ["common", "combined", "json"] {
        let server = server(&["--trusted-proxy", "127.0.0.0/8", "--log-format", format]);
        server.ask(get_for(&["x-forwarded-for: 203.0.113.1"]));
        let line = &server.log_lines(1)[0];
        let client = match format {
            "json" => Json::parse(line).get("client").text().to_owned(),
            _ => line.split(' ').next().unwrap().to_owned(),
        };
        assert_eq!(client, "203.0.113.1", "{format}");
    }
}

#[test]
fn a_client_cannot_name_itself_unless_its_address_is_trusted() {
    let fields = ["Forwarded: for=203.0.113.1", "X-Forwarded-For: 203.0.113.1"];
    for options in [
        &[][..],
        &["--trusted-proxy", "10.0.0.0/8"],
        &["--trusted-proxy", "unix"],
    ] {
        let server = server(options);
        let mut client = server.connect();
        client.ask(get_for(&fields));
        client.ask(get_for(&fields[1..]));
        assert_eq!(client.ask([LINE, &get("/")].concat()).status(), 400);
        let expected = ["127.0.0.1"; 3];
        assert_eq!(clients(&server, 3), expected, "{options:?}");
    }
}

#[test]
fn the_proxy_protocol_names_the_client_of_a_connection() {
    let binary =
        b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xcb\0\x71\x07\xc6\x33\x64\x01\x12\x67\x01\xbb";
    for (header, client) in [
        (LINE.as_bytes(), "203.0.113.7"),
        (binary, "203.0.113.7"),
        (b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0", "127.0.0.1"),
        (b"PROXY UNKNOWN\r\n", "127.0.0.1"),
    ] {
        let server = server(&REQUIRING);
        // In one packet with the request, alone, and in two pieces.
        let mut whole = server.connect();
        whole.send([header, get("/hello.txt").as_bytes()].concat());
        assert_eq!(whole.read_reply().status(), 200);
        assert_eq!(whole.get("/hello.txt").status(), 200);
        let mut alone = server.connect();
        alone.send(header);
        sleep(SETTLED);
        assert_eq!(alone.get("/hello.txt").status(), 200);
        let mut cut = server.connect();
        cut.send(&header[..5]);
        sleep(SETTLED);
        cut.send(&header[5..]);
        assert_eq!(cut.get("/hello.txt").status(), 200);
        assert_eq!(clients(&server, 4), [client; 4]);
    }
}

#[test]
fn without_the_header_a_trusted_proxy_is_not_answered() {
    let server = server(&REQUIRING);
    for bytes in [
        get("/"),
        "PROXY TCP4 nonsense\r\n".to_owned(),
        "PROXX".to_owned(),
    ] {
        let mut proxy = server.connect();
        proxy.send(&bytes).assert_closed();
    }
    for line in server.log_lines(3) {
        assert!(line.starts_with("127.0.0.1 - - ["), "{line}");
        assert!(
            line.ends_with("] a trusted proxy sent no valid header of the PROXY protocol"),
            "{line}"
        );
    }
}

#[test]
fn the_limit_of_connections_is_for_clients_and_not_for_their_proxy() {
    let server = server(&[&TRUSTING[..], &["--max-per-ip", "1"]].concat());
    let mut proxies: Vec<_> = (0..4).map(|_| server.connect()).collect();
    for proxy in &mut proxies {
        assert_eq!(
            proxy
                .ask(get_for(&["X-Forwarded-For: 203.0.113.1"]))
                .status(),
            200
        );
    }
    // The request stays incomplete, so its connection counts.
    let head = ["X-Forwarded-For: 203.0.113.1", "Content-Length: 5"];
    proxies[0].send(request("POST", "/hello.txt", &head));
    assert_eq!(proxies[0].read_reply().status(), 405);
    let refused = proxies[1].ask(get_for(&["X-Forwarded-For: 203.0.113.1"]));
    assert_eq!(
        (refused.status(), refused.field("retry-after")),
        (429, Some("5"))
    );
    assert_eq!(
        proxies[1]
            .ask(get_for(&["X-Forwarded-For: 203.0.113.2"]))
            .status(),
        200
    );
    assert_eq!(proxies[1].get("/hello.txt").status(), 200);
    proxies[0].send("12345").assert_open();
    wait_until("the client has room again", || {
        proxies[1]
            .ask(get_for(&["X-Forwarded-For: 203.0.113.1"]))
            .status()
            == 200
    });
}

#[test]
fn the_limit_of_connections_is_for_the_client_that_the_header_names() {
    let server = server(&[&REQUIRING[..], &["--max-per-ip", "1"]].concat());
    let other = LINE.replace("203.0.113.7", "203.0.113.8");
    let mut clients = [LINE, &other, "PROXY UNKNOWN\r\n", "PROXY UNKNOWN\r\n"].map(|header| {
        let mut client = server.connect();
        client.send(header);
        client
    });
    for client in &mut clients {
        assert_eq!(client.get("/hello.txt").status(), 200);
    }
    let mut further = server.connect();
    further.send(LINE).assert_closed();
    let [first, ..] = clients;
    drop(first);
    wait_until("the client has room again", || {
        let mut client = server.connect();
        client.send([LINE, &get("/hello.txt")].concat());
        !client.half_close().read_to_end().is_empty()
    });
}

#[test]
fn the_header_is_required_of_named_proxies_only() {
    let output = run(&["--proxy-protocol"]);
    assert_eq!(output.status.code(), Some(2));
    let message = String::from_utf8(output.stderr).unwrap();
    assert!(
        message.contains("--proxy-protocol needs --trusted-proxy"),
        "{message}"
    );
    let server = server(&["--proxy-protocol", "--trusted-proxy", "10.0.0.0/8"]);
    assert_eq!(server.get("/hello.txt").status(), 200);
}

#[test]
fn a_configuration_file_names_proxies() {
    let site = Site::new();
    let file = site.beside("proxies.conf");
    fs::write(
        &file,
        "trusted-proxy 10.0.0.0/8\ntrusted-proxy 127.0.0.1\nproxy-protocol\n",
    )
    .unwrap();
    let server = Server::with(&site, &["--config", file.to_str().unwrap()]);
    server.ask([LINE, &get("/hello.txt")].concat());
    assert_eq!(clients(&server, 1), ["203.0.113.7"]);
}

/// A proxy that runs in the foreground; ended when dropped.
struct Proxy {
    child: Child,
    port: u16,
}

impl Proxy {
    /// Starts HAProxy in front of `server` with the lines `backend`. `None` where it is not installed.
    fn haproxy(site: &Site, server: &Server, backend: &str) -> Option<Self> {
        let (port, file) = (free_port(), site.beside("haproxy.cfg"));
        let text = format!(
            "defaults\n mode http\n timeout connect 5s\n timeout client 20s\n timeout server 20s\n\
             frontend front\n bind 127.0.0.1:{port}\n default_backend back\n\
             backend back\n {}\n",
            backend.replace("ADDRESS", &server.address().to_string()),
        );
        fs::write(&file, text).unwrap();
        Self::start(
            port,
            Command::new(program("haproxy")?)
                .arg("-db")
                .arg("-f")
                .arg(&file),
        )
    }

    /// Starts nginx with `contexts`, in which PORT is its own. `None` where nginx or its module `stream` is not installed.
    fn nginx(site: &Site, contexts: &str) -> Option<Self> {
        let (port, home) = (free_port(), site.beside("nginx"));
        fs::create_dir_all(&home).unwrap();
        let mut text = format!(
            "daemon off; master_process off; pid {0}/pid; error_log {0}/error; events {{}}\n{1}",
            home.display(),
            contexts.replace("PORT", &port.to_string()),
        );
        let module = Path::new("/usr/lib/nginx/modules/ngx_stream_module.so");
        if contexts.starts_with("stream") && module.exists() {
            text.insert_str(0, &format!("load_module {};\n", module.display()));
        } else if contexts.starts_with("stream") {
            skip("nginx has no stream module");
            return None;
        }
        let file = home.join("nginx.conf");
        fs::write(&file, text).unwrap();
        let mut command = Command::new(program("nginx")?);
        Self::start(
            port,
            command
                .arg("-e")
                .arg(home.join("error"))
                .arg("-p")
                .arg(&home)
                .arg("-c")
                .arg(&file),
        )
    }

    fn start(port: u16, command: &mut Command) -> Option<Self> {
        let mut child = command.stdin(Stdio::null()).spawn().unwrap();
        wait_until("the proxy listens", || {
            assert!(child.try_wait().unwrap().is_none(), "the proxy has ended");
            TcpStream::connect(("127.0.0.1", port)).is_ok()
        });
        Some(Self { child, port })
    }

    /// Gets a file through the proxy from 127.0.0.2; says whether curl is there.
    fn is_asked(&self, arguments: &[&str]) -> bool {
        let url = format!("http://127.0.0.1:{}/hello.txt", self.port);
        curl(&[&["--interface", "127.0.0.2"], arguments, &[url.as_str()]].concat()).is_some()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

/// Returns the path of a program that may stand in /usr/sbin. `None` where it is not installed.
fn program(name: &str) -> Option<String> {
    let places = ["/usr/sbin", "/usr/bin", "/usr/local/sbin", "/usr/local/bin"];
    let found = places.iter().map(|place| format!("{place}/{name}"));
    let found = found.into_iter().find(|path| Path::new(path).exists());
    if found.is_none() {
        skip(&format!("{name} is not installed"));
    }
    found
}

/// Runs curl, which must get the file; `None` where it is not installed.
fn curl(arguments: &[&str]) -> Option<Output> {
    let mut command = Command::new(program("curl")?);
    command.args(["-sS", "--noproxy", "*"]).args(arguments);
    let output = command.output().unwrap();
    assert!(output.stdout.starts_with(b"Hello, world!\n"), "{output:?}");
    Some(output)
}

#[test]
fn haproxy_names_the_client() {
    for (options, backend) in [
        (&REQUIRING[..], "server s ADDRESS send-proxy"),
        (&REQUIRING, "server s ADDRESS send-proxy-v2"),
        (
            &REQUIRING,
            "server s ADDRESS send-proxy-v2 proxy-v2-options crc32c,unique-id",
        ),
        (&TRUSTING, "option forwardfor\n server s ADDRESS"),
    ] {
        let site = Site::new();
        let server = Server::with(&site, options);
        let Some(proxy) = Proxy::haproxy(&site, &server, backend) else {
            return;
        };
        let forged = ["-H", "X-Forwarded-For: 203.0.113.1"];
        if proxy.is_asked(&[]) && proxy.is_asked(&forged) {
            assert_eq!(clients(&server, 2), ["127.0.0.2"; 2], "{backend}");
        }
    }
}

#[test]
fn the_checks_of_haproxy_send_the_header_too() {
    let site = Site::new();
    let server = Server::with(&site, &REQUIRING);
    let backend =
        "option httpchk GET /hello.txt HTTP/1.0\n server s ADDRESS send-proxy-v2 check inter 50ms";
    let Some(_proxy) = Proxy::haproxy(&site, &server, backend) else {
        return;
    };
    wait_until("HAProxy has checked", || {
        server.log().contains("GET /hello.txt")
    });
    let log = server.log();
    assert!(
        log.starts_with("127.0.0.1 ") && log.contains(" 200 "),
        "{log}"
    );
}

#[test]
fn nginx_names_the_client() {
    let site = Site::new();
    let server = Server::with(&site, &TRUSTING);
    let http = format!(
        "http {{ access_log off; server {{ listen 127.0.0.1:PORT; location / {{ proxy_pass http://{};\n\
         proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for; }} }} }}",
        server.address()
    );
    let forged = ["-H", "X-Forwarded-For: 203.0.113.1"];
    let Some(proxy) = Proxy::nginx(&site, &http) else {
        return;
    };
    // The proxy passes Forwarded on as the client wrote it, so the two contradict each other.
    let contradiction = ["-H", "Forwarded: for=203.0.113.1"];
    if proxy.is_asked(&[]) && proxy.is_asked(&forged) && proxy.is_asked(&contradiction) {
        assert_eq!(clients(&server, 3), ["127.0.0.2", "127.0.0.2", "127.0.0.1"]);
    }
}

#[test]
fn the_stream_module_of_nginx_names_the_client() {
    let site = Site::new();
    let server = Server::with(&site, &REQUIRING);
    let stream = format!(
        "stream {{ server {{ listen 127.0.0.1:PORT; proxy_pass {}; proxy_protocol on; }} }}",
        server.address()
    );
    let Some(proxy) = Proxy::nginx(&site, &stream) else {
        return;
    };
    if proxy.is_asked(&["-H", "X-Forwarded-For: 203.0.113.1"]) {
        assert_eq!(clients(&server, 1), ["127.0.0.2"]);
    }
}

#[test]
fn curl_speaks_the_proxy_protocol() {
    let server = server(&REQUIRING);
    let url = format!("http://{}/hello.txt", server.address());
    if curl(&["--haproxy-protocol", &url, &url]).is_none() {
        return;
    }
    assert_eq!(clients(&server, 2), ["127.0.0.1"; 2]);
    let help = Command::new("curl")
        .args(["--help", "all"])
        .output()
        .unwrap();
    if String::from_utf8_lossy(&help.stdout).contains("--haproxy-clientip") {
        curl(&["--haproxy-clientip", "203.0.113.7", &url]);
        assert_eq!(clients(&server, 3)[2], "203.0.113.7");
    } else {
        skip("this curl has no --haproxy-clientip");
    }
}

#[test]
fn several_loops_take_the_header() {
    let root = Site::new();
    let path = root.root();
    let options = [
        "0",
        "-b",
        "127.0.0.1",
        "-n",
        "2",
        "-d",
        path.to_str().unwrap(),
    ];
    let server = Server::spawn(command(&[&options, &REQUIRING[..]].concat()));
    for _ in 0..8 {
        let reply = server.ask([LINE, &get("/hello.txt")].concat());
        assert_eq!(reply.status(), 200);
    }
    assert_eq!(clients(&server, 8), ["203.0.113.7"; 8]);
}
