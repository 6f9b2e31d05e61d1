//! How flags and operands may be written, and what is made from their table: help, man page and completions.

use std::net::TcpListener;
use std::process::{Command, Output};

use crate::support::{Server, Site, command, run, run_command, skip};

const PROGRAM: &str = env!("CARGO_BIN_EXE_httpoll");

/// Returns what the program prints on standard output.
#[track_caller]
fn printed(options: &[&str]) -> String {
    let output = run(options);
    assert!(output.status.success(), "{options:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// Returns the error line of a program that must end with `code`.
#[track_caller]
fn refused(output: Output, code: i32) -> String {
    let message = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(code), "{message}");
    assert_eq!(message.lines().count(), 1, "{message}");
    message
}

/// Runs a script in a shell, where that is installed, and returns its standard output. `$1` is the program.
fn in_shell(shell: &[&str], script: &str) -> Option<String> {
    let (name, options) = shell.split_first().unwrap();
    let mut command = Command::new(name);
    command.args(options).args(["-c", script, "shell", PROGRAM]);
    let Ok(output) = command.output() else {
        skip(&format!("{name} is not installed"));
        return None;
    };
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && errors.is_empty(), "{errors}");
    Some(String::from_utf8(output.stdout).unwrap())
}

/// Returns the names in a help text: `-q` and `--quiet` of each entry.
fn names(help: &str) -> Vec<&str> {
    let entries = help.lines().filter(|line| line.starts_with("  "));
    let words = entries.flat_map(|line| line.get(..27).unwrap_or(line).split([' ', ',']));
    words.filter(|word| word.starts_with('-')).collect()
}

#[test]
fn help_has_all_flags_and_h_the_everyday_ones() {
    let (all, everyday) = (printed(&["--help"]), printed(&["-h"]));
    let (all, everyday) = (names(&all), names(&everyday));
    assert!(everyday.len() < all.len());
    assert!(everyday.iter().all(|name| all.contains(name)));
    for name in ["-b", "--bind", "-d", "-H", "-q", "-h", "--help", "-V"] {
        assert!(everyday.contains(&name), "{name}");
    }
    for name in ["--host", "-p", "-n", "--max-per-ip", "-c", "--generate"] {
        assert!(all.contains(&name), "{name}");
    }
}

#[test]
fn help_is_shown_whatever_stands_beside_it() {
    let (all, everyday) = (printed(&["--help"]), printed(&["-h"]));
    for beside in [&["--nonsense"][..], &["a", "b"], &["-n", "x"], &["65536"]] {
        for (help, text) in [("--help", &all), ("-h", &everyday)] {
            assert_eq!(printed(&[beside, &[help]].concat()), *text);
            assert_eq!(printed(&[&[help], beside].concat()), *text);
        }
    }
    assert_eq!(printed(&["-hV"]), everyday);
    let message = refused(run(&["--", "--help"]), 1);
    assert!(message.contains("no such directory"), "{message}");
}

#[test]
fn the_documents_have_the_same_usage_text() {
    assert!(include_str!("../../README.md").contains(&printed(&["-h"])));
    assert!(include_str!("../../docs/options.md").contains(&printed(&["--help"])));
}

#[test]
fn every_flag_is_in_the_man_page_and_in_the_completions() {
    let help = printed(&["--help"]);
    for what in ["man", "bash", "zsh", "fish"] {
        let text = printed(&["--generate", what]).replace("\\-", "-");
        for name in names(&help) {
            // fish has the dashes apart.
            let name = match name.strip_prefix("--") {
                Some(long) if what == "fish" => format!(" -l {long} "),
                None if what == "fish" => name.replace('-', " -s "),
                _ => name.to_owned(),
            };
            assert!(text.contains(&name), "{what}: {name}");
        }
    }
    assert!(refused(run(&["--generate", "tcsh"]), 2).contains("--generate wants man, bash"));
}

#[test]
fn the_man_page_has_no_faults() {
    let page = printed(&["--generate", "man"]);
    let site = Site::empty();
    site.file("httpoll.1", page);
    let page = site.at("httpoll.1");
    for (program, options) in [
        ("mandoc", &["-T", "lint"][..]),
        ("man", &["--warnings", "-E", "UTF-8", "-l"]),
    ] {
        let Ok(output) = Command::new(program).args(options).arg(&page).output() else {
            skip(&format!("{program} is not installed"));
            continue;
        };
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && errors.is_empty(), "{errors}");
        // mandoc prints its findings on standard output.
        assert!(program == "man" || output.stdout.is_empty(), "{output:?}");
    }
}

#[test]
fn bash_completes() {
    let script = r#"
        source <("$1" --generate bash); complete -p httpoll
        try() { COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _httpoll; echo "${COMPREPLY[@]}"; }
        try httpoll --log-f; try httpoll --log-format js; try httpoll --log-format = js
        try httpoll -b ''; try httpoll -d /et; try httpoll /et"#;
    if let Some(found) = in_shell(&["bash", "--norc"], script) {
        let expected = "complete -F _httpoll httpoll\n--log-format\njson\njson\n\n/etc\n/etc\n";
        assert_eq!(found, expected);
    }
}

#[test]
fn zsh_completes() {
    let script = r#"
        zmodload zsh/zpty; zpty shell zsh -f -i
        zpty -w shell "PROMPT=; autoload -Uz compinit; compinit -D -u; source <($1 --generate zsh); echo rea''dy"
        zpty -r shell out '*ready*'
        zpty -w -n shell "httpoll --log-f"$'\t'"js"$'\t'
        zpty -r shell out '*json*'; zpty -d shell; print -r -- "$out""#;
    if let Some(found) = in_shell(&["zsh", "-f"], script) {
        assert!(found.contains("--log-format"), "{found}");
        assert!(found.contains("json"), "{found}");
    }
}

