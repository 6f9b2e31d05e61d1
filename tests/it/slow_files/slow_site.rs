//! A site with a slow file system below it.

use std::fs;
use std::path::PathBuf;

use crate::support::{Mount, Server, Site, StoppedDaemon};

/// A site with files on the local disk, and at `mount` a FUSE file system. The files of the latter whose names begin with `slow`
/// are as slow as told.
pub(super) struct SlowSite {
    // Before the site, because fields are dropped in this order.
    mount: Mount,
    site: Site,
}

impl SlowSite {
    /// Mounts the file system, which is fast at first; `None` where that is not possible.
    pub(super) fn new() -> Option<Self> {
        let site = Site::new();
        site.directory("mount").file("other.txt", "another\n");
        fs::create_dir(site.beside("source")).unwrap();
        fs::write(site.beside("delays"), "").unwrap();
        let [source, delays] = ["source", "delays"].map(|name| site.beside(name));
        let mount = Mount::slow(&source, &site.at("mount"), &delays)?;
        Some(Self { mount, site })
    }

    /// Writes a file of the slow file system.
    pub(super) fn file(&self, name: &str, content: impl AsRef<[u8]>) -> &Self {
        let path = self.source().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
        self
    }

    /// The directory that the slow file system shows. What happens in it is fast.
    pub(super) fn source(&self) -> PathBuf {
        self.site.beside("source")
    }

    /// Where the slow file system is mounted.
    pub(super) fn mount_point(&self) -> PathBuf {
        self.site.at("mount")
    }

    /// Delays all requests of these kinds about names that begin with `slow`, and no others.
    pub(super) fn delay(&self, kinds: &[&str], seconds: f64) {
        let lines = kinds.iter().map(|kind| format!("{kind} {seconds}\n"));
        fs::write(self.site.beside("delays"), lines.collect::<String>()).unwrap();
    }

    /// Stops the daemon until the result is dropped, so that nothing about its file system is answered.
    pub(super) fn stop(&self) -> StoppedDaemon {
        self.mount.stop_daemon()
    }

    /// A server for the site, which has the slow file system at `/mount/`.
    pub(super) fn server(&self, options: &[&str]) -> Server {
        Server::of_path(&self.site.root(), options)
    }

    /// A server for the slow file system, or for a file of it.
    pub(super) fn server_below(&self, name: &str, options: &[&str]) -> Server {
        Server::of_path(&self.mount_point().join(name), options)
    }

    pub(super) fn site(&self) -> &Site {
        &self.site
    }
}
