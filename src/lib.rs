//! `httpoll` is Python's `http.server`, rebuilt in Rust on one mio poll loop. You write a handler with one method per HTTP method;
//! the loop serves all connections of the server with it, in one thread and without an async runtime. Framing, timeouts, limits,
//! byte ranges and caching are the server's job, not the handler's.
//!
//! ```no_run
//! use std::io::{self, Write as _};
//!
//! use httpoll::{BaseHttpRequestHandler, Exchange, HandlerResult, HttpServer};
//!
//! struct Hello {
//!     visitors: u64, // a plain field: one loop owns the handler, so no lock is needed
//! }
//!
//! impl BaseHttpRequestHandler for Hello {
//!     fn do_get(&mut self, exchange: &mut Exchange<'_>) -> HandlerResult {
//!         self.visitors += 1;
//!         exchange.send_response(200);
//!         exchange.send_header("Content-Type", "text/plain; charset=utf-8");
//!         exchange.end_headers();
//!         writeln!(exchange.wfile(), "Hello, visitor {}!", self.visitors)?;
//!         Ok(())
//!     }
//! }
//!
//! fn main() -> io::Result<()> {
//!     HttpServer::bind("127.0.0.1:8000", Hello { visitors: 0 })?.serve_forever()
//! }
//! ```
//!
//! To serve the files of a directory, pass a [`SimpleHttpRequestHandler`] in place of `Hello`. The folder `examples/` has fourteen
//! servers, from uploads to Server-Sent Events, no file longer than a screen.
//!
//! # How a request flows
//! The names at the left of each step are folders of the crate. A folder uses only those above it in the table below; `files`
//! and `server` do not use each other.
//!
//! ```text
//!            request                                            reply
//!               |                                                 ^
//! +- server ----|-------------------------------------------------|--------------------+
//! |             v                                                 |                    |
//! |  wire       read from the socket                    wire      write to the socket  |
//! |             |                                                 ^                    |
//! |             v                                                 |                    |
//! |  http       find the head and parse it              http      write the head       |
//! |             |                                                 ^                    |
//! |             v                                                 |                    |
//! |  handler    call do_get, do_post, ...  --------->   handler   collect the reply    |
//! |             |                                                 ^                    |
//! |             v                                                 |                    |
//! |  files      find the file for the path  -------->   files     file, listing or 404 |
//! |                                                                                    |
//! |  the poll loop: accept, schedule, deadlines, signals, shutdown                     |
//! +------------------------------------------------------------------------------------+
//! ```
//!
//! | folder | what lives there |
//! |---|---|
//! | `config` | limits, timeouts and choices: [`ServerConfig`] |
//! | `http` | what the bytes mean: RFC 9110 and RFC 9112 as pure functions |
//! | `wire` | how bytes move: one socket, one file, no protocol decisions |
//! | `handler` | what to answer: [`BaseHttpRequestHandler`] and [`Exchange`] |
//! | `files` | the handler for files: [`SimpleHttpRequestHandler`] |
//! | `server` | when to run: [`HttpServer`] and [`ThreadingHttpServer`] |
//!
//! # Writing a handler
//! A handler implements [`BaseHttpRequestHandler`]. Each method gets an [`Exchange`]: one request, and the reply to it.
//!
//! - **Request body.** A handler asks for it by [`reads_body`](BaseHttpRequestHandler::reads_body); the server discards every
//!   other body. It has arrived when the method is called: read it from [`Exchange::rfile`].
//! - **Reply.** It begins with [`send_response`](Exchange::send_response), [`send_header`](Exchange::send_header) and
//!   [`end_headers`](Exchange::end_headers). The body comes from memory ([`wfile`](Exchange::wfile)), from a file
//!   ([`copyfile`](Exchange::copyfile)) or from a [`Source`] that is asked while it is sent ([`stream`](Exchange::stream)). The
//!   server adds `Content-Length` or chunks. [`send_error`](Exchange::send_error) sends an error page.
//! - **Errors.** A method returns a [`HandlerResult`], so `?` works on every error. No byte of the reply is sent before the method
//!   returns. If it fails, panics or misuses the exchange, the client gets a complete 500, and
//!   [`handle_error`](BaseHttpRequestHandler::handle_error) is called. [`HandlerError::new`] gives an error another status.
//! - **Long work.** No other request is answered while a method runs. [`defer`](Exchange::defer) promises the reply, and another
//!   thread gives it later. [`stream_writer`](Exchange::stream_writer) is a body that another thread writes.
//! - **Files beside routes.** Own a [`SimpleHttpRequestHandler`] and call it for every request that you do not answer yourself.
//!   To guard some of the files, ask it what a path means ([`is_below`](SimpleHttpRequestHandler::is_below)): a comparison of
//!   [`Exchange::path`] with `"/private/"` lets `/%70rivate/` and `/./private/` through. `examples/guard.rs` shows it.
//! - **Tests.** [`MemoryServer`] runs a handler without sockets.
//!
//! # Coming from http.server
//! | in Python | here |
//! |---|---|
//! | `HTTPServer(address, Handler)` | [`HttpServer::bind`], which takes a handler value and serves many connections at a time |
//! | `ThreadingHTTPServer` | [`ThreadingHttpServer`], several loops with a clone of the handler each |
//! | `class Handler(BaseHTTPRequestHandler)` | `impl` [`BaseHttpRequestHandler`] `for Handler` |
//! | `def do_GET(self)` | [`fn do_get(&mut self, exchange)`](BaseHttpRequestHandler::do_get) |
//! | `self.path`, `self.command`, `self.headers` | [`exchange.path()`](Exchange::path), [`command()`](Exchange::command), [`headers()`](Exchange::headers) |
//! | `self.rfile.read(n)` | [`exchange.rfile()`](Exchange::rfile), which ends where the body ends |
//! | `self.send_response(200)` | [`exchange.send_response(200)`](Exchange::send_response) |
//! | `self.wfile.write(body)` | [`exchange.wfile()`](Exchange::wfile), an [`io::Write`](std::io::Write) |
//! | `SimpleHTTPRequestHandler` | [`SimpleHttpRequestHandler`] |
//! | `server.shutdown()` | [`HttpServer::handle`], then [`ServerHandle::shutdown`] |
//!
//! The sections below list every public name of `http.server` and `socketserver`.
//!
//! # Every name of http.server and socketserver
//! The last column names tests: `library::` is in `tests/library`, `it::` in `tests/it`, and `cargo test` with the last part of the
//! name runs the test.
//!
//! ## Commands and classes
//! | Python's name | here | shown by |
//! |---|---|---|
//! | `HTTPServer`, `TCPServer`, `BaseServer` | [`HttpServer`], which serves many connections at a time | `library::server::port_0_takes_a_free_port_and_says_which` |
//! | `ThreadingHTTPServer`, `ThreadingMixIn` | [`ThreadingHttpServer`]: a thread for each loop, not for each connection | `library::server::several_loops_share_a_port_each_with_a_clone_and_one_handle_ends_all` |
//! | `BaseHTTPRequestHandler` | the trait [`BaseHttpRequestHandler`], one value for each loop; what Python keeps of a request on `self` is in the [`Exchange`] | `library::examples::hello_answers_at_the_root_alone` |
//! | `SimpleHTTPRequestHandler` | [`SimpleHttpRequestHandler`] | `library::composition::a_handler_answers_what_differs_and_leaves_the_rest_to_the_files` |
//! | `BaseRequestHandler`, `StreamRequestHandler`, `rbufsize`, `wbufsize`, `disable_nagle_algorithm` | not visible: the loop owns the socket, and sends a small reply in one write | `library::cpython::head_and_body_leave_in_one_write` |
//! | `CGIHTTPRequestHandler` | the example `cgi` | `library::examples::cgi` |
//! | `HTTPSServer`, `ThreadingHTTPSServer` | `HttpServer::bind_tls`, `ThreadingHttpServer::bind_tls` with a `TlsConfig` (feature `tls`) | `library::tls::one_loop_and_several_speak_tls` |
//! | `UnixStreamServer`, `ThreadingUnixStreamServer` | [`ListeningSocket::bind_unix`] with [`HttpServer::from_listeners`] or [`ThreadingHttpServer::from_listeners`] | `library::listening_sockets::both_kinds_of_sockets_are_served_by_one_loop_and_by_several` |
//! | `UDPServer`, `UnixDatagramServer`, `ForkingMixIn` and the like | none | |
//! | `python -m http.server` | the command `httpoll` | `it::cli::the_banner_is_that_of_http_server` |
//!
//! ## The request
//! | Python's name | here | shown by |
//! |---|---|---|
//! | `client_address` | [`Exchange::client_address`] | `library::framing::the_request_is_seen_as_it_came` `library::server::an_ipv4_client_of_a_socket_for_both_families_is_shown_as_ipv4` |
//! | `server` | [`Exchange::server`], a [`ServerInfo`] | `library::framing::a_handler_sees_its_server` |
//! | `close_connection` | [`Exchange::close_connection`], [`Exchange::set_close_connection`] | `library::framing::connection_close_is_said_and_done` |
//! | `requestline`, `raw_requestline` | [`Exchange::requestline`], without the line end | `library::framing::the_request_is_seen_as_it_came` |
//! | `command` | [`Exchange::command`] | `library::framing::the_request_is_seen_as_it_came` |
//! | `path` | [`Exchange::path`] | `library::cpython::leading_slashes_are_one` |
//! | `request_version` | [`Exchange::request_version`] | `library::framing::the_request_is_seen_as_it_came` |
//! | `headers` | [`Exchange::headers`], [`Headers`] | `library::framing::the_request_is_seen_as_it_came` |
//! | `MessageClass` | not needed: there is only one parser, and it is strict | `it::framing::malformed_field_lines_are_refused` |
//! | `rfile` | [`Exchange::rfile`], [`Exchange::take_body`], [`Exchange::body_length`] | `library::bodies::a_body_of_any_size_and_framing_arrives_whole_and_the_next_request_in_step` |
//! | `wfile` | [`Exchange::wfile`] | `library::framing::a_body_that_is_complete_has_a_length` `library::errors::a_write_before_the_head_has_ended_is_an_error` |
//!
//! ## Attributes of a handler
//! | Python's name | here | shown by |
//! |---|---|---|
//! | `server_version`, `sys_version`, `version_string` | [`BaseHttpRequestHandler::version_string`] | `library::error_pages::a_handler_brings_its_own_error_page_and_name` |
//! | `error_message_format`, `error_content_type` | [`error_message_format`](BaseHttpRequestHandler::error_message_format), [`error_content_type`](BaseHttpRequestHandler::error_content_type) | `library::error_pages::a_handler_brings_its_own_error_page_and_name` `library::error_pages::an_own_page_may_be_for_one_status_alone` |
//! | `protocol_version` | [`ServerConfig::protocol_version`] | `library::framing::a_server_of_http_1_0_never_chunks` |
//! | `default_request_version` | not needed: every reply has a status line, except to an HTTP/0.9 request | `library::cpython::request_lines_are_understood_or_refused_with_the_right_code` |
//! | `responses` | [`HttpStatus::phrase`], [`HttpStatus::description`] | `library::cpython::an_unregistered_status_has_a_placeholder_phrase` |
//! | `index_pages` | [`SimpleHttpRequestHandler::index_pages`] | `library::composition::index_pages_may_be_chosen` |
//! | `extensions_map`, `default_content_type` | [`extensions_map`](SimpleHttpRequestHandler::extensions_map), [`default_content_type`](SimpleHttpRequestHandler::default_content_type) | `library::composition::media_types_may_be_added` |
//! | `extra_response_headers` | [`ServerConfig::extra_response_headers`] | `library::framing::fields_of_the_configuration_are_in_every_reply` |
//! | `directory` | [`SimpleHttpRequestHandler::new`], [`following_symlinks`](SimpleHttpRequestHandler::following_symlinks), [`pinned`](SimpleHttpRequestHandler::pinned), [`path`](SimpleHttpRequestHandler::path) | `it::cli::a_directory_may_be_given_in_any_way` `library::names::a_pinned_directory_is_served_wherever_it_is_moved` |
//! | `timeout` | [`head_timeout`](ServerConfig::head_timeout), [`body_timeout`](ServerConfig::body_timeout), [`send_timeout`](ServerConfig::send_timeout), [`keep_alive_timeout`](ServerConfig::keep_alive_timeout) | `it::config::a_slow_head_is_408` `library::bodies::a_body_that_stalls_is_408` `it::config::a_client_that_stops_reading_is_given_up` `it::config::idle_connections_are_closed_without_a_word` |
//!
//! ## Methods of a handler
//! | Python's name | here | shown by |
//! |---|---|---|
//! | `handle`, `parse_request` | not visible: the state machine of the connection | `library::cpython::keep_alive_depends_on_the_version_and_on_what_the_client_says` |
//! | `handle_one_request` | [`BaseHttpRequestHandler::handle_one_request`] | `library::composition::all_methods_may_be_passed_on_at_once` |
//! | `do_GET` … `do_SPAM` | [`do_get`](BaseHttpRequestHandler::do_get), [`do_head`](BaseHttpRequestHandler::do_head), [`do_post`](BaseHttpRequestHandler::do_post), [`do_put`](BaseHttpRequestHandler::do_put), [`do_delete`](BaseHttpRequestHandler::do_delete), [`do_patch`](BaseHttpRequestHandler::do_patch), [`do_options`](BaseHttpRequestHandler::do_options), [`do_trace`](BaseHttpRequestHandler::do_trace), and [`do_other`](BaseHttpRequestHandler::do_other) for all others | `library::errors::every_method_reaches_its_own` |
//! | `handle_expect_100` | [`BaseHttpRequestHandler::handle_expect_100`] | `library::bodies::a_client_that_waits_for_it_is_told_to_continue` `library::bodies::a_handler_may_refuse_a_body_before_it_is_sent` |
//! | `send_error` | [`Exchange::send_error`] | `library::error_pages::an_error_page_names_code_message_and_explanation` |
//! | `send_response`, `send_response_only`, `send_header` | [`send_response`](Exchange::send_response), [`send_response_only`](Exchange::send_response_only), [`send_header`](Exchange::send_header) | `library::framing::fields_keep_their_order_and_may_repeat` |
//! | `end_headers`, `flush_headers` | [`Exchange::end_headers`] | `library::errors::a_head_that_ends_twice_or_never_began_is_a_500` |
//! | `copyfile` | [`Exchange::copyfile`] | `library::framing::a_range_of_a_file_is_sent_from_memory_or_by_the_kernel` |
//! | `log_request` | [`BaseHttpRequestHandler::log_request`], [`LogEntry`] | `library::server::a_handler_may_write_the_log_itself` |
//! | `log_error`, `log_message` | [`Exchange::log_message`] | `library::errors::a_failure_is_one_line_in_the_log_with_its_request` |
//! | `date_time_string`, `log_date_time_string` | [`date_time_string`](Exchange::date_time_string), [`log_date_time_string`](Exchange::log_date_time_string) | `library::memory_server::time_is_what_the_test_says` |
//! | `address_string` | [`Exchange::address_string`] | `library::framing::the_request_is_seen_as_it_came` |
//! | `setup`, `finish` | [`setup`](BaseHttpRequestHandler::setup), [`finish`](BaseHttpRequestHandler::finish) | `library::server::hooks_are_called_once_a_connection_and_in_order` |
//! | `send_head` | [`SimpleHttpRequestHandler::send_head`] | `library::composition::a_reply_of_the_files_may_be_added_to` |
//! | `list_directory` | [`list_directory`](SimpleHttpRequestHandler::list_directory), [`set_list_directory`](SimpleHttpRequestHandler::set_list_directory) | `library::composition::list_directory_may_be_replaced` |
//! | `translate_path` | [`translate_path`](SimpleHttpRequestHandler::translate_path), [`set_translate_path`](SimpleHttpRequestHandler::set_translate_path) | `library::composition::translate_path_may_be_replaced` |
//! | `guess_type` | [`guess_type`](SimpleHttpRequestHandler::guess_type), [`set_guess_type`](SimpleHttpRequestHandler::set_guess_type) | `library::composition::guess_type_may_be_asked_first` |
//!
//! ## Methods and variables of a server
//! | Python's name | here | shown by |
//! |---|---|---|
//! | `__init__`, `bind_and_activate`, `server_bind`, `server_activate` | [`bind`](HttpServer::bind), [`bind_with`](HttpServer::bind_with), [`from_listener`](HttpServer::from_listener), [`from_listeners`](HttpServer::from_listeners) | `library::server::sockets_that_listen_already_are_taken_over` |
//! | `serve_forever` in a thread | [`HttpServer`] is `Send` if its handler is | `library::server::a_server_may_be_bound_asked_for_its_port_and_moved_into_a_thread` |
//! | `serve_forever` | [`HttpServer::serve_forever`], without a polling interval | `library::server::shutdown::a_shutdown_before_the_start_is_not_forgotten` |
//! | `shutdown` | [`HttpServer::handle`], [`ServerHandle::shutdown`] | `library::server::shutdown::a_shutdown_from_another_thread_drains` `library::server::shutdown::a_handler_may_end_its_server` |
//! | `handle_request` | [`HttpServer::handle_request`] | `library::server::handle_request_answers_one` |
//! | `timeout`, `handle_timeout` | the argument of [`HttpServer::handle_request`], [`BaseHttpRequestHandler::handle_timeout`] | `library::server::handle_request_says_when_none_came_in_time` |
//! | `fileno` | `AsFd` and `AsRawFd` of [`HttpServer`]; with [`HttpServer::turn`], [`HttpServer::next_deadline`] | `library::server::turns::a_foreign_loop_learns_of_work_by_the_descriptor` `library::server::turns::the_next_deadline_is_that_of_the_connection_that_waits` |
//! | `server_close`, `with` | [`HttpServer::server_close`], or dropping the server | `library::server::shutdown::a_closed_server_keeps_its_connections` |
//! | `get_request` | not visible: the loop accepts, and recovers when descriptors had run out | `it::concurrency::the_longest_idle_connection_closes_at_the_descriptor_limit` |
//! | `verify_request` | [`BaseHttpRequestHandler::verify_request`] | `library::server::a_connection_that_is_not_verified_is_closed_without_a_word` |
//! | `process_request`, `finish_request`, `close_request` | not needed: the loop replaces them, and has no mix-ins | |
//! | `shutdown_request` | not visible: the connection closes after the client has read the last reply, or after [`linger_time`](ServerConfig::linger_time) | `library::bodies::a_body_too_large_is_refused_before_it_comes_where_its_length_is_announced` `it::closing::a_refusal_is_read_after_a_large_upload` |
//! | `handle_error` | [`BaseHttpRequestHandler::handle_error`], for errors of the handler itself | `library::errors::an_error_of_the_handler_is_a_500_at_any_point` |
//! | `service_actions` | [`BaseHttpRequestHandler::service_actions`] | `library::server::service_actions_is_called_in_every_turn` |
//! | `allow_reuse_port` | [`ServerConfig::allow_reuse_port`] | `library::server::one_loop_does_not_share_its_port_unasked` |
//! | `allow_reuse_address` | not needed: always set | `library::server::shutdown::a_closed_server_keeps_its_connections` |
//! | `request_queue_size` | [`ServerConfig::request_queue_size`] | the example of [`ServerConfig`] |
//! | `address_family` | not needed: the addresses to bind, one or several, have their family | `library::server::one_server_listens_on_several_addresses_with_one_port` `it::cli::without_an_address_one_port_serves_both_families` |
//! | `socket_type` | not needed: always a stream, TCP or UNIX | |
//! | `server_address`, `server_name`, `server_port` | [`server_address`](HttpServer::server_address), [`server_addresses`](HttpServer::server_addresses), [`server_name`](HttpServer::server_name), [`server_port`](HttpServer::server_port); for a handler [`addresses`](ServerInfo::addresses), [`server_name`](ServerInfo::server_name), [`server_port`](ServerInfo::server_port) | `library::server::port_0_takes_a_free_port_and_says_which` `library::framing::a_handler_sees_its_server` |
//! | `RequestHandlerClass` | a value, not a class: [`handler`](HttpServer::handler), [`handler_mut`](HttpServer::handler_mut) | `library::server::the_handler_may_be_seen_and_changed_between_two_turns` |
//! | `socket` | passed in: [`HttpServer::from_listeners`]; not given out | `library::server::sockets_that_listen_already_are_taken_over` |
//! | `daemon_threads`, `block_on_close` | not needed: [`ThreadingHttpServer::serve_forever`] waits for its loops | `library::server::several_loops_share_a_port_each_with_a_clone_and_one_handle_ends_all` |
//!
//! ## Beyond http.server
//! | what | here | shown by |
//! |---|---|---|
//! | the path without its query, and the query as pairs | [`Exchange::path_only`], [`Exchange::query`] | `library::replies::the_query_is_decoded_pairs_and_not_in_the_path` |
//! | text or JSON by one call | [`Exchange::send_text`], [`Exchange::send_json`] | `library::replies::text_and_json_have_their_fields_and_take_more` |
//! | what was sent | [`Exchange::status`] | `library::replies::the_status_of_a_begun_reply_is_known` |
//! | a guard before the files | [`SimpleHttpRequestHandler::is_below`] | `library::guarding::every_spelling_of_a_guarded_path_is_below_its_directory` |
//! | a user and a password for everything (feature `auth`) | `BasicAuth`, [`Exchange::user`] | `library::auth::the_handler_is_asked_for_the_users_of_the_file_alone` |
//! | pages of other origins | [`ServerConfig::cors`], [`Exchange::send_options`] | `library::cors::a_handler_names_the_methods_that_a_preflight_allows` |
//! | a guard that asks another thread first | [`Deferred::ask_handler`], [`Exchange::set_user`] | `library::deferred::the_handler_may_be_asked_again_for_a_request_that_it_has_deferred` |
//! | a reply from another thread | [`Exchange::defer`], [`Deferred`] | `library::deferred::a_reply_may_come_from_another_thread_while_others_are_served` |
//! | a body made while it is sent | [`Exchange::stream`], [`Source`], [`Fill`], [`Exchange::waker`] | `library::streams::a_source_is_asked_only_as_fast_as_its_reader_reads` `library::subscriptions::a_stream_that_has_nothing_now_is_woken_from_another_thread` |
//! | a body that another thread writes | [`Exchange::stream_writer`], [`StreamWriter`] | `library::stream_writers::a_thread_writes_a_body_of_any_size_which_ends_with_the_writer` |
//! | an error with a status | [`HandlerError::new`] | `library::errors::an_error_may_have_a_status` |
//! | a request body that is read only if the handler asks | [`BaseHttpRequestHandler::reads_body`] | `library::bodies::a_body_that_is_not_wanted_is_skipped` `library::unwanted::a_body_that_was_not_asked_for_is_an_error_to_read_and_has_no_length` |
//! | no reply at all | [`Exchange::abort`] | `library::framing::an_exchange_that_is_aborted_resets_the_connection` |
//! | sd_notify(3): ready, reloading, stopping, watchdog | [`HttpServer::notify_service_manager`], [`ServerHandle::reload`] | `it::notify::start_reload_and_end_are_told_by_path_and_abstract_name` `library::listening_sockets::a_stuck_loop_stops_the_signs_of_life` |
//! | SIGINT and SIGTERM | [`HttpServer::shutdown_on_signals`] | `it::signals::a_reply_in_flight_is_finished` `it::signals::a_second_signal_ends_at_once` |
//! | counters of each loop | [`ServerInfo::counters`], [`Counters`] | `library::server::a_server_counts_what_it_does` |
//! | health and metrics on an address of their own | [`HttpServer::bind_admin`], [`HttpServer::serve_admin`], [`BaseHttpRequestHandler::check_ready`], [`RequestCounts`], [`Durations`] | `library::admin::a_handler_says_whether_it_is_ready` `library::admin::figures_of_a_loop_that_hangs_are_kept_and_grow_old` |
//! | a log file that may be rotated | [`LogFile`], [`HttpServer::log_to`], [`ServerHandle::reload`] | `library::logs::a_renamed_file_is_opened_again_by_a_reload` |
//! | requests that share a check of the file system | [`BaseHttpRequestHandler::may_change_files`] | `library::names::a_pipelined_request_sees_what_the_one_before_it_has_stored` |
//! | requests for some hosts only | [`ServerConfig::hosts`] | `library::hosts::a_request_for_another_host_is_421_and_the_connection_goes_on` |
//! | the client behind a proxy | [`ServerConfig::trusted_proxies`], [`TrustedProxy`], [`ServerConfig::proxy_protocol`], [`Exchange::peer_address`] | `library::proxies::a_trusted_proxy_names_the_client` `library::proxies::the_proxy_protocol_names_the_client` |
//! | fewer rights | [`Confinement`], [`Confined`] | `library::confinement::a_confined_handler_is_refused_what_serving_does_not_need` |
//! | a server without sockets | [`MemoryServer`] | `library::memory_server::the_same_request_at_the_same_time_gives_the_same_bytes` |

