//! The loop: one poll, a slab of connections, and what happens in which order in a turn.
//!
//! Invariant: a slot is freed only after all events of its batch were seen, so no token ever means another connection than
//! the one its event was for.

use std::io;
use std::mem;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use mio::event::Event;
use mio::net::TcpStream;
use mio::{Events, Poll, Token};
use slab::Slab;

use super::answering::Readable;
use super::confinement;
use super::connection::Connection;
use super::lifecycle::handle::ServerHandle;
use super::lifecycle::signals::ShutdownSignals;
use super::listen::addresses::Addresses;
use super::listen::listener::{Accepting, Endpoint, LAST_LISTENER, Listener, PAUSE};
use super::loop_context::LoopContext;
use super::state::Purpose;
use crate::handler::BaseHttpRequestHandler;
use crate::handler::mailbox::{Message, MessageContent};
use crate::wire::spool::SpoolLimits;

mod accept;
mod disk;
mod group;
mod kept;
mod queue;
mod room;
mod serving;
pub(crate) mod timers;
mod work_queue;

use disk::Disk;
use group::Group;
use kept::KeptInAll;
use queue::Queue;
use serving::Budget;
use timers::{Timeout, Timers};
use work_queue::WorkQueue;

pub(crate) const WAKER: Token = Token(usize::MAX);
pub(crate) const SIGNALS: Token = Token(usize::MAX - 1);

const EVENTS: usize = 1024;
/// Deadlines that may pass in one turn, so that a crowd of them does not starve the others; the next turn has no wait.
const EXPIRIES: usize = 256;
/// One read takes at most so many bytes of a connection. The pages of so large an allocation cost nothing until a read has
/// filled them.
pub(crate) const SCRATCH: usize = 128 * 1024;
/// Whom a hook concerns that concerns nobody.
pub(crate) const NOBODY: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);
/// "For ever", in what the clock can count.
const LONGEST_DRAIN: Duration = Duration::from_secs(365 * 24 * 3600);

#[derive(Debug)]
pub(crate) struct EventLoop<H> {
    poll: Poll,
    events: Events,
    listeners: Vec<Listener>,
    connections: Slab<Slot>,
    max_connections: usize,
    addresses: Addresses,
    timers: Timers,
    queue: Queue,
    work: WorkQueue,
    disk: Disk,
    budget: Budget,
    /// Requests that one connection may have answered in one go.
    turn_requests: usize,
    closed: Vec<usize>,
    /// When no connection could make room, if the last search found none.
    searched: Option<Instant>,
    kept: KeptInAll,
    /// Whether the last poll gave as many events as it can: more may wait.
    has_more_events: bool,
    scratch: Box<[u8]>,
    group: Group,
    context: LoopContext<H>,
    handle: ServerHandle,
    index: usize,
    signals: Option<ShutdownSignals>,
    /// Why the first listening socket was lost.
    failure: Option<io::Error>,
    /// When the poll last came back.
    woke: Instant,
    /// Since a shutdown was asked for: when even replies in flight are given up.
    drain_deadline: Option<Instant>,
}

#[derive(Debug)]
struct Slot {
    connection: Connection<TcpStream>,
    /// Whether it is in the queue and will have its turn without an event.
    queued: bool,
    /// Whether it is among those that are freed at the end of the turn.
    closing: bool,
    /// Whether the poll knows its socket: one that was accepted with its request is made known only if it lives on.
    known: bool,
    kept: u32,
    kept_for: Purpose,
}

impl<H: BaseHttpRequestHandler> EventLoop<H> {
    /// Makes the loop that is number `index` of the server behind `handle`.
    pub(crate) fn new(
        endpoint: Endpoint,
        mut context: LoopContext<H>,
        handle: ServerHandle,
        index: usize,
    ) -> Self {
        context.spools = SpoolLimits::new(context.server.config(), handle.loops());
        Self {
            poll: endpoint.poll,
            events: Events::with_capacity(EVENTS),
            listeners: endpoint.listeners,
            connections: Slab::new(),
            max_connections: accept::connections_allowed(
                context.server.config().max_connections,
                handle.loops(),
            ),
            addresses: Addresses::new(context.server.config(), handle.loops()),
            timers: Timers::new(context.server.config()),
            queue: Queue::default(),
            work: WorkQueue::default(),
            disk: Disk::new(context.server.config().read_ahead),
            budget: Budget::new(context.server.config(), 0),
            turn_requests: context.server.config().turn_requests.max(1),
            closed: Vec::new(),
            searched: None,
            kept: KeptInAll::new(context.server.config(), handle.loops()),
            has_more_events: false,
            scratch: vec![0; SCRATCH].into(),
            group: Group::default(),
            context,
            handle,
            index,
            signals: None,
            failure: None,
            woke: Instant::now(),
            drain_deadline: None,
        }
    }

