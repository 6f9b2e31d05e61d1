//! The options as they were typed, on the command line or in the configuration file. [`super::Options`] says what they mean.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;

use pico_args::{Arguments, Keys};

use super::CommandError;

/// Every option as it was typed.
#[derive(Debug, Default)]
pub(crate) struct Typed {
    pub(crate) help: bool,
    pub(crate) version: bool,
    pub(crate) port: Option<String>,
    pub(crate) bind: Vec<String>,
    pub(crate) hosts: Vec<String>,
    pub(crate) directory: Option<PathBuf>,
    pub(crate) protocol: Option<String>,
    pub(crate) loops: Option<String>,
    pub(crate) headers: Vec<String>,
    pub(crate) max_per_ip: Option<String>,
    pub(crate) content_type: Option<String>,
    pub(crate) no_listing: bool,
    pub(crate) follow_symlinks: bool,
    pub(crate) dotfiles: bool,
    pub(crate) log_format: Option<String>,
    pub(crate) quiet: bool,
    pub(crate) report: bool,
    pub(crate) calibrate: bool,
    pub(crate) user: Option<String>,
    config: Option<PathBuf>,
}

impl Typed {
    pub(crate) fn parse(arguments: Vec<OsString>) -> Result<Self, CommandError> {
        let arguments = arguments.into_iter().flat_map(split_at_equals).collect();
        let mut arguments = Arguments::from_vec(arguments);
        let mut typed = Self {
            help: flag(&mut arguments, ["-h", "--help"]),
            version: flag(&mut arguments, ["-V", "--version"]),
            bind: texts(&mut arguments, "-b", "--bind")?,
            hosts: texts(&mut arguments, "", "--host")?,
            directory: last(values(&mut arguments, "-d", "--directory")?).map(PathBuf::from),
            protocol: last(texts(&mut arguments, "-p", "--protocol")?),
            loops: last(texts(&mut arguments, "-n", "--loops")?),
            headers: texts(&mut arguments, "-H", "--header")?,
            max_per_ip: last(texts(&mut arguments, "", "--max-per-ip")?),
            content_type: last(texts(&mut arguments, "", "--content-type")?),
            no_listing: flag(&mut arguments, "--no-listing"),
            follow_symlinks: flag(&mut arguments, "--follow-symlinks"),
            dotfiles: flag(&mut arguments, "--dotfiles"),
            log_format: last(texts(&mut arguments, "", "--log-format")?),
            quiet: flag(&mut arguments, ["-q", "--quiet"]),
            report: flag(&mut arguments, "--report"),
            calibrate: flag(&mut arguments, "--calibrate"),
            user: last(texts(&mut arguments, "", "--user")?),
            config: last(values(&mut arguments, "-c", "--config")?).map(PathBuf::from),
            port: None,
        };
        for argument in arguments.finish() {
            let text = argument.to_string_lossy().into_owned();
            if text.starts_with('-') && text.len() > 1 {
                return Err(usage(format!("unknown option '{}'", text.escape_debug())));
            } else if typed.port.is_some() {
                return Err(usage(format!(
                    "unexpected argument '{}'",
                    text.escape_debug()
                )));
            }
            typed.port = Some(text);
        }
        Ok(typed)
    }

    /// Fills in from the configuration file what the command line does not give.
    pub(crate) fn with_config_file(self) -> Result<Self, CommandError> {
        let Some(path) = &self.config else {
            return Ok(self);
        };
        let name = path.to_string_lossy();
        let name = name.escape_debug();
        let text = fs::read_to_string(path).map_err(|error| {
            CommandError::Run(format!(
                "cannot read the configuration file {name}: {error}"
            ))
        })?;
        let in_file = |failure| match failure {
            CommandError::Usage(message) | CommandError::Run(message) => {
                CommandError::Usage(format!("{name}: {message}"))
            }
        };
        let mut file = Self::default();
        for line in text.lines() {
            // Each line is parsed by itself, so that an option without a value cannot take the next line as its value.
            let words = words(line);
            let typed = Self::parse(words.clone()).map_err(in_file)?;
            if let ([option, _], Some(_)) = (words.as_slice(), &typed.port) {
                return Err(in_file(usage(format!(
                    "{} takes no value",
                    option.display()
                ))));
            }
            file = typed.after(file);
        }
        if file.config.is_some() || file.help || file.version || file.calibrate {
            return Err(in_file(usage(
                "--config, --calibrate, --help and --version cannot stand in a configuration file"
                    .to_owned(),
            )));
        }
        Ok(self.or(file))
    }

    /// Merges with the earlier lines of the file: this line wins, but options that may be repeated keep all their values.
    fn after(self, earlier: Self) -> Self {
        Self {
            bind: [earlier.bind.as_slice(), &self.bind].concat(),
            hosts: [earlier.hosts.as_slice(), &self.hosts].concat(),
            headers: [earlier.headers.as_slice(), &self.headers].concat(),
            ..self.or(earlier)
        }
    }

