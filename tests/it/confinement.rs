//! What the program gives up before it serves, and that nothing outside of the directory is ever served.

use std::fs;
use std::io::Read;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use landlock::{AccessFs, LandlockStatus, Ruleset, RulesetAttr};
use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::process::{Signal, geteuid};

use crate::support::{
    Client, Reply, Server, Site, command, request, run, run_command, skip, unprivileged, wait_until,
};

fn has_landlock() -> bool {
    // A thread that is restricted and gone.
    let status = thread::spawn(|| {
        let ruleset = Ruleset::default().handle_access(AccessFs::Execute).unwrap();
        ruleset.create().unwrap().restrict_self().unwrap().landlock
    });
    let is_available = matches!(status.join().unwrap(), LandlockStatus::Available { .. });
    if !is_available {
        skip("this kernel has no Landlock, or a container forbids it");
    }
    is_available
}

/// What the kernel says of every thread of the server under `key`.
fn status(server: &Server, key: &str) -> Vec<String> {
    let tasks = fs::read_dir(format!("/proc/{}/task", server.id())).unwrap();
    let of = |task: PathBuf| {
        let status = fs::read_to_string(task.join("status")).unwrap();
        let line = status.lines().find(|line| line.starts_with(key)).unwrap();
        line.split_whitespace()
            .skip(1)
            .collect::<Vec<_>>()
            .join(" ")
    };
    tasks.map(|task| of(task.unwrap().path())).collect()
}

#[test]
fn the_report_says_what_is_in_force() {
    if !has_landlock() {
        return;
    }
    let mut server = Server::with(&Site::new(), &["--report", "-q", "-n", "2"]);
    server.signal(Signal::USR1);
    wait_until("both loops report", || {
        server.log().matches("httpoll: loop ").count() == 2
    });
    server.signal(Signal::TERM);
    server.wait();
    let lines: Vec<_> = server
        .log()
        .lines()
        .filter(|line| line.starts_with("confinement "))
        .map(str::to_owned)
        .collect();
    assert_eq!(lines.len(), 4, "{lines:?}");
    for line in lines {
        assert!(line.starts_with("confinement     Landlock (ABI "), "{line}");
        assert!(line.ends_with("), no new privileges, seccomp"), "{line}");
    }
}

#[test]
fn every_thread_is_confined() {
    let server = Server::with(&Site::new(), &["-n", "3"]);
    wait_until("all loops run", || status(&server, "Name:").len() == 3);
    assert_eq!(status(&server, "NoNewPrivs:"), ["1"; 3]);
    assert_eq!(status(&server, "Seccomp:"), ["2"; 3]);
}

/// Segments that a careless server takes for `..`.
const UPWARDS: [&str; 20] = [
    "..",
    "%2e%2e",
    "%2E.",
    ".%2e",
    "%252e%252e",
    "%25252e%25252e",
    "%c0%ae%c0%ae",
    "%c0%2e%c0%2e",
    "%e0%80%ae%e0%80%ae",
    "%f0%80%80%ae%f0%80%80%ae",
    "%u002e%u002e",
    "%uff0e%uff0e",
    "\u{ff0e}\u{ff0e}",
    "..%00",
    "..;",
    "..;a=b",
    "..%20",
    "..%0d%0a",
    "....",
    "out",
];

/// What a careless server takes for `/`.
const SLASHES: [&str; 16] = [
    "/",
    "//",
    "/./",
    "/%2e/",
    "%2f",
    "%252f",
    "%25252f",
    "\\",
    "%5c",
    "%255c",
    "%c0%af",
    "%e0%80%af",
    "%u2215",
    "%u005c",
    ";/",
    "/x/../",
];

/// What may stand before.
const STARTS: [&str; 11] = [
    "/",
    "//",
    "/./",
    "/dir/",
    "/dir%2f",
    "/hello.txt/",
    "/%2f",
    "/\\",
    "http://test/",
    "http://test//dir/",
    "file:///",
];

/// Asserts that nothing of what lies outside is in a reply, and that there is nothing to be had.
#[track_caller]
fn assert_nothing(reply: &Reply, target: &str) {
    let text = format!("{:?} {}", reply.head, reply.body.escape_ascii());
    assert!(
        !text.contains("SECRET") && !text.contains("root:"),
        "{target}: {text}"
    );
    assert!(
        matches!(reply.status(), 400 | 404 | 414),
        "{target}: {text}"
    );
}

