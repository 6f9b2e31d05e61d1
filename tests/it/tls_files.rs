//! `--tls-cert` and its companions: files that cannot be used, and SIGHUP, which reads the files again.

use std::fs::{self, Permissions};
use std::io::Write as _;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::os::unix::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rcgen::{CertificateParams, DnType, KeyPair};
use rustix::process::Signal;

use crate::confinement::{has_landlock, status};
use crate::inherited::with_sockets;
use crate::notify::Manager;
use crate::support::{
    Client, Mount, Server, Site, command, get_unix, request, run, run_command, skip, unprivileged,
    wait_until,
};
use crate::users::test_user;

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

/// What `openssl s_client` prints: what it knows of the server's certificate, and the reply to `GET target`.
fn s_client(server: &Server, target: &str) -> String {
    let mut command = Command::new("openssl");
    let address = server.address().to_string();
    command.args([
        "s_client",
        "-ign_eof",
        "-servername",
        "localhost",
        "-connect",
        &address,
    ]);
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    let mut client = command.spawn().unwrap();
    let request = request("GET", target, &["Connection: close"]);
    let mut stdin = client.stdin.take().unwrap();
    stdin.write_all(request.as_bytes()).unwrap();
    drop(stdin);
    let output = client.wait_with_output().unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The common name of the server's certificate.
fn subject(server: &Server) -> String {
    let printed = s_client(server, "/hello.txt");
    assert!(printed.contains("HTTP/1.1 200 OK"), "{printed}");
    let subject = printed
        .lines()
        .find_map(|line| line.strip_prefix("subject="));
    let (_, name) = subject
        .and_then(|subject| subject.split_once("CN"))
        .expect(&printed);
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

#[test]
fn a_file_that_cannot_be_used_is_a_one_line_error() {
    let site = Site::new();
    let pair = Pair::beside(&site, "one");
    let (_, other_key) = self::pair("other");
    fs::write(pair.at("other.pem"), other_key).unwrap();
    fs::write(pair.at("text"), "no PEM at all\n").unwrap();
    let table: [(&str, Option<&str>, &str); 7] = [
        ("absent", Some("key.pem"), "absent"),
        ("cert.pem", Some("absent"), "absent"),
        ("text", Some("key.pem"), "text"),
        ("cert.pem", Some("text"), "text"),
        ("cert.pem", Some("other.pem"), "other.pem"),
        ("cert.pem", None, "cert.pem"),
        (".", Some("key.pem"), "tls"),
    ];
    for (certificate, key, named) in table {
        let mut options = vec!["--tls-cert".to_owned(), pair.at(certificate)];
        options.extend(key.map(|key| format!("--tls-key={}", pair.at(key))));
        let output = run(&with(&options, &["0", "-b", "127.0.0.1"]));
        let message = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{message}");
        assert_eq!(message.matches('\n').count(), 1, "{message}");
        assert!(message.starts_with("httpoll: "), "{message}");
        assert!(message.contains(named), "{message}");
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
    let output = run_command(command);
    let message = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{message}");
    assert_eq!(message.matches('\n').count(), 1, "{message}");
    assert!(
        message.contains("key.pem") && message.contains("ermission denied"),
        "{message}"
    );
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
        let output = run(options);
        let message = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{message}");
        assert_eq!(message.matches('\n').count(), 1, "{message}");
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
    let output = run(&with(&pair.options(), &["-b", &unix]));
    let message = String::from_utf8(output.stderr).unwrap();
    let expected = "httpoll: --tls-cert needs a TCP socket: UNIX sockets speak plain HTTP\n";
    assert_eq!(message, expected);
    assert_eq!(output.status.code(), Some(1));
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

#[test]
fn sighup_puts_renewed_files_in_force_in_all_loops() {
    if !has_openssl() {
        return;
    }
    let site = Site::new();
    let pair = Pair::beside(&site, "one");
    let server = pair.serve(&site, &["-n", "3"]);
    assert_eq!(subject(&server), "one");
    pair.renew("two");
    assert_eq!(subject(&server), "one");
    reload(&server, "two");
    for _ in 0..12 {
        assert_eq!(subject(&server), "two");
    }
    pair.renew("three");
    server.signal(Signal::HUP);
    reload(&server, "three");
    assert!(!server.log().contains("httpoll:"), "{}", server.log());
}

#[test]
fn an_ordinary_user_reads_renewed_files() {
    if !has_openssl() {
        return;
    }
    let site = Site::new();
    let pair = Pair::beside(&site, "one");
    let files = pair.options();
    let Some(server) = Server::unprivileged(&site, &with(&files, &[])) else {
        return;
    };
    assert_eq!(subject(&server), "one");
    pair.renew("two");
    reload(&server, "two");
}

#[test]
fn a_bad_new_pair_leaves_the_old_one_in_force() {
    if !has_openssl() {
        return;
    }
    let site = Site::new();
    let pair = Pair::beside(&site, "one");
    let server = pair.serve(&site, &["-n", "2", "-q"]);
    let (_, other_key) = self::pair("other");
    let key = fs::read_to_string(pair.at("key.pem")).unwrap();
    for (count, bad) in (1..).zip(["", "no PEM\n", &other_key]) {
        replace(Path::new(&pair.at("key.pem")), bad);
        server.signal(Signal::HUP);
        let log = server.log_lines(count);
        let beginning = "httpoll: the TLS files are not reloaded: ";
        assert!(
            log.iter().all(|line| line.starts_with(beginning)),
            "{log:?}"
        );
        assert!(log.iter().all(|line| line.contains("key.pem")), "{log:?}");
        assert_eq!(subject(&server), "one");
    }
    fs::remove_file(pair.at("key.pem")).unwrap();
    server.signal(Signal::HUP);
    server.log_lines(4);
    assert_eq!(subject(&server), "one");
    replace(Path::new(&pair.at("key.pem")), &key);
    pair.renew("two");
    reload(&server, "two");
}

#[test]
fn a_file_system_that_hangs_stops_no_loop() {
    if !has_openssl() {
        return;
    }
    let site = Site::new();
    let source = Pair::beside(&site, "one");
    let mounted = Pair(site.beside("mounted"));
    fs::create_dir(&mounted.0).unwrap();
    let Some(mount) = Mount::bindfs(&source.0, &mounted.0) else {
        return;
    };
    let server = mounted.serve(&site, &["-q"]);
    source.renew("two");
    let stopped = mount.stop_daemon();
    for _ in 0..3 {
        server.signal(Signal::HUP);
        assert_eq!(subject(&server), "one");
    }
    drop(stopped);
    wait_until("the files are read", || subject(&server) == "two");
}

#[test]
fn links_may_lead_to_new_files() {
    if !has_openssl() || !has_landlock() {
        return;
    }
    // As certbot does it: live/site/cert.pem is a link to ../../archive/site/cert1.pem.
    let site = Site::new();
    let (live, archive) = (site.beside("live/site"), site.beside("archive/site"));
    fs::create_dir_all(&live).unwrap();
    fs::create_dir_all(&archive).unwrap();
    let renew = |number: u32, name: &str| {
        let (certificate, key) = pair(name);
        for (file, content) in [("cert", certificate), ("key", key)] {
            fs::write(archive.join(format!("{file}{number}.pem")), content).unwrap();
            let new = live.join("new");
            symlink(format!("../../archive/site/{file}{number}.pem"), &new).unwrap();
            fs::rename(new, live.join(format!("{file}.pem"))).unwrap();
        }
    };
    renew(1, "one");
    let made = Pair(live.clone());
    let server = made.serve(&site, &[]);
    assert_eq!(subject(&server), "one");
    renew(2, "two");
    reload(&server, "two");
}

#[test]
fn a_link_on_the_way_may_lead_to_a_new_directory() {
    if !has_openssl() || !has_landlock() {
        return;
    }
    // As Kubernetes mounts a secret: cert.pem is a link to ..data/cert.pem, and ..data one to a directory that is replaced.
    let site = Site::new();
    let mount = site.beside("mount");
    let renew = |directory: &str, name: &str| {
        let (certificate, key) = pair(name);
        fs::create_dir_all(mount.join(directory)).unwrap();
        fs::write(mount.join(directory).join("cert.pem"), certificate).unwrap();
        fs::write(mount.join(directory).join("key.pem"), key).unwrap();
        symlink(directory, mount.join("..new")).unwrap();
        fs::rename(mount.join("..new"), mount.join("..data")).unwrap();
    };
    renew("..1", "one");
    for file in ["cert.pem", "key.pem"] {
        symlink(format!("..data/{file}"), mount.join(file)).unwrap();
    }
    let made = Pair(mount.clone());
    let server = made.serve(&site, &[]);
    assert_eq!(subject(&server), "one");
    renew("..2", "two");
    fs::remove_dir_all(mount.join("..1")).unwrap();
    reload(&server, "two");
}

/// Makes the directory and the files of a pair readable for root only.
fn only_for_root(pair: &Pair) {
    fs::set_permissions(&pair.0, Permissions::from_mode(0o700)).unwrap();
    for file in ["cert.pem", "key.pem"] {
        fs::set_permissions(pair.at(file), Permissions::from_mode(0o600)).unwrap();
    }
}

#[test]
fn files_of_root_are_read_again_as_another_user() {
    let Some(user) = test_user() else { return };
    if !has_openssl() || !has_landlock() {
        return;
    }
    let site = Site::new();
    site.file("private.txt", "SECRET");
    fs::set_permissions(site.at("private.txt"), Permissions::from_mode(0o600)).unwrap();
    let pair = Pair::beside(&site, "one");
    only_for_root(&pair);
    let server = pair.serve(&site, &["--user", user, "-n", "2"]);
    assert_eq!(subject(&server), "one");
    // Two loops, the thread that reads, and four threads for files.
    wait_until("all threads run", || status(&server, "Name:").len() == 7);
    let names = status(&server, "Name:");
    for set in ["CapInh:", "CapPrm:", "CapEff:", "CapBnd:", "CapAmb:"] {
        for (name, capabilities) in names.iter().zip(status(&server, set)) {
            let is_kept = name == "httpoll-tls" && ["CapPrm:", "CapEff:"].contains(&set);
            let expected = if is_kept {
                "0000000000000004"
            } else {
                "0000000000000000"
            };
            assert_eq!(capabilities, expected, "{name} {set}");
        }
    }
    assert_eq!(status(&server, "Uid:"), ["65534 65534 65534 65534"; 7]);
    assert_eq!(status(&server, "Seccomp:"), ["2"; 7]);
    pair.renew("two");
    only_for_root(&pair);
    reload(&server, "two");
    assert!(s_client(&server, "/private.txt").contains("HTTP/1.1 403 "));
    assert!(!server.log_with_warnings().contains("restart"));
}

#[test]
fn no_capability_is_kept_for_files_that_the_user_can_read() {
    let Some(user) = test_user() else { return };
    if !has_openssl() {
        return;
    }
    let site = Site::new();
    let pair = Pair::beside(&site, "one");
    let server = pair.serve(&site, &["--user", user]);
    assert_eq!(subject(&server), "one");
    for set in ["CapPrm:", "CapEff:"] {
        let sets = status(&server, set);
        assert!(sets.iter().all(|set| set == "0000000000000000"), "{sets:?}");
    }
    pair.renew("two");
    reload(&server, "two");
}

#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
#[test]
fn without_landlock_no_capability_is_kept_and_a_warning_says_so() {
    use crate::confinement::older::{ENOSYS, with_refused_calls};
    let Some(user) = test_user() else { return };
    if !has_openssl() {
        return;
    }
    let site = Site::new();
    let pair = Pair::beside(&site, "one");
    only_for_root(&pair);
    let calls = [linux_raw_sys::general::__NR_landlock_create_ruleset];
    let server = with_refused_calls(&calls, ENOSYS, || pair.serve(&site, &["--user", user]));
    let warning = "httpoll: nobody (--user) cannot read the TLS files: \
        restart to use renewed ones, SIGHUP does not (no Landlock: not offered by this kernel)\n";
    let log = server.log_with_warnings();
    assert_eq!(log.matches(warning).count(), 1, "{log}");
    for set in ["CapPrm:", "CapEff:"] {
        let sets = status(&server, set);
        assert!(sets.iter().all(|set| set == "0000000000000000"), "{sets:?}");
    }
    server.signal(Signal::HUP);
    wait_until("the log says so", || {
        server
            .log()
            .contains("httpoll: the TLS files are not reloaded: ")
    });
    assert_eq!(subject(&server), "one");
}

#[test]
fn the_service_manager_hears_of_https_and_of_the_end_of_a_reload() {
    let site = Site::new();
    let pair = Pair::beside(&site, "one");
    let name = format!("httpoll-tls-notify-{}", std::process::id());
    let manager = Manager::at(&SocketAddr::from_abstract_name(&name).unwrap());
    let root = site.root();
    let place = [
        "0",
        "-b",
        "127.0.0.1",
        "-d",
        root.to_str().unwrap(),
        "-n",
        "2",
    ];
    let files = pair.options();
    let mut command = command(&with(&files, &place));
    command.env("NOTIFY_SOCKET", format!("@{name}"));
    let server = Server::spawn(command);
    let ready = format!("READY=1\nSTATUS=Serving HTTPS on {}\n", server.address());
    assert_eq!(manager.message(), ready);
    for bad in [false, true] {
        if bad {
            fs::write(pair.at("key.pem"), "").unwrap();
        }
        server.signal(Signal::HUP);
        assert!(manager.message().starts_with("RELOADING=1\n"));
        assert_eq!(manager.message(), ready);
    }
    // The failure is known before the server counts as reloaded.
    wait_until("the log says why", || server.log().contains("not reloaded"));
}
