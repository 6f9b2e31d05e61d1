//! LISTEN_FDS: sockets that listen already, passed by the parent. A Python program or systemd-socket-activate is the parent.

use std::net::TcpStream;
use std::process::{Command, Output};

use rustix::process::Signal;

use crate::support::{
    Client, Server, Site, command, get_unix, run_command, skip, wait_until, without_warnings,
};

/// Makes the descriptors 3, 4 and so on of the kinds given before `--`, and executes the rest of its arguments. `PID` stands for the
/// number of the process.
const PARENT: &str = r#"
import os, socket, sys
kinds, program = sys.argv[1:sys.argv.index('--')], sys.argv[sys.argv.index('--') + 1:]
made = []
for kind in kinds:
    if kind == 'file':
        made.append(open('/dev/null')); continue
    family = socket.AF_UNIX if kind.startswith('/') else socket.AF_INET6 if kind == 'tcp6' else socket.AF_INET
    one = socket.socket(family, socket.SOCK_DGRAM if kind == 'udp' else socket.SOCK_STREAM)
    one.bind(kind if family == socket.AF_UNIX else ('::1' if kind == 'tcp6' else '127.0.0.1', 0))
    if kind not in ('udp', 'bound'): one.listen()
    made.append(one)
made = [os.dup2(one.fileno(), 60 + index) for index, one in enumerate(made)]
for index, one in enumerate(made): os.dup2(one, 3 + index, inheritable=True)
for name in ('LISTEN_PID', 'LISTEN_FDS'):
    if name in os.environ: os.environ[name] = os.environ[name].replace('PID', str(os.getpid()))
os.execv(program[0], program)
"#;

/// The program with sockets of these kinds; `None` where there is no Python.
pub(crate) fn with_sockets(site: &Site, kinds: &[&str], options: &[&str]) -> Option<Command> {
    if Command::new("python3").arg("-V").output().is_err() {
        skip("there is no python3");
        return None;
    }
    let root = site.root();
    let program = command(&[&["-d", root.to_str().unwrap()], options].concat());
    let mut parent = Command::new("python3");
    parent.args(["-c", PARENT]).args(kinds).arg("--");
    parent.arg(program.get_program()).args(program.get_args());
    parent
        .env_remove("PORT")
        .env("LISTEN_FDS", kinds.len().to_string());
    parent.env("LISTEN_PID", "PID");
    Some(parent)
}

fn error(output: &Output) -> String {
    without_warnings(&String::from_utf8_lossy(&output.stderr))
}

#[test]
fn tcp_and_unix_sockets_are_served_by_all_loops() {
    for loops in ["1", "3"] {
        let site = Site::new();
        let path = site.beside("socket");
        let path = path.to_str().unwrap();
        let Some(command) = with_sockets(&site, &["tcp", path, "tcp6"], &["-n", loops]) else {
            return;
        };
        let mut server = Server::spawn(command);
        let second = server.line();
        assert!(second.starts_with("Serving HTTP on ::1 port "), "{second}");
        assert!(server.line().contains(path));
        for _ in 0..20 {
            assert_eq!(server.get("/hello.txt").status(), 200);
            assert!(get_unix(path, "/hello.txt").contains(" 200 OK"));
        }
        let port = second.split([' ', ')']).nth(5).unwrap().parse().unwrap();
        let mut client = Client::connect((std::net::Ipv6Addr::LOCALHOST, port).into());
        assert_eq!(client.get("/hello.txt").status(), 200);
        server.signal(Signal::TERM);
        assert_eq!(server.wait().code(), Some(0));
        // The file belongs to the parent.
        assert!(std::fs::exists(path).unwrap());
    }
}

#[test]
fn the_sockets_replace_bind_and_port() {
    let site = Site::new();
    let Some(command) = with_sockets(&site, &["tcp"], &["-b", "127.0.0.1:1", "9"]) else {
        return;
    };
    let server = Server::spawn(command);
    assert_eq!(server.get("/hello.txt").status(), 200);
    assert!(
        server
            .log()
            .starts_with("httpoll: --bind is not used: the sockets are inherited (LISTEN_FDS)\n")
    );
}

