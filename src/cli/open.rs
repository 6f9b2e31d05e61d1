//! `--open`: a browser at the address of the server.
//!
//! Invariant: the server waits for no browser, and has none as its child. The browser starts before the process is confined, so the
//! confinement does not hold for it.

use std::env;
use std::ffi::OsString;
use std::net::SocketAddr;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::fs::{Access, access};

use super::{banner, privileges};

/// Has the shell start a program and end at once, so that the program belongs to the init process.
const IN_BACKGROUND: &str = "\"$@\" &";

/// Opens a browser at the first of `addresses`. The socket listens already, so the connection waits until the server accepts it.
///
/// What cannot be opened is a warning. The address is in the banner, too.
pub(crate) fn open(scheme: &str, addresses: &[SocketAddr], hosts: &[String]) {
    let Some(url) = url(scheme, addresses, hosts) else {
        return privileges::warn("no browser is opened: a UNIX socket has no URL (--open)");
    };
    let browsers = env::var_os("BROWSER").unwrap_or_default();
    let found = commands(&browsers.to_string_lossy(), &url)
        .into_iter()
        .find_map(|words| Some((find(&words[0])?, words)));
    let Some((program, words)) = found else {
        return privileges::warn(format_args!(
            "no browser is opened: neither $BROWSER nor xdg-open is there; the address is {url} (--open)"
        ));
    };
    let mut command = Command::new("sh");
    command
        .args(["-c", IN_BACKGROUND, "sh"])
        .arg(program)
        .args(&words[1..])
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        // Ctrl-C in the terminal is for the server alone.
        .process_group(0);
    if let Err(error) = command.status() {
        privileges::warn(format_args!("no browser is opened: {error} (--open)"));
    }
}

/// Returns a URL that the server answers; `None` without a TCP socket.
fn url(scheme: &str, addresses: &[SocketAddr], hosts: &[String]) -> Option<String> {
    let address = *addresses.first()?;
    if let [host, ..] = hosts
        && !banner::answers_localhost(address, addresses, hosts)
    {
        let has_port = host.rsplit(']').next().is_some_and(|end| end.contains(':'));
        return Some(match has_port {
            true => format!("{scheme}://{host}/"),
            false => format!("{scheme}://{host}:{}/", address.port()),
        });
    }
    Some(banner::url(scheme, address, addresses, hosts))
}

/// Returns the commands that open `url`, best first: those in `browsers`, the value of BROWSER, which are separated by colons as for
/// Python's module webbrowser, then xdg-open. `%s` in a command stands for the URL; without it, the URL is the last word.
fn commands(browsers: &str, url: &str) -> Vec<Vec<String>> {
    let mut commands = Vec::new();
    for browser in browsers.split(':').chain(["xdg-open"]) {
        let mut words: Vec<_> = browser
            .split_whitespace()
            .map(|word| word.replace("%s", url))
            .collect();
        // A command line for the background ends with this word.
        words.pop_if(|word| word == "&");
        if !browser.contains("%s") {
            words.push(url.to_owned());
        }
        if words.len() > 1 || browser.contains("%s") {
            commands.push(words);
        }
    }
    commands
}

/// Returns the path of the program that `name` means, as a shell finds it.
fn find(name: &str) -> Option<PathBuf> {
    let is_program = |path: &Path| path.is_file() && access(path, Access::EXEC_OK).is_ok();
    if name.contains('/') {
        let path = std::path::absolute(name).ok()?;
        return is_program(&path).then_some(path);
    }
    let path: OsString = env::var_os("PATH")?;
    let directories = path.as_bytes().split(|byte| *byte == b':');
    let mut programs = directories.map(|directory| {
        let directory = Path::new(std::ffi::OsStr::from_bytes(directory));
        directory.join(name)
    });
    programs.find(|path| path.is_absolute() && is_program(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn browser_names_commands() {
        let table: [(&str, &[&str]); 6] = [
            ("", &["xdg-open U"]),
            ("firefox", &["firefox U", "xdg-open U"]),
            ("a -n %s:b", &["a -n U", "b U", "xdg-open U"]),
            ("a --app=%s &", &["a --app=U", "xdg-open U"]),
            (":a:", &["a U", "xdg-open U"]),
            ("&: :", &["xdg-open U"]),
        ];
        for (browsers, expected) in table {
            let commands = commands(browsers, "U");
            let found: Vec<_> = commands.iter().map(|words| words.join(" ")).collect();
            assert_eq!(found, expected, "{browsers}");
        }
    }

    #[test]
    fn the_url_is_one_that_answers() {
        let table: [(&str, &[&str], &str); 9] = [
            ("[::]:80", &[], "http://localhost:80/"),
            ("0.0.0.0:8000", &[], "http://localhost:8000/"),
            ("127.0.0.1:8000", &[], "http://localhost:8000/"),
            ("10.0.0.1:8000", &[], "http://10.0.0.1:8000/"),
            ("[::1]:8000", &[], "http://[::1]:8000/"),
            ("[::]:8000", &["a.example"], "http://a.example:8000/"),
            ("[::]:8000", &["a.example:80"], "http://a.example:80/"),
            ("[::]:8000", &["[::1]"], "http://[::1]:8000/"),
            ("10.0.0.1:80", &["10.0.0.1:80"], "http://10.0.0.1:80/"),
        ];
        for (address, hosts, expected) in table {
            let hosts: Vec<_> = hosts.iter().map(ToString::to_string).collect();
            assert_eq!(
                url("http", &[address.parse().unwrap()], &hosts).unwrap(),
                expected
            );
        }
    }
}
