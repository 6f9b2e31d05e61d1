//! The README below a listing: which file it is, that it is text only, and that it is never older than the request.

use std::fs;

use super::{links, names};
use crate::support::{Mount, Server, Site, get};

/// The text of the README on a page, as a browser shows it; `None` if there is none.
fn readme(page: &str) -> Option<String> {
    let (_, text) = page.split_once("<pre>\n")?;
    let (text, after) = text.split_once("</pre>\n").unwrap();
    assert_eq!(after, "</main>\n</body>\n</html>\n");
    let mut text = text.to_owned();
    for (entity, c) in [
        ("&lt;", "<"),
        ("&gt;", ">"),
        ("&quot;", "\""),
        ("&#39;", "'"),
        ("&#58;", ":"),
        ("&amp;", "&"),
    ] {
        text = text.replace(entity, c);
    }
    Some(text)
}

fn shown(server: &Server, target: &str) -> Option<String> {
    readme(server.get(target).text())
}

#[test]
fn a_readme_is_shown_below_the_listing() {
    let site = Site::empty();
    site.file("README.md", "# One\n\nTwo & three: http://example.com/\n");
    site.file("dir/README", "four")
        .file("dir/README.txt", "five");
    site.directory("other");
    let server = Server::start(&site);
    let page = server.get("/");
    assert!(page.text().contains("</table>\n<h2>README.md</h2>\n<pre>"));
    let text = readme(page.text());
    assert_eq!(
        text.as_deref(),
        Some("# One\n\nTwo & three: http://example.com/")
    );
    assert!(!page.text().contains("http://"), "fsspec would follow it");
    assert_eq!(shown(&server, "/dir/").as_deref(), Some("five"));
    assert_eq!(shown(&server, "/dir/?sort=-date").as_deref(), Some("five"));
    assert_eq!(shown(&server, "/other/"), None);
    assert_eq!(
        names(&server.get("/?format=json")),
        ["dir", "other", "README.md"]
    );
    assert!(!server.get("/?format=json").text().contains("Two"));
}

#[test]
fn a_hostile_readme_is_harmless() {
    let site = Site::empty();
    let hostile =
        "</pre></main><script>alert(1)</script><a href=\"/x\">\u{1b}[2J\u{202e}<!-- '\r\n\tb\u{9b}";
    site.file("README.txt", hostile);
    let page = Server::start(&site).get("/");
    let expected = "</pre></main><script>alert(1)</script><a href=\"/x\">\u{fffd}[2J\u{fffd}<!-- '\n\tb\u{fffd}";
    assert_eq!(readme(page.text()).as_deref(), Some(expected));
    assert_eq!(links(page.text()), ["README.txt"]);
    assert_eq!(page.text().matches("<script").count(), 1);
}

#[test]
fn a_changed_readme_is_in_the_next_listing() {
    for arguments in [&[][..], &["--follow-symlinks"]] {
        let site = Site::empty();
        site.file("README.md", "0000").file("long/README", "0000");
        for number in 0..600 {
            site.file(format!("long/{number}"), "");
        }
        let server = Server::with(&site, arguments);
        for number in 1..50 {
            let text = format!("{number:04}");
            for (name, target) in [("README.md", "/"), ("long/README", "/long/")] {
                // The size is the same, and the time may be.
                fs::write(site.at(name), &text).unwrap();
                for _ in 0..3 {
                    assert_eq!(shown(&server, target).as_ref(), Some(&text), "{target}");
                }
            }
        }
        fs::rename(site.at("README.md"), site.at("other")).unwrap();
        assert_eq!(shown(&server, "/"), None);
        site.file("README", "new");
        assert_eq!(shown(&server, "/").as_deref(), Some("new"));
        site.file("README.md", "first");
        assert_eq!(shown(&server, "/").as_deref(), Some("first"));
    }
}

#[test]
fn only_small_text_files_that_are_served_are_shown() {
    let site = Site::empty();
    let whole = "x".repeat(64 * 1024);
    site.file("whole/README.md", &whole);
    site.file("large/README.md", whole.clone() + "x");
    site.file("binary/README", b"a\0b")
        .file("latin/README", b"caf\xe9");
    site.file("hidden/.README.md", "a")
        .file("case/Readme.MD", "a");
    site.file("below/README.md/README", "a").fifo("README");
    fs::write(site.beside("secret"), "secret").unwrap();
    for directory in ["outside", "absolute", "inside"] {
        site.directory(directory);
    }
    site.link("outside/README.md", "../../secret");
    site.link(
        "absolute/README.md",
        site.beside("secret").to_str().unwrap(),
    );
    site.link("inside/README.md", "../whole/README.md");
    let server = Server::with(&site, &["--dotfiles"]);
    for _ in 0..2 {
        assert_eq!(shown(&server, "/whole/").as_ref(), Some(&whole));
        assert_eq!(shown(&server, "/inside/").as_ref(), Some(&whole));
        for target in [
            "/",
            "/large/",
            "/binary/",
            "/latin/",
            "/hidden/",
            "/case/",
            "/below/",
            "/outside/",
            "/absolute/",
        ] {
            assert_eq!(shown(&server, target), None, "{target}");
        }
    }
}

#[test]
fn a_long_listing_has_its_readme() {
    let site = Site::in_memory();
    for number in 0..2000 {
        site.file(format!("{number}"), "");
    }
    let text = "<\"é🎉:\n".repeat(5000);
    site.file("README.md", &text);
    let server = Server::start(&site);
    for _ in 0..2 {
        assert_eq!(shown(&server, "/").as_deref(), Some(text.trim_end()));
        assert_eq!(names(&server.get("/?format=json")).len(), 2001);
    }
}

#[test]
fn a_readme_on_another_file_system_makes_no_other_client_wait() {
    let site = Site::new();
    site.directory("below/mount");
    fs::create_dir(site.beside("source")).unwrap();
    fs::write(site.beside("source").join("README"), "far").unwrap();
    fs::write(site.beside("delays"), "").unwrap();
    site.link("README", "below/mount/README");
    let [source, delays] = ["source", "delays"].map(|name| site.beside(name));
    let Some(mount) = Mount::slow(&source, &site.at("below/mount"), &delays) else {
        return;
    };
    let server = Server::of_path(&site.root(), &[]);
    for _ in 0..3 {
        assert_eq!(shown(&server, "/").as_deref(), Some("far"));
    }
    let stopped = mount.stop_daemon();
    let mut waiting = server.connect();
    waiting.send(get("/"));
    assert_eq!(server.get("/hello.txt").status(), 200);
    drop(stopped);
    assert_eq!(readme(waiting.read_reply().text()).as_deref(), Some("far"));
}
