//! The pure modules of the crate, which are private there, compiled a second time.
#![allow(unused, unreachable_pub)] // Only the measured functions are used.

#[path = "../../src/config/mod.rs"]
pub(crate) mod config;
#[path = "../../src/files/names/guess_type.rs"]
pub(crate) mod guess_type;
#[path = "../../src/http/mod.rs"]
pub(crate) mod http;
#[path = "../../src/files/names/media_types.rs"]
pub(crate) mod media_types;
#[path = "../../src/files/names/translate_path.rs"]
pub(crate) mod translate_path;
