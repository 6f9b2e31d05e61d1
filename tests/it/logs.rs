//! `--log FILE`: rotation, reopening under confinement and as another user, full disks, and the fields of JSON lines.

use std::fs::{self, File, Permissions};
use std::io::Read as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use rustix::process::{Signal, geteuid};

use crate::support::{
    Client, Json, Mount, Server, Site, command, get, request, run, skip, wait_until,
};

/// A site with a directory for logs beside it.
fn site_and_logs() -> Site {
    let site = Site::new();
    fs::create_dir(site.beside("logs")).unwrap();
    site
}

fn log_path(site: &Site) -> String {
    site.beside("logs/access.log").display().to_string()
}

fn start(site: &Site, options: &[&str]) -> Server {
    Server::with(site, &[&["--log", &log_path(site)], options].concat())
}

fn read(path: impl AsRef<Path>) -> String {
    String::from_utf8(fs::read(path).unwrap()).unwrap()
}

/// Waits until a new file has the log's name, which shows that the loops are about to use it.
fn reload(server: &Server, site: &Site) {
    server.signal(Signal::HUP);
    let path = log_path(site);
    wait_until("the log file is opened again", || Path::new(&path).exists());
}

/// The request lines of all log files, sorted.
fn all_requests(site: &Site) -> Vec<String> {
    let mut requests = Vec::new();
    for entry in fs::read_dir(site.beside("logs")).unwrap() {
        let log = read(entry.unwrap().path());
        assert!(
            log.is_empty() || log.ends_with('\n'),
            "half a line: {log:?}"
        );
        for line in log.lines() {
            let (_, rest) = line.split_once("] \"GET /hello.txt?").expect(line);
            let (number, rest) = rest.split_once(" HTTP/1.1\"").expect(line);
            assert_eq!(rest, " 200 14", "{line}");
            requests.push(number.to_owned());
        }
    }
    requests.sort();
    requests
}

/// Sends requests with different queries from four connections while `meanwhile` runs, and returns their queries, sorted.
fn load(server: &Server, meanwhile: impl FnOnce()) -> Vec<String> {
    let (done, asked) = (AtomicBool::new(false), AtomicUsize::new(0));
    let address = server.address();
    let ask = |thread: usize| {
        let mut client = Client::connect(address);
        let mut queries = Vec::new();
        while !done.load(Ordering::Relaxed) {
            let query = format!("{thread}-{}", queries.len());
            assert_eq!(client.get(&format!("/hello.txt?{query}")).status(), 200);
            queries.push(query);
            asked.fetch_add(1, Ordering::Relaxed);
        }
        queries
    };
    thread::scope(|scope| {
        let clients: Vec<_> = (0..4)
            .map(|thread| {
                scope.spawn({
                    let ask = &ask;
                    move || ask(thread)
                })
            })
            .collect();
        wait_until("requests are answered", || {
            asked.load(Ordering::Relaxed) > 100
        });
        meanwhile();
        done.store(true, Ordering::Relaxed);
        let queries = clients
            .into_iter()
            .flat_map(|client| client.join().unwrap());
        let mut queries: Vec<_> = queries.collect();
        queries.sort();
        queries
    })
}

#[test]
fn the_log_goes_to_the_file_and_messages_to_standard_error() {
    let site = site_and_logs();
    let mut server = start(&site, &["--report"]);
    server.get("/hello.txt");
    server.ask("nonsense\r\n\r\n");
    server.signal(Signal::TERM);
    server.wait();
    let log = read(log_path(&site));
    assert!(
        log.contains("\"GET /hello.txt HTTP/1.1\" 200 14\n"),
        "{log}"
    );
    assert!(log.contains("\"nonsense\" 400 "), "{log}");
    assert_eq!(log.lines().count(), 2);
    let messages = server.log();
    assert!(messages.starts_with("httpoll: loop 1 of 1\n"), "{messages}");
    assert!(!messages.contains("GET"), "{messages}");
    let mode = fs::metadata(log_path(&site)).unwrap().mode();
    assert_eq!(mode & 0o137, 0, "the file is not for others: {mode:o}");
}

#[test]
fn a_present_file_is_appended_to() {
    let site = site_and_logs();
    fs::write(log_path(&site), "before\n").unwrap();
    let mut server = start(&site, &[]);
    server.get("/hello.txt");
    server.signal(Signal::TERM);
    server.wait();
    let log = read(log_path(&site));
    assert!(log.starts_with("before\n127.0.0.1 - - ["), "{log}");
}

