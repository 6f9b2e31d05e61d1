//! HTTPS: the same server within TLS. The client is rustls, other people's programs, or bytes that no client would send.

mod ends;
mod handshakes;
mod requests;
mod sessions;
mod transfers;
