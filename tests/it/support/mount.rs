//! File systems that are mounted for one test.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, geteuid, kill_process};

use super::{skip, wait_until};

/// A mounted file system; unmounted when dropped. Declare it after the site that it lies in.
pub(crate) struct Mount {
    at: PathBuf,
    /// The process behind a FUSE file system.
    daemon: Option<Child>,
}

/// The stopped process behind a FUSE file system; goes on when dropped. Declare it after the server, which may not end before.
pub(crate) struct StoppedDaemon(Pid);

impl Mount {
    /// Mounts an empty file system in memory; `None` where this process may not.
    pub(crate) fn tmpfs(at: &Path) -> Option<Self> {
        Self::of_kind("tmpfs", "mode=755", at)
    }

    /// Mounts a file system in memory that has room for 1 MiB.
    pub(crate) fn small_tmpfs(at: &Path) -> Option<Self> {
        Self::of_kind("tmpfs", "mode=755,size=1m", at)
    }

    /// Mounts an overlay of the directories `lower` and `upper` beside `at`; makes those that are missing.
    pub(crate) fn overlay(at: &Path) -> Option<Self> {
        let [lower, upper, work] = ["lower", "upper", "work"].map(|name| at.with_file_name(name));
        for directory in [&lower, &upper, &work] {
            fs::create_dir_all(directory).unwrap();
        }
        let [lower, upper, work] = [lower, upper, work].map(|path| path.display().to_string());
        // With redirect_dir a directory of the lower layer can be renamed, too.
        let options = format!("lowerdir={lower},upperdir={upper},workdir={work},redirect_dir=on");
        Self::of_kind("overlay", &options, at)
    }

    /// Mounts `source`, which may be a file, once more.
    pub(crate) fn bind(source: &Path, at: &Path) -> Option<Self> {
        let mut command = Command::new("mount");
        command.arg("--bind").args([source, at]);
        if !geteuid().is_root() || !succeeds(&mut command) {
            skip("no right to mount a file");
            return None;
        }
        Some(Self {
            at: at.to_owned(),
            daemon: None,
        })
    }

    /// Mounts a FUSE file system that shows `source`.
    pub(crate) fn bindfs(source: &Path, at: &Path) -> Option<Self> {
        let mut command = Command::new("bindfs");
        // Without the kernel's caches of names and attributes, a change of the source shows in the mount at once.
        command.args(["-f", "-o", "attr_timeout=0,entry_timeout=0"]);
        Self::by_daemon(command.args([source, at]), at)
    }

    /// Mounts a FUSE file system that shows `source` and answers as slowly as the file `control` says, see `slow_mount.py`.
    pub(crate) fn slow(source: &Path, at: &Path, control: &Path) -> Option<Self> {
        let program = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/common/slow_mount.py");
        let mut command = Command::new("python3");
        command.arg(program).args([source, at, control]);
        // The program unmounts when this pipe is closed, so also if the test is killed.
        Self::by_daemon(command.stdin(Stdio::piped()), at)
    }

    /// Starts the process behind a FUSE file system, and waits until it has mounted.
    fn by_daemon(command: &mut Command, at: &Path) -> Option<Self> {
        let name = command.get_program().display().to_string();
        if !geteuid().is_root() || !Path::new("/dev/fuse").exists() {
            skip("no right to mount a FUSE file system");
            return None;
        }
        let command = command.stdout(Stdio::null()).stderr(Stdio::null());
        let Ok(mut daemon) = command.spawn() else {
            skip(&format!("no {name}"));
            return None;
        };
        let mut has_ended = false;
        wait_until("the daemon has mounted", || {
            has_ended = daemon.try_wait().unwrap().is_some();
            has_ended || is_mount_point(at)
        });
        if has_ended {
            skip(&format!("{name} cannot mount here"));
            return None;
        }
        Some(Self {
            at: at.to_owned(),
            daemon: Some(daemon),
        })
    }

    fn of_kind(kind: &str, options: &str, at: &Path) -> Option<Self> {
        let mut command = Command::new("mount");
        command.args(["-t", kind, "-o", options, "none"]).arg(at);
        if !geteuid().is_root() || !succeeds(&mut command) {
            skip(&format!("no right to mount {kind}"));
            return None;
        }
        Some(Self {
            at: at.to_owned(),
            daemon: None,
        })
    }

    /// Unmounts the file system; false where something in it is in use.
    pub(crate) fn unmount(&self) -> bool {
        succeeds(Command::new("umount").arg(&self.at))
    }

    /// Unmounts the file system lazily: processes that use it may continue.
    pub(crate) fn detach(&self) {
        assert!(succeeds(Command::new("umount").arg("-l").arg(&self.at)));
    }

    /// Stops the process behind a FUSE file system, until the result is dropped. Requests for its files then wait in the kernel.
    pub(crate) fn stop_daemon(&self) -> StoppedDaemon {
        let daemon = Pid::from_child(self.daemon.as_ref().unwrap());
        kill_process(daemon, Signal::STOP).unwrap();
        let status = format!("/proc/{daemon}/status");
        // A request that the process has read before it stops is not withdrawn, not even when SIGKILL ends what asks.
        wait_until("the daemon has stopped", || {
            fs::read_to_string(&status).unwrap().contains("\nState:\tT")
        });
        StoppedDaemon(daemon)
    }

    /// Kills the process behind a FUSE file system.
    pub(crate) fn kill_daemon(&mut self) {
        if let Some(mut daemon) = self.daemon.take() {
            let _ = daemon.kill();
            let _ = daemon.wait();
        }
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        // First, because `umount` waits for a daemon that is stopped.
        self.kill_daemon();
        while is_mount_point(&self.at) && succeeds(Command::new("umount").arg("-l").arg(&self.at)) {
        }
    }
}

impl Drop for StoppedDaemon {
    fn drop(&mut self) {
        let _ = kill_process(self.0, Signal::CONT);
    }
}

fn is_mount_point(path: &Path) -> bool {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let mut points = mounts.lines().filter_map(|line| line.split(' ').nth(4));
    points.any(|point| Path::new(point) == path)
}

fn succeeds(command: &mut Command) -> bool {
    let command = command.stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}