    pub(crate) fn poll(&self) -> &Poll {
        &self.poll
    }

    pub(crate) fn shutdown_on_signals(&mut self, mut signals: ShutdownSignals) -> io::Result<()> {
        signals.register(self.poll.registry())?;
        self.signals = Some(signals);
        Ok(())
    }

    /// One turn. It waits at most `timeout`, and no longer than the next deadline.
    pub(crate) fn turn(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        let began = Instant::now();
        let timeout = self.wait(timeout, began);
        match self.poll.poll(&mut self.events, timeout) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            polled => polled?,
        }
        self.context.clock.read();
        self.count_turn(began);
        self.budget = Budget::new(
            self.context.server.config(),
            self.context.server.counters.turns,
        );
        self.begin_work();
        self.take_events();
        self.go_on_with_work();
        self.serve_queue();
        self.expire_deadlines(began);
        self.context
            .server
            .close_unused_files(self.context.clock.instant);
        self.free_closed();
        self.retry_accepts();
        // What was accepted may have been answered for good already.
        self.free_closed();
        self.context.hook(NOBODY, H::service_actions);
        self.context.log.flush();
        Ok(())
    }

    /// Counts the turn that ended when this one `began`, and the wait since.
    fn count_turn(&mut self, began: Instant) {
        let now = self.context.clock.instant;
        let busy = began.saturating_duration_since(mem::replace(&mut self.woke, now));
        let counters = &mut self.context.server.counters;
        counters.turns += 1;
        counters.busy += busy;
        if !self.connections.is_empty() {
            counters.idle += now.saturating_duration_since(began);
        }
        counters.longest_turn = counters.longest_turn.max(busy);
        counters.log_lines_lost = self.context.log.lost_in_all();
        counters.connections = self.connections.len() as u64;
        counters.connections_peak = counters.connections_peak.max(counters.connections);
    }

    /// Whether a reply is on its way.
    pub(crate) fn is_sending(&self) -> bool {
        self.connections
            .iter()
            .any(|(_, slot)| slot.connection.awaits() == Some(Timeout::Send))
    }

    /// Stops listening; what is connected stays.
    pub(crate) fn close_listeners(&mut self) {
        self.listeners.clear();
    }

    pub(crate) fn context(&self) -> &LoopContext<H> {
        &self.context
    }

    pub(crate) fn context_mut(&mut self) -> &mut LoopContext<H> {
        &mut self.context
    }

    /// Runs until a shutdown has been asked for and done; then says whether a listening socket was lost on the way.
    pub(crate) fn serve_forever(&mut self) -> io::Result<()> {
        while !self.is_finished() {
            self.turn(None)?;
        }
        if self.context.server.config().report {
            self.report();
        }
        self.context.log.finish();
        self.take_failure()
    }

    /// The loss of a listening socket that was not told yet.
    pub(crate) fn take_failure(&mut self) -> io::Result<()> {
        self.failure.take().map_or(Ok(()), Err)
    }

    /// Says why this loop has ended, if the others go on; otherwise whoever called says it.
    pub(crate) fn report_end(&mut self, error: &io::Error) {
        let (number, loops) = (self.index + 1, self.handle.loops());
        if loops > 1 {
            self.context.log.text(format_args!(
                "httpoll: loop {number} of {loops} has ended: {error}\n"
            ));
            self.context.log.finish();
        }
    }

    /// Gives up the signals, for whoever takes care of them when this loop does not.
    pub(crate) fn take_signals(&mut self) -> Option<ShutdownSignals> {
        self.signals.take()
    }

    /// Says on standard error what this loop has counted.
    fn report(&mut self) {
        let counters = self.context.server.counters();
        self.context.log.text(format_args!(
            "httpoll: loop {} of {}\nconfinement     {}\n{counters}\n",
            self.index + 1,
            self.handle.loops(),
            confinement::in_force()
        ));
    }

    pub(crate) fn is_finished(&self) -> bool {
        self.drain_deadline.is_some() && self.connections.is_empty()
    }

    /// When a turn is due even if no event comes; the present or the past where there is work at hand.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        let now = self.context.clock.instant;
        let soon = |condition: bool, delay| condition.then(|| now + delay);
        let accepting = |state| {
            self.listeners
                .iter()
                .any(|listener| listener.accepting == state)
        };
        [
            soon(
                self.has_more_events || self.has_work() || accepting(Accepting::More),
                Duration::ZERO,
            ),
            soon(
                accepting(Accepting::Paused) || self.context.log.is_waiting(),
                PAUSE,
            ),
            self.disk.next_deadline(),
            self.context.server.next_close(),
            self.timers.next_deadline(),
            self.drain_deadline,
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// Whether connections wait for their turn, and for nothing else.
    fn has_work(&self) -> bool {
        !self.queue.is_empty() || !self.work.is_empty()
    }

    fn wait(&self, timeout: Option<Duration>, now: Instant) -> Option<Duration> {
        let due = self
            .next_deadline()
            .map(|deadline| deadline.saturating_duration_since(now));
        [timeout, due].into_iter().flatten().min()
    }

    fn take_events(&mut self) {
        let events = mem::replace(&mut self.events, Events::with_capacity(0));
        let count = events.iter().count();
        self.has_more_events = count == EVENTS;
        self.context.server.counters.events += count as u64;
        events.iter().for_each(|event| self.take_event(event));
        self.answer_group();
        self.events = events;
    }

    fn take_event(&mut self, event: &Event) {
        match event.token() {
            WAKER => {
                if self.handle.is_asked(self.index) {
                    self.drain();
                }
                if self.handle.is_report_due(self.index) {
                    self.report();
                }
                self.take_messages();
            }
            SIGNALS => {
                if let Some(signals) = &mut self.signals {
                    signals.take(&self.handle);
                }
            }
            Token(token) if token > LAST_LISTENER - self.listeners.len() => {
                self.accept(LAST_LISTENER - token);
            }
            Token(key) if event.is_read_closed() || event.is_error() => {
                self.advance(key, Readable::ToEnd);
                self.peer_left(key, event.is_error() || event.is_write_closed());
            }
            Token(key) if event.is_readable() => self.receive(key),
            Token(key) => self.advance(key, Readable::No),
        }
    }

    /// What other threads have sent to connections.
    fn take_messages(&mut self) {
        self.answer_group();
        for Message { key, content } in self.context.mailbox.take() {
            match (content, self.connections.get_mut(key)) {
                (MessageContent::Wake(waker), _) => waker.is_read(),
                (MessageContent::Answer(serial, answer), Some(slot)) => {
                    slot.connection.deliver(serial, answer);
                }
                (MessageContent::Answer(..), None) => {}
            }
            self.advance(key, Readable::No);
        }
    }

    /// The peer has closed its side (`gone`: both). It still gets its reply, but a promise is told, and a stream that is
    /// silent has only so long as a send may take.
    fn peer_left(&mut self, key: usize, gone: bool) {
        let Some(Slot { connection, .. }) = self.connections.get_mut(key) else {
            return;
        };
        connection.peer_left();
        let is_silent = connection.is_silent();
        if gone && (is_silent || connection.is_awaiting()) {
            self.close(key);
        } else if is_silent {
            self.timers
                .arm(key, Timeout::Send, self.context.clock.instant);
        }
    }

    fn close(&mut self, key: usize) {
        if let Some(slot) = self.connections.get_mut(key).filter(|slot| !slot.closing) {
            slot.closing = true;
            self.addresses.leave(slot.connection.client().ip());
            slot.connection.abandon(&mut self.context);
            self.timers.disarm(key);
            self.forget_kept(key);
            self.closed.push(key);
        }
    }

    /// Ends what had waited for too long before events were `asked` for: of whoever was stopped for a while, with its process or
    /// its machine, all that came meanwhile has been seen by then.
    fn expire_deadlines(&mut self, asked: Instant) {
        self.expire(asked);
        if self
            .drain_deadline
            .is_some_and(|deadline| deadline <= asked)
        {
            for key in self.keys() {
                self.close(key);
            }
        }
    }

    fn free_closed(&mut self) {
        for key in self.closed.drain(..) {
            if let Some(slot) = self.connections.try_remove(key) {
                let address = slot.connection.client();
                self.context
                    .hook(address, |handler| handler.finish(address));
            }
        }
    }

    /// Stops accepting, closes what is idle, and lets the rest finish.
    fn drain(&mut self) {
        if self.drain_deadline.is_some() {
            return;
        }
        self.answer_group();
        let timeout = self
            .context
            .server
            .config()
            .drain_timeout
            .min(LONGEST_DRAIN);
        self.drain_deadline = Some(self.context.clock.instant + timeout);
        self.context.draining = true;
        // Whoever has connected by now is served still.
        for index in 0..self.listeners.len() {
            self.accept(index);
        }
        self.listeners.clear();
        for key in self.keys() {
            // A request that is here already still gets its answer.
            if self.connections.get(key).is_some_and(|slot| {
                slot.connection.is_idle()
                    || slot.connection.is_endless()
                    || slot.connection.awaits() == Some(Timeout::Head)
            }) {
                self.advance(key, Readable::ToEnd);
            }
        }
    }

    fn keys(&self) -> Vec<usize> {
        self.connections.iter().map(|(key, _)| key).collect()
    }
}
