//! The options as they were typed, on the command line or in the configuration file. [`super::Options`] says what they mean.

use std::convert::Infallible;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::PathBuf;

use pico_args::{Arguments, Keys};

use super::arguments::Normalized;
use super::flags::{self, FLAGS, Group, Value};
use super::{CommandError, hints, usage};

/// The name of the port where flags have theirs.
const PORT: &str = "PORT";

/// All that was typed. Of one name the values keep their order.
#[derive(Debug, Default)]
pub(super) struct Typed(Vec<Given>);

/// One flag with its value, or the port.
#[derive(Debug)]
struct Given {
    name: &'static str,
    /// Empty for a flag without a value.
    value: OsString,
    /// File and line, as an error begins with them; empty for the command line.
    place: String,
}

impl Given {
    /// Parses the value. An error tells file and line.
    fn parse<T>(&self, parse: impl Fn(&str) -> Result<T, CommandError>) -> Result<T, CommandError> {
        self.text()
            .and_then(parse)
            .map_err(|error| error.at(&self.place))
    }

    fn text(&self) -> Result<&str, CommandError> {
        let (name, value) = (self.name, &self.value);
        let text = value.to_str();
        text.ok_or_else(|| usage(format_args!("{name} wants text, not {value:?}")))
    }
}

impl Typed {
    pub(super) fn parse(arguments: Vec<OsString>) -> Result<Self, CommandError> {
        let Normalized { flags, operands } = Normalized::new(arguments)?;
        let mut arguments = Arguments::from_vec(flags);
        let mut typed = Self::default();
        // `-h` shows less than `--help`, so it has a name of its own.
        while arguments.contains("-h") {
            typed.push("-h", OsString::new());
        }
        for flag in FLAGS {
            let keys = || match flag.short {
                "" => Keys::from(flag.long),
                short => Keys::from([short, flag.long]),
            };
            if matches!(flag.value, Value::None) {
                while arguments.contains(keys()) {
                    typed.push(flag.long, OsString::new());
                }
            } else {
                while let Ok(Some(value)) = arguments.opt_value_from_os_str(keys(), without_equals)
                {
                    typed.push(flag.long, value);
                }
            }
        }
        for operand in operands {
            typed.operand(operand)?;
        }
        Ok(typed)
    }

    /// Takes a number as the port, and other operands as what is served.
    fn operand(&mut self, operand: OsString) -> Result<(), CommandError> {
        let is_port = operand.to_str().is_some_and(hints::is_number);
        let (name, what) = if is_port {
            (PORT, "port")
        } else {
            ("--directory", "path")
        };
        if operand.is_empty() {
            return Err(usage(format_args!("an argument is empty")));
        } else if let Some(earlier) = self.last_given(name) {
            let [earlier, shown] = [&earlier.value, &operand].map(|text| text.to_string_lossy());
            let (earlier, shown) = (earlier.escape_debug(), shown.escape_debug());
            return Err(usage(format_args!(
                "unexpected argument '{shown}': the {what} is already '{earlier}'"
            )));
        }
        self.push(name, operand);
        Ok(())
    }

    fn push(&mut self, name: &'static str, value: OsString) {
        let place = String::new();
        self.0.push(Given { name, value, place });
    }