#[test]
fn a_dash_is_standard_error_also_against_a_configuration_file() {
    let site = site_and_logs();
    let conf = site.beside("httpoll.conf");
    fs::write(&conf, format!("log {}\nquiet\n", log_path(&site))).unwrap();
    let server = Server::with(&site, &["-c", conf.to_str().unwrap(), "--log", "-"]);
    server.get("/hello.txt");
    assert!(server.log_lines(1)[0].contains("GET /hello.txt"));
    assert!(!Path::new(&log_path(&site)).exists());
}

#[test]
fn a_file_that_cannot_be_opened_is_a_one_line_error() {
    let site = site_and_logs();
    let root = site.root().display().to_string();
    for (path, reason) in [
        (
            site.beside("none/log").display().to_string(),
            "No such file or directory",
        ),
        (site.beside("logs").display().to_string(), "Is a directory"),
    ] {
        let output = run(&["0", "-b", "127.0.0.1", "-d", &root, "--log", &path]);
        let message = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1));
        let expected = format!("httpoll: cannot open the log file {path}: {reason}");
        assert!(message.contains(&expected), "{message}");
    }
}

#[test]
fn a_log_in_the_served_directory_is_a_warning() {
    let site = Site::new();
    let path = site.at("access.log");
    let server = Server::with(&site, &["--log", path.to_str().unwrap()]);
    let messages = server.log();
    assert!(messages.ends_with("is in the served directory, so clients can read it\n"));
    assert_eq!(messages.lines().count(), 1);
}

#[test]
fn renamed_files_and_a_signal_lose_and_repeat_no_line() {
    for loops in ["1", "3"] {
        let site = site_and_logs();
        let mut server = start(&site, &["-n", loops]);
        let asked = load(&server, || {
            for number in 0..20 {
                let old = site.beside(&format!("logs/access.log.{number}"));
                fs::rename(log_path(&site), old).unwrap();
                reload(&server, &site);
                thread::sleep(Duration::from_millis(10));
            }
        });
        server.signal(Signal::TERM);
        server.wait();
        assert_eq!(all_requests(&site), asked);
        assert_eq!(server.log(), "");
    }
}

/// Runs logrotate once with these lines in its configuration; false where it is not installed.
fn logrotate(site: &Site, lines: &str) -> bool {
    let (conf, state) = (site.beside("rotate.conf"), site.beside("rotate.state"));
    let text = format!(
        "{} {{\nrotate 99\nsu root root\n{lines}\n}}\n",
        log_path(site)
    );
    fs::write(&conf, text).unwrap();
    fs::set_permissions(&conf, Permissions::from_mode(0o644)).unwrap();
    let mut command = Command::new("logrotate");
    command
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .arg("-f")
        .arg("-s")
        .args([state, conf]);
    let Ok(output) = command.output() else {
        skip("no logrotate");
        return false;
    };
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    true
}

#[test]
fn logrotate_with_create_loses_and_repeats_no_line() {
    if !geteuid().is_root() {
        return skip("not run by root");
    }
    let site = site_and_logs();
    let mut server = start(&site, &["-n", "2"]);
    let script = format!("postrotate\nkill -HUP {}\nendscript", server.id());
    let mut rotated = true;
    let asked = load(&server, || {
        for _ in 0..5 {
            rotated &= logrotate(&site, &format!("create 0640 root root\n{script}"));
            thread::sleep(Duration::from_millis(50));
        }
    });
    server.signal(Signal::TERM);
    server.wait();
    assert_eq!(all_requests(&site), asked);
    let files = fs::read_dir(site.beside("logs")).unwrap().count();
    assert!(!rotated || files == 6, "{files}");
    assert!(!read(log_path(&site)).is_empty());
}

/// logrotate itself loses what is written between its copy and its cut, so there is no load while it runs.
#[test]
fn logrotate_with_copytruncate_loses_and_repeats_no_line() {
    if !geteuid().is_root() {
        return skip("not run by root");
    }
    let site = site_and_logs();
    let mut server = start(&site, &["-n", "2"]);
    let mut asked = Vec::new();
    for burst in 0..3 {
        let mut client = server.connect();
        for number in 0..200 {
            let query = format!("{burst}-{number}");
            client.get(&format!("/hello.txt?{query}"));
            asked.push(query);
        }
        wait_until("all lines are written", || {
            read(log_path(&site)).contains(&format!("?{burst}-199 "))
        });
        if !logrotate(&site, "copytruncate") {
            return;
        }
        assert_eq!(read(log_path(&site)), "", "the next line begins the file");
    }
    server.signal(Signal::TERM);
    server.wait();
    asked.sort();
    assert_eq!(all_requests(&site), asked);
}

