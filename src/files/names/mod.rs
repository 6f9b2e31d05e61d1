//! What names mean: a target as a path, a path as an open file, a suffix as a media type, a directory as a redirect.

pub(crate) mod guess_type;
mod media_types;
pub(crate) mod mounts;
pub(crate) mod open;
pub(crate) mod percent_encode;
pub(crate) mod redirect;
pub(crate) mod root;
pub(crate) mod translate_path;
pub(crate) mod walk;
