//! No request leads out of the served directory: in no spelling of the target, and not while directories become links.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use crate::support::{Client, Reply, Server, Site, exchange, request};

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

/// Beginnings of a target.
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

/// Asserts that a reply has nothing from outside of the directory, and no success either.
#[track_caller]
fn assert_refused(reply: &Reply, target: &str) {
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

/// Asserts [`assert_refused`] for each target, on as few connections as the server allows; returns the number of targets.
pub(crate) fn assert_all_refused(server: &Server, targets: impl Iterator<Item = String>) -> usize {
    let targets: Vec<_> = targets.collect();
    let mut client = server.connect();
    for batch in targets.chunks(64) {
        let mut rest = batch;
        while !rest.is_empty() {
            let requests = rest.iter().map(|target| request("GET", target, &[]));
            client.send(requests.collect::<String>());
            while let Some((target, others)) = rest.split_first() {
                let reply = client.read_reply();
                assert_refused(&reply, target);
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

/// Targets that lead from each beginning by the given number of steps upwards, in each spelling, to each goal.
pub(crate) fn traversals(goals: &'static [(usize, &'static str)]) -> impl Iterator<Item = String> {
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

/// A site with links that lead out of it.
pub(crate) fn site_with_links_out() -> Site {
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
    let server = Server::with(&site_with_links_out(), &["-q", "--dotfiles"]);
    let goals = &[(1, "secret.txt"), (2, "secret.txt"), (9, "etc/passwd")];
    let count = assert_all_refused(&server, traversals(goals));
    assert_eq!(count, 20 * 16 * 3 * 11);
}

#[test]
fn no_other_form_of_a_target_leads_out() {
    let site = site_with_links_out();
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
    assert_all_refused(&server, of_name.chain(others));
    // Bytes that are not UTF-8, and bytes that end a string in C.
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
        assert_refused(&server.ask(request), &target.escape_ascii().to_string());
    }
}

#[test]
fn nothing_beside_a_single_file_is_served() {
    let site = site_with_links_out();
    site.file("beside.txt", "SECRET");
    let server = Server::of_path(&site.at("hello.txt"), &["-q"]);
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
    assert_all_refused(&server, straight.chain(traversals(goals).step_by(5)));
}

/// How often each state was read through a directory that is exchanged with a link to the outside, again and again.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    inside: usize,
    missing: usize,
    pub(crate) secret: usize,
}

impl Counts {
    /// Whether both states were seen often enough.
    fn is_enough(&self) -> bool {
        self.inside >= 200 && self.missing + self.secret >= 200
    }
}

/// Reads `path` until both states were seen often enough, and not without end.
fn read_often(server: SocketAddr, path: &str) -> Counts {
    const MOST: usize = 100_000;
    let mut client = Client::connect(server);
    let mut seen = Counts::default();
    for _ in 0..MOST {
        let reply = client.get(path);
        match (reply.status(), reply.text()) {
            (200, "inside") => seen.inside += 1,
            (200, text) if text.contains("SECRET") => seen.secret += 1,
            // A listing shows by its names which directory it is of.
            (200, text) if text.contains("href=\"outside.txt\"") => seen.secret += 1,
            (200, text) if text.contains("href=\"file.txt\"") => seen.inside += 1,
            (404, _) => seen.missing += 1,
            // The kernel gives up after several renames in a row; nothing was opened.
            (503, _) => seen.missing += 1,
            (status, text) => panic!("{status}: {text}"),
        }
        if seen.is_enough() {
            break;
        }
    }
    seen
}

/// Lets several clients read through `swap` while it is exchanged with a link to `target`.
pub(crate) fn race(server: &Server, site: &Site, target: &Path) -> Counts {
    site.file("swap/deep/file.txt", "inside");
    symlink(target, site.at("link")).unwrap();
    let is_over = AtomicBool::new(false);
    let address = server.address();
    thread::scope(|scope| {
        let swapping = scope.spawn(|| {
            let (swap, link) = (site.at("swap"), site.at("link"));
            while !is_over.load(Ordering::Relaxed) {
                exchange(&swap, &link);
            }
        });
        let paths = [
            "/swap/deep/file.txt",
            "/swap/deep/",
            "/swap/deep/../deep/file.txt",
        ];
        let reading: Vec<_> = paths
            .into_iter()
            .map(|path| scope.spawn(move || read_often(address, path)))
            .collect();
        let mut all = Vec::new();
        for thread in reading {
            all.push(thread.join());
        }
        // The swapping ends only by this, so no assertion comes before it.
        is_over.store(true, Ordering::Relaxed);
        swapping.join().unwrap();
        let mut sum = Counts::default();
        for seen in all {
            let seen = seen.unwrap();
            assert!(seen.is_enough(), "one state was seen too seldom: {seen:?}");
            sum.inside += seen.inside;
            sum.missing += seen.missing;
            sum.secret += seen.secret;
        }
        sum
    })
}

/// A site, and a directory outside of it that has the same names and a secret.
pub(crate) fn site_with_twin() -> (Site, PathBuf) {
    let site = Site::new();
    let outside = site.root().with_file_name("outside");
    fs::create_dir_all(outside.join("deep")).unwrap();
    fs::write(outside.join("deep/file.txt"), "SECRET\n").unwrap();
    fs::write(outside.join("deep/outside.txt"), "SECRET\n").unwrap();
    (site, outside)
}

#[test]
fn a_directory_swapped_for_a_link_leads_nowhere() {
    for is_absolute in [false, true] {
        let (site, outside) = site_with_twin();
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

/// This shows that the race happens: a server that follows links loses it.
#[test]
fn follow_symlinks_follows_a_swapped_directory() {
    let (site, _) = site_with_twin();
    let server = Server::with(&site, &["-q", "--follow-symlinks"]);
    let seen = race(&server, &site, Path::new("../outside"));
    assert!(seen.secret > 0, "{seen:?}");
}
