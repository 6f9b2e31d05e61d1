//! The output of a script (RFC 3875 section 6): a head, and a body that comes while it is sent.

use std::io::{self, BufRead as _, BufReader, Read as _, Seek as _};
use std::process::{ChildStdout, Command, Stdio};
use std::{error::Error, thread};

use httpoll::{HttpStatus, RequestBody};

/// Fields that are not passed on: the status is in the status line, and the server frames and dates the reply.
const SET_BY_SERVER: &str = "connection content-length date server status transfer-encoding";

pub(crate) struct Output {
    pub(crate) status: HttpStatus,
    pub(crate) fields: Vec<(String, String)>,
    pub(crate) body: BufReader<ChildStdout>,
}

/// Starts the script, and reads the head of its output.
pub(crate) fn start(mut command: Command, mut body: RequestBody) -> Result<Output, Box<dyn Error>> {
    let mut input = tempfile::tempfile()?; // not a pipe: the script may write before it has read all
    io::copy(&mut body, &mut input)?;
    input.rewind()?;
    let mut child = command.stdin(input).stdout(Stdio::piped()).spawn()?;
    let mut output = Output {
        status: HttpStatus::OK,
        fields: Vec::new(),
        body: BufReader::new(child.stdout.take().ok_or("no pipe")?),
    };
    thread::spawn(move || child.wait()); // leaves no zombie
    for line in output
        .body
        .by_ref()
        .take(64 * 1024)
        .lines()
        .map_while(Result::ok)
    {
        if line.is_empty() && !output.fields.is_empty() {
            let is_passed_on = |name: &str| SET_BY_SERVER.split(' ').all(|set| set != name);
            output.fields.retain(|(name, _)| is_passed_on(name));
            return Ok(output);
        }
        let (name, value) = line.split_once(':').unwrap_or_default();
        let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        if name.is_empty() || !name.bytes().all(is_word) || value.contains(char::is_control) {
            return Err("the script sent no valid head".into());
        }
        let (name, value) = (name.to_ascii_lowercase(), value.trim().to_owned());
        match &*name {
            "status" => output.status = value.parse()?,
            // A Location without a host is for the client here; section 6.2.2 has the server answer for it.
            "location" if output.status == HttpStatus::OK => output.status = HttpStatus::FOUND,
            _ => {}
        }
        output.fields.push((name, value));
    }
    Err("the script ended before its head".into())
}
