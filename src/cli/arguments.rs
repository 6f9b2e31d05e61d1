//! The arguments in one form, as pico-args wants them: every flag by itself, its value behind it, operands apart.
//!
//! Invariant: a value begins with `=`, also where it was a word of its own, so that no value is taken for a flag.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};

use super::flags::{self, Flag, Value};
use super::{CommandError, hints, usage};

#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Normalized {
    /// `--long` or `-s`, each followed by its `=value` where it takes one.
    pub(super) flags: Vec<OsString>,
    /// What stands alone, or after `--`.
    pub(super) operands: Vec<OsString>,
}

impl Normalized {
    /// Splits clusters such as `-qn2` and `--long=value`. Paths need not be UTF-8, so all is done in bytes.
    pub(super) fn new(arguments: Vec<OsString>) -> Result<Self, CommandError> {
        let mut normalized = Self::default();
        let mut rest = arguments.into_iter();
        while let Some(argument) = rest.next() {
            match argument.as_bytes() {
                b"--" => {
                    normalized.operands.extend(rest);
                    break;
                }
                [b'-', b'-', ..] => normalized.long(&argument, &mut rest)?,
                [b'-', _, ..] => normalized.cluster(&argument, &mut rest)?,
                _ => normalized.operands.push(argument),
            }
        }
        Ok(normalized)
    }

    fn long(
        &mut self,
        argument: &OsStr,
        rest: &mut impl Iterator<Item = OsString>,
    ) -> Result<(), CommandError> {
        let mut parts = argument.as_bytes().splitn(2, |byte| *byte == b'=');
        let name = String::from_utf8_lossy(parts.next().unwrap_or_default());
        let glued = parts.next().map(value);
        let Some(flag) = flags::find(&name) else {
            return Err(hints::unknown(&name, glued.or(rest.next()).as_deref()));
        };
        match (flag.value, glued) {
            (Value::None, Some(_)) => Err(usage(format_args!("{name} takes no value"))),
            (Value::None, None) => {
                self.flags.push(flag.long.into());
                Ok(())
            }
            (_, Some(glued)) => self.push(flag, Some(glued)),
            (_, None) => self.push(flag, next(rest)),
        }
    }

    /// Adds the flags of one argument with a single dash; the last of them may have its value glued to it.
    fn cluster(
        &mut self,
        argument: &OsStr,
        rest: &mut impl Iterator<Item = OsString>,
    ) -> Result<(), CommandError> {
        let text = argument.to_string_lossy();
        if hints::is_long_with_one_dash(&text) {
            return Err(hints::unknown(&text, rest.next().as_deref()));
        }
        let mut letters = &argument.as_bytes()[1..];
        while let [letter, glued @ ..] = letters {
            let Some(flag) = flags::find(&format!("-{}", char::from(*letter))) else {
                let letters = String::from_utf8_lossy(letters);
                let name = format!("-{}", letters.chars().next().unwrap_or_default());
                return Err(hints::unknown(&name, rest.next().as_deref()));
            };
            match (flag.value, glued) {
                (Value::None, [b'=', ..]) => {
                    return Err(usage(format_args!("{} takes no value", flag.long)));
                }
                (Value::None, _) => self.flags.push(flag.short.into()),
                (_, []) => return self.push(flag, next(rest)),
                (_, [b'=', glued @ ..] | glued) => return self.push(flag, Some(value(glued))),
            }
            letters = glued;
        }
        Ok(())
    }

    /// Adds a flag with its value. An empty path would be the current directory, which an unset variable of a script must not
    /// serve.
    fn push(&mut self, flag: &Flag, value: Option<OsString>) -> Result<(), CommandError> {
        let may_be_empty = !matches!(flag.value, Value::Path(_));
        let value = value
            .filter(|value| may_be_empty || !value.is_empty())
            .ok_or_else(|| usage(format_args!("{} wants a value", flag.long)))?;
        let mut word = OsString::from("=");
        word.push(value);
        self.flags.extend([flag.long.into(), word]);
        Ok(())
    }
}

/// Returns the next argument as a value. The name of another flag is none: then the value was forgotten.
fn next(rest: &mut impl Iterator<Item = OsString>) -> Option<OsString> {
    let is_flag = |value: &OsString| value.to_str().and_then(flags::find).is_some();
    rest.next().filter(|value| !is_flag(value))
}

fn value(bytes: &[u8]) -> OsString {
    OsString::from_vec(bytes.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn normalized(arguments: &[&str]) -> Result<(Vec<String>, Vec<String>), CommandError> {
        let texts = |words: Vec<OsString>| {
            let words = words.into_iter().map(|word| word.into_string().unwrap());
            words.collect::<Vec<_>>()
        };
        let arguments = arguments.iter().map(OsString::from).collect();
        let found = Normalized::new(arguments)?;
        Ok((texts(found.flags), texts(found.operands)))
    }

    #[test]
    fn flags_and_values_may_be_glued() {
        let table: [(&[&str], &[&str], &[&str]); 16] = [
            (&["-qn2"], &["-q", "--loops", "=2"], &[]),
            (&["-qn", "2"], &["-q", "--loops", "=2"], &[]),
            (&["-qd=a"], &["-q", "--directory", "=a"], &[]),
            (&["-b127.0.0.1"], &["--bind", "=127.0.0.1"], &[]),
            (&["-b:80"], &["--bind", "=:80"], &[]),
            (&["-HA: b=c"], &["--header", "=A: b=c"], &[]),
            (&["--header=A: b=c"], &["--header", "=A: b=c"], &[]),
            (&["--bind="], &["--bind", "="], &[]),
            (&["--directory=-q"], &["--directory", "=-q"], &[]),
            (&["-d-q"], &["--directory", "=-q"], &[]),
            (&["-n", "-1"], &["--loops", "=-1"], &[]),
            (&["-hV"], &["-h", "-V"], &[]),
            (&["--help"], &["--help"], &[]),
            (&["-"], &[], &["-"]),
            (&["a", "-q", "8"], &["-q"], &["a", "8"]),
            (&["-q", "--", "-q", "--"], &["-q"], &["-q", "--"]),
        ];
        for (arguments, flags, operands) in table {
            let (found, rest) = normalized(arguments).unwrap();
            assert_eq!(
                (found, rest),
                (texts(flags), texts(operands)),
                "{arguments:?}"
            );
        }
    }

    fn texts(words: &[&str]) -> Vec<String> {
        words.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_forgotten_value_is_not_the_next_flag() {
        for arguments in [&["-d", "-q"][..], &["--bind", "--quiet"], &["-qd"], &["-n"]] {
            assert!(normalized(arguments).is_err(), "{arguments:?}");
        }
    }

    #[test]
    fn a_path_is_not_empty() {
        for arguments in [&["-d", ""][..], &["--directory="], &["-c="]] {
            assert!(normalized(arguments).is_err(), "{arguments:?}");
        }
    }

    #[test]
    fn a_switch_takes_no_value() {
        for argument in ["--quiet=yes", "--quiet=", "-q=yes"] {
            assert!(normalized(&[argument]).is_err(), "{argument}");
        }
    }

    #[test]
    fn a_value_need_not_be_utf_8() {
        let argument = OsString::from_vec(b"-d\xff".to_vec());
        let found = Normalized::new(vec![argument]).unwrap();
        assert_eq!(found.flags[1].as_bytes(), b"=\xff");
    }
}
