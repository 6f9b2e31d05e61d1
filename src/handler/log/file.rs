//! The file that one loop writes the lines of requests to. What there is to say about it goes to standard error, so that the file
//! has only lines of its format.

use std::mem;
use std::sync::Arc;

use super::output::{Output, Sink};
use crate::wire::log_file::LogFile;

#[derive(Debug)]
pub(super) struct RequestFile {
    log_file: Arc<LogFile>,
    /// What it has to report is reported at the next [`flush`](Self::flush).
    pub(super) output: Output,
    /// The number of the last reload.
    reload: u64,
}

impl RequestFile {
    pub(super) fn new(log_file: Arc<LogFile>) -> Self {
        Self {
            output: Output::new(Sink::File(log_file.output())),
            log_file,
            reload: 0,
        }
    }

    pub(super) fn flush(&mut self, stderr: &mut Output) {
        self.output.flush();
        self.report(stderr);
    }

    /// Writes the last lines; those that the file does not take are lost.
    pub(super) fn finish(&mut self, stderr: &mut Output) {
        self.output.finish();
        self.output.drop_waiting();
        self.report(stderr);
    }

    /// Goes on with the file that reload number `reload` has opened, unless that is done already.
    pub(super) fn reopen(&mut self, reload: u64, stderr: &mut Output) {
        if mem::replace(&mut self.reload, reload) == reload {
            return;
        }
        let (output, failure) = self.log_file.reopen(reload);
        self.output.switch(Sink::File(output));
        self.report(stderr);
        if let Some(error) = failure {
            let path = self.shown_path();
            stderr.text(format_args!(
                "httpoll: cannot reopen the log file {path}, so the old one stays in use: {error}\n"
            ));
        }
    }

    /// Says that the file has begun to fail; and once it takes lines again, how many were lost.
    fn report(&mut self, stderr: &mut Output) {
        if let Some(error) = self.output.take_failure() {
            let path = self.shown_path();
            stderr.text(format_args!(
                "httpoll: cannot write the log file {path}: {error}\n"
            ));
        }
        if !self.output.is_waiting() {
            let lost = self.output.take_lost();
            if lost > 0 {
                let path = self.shown_path();
                stderr.text(format_args!(
                    "httpoll: {lost} log lines were lost before the next one in {path}\n"
                ));
            }
        }
    }

    fn shown_path(&self) -> String {
        self.log_file
            .path()
            .to_string_lossy()
            .escape_debug()
            .to_string()
    }

    pub(super) fn lost_in_all(&self) -> u64 {
        self.output.lost_in_all
    }

    pub(super) fn is_waiting(&self) -> bool {
        self.output.is_waiting()
    }
}