#[test]
fn the_file_is_opened_again_as_another_user() {
    let users = fs::read_to_string("/etc/passwd").unwrap();
    if !geteuid().is_root() || !users.contains("nobody:x:65534:65534:") {
        return skip("not run by root, or there is no user 'nobody'");
    }
    let site = site_and_logs();
    let logs = site.beside("logs");
    fs::set_permissions(site.beside(""), Permissions::from_mode(0o755)).unwrap();
    let root = site.root().display().to_string();
    let options = [
        "0",
        "-b",
        "127.0.0.1",
        "-d",
        &root,
        "--user",
        "nobody",
        "--log",
    ];
    let output = run(&[&options[..], &[&log_path(&site)]].concat());
    let message = String::from_utf8(output.stderr).unwrap();
    assert!(
        message.ends_with("Permission denied (os error 13), as user nobody (--user)\n"),
        "{message}"
    );

    chown(&logs, Some(65534), Some(65534)).unwrap();
    let server = start(&site, &["--user", "nobody", "-n", "2"]);
    server.get("/hello.txt?1");
    wait_until("the line is written", || {
        read(log_path(&site)).contains("?1 ")
    });
    fs::rename(log_path(&site), site.beside("logs/old")).unwrap();
    reload(&server, &site);
    assert_eq!(fs::metadata(log_path(&site)).unwrap().uid(), 65534);
    // Both loops have switched when a line of each is in the new file.
    wait_until("lines are in the new file", || {
        server.get("/hello.txt?2");
        read(log_path(&site)).contains("?2 ")
    });

    // logrotate makes the file for the user; then the directory need not be the user's.
    fs::rename(log_path(&site), site.beside("logs/older")).unwrap();
    chown(&logs, Some(0), Some(0)).unwrap();
    File::create(log_path(&site)).unwrap();
    chown(log_path(&site), Some(65534), None).unwrap();
    server.signal(Signal::HUP);
    wait_until("lines are in the made file", || {
        server.get("/hello.txt?3");
        read(log_path(&site)).contains("?3 ")
    });
    assert_eq!(server.log(), "");
}

#[test]
fn a_file_that_cannot_be_opened_again_stays_in_use() {
    for loops in ["1", "2"] {
        let site = site_and_logs();
        let mut server = start(&site, &["-n", loops]);
        let mut old = File::open(log_path(&site)).unwrap();
        fs::remove_dir_all(site.beside("logs")).unwrap();
        server.signal(Signal::HUP);
        let says_so = |server: &Server| {
            let said = server.log();
            said.matches("cannot reopen the log file").count()
        };
        wait_until("standard error says so", || says_so(&server) == 1);
        for _ in 0..20 {
            assert_eq!(server.get("/hello.txt").status(), 200);
        }
        server.signal(Signal::TERM);
        server.wait();
        let mut log = String::new();
        old.read_to_string(&mut log).unwrap();
        assert_eq!(log.lines().count(), 20);
        assert_eq!(says_so(&server), 1, "once for all loops");
        let said = server.log();
        assert!(
            said.contains(", so the old one stays in use: No such file or directory"),
            "{said}"
        );
    }
}

#[test]
fn a_link_in_place_of_the_file_leads_nowhere() {
    let site = site_and_logs();
    let server = start(&site, &[]);
    fs::rename(log_path(&site), site.beside("logs/old")).unwrap();
    let target = site.beside("logs/target");
    std::os::unix::fs::symlink(&target, log_path(&site)).unwrap();
    server.signal(Signal::HUP);
    wait_until("standard error says so", || {
        server.log().contains("cannot reopen the log file")
    });
    server.get("/hello.txt");
    wait_until("the old file is used", || {
        read(site.beside("logs/old")).contains("GET /hello.txt")
    });
    assert!(!target.exists());
}

