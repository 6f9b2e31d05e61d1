//! `--calibrate`: it prints figures of the machine and commands to compare with them.

use std::net::TcpListener;

use crate::support::{Site, run};

/// The number before `unit` in `line`.
fn figure(line: &str, unit: &str) -> f64 {
    let before = line.split(unit).next().unwrap_or_default();
    let figure = before.split_whitespace().next_back().unwrap_or_default();
    figure.parse().unwrap_or_else(|_| panic!("{unit}: {line}"))
}

#[test]
fn calibrate_measures_each_reply_and_prints_commands_to_compare() {
    let site = Site::empty();
    site.file("z.txt", "small").file("large", "larger");
    site.file("empty", "")
        .file("b b.txt", "esc")
        .file(".dot", "hid");
    site.file("a/b", "dir");
    // Calibration serves no client, so it works with a port that is taken.
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let root = site.root();
    let output = run(&["--calibrate", "-d", root.to_str().unwrap(), &port]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{text}");
    for (name, length) in [
        ("null reply", 0.0),
        ("memory, 1 KiB", 1024.0),
        ("memory, 64 KiB", 65536.0),
        ("sendfile, 1 MiB", 1048576.0),
    ] {
        let line = text.lines().find(|line| line.trim().starts_with(name));
        let line = line.unwrap_or_else(|| panic!("{name}: {text}"));
        let requests = figure(line, " requests/s");
        assert!(requests > 0.0, "{line}");
        let mib = requests * length / 1048576.0;
        assert!(figure(line, " MiB/s") > mib - 1.0, "{line}");
        assert!(figure(line, " us of CPU each") > 0.0, "{line}");
    }
    let url = format!("http://127.0.0.1:{port}/z.txt");
    for client in ["  wrk -t1 -c64 ", "  oha -c 64 "] {
        let line = text.lines().find(|line| line.starts_with(client));
        assert!(line.unwrap_or(&text).ends_with(&url), "{client}: {text}");
    }
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
}
