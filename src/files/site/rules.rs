//! The rules of the files `_redirects` and `_headers`, as they were read last.

use std::hash::{DefaultHasher, Hasher as _};
use std::io;
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::headers::{FieldChanges, HeaderRules};
use super::lines::BadLine;
use super::redirects::{Redirected, Redirects};
use super::step::Step;
use crate::files::asked::Asked;
use crate::files::cache::{CachedReply, Watched};
use crate::files::load::Reads;
use crate::files::look_up::{Found, is_missing};
use crate::files::representation::Content;
use crate::files::send_head::FileRequest;
use crate::http::field::{FieldLines, FieldName, FieldValue};

/// The rules of a site.
#[derive(Debug, Default)]
pub(in crate::files) struct SiteRules {
    files: Arc<Mutex<RuleFiles>>,
    /// The rules of the handler, for a copy of it that waits for a file thread. The copy has rules of its own, because another
    /// request may change those of the handler before the reply of the copy is made.
    of_handler: Option<Arc<Mutex<RuleFiles>>>,
    /// A hash of the problem that was logged last for `_redirects`, and for `_headers`. All loops share it, so each is logged once.
    logged: Arc<Mutex<[Option<u64>; 2]>>,
}

/// The rules of both files.
#[derive(Clone, Debug, Default)]
pub(super) struct RuleFiles {
    pub(super) redirects: RuleFile<Redirects>,
    pub(super) headers: RuleFile<HeaderRules>,
}

/// The rules of one file.
#[derive(Clone, Debug, Default)]
pub(super) struct RuleFile<T> {
    /// The rules that were read last without an error.
    pub(super) rules: Arc<T>,
    /// How often the rules have changed.
    pub(super) version: u32,
    /// The hash of the content that was read last, good or bad; `None` if there was no file.
    read: Option<u64>,
    /// Whether a thread has read the file. The loop may have read it again before the result of the thread came, so what the cache
    /// keeps about the file says nothing about these rules.
    by_thread: bool,
}

impl SiteRules {
    /// Returns these rules for a copy of the handler that waits for a file thread.
    pub(in crate::files) fn share(&self) -> Self {
        let of_handler = self.of_handler.as_ref().unwrap_or(&self.files);
        Self {
            files: Arc::new(Mutex::new(self.lock().clone())),
            of_handler: Some(Arc::clone(of_handler)),
            logged: Arc::clone(&self.logged),
        }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, RuleFiles> {
        lock(&self.files)
    }

    /// Takes the rules of the file that is read in `step`. Returns what is wrong with the file if that is to be logged.
    fn take(&self, step: Step, content: Result<Option<&[u8]>, &str>) -> Option<String> {
        let name = step.rule_file();
        let by_thread = self.of_handler.is_some();
        let (read, index) = {
            let files = &mut *lock(self.of_handler.as_ref().unwrap_or(&self.files));
            match step {
                Step::Redirects => {
                    let read = files.redirects.read(name, content, Redirects::parse);
                    files.redirects.by_thread = by_thread;
                    if by_thread {
                        self.lock().redirects = files.redirects.clone();
                    }
                    (read, 0)
                }
                _ => {
                    let read = files.headers.read(name, content, HeaderRules::parse);
                    files.headers.by_thread = by_thread;
                    if by_thread {
                        self.lock().headers = files.headers.clone();
                    }
                    (read, 1)
                }
            }
        };
        let hash = match &read {
            Ok(false) => return None,
            Ok(true) => None,
            Err(problem) => Some(hash_of(problem.as_bytes())),
        };
        let mut logged = self.logged.lock().unwrap_or_else(PoisonError::into_inner);
        let before = mem::replace(&mut logged[index], hash);
        read.err().filter(|_| before != hash)
    }

    /// Whether the rules of the file that is read in `step` may be other ones than those that the cache knows of.
    pub(super) fn are_of_thread(&self, step: Step) -> bool {
        let files = self.lock();
        match step {
            Step::Redirects => files.redirects.by_thread,
            _ => files.headers.by_thread,
        }
    }
}

/// A clone reads the rules for itself: loops share no rules.
impl Clone for SiteRules {
    fn clone(&self) -> Self {
        Self {
            logged: Arc::clone(&self.logged),
            ..Self::default()
        }
    }
}

fn lock(files: &Mutex<RuleFiles>) -> MutexGuard<'_, RuleFiles> {
    files.lock().unwrap_or_else(PoisonError::into_inner)
}

fn hash_of(bytes: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(bytes);
    hasher.finish()
}