/// Asks for everything, many at a time, on as few connections as the server allows.
fn assert_nothing_is_had(server: &Server, targets: impl Iterator<Item = String>) -> usize {
    let targets: Vec<_> = targets.collect();
    let mut client = server.connect();
    for batch in targets.chunks(64) {
        let mut rest = batch;
        while !rest.is_empty() {
            let requests = rest.iter().map(|target| request("GET", target, &[]));
            client.send(requests.collect::<String>());
            while let Some((target, others)) = rest.split_first() {
                let reply = client.read_reply();
                assert_nothing(&reply, target);
                rest = others;
                if reply.head.closes() {
                    client = server.connect();
                    break;
                }
            }
        }
    }
    targets.len()
}

/// Every start, with so many steps upwards in every spelling, to each goal.
fn traversals(goals: &'static [(usize, &'static str)]) -> impl Iterator<Item = String> {
    let steps = UPWARDS
        .iter()
        .flat_map(|up| SLASHES.iter().map(move |slash| format!("{up}{slash}")));
    steps.flat_map(move |step| {
        goals.iter().flat_map(move |(count, goal)| {
            let steps = step.repeat(*count);
            STARTS.map(|start| format!("{start}{steps}{goal}"))
        })
    })
}

/// A site with links to what lies outside.
fn with_ways_out() -> Site {
    let site = Site::new();
    let outside = site.root().parent().unwrap().to_str().unwrap().to_owned();
    site.link("out", "..")
        .link("absolute", &outside)
        .link("etc", "/etc")
        .link("dir/out", "../..")
        .link("secret", "../secret.txt")
        .link("proc", "/proc/self/root")
        .link("twice", "dir/out");
    site
}

#[test]
fn no_spelling_of_a_path_leads_out() {
    let server = Server::with(&with_ways_out(), &["-q", "--dotfiles"]);
    let goals = &[(1, "secret.txt"), (2, "secret.txt"), (9, "etc/passwd")];
    let count = assert_nothing_is_had(&server, traversals(goals));
    assert_eq!(count, 20 * 16 * 3 * 11);
}

#[test]
fn no_other_form_of_a_target_leads_out() {
    let site = with_ways_out();
    let outside = site.root().parent().unwrap().display().to_string();
    let server = Server::with(&site, &["-q"]);
    let deep = |step: &str| format!("/{}secret.txt", step.repeat(1200));
    let ends = [
        "", "/", "/.", "%00", "%00.txt", "%20", ".", "::$DATA", "~", "%0a",
    ];
    let of_name = ends.iter().flat_map(|end| {
        [
            format!("/../secret.txt{end}"),
            format!("/out/secret.txt{end}"),
            format!("/secret{end}"),
            format!("/absolute/secret.txt{end}"),
            format!("/twice/secret.txt{end}"),
            format!("/proc/etc/passwd{end}"),
            format!("/etc/passwd{end}"),
            format!("{outside}/secret.txt{end}"),
            format!("/{outside}/secret.txt{end}"),
            format!("http://{outside}/secret.txt{end}"),
            format!("file://{outside}/secret.txt{end}"),
        ]
    });
    let others = [
        deep("../"),
        deep("%2e%2e/"),
        deep("..\\"),
        deep("x/../../"),
        deep("./"),
        format!("/{}/../../secret.txt", "x".repeat(4000)),
        "secret.txt".to_owned(),
        "../secret.txt".to_owned(),
        "..".to_owned(),
        "?/../secret.txt".to_owned(),
        "#/../secret.txt".to_owned(),
        "*".to_owned(),
        "http:../secret.txt".to_owned(),
        "http:///../secret.txt".to_owned(),
        "http://../secret.txt".to_owned(),
        "http://test\\..\\..\\secret.txt".to_owned(),
        "/proc/self/environ".to_owned(),
        "/proc/self/cwd/secret.txt".to_owned(),
        "/dev/fd/3".to_owned(),
    ];
    assert_nothing_is_had(&server, of_name.chain(others));
    // Bytes that are no text, and those that end a string in C.
    for target in [
        &b"/\xc0\xae\xc0\xae/secret.txt"[..],
        b"/..\xc0\xafsecret.txt",
        b"/\xff/../../secret.txt",
        b"/..\0/secret.txt",
        b"/../secret.txt\0.html",
        b"/..\t/secret.txt",
        b"/../secret.txt\x0b",
    ] {
        let request = [b"GET ", target, b" HTTP/1.1\r\nHost: test\r\n\r\n"].concat();
        assert_nothing(&server.ask(request), &target.escape_ascii().to_string());
    }
}

