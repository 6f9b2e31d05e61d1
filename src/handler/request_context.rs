//! What the loop lends to one exchange.

use std::sync::Arc;

use super::client::Client;
use super::clock::Clock;
use super::log::Log;
use super::mailbox::Mailbox;
use super::server_info::ServerInfo;
use super::work::Allowance;

/// What an exchange uses beside its request and its reply.
#[derive(Debug)]
pub(crate) struct RequestContext<'a> {
    pub(crate) client: &'a Client,
    pub(crate) server: &'a ServerInfo,
    pub(crate) clock: &'a Clock,
    pub(crate) mailbox: &'a Arc<Mailbox>,
    pub(crate) log: &'a mut Log,
    /// The user that was found to send the request.
    pub(crate) user: &'a mut Option<Box<str>>,
    /// Time for work that the handler may do at once.
    pub(crate) allowance: &'a mut Allowance,
}
