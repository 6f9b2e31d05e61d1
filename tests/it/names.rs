//! Names are resolved at each request: whatever the path of the served directory leads to now is served, kept replies or not.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::sleep;
use std::time::Duration;

use crate::support::{Client, Mount, Server, Site, command, wait_until};

/// Longer than a reply is not kept after a change.
const SETTLED: Duration = Duration::from_millis(120);
/// So many connections that each of three loops has some.
const MANY: usize = 24;

/// Makes a directory with each kind of reply that a server may keep; all of them say `mark`.
fn fill(directory: &Path, mark: &str) {
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

fn replace(directory: &Path, mark: &str) {
    fs::remove_dir_all(directory).unwrap();
    fill(directory, mark);
}

/// Makes the symbolic link `at` lead to `target`, in one step.
fn relink(target: &str, at: &Path) {
    let new = at.with_file_name("new-link");
    symlink(target, &new).unwrap();
    fs::rename(new, at).unwrap();
}

fn serve(path: &Path) -> Server {
    let path = path.to_str().unwrap();
    Server::spawn(command(&["0", "-b", "127.0.0.1", "-d", path]))
}

/// A server, and clients that have asked it for everything.
struct Visit {
    server: Server,
    clients: Vec<Client>,
}

impl Visit {
    /// Starts a server for what [`fill`] made with `mark`, and asks for all of it until the server keeps it.
    #[track_caller]
    fn start(mut command: Command, mark: &str) -> Self {
        command.args(["0", "-b", "127.0.0.1"]);
        let mut visit = Self {
            server: Server::spawn(command),
            clients: Vec::new(),
        };
        visit.meet(1);
        visit.warm(mark);
        visit
    }

    #[track_caller]
    fn directory(directory: &Path, mark: &str) -> Self {
        Self::start(command(&["-d", directory.to_str().unwrap()]), mark)
    }

    /// Three loops, and clients on all of them.
    #[track_caller]
    fn directory_by_three_loops(directory: &Path, mark: &str) -> Self {
        let options = ["-n", "3", "-d", directory.to_str().unwrap()];
        let mut visit = Self::start(command(&options), mark);
        visit.meet(MANY);
        visit.warm(mark);
        visit
    }

    fn meet(&mut self, count: usize) {
        self.clients
            .extend((0..count).map(|_| self.server.connect()));
    }

    #[track_caller]
    fn warm(&mut self, mark: &str) {
        sleep(SETTLED);
        for _ in 0..3 {
            self.sees(mark);
        }
    }

    /// Asserts that all replies are those of what was made with `mark`, on old connections and on new ones.
    #[track_caller]
    fn sees(&mut self, mark: &str) {
        let count = self.clients.len();
        self.meet(count);
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

    /// Asserts that there is nothing, not even a directory.
    #[track_caller]
    fn sees_nothing(&mut self) {
        let count = self.clients.len();
        self.meet(count);
        for client in &mut self.clients {
            let targets = ["/i", "/sub/f", "/docs/", "/large", "/?format=json", "/"];
            for target in targets {
                assert_eq!(client.get(target).status(), 404, "{target}");
            }
        }
        self.clients.truncate(count);
    }

    /// Asserts that the replies are those of what was made with `mark`; or, where the confinement of the server was made for
    /// another directory above, that it says so and that it has to be restarted.
    #[track_caller]
    fn sees_or_is_out_of_reach(&mut self, mark: &str) {
        let reply = self.server.get("/i");
        if reply.status() != 503 {
            return self.sees(mark);
        }
        assert!(reply.text().contains("It has to be restarted."));
        assert_eq!(self.clients[0].get("/sub/f").status(), 503);
        wait_until("the log says so", || {
            self.server.log().contains(": restart the server\n")
        });
    }

    /// Whether the server has a deleted file open.
    fn keeps_deleted_files(&self) -> bool {
        let descriptors = fs::read_dir(format!("/proc/{}/fd", self.server.id())).unwrap();
        let mut links = descriptors.filter_map(|entry| fs::read_link(entry.unwrap().path()).ok());
        links.any(|link| link.to_string_lossy().ends_with(" (deleted)"))
    }

    /// The lines on standard error that are about `path` and not about requests.
    fn notices(&self, path: &Path) -> Vec<String> {
        let path = path.to_str().unwrap();
        let log = self.server.log();
        let lines = log.lines().filter(|line| line.contains(path));
        lines.map(str::to_owned).collect()
    }
}

#[test]
fn a_served_directory_that_is_made_anew_is_served() {
    let site = Site::empty();
    fill(&site.root(), "1");
    let mut visit = Visit::directory(&site.root(), "1");
    for mark in ["2", "3", "4"] {
        replace(&site.root(), mark);
        visit.warm(mark);
    }
}

#[test]
fn a_served_directory_that_is_made_anew_is_served_by_all_loops() {
    let site = Site::empty();
    fill(&site.root(), "1");
    let mut visit = Visit::directory_by_three_loops(&site.root(), "1");
    for mark in ["2", "3"] {
        replace(&site.root(), mark);
        visit.warm(mark);
    }
}

#[test]
fn a_served_directory_that_is_renamed_makes_way_for_another() {
    let site = Site::empty();
    fill(&site.root(), "1");
    fill(&site.beside("new"), "2");
    let mut visit = Visit::directory(&site.root(), "1");
    fs::rename(site.root(), site.beside("old")).unwrap();
    visit.sees_nothing();
    fs::rename(site.beside("new"), site.root()).unwrap();
    visit.warm("2");
    fs::remove_dir_all(site.root()).unwrap();
    fs::rename(site.beside("old"), site.root()).unwrap();
    visit.sees("1");
}

#[test]
fn a_link_that_is_served_is_followed_to_where_it_leads_now() {
    let site = Site::empty();
    let (first, second) = (site.beside("r1"), site.beside("r2"));
    fill(&first, "1");
    fill(&second, "2");
    let current = site.beside("cur");
    symlink("r1", &current).unwrap();
    let mut visit = Visit::directory(&current, "1");
    for (target, mark) in [("r2", "2"), ("r1", "1"), ("r2", "2")] {
        relink(target, &current);
        visit.warm(mark);
    }
    fs::remove_file(&current).unwrap();
    visit.sees_nothing();
    symlink(&first, &current).unwrap();
    visit.sees("1");
}

#[test]
fn a_link_that_is_served_is_followed_by_all_loops() {
    let site = Site::empty();
    fill(&site.beside("r1"), "1");
    fill(&site.beside("r2"), "2");
    let current = site.beside("cur");
    symlink("r1", &current).unwrap();
    let mut visit = Visit::directory_by_three_loops(&current, "1");
    for (target, mark) in [("r2", "2"), ("r1", "1")] {
        relink(target, &current);
        visit.warm(mark);
    }
}

#[test]
fn what_a_link_that_is_served_leads_to_can_be_made_anew() {
    let site = Site::empty();
    fill(&site.beside("r1"), "1");
    symlink("r1", site.beside("cur")).unwrap();
    let mut visit = Visit::directory(&site.beside("cur"), "1");
    replace(&site.beside("r1"), "2");
    visit.sees("2");
}

#[test]
fn a_link_in_the_middle_of_the_path_is_followed_to_where_it_leads_now() {
    let site = Site::empty();
    fill(&site.beside("r1/public/html"), "1");
    fill(&site.beside("r2/public/html"), "2");
    let current = site.beside("cur");
    symlink("r1", &current).unwrap();
    let mut visit = Visit::directory(&current.join("public/html"), "1");
    for (target, mark) in [("r2", "2"), ("r1", "1")] {
        relink(target, &current);
        visit.warm(mark);
    }
}

#[test]
fn a_directory_above_the_served_one_can_be_exchanged() {
    let site = Site::empty();
    for depth in ["a", "a/b"] {
        fill(&site.at("a/b/p"), "1");
        let mut visit = Visit::directory(&site.at("a/b/p"), "1");
        fs::rename(site.at(depth), site.at("old")).unwrap();
        visit.sees_nothing();
        fill(&site.at("new/b/p"), "2");
        fill(&site.at("new/p"), "2");
        fs::rename(site.at("new"), site.at(depth)).unwrap();
        visit.sees_or_is_out_of_reach("2");
        fs::remove_dir_all(site.root()).unwrap();
        visit.sees_nothing();
    }
}

#[test]
fn a_relative_name_is_followed() {
    let site = Site::empty();
    fill(&site.root(), "1");
    let mut command = command(&["-d", "site"]);
    command.current_dir(site.beside(""));
    let mut visit = Visit::start(command, "1");
    replace(&site.root(), "2");
    visit.warm("2");
    fs::rename(site.root(), site.beside("r3")).unwrap();
    visit.sees_nothing();
    symlink("r3", site.root()).unwrap();
    visit.sees("2");
}

/// A server that was given no directory, started in `directory` by a shell that knows it as `pwd`.
fn in_working_directory(directory: &Path, pwd: &Path) -> Command {
    let mut command = command(&[]);
    command.current_dir(directory).env("PWD", pwd);
    command
}

#[test]
fn the_working_directory_has_the_name_that_the_shell_knows() {
    let site = Site::empty();
    fill(&site.beside("r1"), "1");
    fill(&site.beside("r2"), "2");
    let current = site.beside("cur");
    symlink("r1", &current).unwrap();
    let mut visit = Visit::start(in_working_directory(&current, &current), "1");
    relink("r2", &current);
    visit.sees("2");
}

#[test]
fn the_working_directory_has_its_true_name_where_the_shell_is_wrong() {
    for lie in ["other", "missing", "."] {
        let site = Site::empty();
        fill(&site.root(), "1");
        fill(&site.beside("other"), "other");
        let pwd = match lie {
            "." => PathBuf::from("."),
            name => site.beside(name),
        };
        let mut visit = Visit::start(in_working_directory(&site.root(), &pwd), "1");
        replace(&site.root(), "2");
        visit.sees("2");
    }
}

#[test]
fn a_served_directory_that_is_gone_is_logged_once_and_served_again() {
    let site = Site::empty();
    fill(&site.root(), "1");
    let mut visit = Visit::directory(&site.root(), "1");
    assert!(visit.notices(&site.root()).is_empty());
    for round in 0..2 {
        fs::remove_dir_all(site.root()).unwrap();
        for _ in 0..3 {
            visit.sees_nothing();
        }
        wait_until("its absence is logged", || {
            visit.notices(&site.root()).len() > 2 * round
        });
        fs::create_dir(site.root()).unwrap();
        assert_eq!(visit.server.get("/").status(), 200);
        assert_eq!(visit.server.get("/i").status(), 404);
        fill(&site.root(), "2");
        visit.warm("2");
        wait_until("its return is logged", || {
            visit.notices(&site.root()).len() > 2 * round + 1
        });
    }
    let notices = visit.notices(&site.root());
    assert_eq!(notices.len(), 4, "{notices:#?}");
}

/// The kernel reports the end of such a directory to its own watch only when it is closed.
#[test]
fn a_directory_that_is_deleted_while_a_program_has_it_open_is_gone() {
    let site = Site::empty();
    fs::create_dir_all(site.at("sub/deep")).unwrap();
    let server = Server::start(&site);
    let mut client = server.connect();
    let open: Vec<_> = ["", "sub", "sub/deep"]
        .map(|path| fs::File::open(site.at(path)).unwrap())
        .into();
    for _ in 0..3 {
        assert_eq!(client.get("/sub/deep/f").status(), 404);
    }
    fs::remove_dir(site.at("sub/deep")).unwrap();
    site.file("sub/deep/f", "1");
    assert_eq!(client.get("/sub/deep/f").text(), "1");
    for _ in 0..3 {
        assert_eq!(client.get("/sub/deep/g").status(), 404);
    }
    fs::remove_dir_all(site.root()).unwrap();
    site.file("sub/deep/g", "2");
    assert_eq!(client.get("/sub/deep/g").text(), "2");
    drop(open);
}

#[test]
fn a_directory_that_moved_out_is_not_served_through_a_link_to_it() {
    let site = Site::empty();
    fill(&site.root(), "1");
    fs::create_dir(site.beside("out")).unwrap();
    let mut visit = Visit::directory(&site.root(), "1");
    fs::rename(site.at("sub"), site.beside("out/sub")).unwrap();
    symlink("../out/sub", site.at("sub")).unwrap();
    for client in [&mut visit.server.connect(), &mut visit.clients[0]] {
        for target in ["/sub/f", "/sub/"] {
            assert_eq!(client.get(target).status(), 404, "{target}");
        }
    }
}

#[test]
fn a_link_to_nowhere_is_followed_once_it_leads_somewhere() {
    let site = Site::empty();
    fill(&site.beside("r1"), "1");
    let current = site.beside("cur");
    symlink("r1", &current).unwrap();
    let mut visit = Visit::directory(&current, "1");
    relink("r2", &current);
    visit.sees_nothing();
    fill(&site.beside("r2"), "2");
    visit.sees("2");
}

#[test]
fn a_directory_that_is_gone_is_noted_once_by_all_loops_together() {
    let site = Site::empty();
    fill(&site.root(), "1");
    let mut visit = Visit::directory_by_three_loops(&site.root(), "1");
    fs::remove_dir_all(site.root()).unwrap();
    for _ in 0..3 {
        visit.sees_nothing();
    }
    fill(&site.root(), "2");
    visit.warm("2");
    wait_until("its return is logged", || {
        visit.notices(&site.root()).len() > 1
    });
    let notices = visit.notices(&site.root());
    assert_eq!(notices.len(), 2, "{notices:#?}");
}

#[test]
fn a_file_system_mounted_over_the_served_directory_is_served() {
    for above in ["p", "", "p/sub"] {
        let site = Site::empty();
        fill(&site.at("p"), "1");
        let mut visit = Visit::directory(&site.at("p"), "1");
        for _ in 0..2 {
            let Some(mount) = Mount::tmpfs(&site.at(above)) else {
                return;
            };
            assert_eq!(visit.server.get("/sub/f").status(), 404, "below {above:?}");
            match above {
                "" => visit.sees_nothing(),
                "p" => assert_eq!(visit.clients[0].get("/?format=json").text().trim(), "[]"),
                _ => assert_eq!(visit.clients[0].get("/sub/f").status(), 404),
            }
            if above == "p/sub" {
                fs::write(site.at("p/sub/f"), "2").unwrap();
                sleep(SETTLED);
                for _ in 0..3 {
                    assert_eq!(visit.clients[0].get("/sub/f").text(), "2");
                }
            } else {
                fill(&site.at("p"), "2");
                visit.sees_or_is_out_of_reach("2");
            }
            mount.detach();
            visit.warm("1");
        }
    }
}

#[test]
fn a_served_file_system_can_be_unmounted() {
    // Served itself, from within, and from above.
    for served in ["site", "site/sub", ""] {
        let site = Site::empty();
        let Some(mount) = Mount::tmpfs(&site.root()) else {
            return;
        };
        fill(&site.root(), "1");
        let server = serve(&site.beside(served));
        let mut client = server.connect();
        for _ in 0..3 {
            for target in ["/", "/none", "/i", "/large", "/f", "/site/", "/site/large"] {
                client.get(target);
            }
        }
        // The client is still there, and asks for nothing.
        wait_until("the file system is free", || mount.unmount());
    }
}

#[test]
fn a_fuse_file_system_is_served_again_after_its_end() {
    let site = Site::empty();
    fill(&site.beside("source"), "1");
    let Some(mut mount) = Mount::bindfs(&site.beside("source"), &site.root()) else {
        return;
    };
    let mut visit = Visit::directory(&site.root(), "1");
    mount.kill_daemon();
    assert_ne!(visit.server.get("/i").status(), 200);
    drop(mount);
    fill(&site.beside("other"), "2");
    let _mount = Mount::bindfs(&site.beside("other"), &site.root()).unwrap();
    visit.sees("2");
}

#[test]
fn the_room_of_a_deleted_file_is_given_back() {
    let site = Site::empty();
    fill(&site.root(), "1");
    fs::write(site.at("huge"), vec![b'x'; 8 << 20]).unwrap();
    let mut visit = Visit::directory(&site.root(), "1");
    for _ in 0..3 {
        assert_eq!(visit.clients[0].get("/huge").body.len(), 8 << 20);
    }
    for name in ["huge", "large", "i"] {
        fs::remove_file(site.at(name)).unwrap();
    }
    fs::remove_dir_all(site.at("sub")).unwrap();
    wait_until("nothing deleted is open", || !visit.keeps_deleted_files());
}

#[test]
fn the_room_of_a_deleted_directory_is_given_back() {
    let site = Site::empty();
    fill(&site.root(), "1");
    let mut visit = Visit::directory(&site.root(), "1");
    fs::remove_dir_all(site.root()).unwrap();
    wait_until("nothing deleted is open", || !visit.keeps_deleted_files());
    visit.sees_nothing();
}

/// Asserts that a server of one file gives `content` at `/` and at its name, or 404 for both.
#[track_caller]
fn one_file_is(server: &Server, client: &mut Client, content: Option<&str>) {
    for client in [client, &mut server.connect()] {
        for target in ["/", "/f"] {
            let reply = client.get(target);
            match content {
                Some(content) => assert_eq!((reply.status(), reply.text()), (200, content)),
                None => assert_eq!(reply.status(), 404),
            }
        }
    }
}

#[test]
fn a_single_file_is_what_its_name_leads_to() {
    let site = Site::empty();
    site.file("a/f", "1").file("b/f", "of b");
    let file = site.at("a/f");
    let server = serve(&file);
    let mut client = server.connect();
    let mut is = |content: Option<&str>| {
        sleep(SETTLED);
        for _ in 0..3 {
            one_file_is(&server, &mut client, content);
        }
    };
    is(Some("1"));
    site.file("a/new", "2");
    fs::rename(site.at("a/new"), &file).unwrap();
    is(Some("2"));
    fs::remove_file(&file).unwrap();
    is(None);
    site.file("a/f", "3");
    is(Some("3"));
    fs::rename(site.at("a"), site.at("old")).unwrap();
    is(None);
    // The confinement is for files below the directory that had the name.
    fs::rename(site.at("b"), site.at("a")).unwrap();
    assert!(matches!(server.get("/").status(), 200 | 503));
    fs::remove_dir_all(site.at("a")).unwrap();
    is(None);
    site.link("a", "old");
    is(Some("3"));
}

#[test]
fn a_link_to_a_single_file_is_followed_to_where_it_leads_now() {
    let site = Site::empty();
    site.file("r1", "1").file("r2", "2").link("f", "r1");
    let link = site.at("f");
    // What else is in the directory can be read only where links are followed everywhere.
    let options = ["0", "-b", "127.0.0.1", "--follow-symlinks", "-d"];
    let mut command = command(&options);
    command.arg(&link);
    let server = Server::spawn(command);
    let mut client = server.connect();
    for (target, content) in [("r1", "1"), ("r2", "2"), ("r1", "1")] {
        relink(target, &link);
        one_file_is(&server, &mut client, Some(content));
        sleep(SETTLED);
        for _ in 0..3 {
            one_file_is(&server, &mut client, Some(content));
        }
    }
    fs::remove_file(&link).unwrap();
    one_file_is(&server, &mut client, None);
}
