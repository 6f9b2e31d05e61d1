//! What a handler can still do in a confined process: one handler tries each operation, with confinement and without.

use std::fs::{self, File, Permissions};
use std::io::{self, ErrorKind};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, thread};

use httpoll::{BaseHttpRequestHandler, Confinement, Exchange, HandlerResult, HttpServer, LogFile};
use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, openat2};
use rustix::process::{
    Resource, getpid, getppid, getrlimit, getuid, prlimit, setrlimit, test_kill_process,
};
use rustix::thread::set_thread_uid;
use tempfile::TempDir;

use crate::child::Child;
use crate::client::{Client, post};
use crate::common::has_landlock;
use crate::handlers::send_text;

/// Serves the handler [`Trying`], confined as `name` says.
pub(crate) fn serve(name: &str, directory: &Path) {
    let mut server = HttpServer::bind("127.0.0.1:0", Trying).unwrap();
    println!("\nhttp://{}/", server.info().addresses()[0]);
    let read_only = || Confinement::new().read_below(File::open(directory).unwrap());
    let temporary = || File::open(env::temp_dir()).unwrap();
    let confinement = match name {
        "trying" => None,
        "trying, confined" => Some(read_only()),
        "trying, confined to files" => {
            Some(Confinement::new().read_files_below(File::open(directory).unwrap()))
        }
        "trying, confined to one file" => {
            let file = File::open(directory.join("file")).unwrap();
            Some(Confinement::new().read_files_below(file))
        }
        "trying, only serving" => Some(read_only().only_serving()),
        "trying, only serving and storing" => {
            Some(read_only().write_below(temporary()).only_serving())
        }
        "trying, only serving and removing" => {
            let directory = File::open(directory).unwrap();
            Some(read_only().remove_files_below(directory).only_serving())
        }
        "trying, confined again" => Some(read_only()),
        "trying, with a log file" => {
            let log_file = LogFile::open(directory.join("../logs/log")).unwrap();
            let confinement = read_only().reopen(&log_file).unwrap().only_serving();
            server.log_to(log_file);
            Some(confinement)
        }
        _ => Some(read_only().write_below(temporary())),
    };
    if let Some(confinement) = confinement {
        eprintln!("in force: {}", confinement.enforce());
    }
    if name == "trying, confined again" {
        // The kernel allows fewer Landlock rulesets than this.
        for _ in 0..17 {
            eprintln!("again: {}", read_only().enforce());
        }
    }
    server.serve_forever().unwrap();
}

/// Tries the operation that the first segment of the target names, on the path that follows; answers `done` or the kind of the error.
struct Trying;

impl BaseHttpRequestHandler for Trying {
    fn reads_body(&self, _command: &str, _path: &str) -> bool {
        true
    }

    fn do_get(&mut self, exchange: &mut Exchange<'_>) -> HandlerResult {
        let path = exchange.path().strip_prefix('/').unwrap();
        let (what, path) = path.split_once('/').unwrap_or((path, ""));
        let path = Path::new("/").join(path);
        let said = match attempt(what, &path) {
            Ok(()) => "done".to_owned(),
            Err(error) => format!("{:?}", error.kind()),
        };
        Ok(send_text(exchange, &said)?)
    }

    fn do_post(&mut self, exchange: &mut Exchange<'_>) -> HandlerResult {
        let length = exchange.body_length().to_string();
        Ok(send_text(exchange, &length)?)
    }
}

