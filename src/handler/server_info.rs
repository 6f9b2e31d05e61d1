//! What a handler can read about its server: configuration, addresses and counters.

use std::cell::{Cell, RefCell};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use super::BaseHttpRequestHandler;
use super::counters::Counters;
use super::error_pages::ErrorPages;
use super::idle_files::IdleFiles;
use super::listing_memory::ListingMemory;
use crate::config::ServerConfig;
use crate::http::field::{FieldLines, FieldName, FieldValue, ForbiddenBytes};
use crate::http::host::{ServedHost, is_served};
use crate::http::request::Request;
use crate::wire::file_threads::FileThreads;
use crate::wire::shared_file::SharedFile;

/// A read-only view of a server, or of one loop of several: its configuration, addresses and counters.
#[derive(Clone, Debug)]
#[doc(alias = "server")]
pub struct ServerInfo {
    config: ServerConfig,
    version_string: String,
    /// The `Server` field, rendered.
    server_field: FieldLines,
    /// The fields that the configuration adds to every reply, rendered.
    extra_fields: FieldLines,
    file_policy: Arc<FieldLines>,
    error_pages: ErrorPages,
    hosts: Vec<ServedHost>,
    addresses: Vec<SocketAddr>,
    /// A number that no other loop of this process has.
    pub(crate) serial: u64,
    pub(crate) counters: Counters,
    /// Whether every reply is the last one of its connection.
    pub(crate) draining: bool,
    /// Hits and misses of the cache. The handler counts them, and it has only a shared reference.
    lookups: Cell<(u64, u64)>,
    cache_size: Cell<CacheSize>,
    listings_refused: Cell<u64>,
    idle_files: RefCell<IdleFiles>,
    listing_memory: Arc<ListingMemory>,
    file_threads: Option<FileThreads>,
}

/// What a handler keeps in its cache.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct CacheSize {
    pub(crate) entries: u64,
    pub(crate) bytes: u64,
    pub(crate) watches: u64,
}

/// Fields that the server or the handler sets, and that a reply has only once (RFC 9110 §5.3, RFC 9112 §6).
const SET_BY_SERVER: [&str; 10] = [
    "connection",
    "content-length",
    "content-range",
    "content-type",
    "date",
    "etag",
    "last-modified",
    "location",
    "server",
    "transfer-encoding",
];

/// A browser asks the server each time before it shows what it has. Without this it would guess from the age of a file how long that
/// stays as it is (RFC 9111 §4.2.2).
const NO_CACHE: FieldValue<'static> = FieldValue::constant("no-cache");

impl ServerConfig {
    /// Checks this configuration as a server does before it starts: [`hosts`](Self::hosts) must be names or addresses,
    /// [`extra_response_headers`](Self::extra_response_headers) valid fields that the server does not set itself, and
    /// [`proxy_protocol`](Self::proxy_protocol) needs [`trusted_proxies`](Self::trusted_proxies).
    ///
    /// # Errors
    /// [`io::ErrorKind::InvalidInput`], which names the field or the host.
    pub fn check(&self) -> io::Result<()> {
        if self.proxy_protocol && self.trusted_proxies.is_empty() {
            let message = "proxy_protocol needs trusted_proxies: the proxies that send its header";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
        }
        if let Some(host) = self
            .hosts
            .iter()
            .find(|host| ServedHost::parse(host).is_none())
        {
            let message = format!("not a host name or address: {host:?}");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
        }
        for (name, value) in &self.extra_response_headers {
            if SET_BY_SERVER
                .iter()
                .any(|taken| name.eq_ignore_ascii_case(taken))
            {
                return Err(invalid(name, value));
            }
            check_field(name, value)?;
        }
        Ok(())
    }
}

fn check_field(name: &str, value: &str) -> io::Result<()> {
    field(name, value)
        .map(drop)
        .map_err(|_| invalid(name, value))
}

fn field<'f>(
    name: &'f str,
    value: &'f str,
) -> Result<(FieldName<'f>, FieldValue<'f>), ForbiddenBytes> {
    Ok((FieldName::new(name)?, FieldValue::new(value.as_bytes())?))
}

