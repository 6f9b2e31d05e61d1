//! The configuration of a server: plain data, read by the loop and never changed by it.

use std::error::Error;
use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;
use std::time::Duration;

pub(crate) mod trusted_proxy;

pub use trusted_proxy::{InvalidTrustedProxy, TrustedProxy};

/// The limits, timeouts and choices of a server. The defaults fit a small machine.
///
/// Each field says what it sets, its unit, what happens beyond it, and its default. A server of N loops (see
/// [`ThreadingHttpServer`](crate::ThreadingHttpServer)) gives each loop an N-th of a *shared* limit; every other limit holds for
/// each loop.
///
/// ```
/// use std::time::Duration;
///
/// use httpoll::ServerConfig;
///
/// let config = ServerConfig::default().with(|config| {
///     config.max_head = 16 * 1024;
///     config.keep_alive_timeout = Duration::from_secs(5);
/// });
/// assert_eq!(config.request_queue_size, 4096);
/// ```
///
/// More fields will come, so a configuration begins with [`default`](Self::default) and is changed by assignment or by
/// [`with`](Self::with).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ServerConfig {
    /// The HTTP version that status lines name. With HTTP/1.0 every connection closes after one reply. Default: HTTP/1.1.
    pub protocol_version: ProtocolVersion,
    /// Whether `GET /path` without a version is answered as HTTP/0.9: with the body alone, and then the close. Otherwise it is
    /// refused with 400. Default: true.
    pub http09: bool,
    /// The hosts that the server answers for, such as `localhost`, `example.org:8000` or `[::1]`. A request for another host, or
    /// for none, is answered with 421 and does not reach the handler. Default: empty, which means every host.
    ///
    /// The host is taken from an absolute target, otherwise from the `Host` field. Case and a final dot make no difference. A port
    /// is compared only if it is given here; a request that names no port is then for port 80.
    pub hosts: Vec<String>,
    /// Bytes of a request line. A longer one is refused with 414. Default: 8 KiB.
    pub max_request_line: usize,
    /// Bytes of a request head, request line included. A longer one is refused with 431, and so is every head of more than
    /// 100 fields. Default: 32 KiB.
    pub max_head: usize,
    /// Bytes of a request body that the handler [reads](crate::BaseHttpRequestHandler::reads_body). A longer one is refused with
    /// 413. Default: 1 MiB.
    pub max_body: u64,
    /// Bytes that are read and discarded of a request body that the handler does not want, so that the next request on the
    /// connection can be read. The reply is sent at once in any case; after a longer body the connection closes. Default: 1 MiB.
    pub max_discard: u64,
    /// Bytes of memory for all request bodies that arrive or that a handler keeps, a shared limit. A body takes at most 64 KiB of
    /// it, and then goes to a temporary file. Beyond the limit a request is refused with 503. Default: 16 MiB.
    pub max_spooled_memory: u64,
    /// Bytes of all temporary files with request bodies, a shared limit. Beyond it a request is refused with 503. Default: 4 GiB.
    pub max_spooled_bytes: u64,
    /// Number of temporary files with request bodies, each of which takes a descriptor; a shared limit. Beyond it a request is
    /// refused with 503. Default: 64.
    pub max_spooled_files: u64,
    /// Bytes of memory for all request heads that are incomplete or wait for their bodies, a shared limit. Beyond it the server
    /// closes the connection with the oldest head. Default: 2 MiB.
    pub max_request_memory: usize,
    /// Bytes of memory for all replies that the sockets have not taken yet, a shared limit. Files are not in memory, and a larger
    /// reply counts as 128 KiB. Beyond the limit the server resets a connection if its client has taken nothing for 250 ms; beyond
    /// twice the limit, the connection that has waited longest. Default: 8 MiB.
    pub max_reply_memory: usize,
    /// Time for a whole request head, counted from its first byte: bytes that drip in do not extend it. Then the request is
    /// refused with 408. Default: 10 s.
    pub head_timeout: Duration,
    /// Period in which a request body must make progress, at the rate of [`min_body_rate`](Self::min_body_rate). Otherwise the
    /// request is refused with 408. Default: 10 s.
    pub body_timeout: Duration,
    /// Bytes per second of a request body that must arrive, on average over each `body_timeout`. Default: 1024.
    pub min_body_rate: u64,
    /// Time without progress after which a connection is reset: the socket takes no bytes of the reply, and the peer has received
    /// less than 1 KiB per second of those that the socket holds. Default: 30 s.
    #[doc(alias = "timeout")]
    pub send_timeout: Duration,
    /// Number of threads, for all loops together, that look up, open, read, list and close files where that may wait for a disk or a
    /// file server: what is not in memory, and everything on file systems that are not known to be local. Then only the clients that
    /// ask for these files wait; `docs/limits.md` says what remains for which the loop may wait. The threads start when the server
    /// does, and work for [`SimpleHttpRequestHandler`](crate::SimpleHttpRequestHandler) and
    /// [`Exchange::copyfile`](crate::Exchange::copyfile). When all of them work for file servers, or hang, one more is started for
    /// local files. Default: 0, the loop does all of this itself; the command sets 4.
    pub file_threads: usize,
    /// Time that a request waits for a job of the [`file_threads`](Self::file_threads). Then it is answered with 503, or, if its reply
    /// has begun, its connection closes. A thread that works on one job for longer counts as lost until it comes back; while all
    /// are lost, requests for files of file servers are answered with 503 at once. Default: 30 s.
    pub file_timeout: Duration,
    /// Time that a connection may stay open without a request. Then it is closed, without a reply. Behind a balancer it must be
    /// longer than the time for which the balancer keeps an idle connection. Default: 75 s.
    pub keep_alive_timeout: Duration,
    /// Time that the server waits for a peer that is silent while the server discards what it sends: after the last reply, until
    /// the peer closes its side, or within a body that no handler wants. Each byte begins it again. Then the connection closes.
    /// Default: 5 s.
    pub linger_timeout: Duration,
    /// Time after a reply in which the server discards what the peer sends. A client that reads no reply before it has sent its
    /// whole request body gets its reply if the body ends within this time. Then the connection closes. Default: 30 s.
    pub linger_time: Duration,
    /// Time for which the server goes on listening after a shutdown was requested, while every reply ends its connection. A
    /// balancer needs it to see that the server drains: its interval of checks times the number of checks that must fail. Default: 0.
    pub drain_delay: Duration,
    /// Time that replies in flight have to finish after a shutdown and the `drain_delay`. Then their connections close. Default:
    /// 25 s, with which a server ends before Kubernetes kills it after 30 s.
    pub drain_timeout: Duration,
    /// Number of open connections, a shared limit. At the limit one connection makes room if others wait to be accepted: first the
    /// one that has been idle longest; then the one that has waited longest with half a head, with a body that no handler
    /// wants, with a body that trickles, with a reply that its client does not read, or for a second or more for a file, which is then
    /// a 503. If there is none of these, new connections wait in the queue of the kernel. Default: `None`, what the limit on
    /// descriptors allows, with a reserve for files.
    pub max_connections: Option<usize>,
    /// Number of open connections of one client, which is an IPv4 address or a /64 of IPv6; a shared limit. Further ones are
    /// closed without a reply. Peers of UNIX sockets are not counted. A connection of a [trusted proxy](Self::trusted_proxies) counts
    /// for the client that its header fields name from the head of a request to the end of its reply, and a request beyond the limit
    /// is answered with 429. Default: `None`, any number, because a whole company may share one address.
    pub max_connections_per_ip: Option<usize>,
    /// The proxies that are believed when they name the client: in `Forwarded` (RFC 7239), in `X-Forwarded-For`, or by the PROXY
    /// protocol. The client of a request is then the right-most address that is not one of these proxies, for the log,
    /// [`Exchange::client_address`](crate::Exchange::client_address) and `max_connections_per_ip`. Default: empty: the client is
    /// the peer, and these fields are ignored.
    ///
    /// ```
    /// use httpoll::{ServerConfig, TrustedProxy};
    ///
    /// let balancers = ["10.0.0.0/8".parse()?, TrustedProxy::UNIX];
    /// let config = ServerConfig::default().with(|config| config.trusted_proxies = balancers.into());
    /// # Ok::<(), httpoll::InvalidTrustedProxy>(())
    /// ```
    pub trusted_proxies: Vec<TrustedProxy>,
    /// Whether connections from [`trusted_proxies`](Self::trusted_proxies) must begin with the header of the PROXY protocol,
    /// version 1 or 2. A connection without it is closed. Other peers must not send it. Default: false.
    pub proxy_protocol: bool,
    /// Number of connections that the kernel holds until the loop accepts them (the backlog of `listen`). Beyond it, clients
    /// wait for their connection. Default: 4096.
    pub request_queue_size: u32,
    /// Whether the kernel holds a connection until its first bytes have arrived (TCP_DEFER_ACCEPT). One request per connection
    /// then costs a fifth less, but a client that connects and sends nothing is not seen for a second or more, and does not time
    /// out before. Listeners that are handed in keep their own setting. Default: false; the command sets it.
    pub defer_accept: bool,
    /// Whether several servers may listen on the same port and share its connections (SO_REUSEPORT). Default: false.
    pub allow_reuse_port: bool,
    /// Bytes of memory for all listings of more than 512 entries, a shared limit. It counts the entries, which are stored once for
    /// all clients that ask for the same directory in the same order at the same time, and 8 KiB for each reply. Beyond it, and
    /// for a directory that alone needs more, the reply is 503. Default: 32 MiB.
    pub max_listing_bytes: usize,
    /// Fields that are added to every reply, as pairs of name and value; [`check`](Self::check) says which are allowed. Default:
    /// none.
    pub extra_response_headers: Vec<(String, String)>,
    /// Whether pages of any other origin may read the replies (CORS). Every reply then has `Access-Control-Allow-Origin: *` and an
    /// `Access-Control-Expose-Headers` for ranges and validators, unless the handler or
    /// [`extra_response_headers`](Self::extra_response_headers) has that field. A handler answers preflights with
    /// [`Exchange::send_options`](crate::Exchange::send_options), as
    /// [`SimpleHttpRequestHandler`](crate::SimpleHttpRequestHandler) does. Default: false.
    pub cors: bool,
    /// Whether every loop prints its [counters](crate::Counters) on standard error when it ends. Default: false.
    pub report: bool,
    /// The format of the access log, which has a line for each request, written when the last byte of the reply has left: to standard
    /// error, or to a [`LogFile`](crate::LogFile). Default: [`LogFormat::Common`].
    pub log_format: LogFormat,
    /// How the loop shares its time and memory between connections. The defaults are those that were measured.
    pub tuning: Tuning,
}

