//! A server that keeps its replies, and clients that check what it serves.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;
use std::thread::sleep;

use crate::support::{Client, SETTLED, Server, command, wait_until};

/// With so many connections each of three loops has some.
const MANY: usize = 24;

/// Makes a directory with a file for each kind of reply that the server may keep; all contents are `mark`.
pub(super) fn fill(directory: &Path, mark: &str) {
    fs::create_dir_all(directory.join("sub")).unwrap();
    fs::create_dir_all(directory.join("docs")).unwrap();
    fs::write(directory.join("i"), mark).unwrap();
    fs::write(directory.join("sub/f"), mark).unwrap();
    fs::write(directory.join("docs/index.html"), mark).unwrap();
    fs::write(directory.join("large"), large(mark)).unwrap();
    fs::write(directory.join(format!("only-{mark}")), mark).unwrap();
}

fn large(mark: &str) -> String {
    mark.repeat(200_000 / mark.len())
}

pub(super) fn replace(directory: &Path, mark: &str) {
    fs::remove_dir_all(directory).unwrap();
    fill(directory, mark);
}

/// Points the symbolic link `at` to `target`, in one step.
pub(super) fn relink(target: &str, at: &Path) {
    let new = at.with_file_name("new-link");
    symlink(target, &new).unwrap();
    fs::rename(new, at).unwrap();
}

/// A server, and clients that have asked for each target until the server keeps the reply.
pub(super) struct WarmServer {
    pub(super) server: Server,
    pub(super) clients: Vec<Client>,
}

impl WarmServer {
    /// Starts a server for a directory that [`fill`] made with `mark`, and asks until the server keeps each reply.
    #[track_caller]
    pub(super) fn start(mut command: Command, mark: &str) -> Self {
        command.args(["0", "-b", "127.0.0.1"]);
        let mut warm = Self {
            server: Server::spawn(command),
            clients: Vec::new(),
        };
        warm.connect(1);
        warm.warm_up(mark);
        warm
    }

    #[track_caller]
    pub(super) fn directory(directory: &Path, mark: &str) -> Self {
        Self::start(command(&["-d", directory.to_str().unwrap()]), mark)
    }

    /// A server with three loops, and clients on each of them.
    #[track_caller]
    pub(super) fn directory_by_three_loops(directory: &Path, mark: &str) -> Self {
        let options = ["-n", "3", "-d", directory.to_str().unwrap()];
        let mut warm = Self::start(command(&options), mark);
        warm.connect(MANY);
        warm.warm_up(mark);
        warm
    }

    fn connect(&mut self, count: usize) {
        self.clients
            .extend((0..count).map(|_| self.server.connect()));
    }

    #[track_caller]
    pub(super) fn warm_up(&mut self, mark: &str) {
        sleep(SETTLED);
        for _ in 0..3 {
            self.assert_served(mark);
        }
    }

    /// Asserts that all replies have the content `mark`, on old connections and on new ones.
    #[track_caller]
    pub(super) fn assert_served(&mut self, mark: &str) {
        let count = self.clients.len();
        self.connect(count);
        for client in &mut self.clients {
            for target in ["/i", "/sub/f", "/docs/"] {
                let reply = client.get(target);
                assert_eq!((reply.status(), reply.text()), (200, mark), "{target}");
            }
            let reply = client.get("/large");
            assert_eq!(reply.status(), 200);
            assert!(reply.text() == large(mark), "not the large file of {mark}");
            for target in ["/", "/?format=json"] {
                let listing = client.get(target);
                assert_eq!(listing.status(), 200);
                let only = format!("only-{mark}");
                assert!(listing.text().contains(&only), "{target} without {only}");
                // The HTML page has a name twice, as link and text.
                let times = if target == "/" { 2 } else { 1 };
                assert_eq!(listing.text().matches("only-").count(), times, "{target}");
            }
            assert_eq!(client.get("/none").status(), 404);
        }
        self.clients.truncate(count);
    }

    /// Asserts that each target is 404, the directory included.
    #[track_caller]
    pub(super) fn assert_missing(&mut self) {
        let count = self.clients.len();
        self.connect(count);
        for client in &mut self.clients {
            let targets = ["/i", "/sub/f", "/docs/", "/large", "/?format=json", "/"];
            for target in targets {
                assert_eq!(client.get(target).status(), 404, "{target}");
            }
        }
        self.clients.truncate(count);
    }

    /// Asserts that the replies have the content `mark`, or, where the confinement does not allow the new directory, that the reply
    /// and the log say that the server has to be restarted.
    #[track_caller]
    pub(super) fn assert_served_or_out_of_reach(&mut self, mark: &str) {
        let reply = self.server.get("/i");
        if reply.status() != 503 {
            return self.assert_served(mark);
        }
        assert!(reply.text().contains("It has to be restarted."));
        assert_eq!(self.clients[0].get("/sub/f").status(), 503);
        wait_until("the log says so", || {
            self.server.log().contains(": restart the server\n")
        });
    }

    /// Whether the server has a deleted file open.
    pub(super) fn has_deleted_files_open(&self) -> bool {
        let descriptors = fs::read_dir(format!("/proc/{}/fd", self.server.id())).unwrap();
        let mut links = descriptors.filter_map(|entry| fs::read_link(entry.unwrap().path()).ok());
        links.any(|link| link.to_string_lossy().ends_with(" (deleted)"))
    }

    /// The lines on standard error that are about `path` and not about requests.
    pub(super) fn notices(&self, path: &Path) -> Vec<String> {
        let path = path.to_str().unwrap();
        let log = self.server.log();
        let lines = log.lines().filter(|line| line.contains(path));
        lines.map(str::to_owned).collect()
    }
}