#[test]
fn fish_completes() {
    let script = r#"
        $argv[2] --generate fish | source
        complete -C 'httpoll --log-f'; complete -C 'httpoll --log-format js'; complete -C 'httpoll -d /et'"#;
    if let Some(found) = in_shell(&["fish", "--no-config"], script) {
        let found: Vec<_> = found.split(['\t', '\n']).step_by(2).collect();
        assert_eq!(found[..2], ["--log-format", "json"]);
        assert!(found.contains(&"/etc/"), "{found:?}");
    }
}

#[test]
fn flags_may_be_clustered_and_glued() {
    let site = Site::new();
    let root = site.root();
    let root = root.to_str().unwrap();
    let glued = format!("-d{root}");
    for options in [
        &["0", "-b127.0.0.1", &glued][..],
        &["0", "-b127.0.0.1", "-qd", root],
        &["-qn2", "-b127.0.0.1:0", "--", root],
        &["-b=127.0.0.1", root, "0"],
        &["--bind=127.0.0.1", "0", "--", root],
        &["0", root, "-b", ":0"],
    ] {
        let server = Server::spawn(command(options));
        assert_eq!(server.get("/hello.txt").status(), 200, "{options:?}");
    }
}

#[test]
fn a_directory_or_a_file_stands_alone() {
    let site = Site::new();
    site.file("8080/a", "number").file("-dash/a", "dash");
    for (options, target, body) in [
        (&["docs", "0"][..], "/", "<p>index</p>\n"),
        (&["0", "hello.txt"], "/", "Hello, world!\n"),
        (&["0", "./8080"], "/a", "number"),
        (&["0", "8080/"], "/a", "number"),
        (&["0", "-d", "8080"], "/a", "number"),
        (&["0", "--", "-dash"], "/a", "dash"),
    ] {
        let mut command = command(&[&["-b", "127.0.0.1"], options].concat());
        command.current_dir(site.root());
        assert_eq!(
            Server::spawn(command).get(target).text(),
            body,
            "{options:?}"
        );
    }
}

#[test]
fn a_path_given_twice_is_bad_usage() {
    for options in [["-d", "a", "b"], ["b", "--directory", "a"], ["0", "a", "b"]] {
        let message = refused(run(&options), 2);
        assert!(
            message.contains("unexpected argument 'b': the path is already 'a'"),
            "{message}"
        );
    }
}

#[test]
fn a_path_on_the_command_line_replaces_that_of_the_config_file() {
    let site = Site::new();
    site.file(
        "httpoll.conf",
        "directory /nonexistent\nport 1\nbind 127.0.0.1\n",
    );
    let mut command = command(&["-c", "httpoll.conf", "docs", "0"]);
    command.current_dir(site.root());
    assert_eq!(Server::spawn(command).get("/").text(), "<p>index</p>\n");
}

#[test]
fn wrong_guesses_get_a_helpful_word() {
    for (options, hint) in [
        (&["-p", "8080"][..], "the port stands alone: httpoll 8080"),
        (&["-p8080"], "the port stands alone: httpoll 8080"),
        (&["--port", "9000"], "the port stands alone: httpoll 9000"),
        (&["--port=9000"], "the port stands alone: httpoll 9000"),
        (&["-b", "8080"], "the port stands alone: httpoll 8080"),
        (&["--host", "0.0.0.0"], "the address is given with --bind"),
        (&["--cgi"], "no CGI"),
        (&["-m", "http.server"], "python -m http.server"),
        (&["--root", "x"], "the directory stands alone"),
        (&["--dotfile"], "did you mean --dotfiles?"),
        (&["-qx"], "unknown option '-x'"),
        (&["--quiet=yes"], "--quiet takes no value"),
    ] {
        let message = refused(run(options), 2);
        assert!(message.contains(hint), "{options:?}: {message}");
    }
}

/// Runs the program with PORT in the environment.
fn with_port(port: &str, options: &[&str]) -> Command {
    let mut command = command(options);
    command.env("PORT", port);
    command
}

#[test]
fn port_in_the_environment_is_the_default() {
    let site = Site::new();
    site.file("httpoll.conf", "port 0\n");
    let file = site.at("httpoll.conf");
    let file = file.to_str().unwrap();
    let free = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let port = free.port().to_string();
    let server = Server::spawn(with_port(&port, &["-b", "127.0.0.1"]));
    assert_eq!(server.port(), free.port());
    // The port is taken now, so these would fail if they listened on it.
    for options in [
        &["-b", "127.0.0.1", "0"][..],
        &["-b", "127.0.0.1:0"],
        &["-b", "127.0.0.1", "-c", file],
    ] {
        for port in [port.as_str(), "nonsense"] {
            let server = Server::spawn(with_port(port, options));
            assert_ne!(server.port(), free.port(), "{options:?}");
        }
    }
}

#[test]
fn a_bad_port_in_the_environment_is_a_one_line_error() {
    for port in ["nonsense", "65536", "-1", "+80", " 80", "tcp://10.0.0.1:80"] {
        let message = refused(run_command(with_port(port, &[])), 2);
        assert!(
            message.starts_with("httpoll: PORT in the environment wants a number"),
            "{message}"
        );
    }
    let output = run_command(with_port("nonsense", &["--version"]));
    assert!(output.status.success());
}