impl<T: Default> RuleFile<T> {
    /// Takes the rules that `parse` finds in the `content` of the file called `name`; without a file there are none. If the file
    /// cannot be read, or has a bad line, the rules that were read last stay. Returns whether the content is another one than before.
    ///
    /// # Errors
    /// What is wrong with the file, once for each content.
    fn read(
        &mut self,
        name: &str,
        content: Result<Option<&[u8]>, &str>,
        parse: impl FnOnce(&[u8]) -> Result<T, BadLine>,
    ) -> Result<bool, String> {
        let bytes = content.unwrap_or_else(|error| Some(error.as_bytes()));
        let hash = bytes.map(hash_of);
        if mem::replace(&mut self.read, hash) == hash {
            return Ok(false);
        }
        let content = content.map_err(|error| format!("{name}: {error}"))?;
        let parsed = content.map_or_else(|| Ok(T::default()), parse);
        let parsed = parsed.map_err(|bad| format!("{name}:{}: {}", bad.number, bad.message))?;
        self.rules = Arc::new(parsed);
        self.version = self.version.wrapping_add(1);
        Ok(true)
    }
}

/// The fields that the site gives to a reply.
pub(in crate::files) struct SitePolicy {
    pub(in crate::files) fields: Arc<FieldLines>,
    /// The media type in place of the one of the file.
    pub(in crate::files) content_type: Option<String>,
}

impl FileRequest<'_, '_> {
    /// Returns what the rules of `_redirects` do with a request for `path` before its file is looked for.
    pub(super) fn forced_rule(&self, path: &[u8]) -> Option<Redirected> {
        let rules = self.files.site_rules()?;
        rules.lock().redirects.rules.find_forced(path, self.query())
    }

    /// Returns what the rules of `_redirects` do with a request for `path`, for which there is no file.
    pub(super) fn rule(&self, path: &[u8]) -> Option<Redirected> {
        let rules = self.files.site_rules()?;
        rules.lock().redirects.rules.find(path, self.query())
    }

    fn query(&self) -> &str {
        let query = self.exchange.path().split_once('?');
        query.map_or("", |(_, query)| query)
    }

    /// Returns a number for the set of rules of `_headers` that match `path`: another one for each set, and 0 for none.
    pub(super) fn matching_headers(&self, path: &[u8]) -> u64 {
        let Some(rules) = self.files.site_rules() else {
            return 0;
        };
        let headers = &rules.lock().headers;
        let mut matching = headers.rules.matching(path).peekable();
        if matching.peek().is_none() {
            return 0;
        }
        let mut hasher = DefaultHasher::new();
        hasher.write_u32(headers.version);
        for rule in matching {
            hasher.write_u16(rule);
        }
        hasher.finish() | 1
    }

    /// Returns the fields that the reply gets from the configuration and the rules of `_headers`.
    pub(in crate::files) fn policy(&self) -> SitePolicy {
        let server = self.exchange.server();
        let default = || SitePolicy {
            fields: Arc::clone(server.file_policy()),
            content_type: None,
        };
        let Some(rules) = self.files.site_rules() else {
            return default();
        };
        let mut path = Vec::new();
        // A path that is not served has fields, too.
        let _ = self.files.locate(self.exchange.target(), &mut path);
        let changes = {
            let headers = &rules.lock().headers.rules;
            headers.merge(headers.matching(&path))
        };
        if changes == FieldChanges::default() {
            return default();
        }
        let is_cache_control = |name: &str| name.eq_ignore_ascii_case("cache-control");
        let mut names = changes
            .set
            .iter()
            .map(|(name, _)| name)
            .chain(&changes.removed);
        let mut fields = FieldLines::default();
        if !names.any(|name| is_cache_control(name)) {
            fields.append(server.file_policy());
        }
        let mut content_type = None;
        for (name, value) in changes.set {
            if name.eq_ignore_ascii_case("content-type") {
                content_type = Some(value);
            } else if server.is_extra_field(&name) {
                // The configuration wins.
            } else if let (Ok(name), Ok(value)) =
                (FieldName::new(&name), FieldValue::new(value.as_bytes()))
            {
                fields.push(name, value);
            }
        }
        SitePolicy {
            fields: Arc::new(fields),
            content_type,
        }
    }

