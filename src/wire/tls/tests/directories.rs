//! Which directories a reload needs.

use std::os::unix::fs::symlink;

use super::super::directories::directories;
use super::*;

/// Returns the directories of a path, relative to the directory of the test.
fn of(directory: &Directory, name: &str) -> Vec<PathBuf> {
    let root = directory.0.path().canonicalize().unwrap();
    let found = directories([directory.path(name).as_path()]).unwrap();
    found
        .iter()
        .map(|path| path.strip_prefix(&root).unwrap().to_owned())
        .collect()
}

#[test]
fn links_of_certbot_and_kubernetes_are_followed() {
    let directory = Directory::new();
    for name in ["live/x", "archive/x", "mount/..2026_11_27"] {
        fs::create_dir_all(directory.path(name)).unwrap();
    }
    let table = [
        ("live/x/fullchain.pem", "../../archive/x/fullchain3.pem"),
        ("mount/..data", "..2026_11_27"),
        ("mount/tls.crt", "..data/tls.crt"),
        ("site.pem", "live/x/fullchain.pem"),
        ("current", "archive"),
        ("first", "second"),
        ("second", "first"),
    ];
    for (link, target) in table {
        symlink(target, directory.path(link)).unwrap();
    }
    directory.write("archive/x/plain.pem", "");
    let table: &[(&str, &[&str])] = &[
        ("archive/x/plain.pem", &["archive/x"]),
        ("archive/x/absent.pem", &["archive/x"]),
        ("live/x/fullchain.pem", &["archive/x", "live/x"]),
        ("mount/tls.crt", &["mount"]),
        ("current/x/plain.pem", &["archive/x"]),
        ("live/x/../x/fullchain.pem", &["archive/x", "live/x"]),
        ("site.pem", &[""]),
    ];
    for (path, expected) in table {
        let expected: Vec<_> = expected.iter().map(PathBuf::from).collect();
        assert_eq!(of(&directory, path), expected, "{path}");
    }
    assert!(directories([directory.path("first").as_path()]).is_err());
    assert!(directories([directory.path("absent/site.pem").as_path()]).is_err());
}

#[test]
fn all_files_of_a_configuration_are_covered() {
    let directory = Directory::new();
    for name in ["certificates", "keys", "passwords", "responses"] {
        fs::create_dir(directory.path(name)).unwrap();
    }
    let made = make(&[]);
    let files = CertificateFiles::new(directory.write("certificates/a", &made.certificate))
        .with_key(directory.write("keys/a", &made.key))
        .with_password_file(directory.write("passwords/a", "x"));
    symlink("../responses/a", directory.path("certificates/a.ocsp")).unwrap();
    let found = TlsConfig::from_files([files])
        .unwrap()
        .directories()
        .unwrap();
    let root = directory.0.path().canonicalize().unwrap();
    let expected = ["certificates", "keys", "passwords", "responses"].map(|name| root.join(name));
    assert_eq!(found, expected);
    let pem = format!("{}{}", made.certificate, made.key);
    let in_memory = TlsConfig::from_pem(pem.as_bytes()).unwrap();
    assert_eq!(in_memory.directories().unwrap(), Vec::<PathBuf>::new());
}
