//! Completions for bash, zsh and fish.

use super::flags::{FLAGS, Flag, Value};

const BASH: &str = r#"# bash completion for httpoll
_httpoll() {
    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]}
    # bash makes = a word of its own.
    if [[ $cur == = ]]; then
        cur=
    elif [[ $prev == = ]]; then
        prev=${COMP_WORDS[COMP_CWORD - 2]}
    fi
    COMPREPLY=()
    case $prev in
@VALUES@    esac
    if [[ $cur == -* ]]; then
        mapfile -t COMPREPLY < <(compgen -W '@NAMES@' -- "$cur")
    else
        compopt -o filenames 2>/dev/null
        mapfile -t COMPREPLY < <(compgen -f -- "$cur")
    fi
}
complete -F _httpoll httpoll
"#;

pub(super) fn bash() -> String {
    let mut values = String::new();
    for flag in FLAGS {
        let reply = match flag.value {
            Value::None => continue,
            Value::Text(_) => String::new(),
            Value::Path(_) => "compopt -o filenames 2>/dev/null; ".to_owned() + &compgen("-f"),
            Value::User(_) => compgen("-u"),
            Value::Word(_, words) => compgen(&format!("-W '{}'", words.join(" "))),
        };
        let names = names(flag).join(" | ");
        values += &format!("    {names}) {reply}return ;;\n");
    }
    let names: Vec<_> = FLAGS.iter().flat_map(names).collect();
    BASH.replace("@VALUES@", &values)
        .replace("@NAMES@", &names.join(" "))
}

/// Returns the bash command that replies with what `compgen` finds for the word under the cursor.
fn compgen(what: &str) -> String {
    format!("mapfile -t COMPREPLY < <(compgen {what} -- \"$cur\"); ")
}

pub(super) fn zsh() -> String {
    let mut text = "#compdef httpoll\n_httpoll() {\n    _arguments -s -S \\\n".to_owned();
    for flag in FLAGS {
        let help = brief(flag).replace("'", "'\\''").replace(":", "\\:");
        let help = help.replace("[", "\\[").replace("]", "\\]");
        let (short, long) = (flag.short, flag.long);
        let (names, value) = match flag.value.name() {
            "" if short.is_empty() => (format!("'{long}"), String::new()),
            "" => (
                format!("'({short} {long})'{{{short},{long}}}'"),
                String::new(),
            ),
            value if short.is_empty() => (format!("'*{long}="), zsh_value(flag, value)),
            value => (format!("'*'{{{short}+,{long}=}}'"), zsh_value(flag, value)),
        };
        text += &format!("        {names}[{help}]{value}' \\\n");
    }
    text + "        '*:port, directory or file:_files'\n}\n\
        if [[ $funcstack[1] == _httpoll ]]; then\n    _httpoll \"$@\"\nelse\n    compdef _httpoll httpoll\nfi\n"
}

fn zsh_value(flag: &Flag, name: &str) -> String {
    let action = match flag.value {
        Value::None | Value::Text(_) => " ".to_owned(),
        Value::Path(_) => "_files".to_owned(),
        Value::User(_) => "_users".to_owned(),
        Value::Word(_, words) => format!("({})", words.join(" ")),
    };
    format!(":{name}:{action}")
}

pub(super) fn fish() -> String {
    let mut text = "# fish completion for httpoll\n".to_owned();
    for flag in FLAGS {
        let short = flag.short.replace("-", " -s ");
        let value = match flag.value {
            Value::None => String::new(),
            Value::Text(_) => " -x".to_owned(),
            Value::Path(_) => " -r -F".to_owned(),
            Value::User(_) => " -x -a '(__fish_complete_users)'".to_owned(),
            Value::Word(_, words) => format!(" -x -a '{}'", words.join(" ")),
        };
        let (long, help) = (flag.long.trim_start_matches('-'), brief(flag));
        let help = help.replace("\\", "\\\\").replace("'", "\\'");
        text += &format!("complete -c httpoll{short} -l {long}{value} -d '{help}'\n");
    }
    text
}

fn names(flag: &Flag) -> Vec<&'static str> {
    let names = [flag.long, flag.short].into_iter();
    names.filter(|name| !name.is_empty()).collect()
}

/// Returns the help up to its first semicolon or its default, which is enough beside a list of flags.
fn brief(flag: &Flag) -> &'static str {
    let (brief, _) = flag.help.split_once(';').unwrap_or((flag.help, ""));
    match brief.rsplit_once(" (") {
        Some((brief, default)) if default.ends_with(')') => brief,
        _ => brief,
    }
}
