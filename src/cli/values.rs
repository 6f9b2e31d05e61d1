//! The values of options: parsed, or refused with a message that says what the option wants.

use std::ffi::OsStr;
use std::net::IpAddr;
use std::num::NonZeroUsize;
use std::thread::available_parallelism;
use std::time::Duration;

use httpoll::{LogFormat, ProtocolVersion, ServerConfig, TrustedProxy};

use super::{CommandError, hints, usage};

/// An address to listen on.
#[derive(Debug)]
pub(super) enum Bind {
    Tcp {
        /// A name or an address; empty for all interfaces.
        host: String,
        port: Option<u16>,
    },
    /// The path of a UNIX socket, or `@` and an abstract name.
    Unix(String),
}

impl Bind {
    pub(super) fn is_without_port(&self) -> bool {
        matches!(self, Self::Tcp { port: None, .. })
    }
}

/// Parses the value of `--bind`. `unix:` comes before the path or the name of a UNIX socket; other values are host and port. An
/// IPv6 address may have brackets, and must have them before a port. All
/// interfaces are `*`, or a port alone behind its colon.
pub(super) fn bind(text: &str) -> Result<Bind, CommandError> {
    split_address(text, "--bind", "a name, an address, host:port or unix:PATH")
}

/// Parses the value of `--admin`, which names a port or a UNIX socket: the default port is that of the site.
pub(super) fn admin(text: &str) -> Result<Bind, CommandError> {
    let what = "host:port, :port or unix:PATH";
    match split_address(text, "--admin", what) {
        Ok(bind) if !bind.is_without_port() => Ok(bind),
        _ => Err(wanted("--admin", what, text)),
    }
}

/// Parses the value of `--redirect-http`.
pub(super) fn redirect_http(text: &str) -> Result<Bind, CommandError> {
    let what = "host:port or :port";
    match split_address(text, "--redirect-http", what) {
        Ok(bind @ Bind::Tcp { port: Some(_), .. }) => Ok(bind),
        _ => Err(wanted("--redirect-http", what, text)),
    }
}

fn split_address(text: &str, option: &str, what: &str) -> Result<Bind, CommandError> {
    let wrong = || wanted(option, what, text);
    match text.strip_prefix("unix:") {
        Some("" | "@") => return Err(wrong()),
        Some(address) => return Ok(Bind::Unix(address.to_owned())),
        None => {}
    }
    // The system would take a number as an IPv4 address. Only 0, which is 0.0.0.0, is in use.
    if text != "0" && hints::is_number(text) {
        return Err(usage(format_args!(
            "--bind wants an address, not '{text}': {}",
            hints::port_stands_alone(text)
        )));
    }
    let (host, port) = match text.strip_prefix('[') {
        Some(bracketed) => match bracketed.split_once(']').ok_or_else(wrong)? {
            (host, "") => (host, None),
            (host, rest) => (host, Some(rest.strip_prefix(':').ok_or_else(wrong)?)),
        },
        None => match text.split_once(':') {
            Some((host, port)) if !port.contains(':') => (host, Some(port)),
            _ => (text, None),
        },
    };
    let is_all = host == "*" || text.starts_with(':') && port.is_some();
    if host.is_empty() && !is_all || host.contains(['/', ',', ' ']) {
        return Err(wrong());
    }
    let wrong_port = || wanted("--bind", "a port from 0 to 65535 behind the colon", text);
    let port = port.map(|port| number(port).ok_or_else(wrong_port));
    Ok(Bind::Tcp {
        host: if is_all {
            String::new()
        } else {
            host.to_owned()
        },
        port: port.transpose()?,
    })
}

/// Parses digits. The standard library takes a plus sign as well, which is no part of a port.
fn number(text: &str) -> Option<u16> {
    hints::is_number(text).then(|| text.parse().ok())?
}

pub(super) fn port(text: &str) -> Result<u16, CommandError> {
    number(text).ok_or_else(|| wanted("PORT", "a number from 0 to 65535", text))
}

/// Returns the port that the variable PORT of the environment names. An empty variable is as none.
pub(super) fn port_of_environment(value: Option<&OsStr>) -> Result<Option<u16>, CommandError> {
    let Some(value) = value.filter(|value| !value.is_empty()) else {
        return Ok(None);
    };
    let text = value.to_string_lossy();
    port(&text)
        .map(Some)
        .map_err(|_| wanted("PORT in the environment", "a number from 0 to 65535", &text))
}

pub(super) fn loops(text: &str) -> Result<NonZeroUsize, CommandError> {
    match text.parse() {
        Ok(0) => Ok(available_parallelism().unwrap_or(NonZeroUsize::MIN)),
        Ok(loops @ 1..=1024) => Ok(NonZeroUsize::new(loops).unwrap_or(NonZeroUsize::MIN)),
        _ => Err(wanted("--loops", "a number from 0 to 1024", text)),
    }
}

pub(super) fn file_threads(text: &str) -> Result<usize, CommandError> {
    match text.parse() {
        Ok(threads @ 0..=1024) => Ok(threads),
        _ => Err(wanted("--file-threads", "a number from 0 to 1024", text)),
    }
}

/// Parses the value of `--file-timeout`. With 0 no file could be read in time.
pub(super) fn file_timeout(text: &str) -> Result<Duration, CommandError> {
    let time = seconds("--file-timeout", text)?;
    if time.is_zero() {
        return Err(wanted("--file-timeout", "more than 0 seconds", text));
    }
    Ok(time)
}

pub(super) fn max_per_ip(text: &str) -> Result<usize, CommandError> {
    match text.parse() {
        Ok(most @ 1..) => Ok(most),
        _ => Err(wanted("--max-per-ip", "a number above 0", text)),
    }
}

