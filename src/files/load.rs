//! Reading a file that was found, with its siblings. What may wait for a file system is left to file threads.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use rustix::fs::Stat;

use super::identity::Identity;
use super::live;
use super::look_up::{FoundFile, FoundSibling};
use super::names::mounts::FileSystem;
use super::representation::{Content, MAX_IN_MEMORY, MayWait, SentFrom, is_text};
use super::site::lines::MAX_SIZE;
use crate::http::accept_encoding::Coding;
use crate::wire::file_threads::{DroppedByThread, FileThreads};
use crate::wire::shared_file::SharedFile;

/// What is read of a file that is found.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reads {
    /// Files up to this size are read as a whole.
    pub(super) most: u64,
    /// Whether the beginning of a larger file is read, because its type depends on it.
    pub(super) beginning: bool,
}

impl Reads {
    /// The content, if it is small.
    pub(super) const CONTENT: Self = Self {
        most: MAX_IN_MEMORY,
        beginning: false,
    };
    /// The content, also of a larger file that may be a live page.
    pub(super) const LIVE: Self = Self {
        most: live::MAX_SIZE,
        beginning: false,
    };
    /// The rules of a site.
    pub(super) const RULES: Self = Self {
        most: MAX_SIZE as u64,
        beginning: false,
    };
}

/// A regular file with its content, or with where that is sent from.
#[derive(Debug)]
pub(super) struct LoadedFile {
    pub(super) path: Vec<u8>,
    pub(super) stat: Stat,
    pub(super) link_target: Option<PathBuf>,
    pub(super) content: Content,
    /// Whether the file begins with text; `false` if its beginning was not asked for.
    pub(super) is_text: bool,
    /// `None` if the content is in memory.
    pub(super) sent_from: Option<SentFrom>,
    /// The siblings that are not older.
    pub(super) siblings: Vec<(Coding, Self)>,
    /// The path of a sibling that is older, and so of no use.
    pub(super) stale: Option<Vec<u8>>,
}

impl FoundFile {
    /// Reads the file if it is small. A large one is sent from the file. If there are `threads`, only they read a file that is not
    /// local, or one of which the end is not known.
    ///
    /// # Errors
    /// The file cannot be read.
    pub(super) fn load(
        self,
        may_wait: MayWait,
        file_system: FileSystem,
        threads: Option<&FileThreads>,
        reads: Reads,
    ) -> io::Result<LoadedFile> {
        let content = Content::read(&self.file, self.size(), reads.most, may_wait)?;
        let is_text = match reads.beginning {
            true => is_text(&self.file, &content, may_wait)?,
            false => Some(false),
        };
        let content = is_text.map_or(Content::Cold(self.size()), |_| content);
        let (siblings, stale): (Vec<_>, Vec<_>) = self
            .siblings
            .into_iter()
            .partition(|sibling| !is_older(&sibling.stat, &self.stat));
        let stale = stale.into_iter().next().map(|sibling| sibling.path);
        let siblings = siblings.into_iter().map(|sibling| {
            let coding = sibling.coding;
            let loaded = sibling
                .alone()
                .load(may_wait, file_system, threads, Reads::CONTENT)?;
            Ok((coding, loaded))
        });
        let siblings = siblings.collect::<io::Result<_>>()?;
        let sent_from = match (&content, threads) {
            (Content::InMemory(_), _) => None,
            (content, Some(threads))
                if !file_system.is_local() || matches!(content, Content::Unknown) =>
            {
                let file = DroppedByThread::new(Arc::new(self.file), threads);
                Some(SentFrom::Remote(file))
            }
            _ => {
                let shared = SharedFile::from(self.file).with_threads(threads.cloned());
                let shared = match file_system {
                    FileSystem::Memory => shared.in_memory(),
                    _ => shared,
                };
                Some(SentFrom::Local(Arc::new(shared)))
            }
        };
        Ok(LoadedFile {
            path: self.path,
            stat: self.stat,
            link_target: self.link_target,
            content,
            is_text: is_text == Some(true),
            sent_from,
            siblings,
            stale,
        })
    }

    pub(super) fn size(&self) -> u64 {
        u64::try_from(self.stat.st_size).unwrap_or(0)
    }
}

impl LoadedFile {
    /// Whether any of the content has to be read from the disk.
    pub(super) fn is_cold(&self) -> bool {
        let is_cold = |content: &Content| matches!(content, Content::Cold(_));
        let mut siblings = self.siblings.iter().map(|(_, sibling)| &sibling.content);
        is_cold(&self.content) || siblings.any(is_cold)
    }
}

impl FoundSibling {
    /// Returns the sibling as a file of its own.
    fn alone(self) -> FoundFile {
        FoundFile {
            path: self.path,
            file: self.file,
            stat: self.stat,
            link_target: None,
            is_plain: false,
            absent: Vec::new(),
            siblings: Vec::new(),
        }
    }
}

/// Returns whether a sibling was made before its file was changed last. Tools that compress give the time of the file to the sibling,
/// some of them cut to whole seconds or microseconds.
fn is_older(sibling: &Stat, file: &Stat) -> bool {
    let modified = |stat| Identity::from(stat).modified_nanos();
    let (sibling, file) = (modified(sibling), modified(file));
    let unit = [1_000_000_000, 1000]
        .into_iter()
        .find(|unit| sibling % unit == 0);
    sibling < file - file % unit.unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sibling_with_a_rounded_time_is_not_older() {
        let modified = |seconds, nanos| {
            let mut stat = rustix::fs::stat("/").unwrap();
            (stat.st_mtime, stat.st_mtime_nsec) = (seconds, nanos);
            stat
        };
        let file = modified(100, 123_456_789);
        for (seconds, nanos, expected) in [
            (100, 123_456_789, false),
            (100, 123_456_000, false),
            (100, 0, false),
            (101, 0, false),
            (100, 123_456_788, true),
            (100, 123_455_000, true),
            (99, 999_999_999, true),
            (99, 0, true),
        ] {
            let sibling = modified(seconds, nanos);
            assert_eq!(is_older(&sibling, &file), expected, "{seconds}.{nanos:09}");
        }
    }
}
