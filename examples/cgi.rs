//! Runs the scripts below `cgi-bin` (RFC 3875), as CGIHTTPRequestHandler did, and serves the other files of a directory.
//!
//! `cargo run --example cgi 127.0.0.1:8000 .`, then `curl http://127.0.0.1:8000/cgi-bin/script/path?query`. Clients may run as many
//! scripts at a time as they like. A Location is always sent to the client. Put no symbolic link to a script elsewhere.

use std::io::{self, BufRead, BufReader, PipeReader, Read as _, Seek as _};
use std::process::{Child, Command};
use std::{env, ffi::OsStr, fs, os::unix::ffi::OsStrExt as _, path::Path, sync::mpsc, thread};

use httpoll::{BaseHttpRequestHandler, Deferred, Exchange, HandlerError, HandlerResult};
use httpoll::{HttpServer, RequestBody, SimpleHttpRequestHandler};

struct Cgi(SimpleHttpRequestHandler);

impl BaseHttpRequestHandler for Cgi {
    fn reads_body(&self, _command: &str, path: &str) -> bool {
        self.0.is_below(path, "cgi-bin")
    }

    fn handle_one_request(&mut self, exchange: &mut Exchange<'_>) -> HandlerResult {
        if !self.0.is_below(exchange.path(), "cgi-bin") {
            return self.0.handle_one_request(exchange);
        }
        let root = self.0.path().unwrap_or_default();
        let path = self.0.translate_path(exchange.path()).unwrap_or_default();
        let mut ancestors = path.ancestors(); // the script, and before it what becomes PATH_INFO
        let script = ancestors.find(|path| root.join(path).is_file());
        let script = script.ok_or_else(|| HandlerError::new(404, "There is no such script."))?;
        let command = command(exchange, &root, script, path.strip_prefix(script)?);
        let (body, deferred) = (exchange.take_body(), exchange.defer());
        thread::spawn(move || run(command, body, deferred));
        Ok(())
    }
}

/// Fields that are no variable of their own; `Proxy` would become HTTP_PROXY, which programs take for their proxy (httpoxy).
const WITHHELD: &str =
    "authorization content-length content-type proxy proxy-authorization transfer-encoding";

/// Returns the script with its environment (RFC 3875 section 4.1). There is no AUTH_TYPE, because this server does not authenticate.
fn command(exchange: &Exchange<'_>, root: &Path, script: &Path, path_info: &Path) -> Command {
    let (file, server, headers) = (root.join(script), exchange.server(), exchange.headers());
    let mut command = Command::new(&file);
    command
        .current_dir(file.parent().unwrap_or(root))
        .env_clear();
    command.envs(env::var_os("PATH").map(|path| ("PATH", path)));
    for (name, _) in headers {
        let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        let is_withheld = WITHHELD
            .split(' ')
            .any(|withheld| name.eq_ignore_ascii_case(withheld));
        if name.bytes().all(is_word) && !is_withheld {
            let values = headers.get_all(name).collect::<Vec<_>>().join(&b", "[..]);
            let name = format!("HTTP_{}", name.to_ascii_uppercase().replace('-', "_"));
            command.env(name, OsStr::from_bytes(&values));
        }
    }
    if let Some(media_type) = headers.get("content-type") {
        command.env("CONTENT_TYPE", OsStr::from_bytes(media_type));
    }
    if exchange.body_length() > 0 {
        command.env("CONTENT_LENGTH", exchange.body_length().to_string());
    }
    if path_info != Path::new("") {
        command.env("PATH_INFO", Path::new("/").join(path_info));
        command.env("PATH_TRANSLATED", root.join(path_info));
    }
    let query = exchange.path().split_once('?').unwrap_or_default().1;
    command.env("GATEWAY_INTERFACE", "CGI/1.1");
    command.env("QUERY_STRING", query);
    command.env("REMOTE_ADDR", exchange.address_string());
    command.env("REQUEST_METHOD", exchange.command());
    command.env("SCRIPT_NAME", Path::new("/").join(script));
    command.env("SERVER_NAME", server.server_name());
    command.env("SERVER_PORT", server.server_port().to_string());
    command.env("SERVER_PROTOCOL", exchange.request_version());
    command.env("SERVER_SOFTWARE", server.version_string());
    command
}

/// Runs the script, and sends its output as it comes.
fn run(command: Command, body: RequestBody, deferred: Deferred) {
    let (mut child, mut output) = match start(command, body) {
        Ok(started) => started,
        Err(error) => return deferred.answer(|_| Err(HandlerError::new(502, error))),
    };
    if let Some((status, fields)) = read_head(&mut output) {
        let (give, given) = mpsc::channel();
        deferred.answer(move |exchange| {
            exchange.send_response(status);
            for (name, value) in &fields {
                exchange.send_header(name, value);
            }
            exchange.end_headers();
            Ok(give.send(exchange.stream_writer(16))?)
        });
        // An error says that the client has left.
        let _ = given
            .recv()
            .map(|mut body| io::copy(&mut output, &mut body));
    } else {
        deferred.answer(|_| Err(HandlerError::new(502, "the script sent no valid head")));
    }
    drop(output); // a script that writes more ends by SIGPIPE
    let _ = child.wait();
}

fn start(
    mut command: Command,
    mut body: RequestBody,
) -> io::Result<(Child, BufReader<PipeReader>)> {
    let mut input = tempfile::tempfile()?; // not a pipe, because the script may write before it has read all
    io::copy(&mut body, &mut input)?;
    input.rewind()?;
    let (output, script_output) = io::pipe()?;
    let child = command.stdin(input).stdout(script_output).spawn()?;
    Ok((child, BufReader::new(output)))
}

/// Reads the head of the script's reply (RFC 3875 section 6.3) and returns status and fields; `None` if it is not valid.
fn read_head(output: &mut impl BufRead) -> Option<(u16, Vec<(String, String)>)> {
    let (mut status, mut implied, mut fields) = (None, None, Vec::new());
    for line in output.take(64 * 1024).lines().map_while(Result::ok) {
        if line.is_empty() {
            return Some((status.or(implied)?, fields));
        }
        let (name, value) = line
            .split_once(':')
            .filter(|_| !line.contains(char::is_control))?;
        let (name, value) = (name.to_ascii_lowercase(), value.trim());
        match &*name {
            "status" => status = Some(value.split(' ').next()?.parse().ok()?),
            "connection" | "content-length" | "date" | "server" | "transfer-encoding" => continue,
            "content-type" => implied = implied.max(Some(200)),
            "location" => implied = implied.max(Some(302)),
            _ if name.contains(|c: char| !c.is_ascii_alphanumeric() && c != '-') => return None,
            _ => {}
        }
        fields.push((name, value.to_owned()));
    }
    None
}

fn main() -> io::Result<()> {
    let address = env::args().nth(1).unwrap_or("127.0.0.1:8000".into());
    let root = fs::canonicalize(env::args().nth(2).unwrap_or(".".into()))?;
    let mut server = HttpServer::bind(address, Cgi(SimpleHttpRequestHandler::new(root)?))?;
    println!("http://{}/", server.info().addresses()[0]);
    server.serve_forever()
}
