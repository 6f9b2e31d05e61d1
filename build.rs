//! Has the linker put the functions side by side that a server at rest has run: `src/layout.ld` names them, and `scripts/layout` finds
//! them.
//!
//! The kernel maps 64 KiB of the program around each page that is used. Without the list the functions lie in nearly all of these
//! pieces, because those for TLS, compression and backtraces lie between them, and a server at rest has 1 MiB more in memory.

use std::env;
use std::process::Command;

const LAYOUT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/layout.ld");

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed=src/layout.ld");
    if is_optimized() && is_linked_by_cc() && cc_takes_it() {
        println!("cargo:rustc-link-arg-bins=-T");
        println!("cargo:rustc-link-arg-bins={LAYOUT}");
    }
}

fn is_optimized() -> bool {
    is("OPT_LEVEL", |level| level != "0")
}

/// Whether rustc links as it does on Linux where nothing else is asked for.
fn is_linked_by_cc() -> bool {
    is("CARGO_CFG_TARGET_OS", |system| system == "linux")
        && is("CARGO_CFG_TARGET_ENV", |library| library == "gnu")
        && env::var("HOST") == env::var("TARGET")
        && env::var_os("RUSTC_LINKER").is_none()
        && !is("CARGO_ENCODED_RUSTFLAGS", |flags| flags.contains("link"))
}

/// Whether the system's linker knows such a script: LLD and that of GNU do, mold and gold do not.
fn cc_takes_it() -> bool {
    let Some(directory) = env::var_os("OUT_DIR") else {
        return false;
    };
    let empty = ["-shared", "-nostdlib", "-x", "c", "/dev/null"];
    let mut link = Command::new("cc");
    link.args(empty).args(["-T", LAYOUT, "-o", "empty.so"]);
    let linked = link.current_dir(directory).output();
    linked.is_ok_and(|linked| linked.status.success())
}

fn is(variable: &str, wanted: impl FnOnce(&str) -> bool) -> bool {
    env::var(variable).is_ok_and(|value| wanted(&value))
}
