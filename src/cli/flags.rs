//! The table of flags: one record for each. The parser, `-h`, `--help`, the man page, the completions and the README follow
//! from it. What a flag means is said by [`super::Options`].

/// One flag of the command line, which is also one option of a configuration file.
#[derive(Debug)]
pub(super) struct Flag {
    /// The long name with its dashes; without them it is the name in a configuration file.
    pub(super) long: &'static str,
    /// The short name with its dash; empty where there is none.
    pub(super) short: &'static str,
    pub(super) value: Value,
    pub(super) group: Group,
    /// Whether `-h` shows the flag. `--help` shows all.
    pub(super) is_everyday: bool,
    /// What the flag does; the default in parentheses at the end.
    pub(super) help: &'static str,
}

/// What follows a flag, with the name that the help gives it.
#[derive(Debug, Clone, Copy)]
pub(super) enum Value {
    /// Nothing follows.
    None,
    Text(&'static str),
    /// A file or a directory.
    Path(&'static str),
    /// A user of this machine.
    User(&'static str),
    /// One of these words.
    Word(&'static str, &'static [&'static str]),
}

impl Value {
    /// Returns the name of the value; "" where a flag takes none.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Text(name) | Self::Path(name) | Self::User(name) | Self::Word(name, _) => name,
        }
    }
}

/// What a flag is about: a section of `--help` and of the man page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Group {
    Address,
    Tls,
    Files,
    Replies,
    Load,
    Log,
    Process,
    /// The program does this and ends. These flags cannot stand in a configuration file.
    Action,
}

impl Group {
    pub(super) const ALL: [Self; 8] = [
        Self::Address,
        Self::Tls,
        Self::Files,
        Self::Replies,
        Self::Load,
        Self::Log,
        Self::Process,
        Self::Action,
    ];

    pub(super) fn title(self) -> &'static str {
        match self {
            Self::Address => "Address",
            Self::Tls => "HTTPS",
            Self::Files => "Files",
            Self::Replies => "Replies",
            Self::Load => "Load",
            Self::Log => "Log",
            Self::Process => "Process",
            Self::Action => "Instead of serving",
        }
    }
}

/// Returns the flag of this name, long or short, with its dashes.
pub(super) fn find(name: &str) -> Option<&'static Flag> {
    FLAGS
        .iter()
        .find(|flag| flag.long == name || (flag.short == name && !name.is_empty()))
}

/// What stands on the command line without a flag: name and help.
pub(super) const OPERANDS: [(&str, &str); 2] = [
    (
        "PORT",
        "port to listen on; 0 takes a free one (PORT in the environment, or 8000)",
    ),
    (
        "PATH",
        "directory to serve, or a single file; write ./2024 if its name is a number (.)",
    ),
];

