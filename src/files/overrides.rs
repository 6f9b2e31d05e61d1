//! The parts of the static handler that its owner may replace by closures, as a subclass does in Python.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::handler::exchange::Exchange;

type TranslatePath = dyn Fn(&str) -> Option<PathBuf> + Send + Sync;
type GuessType = dyn Fn(&Path) -> Option<String> + Send + Sync;
type ListDirectory = dyn Fn(&mut Exchange<'_>, &Path) -> io::Result<()> + Send + Sync;

/// The closures that the owner has set.
#[derive(Clone, Default)]
pub(crate) struct Overrides {
    pub(crate) translate_path: Option<Arc<TranslatePath>>,
    pub(crate) guess_type: Option<Arc<GuessType>>,
    pub(crate) list_directory: Option<Arc<ListDirectory>>,
}

impl Overrides {
    pub(crate) fn are_set(&self) -> bool {
        self.translate_path.is_some() || self.guess_type.is_some() || self.list_directory.is_some()
    }
}

impl fmt::Debug for Overrides {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Overrides")
            .field("translate_path", &self.translate_path.is_some())
            .field("guess_type", &self.guess_type.is_some())
            .field("list_directory", &self.list_directory.is_some())
            .finish()
    }
}
