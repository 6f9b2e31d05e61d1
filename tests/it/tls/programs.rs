//! Other people's programs as clients of HTTPS. What is not installed is skipped.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use crate::support::{HttpsServer, Site, skip, wait_until};

/// A server, and the path of the certificate of its authority.
fn server(site: &Site, options: &[&str]) -> (HttpsServer, String) {
    let server = HttpsServer::with(site, options);
    let authority = server.authority.write(site);
    (server, authority.into_os_string().into_string().unwrap())
}

fn url(server: &HttpsServer, target: &str) -> String {
    format!("https://localhost:{}{target}", server.port())
}

/// Runs a program, which must succeed; `None` where it is not installed.
#[track_caller]
fn run(name: &str, arguments: &[&str], input: &str) -> Option<Output> {
    let mut command = Command::new(name);
    command.args(arguments).stdin(Stdio::piped());
    command.env("no_proxy", "*").stdout(Stdio::piped());
    let Ok(mut child) = command.stderr(Stdio::piped()).spawn() else {
        skip(&format!("{name} is not installed"));
        return None;
    };
    let mut stdin = child.stdin.take().unwrap();
    std::io::Write::write_all(&mut stdin, input.as_bytes()).unwrap();
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{output:?}");
    Some(output)
}

#[test]
fn curl_gets_files() {
    let site = Site::new();
    let (server, authority) = server(&site, &[]);
    let url = url(&server, "/hello.txt");
    for options in [
        &[][..],
        &["--tlsv1.2", "--tls-max", "1.2"],
        &["--tlsv1.3"],
        &["--http1.1"],
        &["--http1.0"],
        &["--no-alpn"],
    ] {
        let common = ["-sS", "--max-time", "20", "--cacert", &authority, &url];
        let Some(output) = run("curl", &[options, &common].concat(), "") else {
            return;
        };
        assert_eq!(output.stdout, b"Hello, world!\n", "{options:?}");
    }
}

#[test]
fn curl_uses_one_connection_for_several_files() {
    let site = Site::new();
    let (server, authority) = server(&site, &[]);
    let url = url(&server, "/hello.txt?[1-10]");
    let format = ["-w", "%{num_connects} ", "-o", "/dev/null"];
    let common = ["-sS", "--max-time", "20", "--cacert", &authority, &url];
    if let Some(output) = run("curl", &[&format[..], &common].concat(), "") {
        assert_eq!(output.stdout, b"1 0 0 0 0 0 0 0 0 0 ");
    }
}

#[test]
fn curl_follows_a_redirect_to_https() {
    let site = Site::new();
    let (server, authority) = server(&site, &[]);
    let url = url(&server, "/hello.txt").replace("https:", "http:");
    let options = ["-sSL", "--max-time", "20", "--cacert", &authority, &url];
    if let Some(output) = run("curl", &options, "") {
        assert_eq!(output.stdout, b"Hello, world!\n");
    }
}

#[test]
fn curl_sends_a_file_and_reads_the_refusal() {
    let site = Site::new();
    site.sparse("upload", 5_000_000);
    let (server, authority) = server(&site, &[]);
    let (url, file) = (url(&server, "/"), site.at("upload"));
    for fields in [
        "Expect: 100-continue",
        "Expect:",
        "Transfer-Encoding: chunked",
    ] {
        let common = ["-sS", "--max-time", "20", "--cacert", &authority, &url];
        let upload = ["-T", file.to_str().unwrap(), "-H", fields];
        let format = ["-o", "/dev/null", "-w", "%{http_code}"];
        let all = [&common[..], &upload, &format].concat();
        let Some(output) = run("curl", &all, "") else {
            return;
        };
        assert_eq!(output.stdout, b"405", "{fields}");
    }
}

#[test]
fn wget_gets_a_large_file() {
    let site = Site::new();
    let content: Vec<u8> = (0..2_000_000_u32).flat_map(u32::to_le_bytes).collect();
    site.file("large", &content);
    let (server, authority) = server(&site, &[]);
    let authority = format!("--ca-certificate={authority}");
    let options = [
        "-q",
        "-O",
        "-",
        "--tries=1",
        &authority,
        &url(&server, "/large"),
    ];
    if let Some(output) = run("wget", &options, "") {
        assert!(output.stdout == content, "{} bytes", output.stdout.len());
    }
}