impl ServerConfig {
    /// Returns this configuration with what `change` sets, so that a few fields can be changed in one expression.
    pub fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    /// Whether what `peer` says about clients is believed.
    pub(crate) fn trusts(&self, peer: SocketAddr) -> bool {
        self.trusted_proxies
            .iter()
            .any(|proxy| proxy.contains(peer))
    }
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            protocol_version: ProtocolVersion::Http11,
            http09: true,
            hosts: Vec::new(),
            max_request_line: 8 * 1024,
            max_head: 32 * 1024,
            max_body: 1024 * 1024,
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
            file_threads: 0,
            file_timeout: Duration::from_secs(30),
            keep_alive_timeout: Duration::from_secs(75),
            linger_timeout: Duration::from_secs(5),
            linger_time: Duration::from_secs(30),
            drain_delay: Duration::ZERO,
            drain_timeout: Duration::from_secs(25),
            max_connections: None,
            max_connections_per_ip: None,
            trusted_proxies: Vec::new(),
            proxy_protocol: false,
            request_queue_size: 4096,
            defer_accept: false,
            allow_reuse_port: false,
            max_listing_bytes: 32 * 1024 * 1024,
            extra_response_headers: Vec::new(),
            cors: false,
            report: false,
            log_format: LogFormat::Common,
            tuning: Tuning::default(),
        }
    }
}

