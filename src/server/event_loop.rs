//! The loop: one poll, and what happens in which order in a turn.
//!
//! Order of a turn: wait for events; read the clock once; answer the connections with events, in groups; give slices to those
//! that work, then turns to those in the queue; act on deadlines; free closed slots; retry accepts; flush the log.

use std::io;
use std::mem;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::os::fd::AsRawFd as _;
use std::time::{Duration, Instant};

use mio::event::Event;
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};

use super::admin::Administration;
use super::confinement;
use super::connection::readable::Readable;
use super::lifecycle::drain::{Phase, Step};
use super::lifecycle::handle::ServerHandle;
use super::lifecycle::signals::ShutdownSignals;
use super::listen::addresses::Addresses;
use super::listen::listener::{ACCEPT_PAUSE, Accepting, Endpoint, LAST_LISTENER};
use super::loop_context::LoopContext;
use crate::handler::BaseHttpRequestHandler;
use crate::handler::counters::FileThreadsText;
use crate::wire::file_threads::FileThreads;
use crate::wire::spool::SpoolLimits;

mod administering;
mod admission;
mod budget;
mod connections;
mod disk;
mod dispatcher;
mod group;
mod kept_memory;
mod queue;
mod reloading;
mod room_search;
mod schedule;
pub(crate) mod timers;
mod work_queue;

use admission::Admission;
use dispatcher::Dispatcher;
pub(crate) use dispatcher::SCRATCH;
use work_queue::WorkQueue;

pub(crate) const WAKER: Token = Token(usize::MAX);
pub(crate) const SIGNALS: Token = Token(usize::MAX - 1);
pub(crate) const ADMIN: Token = Token(usize::MAX - 2);
/// What the handler has the loop watch. Its event needs no answer: every turn calls `service_actions`.
const HANDLER: Token = Token(usize::MAX - 3);

/// Events that one poll returns at most.
const EVENTS: usize = 1024;
/// The address that is given to hooks that belong to no connection. No peer has it: that of a UNIX socket is `0.0.0.0:0`.
pub(crate) const NO_CONNECTION: SocketAddr = SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), 0);

/// One loop of a server.
#[derive(Debug)]
pub(crate) struct EventLoop<H> {
    events: Events,
    /// Whether the last poll returned as many events as it can: more may wait.
    has_more_events: bool,
    admission: Admission,
    dispatcher: Dispatcher<H>,
    handle: ServerHandle,
    /// The number of this loop among those of `handle`.
    index: usize,
    signals: Option<ShutdownSignals>,
    /// Why the first listening socket was lost, until it is reported.
    failure: Option<io::Error>,
    /// When the last poll returned.
    woke: Instant,
    /// How far the loop is on its way to its end.
    phase: Phase,
    /// When the service manager has to see that this loop is alive.
    next_beat: Option<Instant>,
    /// The administration, which only the first loop of a server may have.
    pub(crate) administration: Option<Box<Administration>>,
}

impl<H: BaseHttpRequestHandler> EventLoop<H> {
    /// Makes the loop that is number `index` of the server behind `handle`.
    pub(crate) fn new(
        endpoint: Endpoint,
        mut context: LoopContext<H>,
        handle: ServerHandle,
        index: usize,
    ) -> Self {
        let config = context.server.config();
        let admission = Admission::new(endpoint.listeners, config, handle.loops());
        context.spools = SpoolLimits::new(config, handle.loops());
        context.addresses = Addresses::new(config, handle.loops());
        watch_event_source(&endpoint.poll, &mut context.handler);
        Self {
            events: Events::with_capacity(EVENTS),
            has_more_events: false,
            admission,
            dispatcher: Dispatcher::new(endpoint.poll, context, handle.loops()),
            handle,
            index,
            signals: None,
            failure: None,
            woke: Instant::now(),
            phase: Phase::Serving,
            next_beat: None,
            administration: None,
        }
    }

    pub(crate) fn poll(&self) -> &Poll {
        &self.dispatcher.poll
    }

    pub(crate) fn context(&self) -> &LoopContext<H> {
        &self.dispatcher.context
    }

    pub(crate) fn context_mut(&mut self) -> &mut LoopContext<H> {
        &mut self.dispatcher.context
    }

    pub(crate) fn shutdown_on_signals(&mut self, mut signals: ShutdownSignals) -> io::Result<()> {
        signals.register(self.poll().registry())?;
        self.signals = Some(signals);
        Ok(())
    }

    /// Tells the service manager, if there is one, that this loop is alive, from its first turn on.
    pub(crate) fn begin_beats(&mut self) {
        self.next_beat = self.handle.has_notifier().then(Instant::now);
    }

    /// Returns the addresses that this loop listens on, as text.
    pub(crate) fn listens_on(&self) -> String {
        self.admission.names()
    }

    /// Returns the signals to the caller, to be handled after this loop has ended.
    pub(crate) fn take_signals(&mut self) -> Option<ShutdownSignals> {
        self.signals.take()
    }

    /// Whether a reply is on its way.
    pub(crate) fn is_sending(&self) -> bool {
        self.dispatcher.connections.is_sending()
    }