#[test]
fn openssl_resumes_sessions() {
    let site = Site::new();
    let (server, authority) = server(&site, &[]);
    let session = site.beside("session");
    let session = session.to_str().unwrap();
    let address = server.address().to_string();
    let request = "GET /hello.txt HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    for version in ["-tls1_2", "-tls1_3"] {
        for (option, says) in [("-sess_out", "\nNew, TLS"), ("-sess_in", "\nReused, TLS")] {
            let common = ["s_client", "-connect", &address, "-CAfile", &authority];
            let name = [
                "-servername",
                "localhost",
                "-verify_return_error",
                "-ign_eof",
            ];
            let all = [&common[..], &name, &[version, option, session]].concat();
            let Some(output) = run("openssl", &all, request) else {
                return;
            };
            let said = String::from_utf8_lossy(&output.stdout);
            assert!(said.contains(says), "{version} {option}: {said}");
            assert!(said.contains("Hello, world!"), "{version} {option}: {said}");
        }
    }
}

const PYTHON: &str = "
import http.client, socket, ssl, sys, urllib.request
authority, port = sys.argv[1], int(sys.argv[2])
context = ssl.create_default_context(cafile=authority)
page = f'https://localhost:{port}/hello.txt'
assert urllib.request.urlopen(page, context=context).read() == b'Hello, world!\\n'
for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
    context.minimum_version = context.maximum_version = version
    connection = http.client.HTTPSConnection('localhost', port, context=context, timeout=20)
    for _ in range(20):
        connection.request('GET', '/hello.txt')
        assert connection.getresponse().read() == b'Hello, world!\\n'
    connection.request('PUT', '/hello.txt', bytes(50_000_000))
    reply = connection.getresponse()
    assert reply.status == 405, reply.status
    reply.read()
    connection.close()
    # unwrap sends close_notify, and fails unless the server sends its own.
    plain = socket.create_connection(('localhost', port), timeout=20)
    client = context.wrap_socket(plain, server_hostname='localhost')
    client.sendall(b'GET /hello.txt HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n')
    received = b''
    while not received.endswith(b'world!\\n'):
        received += client.recv(1000)
    assert client.unwrap().recv(1) == b''
    # Without suppress_ragged_eofs, an end without close_notify is an error.
    plain = socket.create_connection(('localhost', port), timeout=20)
    client = context.wrap_socket(plain, server_hostname='localhost', suppress_ragged_eofs=False)
    client.sendall(b'GET /hello.txt HTTP/1.0\\r\\n\\r\\n')
    while client.recv(1000): pass
";

#[test]
fn python_gets_files_and_close_notify() {
    let site = Site::new();
    let (server, authority) = server(&site, &[]);
    let port = server.port().to_string();
    run("python3", &["-c", PYTHON, &authority, &port], "");
}

/// HAProxy, which speaks TLS to the server, and plain HTTP to its own clients; killed when dropped.
struct HaProxy {
    child: Child,
    port: u16,
}

impl HaProxy {
    /// Starts it with `options` of its connections to the server; `None` where it is not installed.
    fn start(site: &Site, server: &HttpsServer, options: &str) -> Option<Self> {
        let Some(program) = ["/usr/sbin/haproxy", "/usr/local/sbin/haproxy"]
            .into_iter()
            .find(|path| Path::new(path).exists())
        else {
            skip("haproxy is not installed");
            return None;
        };
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        let text = format!(
            "defaults\n mode http\n timeout connect 5s\n timeout client 20s\n timeout server 20s\n\
             frontend f\n bind 127.0.0.1:{port}\n default_backend b\n\
             backend b\n option httpchk GET /hello.txt\n server s {} ssl {options}\n",
            server.address()
        );
        let file = site.beside("haproxy.cfg");
        fs::write(&file, text).unwrap();
        let mut command = Command::new(program);
        command.args(["-db", "-f"]).arg(&file).stdin(Stdio::null());
        let mut child = command.spawn().unwrap();
        wait_until("HAProxy listens", || {
            assert!(child.try_wait().unwrap().is_none(), "HAProxy has ended");
            TcpStream::connect(("127.0.0.1", port)).is_ok()
        });
        Some(Self { child, port })
    }
}

impl Drop for HaProxy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn haproxy_checks_and_forwards() {
    for (options, more) in [
        ("", &[][..]),
        ("alpn http/1.1", &[]),
        (
            "send-proxy-v2",
            &["--trusted-proxy", "127.0.0.1", "--proxy-protocol"],
        ),
    ] {
        let site = Site::new();
        let (server, authority) = server(&site, more);
        let options = format!(
            "verify required ca-file {authority} sni str(localhost) check inter 500ms {options}"
        );
        let Some(proxy) = HaProxy::start(&site, &server, &options) else {
            return;
        };
        wait_until("HAProxy has checked", || {
            server.log().contains("GET /hello.txt")
        });
        let address = ([127, 0, 0, 1], proxy.port).into();
        let mut client = crate::support::Client::connect(address);
        for _ in 0..20 {
            assert_eq!(client.get("/docs/").body, b"<p>index</p>\n", "{options}");
        }
    }
}
