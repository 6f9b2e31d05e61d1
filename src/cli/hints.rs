//! A helpful word for wrong guesses: names that other servers give their flags, and misspelled ones.

use std::ffi::OsStr;
use std::net::IpAddr;

use super::flags::{self, FLAGS};
use super::{CommandError, usage, values};

/// Flags of Python's http.server and of other servers, and what is written here in their place.
static GUESSES: [(&[&str], &str); 16] = [
    (
        &[
            "--address",
            "--addr",
            "--listen",
            "--interfaces",
            "--interface",
            "--ip",
            "-l",
            "-a",
            "-i",
            "-S",
        ],
        "the address is given with --bind",
    ),
    (
        &[
            "--root",
            "--dir",
            "--path",
            "--folder",
            "--document-root",
            "-r",
        ],
        "the directory stands alone, or after -d: httpoll dist",
    ),
    (&["--cgi"], "httpoll runs no CGI scripts"),
    (
        &["-m"],
        "httpoll stands for 'python -m http.server': httpoll 8000",
    ),
    (&["--silent", "--no-log", "-s"], "-q writes no access log"),
    (
        &["--verbose", "-v"],
        "the log has every request; -V prints the version",
    ),
    (
        &["--threads", "--workers", "-t", "-j"],
        "-n sets the number of loops",
    ),
    (
        &["--hidden", "--no-dotfiles"],
        "--dotfiles serves names that begin with a dot",
    ),
    (
        &["--cache", "--no-cache"],
        "-H 'Cache-Control: no-store' stops caching",
    ),
    (
        &["--mime-type", "--mimetypes", "--default-mimetype"],
        "--mime EXT=TYPE sets the type of a suffix, --content-type that of unknown ones",
    ),
    (
        &["--open-browser", "--browser", "--no-browser"],
        "--open opens a browser; without it, none is opened",
    ),
    (
        &["--username", "--password", "--basic-auth", "--htpasswd"],
        "--auth FILE asks for a user and a password of a file that htpasswd -B writes",
    ),
    (
        &["--daemon", "--foreground", "--background", "-f"],
        "httpoll stays in the foreground; systemd-run starts it as a service",
    ),
    (
        &["--chroot", "--uid", "--gid"],
        "--user NAME gives up root once the port is open",
    ),
    (
        &["--enable-cors", "--allow-origin"],
        "--cors lets pages of other origins read every reply",
    ),
    (
        &[
            "--tls",
            "--ssl",
            "--https",
            "--cert",
            "--certfile",
            "--certificate",
            "--ssl-cert",
        ],
        "--tls-cert FILE serves HTTPS, with --tls-key FILE if the key is not in the same file",
    ),
];

/// Returns the error for a flag that does not exist. `next` is its value, or the argument behind it.
pub(super) fn unknown(name: &str, next: Option<&OsStr>) -> CommandError {
    let next = next.and_then(OsStr::to_str).unwrap_or_default();
    let hint = guess(&with_two_dashes(name), next)
        .or_else(|| guess(name, next))
        .or_else(|| nearest(name).map(|known| format!("did you mean {known}?")));
    let colon = if hint.is_some() { ": " } else { "" };
    usage(format_args!(
        "unknown option '{}'{colon}{}",
        name.escape_debug(),
        hint.unwrap_or_default()
    ))
}

/// Returns whether `argument` is a long flag that lacks a dash, as `-bind`.
pub(super) fn is_long_with_one_dash(argument: &str) -> bool {
    let long = with_two_dashes(argument);
    argument.len() > 2 && (flags::find(&long).is_some() || guess(&long, "").is_some())
}

/// Returns the hint that the port is no flag, for the port that was meant.
pub(super) fn port_stands_alone(port: &str) -> String {
    let port = if is_number(port) { port } else { "8080" };
    format!("the port stands alone: httpoll {port}")
}

/// Returns the hint for a path that does not exist and looks like an address to listen on; "" for other paths.
pub(super) fn address_not_path(path: &str) -> String {
    let is_address = path == "localhost"
        || path.parse::<IpAddr>().is_ok()
        || values::bind(path).is_ok_and(|bind| !bind.is_without_port());
    if is_address {
        format!(" (to listen there: httpoll -b {path})")
    } else {
        String::new()
    }
}