#[test]
fn nothing_beside_a_single_file_is_served() {
    let site = with_ways_out();
    site.file("beside.txt", "SECRET");
    let file = site.at("hello.txt");
    let server = Server::spawn(command(&[
        "0",
        "-q",
        "-b",
        "127.0.0.1",
        "-d",
        file.to_str().unwrap(),
    ]));
    assert_eq!(server.get("/hello.txt").body, b"Hello, world!\n");
    let goals = &[
        (1, "beside.txt"),
        (1, "site/beside.txt"),
        (2, "dir/file.txt"),
    ];
    let straight = [
        "/beside.txt",
        "/secret",
        "/dir/",
        "/./beside.txt",
        "/hello.txt/../beside.txt",
    ];
    let straight = straight.map(str::to_owned).into_iter();
    assert_nothing_is_had(&server, straight.chain(traversals(goals).step_by(5)));
}

fn serving_file(file: &Path) -> Server {
    let options = ["0", "-b", "127.0.0.1", "-d", file.to_str().unwrap()];
    Server::spawn(command(&options))
}

#[test]
fn a_single_file_that_is_alone_may_be_replaced() {
    let site = Site::new();
    site.file("alone/file.txt", "first");
    let file = site.at("alone/file.txt");
    let server = serving_file(&file);
    assert_eq!(server.get("/").body, b"first");
    site.file("alone/new", "another");
    fs::rename(site.at("alone/new"), &file).unwrap();
    assert_eq!(server.get("/").body, b"another");
    fs::remove_file(&file).unwrap();
    assert_eq!(server.get("/").status(), 404);
    site.file("alone/page.html", "<p>A page</p>")
        .link("alone/file.txt", "page.html");
    assert_eq!(server.get("/file.txt").body, b"<p>A page</p>");
}

#[test]
fn a_single_file_beside_others_may_be_rewritten_and_its_replacement_is_out_of_reach() {
    if !has_landlock() {
        return;
    }
    let site = Site::new();
    let file = site.at("hello.txt");
    site.link("link", "hello.txt");
    for name in ["hello.txt", "link"] {
        site.file("hello.txt", "first");
        let server = serving_file(&site.at(name));
        assert_eq!(server.get("/").body, b"first");
        fs::write(&file, "rewritten").unwrap();
        assert_eq!(server.get("/").body, b"rewritten");
        site.file("new", "another");
        fs::rename(site.at("new"), &file).unwrap();
        let reply = server.get("/");
        assert_eq!(reply.status(), 503);
        assert!(reply.text().contains("It has to be restarted."));
        wait_until("the log says so", || {
            server.log().contains(": restart the server\n")
        });
        // A file whose permissions are missing is another matter.
        if !geteuid().is_root() {
            fs::set_permissions(&file, fs::Permissions::from_mode(0o0)).unwrap();
            assert_eq!(server.get("/").status(), 403);
        }
    }
}

#[test]
fn a_directory_is_served_by_any_path_to_it() {
    let site = Site::new();
    site.directory("a/b/c").link("a/up", "..");
    for path in [
        "../../..",
        "../../../",
        "../../../a/..",
        "../../../a/up",
        ".././../..",
    ] {
        let mut command = command(&["0", "-b", "127.0.0.1", "-d", path]);
        command.current_dir(site.at("a/b/c"));
        let server = Server::spawn(command);
        assert_eq!(server.get("/hello.txt").text(), "Hello, world!\n", "{path}");
    }
}

#[test]
fn a_directory_that_takes_the_name_is_served_confined_or_not() {
    let site = Site::new();
    let server = Server::start(&site);
    fs::rename(site.root(), site.root().with_file_name("moved")).unwrap();
    assert_eq!(server.get("/hello.txt").status(), 404);
    fs::create_dir(site.root()).unwrap();
    site.file("hello.txt", "another");
    assert_eq!(server.get("/hello.txt").body, b"another");
    assert_eq!(server.get("/dir/").status(), 404);
}

/// What was read through a directory that changes places with a link to the outside, again and again.
#[derive(Debug, Default)]
struct Seen {
    inside: usize,
    missing: usize,
    secret: usize,
}

