//! The steps of a request for a site: what is looked for, until something is found.

use std::io;
use std::sync::Arc;

use super::redirects::Redirected;
use super::step::Step;
use crate::files::asked::Asked;
use crate::files::not_found::send_page;
use crate::files::send_head::FileRequest;
use crate::http::status::HttpStatus;

/// What a step does.
enum Plan {
    /// Looks for the path that was written, as a file or as a directory.
    LookFor { step: Step, as_directory: bool },
    /// Does nothing: the step is not for this request.
    Skip,
    /// The reply is made.
    Replied(io::Result<()>),
}

impl FileRequest<'_, '_> {
    /// Replies to a request for a site; `path` is memory for the paths and keys of the steps.
    pub(in crate::files) fn send_of_site(&mut self, path: &mut Vec<u8>) -> io::Result<()> {
        let first = if self.files.site {
            Step::Redirects
        } else {
            Step::Target
        };
        self.take_steps(Some(first), path)
    }

    /// Replies to a request for which nothing is at the path that was `asked` for: with the next step of a site, or with a 404.
    pub(in crate::files) fn send_missing(&mut self, asked: &Asked<'_>) -> io::Result<()> {
        if !self.files.has_steps() {
            return self.send_plain_not_found();
        }
        self.go_on(|depth| asked.step.next(depth))
    }

    /// Replies to a request for a file where a directory is: with the next step of a site, or with a redirect.
    pub(in crate::files) fn send_beside_directory(&mut self, asked: &Asked<'_>) -> io::Result<()> {
        if !self.files.site {
            self.send_slash();
            return Ok(());
        }
        self.go_on(|depth| asked.step.beside_directory(depth))
    }

    /// Goes on with the step that `next` returns for the depth of the target's directory.
    pub(super) fn go_on(&mut self, next: impl FnOnce(usize) -> Option<Step>) -> io::Result<()> {
        let mut path = Vec::new();
        let is_directory = self.locate(&mut path);
        let next = next(depth(&path, is_directory));
        self.take_steps(next, &mut path)
    }

    /// Whether the rules of this step are read although an entry is kept for their file.
    fn reads_rules_anew(&self, step: Step) -> bool {
        let rules = self.files.site_rules();
        step.reads_rules() && rules.is_some_and(|rules| rules.are_of_thread(step))
    }

    /// Replies that nothing was found in any step.
    fn send_not_found(&mut self) -> io::Result<()> {
        let policy = self.policy();
        if Arc::ptr_eq(&policy.fields, self.exchange.server().file_policy()) {
            return self.send_plain_not_found();
        }
        self.send_error_page(HttpStatus::NOT_FOUND, Some("File not found"))
    }

    /// Replies with the error page of this crate for `status`, and the fields that the site gives to it.
    fn send_error_page(&mut self, status: HttpStatus, message: Option<&str>) -> io::Result<()> {
        let fields = self.policy().fields;
        send_page(self.exchange, (status, message), &fields, self.files.live)
    }

    fn take_steps(&mut self, mut next: Option<Step>, path: &mut Vec<u8>) -> io::Result<()> {
        while let Some(step) = next {
            let target_is_directory = self.locate(path);
            let depth = depth(path, target_is_directory);
            // The rules that match are asked for only once they have been read.
            let headers = if step.reads_rules() {
                0
            } else {
                self.matching_headers(path)
            };
            let plan = self.plan(step, target_is_directory, path);
            let (step, as_directory) = match plan {
                Plan::LookFor { step, as_directory } => (step, as_directory),
                Plan::Skip => {
                    next = step.next(depth);
                    continue;
                }
                Plan::Replied(sent) => return sent,
            };
            next = step.next(depth);
            let path_length = path.len();
            push_key(path, step, as_directory, headers);
            self.is_nothing = false;
            let kept = if self.reads_rules_anew(step) {
                None
            } else {
                self.send_kept(path, Self::note_nothing)
            };
            match kept {
                Some(_) if self.is_nothing => {}
                Some(sent) => {
                    self.exchange.server().count_lookup(true);
                    return sent;
                }
                None => {
                    let asked = Asked::new(&**path, path_length, path.len());
                    return self.look_up_and_send(&asked.at(step, as_directory));
                }
            }
        }
        self.send_not_found()
    }

    fn note_nothing(&mut self) -> io::Result<()> {
        self.is_nothing = true;
        Ok(())
    }

    /// Writes the path that the target means to `path`. Returns whether it means a directory; `None` if it is not served.
    fn locate(&self, path: &mut Vec<u8>) -> Option<bool> {
        self.files.locate(self.exchange.target(), path).ok()
    }