    /// Fills in from the configuration file what the command line does not give.
    pub(super) fn with_config_file(mut self) -> Result<Self, CommandError> {
        let Some(path) = self.path("--config") else {
            return Ok(self);
        };
        let shown = path.to_string_lossy();
        let shown = shown.escape_debug();
        let bytes = fs::read(&path).map_err(|error| {
            CommandError::Run(format!(
                "cannot read the configuration file {shown}: {error}"
            ))
        })?;
        // Editors of Windows begin a file with a byte order mark.
        let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes);
        let mut file = Self::default();
        for (number, line) in (1..).zip(bytes.split(|byte| *byte == b'\n')) {
            let place = format!("{shown}:{number}: ");
            // Each line is parsed by itself, so that an option without a value cannot take the next line as its value.
            let line = str::from_utf8(line)
                .map_err(|_| usage(format_args!("the line is not UTF-8")))
                .and_then(Self::line)
                .map_err(|error| error.at(&place))?;
            for given in line.0 {
                let place = place.clone();
                file.0.push(Given { place, ..given });
            }
        }
        // A format or a log file on the command line asks for the log that the configuration file turns off.
        let is_logged = self.is_given("--log-format") || self.is_given("--log");
        let is_replaced = |name| self.is_given(name) || is_logged && name == "--quiet";
        file.0.retain(|given| !is_replaced(given.name));
        self.0.append(&mut file.0);
        Ok(self)
    }

    /// Parses a line of a configuration file: an option, with or without its dashes, and the rest of the line as its value.
    fn line(line: &str) -> Result<Self, CommandError> {
        let mut typed = Self::default();
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            return Ok(typed);
        }
        let end = line.find([' ', '\t', '=']).unwrap_or(line.len());
        let (option, value) = line.split_at(end);
        let value = value.trim_start();
        let value = value.strip_prefix('=').unwrap_or(value).trim_start();
        let port = match option.trim_start_matches('-') {
            "" => return Err(hints::unknown(option, None)),
            "port" => Some(value),
            number if hints::is_number(number) => Some(line),
            _ => None,
        };
        if let Some(port) = port {
            typed.push(PORT, port.into());
            return Ok(typed);
        }
        let dashes = if option.starts_with('-') { "" } else { "--" };
        let option = format!("{dashes}{option}");
        let equals = if value.is_empty() { "" } else { "=" };
        let typed = Self::parse(vec![format!("{option}{equals}{value}").into()])?;
        let is_action =
            |given: &Given| flags::find(given.name).is_some_and(|flag| flag.group == Group::Action);
        if typed.is_given("--config") || typed.0.iter().any(is_action) {
            return Err(usage(format_args!(
                "{option} cannot stand in a configuration file"
            )));
        }
        Ok(typed)
    }

    pub(super) fn is_given(&self, name: &str) -> bool {
        self.last_given(name).is_some()
    }

    fn last_given(&self, name: &str) -> Option<&Given> {
        self.named(name).next_back()
    }

    fn named(&self, name: &str) -> impl DoubleEndedIterator<Item = &Given> {
        debug_assert!(
            ["-h", PORT].contains(&name) || flags::find(name).is_some(),
            "{name} is not in the table"
        );
        self.0.iter().filter(move |given| given.name == name)
    }

    /// Parses all values of an option, in the order in which they were typed.
    pub(super) fn all<T>(
        &self,
        name: &str,
        parse: impl Fn(&str) -> Result<T, CommandError>,
    ) -> Result<Vec<T>, CommandError> {
        let mut values = Vec::new();
        for given in self.named(name) {
            values.push(given.parse(&parse)?);
        }
        Ok(values)
    }

    /// Parses the value of an option: of a repeated option the last one counts, as usual on Unix.
    pub(super) fn last<T>(
        &self,
        name: &str,
        parse: impl Fn(&str) -> Result<T, CommandError>,
    ) -> Result<Option<T>, CommandError> {
        let given = self.last_given(name);
        given.map(|given| given.parse(parse)).transpose()
    }

    pub(super) fn port<T>(
        &self,
        parse: impl Fn(&str) -> Result<T, CommandError>,
    ) -> Result<Option<T>, CommandError> {
        self.last(PORT, parse)
    }

    /// Returns file and line of an option, as an error begins with them; "" for the command line.
    pub(super) fn place(&self, name: &str) -> &str {
        self.last_given(name).map_or("", |given| &given.place)
    }

    /// Returns the path that an option names; the last one counts.
    pub(super) fn path(&self, name: &str) -> Option<PathBuf> {
        self.paths(name).pop()
    }

    /// Returns all paths that an option names, in the order in which they were typed.
    pub(super) fn paths(&self, name: &str) -> Vec<PathBuf> {
        let given = self.named(name);
        given.map(|given| PathBuf::from(&given.value)).collect()
    }
}

/// Takes off the `=` that [`Normalized`] puts before each value.
fn without_equals(value: &OsStr) -> Result<OsString, Infallible> {
    let bytes = value.as_bytes();
    Ok(OsString::from_vec(
        bytes.strip_prefix(b"=").unwrap_or(bytes).to_vec(),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(typed: &Typed) -> Vec<(&str, &str)> {
        let given = typed.0.iter();
        given
            .map(|given| (given.name, given.value.to_str().unwrap()))
            .collect()
    }

    #[test]
    fn a_line_of_the_configuration_file_is_an_option() {
        let table: [(&str, &[(&str, &str)]); 13] = [
            ("--bind 127.0.0.1", &[("--bind", "127.0.0.1")]),
            ("  -d  /srv/my files  ", &[("--directory", "/srv/my files")]),
            ("header X-A: b c", &[("--header", "X-A: b c")]),
            ("log-format = json", &[("--log-format", "json")]),
            ("log-format=json", &[("--log-format", "json")]),
            ("directory ==a", &[("--directory", "=a")]),
            ("directory -q", &[("--directory", "-q")]),
            ("quiet", &[("--quiet", "")]),
            ("-qn 2", &[("--loops", "2"), ("--quiet", "")]),
            ("8080", &[(PORT, "8080")]),
            ("port 8080", &[(PORT, "8080")]),
            ("--port=8080", &[(PORT, "8080")]),
            ("# a comment", &[]),
        ];
        for (line, expected) in table {
            assert_eq!(given(&Typed::line(line).unwrap()), expected, "{line}");
        }
    }

    #[test]
    fn a_line_without_an_option_is_wrong() {
        for line in ["-", "--", "=", "= x", "-- site", "-=", "---"] {
            assert!(Typed::line(line).is_err(), "{line}");
        }
    }

    #[test]
    fn the_last_value_of_a_repeated_option_counts() {
        let arguments = ["-d", "a", "--directory=b"].map(OsString::from).to_vec();
        let typed = Typed::parse(arguments).unwrap();
        assert_eq!(typed.path("--directory"), Some("b".into()));
    }

    #[test]
    fn port_and_path_stand_in_any_order() {
        for operands in [["8080", "dist"], ["dist", "8080"]] {
            let typed = Typed::parse(operands.map(OsString::from).to_vec()).unwrap();
            let mut given = given(&typed);
            given.sort_unstable();
            assert_eq!(given, [("--directory", "dist"), (PORT, "8080")]);
        }
    }
}
