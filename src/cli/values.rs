//! The values of options: parsed, or refused with a message that says what the option wants.

use std::ffi::OsStr;
use std::net::IpAddr;
use std::num::NonZeroUsize;
use std::thread::available_parallelism;

use httpoll::{LogFormat, ProtocolVersion, ServerConfig};

use super::{CommandError, hints, usage};

/// An address to listen on.
#[derive(Debug)]
pub(super) struct Bind {
    /// A name or an address; empty for all interfaces.
    pub(super) host: String,
    pub(super) port: Option<u16>,
}

/// Splits the value of `--bind` into host and port. An IPv6 address may have brackets, and must have them before a port. All
/// interfaces are `*`, or a port alone behind its colon.
pub(super) fn bind(text: &str) -> Result<Bind, CommandError> {
    split_address(text, "--bind", "a name, an address or host:port")
}

/// Splits the value of `--admin`, which names a port: the default port is that of the site.
pub(super) fn admin(text: &str) -> Result<Bind, CommandError> {
    let what = "host:port or :port";
    match split_address(text, "--admin", what) {
        Ok(bind) if bind.port.is_some() => Ok(bind),
        _ => Err(wanted("--admin", what, text)),
    }
}

fn split_address(text: &str, option: &str, what: &str) -> Result<Bind, CommandError> {
    let wrong = || wanted(option, what, text);
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
    if host.is_empty() && !is_all {
        return Err(wrong());
    }
    Ok(Bind {
        host: if is_all {
            String::new()
        } else {
            host.to_owned()
        },
        port: port.map(str::parse).transpose().map_err(|_| wrong())?,
    })
}

pub(super) fn port(text: &str) -> Result<u16, CommandError> {
    text.parse()
        .map_err(|_| wanted("PORT", "a number from 0 to 65535", text))
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

pub(super) fn max_per_ip(text: &str) -> Result<usize, CommandError> {
    match text.parse() {
        Ok(most @ 1..) => Ok(most),
        _ => Err(wanted("--max-per-ip", "a number above 0", text)),
    }
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
    if text.contains('/') && !text.chars().any(char::is_control) {
        Ok(text.to_owned())
    } else {
        Err(wanted(
            "--content-type",
            "a media type such as text/plain",
            text,
        ))
    }
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
            if name
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
    let is_unspecified = |ip: IpAddr| ip.is_unspecified();
    if !has_bind && bind(text).is_ok_and(|bind| bind.host.parse().is_ok_and(is_unspecified)) {
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
