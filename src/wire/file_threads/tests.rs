use std::sync::mpsc::{Receiver, Sender, channel};
use std::task::{Poll, Wake};

use super::*;

/// The longest time that a test waits. It only keeps threads that do nothing from hanging the suite.
const LIMIT: Duration = Duration::from_secs(20);

mod spare;

/// Counts how often it is woken.
#[derive(Default)]
struct Woken(Mutex<usize>);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        *self.0.lock().unwrap() += 1;
    }
}

/// A thread that works on a job until it is released. Dropping this releases it, too.
struct Held {
    release: Sender<()>,
    pending: Pending<()>,
}

impl Held {
    fn release(self) {
        drop(self.release);
        result(self.pending).unwrap();
    }
}

fn threads(count: usize) -> FileThreads {
    threads_with(count, Duration::from_secs(60))
}

fn threads_with(count: usize, timeout: Duration) -> FileThreads {
    let threads = FileThreads::new(count, timeout).unwrap();
    threads.start().unwrap();
    threads
}

fn submit<R: Send + 'static>(
    threads: &FileThreads,
    job: impl FnOnce() -> R + Send + 'static,
) -> Result<Pending<R>, Refused> {
    threads.submit(Waker::noop().clone(), Locality::Remote, job)
}

/// Waits for the result of a job.
fn result<R>(pending: Pending<R>) -> Result<R, Refused> {
    let began = Instant::now();
    loop {
        match pending.poll() {
            Poll::Ready(result) => return result,
            Poll::Pending => assert!(began.elapsed() < LIMIT, "no result"),
        }
        thread::yield_now();
    }
}

/// Keeps one thread busy.
fn hold(threads: &FileThreads) -> Held {
    hold_as(threads, Locality::Remote)
}

/// Keeps one thread busy with a job of this locality.
fn hold_as(threads: &FileThreads, locality: Locality) -> Held {
    let (begin, begun) = channel();
    let (release, released) = channel::<()>();
    let job = move || {
        begin.send(()).unwrap();
        let _ = released.recv();
    };
    let waker = Waker::noop().clone();
    let pending = threads.submit(waker, locality, job).unwrap();
    begun.recv_timeout(LIMIT).unwrap();
    Held { release, pending }
}

fn wait_until(condition: impl Fn() -> bool) {
    let began = Instant::now();
    while !condition() {
        assert!(began.elapsed() < LIMIT, "the condition never held");
        thread::yield_now();
    }
}

fn thread_name() -> String {
    thread::current().name().unwrap_or_default().to_owned()
}

#[test]
fn a_job_wakes_its_connection_when_the_result_is_there() {
    let (threads, woken) = (threads(1), Arc::new(Woken::default()));
    let (sender, receiver) = channel();
    let job = move || receiver.recv().unwrap();
    let pending = threads
        .submit(Arc::clone(&woken).into(), Locality::Remote, job)
        .unwrap();
    assert_eq!(pending.poll(), Poll::Pending);
    sender.send(7).unwrap();
    wait_until(|| Arc::strong_count(&woken) == 1);
    assert_eq!(*woken.0.lock().unwrap(), 1);
    assert_eq!(pending.poll(), Poll::Ready(Ok(7)));
}

#[test]
fn jobs_are_done_in_their_order() {
    let threads = threads(1);
    let held = hold(&threads);
    let (done, order) = channel();
    let submitted: Vec<_> = (0..9)
        .map(|number| {
            let done = done.clone();
            submit(&threads, move || done.send(number).unwrap()).unwrap()
        })
        .collect();
    drop(done);
    held.release();
    assert_eq!(order.iter().collect::<Vec<_>>(), (0..9).collect::<Vec<_>>());
    assert!(submitted.into_iter().all(|pending| result(pending).is_ok()));
}

#[test]
fn the_job_of_a_client_that_has_closed_its_side_waits_behind_the_others() {
    let threads = threads(1);
    let held = hold(&threads);
    let (done, order) = channel();
    let mut submitted = Vec::new();
    for number in 0..4 {
        let done = done.clone();
        let job = move || done.send(number).unwrap();
        submitted.push(submit(&threads, job).unwrap());
    }
    drop(done);
    submitted[0].note_client_left();
    submitted[2].note_client_left();
    held.release();
    assert_eq!(order.iter().collect::<Vec<_>>(), [1, 3, 0, 2]);
}

#[test]
fn a_job_that_nothing_waits_for_is_not_run_and_what_it_owns_is_dropped() {
    let (threads, owned, woken) = (threads(1), Arc::new(()), Arc::new(Woken::default()));
    let held = hold(&threads);
    let (owns, (run, runs)) = (Arc::clone(&owned), channel());
    let job = move || run.send(owns);
    drop(
        threads
            .submit(Arc::clone(&woken).into(), Locality::Remote, job)
            .unwrap(),
    );
    assert_eq!(Arc::strong_count(&owned), 2);
    assert_eq!(threads.figures().queued, 0, "only jobs with a client count");
    let next = submit(&threads, || ()).unwrap();
    held.release();
    result(next).unwrap();
    wait_until(|| Arc::strong_count(&owned) == 1);
    wait_until(|| *woken.0.lock().unwrap() == 1);
    assert!(runs.try_recv().is_err());
}

