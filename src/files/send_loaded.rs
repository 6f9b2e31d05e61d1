//! From a regular file that was found to its reply, which is kept if the kernel reports changes of the file.

use std::sync::Arc;
use std::{io, iter};

use rustix::fs::Stat;

use super::asked::Asked;
use super::cache::{CachedReply, Watched};
use super::codings::{Codings, is_compressible, with_vary};
use super::encode::can_encode;
use super::identity::Identity;
use super::live;
use super::load::{LoadedFile, Reads};
use super::look_up::FoundFile;
use super::names::guess_type::FileType;
use super::names::mounts::FileSystem;
use super::representation::{
    Content, Description, MAX_IN_MEMORY, MayWait, Representation, SentFrom,
};
use super::send_file::{send_file, send_to_end};
use super::send_head::FileRequest;
use crate::http::accept_encoding::Coding;
use crate::http::conditional::Condition;

/// A sibling as a reply, and where its content is sent from if that is not in memory.
type Sibling = (Coding, Arc<Representation>, Option<SentFrom>);

impl FileRequest<'_, '_> {
    /// Replies with a regular file that was opened here, and keeps the reply if changes of the file are reported.
    pub(super) fn send_regular_file(
        &mut self,
        asked: &Asked<'_>,
        mut found: FoundFile,
    ) -> io::Result<()> {
        let watched = self.watch_file(asked, &found);
        // The stat that was made after the file was watched is the newer one.
        if let Some(watched) = &watched {
            found.stat = watched.stat;
        }
        let (files, threads) = (self.files, self.exchange.server().file_threads());
        let file_system = files.cache.borrow().watcher.file_system(&found.file);
        let file_type = files.file_type(&found.path, found.link_target.as_deref());
        let is_read_first = file_type.may_be_text || files.live;
        let may_wait = self.may_wait(asked, file_system, is_read_first);
        let reads = Reads {
            beginning: file_type.may_be_text,
            ..self.files.reads()
        };
        let loaded = found.load(may_wait, file_system, threads, reads)?;
        if threads.is_some() && loaded.is_cold() {
            return self.leave_to_thread(asked, self.files.for_thread());
        }
        self.send_loaded(asked, loaded, &file_type, watched)
    }

    /// Returns for what the loop may wait when it reads a small file. With file threads it reads only what is in memory. A file
    /// system in memory cannot tell that, and need not; of others that cannot tell, it reads what a thread has read lately.
    pub(super) fn may_wait(
        &self,
        asked: &Asked<'_>,
        file_system: FileSystem,
        is_read_first: bool,
    ) -> MayWait {
        if self.exchange.server().file_threads().is_none() {
            // Without a condition a file may be sent while it is read from the disk; its entity tag is only known after that, and so
            // is a type that depends on its content. A line can only be added to content in memory.
            return MayWait {
                for_disk: is_read_first || self.exchange.condition() != Condition::None,
                if_unknown: true,
            };
        }
        let now = self.exchange.clock().instant;
        MayWait {
            for_disk: false,
            if_unknown: file_system == FileSystem::Memory
                || self.files.read_by_thread.is_recent(asked.key(), now),
        }
    }

    /// Replies with a file, and keeps the reply under the key that was `asked` for if the file is `watched`.
    pub(super) fn send_loaded(
        &mut self,
        asked: &Asked<'_>,
        mut loaded: LoadedFile,
        file_type: &FileType<'_>,
        watched: Option<Watched>,
    ) -> io::Result<()> {
        if let Some(stale) = &loaded.stale {
            self.note_stale(stale);
        }
        let (server, clock) = (self.exchange.server(), self.exchange.clock());
        server.count_lookup(false);
        let is_cold = loaded.is_cold();
        let policy = self.policy();
        let given = policy
            .content_type
            .map(|given| file_type.with_media_type(given));
        let file_type = given.as_ref().unwrap_or(file_type);
        self.add_live_line(&mut loaded, file_type);
        let mut description = Description {
            status: asked.step.status(),
            content_type: file_type.fields(loaded.is_text)?,
            coding: None,
            policy: policy.fields,
        };
        let codings = self.codings(&loaded, file_type, &mut description);
        let LoadedFile {
            stat,
            content,
            sent_from,
            siblings,
            ..
        } = loaded;
        let described = description.clone();
        let Some(mut file) = self.represent(described, &stat, &content, sent_from.as_ref()) else {
            // A file of unknown length is never in memory.
            if let Some(sent_from) = sent_from {
                send_to_end(self.exchange, sent_from, &description);
            }
            return Ok(());
        };
        let siblings = self.represent_siblings(&file, codings.is_some(), siblings);
        file.codings = codings.map(|mut codings| {
            for (coding, sibling, _) in &siblings {
                codings.insert(*coding, Arc::clone(sibling));
            }
            Box::new(codings)
        });
        let file = Arc::new(file);
        let is_kept = watched.is_some() && !is_cold;
        if let Some(watched) = watched.filter(|_| is_kept) {
            self.keep(asked, watched, &file);
            let of_siblings = siblings.iter().map(|(_, _, sent_from)| sent_from);
            for sent_from in iter::once(&sent_from).chain(of_siblings) {
                if let Some(SentFrom::Local(shared)) = sent_from {
                    server.keep_open(shared, clock.instant);
                }
            }
        }
        let chosen = match &file.codings {
            Some(codings) if is_kept => self.choose(codings, asked.key(), &file),
            Some(codings) => codings
                .best(self.exchange.accepted_codings())
                .unwrap_or(&file),
            None => &file,
        };
        let mut siblings = siblings.into_iter();
        match siblings.find(|(_, sibling, _)| Arc::ptr_eq(sibling, chosen)) {
            Some((_, sibling, sent_from)) => send_file(self.exchange, &sibling, sent_from),
            None => send_file(self.exchange, &file, sent_from),
        }
    }

