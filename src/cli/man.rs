//! The man page, in the macros of man(7).

use super::flags::{FLAGS, Flag, Group, OPERANDS};
use super::help::wrapped;

const BEGIN: &str = concat!(
    ".TH HTTPOLL 1 2026-11-27 \"httpoll ",
    env!("CARGO_PKG_VERSION"),
    "\"\n",
    r#".SH NAME
httpoll \- serve a directory over HTTP
.SH SYNOPSIS
.B httpoll
.RI [ OPTIONS ]
.RI [ PORT ]
.RI [ PATH ]
.SH DESCRIPTION
.B httpoll
serves the current directory, another directory or a single file over
HTTP/1.1, on request as HTTPS, with the defaults of
.BR "python \-m http.server" .
It prints the addresses at which it listens, and serves until Ctrl\-C or
SIGTERM.
.PP
Options and operands stand in any order; after
.B \-\-
come operands alone.
Short options may be joined, and a value may be glued to its option:
.BR \-qn2 ,
.BR \-\-loops=2 .
Of a repeated option the last value counts, unless it may be repeated.
.SH OPERANDS
"#
);

const END: &str = r#".SH CONFIGURATION FILE
Each line is a long option without its dashes, and its value without quotes:
.PP
.EX
# public.conf
directory   /srv/public files
port        8080
header      Cache\-Control: no\-cache
no\-listing
.EE
.PP
An option on the command line replaces the same option of the file.
.SH ENVIRONMENT
.TP
.B PORT
The port, where neither the command line nor the configuration file gives
one.
.SH SIGNALS
After SIGINT or SIGTERM the program goes on for
.BR \-\-drain\-delay ,
while each reply ends its connection.
Then it stops listening, answers requests that are on their way, and lets
replies in flight finish, for at most
.BR \-\-drain\-timeout .
A second signal ends it at once.
SIGHUP opens the file of
.B \-\-log
again, and reads the files of
.B \-\-tls\-cert
and
.B \-\-tls\-key
again.
SIGUSR1 prints what
.B \-\-report
prints at the end.
.SH EXIT STATUS
.TP
.B 0
The program was ended by a signal, or has printed what was asked for.
.TP
.B 1
It cannot do what was asked, for example because the port is in use.
.TP
.B 2
An option or the configuration file is wrong.
.SH EXAMPLES
.TP
.B httpoll dist 8080
Serves the directory
.I dist
on port 8080.
.TP
.B httpoll \-b 127.0.0.1 movie.mp4
Serves one file, for this machine alone.
.TP
.B httpoll \-b :443 \-\-redirect\-http :80 \-\-tls\-cert cert.pem \-\-tls\-key key.pem dist
Serves the directory
.I dist
over HTTPS, and redirects HTTP to it.
"#;

pub(super) fn page() -> String {
    let mut page = BEGIN.to_owned();
    for (name, help) in OPERANDS {
        page += &format!(".TP\n.I {name}\n{}", wrapped("", &escaped(help)));
    }
    page += ".SH OPTIONS\n";
    for group in Group::ALL {
        page += &format!(".SS {}\n", group.title());
        for flag in FLAGS.iter().filter(|flag| flag.group == group) {
            let help = wrapped("", &escaped(flag.help));
            page += &format!(".TP\n{}\n{help}", names(flag));
        }
    }
    page + END
}

fn names(flag: &Flag) -> String {
    let long = escaped(flag.long);
    let names = match flag.short {
        "" => format!("\\fB{long}\\fR"),
        short => format!("\\fB{}\\fR, \\fB{long}\\fR", escaped(short)),
    };
    match flag.value.name() {
        "" => names,
        value => format!("{names} \\fI{value}\\fR"),
    }
}

/// Escapes what roff would not print as it stands. A line that begins with a dot would be a request.
fn escaped(text: &str) -> String {
    let text = text.replace("\\", "\\e").replace("-", "\\-");
    let text = text.replace("'", "\\(aq").replace(" .", " \\&.");
    match text.strip_prefix('.') {
        Some(rest) => format!("\\&.{rest}"),
        None => text,
    }
}
