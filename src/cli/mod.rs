//! The command line: what it asks for, and what the options mean for the server.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::fs::File;
use std::io::{self, Write as _};
use std::net::{SocketAddr, ToSocketAddrs as _};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use httpoll::{Confinement, LogFile, LogFormat, ServerConfig, SimpleHttpRequestHandler};
use nix::unistd::User;
use rustix::fs::{Mode, OFlags};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

mod arguments;
pub(crate) mod banner;
pub(crate) mod calibrate;
mod completions;
mod flags;
mod generate;
mod help;
mod hints;
mod man;
pub(crate) mod privileges;
mod typed;
mod values;

use typed::Typed;
use values::{
    Bind, bind, content_type, header, host, log_format, loops, max_per_ip, port, protocol,
};

const DEFAULT_PORT: u16 = 8000;
const VERSION: &str = concat!("httpoll ", env!("CARGO_PKG_VERSION"), "\n");

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

    /// Puts the place that the message is about before it.
    fn at(self, place: &str) -> Self {
        match self {
            Self::Usage(message) => Self::Usage(format!("{place}{message}")),
            Self::Run(message) => Self::Run(format!("{place}{message}")),
        }
    }
}

fn usage(message: fmt::Arguments<'_>) -> CommandError {
    CommandError::Usage(format!("{message} (see httpoll --help)"))
}

/// The options of the command line and the configuration file, parsed and checked.
#[derive(Debug)]
pub(crate) struct Options {
    port: u16,
    bind: Vec<Bind>,
    directory: PathBuf,
    content_type: Option<String>,
    no_listing: bool,
    follow_symlinks: bool,
    dotfiles: bool,
    user: Option<String>,
    /// The file of the access log; `None` is standard error.
    log: Option<PathBuf>,
    pub(crate) loops: NonZeroUsize,
    pub(crate) config: ServerConfig,
}

/// Parses the arguments after the program's name. `default_port` is the variable PORT of the environment.
pub(crate) fn parse(
    arguments: Vec<OsString>,
    default_port: Option<&OsStr>,
) -> Result<Command, CommandError> {
    let typed = Typed::parse(arguments)?;
    if typed.is_given("--help") {
        Ok(Command::Show(help::long()))
    } else if typed.is_given("-h") {
        Ok(Command::Show(help::short()))
    } else if typed.is_given("--version") {
        Ok(Command::Show(VERSION.to_owned()))
    } else if let Some(text) = typed.last("--generate", generate::generate)? {
        Ok(Command::Show(text))
    } else {
        let command = if typed.is_given("--calibrate") {
            Command::Calibrate
        } else {
            Command::Serve
        };
        let options = Options::new(&typed.with_config_file()?, default_port)?;
        Ok(command(Box::new(options)))
    }
}

