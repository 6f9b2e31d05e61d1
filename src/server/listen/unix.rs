//! UNIX sockets: how one is bound to a path or an abstract name, and how its file is replaced and removed.
//!
//! Invariants: nothing can connect before the file has its mode, because the socket listens only then. A file is removed only if
//! it is the socket that was bound here, or a socket that refuses connections.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::Path;

use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, Stat, Uid};
use socket2::{Domain, SockAddr, Socket, Type};

/// What the owner and the group of a socket file may do: connect.
const MODE: Mode = Mode::RUSR
    .union(Mode::WUSR)
    .union(Mode::RGRP)
    .union(Mode::WGRP);
/// Connections that wait to be accepted; the kernel lowers it to its own limit.
const BACKLOG: i32 = 4096;

/// The file of a UNIX socket that was bound here. It is removed when this is dropped, which must be before the socket is closed: the
/// kernel holds the inode as long as the socket, so no other file can have its number.
#[derive(Debug)]
pub(super) struct SocketFile {
    /// The process may change its directory, and the path may be relative.
    directory: OwnedFd,
    name: OsString,
    identity: Identity,
}

/// The device and the inode of a file.
type Identity = (u64, u64);

/// Listens on `address`: a path, or `@` and an abstract name, which has no file.
pub(super) fn listen(address: &OsStr) -> io::Result<(OwnedFd, Option<SocketFile>)> {
    let bound = match address.as_bytes() {
        [b'@', name @ ..] => listen_abstract(name).map(|socket| (socket, None)),
        _ => listen_at(Path::new(address)).map(|(socket, file)| (socket, Some(file))),
    };
    bound.map_err(|error| describe(address, error))
}

fn listen_abstract(name: &[u8]) -> io::Result<OwnedFd> {
    let name = [b"\0", name].concat();
    let socket = new_socket()?;
    socket.bind(&SockAddr::unix(OsString::from_vec(name))?)?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

fn listen_at(path: &Path) -> io::Result<(OwnedFd, SocketFile)> {
    let address = SockAddr::unix(path)?;
    let name = path.file_name().ok_or(io::ErrorKind::IsADirectory)?;
    let parent = path.parent().filter(|parent| *parent != "");
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let directory = rustix::fs::open(parent.unwrap_or(".".as_ref()), flags, Mode::empty())?;
    let socket = new_socket()?;
    match socket.bind(&address) {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
            remove_stale(&directory, name, &address)?;
            socket.bind(&address)?;
        }
        bound => bound?,
    }
    let file = SocketFile {
        identity: identity(&look_up(&directory, name)?),
        directory,
        name: name.to_owned(),
    };
    rustix::fs::chmodat(&file.directory, name, MODE, AtFlags::empty())?;
    socket.listen(BACKLOG)?;
    Ok((socket.into(), file))
}

fn new_socket() -> io::Result<Socket> {
    Socket::new(Domain::UNIX, Type::STREAM, None)
}

/// Removes a socket file on which no server listens.
fn remove_stale(directory: &OwnedFd, name: &OsStr, address: &SockAddr) -> io::Result<()> {
    let found = look_up(directory, name)?;
    if FileType::from_raw_mode(found.st_mode) != FileType::Socket {
        return Err(io::Error::new(
            io::ErrorKind::AlreadyExists,
            "the file exists and is not a socket",
        ));
    }
    // A server with a full queue must not make this one wait.
    let trial = new_socket()?;
    trial.set_nonblocking(true)?;
    match trial.connect(address) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) if error.kind() != io::ErrorKind::WouldBlock => return Err(error),
        _ => return Err(io::ErrorKind::AddrInUse.into()),
    }
    remove(directory, name, identity(&found))
}

/// Removes the file `name`, unless it is another one by now.
fn remove(directory: &OwnedFd, name: &OsStr, expected: Identity) -> io::Result<()> {
    if identity(&look_up(directory, name)?) == expected {
        rustix::fs::unlinkat(directory, name, AtFlags::empty())?;
    }
    Ok(())
}

