//! Bad usage and failures at the start: one line on standard error, and the exit code.

use std::fs::{self, Permissions};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::process::Output;

use crate::support::{Server, Site, run, run_command, skip, unprivileged};

/// Asserts that the program ended with one line that has all of `words` in it.
#[track_caller]
fn assert_fails(output: &Output, code: i32, words: &[&str]) {
    let message = str::from_utf8(&output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(code), "{message}");
    assert_eq!(message.matches('\n').count(), 1, "{message}");
    for word in words {
        assert!(message.contains(word), "no {word:?} in {message:?}");
    }
    assert!(output.stdout.is_empty());
}

#[test]
fn bad_usage_is_one_line_that_names_the_option() {
    let cases: [(&[&str], &[&str]); 23] = [
        (&["--nonsense"], &["--nonsense"]),
        (&["-x"], &["-x"]),
        (&["65536"], &["PORT", "65536"]),
        (&["-1"], &["-1"]),
        (&["8000", "8001"], &["8001"]),
        (&["-p", "8080"], &["the port stands alone: httpoll 8080"]),
        (&["-d"], &["--directory"]),
        (&["-b"], &["--bind"]),
        (&["-b", ""], &["--bind"]),
        (&["-d", ""], &["--directory"]),
        (&["--config="], &["--config"]),
        (&["-b", "127.0.0.1:port"], &["--bind", "127.0.0.1:port"]),
        (&["-p", "HTTP/2"], &["--protocol", "HTTP/1.1", "HTTP/2"]),
        (&["-n", "two"], &["--loops", "number", "two"]),
        (&["-n", "-1"], &["--loops", "number"]),
        (
            &["-H", "no colon"],
            &["--header", "NAME: VALUE", "no colon"],
        ),
        (&["-H", ": value"], &["--header"]),
        (&["-H", "two words: x"], &["--header"]),
        (&["-H", "X: a\r\nY: b"], &["--header"]),
        (&["--content-type", "a\nb"], &["--content-type"]),
        (
            &["--log-format", "xml"],
            &["--log-format", "common, combined", "xml"],
        ),
        (&["--log-format"], &["--log-format"]),
        (&["-c"], &["--config"]),
    ];
    for (options, words) in cases {
        assert_fails(&run(options), 2, words);
    }
}

#[test]
fn a_taken_port_is_a_one_line_error() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let output = run(&[&port, "-b", "127.0.0.1"]);
    assert_fails(&output, 1, &[&port, "in use"]);
    let server = Server::with(&Site::new(), &["-n", "2"]);
    let port = server.port().to_string();
    let output = run(&[&port, "-b", "127.0.0.1"]);
    assert_fails(&output, 1, &[&port, "in use"]);
}

#[test]
fn a_missing_directory_is_a_one_line_error() {
    for options in [["0", "-d/no/such/place"], ["/no/such/place", "0"]] {
        let output = run(&options);
        assert_fails(&output, 1, &["/no/such/place", "no such directory"]);
    }
    let output = run(&["localhost:8080"]);
    assert_fails(&output, 1, &["no such directory", "-b localhost:8080"]);
}

#[test]
fn a_foreign_address_is_a_one_line_error() {
    let output = run(&["0", "-b", "192.0.2.1"]);
    assert_fails(&output, 1, &["192.0.2.1"]);
    let output = run(&["0", "-b", "no-such-host.invalid"]);
    assert_fails(&output, 1, &["no-such-host.invalid"]);
}

#[test]
fn a_fifo_as_directory_is_a_one_line_error() {
    let site = Site::new();
    site.fifo("fifo");
    let fifo = site.at("fifo");
    let output = run(&["0", "-b", "127.0.0.1", "-d", fifo.to_str().unwrap()]);
    assert_fails(&output, 1, &["fifo"]);
}

#[test]
fn an_unreadable_directory_is_a_one_line_error() {
    let site = Site::new();
    let root = site.root();
    let root = root.to_str().unwrap();
    let Some(command) = unprivileged(&["0", "-b", "127.0.0.1", "-d", root]) else {
        return;
    };
    let set_mode = |mode| fs::set_permissions(root, Permissions::from_mode(mode)).unwrap();
    set_mode(0);
    let output = run_command(command);
    set_mode(0o700);
    assert_fails(&output, 1, &[root, "permission"]);
}

#[test]
fn a_privileged_port_is_a_one_line_error() {
    let first = fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start");
    let first: u16 = first.unwrap().trim().parse().unwrap();
    if first < 8 {
        return skip("every user may listen on every port here");
    }
    if let Some(command) = unprivileged(&["7", "-b", "127.0.0.1", "-d", "/"]) {
        assert_fails(&run_command(command), 1, &["7", "permission"]);
    }
}

#[test]
fn a_bad_config_file_is_a_one_line_error() {
    let site = Site::new();
    let file = site.at("httpoll.conf");
    let file = file.to_str().unwrap();
    for (text, line, words) in [
        ("--loops many\n", 1, ["--loops", "many"]),
        ("# loops\n\n  loops many\n", 3, ["--loops", "many"]),
        ("quiet\r\n--nonsense\r\nquiet", 2, ["unknown", "--nonsense"]),
        (
            "header A: b\nheader no colon\n",
            2,
            ["--header", "no colon"],
        ),
        ("bind 127.0.0.1\nbind\n", 2, ["--bind", "wants a value"]),
        ("port many\n", 1, ["PORT", "many"]),
        ("quiet\n8080 x\n", 2, ["PORT", "8080 x"]),
        ("quiet\nhost 0.0.0.0\n", 2, ["--host", "--bind"]),
        ("quiet\nquiet no\n", 2, ["--quiet", "takes no value"]),
        ("quiet\n--\n", 2, ["unknown option", "'--'"]),
        ("quiet\n=\n", 2, ["unknown option", "''"]),
        ("quiet\nconfig other\n", 2, ["--config", "cannot stand"]),
        ("generate man\n", 1, ["--generate", "cannot stand"]),
        (
            "protcol HTTP/1.0\n",
            1,
            ["--protcol", "did you mean --protocol?"],
        ),
    ] {
        site.file("httpoll.conf", text);
        let place = format!("httpoll: {file}:{line}: ");
        let output = run(&["-c", file]);
        assert_fails(&output, 2, &[&[place.as_str()], &words[..]].concat());
    }
    site.file("httpoll.conf", b"quiet\ndirectory \xff\n");
    let place = format!("httpoll: {file}:2: ");
    assert_fails(&run(&["-c", file]), 2, &[&place, "UTF-8"]);
    let output = run(&["0", "-c", "/no/such/file"]);
    assert_fails(&output, 1, &["/no/such/file"]);
}

#[test]
fn what_a_config_file_asks_for_in_vain_is_named_with_its_line() {
    let site = Site::new();
    let file = site.at("httpoll.conf");
    let file = file.to_str().unwrap();
    for (line, words) in [
        ("directory /no/such/place", "no such directory"),
        ("bind no-such-host.invalid", "no-such-host.invalid"),
        ("user no such user", "no such user"),
    ] {
        site.file("httpoll.conf", format!("port 0\n{line}\n"));
        let place = format!("httpoll: {file}:2: ");
        assert_fails(&run(&["-c", file]), 1, &[&place, words]);
    }
}