    /// Decides what `step` does for the target with this `path`, and writes the path to look for in its place.
    fn plan(&mut self, step: Step, target_is_directory: Option<bool>, path: &mut Vec<u8>) -> Plan {
        let is_site = self.files.site;
        let is_file = |path: &mut Vec<u8>, name: &str| {
            path.extend_from_slice(name.as_bytes());
            Plan::LookFor {
                step,
                as_directory: false,
            }
        };
        match (step, target_is_directory) {
            (Step::Redirects | Step::Headers, _) => {
                path.clear();
                is_file(path, step.rule_file())
            }
            (Step::Target, target) => match (self.forced_rule(path), target) {
                (Some(rule), _) => self.follow(Step::Rule(HttpStatus::OK), rule, path),
                (None, Some(as_directory)) => Plan::LookFor { step, as_directory },
                (None, None) => Plan::Skip,
            },
            (Step::TargetPage | Step::PageBesideDirectory, Some(false)) if is_site => {
                is_file(path, ".html")
            }
            (Step::Slash, _) => {
                self.send_slash();
                Plan::Replied(Ok(()))
            }
            (Step::Rule(_) | Step::RulePage(_) | Step::RuleDirectory(_), _) => {
                match self.rule(path) {
                    Some(rule) => self.follow(step, rule, path),
                    None => Plan::Skip,
                }
            }
            (Step::App, target) => match self.status_of_rule(path) {
                HttpStatus::GONE => Plan::Replied(self.send_error_page(HttpStatus::GONE, None)),
                HttpStatus::OK if target.is_some() && self.files.spa && self.is_for_page(path) => {
                    path.clear();
                    is_file(path, "index.html")
                }
                _ => Plan::Skip,
            },
            (Step::NotFoundPage(depth), _) if is_site => {
                keep_directory(path, depth);
                is_file(path, "404.html")
            }
            _ => Plan::Skip,
        }
    }

    /// Does what a rule of `_redirects` says, or writes the path that the rule leads to.
    fn follow(&mut self, step: Step, rule: Redirected, path: &mut Vec<u8>) -> Plan {
        let (status, target) = match rule {
            Redirected::To { status, location } => {
                self.send_redirect(status, &location);
                return Plan::Replied(Ok(()));
            }
            Redirected::Served { status, target } => (status, target),
        };
        let Ok(as_directory) = self.files.locate(target.as_bytes(), path) else {
            return Plan::Skip;
        };
        let (step, as_directory) = match step {
            Step::RulePage(_) if !as_directory => {
                path.extend_from_slice(b".html");
                (Step::RulePage(status), false)
            }
            Step::RuleDirectory(_) if !as_directory => (Step::RuleDirectory(status), true),
            Step::Rule(_) => (Step::Rule(status), as_directory),
            _ => return Plan::Skip,
        };
        Plan::LookFor { step, as_directory }
    }

    /// Returns the status that a rule gives to the path, where the page that the rule names does not exist; 200 without such a rule.
    fn status_of_rule(&self, path: &[u8]) -> HttpStatus {
        match self.rule(path) {
            Some(Redirected::Served { status, .. }) => status,
            _ => HttpStatus::OK,
        }
    }

    /// Whether the request is for a page of an application, and not for one of its files: the last name of the path has no suffix.
    fn is_for_page(&self, path: &[u8]) -> bool {
        let name = path.rsplit(|byte| *byte == b'/').next();
        let has_suffix = name.is_some_and(|name| name.contains(&b'.'));
        !has_suffix && self.exchange.accepts_html()
    }
}

/// Appends to a path what makes it the key of a reply. No path has a NUL, so the key is unique.
fn push_key(path: &mut Vec<u8>, step: Step, as_directory: bool, headers: u64) {
    if as_directory {
        path.push(b'/');
    }
    let status = step.status();
    if step.reads_rules() {
        path.push(0);
    } else if status != HttpStatus::OK || headers != 0 {
        path.push(0);
        path.extend_from_slice(&status.code().to_ne_bytes());
        path.extend_from_slice(&headers.to_ne_bytes());
    }
}

/// Returns in how many directories below the served one the target with this path is. A directory counts itself. For a target that is
/// not served it is 0: nothing of the directories on a hidden path may show.
fn depth(path: &[u8], is_directory: Option<bool>) -> usize {
    let Some(is_directory) = is_directory else {
        return 0;
    };
    let slashes = path.iter().filter(|byte| **byte == b'/').count();
    slashes + usize::from(is_directory && !path.is_empty())
}

/// Shortens a path to the directory at this `depth`, with a slash at its end.
fn keep_directory(path: &mut Vec<u8>, depth: usize) {
    path.push(b'/');
    let mut slashes = path.iter().enumerate().filter(|(_, byte)| **byte == b'/');
    let last = depth.checked_sub(1).and_then(|number| slashes.nth(number));
    let length = last.map_or(0, |(index, _)| index + 1);
    path.truncate(length);
}
