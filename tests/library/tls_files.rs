//! TLS files that a reload reads again, with the rights of a loop or of a thread of its own.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;

use httpoll::{
    BaseHttpRequestHandler, CertificateFiles, Confinement, HttpServer, ServerHandle, TlsConfig,
};
use rcgen::{CertificateParams, DnType, KeyPair};

use crate::common::has_landlock;
use crate::running::eventually;

struct Nothing;
impl BaseHttpRequestHandler for Nothing {}

/// Writes a certificate whose subject is `name`, and its key.
fn renew(path: &Path, name: &str) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    let certificate = params.self_signed(&key).unwrap();
    fs::write(path, certificate.pem() + &key.serialize_pem()).unwrap();
}

/// Whether the certificate of the server at `address` has the subject `name`; `None` where openssl is not installed.
fn has_subject(address: SocketAddr, name: &str) -> Option<bool> {
    let address = address.to_string();
    let mut command = Command::new("openssl");
    command
        .args(["s_client", "-connect", &address])
        .stdin(Stdio::null());
    let output = command.output().ok()?;
    let printed = String::from_utf8_lossy(&output.stdout).replace(' ', "");
    Some(printed.contains(&format!("subject=CN={name}\n")))
}

/// Renews the certificate of a server, whose loop runs after `prepare`, and waits until a reload has put it in force.
fn reload_after(prepare: impl FnOnce(&ServerHandle, &Path) -> Option<Confinement>) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("cert.pem");
    renew(&path, "one");
    let tls = TlsConfig::from_files([CertificateFiles::new(&path)]).unwrap();
    let mut server = HttpServer::bind_tls("127.0.0.1:0", Nothing, &tls).unwrap();
    let (address, handle) = (server.server_address().unwrap(), server.handle());
    let confinement = prepare(&handle, directory.path());
    let thread = thread::spawn(move || {
        confinement.map(Confinement::enforce);
        server.serve_forever()
    });
    if has_subject(address, "one") == Some(true) {
        renew(&path, "two");
        handle.reload();
        eventually(|| has_subject(address, "two") == Some(true));
    } else {
        eprintln!("skipped: openssl is not installed");
    }
    handle.shutdown();
    thread.join().unwrap().unwrap();
}

#[test]
fn a_reload_reads_the_files_in_a_thread_that_it_starts() {
    reload_after(|_, _| None);
}

#[test]
fn a_thread_that_was_started_for_it_reads_what_the_loop_may_not_read() {
    if !has_landlock() {
        return;
    }
    reload_after(|handle, directory| {
        let directory = File::open(directory).unwrap();
        let reading = Confinement::new()
            .only_serving()
            .read_files_below(directory);
        assert_eq!(handle.start_tls_reader(reading).unwrap().missing(), None);
        Some(Confinement::new().only_serving())
    });
}
