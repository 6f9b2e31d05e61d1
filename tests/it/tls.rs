//! HTTPS: the same server within TLS. The client is rustls, other people's programs, or bytes that no client would send.

mod deadlines;
mod ends;
mod handshakes;
mod hostile;
mod programs;
mod proxies;
mod redirects;
mod requests;
mod same_replies;
mod sessions;
mod transfers;
