//! A model of the server: it reads the bytes of a client from front to back, says which replies they must get, and parses the
//! replies as a client would.

use super::handler::content;
use super::properties::ModelHandler;
use super::script::TestLoop;
use crate::config::ServerConfig;
use crate::http::framing::Framing;
use crate::http::properties::{Front, Unchunked, front, unchunk};
use crate::http::request::{RequestError, Version, request_line};

/// More than a batch, so that it streams.
pub(super) const LARGE: usize = 33 * 1024;
/// What a connection may hold under the limits of the property: one read, one head, one batch and a reply beyond it, each in
/// a `Vec` that has doubled.
const MAX_KEPT: usize = 2 * (64 * 1024 + 1024 + 32 * 1024 + LARGE + 1024);

/// What the handler is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ModelRequest {
    pub(super) command: String,
    pub(super) path: String,
    pub(super) body: Vec<u8>,
}

impl ModelRequest {
    pub(super) fn status(&self) -> u16 {
        match self.path.as_str() {
            "/none" => 204,
            "/unchanged" => 304,
            "/error" | "/misuse" => 500,
            "/late" => 503,
            _ => 200,
        }
    }

    pub(super) fn is_last(&self) -> bool {
        self.path == "/last"
    }

    /// The body of the reply, unless it is an error.
    pub(super) fn said(&self) -> Vec<u8> {
        if self.path.ends_with("/file") {
            return content(LARGE);
        }
        let Self {
            command,
            path,
            body,
        } = self;
        let text = format!("{command} {path} {}", body.escape_ascii());
        match self.path.as_str() {
            "/large" => text.repeat(LARGE / text.len() + 1).into_bytes(),
            "/stream" => text.repeat(3).into_bytes(),
            _ => text.into_bytes(),
        }
    }
}

/// The replies that some bytes must get.
#[derive(Debug, Default)]
pub(super) struct Model {
    replies: Vec<Due>,
    /// What may stand in place of the last reply: its request may be answered before the end of its unwanted body has come,
    /// which shows that no request can follow.
    early: Option<Due>,
    /// The last request waits for its body, and has got `100 Continue`.
    may_continue: bool,
}

/// A reply that must come.
#[derive(Debug)]
struct Due {
    /// `None` where it is a refusal.
    asked: Option<ModelRequest>,
    status: u16,
    is_head: bool,
    is_bare: bool,
    closes: bool,
    may_continue: bool,
}

/// What becomes of a body.
enum ModelBody {
    /// It has not come; the reply waits for it only if it is wanted.
    Incomplete,
    Refused(RequestError),
    /// It is not wanted, and too long to be discarded.
    TooMuch,
    Complete(Vec<u8>, usize),
}

impl Model {
    pub(super) fn of(bytes: &[u8], config: &ServerConfig) -> Self {
        let (mut model, mut rest) = (Self::default(), bytes);
        loop {
            let head = match front(rest, &[], config) {
                Front::Incomplete => return model,
                Front::Refused(error) => return model.refuse(error, rest, false),
                Front::Head(head) => head,
            };
            let (line, after) = rest.split_at(head.end);
            let asked = |body| ModelRequest {
                command: head.command.clone(),
                path: head.path.clone(),
                body,
            };
            let wanted = head.path != "/skip";
            let may_continue = head.expects_continue && head.framing != Framing::Length(0);
            let due = |body, closes| {
                let asked = asked(body);
                // Without a length, only the close ends a body.
                let is_endless = head.version < Version::Http11 && head.path == "/stream";
                Due {
                    status: asked.status(),
                    is_head: head.command == "HEAD",
                    is_bare: head.version == Version::Http09,
                    closes: closes || !head.keep_alive || asked.is_last() || is_endless,
                    may_continue,
                    asked: Some(asked),
                }
            };
            let body = read_body(head.framing, after, wanted, config);
            if !wanted && head.framing == Framing::Chunked {
                let is_bad = matches!(body, ModelBody::Refused(_) | ModelBody::TooMuch);
                model.early = is_bad.then(|| due(Vec::new(), false));
            }
            let (due, length) = match body {
                ModelBody::Incomplete if wanted => {
                    model.may_continue = may_continue;
                    return model;
                }
                ModelBody::Refused(error) => return model.refuse(error, line, may_continue),
                ModelBody::Incomplete => (due(Vec::new(), false), after.len()),
                ModelBody::TooMuch => (due(Vec::new(), true), after.len()),
                ModelBody::Complete(content, length) if wanted => (due(content, false), length),
                ModelBody::Complete(_, length) => (due(Vec::new(), false), length),
            };
            let closes = due.closes;
            model.replies.push(due);
            if closes {
                return model;
            }
            rest = &after[length..];
        }
    }

    /// Whether the replies depend on how much has come when the last one is made.
    pub(super) fn depends_on_cuts(&self) -> bool {
        self.may_continue() || self.early.is_some()
    }

    /// The replies that must have been given, and whether the connection ends after the last.
    fn chosen(&self, asked: usize, output: &[u8]) -> (Vec<&Due>, bool) {
        let mut replies: Vec<_> = self.replies.iter().collect();
        let (Some(early), Some(last)) = (&self.early, self.replies.last()) else {
            let closes = self.replies.last().is_some_and(|reply| reply.closes);
            return (replies, closes);
        };
        let last_head =
            memchr::memmem::rfind(output, b"HTTP/1.1 ").map_or(output, |at| &output[at..]);
        let announces = memchr::memmem::find(last_head, b"\r\nConnection: close\r\n").is_some();
        let due = replies.iter().filter(|reply| reply.asked.is_some()).count();
        let is_early = if last.asked.is_none() {
            asked > due
        } else {
            !announces
        };
        if is_early {
            replies.pop();
            replies.push(early);
        }
        (replies, true)
    }

