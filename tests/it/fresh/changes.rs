//! The changes that a file or a directory may go through while the server runs.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::Write;
use std::os::unix::fs::{FileExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::FallocateFlags;

use super::{FILES, LARGE, SMALL};
use crate::support::{Site, by_descriptor, exchange, give_name, unnamed_file};

/// The second step of a change; the first step prepared the file for it.
pub(super) type Later = Box<dyn FnOnce()>;
pub(super) type FileChange = (&'static str, fn(PathBuf) -> Later);
pub(super) type SiteChange = (&'static str, fn(Site) -> Later);

fn later(change: impl FnOnce() + 'static) -> Later {
    Box::new(change)
}

/// A path beside `file`, on the same file system and not served from there.
fn elsewhere(file: &Path) -> PathBuf {
    let name = file.file_name().unwrap().to_str().unwrap();
    let base = file.ancestors().find(|path| path.ends_with("site"));
    base.unwrap().with_file_name(format!("elsewhere-{name}"))
}

fn size_of(file: &Path) -> usize {
    usize::try_from(fs::metadata(file).unwrap().len()).unwrap()
}

pub(super) fn open(file: &Path) -> File {
    let mut options = OpenOptions::new();
    options.read(true).write(true).open(file).unwrap()
}

/// Overwrites the bytes of an open file; its size stays.
fn overwrite(file: &File) {
    let length = file.metadata().unwrap().len();
    let content = vec![b'b'; usize::try_from(length).unwrap()];
    file.write_all_at(&content, 0).unwrap();
}

/// Makes another file that can take the place of `file`.
fn another(file: &Path) -> PathBuf {
    let other = elsewhere(file);
    fs::write(&other, vec![b'b'; size_of(file)]).unwrap();
    other
}

fn relink(target: &Path, name: &Path) {
    let new = elsewhere(name).with_extension("link");
    symlink(target, &new).unwrap();
    fs::rename(new, name).unwrap();
}

fn chmod(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

/// A name beside that of `file`.
fn sibling(file: &Path) -> PathBuf {
    file.with_extension("other")
}

/// Moves `file` aside and puts a link to it in its place; returns the new path.
fn put_behind_link(file: &Path) -> PathBuf {
    let real = file.with_extension("real");
    fs::rename(file, &real).unwrap();
    symlink(real.file_name().unwrap(), file).unwrap();
    real
}

pub(super) const FILE_CHANGES: [FileChange; 34] = [
    ("written in place", |file| {
        later(move || overwrite(&open(&file)))
    }),
    ("written through an open descriptor", |file| {
        let open = open(&file);
        later(move || overwrite(&open))
    }),
    ("written through /proc/self/fd", |file| {
        let held = File::open(file).unwrap();
        later(move || overwrite(&open(&by_descriptor(&held))))
    }),
    ("written and its date put back", |file| {
        later(move || {
            let file = open(&file);
            let date = file.metadata().unwrap().modified().unwrap();
            overwrite(&file);
            file.set_modified(date).unwrap();
        })
    }),
    ("written anew", |file| {
        later(move || fs::write(file, "new").unwrap())
    }),
    ("appended to", |file| {
        later(move || {
            let mut file = OpenOptions::new().append(true).open(file).unwrap();
            file.write_all(b"more").unwrap();
        })
    }),
    ("emptied", |file| {
        later(move || drop(File::create(file).unwrap()))
    }),
    ("made shorter", |file| {
        later(move || open(&file).set_len(3).unwrap())
    }),
    ("made longer", |file| {
        later(move || open(&file).set_len(LARGE as u64 + 1).unwrap())
    }),
    ("allocated beyond its end", |file| {
        later(move || {
            let allocated =
                rustix::fs::fallocate(open(&file), FallocateFlags::empty(), 0, LARGE as u64 + 1);
            allocated.unwrap();
        })
    }),
    ("punched", |file| {
        later(move || {
            let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
            rustix::fs::fallocate(open(&file), flags, 0, SMALL as u64).unwrap();
        })
    }),
    ("copied into", |file| {
        let from = File::open(another(&file)).unwrap();
        later(move || {
            let copied = rustix::fs::copy_file_range(from, None, open(&file), None, SMALL);
            assert_eq!(copied, Ok(SMALL));
        })
    }),
    ("sent into", |file| {
        let from = File::open(another(&file)).unwrap();
        later(move || {
            let sent = rustix::fs::sendfile(open(&file), from, None, SMALL);
            assert_eq!(sent, Ok(SMALL));
        })
    }),
    ("given another date", |file| {
        later(move || {
            let date = open(&file).metadata().unwrap().modified().unwrap();
            open(&file)
                .set_modified(date + Duration::from_secs(9))
                .unwrap();
        })
    }),
    ("replaced by rename", |file| {
        let other = another(&file);
        later(move || fs::rename(other, file).unwrap())
    }),
    ("exchanged", |file| {
        let other = another(&file);
        later(move || exchange(&other, &file))
    }),
    ("deleted", |file| {
        later(move || fs::remove_file(file).unwrap())
    }),
    ("renamed", |file| {
        later(move || fs::rename(&file, sibling(&file)).unwrap())
    }),
    ("deleted and made again", |file| {
        later(move || {
            fs::remove_file(&file).unwrap();
            fs::write(&file, "new").unwrap();
        })
    }),
    ("replaced by a directory", |file| {
        later(move || {
            fs::remove_file(&file).unwrap();
            fs::create_dir(&file).unwrap();
        })
    }),
    ("replaced by a link", |file| {
        fs::rename(another(&file), sibling(&file)).unwrap();
        later(move || relink(Path::new(sibling(&file).file_name().unwrap()), &file))
    }),
    ("replaced by a link that leads out", |file| {
        let other = another(&file);
        later(move || relink(&other, &file))
    }),
    ("written where a link leads", |file| {
        let real = put_behind_link(&file);
        later(move || overwrite(&open(&real)))
    }),
    ("a link that leads elsewhere", |file| {
        fs::rename(another(&file), sibling(&file)).unwrap();
        put_behind_link(&file);
        later(move || relink(Path::new(sibling(&file).file_name().unwrap()), &file))
    }),
    ("chmod", |file| later(move || chmod(&file, 0))),
    ("chmod back", |file| {
        chmod(&file, 0);
        later(move || chmod(&file, 0o644))
    }),
    ("written through an older hard link", |file| {
        let other = elsewhere(&file);
        fs::hard_link(file, &other).unwrap();
        later(move || overwrite(&open(&other)))
    }),
    ("written through a newer hard link", |file| {
        later(move || {
            let other = elsewhere(&file);
            fs::hard_link(file, &other).unwrap();
            overwrite(&open(&other));
        })
    }),
    (
        "written through the descriptor of a name that is gone",
        |file| {
            let other = elsewhere(&file);
            fs::rename(&file, &other).unwrap();
            let open = open(&other);
            fs::hard_link(&other, file).unwrap();
            fs::remove_file(other).unwrap();
            later(move || overwrite(&open))
        },
    ),
    ("written through a descriptor older than a rename", |file| {
        let other = another(&file);
        let open = open(&other);
        fs::write(&other, vec![b'c'; size_of(&file)]).unwrap();
        fs::rename(other, file).unwrap();
        later(move || overwrite(&open))
    }),
    (
        "an unnamed file of the same directory, linked and written",
        |file| {
            let open = unnamed_file(file.parent().unwrap(), &fs::read(&file).unwrap()).unwrap();
            fs::remove_file(&file).unwrap();
            give_name(&open, &file);
            later(move || overwrite(&open))
        },
    ),
    (
        "an unnamed file of another directory, linked and written",
        |file| {
            let directory = elsewhere(&file).parent().unwrap().to_owned();
            let open = unnamed_file(&directory, &fs::read(&file).unwrap()).unwrap();
            fs::remove_file(&file).unwrap();
            give_name(&open, &file);
            later(move || overwrite(&open))
        },
    ),
    ("created", |file| {
        fs::remove_file(&file).unwrap();
        later(move || fs::write(file, "new").unwrap())
    }),
    ("created by a link", |file| {
        let other = another(&file);
        fs::remove_file(&file).unwrap();
        later(move || fs::hard_link(other, file).unwrap())
    }),
];

/// Makes a directory that has the names of `up` with other contents.
fn another_tree(site: &Site) -> PathBuf {
    for (name, _, _) in FILES {
        site.file(name.replacen("up", "tree", 1), "of another tree");
    }
    let tree = site.beside("tree");
    fs::rename(site.at("tree"), &tree).unwrap();
    tree
}

pub(super) const SITE_CHANGES: [SiteChange; 15] = [
    ("chmod of the directory", |site| {
        later(move || chmod(&site.at("up/dir"), 0))
    }),
    ("chmod of the directory above", |site| {
        later(move || chmod(&site.at("up"), 0))
    }),
    ("chmod back", |site| {
        chmod(&site.at("up/dir"), 0);
        later(move || chmod(&site.at("up/dir"), 0o755))
    }),
    ("the directory renamed", |site| {
        later(move || fs::rename(site.at("up/dir"), site.at("up/other")).unwrap())
    }),
    ("the directory above renamed", |site| {
        later(move || fs::rename(site.at("up"), site.at("other")).unwrap())
    }),
    ("the directory above moved out", |site| {
        later(move || fs::rename(site.at("up"), site.beside("other")).unwrap())
    }),
    ("the directory above renamed back", |site| {
        fs::rename(site.at("up"), site.at("other")).unwrap();
        later(move || fs::rename(site.at("other"), site.at("up")).unwrap())
    }),
    ("the directory exchanged", |site| {
        let tree = another_tree(&site);
        later(move || exchange(&tree.join("dir"), &site.at("up/dir")))
    }),
    ("the directory above exchanged", |site| {
        let tree = another_tree(&site);
        later(move || exchange(&tree, &site.at("up")))
    }),
    ("everything removed", |site| {
        later(move || fs::remove_dir_all(site.at("up")).unwrap())
    }),
    ("everything made again", |site| {
        let tree = another_tree(&site);
        later(move || {
            fs::remove_dir_all(site.at("up")).unwrap();
            fs::rename(tree, site.at("up")).unwrap();
        })
    }),
    ("a link in place of the directory", |site| {
        fs::rename(another_tree(&site), site.at("tree")).unwrap();
        later(move || {
            fs::rename(site.at("up/dir"), site.at("up/old")).unwrap();
            symlink("../tree/dir", site.at("up/dir")).unwrap();
        })
    }),
    ("a link in place of the directory above", |site| {
        fs::rename(another_tree(&site), site.at("tree")).unwrap();
        later(move || {
            fs::rename(site.at("up"), site.at("old")).unwrap();
            symlink("tree", site.at("up")).unwrap();
        })
    }),
    ("a link that leads to another directory", |site| {
        fs::rename(another_tree(&site), site.at("tree")).unwrap();
        fs::rename(site.at("up"), site.at("old")).unwrap();
        symlink("old", site.at("up")).unwrap();
        later(move || relink(Path::new("tree"), &site.at("up")))
    }),
    (
        "files written where a link to their directory leads",
        |site| {
            fs::rename(site.at("up"), site.at("old")).unwrap();
            symlink("old", site.at("up")).unwrap();
            later(move || {
                for (name, _, _) in FILES {
                    overwrite(&open(&site.at(name.replacen("up", "old", 1))));
                }
            })
        },
    ),
];