#[test]
fn a_result_that_nothing_waits_for_is_dropped_by_the_thread() {
    struct Sends(Sender<String>);
    impl Drop for Sends {
        fn drop(&mut self) {
            self.0.send(thread_name()).unwrap();
        }
    }
    let threads = threads(1);
    let (begin, begun) = channel();
    let (release, released) = channel();
    let (dropped_by, name) = channel();
    let job = move || {
        begin.send(()).unwrap();
        released.recv().unwrap();
        Sends(dropped_by)
    };
    let pending = submit(&threads, job).unwrap();
    begun.recv_timeout(LIMIT).unwrap();
    drop(pending);
    release.send(()).unwrap();
    assert_eq!(name.recv_timeout(LIMIT).unwrap(), "httpoll-file-0");
}

#[test]
fn a_full_queue_refuses_and_gives_the_places_of_clients_that_have_left_to_others() {
    let (threads, owned) = (threads(1), Arc::new(()));
    let held = hold(&threads);
    let submit_one = || {
        let owned = Arc::clone(&owned);
        submit(&threads, move || drop(owned))
    };
    let mut submitted: Vec<_> = (0..MAX_QUEUED).map(|_| submit_one().unwrap()).collect();
    assert_eq!(submit_one().unwrap_err(), Refused);
    let figures = threads.figures();
    assert_eq!(figures.queued, MAX_QUEUED as u64);
    assert_eq!(figures.refused, 1);

    let abandoned = submitted.swap_remove(MAX_QUEUED / 2);
    drop(abandoned);
    submitted.push(submit_one().unwrap());
    assert_eq!(submit_one().unwrap_err(), Refused);

    let left = submitted.swap_remove(7);
    left.note_client_left();
    submitted.push(submit_one().unwrap());
    assert_eq!(submit_one().unwrap_err(), Refused);

    held.release();
    assert_eq!(result(left), Err(Refused));
    assert!(submitted.into_iter().all(|pending| result(pending).is_ok()));
    wait_until(|| Arc::strong_count(&owned) == 1);
    assert_eq!(threads.figures().refused, 3);
}

#[test]
fn a_job_that_panics_has_no_result_and_its_thread_goes_on() {
    let (threads, woken) = (threads(1), Arc::new(Woken::default()));
    let job = || panic!("as the test wants");
    let pending = threads
        .submit(Arc::clone(&woken).into(), Locality::Remote, job)
        .unwrap();
    wait_until(|| Arc::strong_count(&woken) == 1);
    assert_eq!(*woken.0.lock().unwrap(), 1);
    assert_eq!(pending.poll(), Poll::Ready(Err(Refused)));
    assert_eq!(result(submit(&threads, || 7).unwrap()), Ok(7));
    wait_until(|| threads.figures().idle == 1);
    assert_eq!(threads.figures().lost, 0);
}

#[test]
fn jobs_are_refused_while_all_threads_are_lost() {
    let timeout = Duration::from_millis(200);
    let threads = threads_with(2, timeout);
    let first = hold(&threads);
    wait_until(|| threads.figures().lost == 1);
    assert_eq!(result(submit(&threads, || 1).unwrap()), Ok(1));
    let second = hold(&threads);
    let waiting = submit(&threads, || 2).unwrap();
    wait_until(|| threads.figures().lost == 2);
    assert_eq!(submit(&threads, || ()).unwrap_err(), Refused);
    assert_eq!(waiting.poll(), Poll::Pending);
    let figures = threads.figures();
    assert_eq!((figures.idle, figures.busy, figures.refused), (0, 0, 1));
    assert!(figures.longest_wait > timeout);

    // A thread whose call returns is no longer lost, and does what had waited.
    first.release();
    assert_eq!(result(waiting), Ok(2));
    wait_until(|| threads.figures().idle == 1);
    assert_eq!(threads.figures().lost, 1);
    assert_eq!(result(submit(&threads, || 3).unwrap()), Ok(3));
    second.release();
    wait_until(|| threads.figures().idle == 2);
}

/// Says that it is being dropped, and by which thread; the drop lasts until it is released.
struct SlowDrop {
    begin: Sender<(usize, String)>,
    number: usize,
    released: Mutex<Receiver<()>>,
}

impl Drop for SlowDrop {
    fn drop(&mut self) {
        self.begin.send((self.number, thread_name())).unwrap();
        let _ = self.released.lock().unwrap().recv_timeout(LIMIT);
    }
}

