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
            text += &wrapped(&left(flag), flag.help);
        }
    }
    text
}

/// Returns the everyday flags, on one screen.
pub(super) fn short() -> String {
    let mut text = format!("{TITLE}\n{}", operands());
    for flag in FLAGS.iter().filter(|flag| flag.is_everyday) {
        text += &wrapped(&left(flag), flag.help);
    }
    text + "\nhttpoll --help prints all options.\n"
}

fn operands() -> String {
    let entries = OPERANDS.map(|(name, help)| wrapped(&format!("  {name:0$}", LEFT - 2), help));
    entries.concat()
}

fn left(flag: &Flag) -> String {
    let (short, comma) = match flag.short {
        "" => ("  ", " "),
        short => (short, ","),
    };
    let names = format!("  {short}{comma} {} {}", flag.long, flag.value.name());
    format!("{names:LEFT$}")
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
    fn the_names_of_a_flag_end_before_its_help() {
        for flag in FLAGS {
            assert!(left(flag).ends_with("  "), "{}", flag.long);
        }
    }
}
