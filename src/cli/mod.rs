//! The command line: what it asks for, and what the options mean for the server.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::fs::File;
use std::io::{self, Write as _};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use httpoll::{Confinement, LogFile, LogFormat, ServerConfig, SimpleHttpRequestHandler};
use nix::unistd::User;
use rustix::fs::{Mode, OFlags};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

mod arguments;
mod auth;
pub(crate) mod banner;
pub(crate) mod calibrate;
mod completions;
mod flags;
mod generate;
mod handler;
mod help;
mod hints;
pub(crate) mod inherited;
pub(crate) mod listening;
mod man;
pub(crate) mod open;
pub(crate) mod privileges;
#[cfg_attr(not(feature = "tls"), path = "without_tls.rs")]
mod tls;
mod typed;
mod values;

use handler::Handler;
use typed::Typed;
use values::{
    Bind, admin, bind, content_type, file_threads, file_timeout, header, host, keep_alive,
    log_format, loops, max_per_ip, mime, port, protocol, seconds, trusted_proxy,
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
    /// What was typed, for values that are looked up later: their errors name file and line, too.
    typed: Typed,
    port: u16,
    bind: Vec<Bind>,
    admin: Option<Bind>,
    directory: PathBuf,
    content_type: Option<String>,
    /// Suffixes with their media types.
    mime: Vec<(String, String)>,
    no_listing: bool,
    follow_symlinks: bool,
    dotfiles: bool,
    site: bool,
    spa: bool,
    compress: bool,
    live: bool,
    /// The password file; `None` for no password.
    auth: Option<PathBuf>,
    /// Whether a browser is opened.
    pub(crate) open: bool,
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
    if let Some(text) = help(&arguments) {
        return Ok(Command::Show(text));
    }
    let typed = Typed::parse(arguments)?;
    if typed.is_given("-h") {
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
        let options = Options::new(typed.with_config_file()?, default_port)?;
        Ok(command(Box::new(options)))
    }
}

/// Returns the help if one of the arguments asks for it, so that wrong ones beside it do not keep it back.
fn help(arguments: &[OsString]) -> Option<String> {
    let is_given = |name| {
        let mut flags = arguments.iter().take_while(|argument| *argument != "--");
        flags.any(|argument| argument == name)
    };
    if is_given("--help") {
        Some(help::long())
    } else {
        is_given("-h").then(help::short)
    }
}

impl Options {
    fn new(typed: Typed, default_port: Option<&OsStr>) -> Result<Self, CommandError> {
        let bind = typed.all("--bind", bind)?;
        let needs_port = bind.is_empty() || bind.iter().any(Bind::is_without_port);
        let port = match typed.port(port)? {
            None if needs_port => values::port_of_environment(default_port)?,
            typed => typed,
        };
        tls::check(&typed)?;
        let hosts = typed.all("--host", |text| host(text, !bind.is_empty()))?;
        let loops = typed.last("--loops", loops)?;
        Ok(Self {
            port: port.unwrap_or(DEFAULT_PORT),
            bind,
            admin: typed.last("--admin", admin)?,
            directory: typed.path("--directory").unwrap_or_else(|| ".".into()),
            content_type: typed.last("--content-type", content_type)?,
            mime: typed.all("--mime", mime)?,
            no_listing: typed.is_given("--no-listing"),
            follow_symlinks: typed.is_given("--follow-symlinks"),
            dotfiles: typed.is_given("--dotfiles"),
            site: typed.is_given("--site"),
            spa: typed.is_given("--spa"),
            compress: typed.is_given("--compress"),
            live: typed.is_given("--live"),
            auth: typed.path("--auth"),
            open: typed.is_given("--open"),
            log: typed.path("--log").filter(|path| path.as_os_str() != "-"),
            loops: loops.unwrap_or(NonZeroUsize::MIN),
            config: server_config(&typed, hosts)?,
            typed,
        })
    }