    /// Reads the rules of the file that was found, and goes on. A file that cannot be read leaves the rules as they are.
    pub(in crate::files) fn read_rules(
        &mut self,
        asked: &Asked<'_>,
        found: io::Result<Found>,
    ) -> io::Result<()> {
        match found {
            Ok(Found::File(file)) => {
                let watched = self.watch_file(asked, &file);
                let file_system = self.files.cache.borrow().watcher.file_system(&file.file);
                let may_wait = self.may_wait(asked, file_system, true);
                let threads = self.exchange.server().file_threads();
                match file.load(may_wait, file_system, threads, Reads::RULES) {
                    Ok(loaded) if threads.is_some() && loaded.is_cold() => {
                        return self.leave_to_thread(asked, self.files.for_thread());
                    }
                    Ok(loaded) => {
                        self.take_content(asked.step, &loaded.content);
                        if let Some(watched) = watched {
                            self.keep_rules(asked, watched);
                        }
                    }
                    Err(error) => self.take_rules(asked.step, Err(&error.to_string())),
                }
            }
            Ok(Found::Loaded(loaded)) => self.take_content(asked.step, &loaded.content),
            Ok(Found::Nothing(not_opened)) if is_missing(not_opened.errno) => {
                self.take_rules(asked.step, Ok(None));
                if not_opened.is_plain {
                    self.keep_missing(asked);
                }
            }
            Ok(Found::Nothing(not_opened)) => {
                let error = io::Error::from(not_opened.errno);
                self.take_rules(asked.step, Err(&error.to_string()));
            }
            Ok(_) => self.take_rules(asked.step, Ok(None)),
            Err(error) => self.take_rules(asked.step, Err(&error.to_string())),
        }
        self.send_missing(asked)
    }

    fn take_content(&mut self, step: Step, content: &Content) {
        let content = match content {
            Content::InMemory(content) => Ok(Some(&**content)),
            _ => Err("the file has more than 1 MiB"),
        };
        self.take_rules(step, content);
    }

    /// Takes the rules of the file that is read in `step`, `None` if there is no file. What is wrong with the file is logged.
    fn take_rules(&mut self, step: Step, content: Result<Option<&[u8]>, &str>) {
        let Some(rules) = self.files.site_rules() else {
            return;
        };
        if let Some(problem) = rules.take(step, content) {
            let line = format!("{problem}; the rules from before this change stay in force");
            self.exchange.log_message(&line);
        }
    }

    /// Notes that the rules are those of the file that is `watched`.
    fn keep_rules(&self, asked: &Asked<'_>, watched: Watched) {
        let (clock, server) = (self.exchange.clock(), self.exchange.server());
        let mut cache = self.files.cache.borrow_mut();
        cache.put(
            asked.key(),
            watched,
            CachedReply::Rules,
            clock,
            server.config(),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bad_line_is_told_once_and_the_rules_stay() {
        let mut file = RuleFile::<Redirects>::default();
        let mut read = |content: Result<Option<&str>, &str>| {
            let content = content.map(|content| content.map(str::as_bytes));
            let read = file.read("_redirects", content, Redirects::parse);
            let is_found = file.rules.find(b"a", "").is_some();
            (read.err().unwrap_or_default(), is_found, file.version)
        };
        let good = |is_found, version| (String::new(), is_found, version);
        assert_eq!(read(Ok(None)), good(false, 0));
        assert_eq!(read(Ok(Some("/a /b"))), good(true, 1));
        assert_eq!(read(Ok(Some("/a /b"))), good(true, 1));
        let (problem, is_found, version) = read(Ok(Some("/c /d\n/a")));
        assert!(problem.starts_with("_redirects:2: "), "{problem}");
        assert_eq!((is_found, version), (true, 1));
        assert_eq!(read(Ok(Some("/c /d\n/a"))), good(true, 1));
        assert_eq!(read(Err("why")), ("_redirects: why".to_owned(), true, 1));
        assert_eq!(read(Err("why")), good(true, 1));
        assert_eq!(read(Ok(Some("/c /d"))), good(false, 2));
        assert_eq!(read(Ok(Some("/a /d"))), good(true, 3));
        assert_eq!(read(Ok(None)), good(false, 4));
    }
    #[test]
    fn loops_log_a_problem_once_together() {
        let one = SiteRules::default();
        let two = one.clone();
        let take = |rules: &SiteRules, content: &str| {
            rules
                .take(Step::Redirects, Ok(Some(content.as_bytes())))
                .is_some()
        };
        assert!(take(&one, "bad") && !take(&two, "bad") && !take(&one, "bad"));
        assert!(!take(&one, "/a /b") && take(&one, "bad") && !take(&two, "bad"));
        assert!(take(&two, "worse") && !take(&one, "worse"));
    }

    #[test]
    fn rules_that_a_thread_has_read_may_be_older_than_what_is_kept() {
        let rules = SiteRules::default();
        let copy = rules.share();
        let take = |rules: &SiteRules, content: &str| {
            rules.take(Step::Redirects, Ok(Some(content.as_bytes())));
        };
        take(&rules, "/new /b");
        assert!(!rules.are_of_thread(Step::Redirects));
        take(&copy, "/old /b");
        assert!(rules.are_of_thread(Step::Redirects) && !rules.are_of_thread(Step::Headers));
        take(&rules, "/new /b");
        assert!(!rules.are_of_thread(Step::Redirects));
    }
}
