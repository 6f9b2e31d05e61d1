//! What the service manager is told (sd_notify(3)), and the signals that do not end the program.

use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

use rustix::process::Signal;

use crate::support::{Server, Site, TIMEOUT, command};

/// A service manager that receives messages.
pub(crate) struct Manager(UnixDatagram);

impl Manager {
    pub(crate) fn at(address: &SocketAddr) -> Self {
        let socket = UnixDatagram::bind_addr(address).unwrap();
        socket.set_read_timeout(Some(TIMEOUT)).unwrap();
        Self(socket)
    }

    pub(crate) fn message(&self) -> String {
        let mut buffer = [0; 1024];
        let length = self.0.recv(&mut buffer).expect("no message");
        String::from_utf8_lossy(&buffer[..length]).into_owned()
    }

    /// The next message that is no sign of life.
    fn news(&self) -> String {
        loop {
            let message = self.message();
            if message != "WATCHDOG=1\n" {
                return message;
            }
        }
    }
}

fn start(site: &Site, socket: &str, options: &[&str], variables: &[(&str, &str)]) -> Server {
    let root = site.root();
    let place = ["0", "-b", "127.0.0.1", "-d", root.to_str().unwrap()];
    let mut command = command(&[&place, options].concat());
    command.env("NOTIFY_SOCKET", socket);
    command.envs(variables.iter().copied());
    Server::spawn(command)
}

#[test]
fn start_reload_and_end_are_told_by_path_and_abstract_name() {
    let site = Site::new();
    let path = site.beside("notify");
    let name = format!("httpoll-notify-{}", std::process::id());
    let sockets = [
        (
            path.to_str().unwrap().to_owned(),
            SocketAddr::from_pathname(&path).unwrap(),
        ),
        (
            format!("@{name}"),
            SocketAddr::from_abstract_name(&name).unwrap(),
        ),
    ];
    for ((socket, address), loops) in sockets.into_iter().zip(["1", "3"]) {
        let manager = Manager::at(&address);
        let mut server = start(&site, &socket, &["-n", loops], &[]);
        let ready = format!("READY=1\nSTATUS=Serving HTTP on {}\n", server.address());
        assert_eq!(manager.message(), ready);
        server.signal(Signal::HUP);
        let reloading = manager.message();
        let time = reloading
            .strip_prefix("RELOADING=1\nMONOTONIC_USEC=")
            .and_then(|rest| rest.split('\n').next());
        assert!(
            time.is_some_and(|time| time.parse::<u64>().is_ok()),
            "{reloading}"
        );
        assert_eq!(manager.message(), ready);
        server.signal(Signal::TERM);
        assert!(manager.message().starts_with("STOPPING=1\n"));
        assert_eq!(server.wait().code(), Some(0));
    }
}

#[test]
fn signs_of_life_come_while_the_server_is_idle() {
    let site = Site::new();
    let path = site.beside("notify");
    let manager = Manager::at(&SocketAddr::from_pathname(&path).unwrap());
    let socket = path.to_str().unwrap();
    let server = start(&site, socket, &["-n", "3"], &[("WATCHDOG_USEC", "20000")]);
    assert!(manager.message().starts_with("READY=1\n"));
    for _ in 0..5 {
        assert_eq!(manager.message(), "WATCHDOG=1\n");
    }
    assert_eq!(server.get("/hello.txt").status(), 200);
    server.signal(Signal::TERM);
    assert!(manager.news().starts_with("STOPPING=1\n"));
}

#[test]
fn a_watchdog_of_another_process_or_without_a_time_is_none() {
    let site = Site::new();
    let path = site.beside("notify");
    let manager = Manager::at(&SocketAddr::from_pathname(&path).unwrap());
    let socket = path.to_str().unwrap();
    let tables: [&[(&str, &str)]; 3] = [
        &[("WATCHDOG_USEC", "1000"), ("WATCHDOG_PID", "1")],
        &[("WATCHDOG_USEC", "0")],
        &[("WATCHDOG_USEC", "soon")],
    ];
    for variables in tables {
        let mut server = start(&site, socket, &[], variables);
        assert!(manager.message().starts_with("READY=1\n"));
        server.get("/hello.txt");
        server.signal(Signal::TERM);
        assert!(
            manager.message().starts_with("STOPPING=1\n"),
            "{variables:?}"
        );
        server.wait();
    }
}

#[test]
fn a_service_manager_that_is_missing_or_ends_stops_nothing() {
    let site = Site::new();
    let path = site.beside("notify");
    let socket = path.to_str().unwrap();
    let server = start(&site, socket, &[], &[]);
    assert_eq!(server.get("/hello.txt").status(), 200);
    let warning = "httpoll: cannot tell the service manager (NOTIFY_SOCKET): ";
    assert!(server.log().starts_with(warning), "{}", server.log());
    drop(server);
    let manager = Manager::at(&SocketAddr::from_pathname(&path).unwrap());
    let mut server = start(&site, socket, &[], &[("WATCHDOG_USEC", "2000")]);
    manager.message();
    drop(manager);
    server.signal(Signal::HUP);
    assert_eq!(server.get("/hello.txt").status(), 200);
    server.signal(Signal::TERM);
    assert_eq!(server.wait().code(), Some(0));
}

#[test]
fn sighup_and_sigusr2_end_nothing_and_say_nothing() {
    let mut server = Server::with(&Site::new(), &["-n", "2"]);
    let mut client = server.connect();
    client.get("/hello.txt");
    for _ in 0..3 {
        server.signal(Signal::HUP);
        server.signal(Signal::USR2);
        assert_eq!(client.get("/hello.txt").status(), 200);
    }
    assert_eq!(server.log_lines(4).len(), 4);
    server.signal(Signal::TERM);
    assert_eq!(server.wait().code(), Some(0));
}