    /// Opens the served directory, and reads the password file if there is one.
    pub(crate) fn handler(&self) -> Result<Handler, CommandError> {
        let files = self.files()?;
        let auth = self.auth(files.path().as_deref())?;
        Ok(Handler { files, auth })
    }

    fn files(&self) -> Result<SimpleHttpRequestHandler, CommandError> {
        let open = if self.follow_symlinks {
            SimpleHttpRequestHandler::following_symlinks
        } else {
            SimpleHttpRequestHandler::new
        };
        let mut handler = open(&self.directory).map_err(|error| {
            let directory = self.directory.to_string_lossy();
            let directory = directory.escape_debug();
            let error = CommandError::Run(match error.kind() {
                io::ErrorKind::NotFound => {
                    let hint = hints::address_not_path(&directory.to_string());
                    format!("no such directory or file: {directory}{hint}")
                }
                io::ErrorKind::PermissionDenied => {
                    format!("no permission to read: {directory}")
                }
                _ => format!("cannot serve {directory}: {error}"),
            });
            error.at(self.typed.place("--directory"))
        })?;
        if let Some(content_type) = &self.content_type {
            handler.default_content_type.clone_from(content_type);
            handler.detect_text = false;
        }
        handler.extensions_map.extend(self.mime.iter().cloned());
        handler.list_directories = !self.no_listing;
        handler.dotfiles = self.dotfiles;
        handler.site = self.site;
        handler.spa = self.spa;
        handler.compress = self.compress;
        handler.live = self.live;
        Ok(handler)
    }

    /// Returns the rights that the process keeps while it serves: the system calls of serving files, and reading below the parent
    /// of the served directory, so that the directory may be deleted and made again. Links that lead out of it may lead
    /// anywhere, so with `--follow-symlinks` every file can be read.
    pub(crate) fn confinement(&self, handler: &Handler) -> Result<Confinement, CommandError> {
        let mut confinement = Confinement::new().only_serving();
        if self.follow_symlinks {
            return Ok(confinement.read_below(File::open("/")?));
        }
        let path = handler.files.path().unwrap_or_default();
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
        self.allow_auth(confinement, handler.auth.as_ref())
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
            let user = self.typed.path("--user").map_or_else(String::new, |name| {
                format!(
                    ", as user {} (--user)",
                    name.to_string_lossy().escape_debug()
                )
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

    /// Returns the scheme of the URLs that the TCP sockets of the site answer.
    pub(crate) fn scheme(&self) -> &'static str {
        match self.typed.is_given("--tls-cert") {
            true => "https",
            false => "http",
        }
    }

    /// Looks up the user that the process becomes once the port is open.
    pub(crate) fn user(&self) -> Result<Option<User>, CommandError> {
        self.typed.last("--user", privileges::find_user)
    }
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
    config.cors = typed.is_given("--cors");
    config.max_connections_per_ip = typed.last("--max-per-ip", max_per_ip)?;
    if let Some(time) = typed.last("--keep-alive", keep_alive)? {
        config.keep_alive_timeout = time;
    }
    if let Some(time) = typed.last("--drain-delay", |text| seconds("--drain-delay", text))? {
        config.drain_delay = time;
    }
    if let Some(time) = typed.last("--drain-timeout", |text| seconds("--drain-timeout", text))? {
        config.drain_timeout = time;
    } else if typed.is_given("--live") {
        // The events of an open page have no end that could be waited for.
        config.drain_timeout = Duration::from_millis(300);
    }
    config.file_threads = typed.last("--file-threads", file_threads)?.unwrap_or(4);
    if let Some(time) = typed.last("--file-timeout", file_timeout)? {
        config.file_timeout = time;
    }
    config.trusted_proxies = typed.all("--trusted-proxy", trusted_proxy)?;
    config.proxy_protocol = typed.is_given("--proxy-protocol");
    if config.proxy_protocol && config.trusted_proxies.is_empty() {
        return Err(usage(format_args!(
            "--proxy-protocol needs --trusted-proxy: the addresses that send its header"
        )));
    }
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
mod tests;
