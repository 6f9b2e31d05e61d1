use std::sync::Arc;
use std::sync::mpsc::channel;
use std::task::Wake;

use super::*;

/// Counts how often it is woken.
#[derive(Default)]
struct Woken(Mutex<usize>);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        *self.0.lock().unwrap() += 1;
    }
}

fn threads(count: usize) -> FileThreads {
    let threads = FileThreads::new(count, Duration::from_secs(60)).unwrap();
    threads.start().unwrap();
    threads
}

#[test]
fn a_job_wakes_its_connection_when_the_result_is_there() {
    let (threads, woken) = (threads(1), Arc::new(Woken::default()));
    let (sender, receiver) = channel();
    let job = move || receiver.recv().unwrap();
    let pending = threads.submit(Arc::clone(&woken).into(), job).unwrap();
    assert_eq!(pending.poll(), Poll::Pending);
    sender.send(7).unwrap();
    while Arc::strong_count(&woken) > 1 {
        thread::yield_now();
    }
    assert_eq!(*woken.0.lock().unwrap(), 1);
    assert_eq!(pending.poll(), Poll::Ready(Ok(7)));
}
