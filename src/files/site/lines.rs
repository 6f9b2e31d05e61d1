//! The lines of a rule file, and what is wrong with one.
//!
//! Invariant: size, number of rules and length of lines are limited, and so is the time that it takes to read a file.

/// The largest rule file, in bytes.
pub(crate) const MAX_SIZE: usize = 1 << 20;
/// The most rules of a file.
pub(crate) const MAX_RULES: usize = 2000;
/// The longest line, in bytes: a Content-Security-Policy fits.
pub(crate) const MAX_LINE: usize = 8 << 10;

/// The first bad line of a rule file, and what is wrong with it. The message has no control bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BadLine {
    /// Counts from 1.
    pub(crate) number: usize,
    pub(crate) message: String,
}

/// Gives every line of `text` to `read`, without blanks around it. Empty lines and comments are left out.
///
/// # Errors
/// The first line that has too many or forbidden bytes, or that `read` refuses.
pub(super) fn read_lines<'t>(
    text: &'t [u8],
    mut read: impl FnMut(usize, &'t str) -> Result<(), String>,
) -> Result<(), BadLine> {
    let text = text.strip_prefix("\u{feff}".as_bytes()).unwrap_or(text);
    let mut end = 0;
    for (index, line) in text.split(|byte| *byte == b'\n').enumerate() {
        end += line.len() + 1;
        let number = index + 1;
        let result = match line.trim_ascii() {
            _ if end > MAX_SIZE + 1 => Err("the file has more than 1 MiB".to_owned()),
            [] | [b'#', ..] => Ok(()),
            line => checked(line).and_then(|line| read(number, line)),
        };
        result.map_err(|message| BadLine { number, message })?;
    }
    Ok(())
}

/// Returns the bytes as text that has no control byte but the tab.
fn checked(line: &[u8]) -> Result<&str, String> {
    if line.len() > MAX_LINE {
        return Err(format!("the line has more than {MAX_LINE} bytes"));
    }
    let line = str::from_utf8(line).map_err(|_| "the line is not UTF-8")?;
    if line.chars().any(|char| char.is_control() && char != '\t') {
        return Err("the line has a control character".to_owned());
    }
    Ok(line)
}

/// Refuses the rule that is one more than a file may have.
pub(super) fn within_limit(rules: usize) -> Result<(), String> {
    if rules > MAX_RULES {
        return Err(format!("the file has more than {MAX_RULES} rules"));
    }
    Ok(())
}

/// Returns whether `word` is an absolute URL: a scheme, `://` and more.
pub(super) fn is_url(word: &str) -> bool {
    word.split_once("://").is_some_and(|(scheme, _)| {
        !scheme.is_empty() && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &[u8]) -> Result<Vec<(usize, &str)>, BadLine> {
        let mut lines = Vec::new();
        read_lines(text, |number, line| {
            lines.push((number, line));
            Ok(())
        })?;
        Ok(lines)
    }

    #[test]
    fn comments_and_empty_lines_are_left_out() {
        let text = "\u{feff}/a /b\r\n\n  \t\n# c\n  #d\n  /e\t/f \n/g #h";
        let expected = vec![(1, "/a /b"), (6, "/e\t/f"), (7, "/g #h")];
        assert_eq!(lines(text.as_bytes()), Ok(expected));
        assert_eq!(lines(b""), Ok(Vec::new()));
    }

    #[test]
    fn sizes_are_limited() {
        let long = |bytes| format!("\n{}", "x".repeat(bytes)).into_bytes();
        assert_eq!(lines(&long(MAX_LINE)).map(|lines| lines.len()), Ok(1));
        assert_eq!(lines(&long(MAX_LINE + 1)).map_err(|bad| bad.number), Err(2));
        let large = |bytes| "\n".repeat(bytes).into_bytes();
        assert_eq!(lines(&large(MAX_SIZE)), Ok(Vec::new()));
        let bad = lines(&large(MAX_SIZE + 1)).unwrap_err();
        assert_eq!(bad.message, "the file has more than 1 MiB");
    }

    #[test]
    fn forbidden_bytes_are_refused() {
        for text in [
            "/a\n/b\0",
            "/a\n/b\u{7f}",
            "/a\n/b\r/c",
            "/a\n/b\u{85}",
            "/a\n/\u{1b}[1m",
        ] {
            let bad = lines(text.as_bytes()).unwrap_err();
            assert_eq!(
                (bad.number, &*bad.message),
                (2, "the line has a control character")
            );
        }
        let bad = lines(b"/\xff").unwrap_err();
        assert_eq!((bad.number, &*bad.message), (1, "the line is not UTF-8"));
    }
}
