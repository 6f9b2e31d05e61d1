//! Programs that read the listing as they read those of Apache httpd and nginx: crawlers, GDAL, lftp, rclone and fsspec. Parsers
//! that do what the sources of these programs do pin the shape of the page; the programs themselves run where they are installed.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use crate::support::{HOSTILE, Server, Site, request, resolve, skip, wait_until};

/// 1 January 2020, in nanoseconds.
const NEW_YEAR: u64 = 1_577_836_800_000_000_000;
const NAMES: [&str; 7] = [
    "a&b.txt",
    "big file.dat",
    "data.bin",
    "dir/deeper/last.txt",
    "dir/inner.txt",
    "sub dir/é.txt",
    "what?sort=size",
];

fn site() -> Site {
    let site = Site::empty();
    for name in NAMES {
        site.file(name, "1234567").changed_at(name, NEW_YEAR);
    }
    site.sparse("big file.dat", 3_500_000);
    site.changed_at("big file.dat", NEW_YEAR);
    site
}

fn url(server: &Server) -> String {
    format!("http://{}/", server.address())
}

/// The link to a name: all but the unreserved bytes are percent-encoded (RFC 3986 §2.3).
fn href(name: &[u8]) -> String {
    let encoded = name.iter().map(|byte| match byte {
        b'-' | b'.' | b'_' | b'~' => char::from(*byte).to_string(),
        byte if byte.is_ascii_alphanumeric() => char::from(*byte).to_string(),
        byte => format!("%{byte:02X}"),
    });
    encoded.collect()
}

