//! What the loop lends to one exchange.

use std::net::SocketAddr;
use std::sync::Arc;

use super::clock::Clock;
use super::log::Log;
use super::mailbox::Mailbox;
use super::server_info::ServerInfo;
use super::work::Allowance;

/// The peer of a connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Client {
    pub(crate) address: SocketAddr,
    /// The connection's key in its loop.
    pub(crate) key: usize,
}

/// What an exchange uses beside its request and its reply.
#[derive(Debug)]
pub(crate) struct RequestContext<'a> {
    pub(crate) client: &'a Client,
    pub(crate) server: &'a ServerInfo,
    pub(crate) clock: &'a Clock,
    pub(crate) mailbox: &'a Arc<Mailbox>,
    pub(crate) log: &'a mut Log,
    /// Time for work that the handler may do at once.
    pub(crate) allowance: &'a mut Allowance,
}
