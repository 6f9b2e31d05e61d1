//! A directory to serve, and files outside of it.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use rustix::fs::{Access, CWD, FileType, Mode, mknodat};

/// Names that break careless servers, each a file with its own content.
pub(crate) const HOSTILE: [&[u8]; 20] = [
    b"\"double\" 'single'",
    b"<b>bold<img src=x onerror=alert(1)>",
    b"a&amp;b",
    b"100%",
    b"%41",
    b"%2e%2e%2fsecret.txt",
    b"%zz",
    b"#anchor",
    b"what?sort=size",
    b"two\nlines",
    b"tab\tbell\x07",
    b"\xf0\x9f\x8e\x89 caf\xc3\xa9",
    b"invalid \xff\xfe UTF-8",
    b"back\\slash",
    b"\\\\host",
    b"http:",
    b"javascript:alert(1)",
    b" blanks ",
    b"...",
    b"*",
];

/// A temporary directory for one test; removed when the last clone is dropped.
#[derive(Clone)]
pub(crate) struct Site {
    base: Arc<Base>,
}

struct Base(PathBuf);

impl Site {
    /// A site with ordinary files, and a secret outside of it.
    pub(crate) fn new() -> Self {
        let site = Self::empty();
        site.file("hello.txt", "Hello, world!\n");
        site.file("page.html", "<p>A page</p>\n");
        site.file("empty.txt", "");
        site.file("dir/file.txt", "in dir\n");
        site.file("docs/index.html", "<p>index</p>\n");
        site
    }

    pub(crate) fn empty() -> Self {
        Self::below(&std::env::temp_dir())
    }

    /// An empty site, in memory where possible: for files so many or so large that a disk would be slow.
    pub(crate) fn in_memory() -> Self {
        let memory = Path::new("/dev/shm");
        let is_usable = memory.is_dir() && rustix::fs::access(memory, Access::WRITE_OK).is_ok();
        if is_usable {
            Self::below(memory)
        } else {
            Self::empty()
        }
    }

    fn below(place: &Path) -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("httpoll-it-{}-{count}", std::process::id());
        let base = place.join(name);
        fs::create_dir_all(base.join("site")).unwrap();
        fs::write(base.join("secret.txt"), "SECRET\n").unwrap();
        Self {
            base: Arc::new(Base(base)),
        }
    }

    /// A site of [`HOSTILE`] names; the content of each file is its name.
    pub(crate) fn hostile() -> Self {
        let site = Self::empty();
        for name in HOSTILE {
            site.file(name, name);
        }
        site
    }

    /// The directory that is served.
    pub(crate) fn root(&self) -> PathBuf {
        self.base.0.join("site")
    }

    /// The path of `name` beside the served directory.
    pub(crate) fn beside(&self, name: &str) -> PathBuf {
        self.base.0.join(name)
    }

    /// The path of `name` in the served directory.
    pub(crate) fn at(&self, name: impl AsRef<[u8]>) -> PathBuf {
        self.root().join(OsStr::from_bytes(name.as_ref()))
    }

    pub(crate) fn file(&self, name: impl AsRef<[u8]>, content: impl AsRef<[u8]>) -> &Self {
        let path = self.at(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
        self
    }

    pub(crate) fn directory(&self, name: impl AsRef<[u8]>) -> &Self {
        fs::create_dir_all(self.at(name)).unwrap();
        self
    }

    /// Makes `name` a symbolic link.
    pub(crate) fn link(&self, name: &str, target: &str) -> &Self {
        symlink(target, self.at(name)).unwrap();
        self
    }

    pub(crate) fn fifo(&self, name: &str) -> &Self {
        let mode = Mode::from_raw_mode(0o666);
        mknodat(CWD, self.at(name), FileType::Fifo, mode, 0).unwrap();
        self
    }

    pub(crate) fn socket(&self, name: &str) -> &Self {
        UnixListener::bind(self.at(name)).unwrap();
        self
    }

    /// Makes a sparse file of `size` zero bytes, which takes no space.
    pub(crate) fn sparse(&self, name: &str, size: u64) -> File {
        let file = File::create(self.at(name)).unwrap();
        file.set_len(size).unwrap();
        file
    }

    /// Sets the modification time, in nanoseconds since 1970.
    pub(crate) fn changed_at(&self, name: &str, nanoseconds: u64) -> &Self {
        let time = SystemTime::UNIX_EPOCH + Duration::from_nanos(nanoseconds);
        let file = File::open(self.at(name)).unwrap();
        file.set_modified(time).unwrap();
        self
    }
}

impl Drop for Base {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A name as a segment of a target: all bytes but ASCII letters and digits are percent-encoded.
pub(crate) fn encode(name: &[u8]) -> String {
    let encode = |byte: &u8| match byte {
        b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' => char::from(*byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    name.iter().map(encode).collect()
}
