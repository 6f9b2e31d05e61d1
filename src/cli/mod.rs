//! The command line: what can be typed, and what it means for the server.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Write as _};
use std::net::{SocketAddr, ToSocketAddrs as _};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::process::ExitCode;

use httpoll::{Confinement, LogFormat, ServerConfig, SimpleHttpRequestHandler};
use nix::unistd::User;
use rustix::fs::{Mode, OFlags};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

pub(crate) mod banner;
pub(crate) mod calibrate;
pub(crate) mod privileges;
mod typed;
mod values;

use typed::Typed;
use values::{header, host, host_and_port, log_format, loops, max_per_ip, port, protocol, wanted};

const DEFAULT_PORT: u16 = 8000;
const VERSION: &str = concat!("httpoll ", env!("CARGO_PKG_VERSION"), "\n");
const USAGE: &str = "\
Serve a directory over HTTP.

Usage: httpoll [OPTIONS] [PORT]

  PORT                        8000; 0 takes a free one
  -b, --bind ADDRESS          where to listen: a name, IPv4, IPv6 or host:port;
                              all interfaces unless given; may be repeated
      --host NAME             answer requests for this host alone, and others with 421;
                              with a port for that port alone; may be repeated
  -d, --directory DIR         what to serve, a directory or one file (.)
  -p, --protocol VERSION      HTTP/1.1 or HTTP/1.0 (HTTP/1.1)
  -n, --loops N               loops to spread the load on; 0: one per processor (1)
  -H, --header 'NAME: VALUE'  add a field to every reply; may be repeated
      --max-per-ip N          connections of one client at a time (any number)
      --content-type TYPE     for suffixes nobody knows (application/octet-stream)
      --no-listing            answer 403 instead of listing a directory
      --follow-symlinks       also those that lead out of the directory
      --dotfiles              serve and list names that begin with a dot
      --log-format FORMAT     common, combined or json (common)
  -q, --quiet                 no access log
      --report                say at the end what was served, and what the limit was;
                              SIGUSR1 asks for it at any time
      --calibrate             measure for 3 seconds what this kernel gives any server,
                              say how to compare, and end
      --user NAME             become this user once the port is open; for root alone
  -c, --config FILE           options, one per line, # comments; the command line wins
  -h, --help                  show this
  -V, --version               show the version
";

/// What is to be done.
#[derive(Debug)]
pub(crate) enum Command {
    /// Print a text and end.
    Show(String),
    Serve(Box<Options>),
    /// Measure the machine instead.
    Calibrate(Box<Options>),
}

/// Why the program ends before its time.
#[derive(Debug)]
pub(crate) enum CommandError {
    /// The command line is wrong: exit 2.
    Usage(String),
    /// What it asks for cannot be done: exit 1.
    Run(String),
}

impl CommandError {
    /// Says it in one line on standard error.
    pub(crate) fn report(&self) -> ExitCode {
        let (message, code) = match self {
            Self::Usage(message) => (message, 2),
            Self::Run(message) => (message, 1),
        };
        // Where it cannot be said, the exit code still tells.
        let _ = writeln!(io::stderr(), "httpoll: {message}");
        ExitCode::from(code)
    }
}

/// What the command line and the configuration file mean.
#[derive(Debug)]
pub(crate) struct Options {
    port: u16,
    bind: Vec<String>,
    directory: PathBuf,
    content_type: Option<String>,
    no_listing: bool,
    follow_symlinks: bool,
    dotfiles: bool,
    user: Option<String>,
    pub(crate) loops: NonZeroUsize,
    pub(crate) config: ServerConfig,
}

/// Understands the arguments after the program's name.
pub(crate) fn parse(arguments: Vec<OsString>) -> Result<Command, CommandError> {
    let typed = Typed::parse(arguments)?;
    if typed.help {
        Ok(Command::Show(USAGE.to_owned()))
    } else if typed.version {
        Ok(Command::Show(VERSION.to_owned()))
    } else {
        let command = if typed.calibrate {
            Command::Calibrate
        } else {
            Command::Serve
        };
        Options::new(typed.with_config_file()?).map(|options| command(Box::new(options)))
    }
}

