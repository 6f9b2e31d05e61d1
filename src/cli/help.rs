//! `-h` and `--help`: the table of flags as text for a terminal of 80 columns.

use super::flags::{FLAGS, Flag, Group, OPERANDS};

const TITLE: &str = "Serve a directory over HTTP.\n\nUsage: httpoll [OPTIONS] [PORT] [PATH]\n";
/// The columns left of the help, and those of a line.
const LEFT: usize = 27;
const WIDTH: usize = 80;

/// Returns all flags in groups.
pub(super) fn long() -> String {
    let mut text = format!("{TITLE}\n{}", operands());
    for group in Group::ALL {
        text += &format!("{}:\n", group.title());
        for flag in FLAGS.iter().filter(|flag| flag.group == group) {
            text += &entry(flag);
        }
    }
    text
}

/// Returns the everyday flags, on one screen.
pub(super) fn short() -> String {
    let mut text = format!("{TITLE}\n{}", operands());
    for flag in FLAGS.iter().filter(|flag| flag.is_everyday) {
        text += &entry(flag);
    }
    text + "\nhttpoll --help prints all options.\n"
}

fn operands() -> String {
    let entries = OPERANDS.map(|(name, help)| wrapped(&format!("  {name:0$}", LEFT - 2), help));
    entries.concat()
}

/// Returns the names of a flag with its help beside them, or below them where they are too long for that.
fn entry(flag: &Flag) -> String {
    let (short, comma) = match flag.short {
        "" => ("  ", " "),
        short => (short, ","),
    };
    let names = format!("  {short}{comma} {} {}", flag.long, flag.value.name());
    if names.len() + 2 > LEFT {
        names + "\n" + &wrapped(&" ".repeat(LEFT), flag.help)
    } else {
        wrapped(&format!("{names:LEFT$}"), flag.help)
    }
}

/// Breaks `text` between words. It stands beside `left`, and further lines below its beginning.
pub(super) fn wrapped(left: &str, text: &str) -> String {
    let mut wrapped = String::new();
    let mut line = left.to_owned();
    for (index, word) in text.split(' ').enumerate() {
        if line.len() + 1 + word.len() > WIDTH {
            wrapped += &line;
            wrapped += "\n";
            line = " ".repeat(left.len());
        } else if index > 0 {
            line += " ";
        }
        line += word;
    }
    wrapped + &line + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn help_fits_a_terminal() {
        assert!(short().lines().count() <= 24);
        for line in (short() + &long()).lines() {
            assert!(line.len() <= WIDTH, "{line}");
        }
    }

    #[test]
    fn help_stands_beside_short_names_and_below_long_ones() {
        let text = long();
        for lines in [
            "\n      --admin ADDRESS      answer /livez",
            "\n      --redirect-http ADDRESS\n                           listen for HTTP",
        ] {
            assert!(text.contains(lines), "{text}");
        }
        let text = short();
        for line in text.lines().filter(|line| line.starts_with("  ")) {
            let left = line.get(..LEFT).unwrap_or("  ");
            assert!(left.ends_with("  "), "{line}");
        }
    }
}