#[cfg(not(target_os = "linux"))]
compile_error!("httpoll needs Linux: it is built on epoll, openat2, sendfile and inotify");

#[cfg(feature = "auth")]
mod auth;
mod config;
mod files;
mod handler;
mod http;
mod server;
mod wire;

#[cfg(feature = "auth")]
pub use auth::BasicAuth;
pub use config::{
    InvalidTrustedProxy, LogFormat, ProtocolVersion, ServerConfig, TrustedProxy, Tuning,
    UnknownName,
};
pub use files::SimpleHttpRequestHandler;
pub use handler::counters::Counters;
pub use handler::deferred::Deferred;
pub use handler::durations::Durations;
pub use handler::exchange::Exchange;
pub use handler::handler_error::HandlerError;
pub use handler::log::LogEntry;
pub use handler::request_counts::RequestCounts;
pub use handler::server_info::ServerInfo;
pub use handler::stream_writer::StreamWriter;
pub use handler::{BaseHttpRequestHandler, HandlerResult};
pub use http::header_value::HeaderValue;
pub use http::headers::{Headers, HeadersIter};
pub use http::status::{HttpStatus, InvalidStatus};
pub use server::confinement::{Confined, Confinement};
pub use server::listen::socket::ListeningSocket;
pub use server::memory::MemoryServer;
pub use server::threading::ThreadingHttpServer;
pub use server::{HttpServer, ServerHandle};
pub use wire::log_file::LogFile;
pub use wire::source::{Fill, Source};
pub use wire::spool::RequestBody;
#[cfg(feature = "tls")]
pub use wire::tls::config::{CertificateFiles, TlsConfig};

/// Properties that hold for any input bytes. Only tests and `fuzz/` have them; no other build does.
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod properties {
    pub use crate::files::properties::{header_rules, listing, path, redirects};
    pub use crate::http::properties::{
        accept_encoding, chunked, forwarded, head, proxy_protocol, range,
    };
    pub use crate::server::check_connection as connection;
}

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
#[doc = include_str!("../docs/library.md")]
struct DocumentsAsTests;
