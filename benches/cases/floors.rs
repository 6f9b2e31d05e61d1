//! The pure modules of the crate, compiled once more because they are private.
#![allow(unused, unreachable_pub)] // Only the measured functions are used.

#[path = "../../src/config.rs"]
pub(crate) mod config;
#[path = "../../src/files/guess_type.rs"]
pub(crate) mod guess_type;
#[path = "../../src/http/mod.rs"]
pub(crate) mod http;
#[path = "../../src/files/translate_path.rs"]
pub(crate) mod translate_path;