    /// Adds the line of `--live` to an HTML document. Its siblings do not have the line, so they are not sent.
    fn add_live_line(&self, loaded: &mut LoadedFile, file_type: &FileType<'_>) {
        let is_html = file_type
            .media_type(loaded.is_text)
            .starts_with("text/html");
        if self.files.live
            && is_html
            && let Content::InMemory(content) = &mut loaded.content
            && !live::is_utf_16(content)
        {
            content.extend_from_slice(live::LINE);
            loaded.siblings.clear();
        }
    }

    /// Returns the codings in which a file may be sent, without their content; `None` if there are none. If there are some, this adds
    /// Vary to the `description`, which the file has in all codings.
    fn codings(
        &self,
        loaded: &LoadedFile,
        file_type: &FileType<'_>,
        description: &mut Description,
    ) -> Option<Codings<Representation>> {
        if !self.files.compress || file_type.is_gzip() {
            return None;
        }
        let size = u64::try_from(loaded.stat.st_size).unwrap_or(0);
        let may_make = self.files.compresses(self.exchange.server(), size)
            && is_compressible(file_type.media_type(loaded.is_text));
        if !may_make && loaded.siblings.is_empty() {
            return None;
        }
        description.policy = with_vary(&description.policy);
        Some(Codings::new(|coding| may_make && can_encode(coding)))
    }

    fn represent(
        &self,
        description: Description,
        stat: &Stat,
        content: &Content,
        sent_from: Option<&SentFrom>,
    ) -> Option<Representation> {
        let (server, clock) = (self.exchange.server(), self.exchange.clock());
        let identity = Identity::from(stat);
        Representation::new(server, clock, &identity, description, content, sent_from)
    }

    /// Describes the siblings of `file` that can be sent in place of it.
    fn represent_siblings(
        &self,
        file: &Representation,
        may_send: bool,
        siblings: Vec<(Coding, LoadedFile)>,
    ) -> Vec<Sibling> {
        let siblings = siblings.into_iter().filter(|_| may_send);
        let represented = siblings.filter_map(|(coding, loaded)| {
            let description = Description {
                coding: Some(coding),
                ..file.description.clone()
            };
            let LoadedFile {
                stat,
                content,
                sent_from,
                ..
            } = loaded;
            let sibling = self.represent(description, &stat, &content, sent_from.as_ref())?;
            Some((coding, Arc::new(sibling), sent_from))
        });
        represented.collect()
    }

    /// Keeps the reply with a file that is `watched`, under the key that was `asked` for.
    fn keep(&self, asked: &Asked<'_>, watched: Watched, file: &Arc<Representation>) {
        let (clock, server) = (self.exchange.clock(), self.exchange.server());
        let reply = CachedReply::File(Arc::clone(file));
        let mut cache = self.files.cache.borrow_mut();
        cache.put(asked.key(), watched, reply, clock, server.config());
    }

    /// Watches a file and its siblings if the reply is to be kept; `None` if it is not.
    pub(super) fn watch_file(&self, asked: &Asked<'_>, found: &FoundFile) -> Option<Watched> {
        let may_keep = found.is_plain || self.files.root.single().is_some();
        if !may_keep || self.files.overrides.guess_type.is_some() {
            return None;
        }
        let (clock, config) = (self.exchange.clock(), self.exchange.server().config());
        let size = found.size();
        let in_memory = if size > MAX_IN_MEMORY { 0 } else { size };
        let mut cache = self.files.cache.borrow_mut();
        if !cache.admits(asked.key(), in_memory, clock, config) {
            return None;
        }
        let (root, absent) = (&self.files.root, &found.absent);
        let watcher = &mut cache.watcher;
        let mut watched = watcher.watch_file(root, &found.path, absent, &found.file, clock)?;
        let mut siblings = found.siblings.iter();
        siblings
            .all(|sibling| watcher.watch_sibling(&mut watched, root, sibling))
            .then_some(watched)
    }
}