    /// Stops listening; connections stay open.
    pub(crate) fn close_listeners(&mut self) {
        self.admission.close(&self.dispatcher.poll);
    }

    /// Whether a shutdown was requested and is done.
    pub(crate) fn is_finished(&self) -> bool {
        self.phase.is_last()
            && self.dispatcher.connections.is_empty()
            && (self.administration.is_none() || self.handle.is_first_alone())
    }

    /// Runs until a shutdown was requested and is done.
    ///
    /// # Errors
    /// The poll failed; or, at the end, a listening socket was lost on the way.
    pub(crate) fn serve_forever(&mut self) -> io::Result<()> {
        self.context().server.start_file_threads()?;
        while !self.is_finished() {
            self.turn(None)?;
        }
        if self.context().server.config().report {
            self.report();
        }
        self.handle.ask_for_figures_of(self.index);
        self.give_figures();
        self.context_mut().log.finish();
        self.take_failure()
    }

    /// Runs one turn. It waits at most `timeout`, and no longer than the next deadline.
    pub(crate) fn turn(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        let began = Instant::now();
        self.wait(timeout, began)?;
        self.context_mut().clock.read();
        self.count_turn(began);
        self.dispatcher.begin_turn();
        self.take_events();
        self.dispatcher.serve_work();
        self.dispatcher.serve_queue();
        // Only deadlines that had passed before the poll began: if the process or the machine was stopped for a while, the loop has
        // by now seen everything that peers have sent meanwhile.
        self.dispatcher.expire(began);
        let now = self.context().clock.instant;
        self.context_mut().server.close_unused_files(now);
        self.dispatcher.free_closed();
        self.retry_accepts();
        if self.phase != Phase::Serving {
            self.go_on_draining(began);
        }
        self.beat(began);
        // A connection that was accepted just now may have been answered and closed already.
        self.dispatcher.free_closed();
        let context = self.context_mut();
        context.hook(NO_CONNECTION, H::service_actions);
        context.log.flush();
        self.administer()
    }

