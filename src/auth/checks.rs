//! Checks of passwords, which threads make while the loop goes on.
//!
//! A thread is started when there is something to check, and ends when nothing is left. There are two at most: one looks whether the
//! file has changed, for pairs that are known, and one computes hashes. So a known pair never waits for the hash of another one.
//!
//! Invariant: every request that waits gets an answer. Requests with the same pair share one check.

use std::collections::VecDeque;
use std::io;
use std::mem;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::credentials::{Credentials, Key, PairHash};
use super::password_file::PasswordFile;
use super::refuse::{refuse_busy, refuse_wrong};
use super::users::{Users, is_right};
use crate::handler::deferred::Deferred;
use crate::handler::exchange::Exchange;

/// Time for which a known pair is right without a look at the file.
const FRESH: Duration = Duration::from_secs(1);
/// Pairs that may wait for their check.
const MAX_PAIRS: usize = 64;
/// How many of these one client may have sent.
const MAX_PAIRS_OF_CLIENT: usize = 16;
/// Room for the stack of a thread. The largest local variable has 4 KiB.
const STACK: usize = 256 * 1024;

/// What all clones of a [`super::BasicAuth`] share.
pub(super) struct Checks {
    pub(super) key: Key,
    /// Locked while the file is read, so that what was read last is what is used. It is locked before `state`.
    file: Mutex<PasswordFile>,
    state: Mutex<CheckState>,
}

struct CheckState {
    users: Users,
    /// When the file was last looked at.
    looked: Instant,
    /// Requests with known pairs that wait for a look at the file; `None` if no thread is looking.
    looking: Option<Vec<Deferred>>,
    pairs: VecDeque<Pair>,
    is_checking: bool,
    /// What the log has to say about the file.
    reports: Vec<String>,
}

/// A pair that waits for its check, and the requests with it.
struct Pair {
    credentials: Credentials,
    hash: PairHash,
    client: IpAddr,
    requests: Vec<Deferred>,
}

impl Checks {
    /// Reads `file`.
    ///
    /// # Errors
    /// The file cannot be read, or a line of it is wrong.
    pub(super) fn new(mut file: PasswordFile, key: Key) -> io::Result<Self> {
        let state = CheckState {
            users: file.read()?,
            looked: Instant::now(),
            looking: None,
            pairs: VecDeque::new(),
            is_checking: false,
            reports: Vec::new(),
        };
        Ok(Self {
            key,
            file: Mutex::new(file),
            state: Mutex::new(state),
        })
    }

    /// Reads the file again, whether or not it has changed.
    ///
    /// # Errors
    /// As for [`new`](Self::new).
    pub(super) fn reload(&self) -> io::Result<()> {
        let mut file = lock(&self.file);
        self.state().replace(file.read()?);
        Ok(())
    }