fn attempt(what: &str, path: &Path) -> io::Result<()> {
    match what {
        "read" => fs::read(path).map(drop),
        "list" => fs::read_dir(path).map(drop),
        "write" => fs::write(path, "written"),
        "append" => File::options().append(true).open(path).map(drop),
        "make" => {
            let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::CLOEXEC;
            let within = ResolveFlags::empty();
            Ok(openat2(CWD, path, flags, Mode::RUSR, within).map(drop)?)
        }
        "empty" => {
            let flags = OFlags::WRONLY | OFlags::TRUNC | OFlags::CLOEXEC;
            let within = ResolveFlags::empty();
            Ok(openat2(CWD, path, flags, Mode::empty(), within).map(drop)?)
        }
        "remove" => fs::remove_file(path),
        "rename" => fs::rename(path, path.with_extension("renamed")),
        "link" => fs::hard_link(path, path.with_extension("linked")),
        "symlink" => symlink("/etc", path),
        "mkdir" => fs::create_dir(path),
        "chmod" => fs::set_permissions(path, Permissions::from_mode(0o777)),
        "touch" => File::open(path)?.set_modified(std::time::UNIX_EPOCH),
        "spawn" => Command::new(path).status().map(drop),
        // `exec` returns only where it fails.
        "execute" => Err(Command::new(path).exec()),
        "listen" => TcpListener::bind("127.0.0.1:0").map(drop),
        "connect" => TcpStream::connect("127.0.0.1:9").map(drop),
        "udp" => UdpSocket::bind("127.0.0.1:0").map(drop),
        "unix" => UnixStream::connect(path).map(drop),
        "streams" => UnixStream::pair().map(drop),
        "datagrams" => UnixDatagram::pair().map(drop),
        "limit-parent" => {
            let limit = getrlimit(Resource::Core);
            Ok(prlimit(getppid(), Resource::Core, limit).map(drop)?)
        }
        "limit-self" => Ok(setrlimit(Resource::Core, getrlimit(Resource::Core))?),
        "user" => Ok(set_thread_uid(getuid())?),
        "signal-parent" => Ok(test_kill_process(getppid().unwrap())?),
        "signal-self" => Ok(test_kill_process(getpid())?),
        "thread" => thread::Builder::new()
            .spawn(|| ())
            .map(|thread| thread.join().unwrap()),
        _ => Err(ErrorKind::Unsupported.into()),
    }
}

/// A directory to read from, with a secret beside it.
struct Place {
    _base: TempDir,
    directory: PathBuf,
    secret: PathBuf,
}

impl Place {
    fn new() -> Self {
        let base = tempfile::tempdir().unwrap();
        let (directory, secret) = (base.path().join("served"), base.path().join("secret"));
        fs::create_dir(&directory).unwrap();
        fs::write(directory.join("file"), "file").unwrap();
        fs::write(&secret, "secret").unwrap();
        symlink(&secret, directory.join("link")).unwrap();
        symlink("/bin/true", directory.join("true")).unwrap();
        fs::copy("/bin/true", directory.join("own-true")).unwrap();
        Self {
            _base: base,
            directory,
            secret,
        }
    }

    fn at(&self, name: &str) -> String {
        self.directory.join(name).display().to_string()
    }
}

fn tried(client: &mut Client, what: &str, path: &str) -> String {
    client.get(&format!("/{what}{path}")).text().to_owned()
}

#[track_caller]
fn assert_refused(client: &mut Client, attempts: &[(&str, &str)]) {
    for (what, path) in attempts {
        let refused = tried(client, what, path);
        assert_eq!(refused, "PermissionDenied", "{what} {path}");
    }
}

#[track_caller]
fn assert_done(client: &mut Client, attempts: &[(&str, &str)]) {
    for (what, path) in attempts {
        assert_eq!(tried(client, what, path), "done", "{what} {path}");
    }
}

/// Starts the handler confined; `None` where the kernel has no Landlock.
fn confined(name: &str, place: &Place) -> Option<Child> {
    if !has_landlock() {
        eprintln!("skipped: this kernel has no Landlock, or a container forbids it");
        return None;
    }
    let child = Child::handler_for(name, &place.directory);
    let said = child.errors_with("in force: ", 1);
    assert!(said.contains("in force: Landlock (ABI "), "{said}");
    assert!(said.contains(", no new privileges, seccomp\n"), "{said}");
    Some(child)
}

