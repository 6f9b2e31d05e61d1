//! From the target of a request to a path below the served directory (RFC 3986 §2.1 and §5.2.4).
//!
//! Invariant: the path has no empty, `.` or `..` segment, no NUL and no leading slash. So its spelling cannot lead out of the
//! directory below which it is opened. [`super::open`] takes care of symbolic links.

use memchr::{memchr, memchr2};
use percent_encoding::percent_decode;

/// What a target says beside its path.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Translated {
    /// Whether a directory is meant: the path ends with a slash, `%2f` included, or with a dot segment, which stands for a path
    /// with a slash at its end (RFC 3986 §5.2.4).
    pub(crate) trailing_slash: bool,
    /// Whether a segment begins with a dot, other than `.well-known` (RFC 8615).
    pub(crate) hidden: bool,
}

/// Writes the path that `target` means to `path`, as raw bytes: query and fragment are dropped, percent-encoding is decoded (a
/// bad `%zz` stays as it is), `..` stops at the root. Returns `None` if the path has a NUL.
pub(crate) fn translate_path(target: &[u8], path: &mut Vec<u8>) -> Option<Translated> {
    path.clear();
    if let Some((plain, trailing_slash)) = plain(target) {
        path.extend_from_slice(plain);
        return Some(Translated {
            trailing_slash,
            hidden: false,
        });
    }
    let end = memchr2(b'?', b'#', target).unwrap_or(target.len());
    path.extend(percent_decode(&target[..end]));
    if path.contains(&0) {
        return None;
    }
    Some(clean(path))
}

/// Bytes that may mean something other than themselves.
const SPECIAL: [bool; 256] = {
    let mut table = [false; 256];
    let special = b"\0%?#/.";
    let mut index = 0;
    while index < special.len() {
        table[special[index] as usize] = true;
        index += 1;
    }
    table
};

/// Fast path: most targets need no decoding. Returns the bytes between the first slash and the last, and whether there is a last
/// one. `None` if a byte or a segment needs a closer look.
fn plain(target: &[u8]) -> Option<(&[u8], bool)> {
    let path = target.strip_prefix(b"/")?;
    // The path begins one byte after the target, so zip pairs each byte with the one before it.
    for (byte, previous) in path.iter().zip(target) {
        if SPECIAL[usize::from(*byte)] && (*previous == b'/' || !matches!(byte, b'/' | b'.')) {
            return None;
        }
    }
    Some(match path.strip_suffix(b"/") {
        Some(directory) => (directory, true),
        None => (path, path.is_empty()),
    })
}

/// Removes empty segments and dot segments from `path`.
pub(crate) fn clean(path: &mut Vec<u8>) -> Translated {
    let trailing_slash = matches!(
        path.as_slice(),
        [] | [.., b'/'] | b"." | b".." | [.., b'/', b'.'] | [.., b'/', b'.', b'.']
    );
    let length = remove_dot_segments(path);
    path.truncate(length);
    let hidden = path.split(|byte| *byte == b'/').any(is_hidden);
    Translated {
        trailing_slash,
        hidden,
    }
}

/// Returns whether `name` is neither served nor listed unless dotfiles are.
pub(crate) fn is_hidden(name: &[u8]) -> bool {
    name.first() == Some(&b'.') && name != b".well-known"
}

/// Moves the segments that remain to the front of `path`, and returns their length.
fn remove_dot_segments(path: &mut [u8]) -> usize {
    let mut written = 0;
    let mut read = 0;
    while read < path.len() {
        let end = memchr(b'/', &path[read..]).map_or(path.len(), |length| read + length);
        match &path[read..end] {
            b"" | b"." => {}
            b".." => {
                let parent = path[..written].iter().rposition(|byte| *byte == b'/');
                written = parent.unwrap_or(0);
            }
            _ => {
                if written > 0 {
                    path[written] = b'/';
                    written += 1;
                }
                path.copy_within(read..end, written);
                written += end - read;
            }
        }
        read = end + 1;
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn translated(target: &str) -> Option<(String, bool, bool)> {
        let mut path = Vec::new();
        let Translated {
            trailing_slash,
            hidden,
        } = translate_path(target.as_bytes(), &mut path)?;
        Some((
            String::from_utf8_lossy(&path).into_owned(),
            trailing_slash,
            hidden,
        ))
    }

    #[test]
    fn targets_become_relative_paths() {
        let table = [
            ("/", "", true, false),
            ("/a", "a", false, false),
            ("/a/", "a/", true, false),
            ("/a/b?x=/../y#z", "a/b", false, false),
            ("/a#b?c", "a", false, false),
            ("/a//b/./c/", "a/b/c/", true, false),
            ("/../../etc/passwd", "etc/passwd", false, false),
            ("/a/b/../c", "a/c", false, false),
            ("/a/../..", "", true, false),
            ("/a/.", "a", true, false),
            ("/a/./", "a", true, false),
            ("/a/%2e", "a", true, false),
            ("/a/b/..", "a", true, false),
            ("/a/b/%2e.?x", "a", true, false),
            ("/..", "", true, false),
            ("/.", "", true, false),
            (".", "", true, false),
            ("/a.", "a.", false, false),
            ("/a/b..", "a/b..", false, false),
            ("/a/...", "a/...", false, true),
            ("/%2e%2e/%2E/x", "x", false, false),
            ("/a%2fb%2F", "a/b/", true, false),
            ("/%41%zz%4", "A%zz%4", false, false),
            ("/%252e%252e/x", "%2e%2e/x", false, false),
            ("/a\\..\\b", "a\\..\\b", false, false),
            ("/.git/config", ".git/config", false, true),
            ("/a/.b/c", "a/.b/c", false, true),
            ("/.git/../x", "x", false, false),
            ("/.well-known/acme", ".well-known/acme", false, false),
            ("/...", "...", false, true),
            ("*", "*", false, false),
        ];
        for (target, path, slash, hidden) in table {
            let path = path.trim_end_matches('/').to_owned();
            assert_eq!(translated(target), Some((path, slash, hidden)), "{target}");
        }
    }

    #[test]
    fn a_nul_is_refused() {
        assert_eq!(translated("/a%00b"), None);
    }

    /// Decodes a target byte by byte.
    fn plain_decode(target: &str) -> Vec<u8> {
        let end = target.find(['?', '#']).unwrap_or(target.len());
        percent_decode(&target.as_bytes()[..end]).collect()
    }

    proptest! {
        #[test]
        fn no_target_leads_out_of_the_directory(target in "[/.%2eEfF\\\\a]{0,40}") {
            let (path, ..) = translated(&target).unwrap();
            prop_assert!(!path.starts_with('/'));
            let bad = |segment: &str| matches!(segment, "" | "." | "..");
            prop_assert!(path.is_empty() || !path.split('/').any(bad), "{path}");
        }

        #[test]
        fn the_fast_path_finds_what_the_slow_one_does(target in "/[a-z.%2f/?#]{0,12}") {
            if let Some((plain, slash)) = plain(target.as_bytes()) {
                let mut path = plain_decode(&target);
                let careful = clean(&mut path);
                prop_assert_eq!((plain, slash, false), (&*path, careful.trailing_slash, careful.hidden));
            }
        }

        #[test]
        fn a_translated_path_stays_the_same_when_translated_again(target in "/[a-z./]{0,40}") {
            let (path, ..) = translated(&target).unwrap();
            prop_assert_eq!(translated(&format!("/{path}")).unwrap().0, path);
        }
    }
}