/// How a loop shares its time and memory between connections and files. Few servers need other values than the defaults.
///
/// ```
/// use httpoll::ServerConfig;
///
/// let small = ServerConfig::default().with(|config| config.tuning.cache_bytes = 1024 * 1024);
/// assert_eq!(small.tuning.cache_descriptors, 64);
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Tuning {
    /// Bytes of bodies that all connections of a loop may send in one turn. Small bodies leave at once. Larger ones go on in the
    /// next turn; the one with the least left goes first, after those that have waited long enough. Default: 4 MiB.
    pub turn_bytes: usize,
    /// Number of requests of one connection that are answered in a row. Further ones wait until the other connections have had
    /// their turn. Default: 64.
    pub turn_requests: usize,
    /// Whether a connection waits while the kernel, or one of the [`file_threads`](ServerConfig::file_threads), reads the next bytes of
    /// a large file that are not in memory, so that the disk does not stop the loop. Otherwise the loop reads them at once, also if
    /// there are such threads; and without threads, it does so where the file system cannot tell what is in memory, or takes longer
    /// than about two seconds. Default: true.
    pub read_ahead: bool,
    /// Bytes of memory in each loop for cached replies: small files, small listings and 404s. A reply stays until the kernel
    /// reports a change of the files that it was made of. When the cache is full, the least recently used reply makes room if it
    /// has not been used for 2 s; otherwise the new one is not cached. Default: 32 MiB.
    pub cache_bytes: usize,
    /// Number of large files that each loop keeps open, for at most 5 s after their last use. Beyond it the least recently used
    /// one is closed. Default: 64.
    pub cache_descriptors: usize,
}