    /// Fills in from `other` every option that was not typed here.
    fn or(self, other: Self) -> Self {
        let either = |ours: Vec<String>, theirs| if ours.is_empty() { theirs } else { ours };
        Self {
            help: self.help || other.help,
            version: self.version || other.version,
            port: self.port.or(other.port),
            bind: either(self.bind, other.bind),
            hosts: either(self.hosts, other.hosts),
            directory: self.directory.or(other.directory),
            protocol: self.protocol.or(other.protocol),
            loops: self.loops.or(other.loops),
            headers: either(self.headers, other.headers),
            max_per_ip: self.max_per_ip.or(other.max_per_ip),
            content_type: self.content_type.or(other.content_type),
            no_listing: self.no_listing || other.no_listing,
            follow_symlinks: self.follow_symlinks || other.follow_symlinks,
            dotfiles: self.dotfiles || other.dotfiles,
            quiet: self.quiet || other.quiet && self.log_format.is_none(),
            log_format: self.log_format.or(other.log_format),
            report: self.report || other.report,
            calibrate: self.calibrate || other.calibrate,
            user: self.user.or(other.user),
            config: self.config.or(other.config),
        }
    }
}

/// Splits `--option=value`. pico-args does this only in UTF-8, and a path need not be UTF-8.
fn split_at_equals(argument: OsString) -> Vec<OsString> {
    let bytes = argument.as_bytes();
    match bytes.iter().position(|byte| *byte == b'=') {
        Some(equals) if bytes.starts_with(b"--") => {
            let (option, value) = bytes.split_at(equals);
            vec![
                OsStr::from_bytes(option).into(),
                OsStr::from_bytes(&value[1..]).into(),
            ]
        }
        _ => vec![argument],
    }
}

/// Splits a line of a configuration file into an option, with or without its dashes, and the rest of the line as its value.
fn words(line: &str) -> Vec<OsString> {
    let line = line.trim();
    if line.is_empty() || line.starts_with('#') {
        return Vec::new();
    }
    let (option, value) = line.split_once([' ', '\t', '=']).unwrap_or((line, ""));
    let value =
        value.trim_start_matches(|character: char| character.is_whitespace() || character == '=');
    if option == "port" {
        return vec![value.into()];
    }
    let is_bare_name = !option.starts_with('-') && option.parse::<u64>().is_err();
    let option = if is_bare_name {
        format!("--{option}")
    } else {
        option.to_owned()
    };
    let value = (!value.is_empty()).then(|| value.into());
    [Some(option.into()), value].into_iter().flatten().collect()
}

/// Returns whether a flag was typed, and removes all its repetitions.
fn flag(arguments: &mut Arguments, keys: impl Into<Keys> + Copy) -> bool {
    let mut is_typed = false;
    while arguments.contains(keys) {
        is_typed = true;
    }
    is_typed
}

/// Returns all values of an option in the order in which they were typed.
fn values(
    arguments: &mut Arguments,
    short: &'static str,
    long: &'static str,
) -> Result<Vec<OsString>, CommandError> {
    let mut values = Vec::new();
    let take = |value: &OsStr| Ok::<_, std::convert::Infallible>(value.to_owned());
    loop {
        let value = if short.is_empty() {
            arguments.opt_value_from_os_str(long, take)
        } else {
            arguments.opt_value_from_os_str([short, long], take)
        };
        match value {
            Ok(Some(value)) => values.push(value),
            Ok(None) => return Ok(values),
            Err(_) => return Err(usage(format!("{long} wants a value"))),
        }
    }
}

fn texts(
    arguments: &mut Arguments,
    short: &'static str,
    long: &'static str,
) -> Result<Vec<String>, CommandError> {
    let text = |value: OsString| {
        value
            .into_string()
            .map_err(|value| usage(format!("{long} wants text, not {value:?}")))
    };
    values(arguments, short, long)?
        .into_iter()
        .map(text)
        .collect()
}

/// Returns the last value: of a repeated option the last one counts, as usual on Unix.
fn last<T>(mut values: Vec<T>) -> Option<T> {
    values.pop()
}

fn usage(message: String) -> CommandError {
    CommandError::Usage(format!("{message} (see httpoll --help)"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_the_configuration_file_is_an_option() {
        let table: [(&str, &[&str]); 8] = [
            ("--bind 127.0.0.1", &["--bind", "127.0.0.1"]),
            ("  -d  /srv/my files  ", &["-d", "/srv/my files"]),
            ("header X-A: b c", &["--header", "X-A: b c"]),
            ("log-format = json", &["--log-format", "json"]),
            ("quiet", &["--quiet"]),
            ("8080", &["8080"]),
            ("port 8080", &["8080"]),
            ("# a comment", &[]),
        ];
        for (line, expected) in table {
            assert_eq!(words(line), expected, "{line}");
        }
    }

    #[test]
    fn the_last_value_of_a_repeated_option_counts() {
        let typed =
            Typed::parse(["-d", "a", "--directory=b"].map(OsString::from).to_vec()).unwrap();
        assert_eq!(typed.directory, Some("b".into()));
    }
}
