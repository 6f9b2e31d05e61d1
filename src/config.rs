//! Limits, timeouts and choices of a server: plain data, read by the loop and never changed by it.

use std::time::Duration;

/// Everything that can be set on a server; the defaults fit a small machine.
///
/// ```
/// use httpoll::ServerConfig;
///
/// let config = ServerConfig { max_request_line: 4096, ..ServerConfig::default() };
/// assert_eq!(config.request_queue_size, 4096);
/// ```
#[derive(Clone, Debug)]
pub struct ServerConfig {
    /// The version that replies announce; under HTTP/1.0 every connection closes after one reply.
    pub protocol_version: ProtocolVersion,
    /// Whether a request line without a version is answered as HTTP/0.9: the body alone, then the close.
    pub http09: bool,
    /// Hosts that requests may be for, such as `localhost`, `example.org:8000` or `[::1]`; others are answered with 421 and do
    /// not reach the handler, nor do requests that name no host. Without any, every host is answered for.
    ///
    /// The host of an absolute target counts, else that of Host. Case and a dot at the end make no difference. A port counts
    /// only if it is given here; a request without one is then for port 80.
    pub hosts: Vec<String>,
    /// Bytes of a request line before it is refused with 414.
    pub max_request_line: usize,
    /// Bytes of a request head, request line included, before it is refused with 431. A head of more than 100 fields
    /// is refused alike.
    pub max_head: usize,
    /// Bytes of a request body that a handler may be given; beyond that 413.
    pub max_body: u64,
    /// Bytes of a request body that are read and discarded where the handler does not want it, so that the next request on the
    /// connection stays in step. The reply is sent at once in any case; beyond these bytes the connection closes after it.
    pub max_discard: u64,
    /// Bytes of memory that request bodies may take at a time, all together, while they arrive or a handler keeps them; each
    /// takes at most 64 KiB and then goes to a file. Beyond that 503. N loops have an N-th each.
    pub max_spooled_memory: u64,
    /// Bytes of temporary files that request bodies may take at a time, all together. Beyond that 503. N loops have an N-th each.
    pub max_spooled_bytes: u64,
    /// Request bodies that may be in temporary files at a time, each of them a descriptor. Beyond that 503. N loops have an
    /// N-th each.
    pub max_spooled_files: u64,
    /// Bytes of memory that request heads may take at a time, all together, while they or their bodies arrive. Beyond that the
    /// connection whose head has waited longest is closed. N loops have an N-th each.
    pub max_request_memory: usize,
    /// Bytes of memory that replies may take at a time, all together, which the sockets do not take; files are not in memory, and a
    /// larger reply of a handler counts as 128 KiB. Beyond that a connection is closed whose client has taken nothing for 250 ms,
    /// beyond twice as much the one that has waited longest. N loops have an N-th each.
    pub max_reply_memory: usize,
    /// Time for a whole request head, from its first byte on; a slow drip does not extend it. Then 408.
    pub head_timeout: Duration,
    /// Time after which a request body must have made progress, and again after each such time:
    /// [`min_body_rate`](Self::min_body_rate). Else 408.
    pub body_timeout: Duration,
    /// Bytes of a request body that must come in a second, on the average of each `body_timeout`.
    pub min_body_rate: u64,
    /// Time without progress while sending a reply: the socket takes nothing, and of what it has, fewer than 1 KiB a second reach
    /// the peer. Then the connection is reset.
    #[doc(alias = "timeout")]
    pub send_timeout: Duration,
    /// Time that a connection may stay open without a request. Then it closes silently.
    pub keep_alive_timeout: Duration,
    /// Time that a closing connection waits for the peer to read the last reply and to close its side, and again after all that
    /// the peer still sends. So long, too, a connection waits for the rest of a body that no handler wants.
    pub linger_timeout: Duration,
    /// Time that a closing connection goes on reading, and throwing away, what the peer still sends. A client that reads no reply
    /// before it has sent its whole request body gets its reply if the body ends by then. So long, too, the rest of a body is
    /// read that no handler wants; then the connection closes.
    pub linger_time: Duration,
    /// Time that replies in flight have to finish after a shutdown was asked for.
    pub drain_timeout: Duration,
    /// Connections that may be open at a time; `None` is what the limit on descriptors allows, with a reserve for files. At
    /// the limit one makes room, for others wait: the one that has been idle for longest; where none is, that with half a head for
    /// longest; then one whose body no handler wants, one whose body trickles, and one whose reply its client does not read.
    /// Where there is none of these, the queue waits.
    pub max_connections: Option<usize>,
    /// Connections that one client may have open at a time, an IPv4 address or a /64 of IPv6; what comes beyond is closed
    /// without a word. `None` is any number: behind one address there may be a whole company. N loops have an N-th each.
    pub max_connections_per_ip: Option<usize>,
    /// Connections that the kernel holds ready for `accept`.
    pub request_queue_size: u32,
    /// Whether the kernel keeps a connection to itself until its first bytes are here (TCP_DEFER_ACCEPT): one request per
    /// connection costs a fifth less, but who connects and says nothing is not seen for a second or more, and is not timed
    /// out before. Listeners that were made elsewhere are taken as they are.
    pub defer_accept: bool,
    /// Whether several servers may listen on the same port (SO_REUSEPORT) and share its connections.
    pub allow_reuse_port: bool,
    /// Bytes of bodies that all connections together may send in one turn of the loop. Small bodies leave as soon as they are
    /// asked for; of the others, the one that has least left goes first, and who has waited for long enough goes before it.
    pub turn_bytes: usize,
    /// Requests that one connection may have answered in one go.
    pub turn_requests: usize,
    /// Whether a file that is not in memory is asked for and waited for, so that the disk does not stop the loop; a file system
    /// that cannot tell is read as it comes.
    pub read_ahead: bool,
    /// Bytes of memory for replies that are kept: small files, small listings and 404s, as long as the kernel reports no
    /// change of what they were made of. Each loop keeps its own.
    pub cache_bytes: usize,
    /// Bytes of memory for listings of more than 512 entries, all together: the entries, which those share who ask for the same
    /// directory in the same order at the same time, and 8 KiB for each reply. Beyond that, and for a directory that needs more
    /// by itself, 503. N loops have an N-th each.
    pub max_listing_bytes: usize,
    /// Large files that are kept open, for at most 5 seconds after their last use.
    pub cache_descriptors: usize,
    /// Fields added to every reply, as pairs of name and value.
    pub extra_response_headers: Vec<(String, String)>,
    /// Whether every loop prints its [counters](crate::Counters) on standard error at its end.
    pub report: bool,
    /// How a request is logged once its last byte has left.
    pub log_format: LogFormat,
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            protocol_version: ProtocolVersion::Http11,
            http09: true,
            hosts: Vec::new(),
            max_request_line: 8 * 1024,
            max_head: 32 * 1024,
            max_body: 1024 * 1024 * 1024,
            max_discard: 1024 * 1024,
            max_spooled_memory: 16 * 1024 * 1024,
            max_spooled_bytes: 4 * 1024 * 1024 * 1024,
            max_spooled_files: 64,
            max_request_memory: 2 * 1024 * 1024,
            max_reply_memory: 8 * 1024 * 1024,
            head_timeout: Duration::from_secs(10),
            body_timeout: Duration::from_secs(10),
            min_body_rate: 1024,
            send_timeout: Duration::from_secs(30),
            keep_alive_timeout: Duration::from_secs(60),
            linger_timeout: Duration::from_secs(5),
            linger_time: Duration::from_secs(30),
            drain_timeout: Duration::from_secs(30),
            max_connections: None,
            max_connections_per_ip: None,
            request_queue_size: 4096,
            defer_accept: false,
            allow_reuse_port: false,
            turn_bytes: 4 * 1024 * 1024,
            turn_requests: 64,
            read_ahead: true,
            cache_bytes: 32 * 1024 * 1024,
            max_listing_bytes: 32 * 1024 * 1024,
            cache_descriptors: 64,
            extra_response_headers: Vec::new(),
            report: false,
            log_format: LogFormat::Common,
        }
    }
}

/// The HTTP version that a server speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProtocolVersion {
    /// One request per connection, no chunked bodies.
    Http10,
    /// Persistent connections, pipelining and chunked bodies.
    Http11,
}

impl ProtocolVersion {
    /// Returns the version as the status line has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Http10 => "HTTP/1.0",
            Self::Http11 => "HTTP/1.1",
        }
    }
}

/// The shape of an access log line on standard error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// No access log.
    None,
    /// NCSA Common Log Format, in UTC.
    Common,
    /// The common format with `Referer` and `User-Agent`.
    Combined,
    /// One JSON object a line, with the duration in microseconds.
    Json,
}
