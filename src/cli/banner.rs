//! What the command prints on standard output: where it serves, and that Ctrl-C ends it.

use std::fmt::Display;
use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::AsFd;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use signal_hook::consts::SIGINT;

use super::CommandError;

/// Returns http.server's line for every address and every UNIX socket, then the addresses at which another device reaches the server.
/// `hosts` are the only ones that are answered, if there are any. The addresses answer URLs of `scheme`, and UNIX sockets those of
/// `http`.
pub(crate) fn greeting(
    addresses: &[SocketAddr],
    unix: &[String],
    hosts: &[String],
    scheme: &str,
) -> String {
    let protocol = scheme.to_uppercase();
    let mut text = String::new();
    for address in addresses {
        let (host, port) = (address.ip(), address.port());
        let url = url(scheme, *address, addresses, hosts);
        // Writing to memory cannot fail.
        let _ = writeln!(text, "Serving {protocol} on {host} port {port} ({url}) ...");
    }
    for name in unix {
        let name = name.escape_debug().to_string();
        let _ = writeln!(text, "Serving HTTP on {name} ({}) ...", curl_command(&name));
    }
    for address in reachable(addresses) {
        let _ = writeln!(text, "  {scheme}://{address}/");
    }
    text
}

/// Returns a line for each of `addresses`, which redirect to HTTPS.
pub(crate) fn redirect_greeting(addresses: &[SocketAddr], hosts: &[String]) -> String {
    let lines = addresses.iter().map(|address| {
        let url = url("http", *address, addresses, hosts);
        format!("Redirecting {url} to HTTPS\n")
    });
    lines.collect()
}

/// Returns the URL of `address`, one of the `addresses`. It has the name localhost if that leads to the address, because browsers
/// trust this name, and people know it.
pub(super) fn url(
    scheme: &str,
    address: SocketAddr,
    addresses: &[SocketAddr],
    hosts: &[String],
) -> String {
    if answers_localhost(address, addresses, hosts) {
        format!("{scheme}://localhost:{}/", address.port())
    } else {
        format!("{scheme}://{address}/")
    }
}

/// Returns whether a request to localhost is answered. Some programs look up only its IPv4 address, so a socket of `::1` needs
/// another one beside it.
pub(super) fn answers_localhost(
    address: SocketAddr,
    addresses: &[SocketAddr],
    hosts: &[String],
) -> bool {
    let port = address.port();
    let is_local = |ip: IpAddr| ip.is_unspecified() || ip == Ipv4Addr::LOCALHOST;
    let is_beside = |other: &SocketAddr| other.port() == port && is_local(other.ip());
    let is_reached = match address.ip() {
        IpAddr::V6(Ipv6Addr::LOCALHOST) => addresses.iter().any(is_beside),
        ip => is_local(ip),
    };
    let with_port = format!("localhost:{port}");
    let is_localhost = |host: &String| {
        host.eq_ignore_ascii_case("localhost") || host.eq_ignore_ascii_case(&with_port)
    };
    is_reached && (hosts.is_empty() || hosts.iter().any(is_localhost))
}

/// Returns the command by which curl reaches a UNIX socket, which has no URL.
fn curl_command(name: &str) -> String {
    let address = name.strip_prefix("unix:").unwrap_or(name);
    let (option, address) = match address.strip_prefix('@') {
        Some(name) => ("--abstract-unix-socket", name),
        None => ("--unix-socket", address),
    };
    format!("curl {option} {address} http://localhost/")
}

/// Returns a line for every place where the administration answers: its addresses, or its UNIX sockets.
pub(crate) fn admin_greeting(places: &[impl Display]) -> String {
    let lines = places.iter().map(|place| {
        let place = place.to_string();
        let shown = match place.strip_prefix("unix:") {
            Some(_) => place,
            None => format!("http://{place}/"),
        };
        format!("Health and metrics on {shown}\n")
    });
    lines.collect()
}