impl Default for Tuning {
    fn default() -> Self {
        Self {
            turn_bytes: 4 * 1024 * 1024,
            turn_requests: 64,
            read_ahead: true,
            cache_bytes: 32 * 1024 * 1024,
            cache_descriptors: 64,
        }
    }
}

/// The HTTP version of a server's replies.
///
/// ```
/// use httpoll::ProtocolVersion;
///
/// assert_eq!("HTTP/1.0".parse(), Ok(ProtocolVersion::Http10));
/// assert_eq!(ProtocolVersion::Http11.to_string(), "HTTP/1.1");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ProtocolVersion {
    /// HTTP/1.0: one request per connection, no chunked bodies.
    Http10,
    /// HTTP/1.1: persistent connections, pipelining and chunked bodies.
    Http11,
}

impl ProtocolVersion {
    /// Returns the version as a status line spells it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Http10 => "HTTP/1.0",
            Self::Http11 => "HTTP/1.1",
        }
    }
}

impl fmt::Display for ProtocolVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for ProtocolVersion {
    type Err = UnknownName;

    /// Reads `HTTP/1.0` or `HTTP/1.1`.
    fn from_str(text: &str) -> Result<Self, UnknownName> {
        match text {
            "HTTP/1.0" => Ok(Self::Http10),
            "HTTP/1.1" => Ok(Self::Http11),
            _ => Err(UnknownName("HTTP/1.0, HTTP/1.1")),
        }
    }
}

/// The format of the access log.
///
/// ```
/// use httpoll::LogFormat;
///
/// assert_eq!("json".parse(), Ok(LogFormat::Json));
/// assert_eq!(LogFormat::Common.to_string(), "common");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LogFormat {
    /// No access log.
    None,
    /// NCSA Common Log Format, in UTC.
    Common,
    /// The common format with `Referer` and `User-Agent`.
    Combined,
    /// One JSON object per line, with the duration in microseconds, what the reply waited for, and the numbers that tie the request
    /// to those of other servers.
    Json,
}

impl fmt::Display for LogFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "none",
            Self::Common => "common",
            Self::Combined => "combined",
            Self::Json => "json",
        })
    }
}

impl FromStr for LogFormat {
    type Err = UnknownName;

    /// Reads `none`, `common`, `combined` or `json`.
    fn from_str(text: &str) -> Result<Self, UnknownName> {
        match text {
            "none" => Ok(Self::None),
            "common" => Ok(Self::Common),
            "combined" => Ok(Self::Combined),
            "json" => Ok(Self::Json),
            _ => Err(UnknownName("none, common, combined, json")),
        }
    }
}

/// The error for a text that names no [`LogFormat`] or [`ProtocolVersion`]; it says which names there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownName(&'static str);

impl fmt::Display for UnknownName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not one of {}", self.0)
    }
}

impl Error for UnknownName {}
