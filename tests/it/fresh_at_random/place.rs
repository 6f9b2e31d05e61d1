//! The file systems on which files change and are served.

use std::fs;
use std::path::{Path, PathBuf};

use super::slot::{Kind, NAMES, Slot};
use crate::support::{Mount, Site};

/// A file system with a directory that is served and changed.
pub(super) struct Place {
    pub(super) served: PathBuf,
    /// The directory in which the writers change `served` and `scratch`.
    pub(super) written: PathBuf,
    /// Whether the kernel does not see the changes when they are made. It resolves a name in two steps, which may then meet two
    /// versions, and opening the file may fail.
    pub(super) is_remote: bool,
    _mount: Option<Mount>,
    _site: Site,
}

impl Place {
    fn in_site(site: Site, slots: &[Slot]) -> Self {
        lay_out_all(&site.root(), slots);
        Self {
            served: site.at("served"),
            written: site.root(),
            is_remote: false,
            _mount: None,
            _site: site,
        }
    }

    pub(super) fn on_disk(slots: &[Slot]) -> Option<Self> {
        Some(Self::in_site(Site::empty(), slots))
    }

    pub(super) fn in_memory(slots: &[Slot]) -> Option<Self> {
        Some(Self::in_site(Site::in_memory(), slots))
    }

    /// An overlay; at first all files are in the lower layer.
    pub(super) fn on_overlay(slots: &[Slot]) -> Option<Self> {
        let site = Site::empty();
        lay_out_all(&site.beside("lower"), slots);
        let mount = Mount::overlay(&site.root())?;
        Some(Self {
            served: site.at("served"),
            written: site.root(),
            is_remote: false,
            _mount: Some(mount),
            _site: site,
        })
    }

    /// A FUSE file system; the writers change its source, as another machine would.
    pub(super) fn on_fuse(slots: &[Slot]) -> Option<Self> {
        let site = Site::empty();
        let source = site.beside("source");
        lay_out_all(&source, slots);
        let mount = Mount::bindfs(&source, &site.root())?;
        Some(Self {
            served: site.at("served"),
            written: source,
            is_remote: true,
            _mount: Some(mount),
            _site: site,
        })
    }
}

/// Makes a place; `None` where this machine has no such file system.
pub(super) type Make = fn(&[Slot]) -> Option<Place>;

fn lay_out_all(base: &Path, slots: &[Slot]) {
    fs::create_dir_all(base.join("scratch")).unwrap();
    fs::create_dir_all(base.join("served/store")).unwrap();
    for slots in slots.chunks(NAMES.len()) {
        let (directory, _) = slots[0].name.split_once('/').unwrap();
        lay_out(&base.join("served").join(directory), slots, |_| 1);
    }
}

/// Makes a directory that has one version of each of `slots`.
pub(super) fn lay_out(directory: &Path, slots: &[Slot], version: impl Fn(&Slot) -> u64) {
    for inner in ["page", "list"] {
        fs::create_dir_all(directory.join(inner)).unwrap();
    }
    for (slot, (name, kind)) in slots.iter().zip(NAMES) {
        let path = directory.join(name);
        let version = version(slot);
        match kind {
            Kind::Listing => fs::write(path.join(entry(version)), "").unwrap(),
            _ => fs::write(path, slot.content(version)).unwrap(),
        }
    }
}

/// The name that stands alone in a listing of this version.
pub(super) fn entry(version: u64) -> String {
    format!("v{version:07x}")
}