    fn state(&self) -> MutexGuard<'_, CheckState> {
        lock(&self.state)
    }

    /// Writes what there is to say about the file to the log.
    pub(super) fn report(&self, exchange: &mut Exchange<'_>) {
        let reports = mem::take(&mut self.state().reports);
        for report in reports {
            exchange.report(&report);
        }
    }

    /// Returns whether `credentials` are known to be right. If not, the exchange has its reply, or a thread makes the handler answer
    /// it again later.
    pub(super) fn admits(
        self: &Arc<Self>,
        credentials: Credentials,
        exchange: &mut Exchange<'_>,
    ) -> bool {
        let hash = credentials.hash(&self.key);
        let mut state = self.state();
        let is_known = state.users.knows(&credentials.user, &hash);
        if !is_known {
            self.check_later(&mut state, credentials, hash, exchange);
            return false;
        }
        let now = exchange.clock().instant;
        if now.saturating_duration_since(state.looked) >= FRESH {
            self.look_later(&mut state, exchange);
            return false;
        }
        true
    }

    /// Has a thread look whether the file has changed.
    fn look_later(self: &Arc<Self>, state: &mut CheckState, exchange: &mut Exchange<'_>) {
        if let Some(looking) = &mut state.looking {
            looking.push(exchange.defer());
        } else if self.start("httpoll-users", Self::look) {
            state.looking = Some(vec![exchange.defer()]);
        } else {
            refuse_busy(exchange);
        }
    }

    /// Has a thread check a pair that is not known.
    fn check_later(
        self: &Arc<Self>,
        state: &mut CheckState,
        credentials: Credentials,
        hash: PairHash,
        exchange: &mut Exchange<'_>,
    ) {
        if let Some(pair) = state.pairs.iter_mut().find(|pair| pair.hash == hash) {
            return pair.requests.push(exchange.defer());
        }
        let client = network(exchange.client_address().ip());
        let of_client = state.pairs.iter().filter(|pair| pair.client == client);
        let is_full = state.pairs.len() >= MAX_PAIRS || of_client.count() >= MAX_PAIRS_OF_CLIENT;
        if is_full || !state.is_checking && !self.start("httpoll-password", Self::check) {
            return refuse_busy(exchange);
        }
        state.is_checking = true;
        state.pairs.push_back(Pair {
            credentials,
            hash,
            client,
            requests: vec![exchange.defer()],
        });
    }

    /// Starts a thread; it takes its work once the state is unlocked. Returns whether the system had room for it.
    fn start(self: &Arc<Self>, name: &str, work: fn(&Arc<Self>)) -> bool {
        let checks = Arc::clone(self);
        let thread = thread::Builder::new()
            .name(name.to_owned())
            .stack_size(STACK);
        thread.spawn(move || work(&checks)).is_ok()
    }

    /// Reads the file again if it has changed, and has the handler answer the requests that wait for that.
    fn look(self: &Arc<Self>) {
        self.refresh();
        let looking = self.state().looking.take();
        for request in looking.into_iter().flatten() {
            request.ask_handler();
        }
    }

    fn refresh(&self) {
        let mut file = lock(&self.file);
        let news = file.news();
        let mut state = self.state();
        match news {
            None => {}
            Some(Ok(users)) => state.replace(users),
            Some(Err(failure)) => {
                let path = file.path().to_string_lossy();
                let path = path.escape_debug();
                let report = format!("the password file {path} stays as it was: {failure}");
                state.reports.push(report);
            }
        }
        state.looked = Instant::now();
    }

    /// Checks one pair after the other, until none is left.
    fn check(self: &Arc<Self>) {
        while let Some(pair) = self.next_pair() {
            // A password that was set just now counts at once.
            self.refresh();
            let is_right = self.check_pair(&pair);
            for request in pair.requests {
                if is_right {
                    request.ask_handler();
                } else {
                    let checks = Arc::clone(self);
                    request.answer(move |exchange| {
                        checks.report(exchange);
                        refuse_wrong(exchange);
                        Ok(())
                    });
                }
            }
        }
    }

    fn next_pair(&self) -> Option<Pair> {
        let mut state = self.state();
        let pair = state.pairs.pop_front();
        state.is_checking = pair.is_some();
        pair
    }

    fn check_pair(&self, pair: &Pair) -> bool {
        let Credentials { user, password } = &pair.credentials;
        let state = self.state();
        if state.users.knows(user, &pair.hash) {
            return true;
        }
        let target = state.users.target(&pair.credentials, &self.key);
        drop(state);
        let is_right = is_right(password, &target.hash) && target.is_user;
        if is_right {
            let mut state = self.state();
            state.users.note_verified(user, &target.hash, pair.hash);
        }
        is_right
    }
}

impl CheckState {
    fn replace(&mut self, mut users: Users) {
        users.keep_verified(&self.users);
        self.users = users;
    }
}

/// Takes a lock even if it is poisoned: the state is changed by assignments, so a panic cannot leave it half changed.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Returns the network that counts as one client: an IPv4 address, or a /64 of IPv6.
fn network(client: IpAddr) -> IpAddr {
    match client {
        IpAddr::V4(_) => client,
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
    }
}
