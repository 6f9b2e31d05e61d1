//! The sockets of the command: inherited ones, or those of `--bind`.

use std::io;
use std::net::{SocketAddr, ToSocketAddrs as _};

use httpoll::{Confinement, ListeningSocket, ThreadingHttpServer};
use nix::unistd::User;

use super::handler::Handler;
use super::inherited::Inherited;
use super::tls::Tls;
use super::values::{self, Bind};
use super::{CommandError, Options, banner, privileges};

/// A server that listens, and what follows from its sockets.
#[derive(Debug)]
pub(crate) struct Listening {
    pub(crate) server: ThreadingHttpServer<Handler>,
    pub(crate) greeting: String,
    /// The rights that the process keeps, with that to remove the files of its UNIX sockets.
    pub(crate) confinement: Confinement,
}

impl Options {
    /// Listens on `inherited` sockets if there are any; `--bind` and PORT, or `--admin`, are then not used. The files of UNIX sockets
    /// are given to `user`. With `tls` the TCP sockets speak HTTPS.
    pub(crate) fn listen(
        &self,
        inherited: Inherited,
        handler: Handler,
        confinement: Confinement,
        user: Option<&User>,
        tls: Option<&Tls>,
    ) -> Result<Listening, CommandError> {
        let (config, loops) = (self.config.clone(), self.loops);
        let (addresses, sockets) = self.sockets(inherited.site, user, tls)?;
        let names = names_of_unix(&sockets);
        let confinement = allow_removal(confinement, &sockets)?;
        let server = if addresses.is_empty() {
            ThreadingHttpServer::from_listeners(sockets, handler, config, loops)?
        } else {
            let addresses = addresses.as_slice();
            let mut server = match tls {
                Some(tls) => tls.bind(addresses, handler, config, loops)?,
                None => ThreadingHttpServer::bind_with(addresses, handler, config, loops)?,
            };
            server.add_listeners(sockets)?;
            server
        };
        let (addresses, hosts) = (server.server_addresses(), &self.config.hosts);
        let greeting = banner::greeting(addresses, &names, hosts, self.scheme());
        let mut listening = Listening {
            server,
            greeting,
            confinement,
        };
        if let Some(tls) = tls {
            listening.redirect(self.redirecting()?, hosts, tls)?;
        }
        match &self.admin {
            admin if !inherited.admin.is_empty() => {
                if admin.is_some() {
                    privileges::warn("--admin is not used: its socket is inherited (LISTEN_FDS)");
                }
                listening.serve_administration(inherited.admin)
            }
            Some(admin) => listening.open_administration(admin, user),
            None => Ok(listening),
        }
    }

    /// Returns the addresses to bind, and the other sockets: those of `--bind unix:PATH`, or `inherited` ones alone.
    fn sockets(
        &self,
        inherited: Vec<ListeningSocket>,
        user: Option<&User>,
        tls: Option<&Tls>,
    ) -> Result<(Vec<SocketAddr>, Vec<ListeningSocket>), CommandError> {
        if inherited.is_empty() {
            return Ok((self.addresses()?, self.bind_unix(user)?));
        }
        if !self.bind.is_empty() {
            privileges::warn("--bind is not used: the sockets are inherited (LISTEN_FDS)");
        }
        let speak = |socket| match tls {
            Some(tls) => tls.speak(socket),
            None => socket,
        };
        Ok((Vec::new(), inherited.into_iter().map(speak).collect()))
    }

    /// Resolves the TCP addresses to listen on. A name stands for all its addresses.
    pub(super) fn addresses(&self) -> Result<Vec<SocketAddr>, CommandError> {
        if self.bind.is_empty() {
            let host = if self.live { "127.0.0.1" } else { "" };
            return resolve(host, self.port, "--bind");
        }
        let resolve = |text: &str| match values::bind(text)? {
            Bind::Tcp { host, port } => resolve(&host, port.unwrap_or(self.port), "--bind"),
            Bind::Unix(_) => Ok(Vec::new()),
        };
        Ok(without_repeats(self.typed.all("--bind", resolve)?.concat()))
    }

    /// Opens the sockets of `--redirect-http`.
    fn redirecting(&self) -> Result<Vec<ListeningSocket>, CommandError> {
        let option = "--redirect-http";
        let resolve = |text: &str| match values::redirect_http(text)? {
            Bind::Tcp { host, port } => resolve(&host, port.unwrap_or_default(), option),
            Bind::Unix(_) => Ok(Vec::new()),
        };
        let addresses = without_repeats(self.typed.all(option, resolve)?.concat());
        if addresses.is_empty() {
            return Ok(Vec::new());
        }
        let bound = ListeningSocket::bind(addresses.as_slice());
        bound.map_err(|error| CommandError::Run(format!("{error} ({option})")))
    }