#[test]
fn a_confined_handler_is_refused_what_serving_does_not_need() {
    let place = Place::new();
    let Some(child) = confined("trying, confined", &place) else {
        return;
    };
    let unconfined = Child::handler_for("trying", &place.directory);
    let (mut free, mut client) = (unconfined.client(), child.client());
    // The handler without confinement shows that each operation works. Those that delete come last.
    let file = place.at("file");
    let secret = place.secret.display().to_string();
    let attempts = [
        ("read", "/etc/passwd"),
        ("read", &secret),
        ("read", &place.at("link")),
        ("list", "/etc"),
        ("write", &file),
        ("write", &place.at("new")),
        ("append", &file),
        ("mkdir", &place.at("new-directory")),
        ("symlink", &place.at("new-link")),
        ("link", &file),
        ("chmod", &file),
        ("touch", &file),
        ("write", &format!("{secret}-2")),
        ("spawn", "/bin/true"),
        ("spawn", &place.at("own-true")),
        ("listen", ""),
        ("udp", ""),
        ("user", ""),
        ("signal-parent", ""),
        ("limit-parent", ""),
        ("datagrams", ""),
        ("rename", &file),
        ("remove", &place.at("own-true")),
    ];
    for (what, path) in attempts {
        let refused = tried(&mut client, what, path);
        assert_eq!(refused, "PermissionDenied", "{what} {path}");
        assert_eq!(tried(&mut free, what, path), "done", "{what} {path}");
    }
    // Without confinement these fail for another reason, or never return.
    assert_refused(
        &mut client,
        &[
            ("execute", "/bin/true"),
            ("connect", ""),
            ("unix", "/no/such/socket"),
        ],
    );
}

#[test]
fn a_confined_handler_can_do_what_serving_needs() {
    let place = Place::new();
    let Some(child) = confined("trying, confined", &place) else {
        return;
    };
    let mut client = child.client();
    assert_done(
        &mut client,
        &[
            ("read", &place.at("file")),
            ("list", &place.at("")),
            ("thread", ""),
            ("signal-self", ""),
            ("limit-self", ""),
            ("streams", ""),
        ],
    );
    assert_eq!(client.send(post("/", "x")).reply().text(), "1");
}

#[test]
fn read_files_below_forbids_listing() {
    let place = Place::new();
    let Some(child) = confined("trying, confined to files", &place) else {
        return;
    };
    let mut client = child.client();
    assert_done(&mut client, &[("read", &place.at("file"))]);
    assert_refused(&mut client, &[("list", &place.at(""))]);
}

#[test]
fn read_files_below_one_file_forbids_the_others() {
    let place = Place::new();
    let Some(child) = confined("trying, confined to one file", &place) else {
        return;
    };
    let mut client = child.client();
    let file = place.at("file");
    assert_done(&mut client, &[("read", &file)]);
    let (own_true, directory) = (place.at("own-true"), place.at(""));
    assert_refused(
        &mut client,
        &[("read", &own_true), ("list", &directory), ("append", &file)],
    );
}

#[test]
fn write_below_allows_writing_only_there() {
    let place = Place::new();
    let Some(child) = confined("trying, writing", &place) else {
        return;
    };
    let mut client = child.client();
    // The server stores large bodies in the temporary directory.
    let large = "x".repeat(100_000);
    assert_eq!(client.send(post("/", &large)).reply().text(), "100000");
    let new = place.secret.with_file_name("new");
    let new = new.display().to_string();
    for what in ["write", "append", "read", "chmod", "rename"] {
        assert_eq!(tried(&mut client, what, &new), "done", "{what}");
    }
    assert_refused(
        &mut client,
        &[
            ("read", "/etc/passwd"),
            ("write", "/etc/httpoll-test"),
            ("execute", "/bin/true"),
            ("spawn", &place.at("own-true")),
            ("listen", ""),
        ],
    );

    let Some(child) = confined("trying, confined", &place) else {
        return;
    };
    let reply = child.client().send(post("/", &large)).reply();
    assert_eq!(reply.status, 507, "the server cannot store the body");
}