/// Returns the addresses of this machine at which sockets for all interfaces answer. Link-local IPv6 is left out, because
/// browsers do not accept its zone.
fn reachable(addresses: &[SocketAddr]) -> Vec<SocketAddr> {
    // Without this list the banner is shorter, and the server serves.
    let interfaces = if_addrs::get_if_addrs().unwrap_or_default();
    let answers = |listening: &SocketAddr, ip: &IpAddr| match listening.ip() {
        IpAddr::V6(any) => any.is_unspecified(),
        IpAddr::V4(any) => any.is_unspecified() && ip.is_ipv4(),
    };
    let mut reachable = Vec::new();
    for listening in addresses {
        for ip in interfaces.iter().map(if_addrs::Interface::ip) {
            let local = match ip {
                IpAddr::V4(ip) => ip.is_loopback() || ip.is_link_local(),
                IpAddr::V6(ip) => ip.is_loopback() || ip.is_unicast_link_local(),
            };
            let address = SocketAddr::new(ip, listening.port());
            if !local && answers(listening, &ip) && !reachable.contains(&address) {
                reachable.push(address);
            }
        }
    }
    reachable
}

/// Prints http.server's last line after Ctrl-C.
pub(crate) fn farewell(signal: i32) {
    if signal == SIGINT {
        // Standard output may be closed by now.
        let _ = print("\nKeyboard interrupt received, exiting.\n");
    }
}

/// Prints `text` at once, also into a pipe. If standard output has no room, the text is dropped: the server must not wait for a
/// reader that has stopped.
pub(crate) fn print(text: &str) -> Result<(), CommandError> {
    let mut stdout = io::stdout();
    if !has_room(&stdout) {
        return Ok(());
    }
    let written = stdout.write_all(text.as_bytes());
    match written.and_then(|()| stdout.flush()) {
        // The server serves even if the reader of its output has gone.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(CommandError::Run(format!(
            "cannot write to standard output: {error}"
        ))),
        _ => Ok(()),
    }
}

/// Returns whether a write to `output` need not wait for a reader.
pub(crate) fn has_room(output: &impl AsFd) -> bool {
    let mut fds = [PollFd::new(output, PollFlags::OUT)];
    poll(&mut fds, Some(&Timespec::default())) != Ok(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn localhost_is_named_where_it_answers() {
        let table: [(&str, &[&str], &str); 11] = [
            (
                "127.0.0.1:80",
                &[],
                "127.0.0.1 port 80 (http://localhost:80/)",
            ),
            ("[::]:80", &[], ":: port 80 (http://localhost:80/)"),
            ("0.0.0.0:80", &[], "0.0.0.0 port 80 (http://localhost:80/)"),
            ("[::1]:80", &[], "::1 port 80 (http://[::1]:80/)"),
            ("[::1]:8000", &[], "::1 port 8000 (http://localhost:8000/)"),
            (
                "127.0.0.2:80",
                &[],
                "127.0.0.2 port 80 (http://127.0.0.2:80/)",
            ),
            (
                "192.0.2.1:80",
                &[],
                "192.0.2.1 port 80 (http://192.0.2.1:80/)",
            ),
            ("[::]:80", &["a"], ":: port 80 (http://[::]:80/)"),
            (
                "[::]:80",
                &["a", "LocalHost"],
                ":: port 80 (http://localhost:80/)",
            ),
            (
                "[::]:80",
                &["localhost:80"],
                ":: port 80 (http://localhost:80/)",
            ),
            ("[::]:80", &["localhost:81"], ":: port 80 (http://[::]:80/)"),
        ];
        for (address, hosts, expected) in table {
            let hosts: Vec<_> = hosts.iter().map(ToString::to_string).collect();
            let greeting = greeting(
                &[address.parse().unwrap(), "127.0.0.1:8000".parse().unwrap()],
                &[],
                &hosts,
                "http",
            );
            let line = greeting.lines().next().unwrap();
            assert_eq!(line, format!("Serving HTTP on {expected} ..."));
        }
    }

    #[test]
    fn https_is_named_where_it_is_spoken() {
        let address = "127.0.0.1:443".parse().unwrap();
        let lines = greeting(&[address], &["unix:a".to_owned()], &[], "https");
        let expected = "Serving HTTPS on 127.0.0.1 port 443 (https://localhost:443/) ...\n\
            Serving HTTP on unix:a (curl --unix-socket a http://localhost/) ...\n";
        assert_eq!(lines, expected);
        let lines = redirect_greeting(&["192.0.2.1:80".parse().unwrap()], &[]);
        assert_eq!(lines, "Redirecting http://192.0.2.1:80/ to HTTPS\n");
    }
}
