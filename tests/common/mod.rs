//! What the kernel says about a process, for both test programs.

use std::fs;
use std::thread;

use landlock::{AccessFs, LandlockStatus, Ruleset, RulesetAttr};

/// Whether the kernel offers Landlock and lets this process use it.
pub(crate) fn has_landlock() -> bool {
    // The restriction binds only this thread, which ends at once.
    let status = thread::spawn(|| {
        let ruleset = Ruleset::default().handle_access(AccessFs::Execute).unwrap();
        ruleset.create().unwrap().restrict_self().unwrap().landlock
    });
    matches!(status.join().unwrap(), LandlockStatus::Available { .. })
}

/// The memory of a process in KiB, by a key such as `VmRSS` (now) or `VmHWM` (the most that it ever held).
pub(crate) fn memory(process: u32, key: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with(key)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// How many descriptors a process has open.
pub(crate) fn descriptors(process: u32) -> usize {
    let directory = fs::read_dir(format!("/proc/{process}/fd"));
    directory.unwrap().count()
}
