//! Bugs that were found by reading or in use, each with the test that keeps it away.

use crate::support::{Server, Site, get, wait_until};

#[test]
fn no_log_line_is_lost_where_standard_error_takes_them_all() {
    let server = Server::start(&Site::new());
    let mut clients: Vec<_> = (0..100).map(|_| server.connect()).collect();
    let requests = get(&format!("/hello.txt?{}", "x".repeat(500))).repeat(30);
    for client in &mut clients {
        client.send(&requests);
    }
    for client in &mut clients {
        for _ in 0..30 {
            assert_eq!(client.read_reply().status(), 200);
        }
    }
    wait_until("all lines are there", || {
        server.log().lines().count() >= 3000
    });
    assert!(!server.log().contains("lost"));
}

#[test]
fn a_client_that_sends_on_during_its_last_download_gets_all_of_it() {
    const BIG: usize = 64 << 20;
    let site = Site::in_memory();
    site.sparse("big", BIG as u64);
    let server = Server::start(&site);
    let mut client = server.connect();
    client.send("GET /big HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    client.read_head();
    assert_eq!(client.take(BIG / 2).len(), BIG / 2);
    client.send("\r\n");
    assert_eq!(client.read_to_end().len(), BIG / 2);
}