#[test]
fn a_full_disk_stops_the_log_only_and_leaves_whole_lines() {
    const REQUESTS: usize = 300;
    let site = site_and_logs();
    let Some(_mount) = Mount::small_tmpfs(&site.beside("logs")) else {
        return;
    };
    let mut server = start(&site, &["-n", "2"]);
    fs::write(site.beside("logs/.filler"), vec![0; 1000 * 1024]).unwrap();
    // Two thousand bytes a line: beyond the disk, and what waits for it, lines are lost.
    let long = "x".repeat(2000);
    let mut client = server.connect();
    for number in 0..REQUESTS {
        let target = format!("/hello.txt?{number}-{long}");
        assert_eq!(client.get(&target).status(), 200);
    }
    let said = server.log();
    let failure = "No space left on device";
    assert_eq!(said.matches(failure).count(), 1, "{said}");
    assert!(
        said.contains("httpoll: cannot write the log file "),
        "{said}"
    );
    fs::remove_file(site.beside("logs/.filler")).unwrap();
    server.signal(Signal::TERM);
    assert_eq!(server.wait().code(), Some(0));
    let log = read(log_path(&site));
    assert!(log.ends_with('\n'));
    let end = format!("-{long} HTTP/1.1\" 200 14");
    let number = |line: &str| {
        let rest = line
            .split_once("] \"GET /hello.txt?")
            .and_then(|(_, rest)| rest.strip_suffix(&end));
        let number = rest.and_then(|number| number.parse::<usize>().ok());
        number.unwrap_or_else(|| panic!("a torn line: {line}"))
    };
    let numbers: Vec<_> = log.lines().map(number).collect();
    assert!(
        numbers.is_sorted_by(|earlier, later| earlier < later),
        "{numbers:?}"
    );
    let said = server.log();
    let lost = said.split_once(" log lines were lost").expect(&said).0;
    let lost: usize = lost.rsplit_once(' ').unwrap().1.parse().unwrap();
    assert_eq!(log.lines().count() + lost, REQUESTS, "{said}");
}

#[test]
fn a_file_that_never_takes_a_line_does_not_stop_the_server() {
    let site = Site::new();
    let mut server = Server::with(&site, &["--log", "/dev/full"]);
    for _ in 0..5 {
        assert_eq!(server.get("/hello.txt").status(), 200);
    }
    server.signal(Signal::HUP);
    server.signal(Signal::TERM);
    assert_eq!(server.wait().code(), Some(0));
    let said = server.log();
    assert_eq!(
        said.matches("cannot write the log file /dev/full: ")
            .count(),
        1,
        "{said}"
    );
    assert!(said.contains("httpoll: 5 log lines were lost "), "{said}");
}

#[test]
fn no_hangup_and_no_unknown_signal_ends_the_server() {
    let mut server = Server::with(&Site::new(), &["-n", "2"]);
    for signal in [Signal::HUP, Signal::USR2, Signal::HUP] {
        server.signal(signal);
        assert_eq!(server.get("/hello.txt").status(), 200);
    }
    server.signal(Signal::TERM);
    assert_eq!(server.wait().code(), Some(0));
}

/// Parses `text` with Python's json, line by line, and returns the values of `name` as Python shows them.
fn by_python(text: &str, name: &str) -> Option<Vec<String>> {
    let program = "import json, sys\n\
        for line in open(sys.argv[1], encoding='utf-8', newline='\\n'):\n\
        \x20   print(repr(json.loads(line)[sys.argv[2]]))";
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), text).unwrap();
    let mut command = Command::new("python3");
    command
        .args(["-c", program])
        .arg(file.path())
        .arg(name)
        .stdin(Stdio::null());
    let Ok(output) = command.output() else {
        skip("no python3");
        return None;
    };
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let shown = String::from_utf8(output.stdout).unwrap();
    Some(shown.lines().map(str::to_owned).collect())
}

#[test]
fn a_json_line_has_all_fields() {
    let site = site_and_logs();
    let mut server = start(&site, &["--log-format", "json"]);
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    let parent = format!("traceparent: 00-{trace}-00f067aa0ba902b7-01");
    server.ask(request(
        "GET",
        "//hello.txt?a=b",
        &["X-Request-Id: 1f-2", &parent],
    ));
    server.ask(
        "GET http://Example.org:80/hello.txt HTTP/1.0\r\nHost: other\r\nX-Request-Id: a b\r\n\r\n",
    );
    server.ask("GET / HTTP/1.1\r\nX-Request-Id: 1\r\n\r\n");
    server.signal(Signal::TERM);
    server.wait();
    let log = read(log_path(&site));
    let lines: Vec<_> = log.lines().map(Json::parse).collect();
    let [whole, absolute, refused] = &lines[..] else {
        panic!("{log}");
    };
    let text = |line: &Json, name| match line.get(name) {
        Json::Null => "null".to_owned(),
        value => value.text().to_owned(),
    };
    for (name, values) in [
        ("method", ["GET", "GET", "null"]),
        ("path", ["/hello.txt?a=b", "/hello.txt", "null"]),
        ("proto", ["HTTP/1.1", "HTTP/1.0", "null"]),
        ("request_id", ["1f-2", "null", "null"]),
        ("trace_id", [trace, "null", "null"]),
        ("peer", ["127.0.0.1"; 3]),
        ("client", ["127.0.0.1"; 3]),
        ("limited", ["null"; 3]),
    ] {
        assert_eq!(
            [whole, absolute, refused].map(|line| text(line, name)),
            values,
            "{name}"
        );
    }
    assert_eq!(text(absolute, "host"), "Example.org:80");
    assert_eq!(text(whole, "host"), "test");
    assert_eq!(text(refused, "host"), "null");
    for line in [whole, absolute, refused] {
        assert_eq!(line.get("loop").number(), 0);
        let ts = line.get("ts").text();
        let shape: String = ts
            .chars()
            .map(|c| if c.is_ascii_digit() { '0' } else { c })
            .collect();
        assert_eq!(shape, "0000-00-00T00:00:00.000Z");
        let seconds: i64 = ts[17..19].parse().unwrap();
        assert_eq!(seconds, line.get("time").number() % 60);
    }
}

