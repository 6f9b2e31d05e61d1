//! `--tls-cert` and its companions: which files and options are refused, what speaks HTTPS, and how the files are read again.

use std::fs::{self, Permissions};
use std::io::Write as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use rcgen::{CertificateParams, DnType, KeyPair};
use rustix::process::Signal;

use crate::inherited::with_sockets;
use crate::support::{
    Client, Server, Site, get_unix, request, run, run_command, skip, unprivileged, wait_until,
};

mod as_another_user;
mod reload;

/// A certificate for localhost whose subject is `name`, and its key.
fn pair(name: &str) -> (String, String) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    let certificate = params.self_signed(&key).unwrap();
    (certificate.pem(), key.serialize_pem())
}

/// A directory beside the site with `cert.pem` and `key.pem`.
struct Pair(PathBuf);

impl Pair {
    fn beside(site: &Site, name: &str) -> Self {
        let directory = site.beside("tls");
        fs::create_dir(&directory).unwrap();
        let made = Self(directory);
        made.renew(name);
        made
    }

    fn at(&self, name: &str) -> String {
        self.0.join(name).to_str().unwrap().to_owned()
    }

    /// Replaces both files, as a program that renews certificates does.
    fn renew(&self, name: &str) {
        let (certificate, key) = pair(name);
        for (file, content) in [("cert.pem", certificate), ("key.pem", key)] {
            replace(&self.0.join(file), &content);
        }
    }

    /// The options that name the files.
    fn options(&self) -> [String; 4] {
        let (certificate, key) = (self.at("cert.pem"), self.at("key.pem"));
        ["--tls-cert".into(), certificate, "--tls-key".into(), key]
    }

    fn serve(&self, site: &Site, options: &[&str]) -> Server {
        Server::with(site, &with(&self.options(), options))
    }
}

