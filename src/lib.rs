//! Python's `http.server`, rebuilt on one mio poll loop.
//!
//! ```no_run
//! use std::io::{self, Write as _};
//!
//! use httpoll::{BaseHttpRequestHandler, Exchange, HttpServer, HttpStatus};
//!
//! struct Hello {
//!     greeted: u64, // a plain field: one loop, no lock
//! }
//!
//! impl BaseHttpRequestHandler for Hello {
//!     fn do_get(&mut self, exchange: &mut Exchange<'_>) -> io::Result<()> {
//!         self.greeted += 1;
//!         exchange.send_response(HttpStatus::OK);
//!         exchange.send_header("Content-Type", "text/plain; charset=utf-8");
//!         exchange.end_headers();
//!         writeln!(exchange.wfile(), "hello, visitor {}", self.greeted)
//!     }
//! }
//!
//! fn main() -> io::Result<()> {
//!     HttpServer::bind("127.0.0.1:8000", Hello { greeted: 0 })?.serve_forever()
//! }
//! ```
//!
//! # The house
//! A floor uses only those above it; `files` and `server` do not see each other.
//!
//! | folder | what lives there |
//! |---|---|
//! | `config` | limits, timeouts and choices: plain data |
//! | `http` | what the bytes mean: RFC 9110 and 9112 as pure functions |
//! | `wire` | how bytes move: one socket, one file, no protocol decisions |
//! | `handler` | what to answer: [`BaseHttpRequestHandler`] and [`Exchange`] |
//! | `files` | the static handler: [`SimpleHttpRequestHandler`] |
//! | `server` | when to run: [`HttpServer`] and [`ThreadingHttpServer`] |

#[cfg(not(target_os = "linux"))]
compile_error!("httpoll needs Linux: openat2, sendfile and epoll are at its heart");

mod config;
mod files;
mod handler;
mod http;
mod server;
mod wire;

pub use config::{LogFormat, ProtocolVersion, ServerConfig};
pub use files::SimpleHttpRequestHandler;
pub use handler::BaseHttpRequestHandler;
pub use handler::counters::Counters;
pub use handler::deferred::Deferred;
pub use handler::exchange::{Exchange, RequestBody};
pub use handler::log::LogEntry;
pub use handler::server_info::ServerInfo;
pub use http::headers::Headers;
pub use http::status::HttpStatus;
pub use server::memory::MemoryServer;
pub use server::threading::ThreadingHttpServer;
pub use server::{HttpServer, ServerHandle};
pub use wire::source::{Fill, Source};
