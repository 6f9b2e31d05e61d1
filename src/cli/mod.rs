//! The command line: its usage text, and what the options mean for the server.

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
use values::{
    content_type, header, host, host_and_port, log_format, loops, max_per_ip, port, protocol,
};

const DEFAULT_PORT: u16 = 8000;
const VERSION: &str = concat!("httpoll ", env!("CARGO_PKG_VERSION"), "\n");
const USAGE: &str = "\
Serve a directory over HTTP.

Usage: httpoll [OPTIONS] [PORT]

  PORT                        port to listen on; 0 takes a free one (8000)
  -b, --bind ADDRESS          address to listen on: a name, IPv4, IPv6 or host:port;
                              may be repeated (all interfaces)
      --host NAME             answer only requests for this host or host:port, and
                              others with 421; may be repeated (any host)
  -d, --directory DIR         directory to serve, or a single file (.)
  -p, --protocol VERSION      HTTP/1.1 or HTTP/1.0 (HTTP/1.1)
  -n, --loops N               loops, each in a thread; 0 is one per processor (1)
  -H, --header 'NAME: VALUE'  add a field to every reply; may be repeated
      --max-per-ip N          connections of one client at a time (any number)
      --content-type TYPE     type of unknown suffixes (application/octet-stream)
      --no-listing            answer 403 instead of listing a directory
      --follow-symlinks       follow symbolic links that lead out of the directory
      --dotfiles              serve and list names that begin with a dot
      --log-format FORMAT     common, combined or json (common)
  -q, --quiet                 write no access log
      --report                print at the end what was served and what limited it;
                              SIGUSR1 prints it at any time
      --calibrate             measure for 3 seconds the most that this kernel allows,
                              print how to compare with it, and exit
      --user NAME             become this user once the port is open; only for root
  -c, --config FILE           read options from a file, one per line, where # begins
                              a comment line; the command line wins
  -h, --help                  print this help
  -V, --version               print the version
";

/// What the command line asks for.
#[derive(Debug)]
pub(crate) enum Command {
    /// Print a text and end.
    Show(String),
    /// Serve until a signal.
    Serve(Box<Options>),
    /// Measure the kernel and end.
    Calibrate(Box<Options>),
}

/// Why the command cannot do what was asked.
#[derive(Debug)]
pub(crate) enum CommandError {
    /// The options are wrong: exit code 2.
    Usage(String),
    /// The options are right, but the machine refuses: exit code 1.
    Run(String),
}

impl CommandError {
    /// Prints one line on standard error and returns the exit code.
    pub(crate) fn report(&self) -> ExitCode {
        let (message, code) = match self {
            Self::Usage(message) => (message, 2),
            Self::Run(message) => (message, 1),
        };
        // Without standard error, the exit code still tells.
        let _ = writeln!(io::stderr(), "httpoll: {message}");
        ExitCode::from(code)
    }
}

/// The options of the command line and the configuration file, parsed and checked.
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

/// Parses the arguments after the program's name.
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
        let config = server_config(&typed)?;
        for bind in &typed.bind {
            host_and_port(bind, DEFAULT_PORT)?;
        }
        Ok(Self {
            port: typed.port.as_deref().map_or(Ok(DEFAULT_PORT), port)?,
            bind: typed.bind,
            directory: typed.directory.unwrap_or_else(|| ".".into()),
            content_type: typed.content_type.map(content_type).transpose()?,
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

    /// Opens the served directory and returns its handler.
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

    /// Returns the rights that the process keeps while it serves: the system calls of serving files, and reading below the parent
    /// of the served directory, so that the directory may be deleted and made again. Links that lead out of it may lead
    /// anywhere, so with `--follow-symlinks` every file can be read.
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
            // With PATH no read permission is needed: files below an unreadable directory may be readable.
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

    /// Looks up the user that the process becomes once the port is open.
    pub(crate) fn user(&self) -> Result<Option<User>, CommandError> {
        self.user.as_deref().map(privileges::find_user).transpose()
    }

    /// Resolves the addresses to listen on. A name stands for all its addresses.
    pub(crate) fn addresses(&self) -> Result<Vec<SocketAddr>, CommandError> {
        if self.bind.is_empty() {
            // `[::]` is one socket for both families; without IPv6 the server binds 0.0.0.0 in its place.
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

/// Returns the configuration of the server that the options ask for.
fn server_config(typed: &Typed) -> Result<ServerConfig, CommandError> {
    let defaults = ServerConfig::default();
    let log_format = match typed.log_format.as_deref() {
        _ if typed.quiet => LogFormat::None,
        None => defaults.log_format,
        Some(format) => log_format(format)?,
    };
    let protocol_version = match typed.protocol.as_deref() {
        None => defaults.protocol_version,
        Some(version) => protocol(version)?,
    };
    let headers = typed.headers.iter().map(|text| header(text));
    let hosts = typed.hosts.iter().map(|text| host(text));
    Ok(ServerConfig {
        protocol_version,
        log_format,
        extra_response_headers: headers.collect::<Result<_, _>>()?,
        max_connections_per_ip: typed.max_per_ip.as_deref().map(max_per_ip).transpose()?,
        hosts: hosts.collect::<Result<_, _>>()?,
        report: typed.report,
        defer_accept: true,
        ..defaults
    })
}

/// Raises the limit on descriptors as far as the process may. Every connection needs one.
pub(crate) fn raise_descriptor_limit() {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    // If this fails, the server only accepts fewer connections.
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
    fn the_defaults_are_those_of_http_server() {
        let options = options(&[]).unwrap();
        assert_eq!(options.addresses().unwrap(), ["[::]:8000".parse().unwrap()]);
        assert_eq!(options.directory, PathBuf::from("."));
        assert_eq!(options.config.log_format, LogFormat::Common);
    }

    #[test]
    fn an_address_may_have_a_port() {
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
    fn a_usage_error_names_the_option_and_what_it_wants() {
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
                "--header wants a field that the server does not set itself",
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
    fn max_per_ip_limits_the_connections_of_one_client() {
        let limit = |arguments| options(arguments).unwrap().config.max_connections_per_ip;
        assert_eq!(limit(&[]), None);
        assert_eq!(limit(&["--max-per-ip", "8"]), Some(8));
        assert_eq!(limit(&["--max-per-ip=1", "--max-per-ip=2"]), Some(2));
    }

    #[test]
    fn headers_keep_their_order() {
        let options = options(&["-H", "A: 1", "--header", "B:2"]).unwrap();
        let expected = [
            ("A".to_owned(), "1".to_owned()),
            ("B".to_owned(), "2".to_owned()),
        ];
        assert_eq!(options.config.extra_response_headers, expected);
    }
}
