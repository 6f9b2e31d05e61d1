//! What a handler may know of the server it answers for.

use std::cell::{Cell, RefCell};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use super::BaseHttpRequestHandler;
use super::counters::Counters;
use super::idle_files::IdleFiles;
use super::listing_memory::ListingMemory;
use crate::config::ServerConfig;
use crate::http::field::{FieldLines, FieldName, FieldValue, ForbiddenBytes};
use crate::http::host::{ServedHost, is_served};
use crate::http::request::Request;
use crate::wire::file_range::SharedFile;

/// A read-only view of the server: its configuration and where it listens.
#[derive(Clone, Debug)]
#[doc(alias = "server")]
pub struct ServerInfo {
    config: ServerConfig,
    version_string: String,
    /// The `Server` field, and those that the configuration adds to every reply.
    server_field: FieldLines,
    extra_fields: FieldLines,
    error_page: Option<ErrorPage>,
    hosts: Vec<ServedHost>,
    addresses: Vec<SocketAddr>,
    /// Tells it from every other server of this process.
    pub(crate) serial: u64,
    pub(crate) counters: Counters,
    /// Hits and misses: a handler counts them, which sees the server only from outside.
    lookups: Cell<(u64, u64)>,
    idle_files: RefCell<IdleFiles>,
    listing_memory: Arc<ListingMemory>,
}

/// Fields that the server or the handler makes, and that a reply has once (RFC 9110 §5.3, RFC 9112 §6).
const OWN: [&str; 10] = [
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

impl ServerConfig {
    /// Says whether a server would run with this: no field that is added to every reply may break one or be there twice, and
    /// [`hosts`](Self::hosts) must be names or addresses.
    ///
    /// # Errors
    /// [`io::ErrorKind::InvalidInput`], with the field or the host.
    pub fn check(&self) -> io::Result<()> {
        if let Some(host) = self
            .hosts
            .iter()
            .find(|host| ServedHost::parse(host).is_none())
        {
            let message = format!("no host to be served: {host:?}");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
        }
        for (name, value) in &self.extra_response_headers {
            if OWN.iter().any(|own| name.eq_ignore_ascii_case(own)) {
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

/// Makes lines of those of `fields` that HTTP allows. A server that would run with others is refused at its start.
fn lines<'f>(fields: impl IntoIterator<Item = (&'f str, &'f str)>) -> FieldLines {
    let mut lines = FieldLines::default();
    for (name, value) in fields {
        if let Ok((name, value)) = field(name, value) {
            lines.push(name, value);
        }
    }
    lines
}

fn invalid(name: &str, value: &str) -> io::Error {
    let message = format!("no header field to be added: {name:?}: {value:?}");
    io::Error::new(io::ErrorKind::InvalidInput, message)
}

/// An error page that the handler brought along.
#[derive(Clone, Debug)]
pub(crate) struct ErrorPage {
    pub(crate) format: String,
    pub(crate) content_type: String,
}

impl ServerInfo {
    /// Asks `handler` once for all that stays the same while the server runs.
    pub(crate) fn new(
        handler: &impl BaseHttpRequestHandler,
        config: ServerConfig,
        addresses: &[SocketAddr],
    ) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let error_page = |format| ErrorPage {
            format,
            content_type: handler.error_content_type(),
        };
        let version_string = handler.version_string();
        let extra_fields = &config.extra_response_headers;
        let extra_fields = extra_fields.iter().map(|(name, value)| (&**name, &**value));
        Self {
            server_field: lines([(FieldName::SERVER.as_str(), &*version_string)]),
            extra_fields: lines(extra_fields),
            hosts: config
                .hosts
                .iter()
                .filter_map(|host| ServedHost::parse(host))
                .collect(),
            listing_memory: ListingMemory::new(config.max_listing_bytes),
            config,
            version_string,
            error_page: handler.error_message_format().map(error_page),
            addresses: addresses.to_vec(),
            serial: NEXT.fetch_add(1, Ordering::Relaxed),
            counters: Counters::default(),
            lookups: Cell::default(),
            idle_files: RefCell::default(),
        }
    }

    /// Makes it the view that one of so many loops has: each has its share of what all may use.
    #[must_use]
    pub(crate) fn of_loops(mut self, loops: usize) -> Self {
        let share = self.config.max_listing_bytes / loops.max(1);
        self.listing_memory = ListingMemory::new(share);
        self
    }

    /// Returns the memory that the listings of this loop may use.
    pub(crate) fn listing_memory(&self) -> &Arc<ListingMemory> {
        &self.listing_memory
    }

    /// Says whether a server may run with this: what is added to every reply must not break one.
    pub(crate) fn check(&self) -> io::Result<()> {
        self.config.check()?;
        if let Some(page) = &self.error_page {
            let (name, value) = (FieldName::CONTENT_TYPE.as_str(), &page.content_type);
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

    /// Whether `request` is for a host that this server does not answer for.
    pub(crate) fn is_misdirected(&self, request: &Request<'_>) -> bool {
        // The configuration says whether there is a list: one whose entries are no hosts must not mean every host.
        !self.config.hosts.is_empty() && !is_served(&self.hosts, request)
    }

    pub(crate) fn error_page(&self) -> Option<&ErrorPage> {
        self.error_page.as_ref()
    }

    /// Returns the limits and choices that the server was started with.
    pub fn config(&self) -> &ServerConfig {
        &self.config
    }

    /// Returns what the `Server` field of every reply says.
    pub fn version_string(&self) -> &str {
        &self.version_string
    }

    /// Returns what this loop has counted so far.
    pub fn counters(&self) -> Counters {
        let (cache_hits, cache_misses) = self.lookups.get();
        Counters {
            cache_hits,
            cache_misses,
            ..self.counters
        }
    }

    /// Counts a file that was kept, or was not.
    pub(crate) fn count_lookup(&self, is_hit: bool) {
        let (hits, misses) = self.lookups.get();
        self.lookups
            .set((hits + u64::from(is_hit), misses + u64::from(!is_hit)));
    }

    /// Keeps a large file open for a few seconds that was used `now`.
    pub(crate) fn keep_open(&self, file: &Arc<SharedFile>, now: Instant) {
        let most = self.config.cache_descriptors;
        self.idle_files.borrow_mut().keep(file, now, most);
    }

    /// Closes the files that were not used for a few seconds.
    pub(crate) fn close_unused_files(&self, now: Instant) {
        self.idle_files.borrow_mut().close_unused(now);
    }

    /// When a file is to be closed.
    pub(crate) fn next_close(&self) -> Option<Instant> {
        self.idle_files.borrow().next_deadline()
    }

    /// Returns the addresses that the server listens on, ports included.
    #[doc(alias = "server_address")]
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Returns the port of the first address.
    pub fn server_port(&self) -> u16 {
        self.addresses.first().map_or(0, SocketAddr::port)
    }

    /// Returns the host of the first address as text; no name is ever looked up.
    pub fn server_name(&self) -> String {
        self.addresses
            .first()
            .map_or_else(String::new, |address| address.ip().to_string())
    }
}
