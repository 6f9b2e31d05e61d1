//! The confinement of the program: what it gives up before it serves, and what it can still serve.

use std::fs;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use rustix::process::{Signal, geteuid};

use crate::common;
use crate::support::{Client, Server, Site, command, skip, wait_until};
use crate::traversal::{assert_all_refused, race, site_with_links_out, site_with_twin, traversals};

pub(crate) fn has_landlock() -> bool {
    let is_available = common::has_landlock();
    if !is_available {
        skip("this kernel has no Landlock, or a container forbids it");
    }
    is_available
}

/// The value that the kernel reports under `key` for each thread of the server.
pub(crate) fn status(server: &Server, key: &str) -> Vec<String> {
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
fn the_report_names_the_confinement_in_force() {
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
    let server = Server::with(&Site::new(), &["-n", "3", "--file-threads", "2"]);
    wait_until("all threads run", || status(&server, "Name:").len() == 5);
    assert_eq!(status(&server, "NoNewPrivs:"), ["1"; 5]);
    assert_eq!(status(&server, "Seccomp:"), ["2"; 5]);
}

/// The names of the threads for files, sorted.
fn file_threads(server: &Server) -> Vec<String> {
    let mut names = status(server, "Name:");
    names.retain(|name| name.starts_with("httpoll-file-"));
    names.sort();
    names
}

#[test]
fn four_confined_threads_look_up_files_unless_others_are_asked_for() {
    let site = Site::new();
    for (options, count) in [
        (vec![], 4),
        (vec!["-n", "2"], 4),
        (vec!["--file-threads", "1"], 1),
        (vec!["--file-threads", "0"], 0),
    ] {
        let server = Server::with(&site, &options);
        // The threads start before the first reply.
        assert_eq!(server.get("/hello.txt").status(), 200);
        let expected: Vec<_> = (0..count).map(|n| format!("httpoll-file-{n}")).collect();
        wait_until("the threads have their names", || {
            file_threads(&server) == expected
        });
    }
}

#[test]
fn a_single_file_alone_in_its_directory_may_be_replaced() {
    let site = Site::new();
    site.file("alone/file.txt", "first");
    let file = site.at("alone/file.txt");
    let server = Server::of_path(&file, &[]);
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
fn a_single_file_beside_others_may_be_rewritten_but_not_replaced() {
    if !has_landlock() {
        return;
    }
    let site = Site::new();
    let file = site.at("hello.txt");
    site.link("link", "hello.txt");
    for name in ["hello.txt", "link"] {
        site.file("hello.txt", "first");
        let server = Server::of_path(&site.at(name), &[]);
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
        // A file without read permission is 403, not 503.
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
fn a_new_directory_of_the_same_name_is_served() {
    let site = Site::new();
    let server = Server::start(&site);
    fs::rename(site.root(), site.root().with_file_name("moved")).unwrap();
    assert_eq!(server.get("/hello.txt").status(), 404);
    fs::create_dir(site.root()).unwrap();
    site.file("hello.txt", "another");
    assert_eq!(server.get("/hello.txt").body, b"another");
    assert_eq!(server.get("/dir/").status(), 404);
}

#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
pub(crate) mod older {
    //! Kernels and containers without some system calls, imitated by a seccomp filter.

    use linux_raw_sys::general::*;
    use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, apply_filter};

    use std::thread;

    use super::*;

    const EPERM: u32 = 1;
    pub(crate) const ENOSYS: u32 = 38;

    /// Runs `start` in a thread in which `calls` fail with `errno`; the processes that it starts inherit that.
    pub(crate) fn with_refused_calls<T: Send>(
        calls: &[u32],
        errno: u32,
        start: impl FnOnce() -> T + Send,
    ) -> T {
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

    /// The lines on standard error, without the warning to root.
    fn warnings(server: &Server) -> Vec<String> {
        let log = server.log_with_warnings();
        let lines = log.lines().filter(|line| !line.contains("serving as root"));
        lines.map(str::to_owned).collect()
    }

    #[test]
    fn an_old_kernel_causes_only_a_warning() {
        let calls = [__NR_landlock_create_ruleset];
        let mut server = with_refused_calls(&calls, ENOSYS, || {
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
    fn a_container_that_forbids_confinement_causes_only_a_warning() {
        let calls = [__NR_landlock_restrict_self, __NR_seccomp];
        let server = with_refused_calls(&calls, EPERM, || Server::with(&Site::new(), &["-q"]));
        let forbidden = "Operation not permitted (os error 1)";
        let expected =
            format!("httpoll: not confined by Landlock ({forbidden}), seccomp ({forbidden})");
        assert_eq!(warnings(&server), [expected]);
        assert_eq!(server.get("/hello.txt").status(), 200);
    }

    #[test]
    fn a_swapped_directory_leads_nowhere_without_openat2() {
        let (site, outside) = site_with_twin();
        let calls = [__NR_openat2, __NR_landlock_create_ruleset];
        let server = with_refused_calls(&calls, ENOSYS, || Server::with(&site, &["-q"]));
        let seen = race(&server, &site, &outside);
        assert_eq!(seen.secret, 0, "{seen:?}");
    }

    #[test]
    fn no_spelling_of_a_path_leads_out_without_openat2() {
        let site = site_with_links_out();
        let server = with_refused_calls(&[__NR_openat2], ENOSYS, || Server::with(&site, &["-q"]));
        assert_all_refused(&server, traversals(&[(1, "secret.txt")]).step_by(3));
    }
}

#[test]
fn a_confined_server_logs_into_a_pipe() {
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
    // The pipe cannot take all of this. The server does not wait for it, because it opens the pipe anew as non-blocking.
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
