//! Downloads with curl.

use std::fs;
use std::process::{Command, Output};

use crate::support::{Server, Site, skip};

/// Runs curl in the directory of `site`; `None` where there is no curl.
fn curl(site: &Site, arguments: &[&str]) -> Option<Output> {
    let mut command = Command::new("curl");
    command.args(["--silent", "--show-error", "--fail", "--max-time", "20"]);
    let output = command.args(arguments).current_dir(site.root()).output();
    if let Err(error) = &output {
        skip(&format!("there is no curl: {error}"));
    }
    output.ok()
}

#[test]
fn curl_resumes_a_download() {
    let (site, downloads) = (Site::new(), Site::empty());
    let content: Vec<u8> = (0..1_000_000_u32).flat_map(u32::to_le_bytes).collect();
    site.file("large.bin", &content);
    let server = Server::start(&site);
    let url = format!("http://{}/large.bin", server.address());
    for had in [1, 4096, 2_000_001, 3_999_999] {
        downloads.file("large.bin", &content[..had]);
        let Some(output) = curl(&downloads, &["-C", "-", "-O", &url]) else {
            return;
        };
        assert!(output.status.success(), "{output:?}");
        let whole = fs::read(downloads.at("large.bin")).unwrap() == content;
        assert!(whole, "after {had} bytes");
    }
    for (line, rest) in server
        .log_lines(4)
        .iter()
        .zip([3_999_999, 3_995_904, 1_999_999, 1])
    {
        assert!(line.ends_with(&format!("\" 206 {rest}")), "{line}");
    }
}

#[test]
fn curl_leaves_a_complete_download_alone() {
    let (site, downloads) = (Site::new(), Site::empty());
    let server = Server::start(&site);
    downloads.file("hello.txt", "Hello, world!\n");
    let url = format!("http://{}/hello.txt", server.address());
    if curl(&downloads, &["-C", "-", "-O", &url]).is_some() {
        let content = fs::read_to_string(downloads.at("hello.txt")).unwrap();
        assert_eq!(content, "Hello, world!\n");
        assert!(server.log_lines(1)[0].contains("\" 416 "));
    }
}

#[test]
fn curl_downloads_several_files_over_one_connection() {
    let (site, downloads) = (Site::new(), Site::empty());
    let server = Server::start(&site);
    let url = format!(
        "http://{}/{{hello.txt,docs/index.html,dir/file.txt}}",
        server.address()
    );
    let options = ["-o", "#1", "--create-dirs", "-w", "%{num_connects} ", &url];
    if let Some(output) = curl(&downloads, &options) {
        assert_eq!(
            output.stdout, b"1 0 0 ",
            "connections that each file needed"
        );
        assert_eq!(fs::read(downloads.at("dir/file.txt")).unwrap(), b"in dir\n");
    }
}
