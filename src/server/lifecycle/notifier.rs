//! What the service manager is told of the server: sd_notify(3).
//!
//! Invariant: no message waits, and none that is lost stops the server. The socket is connected before the process is confined.

use std::env;
use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::process;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// The shortest time between two signs of life.
const SHORTEST_BEAT: Duration = Duration::from_millis(1);

/// The socket of the service manager, and what it still has to be told.
#[derive(Debug)]
pub(crate) struct Notifier {
    socket: UnixDatagram,
    /// How often a loop shows that it is alive; `None` where the service manager does not watch.
    beat: Option<Duration>,
    /// The status while the server serves.
    status: String,
    progress: Mutex<Progress>,
}

#[derive(Debug)]
struct Progress {
    loops: Vec<LoopProgress>,
    /// How many readings of TLS files are not done.
    readings: usize,
    is_ready: bool,
    is_stopping: bool,
}

impl Progress {
    fn has_reloaded(&self) -> bool {
        self.readings == 0 && self.loops.iter().all(|each| !each.is_reloading)
    }
}

#[derive(Clone, Copy, Debug, Default)]
struct LoopProgress {
    /// It had a turn since the last message.
    is_alive: bool,
    is_reloading: bool,
    has_ended: bool,
}

impl Notifier {
    /// Connects to the socket that NOTIFY_SOCKET names, for a server of `loops` loops; `None` without that variable.
    ///
    /// # Errors
    /// There is no such socket.
    pub(crate) fn from_environment(loops: usize, status: String) -> io::Result<Option<Self>> {
        match env::var_os("NOTIFY_SOCKET") {
            Some(name) if !name.is_empty() => {
                let beat = beat_of_environment();
                Self::connect(&name, loops, beat, status).map(Some)
            }
            _ => Ok(None),
        }
    }

