//! What the linker is asked for, so that the program needs less memory at rest.
//!
//! It is built without any of this, too. An option is passed once a small program was linked with it and ran here; for
//! another machine, another system or musl none is. It is the program alone that is linked so, no library, test or example.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::{env, fs, io};

/// What a server at rest has not run, put together: what a panic needs, seldom parts of the standard library, then ours.
/// With every page that is touched the kernel maps the 16 around it; where these functions lie among the others, they are
/// all resident.
///
/// A word that is in no function's name any more has no effect, and that is all. What grows a `Vec` is one function for many
/// types and may bear the name of any, so it is put elsewhere first: the first pattern that fits holds.
const SELDOM: &str = "
SECTIONS { .text.often : { *(.text.*raw_vec*) } } INSERT AFTER .text;
SECTIONS { .text.seldom : {
  *libgcc_eh.a:*(.text .text.*)
  *(.text.*gimli* .text.*addr2line* .text.*rustc_demangle* .text.*miniz_oxide* .text.*backtrace_rs* .text.*panicking*)
  *(.text.*Debug* .text.*5slice4sort* .text.*cgroups* .text.*available_parallelism*)
  *(.text.*list_directory* .text.*send_directory* .text.*send_error* .text.*calibrate*)
  *(.text.*take_body* .text.*chunked* .text.*spool* .text.*quality* .text.*parse_range* .text.*parse_http_date*)
} } INSERT BEFORE .text;
";

/// A panic has to unwind still.
const PROBE: &str = "#![allow(warnings)]
fn main() {
    assert!(std::panic::catch_unwind(|| panic!()).is_err());
}
";

fn main() -> io::Result<()> {
    println!("cargo::rerun-if-changed=build.rs");
    let target = variable("TARGET");
    if target != variable("HOST") || !target.ends_with("-linux-gnu") {
        return Ok(());
    }
    let out = PathBuf::from(variable("OUT_DIR"));
    if out.as_os_str().is_empty() {
        // A path that is no text cannot be passed on.
        return Ok(());
    }
    fs::write(out.join("probe.rs"), PROBE)?;
    // The unwinder becomes part of the program: few others map its library, so that its pages are hardly shared.
    fs::write(out.join("libgcc_s.so"), "INPUT(-lgcc_eh)\n")?;
    fs::write(out.join("seldom.ld"), SELDOM)?;
    let wishes = [
        format!("-L{}", out.display()),
        format!("-Wl,-T,{}", out.join("seldom.ld").display()),
        // 4,400 addresses to be set at the start are a list of 1 KB and not of 109. Where it runs, it takes glibc 2.36.
        "-Wl,-z,pack-relative-relocs".to_owned(),
    ];
    let mut granted = Vec::new();
    for wish in wishes {
        granted.push(wish);
        if !works(&granted, &out) {
            granted.pop();
        }
    }
    for option in granted {
        println!("cargo::rustc-link-arg-bins={option}");
    }
    Ok(())
}

/// Whether a program starts and unwinds that was linked with these options, and as this build is otherwise.
fn works(options: &[String], out: &Path) -> bool {
    let flags = variable("CARGO_ENCODED_RUSTFLAGS");
    let linker = variable("RUSTC_LINKER");
    let program = out.join("probe");
    let mut rustc = Command::new(variable("RUSTC"));
    rustc.arg(out.join("probe.rs")).arg("-o").arg(&program);
    rustc.args(flags.split('\x1f').filter(|flag| !flag.is_empty()));
    if !linker.is_empty() {
        rustc.arg(format!("-Clinker={linker}"));
    }
    rustc.args(options.iter().map(|option| format!("-Clink-arg={option}")));
    succeeds(&mut rustc) && succeeds(Command::new(program).current_dir(out))
}

fn succeeds(command: &mut Command) -> bool {
    let status = command.stdout(Stdio::null()).stderr(Stdio::null()).status();
    status.is_ok_and(|status| status.success())
}

fn variable(name: &str) -> String {
    env::var(name).unwrap_or_default()
}
