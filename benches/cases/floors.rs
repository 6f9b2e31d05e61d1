//! The pure parts of the crate, which has them for itself, compiled once more.
#![allow(unused, unreachable_pub)] // Only what is measured is used.

#[path = "../../src/config.rs"]
pub(crate) mod config;
#[path = "../../src/files/names/guess_type.rs"]
pub(crate) mod guess_type;
#[path = "../../src/http/mod.rs"]
pub(crate) mod http;
#[path = "../../src/files/names/translate_path.rs"]
pub(crate) mod translate_path;