    fn connect(
        name: &OsStr,
        loops: usize,
        beat: Option<Duration>,
        status: String,
    ) -> io::Result<Self> {
        let address = match name.as_bytes() {
            [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
            _ => SocketAddr::from_pathname(name)?,
        };
        let socket = UnixDatagram::unbound()?;
        socket.set_nonblocking(true)?;
        socket.connect_addr(&address)?;
        Ok(Self {
            socket,
            beat,
            status,
            progress: Mutex::new(Progress {
                loops: vec![LoopProgress::default(); loops],
                readings: 0,
                is_ready: false,
                is_stopping: false,
            }),
        })
    }

    /// Notes that loop number `index` has had a turn, and returns after how long it has to say so again; `None` where the service
    /// manager does not watch. Once all loops have said so, the server is ready, and from then on alive.
    pub(crate) fn beat(&self, index: usize) -> Option<Duration> {
        let mut progress = self.lock();
        if let Some(own) = progress.loops.get_mut(index) {
            own.is_alive = true;
        }
        // Loops end one by one in a drain, which has its own deadline.
        if progress.is_stopping || progress.loops.iter().all(|each| each.is_alive) {
            progress
                .loops
                .iter_mut()
                .for_each(|each| each.is_alive = false);
            if progress.is_ready || progress.is_stopping {
                self.send("WATCHDOG=1\n");
            } else {
                progress.is_ready = true;
                self.send_ready();
            }
        }
        self.beat
    }

    /// Tells that all loops have been asked to reload.
    pub(crate) fn reloading(&self) {
        let mut progress = self.lock();
        for each in &mut progress.loops {
            each.is_reloading = !each.has_ended;
        }
        let now = clock_gettime(ClockId::Monotonic);
        let microseconds = now.tv_sec * 1_000_000 + now.tv_nsec / 1000;
        self.send(&format!(
            "RELOADING=1\nMONOTONIC_USEC={microseconds}\nSTATUS=Reloading\n"
        ));
    }

    /// Notes that loop number `index` has reloaded; the last one tells that the server is ready, unless TLS files are still read.
    pub(crate) fn reloaded(&self, index: usize) {
        let mut progress = self.lock();
        let own = progress.loops.get_mut(index);
        let was_reloading = own.is_some_and(|own| std::mem::take(&mut own.is_reloading));
        if was_reloading && progress.has_reloaded() {
            self.send_ready();
        }
    }

    /// Notes that TLS files are going to be read, which belongs to a reload.
    #[cfg(feature = "tls")]
    pub(crate) fn reading(&self) {
        self.lock().readings += 1;
    }

    /// Notes that TLS files have been read.
    #[cfg(feature = "tls")]
    pub(crate) fn has_read(&self) {
        let mut progress = self.lock();
        progress.readings = progress.readings.saturating_sub(1);
        if progress.has_reloaded() {
            self.send_ready();
        }
    }

    /// Tells, once, that a shutdown has begun.
    pub(crate) fn stopping(&self) {
        let mut progress = self.lock();
        if !std::mem::replace(&mut progress.is_stopping, true) {
            self.send("STOPPING=1\nSTATUS=Finishing the replies in flight\n");
        }
    }

    /// Notes that loop number `index` will not turn again. A reload does not wait for it.
    pub(crate) fn ended(&self, index: usize) {
        if let Some(own) = self.lock().loops.get_mut(index) {
            own.has_ended = true;
        }
        self.reloaded(index);
    }

    fn send_ready(&self) {
        self.send(&format!("READY=1\nSTATUS={}\n", self.status));
    }

    fn send(&self, message: &str) {
        // A service manager that is gone or does not read loses the message.
        let _ = self.socket.send(message.as_bytes());
    }

    /// Ignores poisoning: nothing panics between two changes that belong together.
    fn lock(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns half of WATCHDOG_USEC, unless WATCHDOG_PID names another process: sd_watchdog_enabled(3).
fn beat_of_environment() -> Option<Duration> {
    let number = |name| env::var(name).ok();
    let is_own = |pid: String| pid.parse() == Ok(process::id());
    if !number("WATCHDOG_PID").is_none_or(is_own) {
        return None;
    }
    let microseconds = number("WATCHDOG_USEC")?.parse().ok()?;
    let half = Duration::from_micros(microseconds) / 2;
    (microseconds > 0).then_some(half.max(SHORTEST_BEAT))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A notifier of a server of two loops, and the socket of its service manager.
    fn watched() -> (Notifier, UnixDatagram) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("notify");
        let manager = UnixDatagram::bind(&path).unwrap();
        manager.set_nonblocking(true).unwrap();
        let beat = Some(Duration::from_secs(1));
        let notifier = Notifier::connect(path.as_os_str(), 2, beat, "Up".to_owned());
        (notifier.unwrap(), manager)
    }

    /// The messages that have come since the last call.
    fn messages(manager: &UnixDatagram) -> Vec<String> {
        let mut buffer = [0; 512];
        let mut received = Vec::new();
        while let Ok(length) = manager.recv(&mut buffer) {
            received.push(String::from_utf8_lossy(&buffer[..length]).into_owned());
        }
        received
    }

    #[test]
    fn all_loops_must_turn_before_the_server_is_ready_and_alive() {
        let (notifier, manager) = watched();
        notifier.beat(0);
        notifier.beat(0);
        assert!(messages(&manager).is_empty());
        notifier.beat(1);
        assert_eq!(messages(&manager), ["READY=1\nSTATUS=Up\n"]);
        notifier.beat(1);
        notifier.beat(1);
        assert!(messages(&manager).is_empty());
        notifier.beat(0);
        assert_eq!(messages(&manager), ["WATCHDOG=1\n"]);
    }

    #[test]
    fn a_reload_is_done_when_every_loop_that_runs_has_reloaded() {
        let (notifier, manager) = watched();
        notifier.reloading();
        let said = messages(&manager);
        assert!(said[0].starts_with("RELOADING=1\nMONOTONIC_USEC="));
        notifier.reloaded(1);
        assert!(messages(&manager).is_empty());
        notifier.reloaded(0);
        assert_eq!(messages(&manager), ["READY=1\nSTATUS=Up\n"]);
        notifier.ended(1);
        notifier.reloading();
        notifier.reloaded(0);
        assert_eq!(messages(&manager)[1..], ["READY=1\nSTATUS=Up\n"]);
    }

    #[cfg(feature = "tls")]
    #[test]
    fn a_reload_is_not_done_while_tls_files_are_read() {
        let (notifier, manager) = watched();
        notifier.reloading();
        notifier.reading();
        notifier.reloading();
        notifier.reading();
        notifier.reloaded(0);
        notifier.reloaded(1);
        notifier.has_read();
        assert_eq!(messages(&manager).len(), 2);
        notifier.has_read();
        assert_eq!(messages(&manager), ["READY=1\nSTATUS=Up\n"]);
    }

    #[test]
    fn a_shutdown_is_told_once_and_loops_may_end_one_by_one() {
        let (notifier, manager) = watched();
        notifier.stopping();
        notifier.stopping();
        assert_eq!(messages(&manager).len(), 1);
        notifier.ended(0);
        notifier.beat(1);
        assert_eq!(messages(&manager), ["WATCHDOG=1\n"]);
    }
}