impl Seen {
    /// Whether both states were seen often enough.
    fn is_enough(&self) -> bool {
        self.inside >= 200 && self.missing + self.secret >= 200
    }
}

/// Has several clients read through `swap` while it changes places with a link to `target`.
fn race(server: &Server, site: &Site, target: &Path) -> Seen {
    const MOST: usize = 100_000;
    site.file("swap/deep/file.txt", "inside");
    symlink(target, site.at("link")).unwrap();
    let is_over = AtomicBool::new(false);
    let address = server.address();
    let read = |path: &str| {
        let mut client = Client::connect(address);
        let mut seen = Seen::default();
        for _ in 0..MOST {
            let reply = client.get(path);
            match (reply.status(), reply.text()) {
                (200, "inside") => seen.inside += 1,
                (200, text) if text.contains("SECRET") => seen.secret += 1,
                // The listing of either directory: its names tell which.
                (200, text) if text.contains("href=\"outside.txt\"") => seen.secret += 1,
                (200, text) if text.contains("href=\"file.txt\"") => seen.inside += 1,
                (404, _) => seen.missing += 1,
                // So many renames in a row that the kernel gives up: nothing was opened.
                (503, _) => seen.missing += 1,
                (status, text) => panic!("{status}: {text}"),
            }
            if seen.is_enough() {
                break;
            }
        }
        seen
    };
    thread::scope(|scope| {
        let swapping = scope.spawn(|| {
            let (swap, link) = (site.at("swap"), site.at("link"));
            while !is_over.load(Ordering::Relaxed) {
                renameat_with(CWD, &swap, CWD, &link, RenameFlags::EXCHANGE).unwrap();
            }
        });
        let paths = [
            "/swap/deep/file.txt",
            "/swap/deep/",
            "/swap/deep/../deep/file.txt",
        ];
        let reading: Vec<_> = paths
            .into_iter()
            .map(|path| scope.spawn(|| read(path)))
            .collect();
        let mut all = Vec::new();
        for thread in reading {
            all.push(thread.join());
        }
        // Before anything may fail, or the swapping would never end.
        is_over.store(true, Ordering::Relaxed);
        swapping.join().unwrap();
        let mut sum = Seen::default();
        for seen in all {
            let seen = seen.unwrap();
            assert!(seen.is_enough(), "both states are to be seen: {seen:?}");
            sum.inside += seen.inside;
            sum.missing += seen.missing;
            sum.secret += seen.secret;
        }
        sum
    })
}

/// A site, and a directory outside of it with the same names and a secret.
fn with_a_twin() -> (Site, PathBuf) {
    let site = Site::new();
    let outside = site.root().with_file_name("outside");
    fs::create_dir_all(outside.join("deep")).unwrap();
    fs::write(outside.join("deep/file.txt"), "SECRET\n").unwrap();
    fs::write(outside.join("deep/outside.txt"), "SECRET\n").unwrap();
    (site, outside)
}

#[test]
fn a_directory_that_is_swapped_for_a_link_while_it_is_read_leads_nowhere() {
    for is_absolute in [false, true] {
        let (site, outside) = with_a_twin();
        let server = Server::with(&site, &["-q"]);
        let target = if is_absolute {
            &outside
        } else {
            Path::new("../outside")
        };
        let seen = race(&server, &site, target);
        assert_eq!(seen.secret, 0, "{seen:?}");
    }
}

/// The race is one: whoever follows links loses it.
#[test]
fn who_follows_links_sees_what_a_swapped_directory_leads_to() {
    let (site, _) = with_a_twin();
    let server = Server::with(&site, &["-q", "--follow-symlinks"]);
    let seen = race(&server, &site, Path::new("../outside"));
    assert!(seen.secret > 0, "{seen:?}");
}

#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
mod older {
    //! Kernels and containers that have less: a filter of system calls plays them.