#[test]
fn a_socket_that_is_called_admin_answers_health() {
    let site = Site::new();
    let path = site.beside("admin");
    let path = path.to_str().unwrap();
    let Some(mut command) = with_sockets(&site, &["tcp", path], &["--admin", ":0"]) else {
        return;
    };
    command.env("LISTEN_FDNAMES", "httpoll.socket:admin");
    let server = Server::spawn(command);
    assert_eq!(server.line(), format!("Health and metrics on unix:{path}"));
    assert_eq!(server.get("/livez").status(), 404);
    assert!(get_unix(path, "/livez").contains(" 200 OK"));
    let warning = "httpoll: --admin is not used: its socket is inherited (LISTEN_FDS)\n";
    assert!(server.log().starts_with(warning), "{}", server.log());
}

#[test]
fn sockets_of_the_site_and_of_the_administration_are_inherited_apart() {
    let site = Site::new();
    let Some(mut command) = with_sockets(&site, &["tcp"], &["-b", "127.0.0.1", "0"]) else {
        return;
    };
    command.env("LISTEN_FDNAMES", "admin");
    let server = Server::spawn(command);
    assert!(server.line().starts_with("Health and metrics on http://"));
    assert_eq!(server.get("/hello.txt").status(), 200);
}

#[test]
fn a_parent_need_not_know_the_number_of_the_process() {
    let site = Site::new();
    for pid in ["", "PID"] {
        let Some(mut command) = with_sockets(&site, &["tcp"], &[]) else {
            return;
        };
        command.env("LISTEN_PID", pid);
        assert_eq!(Server::spawn(command).get("/hello.txt").status(), 200);
    }
    let Some(mut command) = with_sockets(&site, &["tcp"], &[]) else {
        return;
    };
    command.env_remove("LISTEN_PID");
    assert_eq!(Server::spawn(command).get("/hello.txt").status(), 200);
}

#[test]
fn sockets_of_another_process_are_not_taken() {
    let site = Site::new();
    for (name, value) in [
        ("LISTEN_PID", "1"),
        ("LISTEN_PID", "x"),
        ("LISTEN_FDS", "0"),
    ] {
        let Some(mut command) = with_sockets(&site, &["tcp"], &["0", "-b", "127.0.0.2"]) else {
            return;
        };
        command.env(name, value);
        let server = Server::spawn(command);
        assert!(server.banner().contains(" 127.0.0.2 "), "{name}={value}");
    }
}

#[test]
fn a_descriptor_that_does_not_listen_is_an_error_with_its_number() {
    let site = Site::new();
    let table = [
        ("file", "it is not open, or not a socket"),
        ("udp", "it is not a TCP or UNIX stream socket"),
        ("bound", "it does not listen"),
    ];
    for (kind, reason) in table {
        let Some(command) = with_sockets(&site, &["tcp", kind], &[]) else {
            return;
        };
        let output = run_command(command);
        assert_eq!(output.status.code(), Some(1));
        let expected = format!("httpoll: cannot listen on descriptor 4 (LISTEN_FDS): {reason}\n");
        assert_eq!(error(&output), expected);
    }
    let Some(mut command) = with_sockets(&site, &["tcp"], &[]) else {
        return;
    };
    // Descriptor 4 is not open.
    command.env("LISTEN_FDS", "2");
    assert!(error(&run_command(command)).contains("descriptor 4 (LISTEN_FDS): it is not open"));
    for count in ["x", "-1", "9999999999", ""] {
        let Some(mut command) = with_sockets(&site, &["tcp"], &[]) else {
            return;
        };
        command.env("LISTEN_FDS", count);
        let output = run_command(command);
        assert_eq!(output.status.code(), Some(1));
        let expected =
            format!("httpoll: LISTEN_FDS wants a number from 0 to 1024, not '{count}'\n");
        assert_eq!(error(&output), expected);
    }
}

#[test]
fn systemd_socket_activate_starts_the_server_with_the_first_connection() {
    let activate = "systemd-socket-activate";
    if Command::new(activate).arg("--version").output().is_err() {
        return skip("there is no systemd-socket-activate");
    }
    let port = {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        free.local_addr().unwrap().port()
    };
    let site = Site::new();
    let root = site.root();
    let program = command(&["-d", root.to_str().unwrap(), "-n", "2"]);
    let mut parent = Command::new(activate);
    parent.args(["-l", &format!("127.0.0.1:{port}")]);
    parent.arg(program.get_program()).args(program.get_args());
    let first = std::thread::spawn(move || {
        let address = ([127, 0, 0, 1], port).into();
        wait_until("systemd-socket-activate listens", || {
            TcpStream::connect(address).is_ok()
        });
        Client::connect(address).get("/hello.txt").status()
    });
    let server = Server::spawn(parent);
    assert_eq!(server.port(), port);
    assert_eq!(first.join().unwrap(), 200);
}
