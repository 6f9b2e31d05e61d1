//! Files that only root can read, after `--user`: one thread keeps the right to read them again.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;

use rustix::process::Signal;

use super::{Pair, finish, has_openssl, reload, s_client, subject};
use crate::confinement::{has_landlock, status};
use crate::support::{Site, wait_until};
use crate::users::test_user;

/// Makes the directory and the files of a pair readable for root only.
fn only_for_root(pair: &Pair) {
    fs::set_permissions(&pair.0, Permissions::from_mode(0o700)).unwrap();
    for file in ["cert.pem", "key.pem"] {
        fs::set_permissions(pair.at(file), Permissions::from_mode(0o600)).unwrap();
    }
}

#[test]
fn files_of_root_are_read_again_as_another_user() {
    let Some(user) = test_user() else { return };
    if !has_openssl() || !has_landlock() {
        return;
    }
    let site = Site::new();
    site.file("private.txt", "SECRET");
    fs::set_permissions(site.at("private.txt"), Permissions::from_mode(0o600)).unwrap();
    let pair = Pair::beside(&site, "one");
    only_for_root(&pair);
    let server = pair.serve(&site, &["--user", user, "-n", "2"]);
    assert_eq!(subject(&server), "one");
    // Two loops, the thread that reads, and four threads for files.
    wait_until("all threads run", || status(&server, "Name:").len() == 7);
    let names = status(&server, "Name:");
    for set in ["CapInh:", "CapPrm:", "CapEff:", "CapBnd:", "CapAmb:"] {
        for (name, capabilities) in names.iter().zip(status(&server, set)) {
            let is_kept = name == "httpoll-tls" && ["CapPrm:", "CapEff:"].contains(&set);
            let expected = if is_kept {
                "0000000000000004"
            } else {
                "0000000000000000"
            };
            assert_eq!(capabilities, expected, "{name} {set}");
        }
    }
    assert_eq!(status(&server, "Uid:"), ["65534 65534 65534 65534"; 7]);
    assert_eq!(status(&server, "Seccomp:"), ["2"; 7]);
    pair.renew("two");
    only_for_root(&pair);
    reload(&server, "two");
    let reply = finish(s_client(&server), "/private.txt");
    assert!(reply.contains("HTTP/1.1 403 "), "{reply}");
    assert!(!server.log_with_warnings().contains("restart"));
}

#[test]
fn no_capability_is_kept_for_files_that_the_user_can_read() {
    let Some(user) = test_user() else { return };
    if !has_openssl() {
        return;
    }
    let site = Site::new();
    let pair = Pair::beside(&site, "one");
    let server = pair.serve(&site, &["--user", user]);
    assert_eq!(subject(&server), "one");
    for set in ["CapPrm:", "CapEff:"] {
        let sets = status(&server, set);
        assert!(sets.iter().all(|set| set == "0000000000000000"), "{sets:?}");
    }
    pair.renew("two");
    reload(&server, "two");
}

#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
#[test]
fn without_landlock_no_capability_is_kept_and_a_warning_says_so() {
    use crate::confinement::older::{ENOSYS, with_refused_calls};
    let Some(user) = test_user() else { return };
    if !has_openssl() {
        return;
    }
    let site = Site::new();
    let pair = Pair::beside(&site, "one");
    only_for_root(&pair);
    let calls = [linux_raw_sys::general::__NR_landlock_create_ruleset];
    let server = with_refused_calls(&calls, ENOSYS, || pair.serve(&site, &["--user", user]));
    let warning = "httpoll: nobody (--user) cannot read the TLS files: \
        restart to use renewed ones, SIGHUP does not (no Landlock: not offered by this kernel)\n";
    let log = server.log_with_warnings();
    assert_eq!(log.matches(warning).count(), 1, "{log}");
    for set in ["CapPrm:", "CapEff:"] {
        let sets = status(&server, set);
        assert!(sets.iter().all(|set| set == "0000000000000000"), "{sets:?}");
    }
    server.signal(Signal::HUP);
    wait_until("the log says so", || {
        server
            .log()
            .contains("httpoll: the TLS files are not reloaded: ")
    });
    assert_eq!(subject(&server), "one");
}