#[test]
fn only_serving_refuses_everything_else() {
    let place = Place::new();
    let Some(child) = confined("trying, only serving", &place) else {
        return;
    };
    let mut client = child.client();
    assert_done(
        &mut client,
        &[
            ("read", &place.at("file")),
            ("list", &place.at("")),
            ("thread", ""),
        ],
    );
    assert_refused(
        &mut client,
        &[
            ("read", "/etc/passwd"),
            ("write", &place.at("file")),
            ("remove", &place.at("file")),
            ("streams", ""),
            ("datagrams", ""),
            ("signal-self", ""),
            ("limit-self", ""),
            ("listen", ""),
            ("spawn", "/bin/true"),
        ],
    );
    let reply = client.send(post("/", "x".repeat(100_000))).reply();
    assert_eq!(reply.status, 507, "no file can be created");
}

#[test]
fn with_a_log_file_files_can_be_made_in_its_directory_and_nothing_more() {
    let place = Place::new();
    let logs = place.secret.with_file_name("logs");
    fs::create_dir(&logs).unwrap();
    fs::write(logs.join("other"), "other").unwrap();
    let Some(child) = confined("trying, with a log file", &place) else {
        return;
    };
    let mut client = child.client();
    let at = |name: &str| logs.join(name).display().to_string();
    let (log, other, new) = (at("log"), at("other"), at("new"));
    assert_done(
        &mut client,
        &[("make", &new), ("make", &log), ("make", &other)],
    );
    assert_refused(
        &mut client,
        &[
            ("make", &place.at("new")),
            ("make", &place.secret.display().to_string()),
            ("make", "/etc/httpoll-test"),
            ("empty", &other),
            ("read", &other),
            ("list", &at("")),
            ("remove", &other),
            ("rename", &other),
            ("link", &other),
            ("symlink", &at("link")),
            ("mkdir", &at("directory")),
            ("write", &new),
        ],
    );
    assert_eq!(fs::read(&other).unwrap(), b"other");
}

#[test]
fn only_serving_with_write_below_stores_files() {
    let place = Place::new();
    let Some(child) = confined("trying, only serving and storing", &place) else {
        return;
    };
    let mut client = child.client();
    let large = "x".repeat(100_000);
    assert_eq!(client.send(post("/", &large)).reply().text(), "100000");
    let new = place.secret.with_file_name("new").display().to_string();
    let renamed = place.secret.with_file_name("new.renamed");
    let renamed = renamed.display().to_string();
    assert_done(
        &mut client,
        &[
            ("write", &new),
            ("append", &new),
            ("read", &new),
            ("rename", &new),
            ("remove", &renamed),
        ],
    );
    assert_refused(&mut client, &[("spawn", &place.at("own-true"))]);
}

#[test]
fn remove_files_below_removes_files_and_only_there() {
    let place = Place::new();
    let Some(child) = confined("trying, only serving and removing", &place) else {
        return;
    };
    let mut client = child.client();
    let secret = place.secret.display().to_string();
    assert_refused(
        &mut client,
        &[
            ("remove", &secret),
            ("remove", "/etc/passwd"),
            ("write", &place.at("file")),
            ("rename", &place.at("file")),
            ("mkdir", &place.at("new")),
        ],
    );
    assert_done(&mut client, &[("remove", &place.at("own-true"))]);
}

#[test]
fn a_failed_confinement_is_not_reported_as_in_force() {
    let place = Place::new();
    let Some(child) = confined("trying, confined again", &place) else {
        return;
    };
    let said = child.errors_with("again: ", 17);
    let again: Vec<_> = said
        .lines()
        .filter(|line| line.starts_with("again: "))
        .collect();
    assert!(again[0].contains("Landlock (ABI "), "{said}");
    assert!(
        again[16].contains("without Landlock (Argument list too long"),
        "{said}"
    );
    let refused = tried(&mut child.client(), "read", "/etc/passwd");
    assert_eq!(
        refused, "PermissionDenied",
        "the first confinement stays in force"
    );
}