    /// Binds the UNIX sockets of `--bind`.
    fn bind_unix(&self, user: Option<&User>) -> io::Result<Vec<ListeningSocket>> {
        let mut sockets = Vec::new();
        for bind in &self.bind {
            let Bind::Unix(address) = bind else {
                continue;
            };
            sockets.push(bind_unix(address, user)?);
        }
        Ok(sockets)
    }
}

impl Listening {
    /// Redirects what comes to `sockets` to the first socket that speaks HTTPS.
    fn redirect(
        &mut self,
        sockets: Vec<ListeningSocket>,
        hosts: &[String],
        tls: &Tls,
    ) -> Result<(), CommandError> {
        let Some(https) = self.server.server_addresses().first() else {
            let message = "--tls-cert needs a TCP socket: UNIX sockets speak plain HTTP";
            return Err(CommandError::Run(message.to_owned()));
        };
        let port = https.port();
        let addresses: Vec<_> = sockets
            .iter()
            .filter_map(ListeningSocket::local_addr)
            .collect();
        self.greeting += &banner::redirect_greeting(&addresses, hosts);
        let redirecting = sockets.into_iter().map(|socket| tls.redirect(socket, port));
        self.server.add_listeners(redirecting)?;
        Ok(())
    }

    /// Listens for `--admin`, too.
    fn open_administration(
        mut self,
        admin: &Bind,
        user: Option<&User>,
    ) -> Result<Self, CommandError> {
        let named = |error| CommandError::Run(format!("{error} (--admin)"));
        match admin {
            Bind::Tcp { host, port } => {
                let addresses = resolve(host, port.unwrap_or_default(), "--admin")?;
                let bound = self.server.bind_admin(addresses.as_slice());
                self.greeting += &banner::admin_greeting(&bound.map_err(named)?);
            }
            Bind::Unix(address) => {
                let socket = bind_unix(address, user).map_err(named)?;
                return self.serve_administration(vec![socket]);
            }
        }
        Ok(self)
    }

    /// Answers on `sockets` what `--admin` answers.
    fn serve_administration(mut self, sockets: Vec<ListeningSocket>) -> Result<Self, CommandError> {
        self.greeting += &banner::admin_greeting(&sockets);
        self.confinement = allow_removal(self.confinement, &sockets)?;
        self.server.serve_admin(sockets)?;
        Ok(self)
    }
}

/// Binds a UNIX socket whose file belongs to `user`.
fn bind_unix(address: &str, user: Option<&User>) -> io::Result<ListeningSocket> {
    let socket = ListeningSocket::bind_unix(address)?;
    if let Some(user) = user {
        socket.set_owner(user.uid.as_raw(), user.gid.as_raw())?;
    }
    Ok(socket)
}

/// Adds the right to remove the files of `sockets`.
fn allow_removal(
    mut confinement: Confinement,
    sockets: &[ListeningSocket],
) -> io::Result<Confinement> {
    for socket in sockets {
        if let Some(directory) = socket.directory()? {
            confinement = confinement.remove_files_below(directory);
        }
    }
    Ok(confinement)
}

fn without_repeats(addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let mut once = Vec::new();
    for address in addresses {
        if !once.contains(&address) {
            once.push(address);
        }
    }
    once
}

/// Returns all addresses of a name; without a name, the one for all interfaces.
fn resolve(host: &str, port: u16, option: &str) -> Result<Vec<SocketAddr>, CommandError> {
    if host.is_empty() {
        // `[::]` is one socket for both families; without IPv6 the server binds 0.0.0.0 in its place.
        return Ok(vec![SocketAddr::from(([0_u16; 8], port))]);
    }
    let found = (host, port).to_socket_addrs().map_err(|_| {
        let host = host.escape_debug();
        CommandError::Run(format!("cannot find the address of '{host}' ({option})"))
    })?;
    Ok(found.collect())
}

fn names_of_unix(sockets: &[ListeningSocket]) -> Vec<String> {
    let unix = sockets
        .iter()
        .filter(|socket| socket.local_addr().is_none());
    unix.map(ToString::to_string).collect()
}
