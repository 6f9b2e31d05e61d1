//! The values of options: parsed, or refused with a message that says what the option wants.

use std::num::NonZeroUsize;
use std::thread::available_parallelism;

use httpoll::{LogFormat, ProtocolVersion, ServerConfig};

use super::CommandError;

/// Splits the value of `--bind` into host and port. An IPv6 address may have brackets, and must have them before a port.
pub(super) fn host_and_port(bind: &str, default: u16) -> Result<(&str, u16), CommandError> {
    let wrong = || wanted("--bind", "a name, an address or host:port", bind);
    let parsed = if let Some(bracketed) = bind.strip_prefix('[') {
        let (host, rest) = bracketed.split_once(']').ok_or_else(wrong)?;
        match rest.strip_prefix(':') {
            Some(digits) => (host, digits.parse().map_err(|_| wrong())?),
            None if rest.is_empty() => (host, default),
            None => return Err(wrong()),
        }
    } else {
        match bind.split_once(':') {
            Some((host, digits)) if !digits.contains(':') => {
                (host, digits.parse().map_err(|_| wrong())?)
            }
            _ => (bind, default),
        }
    };
    if parsed.0.is_empty() {
        Err(wrong())
    } else {
        Ok(parsed)
    }
}

pub(super) fn port(text: &str) -> Result<u16, CommandError> {
    text.parse()
        .map_err(|_| wanted("PORT", "a number from 0 to 65535", text))
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

pub(super) fn content_type(text: String) -> Result<String, CommandError> {
    if text.contains('/') && !text.chars().any(char::is_control) {
        Ok(text)
    } else {
        Err(wanted(
            "--content-type",
            "a media type such as text/plain",
            &text,
        ))
    }
}

/// Parses the value of `--header`, a field that is added to every reply.
pub(super) fn header(text: &str) -> Result<(String, String), CommandError> {
    let wrong = || wanted("--header", "'NAME: VALUE'", text);
    let (name, value) = text.split_once(':').ok_or_else(wrong)?;
    let field = (name.to_owned(), value.trim().to_owned());
    let config = ServerConfig {
        extra_response_headers: vec![field.clone()],
        ..ServerConfig::default()
    };
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

/// Checks the value of `--host`, a host that the server answers for.
pub(super) fn host(text: &str) -> Result<String, CommandError> {
    let config = ServerConfig {
        hosts: vec![text.to_owned()],
        ..ServerConfig::default()
    };
    config.check().map(|()| text.to_owned()).map_err(|_| {
        wanted(
            "--host",
            "a host name or an address, IPv6 in brackets, with or without a port",
            text,
        )
    })
}

/// Returns the error of an `option` that wants `what` and was given something different.
fn wanted(option: &str, what: &str, given: &str) -> CommandError {
    CommandError::Usage(format!(
        "{option} wants {what}, not '{}' (see httpoll --help)",
        given.escape_debug()
    ))
}
