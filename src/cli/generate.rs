//! `--generate`: the man page and the completions, made from the table of flags.

use super::{CommandError, completions, man, values};

/// Returns the text that `--generate` asks for by this word.
pub(super) fn generate(what: &str) -> Result<String, CommandError> {
    match what {
        "man" => Ok(man::page()),
        "bash" => Ok(completions::bash()),
        "zsh" => Ok(completions::zsh()),
        "fish" => Ok(completions::fish()),
        _ => Err(values::wanted("--generate", "man, bash, zsh or fish", what)),
    }
}
