//! Sockets that listen already, given by the parent of this process: sd_listen_fds(3), as systemd and others do it.

use std::env;
use std::io;
use std::os::fd::OwnedFd;
use std::process;

use httpoll::ListeningSocket;
use listenfd::ListenFd;

use super::CommandError;

/// More descriptors than any parent passes.
const MAX_SOCKETS: u16 = 1024;

/// The name in LISTEN_FDNAMES of a socket for `--admin` (`FileDescriptorName=` of systemd); others are for the site.
const ADMIN: &str = "admin";

/// The sockets of the parent.
#[derive(Debug, Default)]
pub(crate) struct Inherited {
    pub(crate) site: Vec<ListeningSocket>,
    pub(crate) admin: Vec<ListeningSocket>,
}

/// Takes the sockets that LISTEN_FDS counts; none if LISTEN_PID names another process. Without LISTEN_PID they are taken, too: a
/// parent that is not a service manager does not know the number of its child before it executes the program.
///
/// Call it before anything opens a descriptor or starts a thread: a number that the parent counted and did not open must not mean
/// a descriptor of this process, and the variables are removed.
pub(crate) fn take() -> Result<Inherited, CommandError> {
    let Ok(count) = env::var("LISTEN_FDS") else {
        return Ok(Inherited::default());
    };
    let pid = env::var("LISTEN_PID").unwrap_or_default();
    if !pid.is_empty() && pid.parse() != Ok(process::id()) {
        return Ok(Inherited::default());
    }
    if !count.parse().is_ok_and(|count: u16| count <= MAX_SOCKETS) {
        let count = count.escape_debug();
        return Err(CommandError::Run(format!(
            "LISTEN_FDS wants a number from 0 to {MAX_SOCKETS}, not '{count}'"
        )));
    }
    let names = env::var("LISTEN_FDNAMES").unwrap_or_default();
    let mut names = names.split(':');
    let mut descriptors = ListenFd::from_env();
    let mut inherited = Inherited::default();
    for index in 0..descriptors.len() {
        let socket = take_one(&mut descriptors, index)?;
        match names.next() {
            Some(ADMIN) => inherited.admin.push(socket),
            _ => inherited.site.push(socket),
        }
    }
    Ok(inherited)
}

fn take_one(descriptors: &mut ListenFd, index: usize) -> Result<ListeningSocket, CommandError> {
    let listening = take_stream(descriptors, index).and_then(ListeningSocket::try_from);
    let number = index + 3;
    listening.map(ListeningSocket::inherited).map_err(|reason| {
        CommandError::Run(format!(
            "cannot listen on descriptor {number} (LISTEN_FDS): {reason}"
        ))
    })
}

/// Takes a descriptor if it is a stream socket.
fn take_stream(descriptors: &mut ListenFd, index: usize) -> io::Result<OwnedFd> {
    let wrong = |reason| io::Error::new(io::ErrorKind::InvalidInput, reason);
    if let Ok(Some(listener)) = descriptors.take_tcp_listener(index) {
        return Ok(listener.into());
    }
    match descriptors.take_unix_listener(index) {
        Ok(Some(listener)) => Ok(listener.into()),
        Err(error) if error.to_string().ends_with("is not a socket") => {
            Err(wrong("it is not open, or not a socket"))
        }
        _ => Err(wrong("it is not a TCP or UNIX stream socket")),
    }
}