/// Renders `fields`, without those that HTTP does not allow: a server that has such a field is refused when it starts.
fn lines<'f>(fields: impl IntoIterator<Item = (&'f str, &'f str)>) -> FieldLines {
    let mut lines = FieldLines::default();
    for (name, value) in fields {
        if let Ok((name, value)) = field(name, value) {
            lines.push(name, value);
        }
    }
    lines
}

/// Returns the fields that the static handler adds unless `config` has them.
fn file_policy(config: &ServerConfig) -> FieldLines {
    let mut policy = FieldLines::default();
    if !is_extra_field(config, FieldName::CACHE_CONTROL.as_str()) {
        policy.push(FieldName::CACHE_CONTROL, NO_CACHE);
    }
    policy
}

fn is_extra_field(config: &ServerConfig, name: &str) -> bool {
    let is_same = |(given, _): &(String, String)| given.eq_ignore_ascii_case(name);
    config.extra_response_headers.iter().any(is_same)
}

fn invalid(name: &str, value: &str) -> io::Error {
    let message = format!("not a header field that may be added: {name:?}: {value:?}");
    io::Error::new(io::ErrorKind::InvalidInput, message)
}

impl ServerInfo {
    /// Asks `handler` for everything that stays the same while the server runs.
    pub(crate) fn new(
        handler: &impl BaseHttpRequestHandler,
        config: ServerConfig,
        addresses: &[SocketAddr],
    ) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let version_string = handler.version_string();
        let extra_fields = &config.extra_response_headers;
        let extra_fields = extra_fields.iter().map(|(name, value)| (&**name, &**value));
        Self {
            server_field: lines([(FieldName::SERVER.as_str(), &*version_string)]),
            extra_fields: lines(extra_fields),
            file_policy: Arc::new(file_policy(&config)),
            hosts: config
                .hosts
                .iter()
                .filter_map(|host| ServedHost::parse(host))
                .collect(),
            listing_memory: ListingMemory::new(config.max_listing_bytes),
            config,
            version_string,
            error_pages: ErrorPages::of(handler),
            addresses: addresses.to_vec(),
            serial: NEXT.fetch_add(1, Ordering::Relaxed),
            counters: Counters::default(),
            draining: false,
            lookups: Cell::default(),
            cache_size: Cell::default(),
            listings_refused: Cell::default(),
            idle_files: RefCell::default(),
            file_threads: None,
        }
    }

    /// Returns the view of one of `loops` loops, which has its share of the memory for listings.
    #[must_use]
    pub(crate) fn of_loops(mut self, loops: usize) -> Self {
        let share = self.config.max_listing_bytes / loops.max(1);
        self.listing_memory = ListingMemory::new(share);
        self
    }

    /// Returns the view of a loop that uses these threads for files that it would have to wait for.
    #[must_use]
    pub(crate) fn with_file_threads(mut self, file_threads: Option<FileThreads>) -> Self {
        self.file_threads = file_threads;
        self
    }

    /// Returns the threads for files that a loop would have to wait for; `None` if the loop waits.
    pub(crate) fn file_threads(&self) -> Option<&FileThreads> {
        self.file_threads.as_ref()
    }

    /// Starts the threads for files, if there are any that have not started.
    ///
    /// # Errors
    /// The system has no room for one more thread.
    pub(crate) fn start_file_threads(&self) -> io::Result<()> {
        self.file_threads
            .as_ref()
            .map_or(Ok(()), FileThreads::start)
    }

    /// Returns the memory that the listings of this loop may use.
    pub(crate) fn listing_memory(&self) -> &Arc<ListingMemory> {
        &self.listing_memory
    }

    /// Checks that the configuration and the handler's own texts make valid fields.
    pub(crate) fn check(&self) -> io::Result<()> {
        self.config.check()?;
        if let Some(value) = self.error_pages.content_type() {
            let name = FieldName::CONTENT_TYPE.as_str();
            check_field(name, value)?;
            if value.trim_ascii().is_empty() {
                return Err(invalid(name, value));
            }
        }
        check_field(FieldName::SERVER.as_str(), &self.version_string)
    }

    pub(crate) fn server_field(&self) -> &FieldLines {
        &self.server_field
    }

    pub(crate) fn extra_fields(&self) -> &FieldLines {
        &self.extra_fields
    }

    /// Returns whether the configuration adds a field of this name to every reply.
    pub(crate) fn is_extra_field(&self, name: &str) -> bool {
        is_extra_field(&self.config, name)
    }

    /// Returns the fields of a file, a listing, a 404 or a redirect of the static handler that say how it may be cached.
    pub(crate) fn file_policy(&self) -> &Arc<FieldLines> {
        &self.file_policy
    }

    /// Returns whether `request` is for a host that this server does not answer for. `default_port` is that of a host without a port.
    pub(crate) fn is_misdirected(&self, request: &Request<'_>, default_port: u16) -> bool {
        // Ask the configuration whether there is a list: a list of only invalid hosts must not mean every host.
        !self.config.hosts.is_empty() && !is_served(&self.hosts, request, default_port)
    }

    pub(crate) fn error_pages(&self) -> &ErrorPages {
        &self.error_pages
    }

    /// Returns the configuration that the server was started with.
    pub fn config(&self) -> &ServerConfig {
        &self.config
    }

    /// Returns the value of the `Server` field.
    pub fn version_string(&self) -> &str {
        &self.version_string
    }

    /// Tells whether a shutdown was requested: every reply ends its connection, and clients should go to another server.
    pub fn is_draining(&self) -> bool {
        self.draining
    }

    /// Returns the counters of this loop, up to now.
    pub fn counters(&self) -> Counters {
        let (cache_hits, cache_misses) = self.lookups.get();
        let CacheSize {
            entries,
            bytes,
            watches,
        } = self.cache_size.get();
        Counters {
            cache_hits,
            cache_misses,
            cache_entries: entries,
            cache_bytes: bytes,
            watches,
            listings_refused: self.listings_refused.get(),
            ..self.counters
        }
    }

    /// Counts a lookup in the cache.
    pub(crate) fn count_lookup(&self, is_hit: bool) {
        let (hits, misses) = self.lookups.get();
        self.lookups
            .set((hits + u64::from(is_hit), misses + u64::from(!is_hit)));
    }

    /// Notes that the cache of a handler has grown or shrunk. One loop may have several handlers with a cache.
    pub(crate) fn change_cache_size(&self, before: CacheSize, now: CacheSize) {
        let all = self.cache_size.get();
        let change = |all: u64, before: u64, now: u64| all.wrapping_add(now).wrapping_sub(before);
        self.cache_size.set(CacheSize {
            entries: change(all.entries, before.entries, now.entries),
            bytes: change(all.bytes, before.bytes, now.bytes),
            watches: change(all.watches, before.watches, now.watches),
        });
    }

    /// Counts a listing that was refused because the memory for listings is used up.
    pub(crate) fn count_refused_listing(&self) {
        self.listings_refused.set(self.listings_refused.get() + 1);
    }

    /// Keeps a large file that was used `now` open for a few seconds.
    pub(crate) fn keep_open(&self, file: &Arc<SharedFile>, now: Instant) {
        let limit = self.config.tuning.cache_descriptors;
        self.idle_files.borrow_mut().keep(file, now, limit);
    }

    /// Closes the large files that have not been used for a few seconds.
    // Inlined into the loop of the site; that of the administration is the other caller, and rare.
    #[inline(always)]
    pub(crate) fn close_unused_files(&self, now: Instant) {
        self.idle_files.borrow_mut().close_unused(now);
    }

    /// Returns the time at which the next large file is closed.
    pub(crate) fn next_close(&self) -> Option<Instant> {
        self.idle_files.borrow().next_deadline()
    }

    /// Returns the addresses that the server listens on, ports included.
    #[doc(alias = "server_address")]
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Returns the port of the first address; 0 if there is none.
    pub fn server_port(&self) -> u16 {
        self.addresses.first().map_or(0, SocketAddr::port)
    }

    /// Returns the IP address of the first address as text. Unlike http.server, it never looks up a name.
    pub fn server_name(&self) -> String {
        self.addresses
            .first()
            .map_or_else(String::new, |address| address.ip().to_string())
    }
}