#[test]
fn any_bytes_stay_json_lines() {
    let site = site_and_logs();
    let mut server = start(&site, &["--log-format", "json", "-n", "2"]);
    let hostile: [&[u8]; 6] = [
        b"\"\\",
        b"\xff\xfe",
        "\u{202e}é\u{85}".as_bytes(),
        b"\x1b[2J",
        b"a\tb",
        b"{}],",
    ];
    let mut count = 0;
    for bytes in hostile {
        for place in [
            [b"GET /", bytes, b" HTTP/1.1\r\nHost: x\r\n\r\n"].concat(),
            [
                b"GET / HTTP/1.1\r\nHost: x\r\nX-Request-Id: ",
                bytes,
                b"\r\n\r\n",
            ]
            .concat(),
            [
                b"GET / HTTP/1.1\r\nHost: x\r\ntraceparent: ",
                bytes,
                b"\r\n\r\n",
            ]
            .concat(),
            [
                b"GET / HTTP/1.1\r\nHost: x\r\nReferer: ",
                bytes,
                b"\r\n\r\n",
            ]
            .concat(),
            [b"GET http://", bytes, b"/ HTTP/1.1\r\nHost: x\r\n\r\n"].concat(),
            [bytes, b" / HTTP/1.1\r\nHost: x\r\n\r\n"].concat(),
        ] {
            server.ask(place);
            count += 1;
        }
    }
    server.signal(Signal::TERM);
    server.wait();
    let log = read(log_path(&site));
    assert!(
        !log.contains(|c: char| c != '\n' && c.is_control()),
        "{log}"
    );
    let Some(ids) = by_python(&log, "request_id") else {
        return;
    };
    assert_eq!(ids, vec!["None"; count]);
}

#[test]
fn a_client_that_reads_slowly_is_what_limited_the_reply() {
    let site = site_and_logs();
    site.sparse("big", 64 << 20);
    let mut server = start(&site, &["--log-format", "json"]);
    let mut client = server.connect();
    client.send(get("/big")).read_head();
    // Its window is full by then, and stays so for most of the time.
    thread::sleep(Duration::from_millis(800));
    client.take(64 << 20);
    server.signal(Signal::TERM);
    server.wait();
    let line = Json::parse(read(log_path(&site)).trim_end());
    assert_eq!(line.get("limited").text(), "client");
}

#[test]
fn lines_of_several_loops_do_not_mix() {
    let site = site_and_logs();
    let mut server = start(&site, &["-n", "3", "--log-format", "json"]);
    let asked = load(&server, || thread::sleep(Duration::from_millis(200)));
    server.signal(Signal::TERM);
    server.wait();
    let log = read(log_path(&site));
    let mut paths: Vec<_> = log
        .lines()
        .map(|line| Json::parse(line).get("path").text()["/hello.txt?".len()..].to_owned())
        .collect();
    paths.sort();
    assert_eq!(paths, asked);
}

#[test]
fn a_relative_path_is_below_the_directory_of_the_start() {
    let site = site_and_logs();
    let root = site.root();
    let mut command = command(&["0", "-b", "127.0.0.1", "--log", "access.log", "-d"]);
    command.arg(&root).current_dir(site.beside("logs"));
    let server = Server::spawn(command);
    fs::rename(log_path(&site), site.beside("logs/old")).unwrap();
    reload(&server, &site);
    wait_until("the line is in the new file", || {
        server.get("/hello.txt");
        !read(log_path(&site)).is_empty()
    });
}