    use linux_raw_sys::general::*;
    use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, apply_filter};

    use super::*;

    const EPERM: u32 = 1;
    const ENOSYS: u32 = 38;

    /// Runs `start` in a thread, and in processes, that are refused `calls` with `errno`.
    fn without<T: Send>(calls: &[u32], errno: u32, start: impl FnOnce() -> T + Send) -> T {
        let rules = calls.iter().map(|call| (i64::from(*call), Vec::new()));
        let filter = SeccompFilter::new(
            rules.collect(),
            SeccompAction::Allow,
            SeccompAction::Errno(errno),
            std::env::consts::ARCH.try_into().unwrap(),
        );
        let filter = BpfProgram::try_from(filter.unwrap()).unwrap();
        thread::scope(|scope| {
            let started = scope.spawn(move || {
                apply_filter(&filter).unwrap();
                start()
            });
            started.join().unwrap()
        })
    }

    /// The lines on standard error that are not for root.
    fn warnings(server: &Server) -> Vec<String> {
        let log = server.log_with_warnings();
        let lines = log.lines().filter(|line| !line.contains("serving as root"));
        lines.map(str::to_owned).collect()
    }

    #[test]
    fn an_old_kernel_costs_a_warning_and_nothing_else() {
        let calls = [__NR_landlock_create_ruleset];
        let mut server = without(&calls, ENOSYS, || {
            Server::with(&Site::new(), &["--report", "-q"])
        });
        assert_eq!(
            warnings(&server),
            ["httpoll: not confined by Landlock (not offered by this kernel)"]
        );
        assert_eq!(server.get("/hello.txt").status(), 200);
        assert_eq!(server.get("/../secret.txt").status(), 404);
        server.signal(Signal::TERM);
        assert_eq!(server.wait().code(), Some(0));
        let line = "confinement     no new privileges, seccomp, without Landlock (not offered by this kernel)\n";
        assert!(server.log().contains(line), "{}", server.log());
    }

    #[test]
    fn a_container_that_forbids_confinement_costs_a_warning_and_nothing_else() {
        let calls = [__NR_landlock_restrict_self, __NR_seccomp];
        let server = without(&calls, EPERM, || Server::with(&Site::new(), &["-q"]));
        let forbidden = "Operation not permitted (os error 1)";
        let expected =
            format!("httpoll: not confined by Landlock ({forbidden}), seccomp ({forbidden})");
        assert_eq!(warnings(&server), [expected]);
        assert_eq!(server.get("/hello.txt").status(), 200);
    }

    #[test]
    fn without_openat2_a_swapped_directory_leads_nowhere_either() {
        let (site, outside) = with_a_twin();
        let calls = [__NR_openat2, __NR_landlock_create_ruleset];
        let server = without(&calls, ENOSYS, || Server::with(&site, &["-q"]));
        let seen = race(&server, &site, &outside);
        assert_eq!(seen.secret, 0, "{seen:?}");
    }

    #[test]
    fn without_openat2_no_spelling_of_a_path_leads_out() {
        let site = with_ways_out();
        let server = without(&[__NR_openat2], ENOSYS, || Server::with(&site, &["-q"]));
        assert_nothing_is_had(&server, traversals(&[(1, "secret.txt")]).step_by(3));
    }
}

#[test]
fn a_confined_server_still_logs_into_a_pipe() {
    let (mut reader, writer) = std::io::pipe().unwrap();
    let site = Site::new();
    let root = site.root();
    let mut command = command(&[
        "0",
        "-b",
        "127.0.0.1",
        "-n",
        "2",
        "-d",
        root.to_str().unwrap(),
    ]);
    command.stderr(writer);
    let mut server = Server::spawn_with_stderr(command, PathBuf::new());
    // More than the pipe takes: only a descriptor of the server's own lets it not wait.
    let long = format!("/{}", "x".repeat(4000));
    let mut client = Client::connect(server.address());
    for _ in 0..200 {
        assert_eq!(client.get(&long).status(), 404);
    }
    server.signal(Signal::TERM);
    let mut log = String::new();
    reader.read_to_string(&mut log).unwrap();
    assert!(log.contains("\" 404 "), "{log}");
    assert_eq!(server.wait().code(), Some(0));
}

/// The user that tests become; `None` where they cannot.
fn nobody() -> Option<&'static str> {
    let users = fs::read_to_string("/etc/passwd").unwrap();
    if !geteuid().is_root() || !users.contains("nobody:x:65534:65534:") {
        skip("not run by root, or there is no user 'nobody'");
        return None;
    }
    Some("nobody")
}