    fn refuse(mut self, error: RequestError, head: &[u8], may_continue: bool) -> Self {
        let line = request_line(head);
        self.replies.push(Due {
            asked: None,
            status: error.status().code(),
            is_head: line.split(|byte| b" \t".contains(byte)).next() == Some(b"HEAD"),
            is_bare: false,
            closes: true,
            may_continue,
        });
        self
    }

    /// Whether an interim reply may be among the others.
    fn may_continue(&self) -> bool {
        self.may_continue || self.replies.iter().any(|reply| reply.may_continue)
    }

    /// Takes `output` apart as a client would; returns the statuses.
    pub(super) fn assert_met(&self, stage: &TestLoop<ModelHandler>, mut output: &[u8]) -> Vec<u16> {
        let (replies, closes) = self.chosen(stage.context.handler.asked.len(), output);
        let asked = replies.iter().filter_map(|reply| reply.asked.clone());
        assert_eq!(stage.context.handler.asked, asked.collect::<Vec<_>>());
        let mut statuses = Vec::new();
        let mut number = 0;
        for due in replies {
            number += usize::from(due.asked.is_some());
            if due.may_continue {
                skip_continue(&mut output);
            }
            due.assert_met(&mut output, number);
            statuses.push(due.status);
        }
        if self.may_continue {
            skip_continue(&mut output);
        }
        assert_eq!(
            output.escape_ascii().to_string(),
            "",
            "more than was asked for"
        );
        let ends = ["Lingering(None)", "Closed"].contains(&stage.state());
        let waits = [
            "Reading(None)",
            "Reading(Some)",
            "ReadingBody",
            "Lingering(Some)",
        ]
        .contains(&stage.state());
        assert!(if closes { ends } else { waits }, "{}", stage.state());
        assert!(stage.kept <= MAX_KEPT, "{} bytes were kept", stage.kept);
        statuses
    }
}

/// Reads the body at the front of `bytes`, as much of it as is wanted.
fn read_body(framing: Framing, bytes: &[u8], wanted: bool, config: &ServerConfig) -> ModelBody {
    let limit = if wanted {
        config.max_body
    } else {
        config.max_discard
    };
    let too_much = || {
        if wanted {
            ModelBody::Refused(RequestError::BodyTooLarge)
        } else {
            ModelBody::TooMuch
        }
    };
    match framing {
        Framing::Length(length) if length > limit => too_much(),
        Framing::Length(length) => match bytes.get(..length as usize) {
            Some(content) => ModelBody::Complete(content.to_vec(), length as usize),
            None => ModelBody::Incomplete,
        },
        Framing::Chunked => match unchunk(bytes, &[]) {
            (content, _) if content.len() as u64 > limit => too_much(),
            (_, Unchunked::More) => ModelBody::Incomplete,
            (_, Unchunked::Malformed) => ModelBody::Refused(RequestError::ChunkedBody),
            (content, Unchunked::Done(length)) => ModelBody::Complete(content, length),
        },
    }
}

impl Due {
    /// Takes this reply off the front of `output`.
    fn assert_met(&self, output: &mut &[u8], number: usize) {
        let said = self
            .asked
            .as_ref()
            .filter(|_| self.status == 200)
            .map(ModelRequest::said);
        if self.is_bare {
            let body = std::mem::take(output);
            assert!(said.is_none_or(|said| body == said));
            return;
        }
        let mut fields = [httparse::EMPTY_HEADER; 16];
        let mut reply = httparse::Response::new(&mut fields);
        let parsed = reply.parse(output);
        let Ok(httparse::Status::Complete(length)) = parsed else {
            panic!("{parsed:?}: {}", output.escape_ascii());
        };
        let field = |name: &str| {
            let mut fields = reply
                .headers
                .iter()
                .filter(|field| field.name.eq_ignore_ascii_case(name));
            let field = fields
                .next()
                .map(|field| String::from_utf8_lossy(field.value).into_owned());
            assert!(fields.next().is_none(), "{name} twice");
            field
        };
        assert_eq!(reply.code, Some(self.status), "{}", output.escape_ascii());
        assert_eq!(field("Connection").as_deref() == Some("close"), self.closes);
        assert_eq!(field("C"), None);
        if self.status < 400 {
            assert_eq!(field("X-Number"), Some(number.to_string()));
        }
        *output = &output[length..];
        let length = field("Content-Length").map(|length| length.parse::<usize>().unwrap());
        let is_chunked = field("Transfer-Encoding").is_some();
        assert!(!is_chunked || length.is_none());
        let body = if self.is_head || matches!(self.status, 204 | 304) {
            return;
        } else if is_chunked {
            let (content, Unchunked::Done(length)) = unchunk(output, &[]) else {
                panic!("half a body: {}", output.escape_ascii());
            };
            *output = &output[length..];
            content
        } else {
            assert!(length.is_some() || self.closes, "no framing at all");
            let (body, rest) = output.split_at(length.unwrap_or(output.len()));
            *output = rest;
            body.to_vec()
        };
        assert!(
            said.is_none_or(|said| body == said),
            "{}",
            body.escape_ascii()
        );
    }
}

fn skip_continue(output: &mut &[u8]) {
    *output = output
        .strip_prefix(b"HTTP/1.1 100 Continue\r\n\r\n")
        .unwrap_or(output);
}