    /// Waits for events, at most `timeout` and no longer than the next deadline.
    fn wait(&mut self, timeout: Option<Duration>, now: Instant) -> io::Result<()> {
        let due = self
            .next_deadline()
            .map(|deadline| deadline.saturating_duration_since(now));
        let timeout = [timeout, due].into_iter().flatten().min();
        match self.dispatcher.poll.poll(&mut self.events, timeout) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(()),
            polled => polled,
        }
    }

    /// Returns when a turn is due even if no event comes; the present or the past where there is something to do now.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        let Dispatcher {
            context,
            connections,
            schedule,
            ..
        } = &self.dispatcher;
        let now = context.clock.instant;
        let has_more = self.has_more_events || self.admission.has(Accepting::More);
        let is_paused = self.admission.has(Accepting::Paused) || context.log.is_waiting();
        [
            has_more.then_some(now),
            is_paused.then(|| now + ACCEPT_PAUSE),
            schedule.next_deadline(now),
            context.server.next_close(),
            connections.timers.next_deadline(),
            self.phase.next_deadline(self.admission.arrivals()),
            self.next_beat,
            self.administration
                .as_ref()
                .and_then(|administration| administration.next_deadline()),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// Counts the turn that ended when this one `began`, and the wait since.
    fn count_turn(&mut self, began: Instant) {
        let Dispatcher {
            context,
            connections,
            ..
        } = &mut self.dispatcher;
        let now = context.clock.instant;
        let busy = began.saturating_duration_since(mem::replace(&mut self.woke, now));
        context.count_durations(busy, began);
        let counters = &mut context.server.counters;
        counters.turns += 1;
        counters.busy += busy;
        if !connections.is_empty() {
            counters.idle += now.saturating_duration_since(began);
        }
        counters.longest_turn = counters.longest_turn.max(busy);
        counters.log_lines_lost = context.log.lost_in_all();
        counters.connections = connections.len() as u64;
        counters.connections_peak = counters.connections_peak.max(counters.connections);
    }

    fn take_events(&mut self) {
        let events = mem::replace(&mut self.events, Events::with_capacity(0));
        let count = events.iter().count();
        self.has_more_events = count == EVENTS;
        self.context_mut().server.counters.events += count as u64;
        events.iter().for_each(|event| self.take_event(event));
        self.dispatcher.answer_group();
        self.events = events;
    }

    fn take_event(&mut self, event: &Event) {
        match event.token() {
            WAKER => self.take_commands(),
            HANDLER => {}
            ADMIN => {
                if let Some(administration) = &mut self.administration {
                    administration.note_event();
                }
            }
            SIGNALS => {
                if let Some(signals) = &mut self.signals {
                    signals.take(&self.handle);
                }
            }
            Token(token) if token > LAST_LISTENER - self.admission.len() => {
                self.accept(LAST_LISTENER - token);
            }
            Token(key) if event.is_read_closed() || event.is_error() => {
                self.dispatcher.advance(key, Readable::ToEnd);
                let is_gone = event.is_error() || event.is_write_closed();
                self.dispatcher.peer_left(key, is_gone);
            }
            Token(key) if event.is_readable() => self.dispatcher.receive(key),
            Token(key) => self.dispatcher.advance(key, Readable::No),
        }
    }

    /// Does what other threads have requested: a shutdown, a report, a reload, and messages to connections.
    fn take_commands(&mut self) {
        if self.handle.is_shutdown_requested(self.index) {
            let delay = self.context().server.config().drain_delay;
            self.drain(delay);
        }
        if self.handle.take_report_request(self.index) {
            self.report();
        }
        if self.handle.take_reload_request(self.index) {
            self.reload();
        }
        #[cfg(feature = "tls")]
        self.report_tls_failures();
        self.give_figures();
        self.dispatcher.take_messages();
    }

    /// Accepts what was left in the queues of listening sockets, because the poll does not report it again.
    fn retry_accepts(&mut self) {
        // A connection makes room only after its bytes were read, and those of a handshake are read only if there is time for work.
        self.dispatcher.context.allowance = WorkQueue::time_at_once();
        for index in 0..self.admission.len() {
            if self.admission.is_due(index) {
                self.accept(index);
            }
        }
    }

    /// Takes in the connections that wait at a listener, and answers those that have brought a request.
    fn accept(&mut self, index: usize) {
        let accepted = self.admission.accept(index, &mut self.dispatcher);
        if let Err(error) = accepted {
            self.lose_listener(index, &error);
        }
        self.dispatcher.answer_group();
    }

    /// Gives up a listening socket. The others go on; without any, no client can reach the server, so it ends as after a
    /// shutdown.
    fn lose_listener(&mut self, index: usize, error: &io::Error) {
        let failure = self.admission.lose(index, error, &self.dispatcher.poll);
        self.context_mut()
            .log
            .text(format_args!("httpoll: {failure}\n"));
        self.failure.get_or_insert(failure);
        if self.admission.is_lost() {
            self.drain(Duration::ZERO);
        }
    }

    /// Returns, once, the loss of a listening socket.
    pub(crate) fn take_failure(&mut self) -> io::Result<()> {
        self.failure.take().map_or(Ok(()), Err)
    }

    /// Begins the end of the loop: from now on every reply is the last one of its connection, and after `delay` the loop stops to
    /// listen.
    fn drain(&mut self, delay: Duration) {
        let now = self.context().clock.instant;
        // Requests that were read before get the replies that they would have got then.
        self.dispatcher.answer_group();
        self.context_mut().server.draining = true;
        self.phase.begin(now, delay);
        self.go_on_draining(now);
    }

    /// Takes the steps to the end that are due `now`.
    fn go_on_draining(&mut self, now: Instant) {
        let timeout = self.context().server.config().drain_timeout;
        while let Some(step) = self.phase.next(now, timeout, self.admission.arrivals()) {
            match step {
                Step::TurnAway => self.turn_away(),
                Step::CloseListeners => self.close_listeners(),
                Step::CloseConnections => self.dispatcher.close_all(),
            }
        }
    }

    /// Tells the service manager that this loop is alive, if that is due `now`.
    fn beat(&mut self, now: Instant) {
        if self.next_beat.is_some_and(|beat| beat <= now) {
            self.next_beat = self.handle.beat(self.index).map(|beat| now + beat);
        }
    }

    /// Lets no client begin to connect, accepts those that have connected, and closes idle connections.
    fn turn_away(&mut self) {
        self.dispatcher.answer_group();
        self.context_mut().is_closing = true;
        // These connections are waited for in any case, just as long.
        let is_busy = self.dispatcher.expects_requests();
        self.admission.turn_away(&self.dispatcher.poll, is_busy);
        for index in 0..self.admission.len() {
            if !self.admission.is_inherited(index) {
                self.accept(index);
            }
        }
        self.dispatcher.close_idle();
    }

    /// Writes to standard error why this loop has ended, where other loops go on; a single loop's caller reports it.
    pub(crate) fn report_end(&mut self, error: &io::Error) {
        let (number, loops) = (self.index + 1, self.handle.loops());
        if loops > 1 {
            let log = &mut self.context_mut().log;
            log.text(format_args!(
                "httpoll: loop {number} of {loops} has ended: {error}\n"
            ));
            log.finish();
        }
    }

    /// Writes to standard error what this loop has counted, and what all loops share.
    fn report(&mut self) {
        let (number, loops) = (self.index + 1, self.handle.loops());
        let LoopContext { log, server, .. } = self.context_mut();
        let counters = server.counters();
        let confinement = confinement::in_force();
        let file_threads = FileThreadsText(server.file_threads().map(FileThreads::figures));
        log.text(format_args!(
            "httpoll: loop {number} of {loops}\nconfinement     {confinement}\nfile threads    {file_threads}\n{counters}\n"
        ));
    }
}

/// Has the poll watch the descriptor that `handler` names. If it cannot, `service_actions` is only called in turns with other events.
fn watch_event_source(poll: &Poll, handler: &mut impl BaseHttpRequestHandler) {
    if let Some(source) = handler.event_source() {
        let mut source = SourceFd(&source.as_raw_fd());
        let _ = poll
            .registry()
            .register(&mut source, HANDLER, Interest::READABLE);
    }
}