impl Options {
    fn new(typed: Typed) -> Result<Self, CommandError> {
        let defaults = ServerConfig::default();
        let config = ServerConfig {
            protocol_version: typed
                .protocol
                .as_deref()
                .map_or(Ok(defaults.protocol_version), protocol)?,
            log_format: match typed.log_format.as_deref() {
                _ if typed.quiet => LogFormat::None,
                None => defaults.log_format,
                Some(format) => log_format(format)?,
            },
            extra_response_headers: typed
                .headers
                .iter()
                .map(|text| header(text))
                .collect::<Result<_, _>>()?,
            max_connections_per_ip: typed.max_per_ip.as_deref().map(max_per_ip).transpose()?,
            hosts: typed
                .hosts
                .iter()
                .map(|text| host(text))
                .collect::<Result<_, _>>()?,
            report: typed.report,
            defer_accept: true,
            ..defaults
        };
        if let Some(text) = &typed.content_type
            && (!text.contains('/') || text.chars().any(char::is_control))
        {
            return Err(wanted(
                "--content-type",
                "a media type such as text/plain",
                text,
            ));
        }
        for bind in &typed.bind {
            host_and_port(bind, DEFAULT_PORT)?;
        }
        Ok(Self {
            port: typed.port.as_deref().map_or(Ok(DEFAULT_PORT), port)?,
            bind: typed.bind,
            directory: typed.directory.unwrap_or_else(|| ".".into()),
            content_type: typed.content_type,
            no_listing: typed.no_listing,
            follow_symlinks: typed.follow_symlinks,
            dotfiles: typed.dotfiles,
            user: typed.user,
            loops: typed
                .loops
                .as_deref()
                .map_or(Ok(NonZeroUsize::MIN), loops)?,
            config,
        })
    }

    /// Opens the directory that is to be served.
    pub(crate) fn handler(&self) -> Result<SimpleHttpRequestHandler, CommandError> {
        let open = if self.follow_symlinks {
            SimpleHttpRequestHandler::following_symlinks
        } else {
            SimpleHttpRequestHandler::new
        };
        let mut handler = open(&self.directory).map_err(|error| {
            let directory = self.directory.to_string_lossy();
            let directory = directory.escape_debug();
            CommandError::Run(match error.kind() {
                io::ErrorKind::NotFound => format!("no such directory: {directory}"),
                io::ErrorKind::PermissionDenied => {
                    format!("no permission to read: {directory}")
                }
                _ => format!("cannot serve {directory}: {error}"),
            })
        })?;
        if let Some(content_type) = &self.content_type {
            handler.default_content_type.clone_from(content_type);
        }
        handler.list_directories = !self.no_listing;
        handler.dotfiles = self.dotfiles;
        Ok(handler)
    }

    /// Says what the process needs once it serves: the system calls of serving files, and to read below the parent of what is
    /// served, so that it may be deleted and made again, or wherever links may lead that are followed.
    pub(crate) fn confinement(
        &self,
        handler: &SimpleHttpRequestHandler,
    ) -> Result<Confinement, CommandError> {
        let mut confinement = Confinement::new().only_serving();
        if self.follow_symlinks {
            return Ok(confinement.read_below(File::open("/")?));
        }
        let path = handler.path().unwrap_or_default();
        for path in privileges::readable_paths(&path, self.user()?.as_ref()) {
            // Its rights are of no interest: below it may be what can be read.
            let flags = OFlags::PATH | OFlags::CLOEXEC;
            let file = rustix::fs::open(path, flags, Mode::empty()).map_err(io::Error::from)?;
            confinement = if self.directory.is_file() {
                confinement.read_files_below(file)
            } else {
                confinement.read_below(file)
            };
        }
        Ok(confinement)
    }

    /// Finds the user to become once the port is open.
    pub(crate) fn user(&self) -> Result<Option<User>, CommandError> {
        self.user.as_deref().map(privileges::find_user).transpose()
    }

    /// Finds the addresses to listen on; every address that a name has.
    pub(crate) fn addresses(&self) -> Result<Vec<SocketAddr>, CommandError> {
        if self.bind.is_empty() {
            // On one socket for both families, or IPv4 alone where there is no IPv6.
            return Ok(vec![SocketAddr::from(([0_u16; 8], self.port))]);
        }
        let mut addresses = Vec::new();
        for bind in &self.bind {
            let (host, port) = host_and_port(bind, self.port)?;
            let found = (host, port).to_socket_addrs().map_err(|_| {
                CommandError::Run(format!(
                    "cannot find the address of '{}' (--bind)",
                    host.escape_debug()
                ))
            })?;
            for address in found {
                if !addresses.contains(&address) {
                    addresses.push(address);
                }
            }
        }
        Ok(addresses)
    }
}