/// Runs a program in `directory`, and returns what it wrote; `None` if the program is not installed.
fn run(program: &str, arguments: &[&str], directory: &Path) -> Option<String> {
    let mut command = Command::new(program);
    command.args(arguments).current_dir(directory);
    command.env("HOME", directory).env("no_proxy", "127.0.0.1");
    let Ok(output) = command.output() else {
        skip(&format!("{program} is not installed"));
        return None;
    };
    eprintln!("{}", String::from_utf8_lossy(&output.stderr));
    Some(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The paths of all files below a directory.
fn files(directory: &Path) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for entry in fs::read_dir(directory).unwrap().map(Result::unwrap) {
        let name = entry.file_name().into_string().unwrap();
        if entry.file_type().unwrap().is_dir() {
            let inner = files(&entry.path());
            found.extend(inner.iter().map(|inner| format!("{name}/{inner}")));
        } else {
            found.insert(name);
        }
    }
    found
}

/// All that a crawler takes for the address of another page: the values of these attributes in all tags.
fn addresses(page: &str) -> Vec<String> {
    let tags = page
        .split('<')
        .skip(1)
        .map(|tag| tag.split_once('>').unwrap().0);
    let attributes = [
        " href=",
        " src=",
        " action=",
        " formaction=",
        " background=",
    ];
    let values = tags.flat_map(|tag| {
        attributes.iter().filter_map(|attribute| {
            let value = tag.split_once(attribute)?.1;
            let quoted = value
                .strip_prefix('"')
                .and_then(|value| value.split_once('"'));
            Some(quoted.map_or(value, |(value, _)| value))
        })
    });
    let addresses = values.filter(|address| !address.starts_with("data:"));
    addresses.map(str::to_owned).collect()
}

#[test]
fn a_crawl_finds_names_only() {
    let site = Site::hostile();
    let mut expected = BTreeSet::from(["/".to_owned(), "/sub%20dir/".to_owned()]);
    for name in HOSTILE {
        site.file([b"sub dir/".as_slice(), name].concat(), name);
        expected.extend(["/", "/sub%20dir/"].map(|base| base.to_owned() + &href(name)));
    }
    let server = Server::with(&site, &["--dotfiles"]);
    let mut client = server.connect();
    let (mut found, mut next) = (BTreeSet::new(), vec!["/".to_owned()]);
    while let Some(target) = next.pop() {
        if found.insert(target.clone()) {
            let reply = client.get(&target);
            assert_eq!(reply.status(), 200, "{target}");
            if target.ends_with('/') {
                let addresses = addresses(reply.text());
                next.extend(addresses.iter().map(|address| resolve(&target, address)));
            }
        }
    }
    assert_eq!(found, expected);
}

#[test]
fn wget_and_wget2_save_names_only() {
    let site = site();
    let server = Server::start(&site);
    let indexes =
        ["", "dir/", "sub dir/", "dir/deeper/"].map(|name| name.to_owned() + "index.html");
    let expected: BTreeSet<_> = NAMES
        .map(str::to_owned)
        .into_iter()
        .chain(indexes)
        .collect();
    for program in ["wget", "wget2"] {
        let target = Site::empty();
        let arguments = ["-q", "-r", "-l", "inf", "-nH", "--no-config", &url(&server)];
        if run(program, &arguments, &target.root()).is_some() {
            let mut found = files(&target.root());
            // What the program itself remembers about hosts.
            found.retain(|name| !name.starts_with('.'));
            assert_eq!(found, expected, "{program}");
        }
    }
}

#[test]
fn fsspec_sees_no_link_that_leads_up_but_the_one_it_knows() {
    let server = Server::start(&site());
    let page = server.get("/dir/deeper/");
    let quoted = page.text().split("<a href=\"").skip(1);
    let quoted: Vec<_> = quoted.map(|link| link.split_once('"').unwrap().0).collect();
    assert_eq!(quoted, ["../", "../", "last.txt"]);
    assert!(page.text().contains("<a href=../../>"));
}

/// Reads a page as `ParseHTMLFileList` of GDAL's `cpl_vsil_curl.cpp` does. Returns the names and whether each has a date; `None` if
/// the page is no listing of `directory`, which GDAL writes without the slash at its end.
fn read_as_gdal(page: &str, directory: &str) -> Option<Vec<(String, bool)>> {
    let titles = ["", "/"].map(|slash| format!("<title>Index of {directory}{slash}</title>"));
    let is_listing = titles.iter().any(|title| page.contains(title));
    if !is_listing || page.lines().filter(|line| line.contains("<table")).count() > 1 {
        return None;
    }
    let mut names = Vec::new();
    for line in page
        .lines()
        .filter(|line| !line.contains("Parent Directory"))
    {
        let Some((_, link)) = line.split_once("<a href=\"") else {
            continue;
        };
        let href = link.split_once('"').unwrap().0;
        let name = href.trim_end_matches('/').rsplit('/').next().unwrap();
        if name != ".." {
            // DD-Mon-YYYY hh:mm
            let month = line.find("-Jan-").map(|month| &line[month - 2..]);
            let has_date = month.is_some_and(|date| &date[11..12] == " " && &date[14..15] == ":");
            names.push((name.to_owned(), has_date));
        }
    }
    Some(names)
}

#[test]
fn gdal_recognises_listings_and_their_dates() {
    let site = site();
    for number in 0..600 {
        let name = format!("long/{number:03}");
        site.file(&name, "").changed_at(&name, NEW_YEAR);
    }
    for directory in ["dir", "dir/deeper", "sub dir", "long"] {
        site.changed_at(directory, NEW_YEAR);
    }
    let server = Server::start(&site);
    for (target, directory, first, count) in [
        ("/", "", "dir", 7),
        ("/dir/", "/dir", "deeper", 2),
        ("/sub%20dir/", "/sub dir", "%C3%A9.txt", 1),
        ("/dir/deeper/", "/dir/deeper", "last.txt", 1),
        ("/long/", "/long", "000", 600),
    ] {
        let page = server.get(target);
        let names = read_as_gdal(page.text(), directory).expect(target);
        assert_eq!(
            (names[0].0.as_str(), names.len()),
            (first, count),
            "{target}"
        );
        assert!(names.iter().all(|(_, has_date)| *has_date), "{names:?}");
    }
}

#[test]
fn gdal_asks_for_no_file_that_a_listing_does_not_have() {
    let site = site();
    let server = Server::start(&site);
    for name in ["data.bin", "dir/inner.txt", "sub%20dir/%C3%A9.txt"] {
        let file = format!("/vsicurl/{}{name}", url(&server));
        if run("gdalinfo", &[&file], &site.root()).is_none() {
            return;
        }
    }
    // GDAL's own requests come before this one.
    server.get("/what%3Fsort%3Dsize");
    wait_until("the log", || server.log().contains("what%3F"));
    let log = server.log();
    assert!(!log.contains(" 404 "), "{log}");
    assert!(log.contains("\"GET /sub%20dir/ HTTP/1.1\" 200"), "{log}");
}

/// Reads what follows the link of a row as `try_apache_listing` of lftp's `HttpDir.cc` does, with its tags removed.
fn read_as_lftp(row: &str) -> Option<(String, String)> {
    let (_, cells) = row.split_once("</a>")?;
    let mut text = String::new();
    for piece in cells.split('<').skip(1) {
        text += piece.split_once('>')?.1;
    }
    let (date, size) = text.split_at_checked("DD-Mon-YYYY hh:mm".len())?;
    let size = size.split_ascii_whitespace().next()?;
    let is_size = size.starts_with(|first: char| first == '-' || first.is_ascii_digit());
    is_size.then(|| (date.to_owned(), size.to_owned()))
}

#[test]
fn lftp_recognises_exact_sizes_and_dates() {
    let site = site();
    site.changed_at("dir", NEW_YEAR);
    site.file("empty", "").changed_at("empty", NEW_YEAR);
    let server = Server::start(&site);
    let page = server.get("/");
    for (href, size) in [
        ("dir/", "-"),
        ("empty", "0"),
        ("data.bin", "7"),
        ("big%20file.dat", "3500000"),
    ] {
        let link = format!("<a href=\"{href}\"");
        let row = page.text().lines().find(|row| row.contains(&link)).unwrap();
        let expected = ("01-Jan-2020 00:00".to_owned(), size.to_owned());
        assert_eq!(read_as_lftp(row), Some(expected), "{row}");
    }
}

#[test]
fn lftp_lists_exact_sizes_and_dates() {
    let site = site();
    site.changed_at("dir", NEW_YEAR)
        .changed_at("sub dir", NEW_YEAR);
    let server = Server::start(&site);
    let script = format!("set net:max-retries 1; open {}; ls", url(&server));
    let Some(output) = run("lftp", &["--norc", "-c", &script], &site.root()) else {
        return;
    };
    let lines: Vec<String> = output
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
        .collect();
    let expected = [
        "drwxr-xr-x - 2020-01-01 00:00 dir",
        "drwxr-xr-x - 2020-01-01 00:00 sub dir",
        "-rw-r--r-- 7 2020-01-01 00:00 a&b.txt",
        "-rw-r--r-- 3500000 2020-01-01 00:00 big file.dat",
        "-rw-r--r-- 7 2020-01-01 00:00 data.bin",
        "-rw-r--r-- 7 2020-01-01 00:00 what?sort=size",
    ];
    assert_eq!(lines, expected);
}

#[test]
fn rclone_finds_all_names() {
    let server = Server::start(&site());
    let target = Site::empty();
    let url = url(&server);
    let arguments = [
        "lsf",
        "-R",
        "--files-only",
        ":http:",
        "--config",
        "rclone.conf",
        "--http-url",
        &url,
    ];
    if let Some(output) = run("rclone", &arguments, &target.root()) {
        let found: BTreeSet<_> = output.lines().collect();
        assert_eq!(found, BTreeSet::from(NAMES));
    }
}

#[test]
fn fsspec_finds_all_names() {
    let server = Server::start(&site());
    let (target, url) = (Site::empty(), url(&server));
    let script = "import sys\ntry: import fsspec, aiohttp\nexcept ImportError: print('none')\n\
                  else: print(*fsspec.filesystem('http').find(sys.argv[1]), sep='\\n')";
    let Some(output) = run("python3", &["-c", script, &url], &target.root()) else {
        return;
    };
    if output.trim() == "none" {
        return skip("fsspec is not installed");
    }
    let names = NAMES.map(|name| {
        let names = name.split('/').map(|name| href(name.as_bytes()));
        url.clone() + &names.collect::<Vec<_>>().join("/")
    });
    let found: BTreeSet<_> = output.lines().map(str::to_owned).collect();
    assert_eq!(found, BTreeSet::from(names));
}

#[test]
fn a_webdav_client_is_told_what_is_allowed() {
    let server = Server::start(&site());
    let reply = server.ask(request("PROPFIND", "/", &["Depth: 1"]));
    assert_eq!(reply.status(), 405);
    assert_eq!(reply.field("Allow"), Some("GET, HEAD, OPTIONS"));
    assert_eq!(server.ask(request("OPTIONS", "/", &[])).field("DAV"), None);
}
