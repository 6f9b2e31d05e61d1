//! A site that is kept shows what one shows that is not: a server of the files, and a server of a FUSE file system with the same
//! files, of which nothing is kept.

use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::thread::sleep;

use super::shown;
use crate::support::{Mount, SETTLED, Server, Site, request};

const NAMES: [&str; 24] = [
    "index.html",
    "index.html.gz",
    "about",
    "about.html",
    "about.html.gz",
    "about.html.br",
    "404.html",
    "404.html.gz",
    "d",
    "d/index.html",
    "d/404.html",
    "d/x",
    "d/x.html",
    "d/x.html.zst",
    "d/e",
    "d/e/404.html",
    "d/e/y.css",
    "d/e/y.css.gz",
    "f.css",
    "f.css.gz",
    ".git",
    ".git/404.html",
    "_redirects",
    "_headers",
];

const TARGETS: [&str; 24] = [
    "/",
    "/index",
    "/about",
    "/about/",
    "/about.html",
    "/old",
    "/d",
    "/d/",
    "/d/x",
    "/d/x.html",
    "/d/e/",
    "/d/e/missing",
    "/d/e/y.css",
    "/x/about",
    "/x/.git/404.html",
    "/gone",
    "/f.css",
    "/f.css.gz",
    "/missing",
    "/missing.png",
    "/d/a/b/",
    "/.git/missing",
    "/_redirects",
    "/404",
];

const REDIRECTS: [&str; 12] = [
    "/old /new 302",
    "/old / 301",
    "/about /f.css 200",
    "/d/* /about 200",
    "/* /404.html 404",
    "/x/* /d/:splat 200",
    "/x/* /:splat 200!",
    "/gone /none 410",
    "/f.css /about 200!",
    "/old /d 200",
    "/* /index.html 200",
    "a bad line",
];

const HEADERS: [&str; 6] = [
    "/*\n  X-A: 1",
    "/d/*\n  X-A: 2\n  ! Cache-Control",
    "/about\n  Cache-Control: max-age=1",
    "/f.css\n  Content-Type: text/plain",
    "/*\n  ! X-A",
    "a bad line",
];

const FIELDS: [&str; 6] = [
    "Accept-Encoding: gzip, br",
    "Accept-Encoding: zstd, gzip",
    "Accept-Encoding: gzip;q=0",
    "Accept: image/png",
    "Range: bytes=1-3",
    "If-None-Match: *",
];

/// Numbers that look random and are the same in each run (xorshift).
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % end
    }

    fn one<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[self.below(of.len())]
    }

    fn lines(&mut self, of: &[&str]) -> String {
        (0..self.below(4))
            .map(|_| format!("{}\n", self.one(of)))
            .collect()
    }

    fn content(&mut self, name: &str, number: usize) -> String {
        match name {
            "_redirects" => self.lines(&REDIRECTS),
            "_headers" => self.lines(&HEADERS),
            name => format!("{name} {number}{}", "\n".repeat(self.below(3))),
        }
    }

    /// Changes something, or fails because the names are not as the change needs them.
    fn change(&mut self, root: &Path, number: usize) -> io::Result<()> {
        let name = self.one(&NAMES);
        let path = root.join(name);
        match self.below(10) {
            0..5 => {
                fs::create_dir_all(path.parent().unwrap())?;
                fs::write(path, self.content(name, number))
            }
            5 => {
                let new = root.join("new");
                fs::write(&new, self.content(name, number))?;
                fs::rename(new, path)
            }
            6 if path.is_dir() && !path.is_symlink() => fs::remove_dir_all(path),
            6 => fs::remove_file(path),
            7 => fs::create_dir(path),
            8 => symlink(
                self.one(&["f.css", "d", "../secret.txt", "about.html", "nowhere"]),
                path,
            ),
            _ => fs::rename(path, root.join(self.one(&NAMES))),
        }
    }
}

fn assert_same_site(options: &[&str], seed: u64) {
    let site = Site::empty();
    let mount_point = site.beside("mount");
    fs::create_dir(&mount_point).unwrap();
    let Some(_mount) = Mount::bindfs(&site.root(), &mount_point) else {
        return;
    };
    let kept = Server::of_path(&site.root(), options);
    let anew = Server::of_path(&mount_point, options);
    let (mut of_kept, mut of_anew) = (kept.connect(), anew.connect());
    let mut random = Random(seed);
    for number in 0..250 {
        for _ in 0..=random.below(3) {
            let _ = random.change(&site.root(), number);
        }
        if random.below(3) == 0 {
            sleep(SETTLED);
        }
        for _ in 0..6 {
            let method = random.one(&["GET", "GET", "HEAD"]);
            let request = request(method, random.one(&TARGETS), &[random.one(&FIELDS)]);
            for _ in 0..=random.below(3) {
                let (kept, anew) = (of_kept.ask(&request), of_anew.ask(&request));
                assert_eq!(shown(&kept), shown(&anew), "change {number}: {request}");
            }
        }
    }
}

#[test]
fn a_site_is_as_if_nothing_was_kept() {
    assert_same_site(&["-q", "--site"], 0x1234_5678_9abc);
}

#[test]
fn a_site_with_all_options_is_as_if_nothing_was_kept() {
    let options = ["-q", "--site", "--compress", "--spa", "--live"];
    assert_same_site(&options, 0xcafe_0123_4567);
}