#[test]
fn root_becomes_the_user_for_good() {
    let Some(user) = nobody() else { return };
    let site = Site::new();
    site.file("private.txt", "SECRET");
    fs::set_permissions(site.at("private.txt"), fs::Permissions::from_mode(0o600)).unwrap();
    let server = Server::with(&site, &["--user", user, "-n", "2"]);
    wait_until("both loops run", || status(&server, "Name:").len() == 2);
    assert_eq!(status(&server, "Uid:"), ["65534 65534 65534 65534"; 2]);
    assert_eq!(status(&server, "Gid:"), ["65534 65534 65534 65534"; 2]);
    assert_eq!(status(&server, "Groups:"), ["65534"; 2]);
    for capabilities in ["CapInh:", "CapPrm:", "CapEff:", "CapBnd:", "CapAmb:"] {
        assert_eq!(status(&server, capabilities), ["0000000000000000"; 2]);
    }
    // A process that may not be looked into by others of its user belongs to root there.
    let maps = fs::metadata(format!("/proc/{}/maps", server.id())).unwrap();
    assert_eq!(maps.uid(), 0);
    assert_eq!(server.get("/hello.txt").status(), 200);
    assert_eq!(server.get("/private.txt").status(), 403);
    assert_eq!(server.log_lines(2).len(), 2);
    let all = server.log_with_warnings();
    assert!(!all.contains("serving as root"), "{all}");
}

#[test]
fn a_directory_that_the_user_cannot_reach_is_not_served() {
    let Some(user) = nobody() else { return };
    let site = Site::new();
    site.file("private/site/file.txt", "SECRET");
    fs::set_permissions(site.at("private"), fs::Permissions::from_mode(0o700)).unwrap();
    let mut command = command(&["0", "-b", "127.0.0.1", "--user", user, "-d"]);
    command.arg(site.at("private/site"));
    let server = Server::spawn(command);
    assert_eq!(server.get("/file.txt").status(), 403);
    wait_until("the log says why", || {
        server.log().contains("cannot be served: Permission denied")
    });
}

#[test]
fn a_file_can_say_who_serves_and_a_pipe_takes_the_log() {
    let Some(user) = nobody() else { return };
    let site = Site::new();
    let (mut reader, writer) = std::io::pipe().unwrap();
    site.file(
        "httpoll.conf",
        format!("user {user}\nbind 127.0.0.1\nport 0\n"),
    );
    let mut command = command(&["-c", site.at("httpoll.conf").to_str().unwrap(), "-d"]);
    command.arg(site.root()).stderr(writer);
    let mut server = Server::spawn_with_stderr(command, PathBuf::new());
    assert_eq!(status(&server, "Uid:"), ["65534 65534 65534 65534"]);
    assert_eq!(server.get("/hello.txt").status(), 200);
    server.signal(Signal::TERM);
    server.wait();
    let mut log = String::new();
    reader.read_to_string(&mut log).unwrap();
    assert!(
        log.contains("\"GET /hello.txt HTTP/1.1\" 200 14\n"),
        "{log}"
    );
}

#[test]
fn root_is_warned_in_one_line() {
    if !geteuid().is_root() {
        return skip("not run by root");
    }
    let server = Server::start(&Site::new());
    let log = server.log_with_warnings();
    let warning = "httpoll: serving as root; --user NAME gives that up once the port is open\n";
    assert_eq!(log.matches(warning).count(), 1, "{log}");
}

#[test]
fn who_is_not_root_is_not_warned() {
    let site = Site::new();
    let root = site.root();
    let Some(command) = unprivileged(&["0", "-b", "127.0.0.1", "-d", root.to_str().unwrap()])
    else {
        return;
    };
    let server = Server::spawn(command);
    assert_eq!(server.get("/hello.txt").status(), 200);
    let log = server.log_with_warnings();
    assert!(!log.contains("root"), "{log}");
}

#[test]
fn a_user_that_cannot_be_is_said_in_words() {
    let fails = |output: std::process::Output, words: &str| {
        let message = str::from_utf8(&output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{message}");
        assert_eq!(message.matches('\n').count(), 1, "{message}");
        assert!(message.contains(words), "no {words:?} in {message:?}");
    };
    let options = |user| ["0", "-b", "127.0.0.1", "--user", user];
    if geteuid().is_root() {
        fails(
            run(&options("no-such\nuser")),
            "no such user: no-such\\nuser",
        );
        fails(run(&options("")), "no such user");
        fails(run(&options("root")), "--user root would stay root");
    }
    if let Some(command) = unprivileged(&options("nobody")) {
        fails(run_command(command), "only root can become nobody");
    }
}
