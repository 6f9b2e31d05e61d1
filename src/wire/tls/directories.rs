//! The directories through which a file can be reached again after it was replaced.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// As many links as the kernel follows.
const MAX_LINKS: usize = 40;

/// Returns the directory of each path and of each target of a link that the path leads to, without those that are in another
/// one of them. Neither a path itself nor its target has to exist, but their directories have to.
///
/// # Errors
/// A path cannot be resolved.
pub(super) fn directories<'a>(
    paths: impl IntoIterator<Item = &'a Path>,
) -> io::Result<Vec<PathBuf>> {
    let mut found = BTreeSet::new();
    for path in paths {
        follow(path, &mut found)?;
    }
    // In the order of the set a directory stands before everything in it.
    let mut outermost: Vec<PathBuf> = Vec::new();
    for directory in found {
        if !outermost
            .last()
            .is_some_and(|outer| directory.starts_with(outer))
        {
            outermost.push(directory);
        }
    }
    Ok(outermost)
}

fn follow(path: &Path, found: &mut BTreeSet<PathBuf>) -> io::Result<()> {
    let mut path = path.to_owned();
    for _ in 0..MAX_LINKS {
        let parent = path.parent().unwrap_or(Path::new("/"));
        // Links in the middle of a path are resolved here: the directory that they lead to is what has to be readable.
        let directory = fs::canonicalize(parent)?;
        let target = fs::read_link(&path);
        found.insert(directory.clone());
        let Ok(target) = target else {
            return Ok(());
        };
        path = directory.join(target);
    }
    Err(io::Error::from(rustix::io::Errno::LOOP))
}