fn look_up(directory: &OwnedFd, name: &OsStr) -> io::Result<Stat> {
    let found = rustix::fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW);
    Ok(found?)
}

fn identity(file: &Stat) -> Identity {
    (file.st_dev, file.st_ino)
}

/// Says in plain words why the server cannot listen.
fn describe(address: &OsStr, error: io::Error) -> io::Error {
    let reason = match error.kind() {
        io::ErrorKind::AddrInUse => "another server listens on it".to_owned(),
        io::ErrorKind::NotFound => "no such directory".to_owned(),
        io::ErrorKind::PermissionDenied => "no permission".to_owned(),
        _ => error.to_string(),
    };
    let address = address.to_string_lossy();
    let address = address.escape_debug();
    io::Error::new(
        error.kind(),
        format!("cannot listen on unix:{address}: {reason}"),
    )
}

impl SocketFile {
    pub(super) fn directory(&self) -> io::Result<OwnedFd> {
        self.directory.try_clone()
    }

    pub(super) fn set_owner(&self, user: u32, group: u32) -> io::Result<()> {
        // Only the socket itself is given away, and not what may stand in its place by now.
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = rustix::fs::openat(&self.directory, &self.name, flags, Mode::empty())?;
        if identity(&rustix::fs::fstat(&file)?) != self.identity {
            return Err(io::ErrorKind::NotFound.into());
        }
        let (user, group) = (Uid::from_raw(user), Gid::from_raw(group));
        rustix::fs::chownat(&file, "", Some(user), Some(group), AtFlags::EMPTY_PATH)?;
        Ok(())
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        // A file that may not be removed is replaced by the next server.
        let _ = remove(&self.directory, &self.name, self.identity);
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::mem;
    use std::os::unix::fs::{PermissionsExt as _, symlink};
    use std::os::unix::net::{UnixListener, UnixStream};

    use super::*;

    fn listen_in(directory: &Path, name: &str) -> io::Result<(OwnedFd, SocketFile)> {
        let listening = listen(directory.join(name).as_os_str());
        listening.map(|(socket, file)| (socket, file.unwrap()))
    }

    #[test]
    fn the_file_has_its_mode_and_is_removed_with_its_server() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("socket");
        let (_socket, file) = listen_in(directory.path(), "socket").unwrap();
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o660);
        UnixStream::connect(&path).unwrap();
        drop(file);
        assert!(!path.exists());
    }

    #[test]
    fn a_stale_file_is_replaced_and_a_live_one_is_an_error() {
        let directory = tempfile::tempdir().unwrap();
        let (socket, file) = listen_in(directory.path(), "socket").unwrap();
        let error = listen_in(directory.path(), "socket").unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
        // The first server is killed.
        mem::forget(file);
        drop(socket);
        let (_successor, _file) = listen_in(directory.path(), "socket").unwrap();
        UnixStream::connect(directory.path().join("socket")).unwrap();
    }

    #[test]
    fn the_file_of_another_server_stays() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("socket");
        let (_socket, file) = listen_in(directory.path(), "socket").unwrap();
        fs::remove_file(&path).unwrap();
        let _other = UnixListener::bind(&path).unwrap();
        drop(file);
        assert!(path.exists());
    }

    #[test]
    fn a_file_that_is_not_a_socket_stays() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("file"), "content").unwrap();
        symlink("file", directory.path().join("link")).unwrap();
        fs::create_dir(directory.path().join("folder")).unwrap();
        for name in ["file", "link", "folder"] {
            let error = listen_in(directory.path(), name).unwrap_err();
            assert!(error.to_string().contains("not a socket"), "{error}");
            assert!(directory.path().join(name).exists());
        }
        let error = listen_in(directory.path(), "none/socket").unwrap_err();
        assert!(error.to_string().contains("no such directory"), "{error}");
    }

    #[test]
    fn an_abstract_name_has_no_file_and_one_owner() {
        let name = OsString::from(format!("@httpoll-test-{}", std::process::id()));
        let (socket, file) = listen(&name).unwrap();
        assert!(file.is_none());
        let error = listen(&name).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
        drop(socket);
        listen(&name).unwrap();
    }
}