/// Parses a time in seconds, such as `2` or `0.5`.
pub(super) fn seconds(option: &str, text: &str) -> Result<Duration, CommandError> {
    let wrong = || wanted(option, "a number of seconds such as 2 or 0.5", text);
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    if ![whole, fraction].into_iter().all(hints::is_number) || fraction.len() > 9 {
        return Err(wrong());
    }
    let whole: u32 = whole.parse().map_err(|_| wrong())?;
    let nanoseconds = format!("{fraction:0<9}").parse().map_err(|_| wrong())?;
    Ok(Duration::new(whole.into(), nanoseconds))
}

/// Parses the value of `--keep-alive`. With 0 no client could send its first request in time.
pub(super) fn keep_alive(text: &str) -> Result<Duration, CommandError> {
    let time = seconds("--keep-alive", text)?;
    if time.is_zero() {
        return Err(usage(format_args!(
            "--keep-alive wants more than 0 seconds: --protocol HTTP/1.0 closes after each reply"
        )));
    }
    Ok(time)
}

pub(super) fn trusted_proxy(text: &str) -> Result<TrustedProxy, CommandError> {
    text.parse().map_err(|_| {
        let what = "an address, a network such as 10.0.0.0/8, or unix";
        wanted("--trusted-proxy", what, text)
    })
}

pub(super) fn protocol(text: &str) -> Result<ProtocolVersion, CommandError> {
    match text {
        "HTTP/1.0" => Ok(ProtocolVersion::Http10),
        "HTTP/1.1" => Ok(ProtocolVersion::Http11),
        port if hints::is_number(port) => Err(usage(format_args!(
            "--protocol wants HTTP/1.1 or HTTP/1.0, not '{port}': {}",
            hints::port_stands_alone(port)
        ))),
        _ => Err(wanted("--protocol", "HTTP/1.1 or HTTP/1.0", text)),
    }
}

pub(super) fn log_format(text: &str) -> Result<LogFormat, CommandError> {
    match text {
        "common" => Ok(LogFormat::Common),
        "combined" => Ok(LogFormat::Combined),
        "json" => Ok(LogFormat::Json),
        _ => Err(wanted("--log-format", "common, combined or json", text)),
    }
}

pub(super) fn content_type(text: &str) -> Result<String, CommandError> {
    if is_media_type(text) {
        Ok(text.to_owned())
    } else {
        Err(wanted(
            "--content-type",
            "a media type such as text/plain",
            text,
        ))
    }
}

/// Parses the value of `--mime`, and returns the suffix as `extensions_map` has it: with its dot, in lower case, which stands for
/// every case. Only the last suffix of a name counts, so the suffix has no further dot.
pub(super) fn mime(text: &str) -> Result<(String, String), CommandError> {
    let wrong = || {
        let what = "EXT=TYPE such as .foo=text/x-foo, where EXT is the last suffix of a name";
        wanted("--mime", what, text)
    };
    let (suffix, media_type) = text.split_once('=').ok_or_else(wrong)?;
    let (suffix, media_type) = (suffix.trim(), media_type.trim());
    let suffix = suffix.strip_prefix('.').unwrap_or(suffix).to_lowercase();
    if suffix.is_empty() || suffix.contains(['.', '/', '*']) || !is_media_type(media_type) {
        return Err(wrong());
    }
    Ok((format!(".{suffix}"), media_type.to_owned()))
}

fn is_media_type(text: &str) -> bool {
    text.contains('/') && !text.chars().any(char::is_control)
}

/// Parses the value of `--header`, a field that is added to every reply.
pub(super) fn header(text: &str) -> Result<(String, String), CommandError> {
    let wrong = || wanted("--header", "'NAME: VALUE'", text);
    let (name, value) = text.split_once(':').ok_or_else(wrong)?;
    let field = (name.to_owned(), value.trim().to_owned());
    let config =
        ServerConfig::default().with(|config| config.extra_response_headers = vec![field.clone()]);
    match config.check() {
        Ok(()) => Ok(field),
        Err(_)
            if !name.is_empty()
                && name
                    .chars()
                    .all(|letter| letter.is_ascii_alphanumeric() || letter == '-')
                && !value.chars().any(char::is_control) =>
        {
            Err(wanted(
                "--header",
                "a field that the server does not set itself",
                name,
            ))
        }
        Err(_) => Err(wrong()),
    }
}

/// Checks the value of `--host`, a host that the server answers for. `--host 0.0.0.0` of other servers is the address to listen
/// on; here nearly every request would be 421, so this is refused unless `--bind` shows that the difference is known.
pub(super) fn host(text: &str, has_bind: bool) -> Result<String, CommandError> {
    let is_unspecified = |bind| match bind {
        Bind::Tcp { host, .. } => host.parse().is_ok_and(|ip: IpAddr| ip.is_unspecified()),
        Bind::Unix(_) => false,
    };
    if !has_bind && bind(text).is_ok_and(is_unspecified) {
        return Err(usage(format_args!(
            "--host wants a host name that is answered, not '{text}': the address is given with --bind"
        )));
    }
    let config = ServerConfig::default().with(|config| config.hosts = vec![text.to_owned()]);
    config.check().map(|()| text.to_owned()).map_err(|_| {
        wanted(
            "--host",
            "a host name or an address, IPv6 in brackets, with or without a port",
            text,
        )
    })
}

/// Returns the error of an `option` that wants `what` and was given something different.
pub(super) fn wanted(option: &str, what: &str, given: &str) -> CommandError {
    let given = given.escape_debug();
    usage(format_args!("{option} wants {what}, not '{given}'"))
}