/// Lets the process open as many descriptors as it may at all: every connection is one.
pub(crate) fn raise_descriptor_limit() {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    // Without it there are fewer connections, no more.
    let _ = setrlimit(
        Resource::Nofile,
        Rlimit {
            current: maximum,
            maximum,
        },
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(arguments: &[&str]) -> Result<Box<Options>, String> {
        match parse(arguments.iter().map(OsString::from).collect()) {
            Ok(Command::Serve(options)) => Ok(options),
            Ok(Command::Calibrate(_)) => Err("a calibration".to_owned()),
            Ok(Command::Show(text)) => Err(text),
            Err(CommandError::Usage(message) | CommandError::Run(message)) => Err(message),
        }
    }

    #[test]
    fn nothing_typed_means_what_http_server_does() {
        let options = options(&[]).unwrap();
        assert_eq!(options.addresses().unwrap(), ["[::]:8000".parse().unwrap()]);
        assert_eq!(options.directory, PathBuf::from("."));
        assert_eq!(options.config.log_format, LogFormat::Common);
    }

    #[test]
    fn an_address_may_bring_its_port() {
        let table = [
            ("127.0.0.1", "127.0.0.1:9"),
            ("127.0.0.1:80", "127.0.0.1:80"),
            ("::1", "[::1]:9"),
            ("[::1]", "[::1]:9"),
            ("[::1]:80", "[::1]:80"),
        ];
        for (bind, address) in table {
            let options = options(&["-b", bind, "9"]).unwrap();
            assert_eq!(
                options.addresses().unwrap(),
                [address.parse().unwrap()],
                "{bind}"
            );
        }
    }

    #[test]
    fn bad_usage_names_the_option_and_what_it_wanted() {
        let table: [(&[&str], &str); 18] = [
            (&["x"], "PORT wants a number"),
            (&["65536"], "PORT wants a number"),
            (&["1", "2"], "unexpected argument '2'"),
            (&["--nope"], "unknown option '--nope'"),
            (&["-d"], "--directory wants a value"),
            (&["-p", "HTTP/2"], "--protocol wants HTTP/1.1 or HTTP/1.0"),
            (&["-n", "-1"], "--loops wants a number"),
            (&["--max-per-ip", "0"], "--max-per-ip wants a number"),
            (&["--max-per-ip", "many"], "--max-per-ip wants a number"),
            (&["--max-per-ip"], "--max-per-ip wants a value"),
            (&["-H", "no colon"], "--header wants 'NAME: VALUE'"),
            (
                &["-H", "Content-Length: 5"],
                "--header wants a field that is not the server's own",
            ),
            (&["-H", "A: b\nC: d"], "--header wants 'NAME: VALUE'"),
            (
                &["--log-format", "xml"],
                "--log-format wants common, combined or json",
            ),
            (&["-b", "[::1"], "--bind wants a name"),
            (&["--host", ""], "--host wants a host name"),
            (&["--host", "http://a/"], "--host wants a host name"),
            (&["--host", "a", "--host=::1"], "--host wants a host name"),
        ];
        for (arguments, message) in table {
            let failure = options(arguments).unwrap_err();
            assert!(failure.contains(message), "{arguments:?}: {failure}");
        }
    }

    #[test]
    fn connections_of_one_client_are_limited_where_a_number_is_given() {
        let most = |arguments| options(arguments).unwrap().config.max_connections_per_ip;
        assert_eq!(most(&[]), None);
        assert_eq!(most(&["--max-per-ip", "8"]), Some(8));
        assert_eq!(most(&["--max-per-ip=1", "--max-per-ip=2"]), Some(2));
    }

    #[test]
    fn headers_are_kept_in_order() {
        let options = options(&["-H", "A: 1", "--header", "B:2"]).unwrap();
        let expected = [
            ("A".to_owned(), "1".to_owned()),
            ("B".to_owned(), "2".to_owned()),
        ];
        assert_eq!(options.config.extra_response_headers, expected);
    }
}