#[test]
fn one_thread_at_a_time_drops_files() {
    let threads = threads(2);
    let (begin, begun) = channel();
    let mut releases = Vec::new();
    for number in 0..2 {
        let (release, released) = channel::<()>();
        releases.push(release);
        let value = SlowDrop {
            begin: begin.clone(),
            number,
            released: Mutex::new(released),
        };
        let dropped = DroppedByThread::new(value, &threads);
        assert!(dropped.get().is_some());
        drop(dropped);
    }
    let (number, name) = begun.recv_timeout(LIMIT).unwrap();
    assert_eq!(number, 0);
    assert!(name.starts_with("httpoll-file-"), "{name}");
    // Dropping goes before jobs, so the other thread takes a job only because it must not drop.
    assert_eq!(result(submit(&threads, || 7).unwrap()), Ok(7));
    wait_until(|| threads.figures().busy == 1);
    assert!(begun.try_recv().is_err());
    drop(releases);
    assert_eq!(begun.recv_timeout(LIMIT).unwrap().0, 1);
    wait_until(|| threads.figures().idle == 2);
    assert_eq!(threads.figures().done, 1, "a drop is no job");
}

#[test]
fn the_threads_start_once_and_end_with_the_last_clone() {
    assert!(FileThreads::new(0, Duration::ZERO).is_none());
    let threads = FileThreads::new(3, Duration::from_secs(60)).unwrap();
    let shared = Arc::downgrade(&threads.0.0);
    // Each thread has a reference.
    assert_eq!(shared.strong_count(), 1);
    threads.start().unwrap();
    threads.start().unwrap();
    assert_eq!(shared.strong_count(), 4);
    let clone = threads.clone();
    drop(threads);
    assert_eq!(result(submit(&clone, || 7).unwrap()), Ok(7));
    assert_eq!(shared.strong_count(), 4);
    drop(clone);
    wait_until(|| shared.strong_count() == 0);
}

#[test]
fn the_threads_end_although_jobs_wait_that_own_them() {
    let (threads, owned) = (threads(1), Arc::new(()));
    let shared = Arc::downgrade(&threads.0.0);
    let held = hold(&threads);
    for _ in 0..3 {
        let owns = (threads.clone(), Arc::clone(&owned));
        drop(submit(&threads, move || drop(owns)).unwrap());
    }
    let value = (threads.clone(), Arc::clone(&owned));
    drop(DroppedByThread::new(value, &threads));
    drop(threads);
    held.release();
    wait_until(|| shared.strong_count() == 0);
    assert_eq!(Arc::strong_count(&owned), 1);
}

#[test]
fn the_figures_say_what_the_threads_do() {
    let threads = threads(2);
    let count = |figures: FileThreadFigures| {
        let FileThreadFigures {
            idle,
            busy,
            lost,
            queued,
            done,
            refused,
            longest_wait: _,
        } = figures;
        [idle, busy, lost, queued, done, refused]
    };
    assert_eq!(count(threads.figures()), [2, 0, 0, 0, 0, 0]);
    assert_eq!(threads.figures().longest_wait, Duration::ZERO);
    let held = [hold(&threads), hold(&threads)];
    let waiting = submit(&threads, || ()).unwrap();
    assert_eq!(count(threads.figures()), [0, 2, 0, 1, 0, 0]);
    // The wait of a job that has no result yet grows.
    let before = threads.figures().longest_wait;
    wait_until(|| threads.figures().longest_wait > before + Duration::from_millis(1));
    held.into_iter().for_each(Held::release);
    result(waiting).unwrap();
    wait_until(|| threads.figures().idle == 2);
    assert_eq!(count(threads.figures()), [2, 0, 0, 0, 3, 0]);
    let longest = threads.figures().longest_wait;
    assert!(longest > before);
    assert_eq!(threads.figures().longest_wait, longest, "nothing waits now");
    let shown = format!("{threads:?}");
    assert!(
        shown.starts_with("FileThreads(FileThreadFigures"),
        "{shown}"
    );
}

#[test]
fn a_job_that_opens_files_drops_values_if_many_wait() {
    let (threads, (begin, begun)) = (threads(1), channel());
    let held = hold(&threads);
    let values = MAX_TO_DROP + 3;
    for number in 0..values {
        drop(DroppedByThread::new(
            SlowDrop {
                begin: begin.clone(),
                number,
                released: Mutex::new(channel().1),
            },
            &threads,
        ));
    }
    assert_eq!(begun.try_iter().count(), 0);
    threads.help_to_drop();
    let dropped: Vec<_> = begun.try_iter().map(|(number, _)| number).collect();
    assert_eq!(dropped, [0, 1, 2]);
    held.release();
    let dropped = begun.iter().take(MAX_TO_DROP);
    assert!(dropped.map(|(number, _)| number).eq(3..values));
}
