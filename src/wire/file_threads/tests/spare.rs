//! The spare thread does jobs for local files while all others work for file servers, or are lost.

use super::*;

#[test]
fn file_servers_keep_no_local_file_waiting() {
    let threads = threads(2);
    let held = [hold(&threads), hold(&threads)];
    let remote = submit(&threads, thread_name).unwrap();
    let name_of_local = || {
        let waker = Waker::noop().clone();
        let pending = threads.submit(waker, Locality::Local, thread_name).unwrap();
        result(pending).unwrap()
    };
    for _ in 0..3 {
        assert_eq!(name_of_local(), "httpoll-file-2");
    }
    // A thread is busy for a moment after its result is there.
    wait_until(|| threads.figures().busy == 2);
    assert_eq!(threads.figures().queued, 1);
    assert_eq!(remote.poll(), Poll::Pending);
    held.into_iter().for_each(Held::release);
    assert_ne!(result(remote).unwrap(), "httpoll-file-2");
    wait_until(|| threads.figures().idle == 3);
    assert_ne!(name_of_local(), "httpoll-file-2", "it is spare again");
}

#[test]
fn the_spare_thread_is_called_when_the_last_other_one_turns_to_a_file_server() {
    let threads = threads(2);
    let (begin, begun) = channel();
    let (held, local) = (hold(&threads), hold_as(&threads, Locality::Local));
    // These two wait while one thread still works for a local file.
    let (release, released) = channel::<()>();
    let remote = submit(&threads, move || {
        begin.send(()).unwrap();
        let _ = released.recv();
    });
    let waker = Waker::noop().clone();
    let next = threads.submit(waker, Locality::Local, thread_name).unwrap();
    assert_eq!(threads.figures().queued, 2);
    local.release();
    begun.recv_timeout(LIMIT).unwrap();
    assert_eq!(result(next).unwrap(), "httpoll-file-2");
    drop(release);
    result(remote.unwrap()).unwrap();
    held.release();
}

#[test]
fn a_disk_that_hangs_keeps_no_other_file_waiting_once_its_threads_are_lost() {
    let threads = threads_with(2, Duration::from_millis(5));
    let held = [(); 2].map(|()| hold_as(&threads, Locality::Local));
    wait_until(|| threads.figures().lost == 2);
    let waker = Waker::noop().clone();
    let local = threads.submit(waker, Locality::Local, thread_name).unwrap();
    assert_eq!(result(local).unwrap(), "httpoll-file-2");
    held.into_iter().for_each(Held::release);
}

#[test]
fn jobs_for_local_files_are_refused_only_if_the_spare_thread_is_lost_too() {
    let threads = threads_with(1, Duration::from_millis(1));
    let remote = hold(&threads);
    wait_until(|| threads.figures().lost == 1);
    assert_eq!(submit(&threads, || ()).err(), Some(Refused));
    let local = hold_as(&threads, Locality::Local);
    wait_until(|| threads.figures().lost == 2);
    let waker = Waker::noop().clone();
    let refused = threads.submit(waker, Locality::Local, || ());
    assert_eq!(refused.err(), Some(Refused));
    local.release();
    remote.release();
}