pub(super) const FLAGS: &[Flag] = &[
    Flag {
        long: "--bind",
        short: "-b",
        value: Value::Text("ADDRESS"),
        group: Group::Address,
        is_everyday: true,
        help: "address to listen on: a name, an IP, * for all, host:port, :port, or unix:PATH; may be repeated (*)",
    },
    Flag {
        long: "--host",
        short: "",
        value: Value::Text("NAME"),
        group: Group::Address,
        is_everyday: false,
        help: "answer only requests for this host or host:port, and others with 421; may be repeated (any host)",
    },
    Flag {
        long: "--trusted-proxy",
        short: "",
        value: Value::Text("NET"),
        group: Group::Address,
        is_everyday: false,
        help: "proxies, as a network or unix, that name the client; may be repeated (none)",
    },
    Flag {
        long: "--proxy-protocol",
        short: "",
        value: Value::None,
        group: Group::Address,
        is_everyday: false,
        help: "require the PROXY protocol from trusted proxies",
    },
    Flag {
        long: "--admin",
        short: "",
        value: Value::Text("ADDRESS"),
        group: Group::Address,
        is_everyday: false,
        help: "answer /livez, /readyz and /metrics at this host:port, :port or unix:PATH, which should be private (nowhere)",
    },
    Flag {
        long: "--tls-cert",
        short: "",
        value: Value::Path("FILE"),
        group: Group::Tls,
        is_everyday: false,
        help: "serve HTTPS with this certificate chain, in PEM, which SIGHUP reads again; may be repeated, one for each name",
    },
    Flag {
        long: "--tls-key",
        short: "",
        value: Value::Path("FILE"),
        group: Group::Tls,
        is_everyday: false,
        help: "the private key of the certificate; repeated, the second belongs to the second one (in the certificate's file)",
    },
    Flag {
        long: "--tls-password-file",
        short: "",
        value: Value::Path("FILE"),
        group: Group::Tls,
        is_everyday: false,
        help: "the password of encrypted private keys is in this file",
    },
    Flag {
        long: "--redirect-http",
        short: "",
        value: Value::Text("ADDRESS"),
        group: Group::Tls,
        is_everyday: false,
        help: "listen for HTTP on host:port or :port, too, and redirect it to HTTPS; may be repeated",
    },
    Flag {
        long: "--directory",
        short: "-d",
        value: Value::Path("PATH"),
        group: Group::Files,
        is_everyday: true,
        help: "directory to serve, or a single file (.)",
    },
    Flag {
        long: "--no-listing",
        short: "",
        value: Value::None,
        group: Group::Files,
        is_everyday: false,
        help: "answer 403 instead of listing a directory",
    },
    Flag {
        long: "--follow-symlinks",
        short: "",
        value: Value::None,
        group: Group::Files,
        is_everyday: false,
        help: "follow symbolic links that lead out of the directory",
    },
    Flag {
        long: "--dotfiles",
        short: "",
        value: Value::None,
        group: Group::Files,
        is_everyday: false,
        help: "serve and list names that begin with a dot",
    },
    Flag {
        long: "--site",
        short: "",
        value: Value::None,
        group: Group::Files,
        is_everyday: true,
        help: "add pages without .html, 404.html, _redirects, _headers",
    },
    Flag {
        long: "--spa",
        short: "",
        value: Value::None,
        group: Group::Files,
        is_everyday: true,
        help: "send /index.html for pages that are not found",
    },
    Flag {
        long: "--compress",
        short: "",
        value: Value::None,
        group: Group::Files,
        is_everyday: true,
        help: "send compressed files where the client accepts them",
    },
    Flag {
        long: "--live",
        short: "",
        value: Value::None,
        group: Group::Files,
        is_everyday: true,
        help: "reload pages when files change; only on 127.0.0.1",
    },
    Flag {
        long: "--auth",
        short: "",
        value: Value::Path("FILE"),
        group: Group::Files,
        is_everyday: false,
        help: "ask for a user and a password, which stand in this file as htpasswd -B writes it (none)",
    },
    Flag {
        long: "--content-type",
        short: "",
        value: Value::Text("TYPE"),
        group: Group::Files,
        is_everyday: false,
        help: "type of unknown suffixes (text/plain for text, else application/octet-stream)",
    },
    Flag {
        long: "--mime",
        short: "",
        value: Value::Text("EXT=TYPE"),
        group: Group::Files,
        is_everyday: false,
        help: "type of files with this suffix, such as .foo=text/x-foo; may be repeated",
    },
    Flag {
        long: "--header",
        short: "-H",
        value: Value::Text("FIELD"),
        group: Group::Replies,
        is_everyday: true,
        help: "add 'NAME: VALUE' to every reply; may be repeated",
    },
    Flag {
        long: "--cors",
        short: "",
        value: Value::None,
        group: Group::Replies,
        is_everyday: true,
        help: "let pages of other origins read all replies (CORS)",
    },
    Flag {
        long: "--protocol",
        short: "-p",
        value: Value::Word("VERSION", &["HTTP/1.1", "HTTP/1.0"]),
        group: Group::Replies,
        is_everyday: false,
        help: "HTTP/1.1 or HTTP/1.0 (HTTP/1.1)",
    },
    Flag {
        long: "--loops",
        short: "-n",
        value: Value::Text("N"),
        group: Group::Load,
        is_everyday: false,
        help: "loops, each in a thread; 0 is one per processor (1)",
    },
    Flag {
        long: "--max-per-ip",
        short: "",
        value: Value::Text("N"),
        group: Group::Load,
        is_everyday: false,
        help: "connections of one client at a time (any number)",
    },
    Flag {
        long: "--keep-alive",
        short: "",
        value: Value::Text("SEC"),
        group: Group::Load,
        is_everyday: false,
        help: "seconds after which an idle connection closes (75)",
    },
    Flag {
        long: "--drain-delay",
        short: "",
        value: Value::Text("SEC"),
        group: Group::Load,
        is_everyday: false,
        help: "seconds to go on listening after SIGTERM, while each reply ends its connection (0)",
    },
    Flag {
        long: "--drain-timeout",
        short: "",
        value: Value::Text("SEC"),
        group: Group::Load,
        is_everyday: false,
        help: "seconds after that for replies in flight (25)",
    },
    Flag {
        long: "--file-threads",
        short: "",
        value: Value::Text("N"),
        group: Group::Load,
        is_everyday: false,
        help: "threads that wait for slow disks and file servers in place of the loop (4)",
    },
    Flag {
        long: "--file-timeout",
        short: "",
        value: Value::Text("SEC"),
        group: Group::Load,
        is_everyday: false,
        help: "seconds that a request waits for a disk or file server (30)",
    },
    Flag {
        long: "--log-format",
        short: "",
        value: Value::Word("FORMAT", &["common", "combined", "json"]),
        group: Group::Log,
        is_everyday: false,
        help: "common, combined or json (common)",
    },
    Flag {
        long: "--log",
        short: "",
        value: Value::Path("FILE"),
        group: Group::Log,
        is_everyday: false,
        help: "append the access log to this file, which SIGHUP opens again (-, standard error)",
    },
    Flag {
        long: "--quiet",
        short: "-q",
        value: Value::None,
        group: Group::Log,
        is_everyday: true,
        help: "write no access log",
    },
    Flag {
        long: "--report",
        short: "",
        value: Value::None,
        group: Group::Log,
        is_everyday: false,
        help: "print at the end what was served and what limited it; SIGUSR1 prints it at any time",
    },
    Flag {
        long: "--user",
        short: "",
        value: Value::User("NAME"),
        group: Group::Process,
        is_everyday: false,
        help: "become this user once the port is open; only for root",
    },
    Flag {
        long: "--config",
        short: "-c",
        value: Value::Path("FILE"),
        group: Group::Process,
        is_everyday: false,
        help: "read options from a file, one per line, where # begins a comment line; the command line wins",
    },
    Flag {
        long: "--open",
        short: "-o",
        value: Value::None,
        group: Group::Process,
        is_everyday: true,
        help: "open a browser at the address ($BROWSER, or xdg-open)",
    },
    Flag {
        long: "--calibrate",
        short: "",
        value: Value::None,
        group: Group::Action,
        is_everyday: false,
        help: "measure for 3 seconds the most that this kernel allows, print how to compare with it, and exit",
    },
    Flag {
        long: "--generate",
        short: "",
        value: Value::Word("WHAT", &["man", "bash", "zsh", "fish"]),
        group: Group::Action,
        is_everyday: false,
        help: "print the man page (man), or the completions of a shell (bash, zsh or fish)",
    },
    Flag {
        long: "--help",
        short: "-h",
        value: Value::None,
        group: Group::Action,
        is_everyday: true,
        help: "print all options; -h prints those of every day",
    },
    Flag {
        long: "--version",
        short: "-V",
        value: Value::None,
        group: Group::Action,
        is_everyday: true,
        help: "print the version",
    },
];
