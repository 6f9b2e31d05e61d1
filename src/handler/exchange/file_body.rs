//! Bodies that are sent from files: by sendfile, or piece by piece by the file threads.

use std::collections::VecDeque;
use std::fs::File;
use std::ops::Range;
use std::sync::Arc;

use super::Exchange;
use crate::handler::prepared::Prepared;
use crate::wire::body::{Maker, Part};
use crate::wire::file_source::{FilePart, FileSource};
use crate::wire::file_threads::{DroppedByThread, Refused, Submitter};
use crate::wire::shared_file::SharedFile;

impl Exchange<'_> {
    /// Sends exactly the bytes `range` of `file` as the body; many bytes are sent by sendfile. With
    /// [`ServerConfig::file_threads`](crate::ServerConfig::file_threads), a thread first reads what is not in memory.
    ///
    /// If the file shrinks meanwhile, the connection ends; the framing is never broken.
    pub fn copyfile(&mut self, file: File, range: Range<u64>) {
        let threads = self.context.server.file_threads().cloned();
        let file = SharedFile::from(file).with_threads(threads);
        self.copy_shared(Arc::new(file), range);
    }

    /// Replies with the head that was prepared and the content of `file`.
    pub(crate) fn send_prepared_file(&mut self, prepared: Arc<Prepared>, file: Arc<SharedFile>) {
        self.reply.prepared(prepared, Some(file));
    }

    /// Sends `range` of a file that other replies may be sending too.
    pub(crate) fn copy_shared(&mut self, file: Arc<SharedFile>, range: Range<u64>) {
        self.reply.file(file, range);
    }

    /// Sends several ranges of `file` with text between.
    pub(crate) fn copy_parts(&mut self, file: Arc<SharedFile>, parts: VecDeque<Part>) {
        self.reply.parts(file, parts);
    }

    /// Returns the threads for files that the loop would have to wait for; `None` if the loop waits.
    pub(crate) fn submitter(&self) -> Option<Submitter> {
        let threads = self.context.server.file_threads()?;
        Some(Submitter::new(threads, self.waker()))
    }

    /// Sends `parts` of a file that only file threads read. If they take no more jobs, the reply becomes a 503.
    pub(crate) fn send_by_threads(
        &mut self,
        file: DroppedByThread<Arc<File>>,
        parts: impl IntoIterator<Item = FilePart>,
    ) {
        let parts: VecDeque<_> = parts.into_iter().collect();
        let length = parts.iter().map(FilePart::length).sum();
        if let Some(length) = length {
            self.reply.announce(length);
        }
        match self.submitter() {
            // A reply to HEAD has the head of the reply to GET, and needs no reading for it.
            Some(_) if self.command() == "HEAD" && length.is_some() => {}
            Some(submitter) => match FileSource::begin(file, parts, submitter) {
                Ok(source) => self.reply.source(Box::new(source), Maker::FileThreads),
                Err(Refused) => self.send_file_unavailable(),
            },
            None => self
                .reply
                .refuse("only file threads read this file, and there are none"),
        }
    }
}
