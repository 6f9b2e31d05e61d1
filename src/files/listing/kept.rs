//! A listing that is kept, with its codings.

use std::sync::Arc;

use crate::files::codings::Codings;
use crate::handler::page::Page;
use crate::handler::prepared::Prepared;
use crate::handler::server_info::ServerInfo;
use crate::http::accept_encoding::Coding;
use crate::http::field::{DefaultFields, FieldLines, FieldName};
use crate::http::status::HttpStatus;

/// A listing that is kept, with its codings.
#[derive(Debug)]
pub(in crate::files) struct KeptListing {
    pub(in crate::files) page: Arc<Prepared>,
    /// The fields of the page itself, and those that it has unless they are configured.
    fields: FieldLines,
    defaults: &'static DefaultFields,
    policy: Arc<FieldLines>,
    pub(in crate::files) codings: Codings<Prepared>,
}

impl KeptListing {
    /// Keeps the `reply` with a `page`. `may_make` tells in which codings it can be made.
    pub(super) fn new(
        reply: Arc<Prepared>,
        page: Page,
        policy: Arc<FieldLines>,
        may_make: impl Fn(Coding) -> bool,
    ) -> Self {
        Self {
            page: reply,
            fields: page.fields,
            defaults: page.defaults,
            policy,
            codings: Codings::new(may_make),
        }
    }

    /// Returns the bytes of content in memory, in all codings.
    pub(in crate::files) fn bytes(&self) -> usize {
        let coded: usize = self
            .codings
            .replies()
            .map(|coded| coded.content().len())
            .sum();
        self.page.content().len() + coded
    }

    /// Returns the reply with the listing in a coding, in which it is `content`.
    pub(in crate::files) fn in_coding(
        &self,
        server: &ServerInfo,
        coding: Coding,
        content: Vec<u8>,
    ) -> Prepared {
        let mut fields = self.fields.clone();
        fields.push(FieldName::CONTENT_ENCODING, coding.value());
        let page = Page {
            fields,
            defaults: self.defaults,
            content,
        };
        Prepared::page(server, HttpStatus::OK, &self.policy, &page)
    }
}
