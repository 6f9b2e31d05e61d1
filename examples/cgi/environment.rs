//! The environment of a script (RFC 3875 section 4.1).

use std::os::unix::ffi::OsStrExt as _;
use std::{env, ffi::OsStr, path::Path, process::Command};

use httpoll::Exchange;

/// Returns the script with its environment. There is no AUTH_TYPE, because this server does not authenticate.
pub(crate) fn command(
    exchange: &Exchange<'_>,
    root: &Path,
    script: &Path,
    path_info: &Path,
) -> Command {
    let (file, server, headers) = (root.join(script), exchange.server(), exchange.headers());
    let mut command = Command::new(&file);
    command.current_dir(file.parent().unwrap_or(root));
    command.env_clear();
    command.env("PATH", env::var_os("PATH").unwrap_or_default());
    for (name, _) in headers.iter().filter(|(name, _)| !name.contains('_')) {
        let variable = match &*name.to_ascii_uppercase().replace('-', "_") {
            // Programs take HTTP_PROXY for their proxy (httpoxy). A body that came in chunks is read without them.
            "AUTHORIZATION" | "PROXY" | "PROXY_AUTHORIZATION" | "TRANSFER_ENCODING" => continue,
            name @ ("CONTENT_LENGTH" | "CONTENT_TYPE") => name.to_owned(),
            name => format!("HTTP_{name}"),
        };
        let value = headers.get_all(name).collect::<Vec<_>>().join(&b", "[..]);
        command.env(variable, OsStr::from_bytes(&value));
    }
    if exchange.body_length() > 0 {
        command.env("CONTENT_LENGTH", exchange.body_length().to_string());
    }
    if path_info != Path::new("") {
        command.env("PATH_INFO", Path::new("/").join(path_info));
        command.env("PATH_TRANSLATED", root.join(path_info));
    }
    let query = exchange.path().split_once('?').unwrap_or_default().1;
    command.env("QUERY_STRING", query);
    command.env("GATEWAY_INTERFACE", "CGI/1.1");
    command.env("REMOTE_ADDR", exchange.address_string());
    command.env("REQUEST_METHOD", exchange.command());
    command.env("SCRIPT_NAME", Path::new("/").join(script));
    command.env("SERVER_NAME", server.server_name());
    command.env("SERVER_PORT", server.server_port().to_string());
    command.env("SERVER_PROTOCOL", exchange.request_version());
    command.env("SERVER_SOFTWARE", server.version_string());
    command
}