impl Options {
    fn new(typed: &Typed, default_port: Option<&OsStr>) -> Result<Self, CommandError> {
        let bind = typed.all("--bind", bind)?;
        let needs_port = bind.is_empty() || bind.iter().any(|bind| bind.port.is_none());
        let port = match typed.port(port)? {
            None if needs_port => values::port_of_environment(default_port)?,
            typed => typed,
        };
        let hosts = typed.all("--host", |text| host(text, !bind.is_empty()))?;
        let loops = typed.last("--loops", loops)?;
        Ok(Self {
            port: port.unwrap_or(DEFAULT_PORT),
            bind,
            directory: typed.path("--directory").unwrap_or_else(|| ".".into()),
            content_type: typed.last("--content-type", content_type)?,
            no_listing: typed.is_given("--no-listing"),
            follow_symlinks: typed.is_given("--follow-symlinks"),
            dotfiles: typed.is_given("--dotfiles"),
            user: typed.last("--user", |name| Ok(name.to_owned()))?,
            log: typed.path("--log").filter(|path| path.as_os_str() != "-"),
            loops: loops.unwrap_or(NonZeroUsize::MIN),
            config: server_config(typed, hosts)?,
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
                io::ErrorKind::NotFound => {
                    let hint = hints::address_not_path(&directory.to_string());
                    format!("no such directory: {directory}{hint}")
                }
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

    /// Opens the log file with the rights that the process has by now, which are those that it is opened again with. A warning tells if
    /// it is in the directory `served`.
    pub(crate) fn log_file(&self, served: Option<&Path>) -> Result<Option<LogFile>, CommandError> {
        let Some(path) = &self.log else {
            return Ok(None);
        };
        let shown = path.to_string_lossy();
        let shown = shown.escape_debug();
        let log_file = LogFile::open(path).map_err(|error| {
            let user = self.user.as_deref().map_or_else(String::new, |name| {
                format!(", as user {} (--user)", name.escape_debug())
            });
            CommandError::Run(format!("cannot open the log file {shown}: {error}{user}"))
        })?;
        let canonical = |path: &Path| path.canonicalize().ok();
        let places = canonical(path).zip(served.and_then(canonical));
        if places.is_some_and(|(path, served)| path.starts_with(served)) {
            privileges::warn(format_args!(
                "the log file {shown} is in the served directory, so clients can read it"
            ));
        }
        Ok(Some(log_file))
    }

    /// Looks up the user that the process becomes once the port is open.
    pub(crate) fn user(&self) -> Result<Option<User>, CommandError> {
        self.user.as_deref().map(privileges::find_user).transpose()
    }

    /// Resolves the addresses to listen on. A name stands for all its addresses.
    pub(crate) fn addresses(&self) -> Result<Vec<SocketAddr>, CommandError> {
        // `[::]` is one socket for both families; without IPv6 the server binds 0.0.0.0 in its place.
        let all = |port| SocketAddr::from(([0_u16; 8], port));
        if self.bind.is_empty() {
            return Ok(vec![all(self.port)]);
        }
        let mut addresses = Vec::new();
        for bind in &self.bind {
            let (host, port) = (bind.host.as_str(), bind.port.unwrap_or(self.port));
            let found = if host.is_empty() {
                vec![all(port)]
            } else {
                resolve(host, port)?
            };
            for address in found {
                if !addresses.contains(&address) {
                    addresses.push(address);
                }
            }
        }
        Ok(addresses)
    }
}

/// Returns all addresses of a name.
fn resolve(host: &str, port: u16) -> Result<Vec<SocketAddr>, CommandError> {
    let found = (host, port).to_socket_addrs().map_err(|_| {
        let host = host.escape_debug();
        CommandError::Run(format!("cannot find the address of '{host}' (--bind)"))
    })?;
    Ok(found.collect())
}

/// Returns the configuration of the server that the options ask for.
fn server_config(typed: &Typed, hosts: Vec<String>) -> Result<ServerConfig, CommandError> {
    let mut config = ServerConfig::default();
    if let Some(version) = typed.last("--protocol", protocol)? {
        config.protocol_version = version;
    }
    if let Some(format) = typed.last("--log-format", log_format)? {
        config.log_format = format;
    }
    if typed.is_given("--quiet") {
        config.log_format = LogFormat::None;
    }
    config.extra_response_headers = typed.all("--header", header)?;
    config.max_connections_per_ip = typed.last("--max-per-ip", max_per_ip)?;
    config.hosts = hosts;
    config.report = typed.is_given("--report");
    config.defer_accept = true;
    Ok(config)
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
        match parse(arguments.iter().map(OsString::from).collect(), None) {
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
            ("*", "[::]:9"),
            ("*:80", "[::]:80"),
            (":80", "[::]:80"),
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
        let table: [(&[&str], &str); 25] = [
            (&["65536"], "PORT wants a number"),
            (
                &["1", "2"],
                "unexpected argument '2': the port is already '1'",
            ),
            (
                &["a", "b"],
                "unexpected argument 'b': the path is already 'a'",
            ),
            (
                &["-d", "a", "b"],
                "unexpected argument 'b': the path is already 'a'",
            ),
            (&[""], "an argument is empty"),
            (&["-p", "80"], "the port stands alone: httpoll 80"),
            (&["-b", "80"], "the port stands alone: httpoll 80"),
            (&["--host", "0.0.0.0"], "the address is given with --bind"),
            (&["--host", "::"], "the address is given with --bind"),
            (
                &["--generate", "tcsh"],
                "--generate wants man, bash, zsh or fish",
            ),
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
    fn every_word_that_the_help_names_is_taken() {
        for flag in &flags::FLAGS {
            if let flags::Value::Word(_, words) = flag.value {
                for word in words {
                    let arguments = [flag.long, word].map(OsString::from).to_vec();
                    assert!(parse(arguments, None).is_ok(), "{} {word}", flag.long);
                }
            }
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
