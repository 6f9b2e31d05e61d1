//! Has the linker place the functions that a server at rest has run side by side. `src/layout.ld` names them, and `scripts/layout`
//! writes that file.
//!
//! The kernel maps 64 KiB of the program around each page that is used. Without the list, functions for TLS, compression and
//! backtraces lie between those that run, so nearly all of the program is mapped: a server at rest has 1 MiB more in memory.

use std::env;
use std::fs;
use std::process::Command;

const LAYOUT: &str = include_str!("src/layout.ld");

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed=src/layout.ld");
    if is_optimized()
        && is_linked_by_cc()
        && let Ok(directory) = env::var("OUT_DIR")
        && cc_takes_layout(&directory)
    {
        // Cargo corrects paths below OUT_DIR, and no others, after the checkout has moved.
        println!("cargo:rustc-link-arg-bins=-T{directory}/layout.ld");
    }
}

fn is_optimized() -> bool {
    is("OPT_LEVEL", |level| level != "0")
}

/// Whether rustc links with `cc` and its usual linker: on Linux with glibc, where no other linker is configured.
fn is_linked_by_cc() -> bool {
    is("CARGO_CFG_TARGET_OS", |system| system == "linux")
        && is("CARGO_CFG_TARGET_ENV", |library| library == "gnu")
        && env::var("HOST") == env::var("TARGET")
        && env::var_os("RUSTC_LINKER").is_none()
        && !is("CARGO_ENCODED_RUSTFLAGS", |flags| flags.contains("link"))
}

/// Writes the list to `directory`, and returns whether `cc` can link with it: GNU ld and LLD can, mold and gold cannot.
fn cc_takes_layout(directory: &str) -> bool {
    let empty = ["-shared", "-nostdlib", "-x", "c", "/dev/null"];
    let mut link = Command::new("cc");
    link.current_dir(directory).args(empty);
    link.args(["-Tlayout.ld", "-o", "empty.so"]);
    fs::write(format!("{directory}/layout.ld"), LAYOUT).is_ok()
        && link.output().is_ok_and(|linked| linked.status.success())
}

fn is(variable: &str, wanted: impl FnOnce(&str) -> bool) -> bool {
    env::var(variable).is_ok_and(|value| wanted(&value))
}