pub(super) fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn guess(name: &str, next: &str) -> Option<String> {
    let is_named = |names: &[&str]| names.contains(&name);
    if is_named(&["--port", "-P"]) || is_named(&["--listen", "-l"]) && is_number(next) {
        return Some(port_stands_alone(next));
    }
    let (_, hint) = GUESSES.iter().find(|(names, _)| is_named(names))?;
    Some((*hint).to_owned())
}

fn with_two_dashes(name: &str) -> String {
    if name.starts_with("--") {
        name.to_owned()
    } else {
        format!("-{name}")
    }
}

/// Returns the known flag that `name` abbreviates, or the one with the fewest different letters if these are at most two.
fn nearest(name: &str) -> Option<&'static str> {
    let name = name.to_ascii_lowercase();
    if !name.starts_with("--") && name.len() == 2 {
        let mut shorts = FLAGS.iter().map(|flag| flag.short);
        return shorts.find(|short| short.eq_ignore_ascii_case(&name));
    }
    let name = with_two_dashes(&name);
    let abbreviated = |long: &&str| name.len() > 3 && long.starts_with(&name);
    let longs = || FLAGS.iter().map(|flag| flag.long);
    longs().find(abbreviated).or_else(|| {
        let distances = longs().map(|long| (distance(long, &name), long));
        let (distance, long) = distances.min()?;
        (distance <= 2).then_some(long)
    })
}

/// Returns how many bytes have to be changed, added or removed to turn one text into the other (Levenshtein).
fn distance(one: &str, other: &str) -> usize {
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (index, byte) in one.bytes().enumerate() {
        let mut diagonal = index;
        row[0] = index + 1;
        for (column, other) in other.bytes().enumerate() {
            let changed = diagonal + usize::from(byte != other);
            diagonal = row[column + 1];
            row[column + 1] = changed.min(diagonal + 1).min(row[column] + 1);
        }
    }
    row[other.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(name: &str, next: &str) -> String {
        match unknown(name, Some(OsStr::new(next))) {
            CommandError::Usage(message) | CommandError::Run(message) => message,
        }
    }

    #[test]
    fn wrong_guesses_get_a_hint() {
        let table = [
            ("--port", "9000", "the port stands alone: httpoll 9000"),
            ("-port", "x", "the port stands alone: httpoll 8080"),
            ("--root", "x", "httpoll dist"),
            ("--listen", "x", "--bind"),
            ("-S", "localhost:80", "--bind"),
            ("-l", "9000", "the port stands alone: httpoll 9000"),
            ("--ssl", "x", "--tls-cert FILE serves HTTPS"),
            ("--no-cache", "", "no-store"),
            ("--open-browser", "", "--open opens a browser"),
            ("--password", "x", "--auth FILE"),
            ("--enable-cors", "", "--cors"),
            ("--cgi", "", "no CGI"),
            ("-m", "http.server", "python -m http.server"),
            ("-bind", "x", "did you mean --bind?"),
            ("--direct", "x", "did you mean --directory?"),
            ("--no_listing", "", "did you mean --no-listing?"),
            ("--Quiet", "", "did you mean --quiet?"),
            ("--dotfile", "", "did you mean --dotfiles?"),
            ("-D", "", "did you mean -d?"),
        ];
        for (name, next, hint) in table {
            let message = message(name, next);
            assert!(message.starts_with(&format!("unknown option '{name}': ")));
            assert!(message.contains(hint), "{message}");
        }
    }

    #[test]
    fn an_option_that_is_like_no_other_gets_no_hint() {
        for name in ["--frobnicate", "-x", "-é", "--"] {
            let expected = format!("unknown option '{name}' (see httpoll --help)");
            assert_eq!(message(name, "1"), expected);
        }
    }

    #[test]
    fn no_flag_is_also_a_wrong_guess() {
        for flag in FLAGS {
            for name in [flag.long, flag.short] {
                assert_eq!(guess(name, ""), None, "{name}");
            }
        }
    }
}
