//! A strict parser of JSON (RFC 8259).

use std::iter::Peekable;
use std::str::Chars;

/// A value; numbers are integers, because `httpoll` writes no others.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Json {
    Null,
    Bool(bool),
    Number(i64),
    String(String),
    Array(Vec<Self>),
    Object(Vec<(String, Self)>),
}

impl Json {
    /// Parses a text that consists of one value.
    #[track_caller]
    pub(crate) fn parse(text: &str) -> Self {
        let mut chars = text.chars().peekable();
        let value = parse(&mut chars).unwrap_or_else(|| panic!("not JSON: {text}"));
        blanks(&mut chars);
        assert_eq!(chars.next(), None, "text after the JSON value: {text}");
        value
    }

    /// The member `name` of an object.
    #[track_caller]
    pub(crate) fn get(&self, name: &str) -> &Self {
        let Self::Object(members) = self else {
            panic!("not an object: {self:?}");
        };
        let member = members.iter().find(|(key, _)| key == name);
        &member.unwrap_or_else(|| panic!("no {name} in {self:?}")).1
    }

    #[track_caller]
    pub(crate) fn text(&self) -> &str {
        match self {
            Self::String(text) => text,
            other => panic!("not a string: {other:?}"),
        }
    }

    #[track_caller]
    pub(crate) fn number(&self) -> i64 {
        match self {
            Self::Number(number) => *number,
            other => panic!("not a number: {other:?}"),
        }
    }

    #[track_caller]
    pub(crate) fn items(&self) -> &[Self] {
        match self {
            Self::Array(items) => items,
            other => panic!("not an array: {other:?}"),
        }
    }
}

type Input<'a> = Peekable<Chars<'a>>;

fn parse(chars: &mut Input<'_>) -> Option<Json> {
    blanks(chars);
    match *chars.peek()? {
        '{' => list(chars, '}', member).map(Json::Object),
        '[' => list(chars, ']', parse).map(Json::Array),
        '"' => string(chars).map(Json::String),
        'n' => word(chars, "null").map(|()| Json::Null),
        't' => word(chars, "true").map(|()| Json::Bool(true)),
        'f' => word(chars, "false").map(|()| Json::Bool(false)),
        _ => number(chars).map(Json::Number),
    }
}

fn blanks(chars: &mut Input<'_>) {
    while chars
        .next_if(|c| matches!(c, ' ' | '\t' | '\r' | '\n'))
        .is_some()
    {}
}

fn list<T>(
    chars: &mut Input<'_>,
    end: char,
    item: impl Fn(&mut Input<'_>) -> Option<T>,
) -> Option<Vec<T>> {
    let mut items = Vec::new();
    chars.next()?;
    blanks(chars);
    if chars.next_if_eq(&end).is_some() {
        return Some(items);
    }
    loop {
        items.push(item(chars)?);
        blanks(chars);
        match chars.next()? {
            ',' => {}
            c if c == end => return Some(items),
            _ => return None,
        }
    }
}

fn member(chars: &mut Input<'_>) -> Option<(String, Json)> {
    blanks(chars);
    let name = string(chars)?;
    blanks(chars);
    chars.next_if_eq(&':')?;
    Some((name, parse(chars)?))
}

fn string(chars: &mut Input<'_>) -> Option<String> {
    let mut text = String::new();
    chars.next_if_eq(&'"')?;
    loop {
        match chars.next()? {
            '"' => return Some(text),
            '\\' => text.push(escaped(chars)?),
            c if c < ' ' => return None,
            c => text.push(c),
        }
    }
}

fn escaped(chars: &mut Input<'_>) -> Option<char> {
    Some(match chars.next()? {
        c @ ('"' | '\\' | '/') => c,
        'n' => '\n',
        'r' => '\r',
        't' => '\t',
        'b' => '\u{8}',
        'f' => '\u{c}',
        'u' => {
            let digits: String = chars.take(4).collect();
            char::from_u32(u32::from_str_radix(&digits, 16).ok()?)?
        }
        _ => return None,
    })
}

fn word(chars: &mut Input<'_>, word: &str) -> Option<()> {
    word.chars()
        .try_for_each(|c| chars.next_if_eq(&c).map(drop))
}

fn number(chars: &mut Input<'_>) -> Option<i64> {
    let mut digits = String::new();
    while let Some(c) = chars.next_if(|c| c.is_ascii_digit() || *c == '-') {
        digits.push(c);
    }
    digits.parse().ok()
}