fn with<'a>(files: &'a [String], options: &[&'a str]) -> Vec<&'a str> {
    let files = files.iter().map(String::as_str);
    files.chain(options.iter().copied()).collect()
}

fn replace(path: &Path, content: &str) {
    let new = path.with_extension("new");
    fs::write(&new, content).unwrap();
    fs::rename(new, path).unwrap();
}

/// Whether `openssl` is installed; without it, it prints that the test is skipped.
fn has_openssl() -> bool {
    let is_installed = Command::new("openssl").arg("version").output().is_ok();
    if !is_installed {
        skip("openssl is not installed");
    }
    is_installed
}

/// `openssl s_client` with a connection to the server. It prints what it knows of the server's certificate, and the replies.
fn s_client(server: &Server) -> Child {
    let mut command = Command::new("openssl");
    let address = server.address().to_string();
    command.args(["s_client", "-ign_eof", "-servername", "localhost"]);
    command.args(["-connect", &address]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    command.stderr(Stdio::null()).spawn().unwrap()
}

/// Asks for `target` on the connection of an `s_client`, and returns all that it prints until its end.
fn finish(mut client: Child, target: &str) -> String {
    let request = request("GET", target, &["Connection: close"]);
    let mut stdin = client.stdin.take().unwrap();
    stdin.write_all(request.as_bytes()).unwrap();
    drop(stdin);
    let output = client.wait_with_output().unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The common name of the server's certificate.
fn subject(server: &Server) -> String {
    subject_in(&finish(s_client(server), "/hello.txt"))
}

/// The common name in what an `s_client` has printed for a request that was answered.
fn subject_in(printed: &str) -> String {
    assert!(printed.contains("HTTP/1.1 200 OK"), "{printed}");
    let subject = printed
        .lines()
        .find_map(|line| line.strip_prefix("subject="));
    let (_, name) = subject
        .and_then(|subject| subject.split_once("CN"))
        .expect(printed);
    name.trim_start_matches([' ', '=']).to_owned()
}

/// Reloads, and waits until the certificate has the subject `name`.
#[track_caller]
fn reload(server: &Server, name: &str) {
    server.signal(Signal::HUP);
    wait_until("the new certificate is in force", || {
        subject(server) == name
    });
}

/// The line on standard error of a program that must end with `code`.
#[track_caller]
fn refused(output: Output, code: i32) -> String {
    let message = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(code), "{message}");
    assert_eq!(message.matches('\n').count(), 1, "{message}");
    assert!(message.starts_with("httpoll: "), "{message}");
    message
}

#[test]
fn a_file_that_cannot_be_used_is_a_one_line_error() {
    let site = Site::new();
    let pair = Pair::beside(&site, "one");
    let (_, other_key) = self::pair("other");
    fs::write(pair.at("other.pem"), other_key).unwrap();
    fs::write(pair.at("text"), "no PEM at all\n").unwrap();
    let table: [(&str, Option<&str>, &str); 7] = [
        ("absent", Some("key.pem"), "tls/absent: No such file"),
        ("cert.pem", Some("absent"), "tls/absent: No such file"),
        ("text", Some("key.pem"), "tls/text: "),
        ("cert.pem", Some("text"), "tls/text: "),
        ("cert.pem", Some("other.pem"), "tls/other.pem"),
        ("cert.pem", None, "tls/cert.pem: "),
        (".", Some("key.pem"), "not a regular file"),
    ];
    for (certificate, key, reason) in table {
        let mut options = vec!["--tls-cert".to_owned(), pair.at(certificate)];
        options.extend(key.map(|key| format!("--tls-key={}", pair.at(key))));
        let message = refused(run(&with(&options, &["0", "-b", "127.0.0.1"])), 1);
        assert!(message.contains(reason), "{message}");
    }
}

#[test]
fn a_key_that_the_user_cannot_read_is_a_one_line_error() {
    let site = Site::new();
    let pair = Pair::beside(&site, "one");
    fs::set_permissions(pair.at("key.pem"), Permissions::from_mode(0o0)).unwrap();
    let files = pair.options();
    let Some(command) = unprivileged(&with(&files, &["0", "-b", "127.0.0.1"])) else {
        return;
    };
    let message = refused(run_command(command), 1);
    assert!(message.contains("key.pem: Permission denied"), "{message}");
}

#[test]
fn a_secret_that_clients_could_read_is_refused() {
    let site = Site::new();
    let pair = Pair::beside(&site, "one");
    for name in ["cert.pem", "key.pem"] {
        fs::copy(pair.at(name), site.at(name)).unwrap();
    }
    fs::create_dir(site.at(".tls")).unwrap();
    fs::copy(pair.at("key.pem"), site.at(".tls/key.pem")).unwrap();
    let root = site.root();
    let root = root.to_str().unwrap();
    let [certificate, key, hidden] =
        ["cert.pem", "key.pem", ".tls/key.pem"].map(|name| format!("{root}/{name}"));
    let certificate = [
        "--tls-cert",
        &certificate,
        "-d",
        root,
        "0",
        "-b",
        "127.0.0.1",
    ];
    let options = [&certificate[..], &["--tls-key", &key]].concat();
    let expected =
        "key.pem is in the served directory, so clients could read it: move it elsewhere\n";
    assert!(refused(run(&options), 1).ends_with(expected));
    let hidden = ["--tls-key", &hidden];
    let server = Server::with(&site, &[&certificate[..2], &hidden].concat());
    assert!(server.banner().starts_with("Serving HTTPS on "));
    let shown = [&certificate[..], &hidden, &["--dotfiles"]].concat();
    assert!(refused(run(&shown), 1).ends_with(expected));
}

#[test]
fn a_key_is_refused_under_every_name_that_clients_could_ask_for() {
    let site = Site::new();
    let pair = Pair::beside(&site, "one");
    let (certificate, key) = (pair.at("cert.pem"), pair.at("key.pem"));
    let both = [&certificate, &key].map(|path| fs::read_to_string(path).unwrap());
    fs::write(site.at("both.pem"), both.concat()).unwrap();
    for directory in [".well-known", ".tls"] {
        fs::create_dir(site.at(directory)).unwrap();
        fs::copy(&key, site.at(format!("{directory}/key.pem"))).unwrap();
    }
    symlink(".tls", site.at("tls")).unwrap();
    symlink(&key, site.at("link.pem")).unwrap();
    let root = site.root();
    let root = root.to_str().unwrap();
    let in_site = |name: &str| format!("{root}/{name}");
    let rows: [(String, String, &[&str]); 4] = [
        (certificate.clone(), in_site(".well-known/key.pem"), &[]),
        (in_site("both.pem"), key.clone(), &[]),
        (
            certificate.clone(),
            in_site("link.pem"),
            &["--follow-symlinks"],
        ),
        (certificate, in_site("tls/key.pem"), &[]),
    ];
    for (certificate, key, others) in rows {
        let options = [
            "--tls-cert",
            &certificate,
            "--tls-key",
            &key,
            "0",
            "-b",
            "127.0.0.1",
            "-d",
            root,
        ];
        let error = refused(run(&[&options, others].concat()), 1);
        assert!(
            error.contains("is in the served directory"),
            "{key}: {error}"
        );
    }
}

#[test]
fn options_that_do_not_belong_together_are_a_usage_error() {
    let table: [&[&str]; 5] = [
        &["--tls-key", "k"],
        &["--tls-password-file", "p"],
        &["--redirect-http", ":80"],
        &["--tls-cert", "a", "--tls-cert", "b", "--tls-key", "k"],
        &["--tls-cert", "a", "--redirect-http", "80"],
    ];
    for options in table {
        refused(run(options), 2);
    }
}

#[test]
fn tcp_speaks_https_and_unix_sockets_stay_plain() {
    if !has_openssl() {
        return;
    }
    let site = Site::new();
    let pair = Pair::beside(&site, "one");
    let socket = site.beside("socket");
    let socket = socket.to_str().unwrap();
    let unix = format!("unix:{socket}");
    let (places, files) = (["-b", &unix, "-n", "2"], pair.options());
    let server = Server::with(&site, &with(&files, &places));
    let (address, port) = (server.address(), server.port());
    let url = format!("https://localhost:{port}/");
    assert_eq!(
        server.banner(),
        format!("Serving HTTPS on {} port {port} ({url}) ...", address.ip())
    );
    assert!(server.line().starts_with("Serving HTTP on unix:"));
    assert_eq!(subject(&server), "one");
    assert!(get_unix(socket, "/hello.txt").contains(" 200 OK"));
}

#[test]
fn https_needs_a_tcp_socket() {
    let site = Site::new();
    let pair = Pair::beside(&site, "one");
    let unix = format!("unix:{}", site.beside("socket").to_str().unwrap());
    let message = refused(run(&with(&pair.options(), &["-b", &unix])), 1);
    let expected = "httpoll: --tls-cert needs a TCP socket: UNIX sockets speak plain HTTP\n";
    assert_eq!(message, expected);
}

#[test]
fn inherited_tcp_sockets_speak_https() {
    if !has_openssl() {
        return;
    }
    let site = Site::new();
    let pair = Pair::beside(&site, "one");
    let socket = site.beside("socket");
    let socket = socket.to_str().unwrap();
    let files = pair.options();
    let options = with(&files, &["--redirect-http", "127.0.0.1:0"]);
    let Some(command) = with_sockets(&site, &["tcp", socket], &options) else {
        return;
    };
    let server = Server::spawn(command);
    assert_eq!(subject(&server), "one");
    assert!(get_unix(socket, "/hello.txt").contains(" 200 OK"));
}

#[test]
fn http_is_redirected_to_the_first_port() {
    let site = Site::new();
    let pair = Pair::beside(&site, "one");
    for loops in ["1", "2"] {
        let server = pair.serve(&site, &["--redirect-http", "127.0.0.1:0", "-n", loops]);
        let line = server.line();
        let port = line.strip_prefix("Redirecting http://localhost:");
        let port = port
            .and_then(|rest| rest.strip_suffix("/ to HTTPS"))
            .expect(&line);
        let mut client = Client::connect(([127, 0, 0, 1], port.parse().unwrap()).into());
        let reply = client.ask("GET /a?b HTTP/1.1\r\nHost: localhost:80\r\n\r\n");
        assert_eq!(reply.status(), 308);
        let location = format!("https://localhost:{}/a?b", server.port());
        assert_eq!(reply.field("Location"), Some(location.as_str()));
    }
}
