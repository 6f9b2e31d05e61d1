//! A strict parser of replies (RFC 9112).

/// Resolves a relative reference against `target` (RFC 3986 §5.2).
pub(crate) fn resolve(target: &str, reference: &str) -> String {
    if reference.starts_with('/') {
        return reference.to_owned();
    }
    let base = target.split(['?', '#']).next().unwrap_or_default();
    let (directory, _) = base.rsplit_once('/').unwrap();
    let (path, query) = match reference.split_once('?') {
        Some((path, query)) => (path, format!("?{query}")),
        None => (reference, String::new()),
    };
    let merged = format!("{directory}/{path}");
    let mut segments: Vec<&str> = Vec::new();
    for segment in merged.split('/').skip(1) {
        match segment {
            "." => {}
            ".." => drop(segments.pop()),
            segment => segments.push(segment),
        }
    }
    format!("/{}{query}", segments.join("/"))
}

/// Status line and fields.
#[derive(Clone, Debug)]
pub(crate) struct Head {
    pub(crate) version: String,
    pub(crate) status: u16,
    pub(crate) reason: String,
    pub(crate) fields: Vec<(String, String)>,
}

/// A whole reply; a chunked body is decoded.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) head: Head,
    pub(crate) body: Vec<u8>,
}

impl Head {
    /// Parses `bytes`, which end with the empty line.
    pub(crate) fn parse(bytes: &[u8]) -> Self {
        let text = str::from_utf8(bytes).expect("a head that is not UTF-8");
        let mut lines = text.split("\r\n");
        let mut words = lines.next().unwrap().splitn(3, ' ');
        let head = Self {
            version: words.next().unwrap().to_owned(),
            status: words.next().expect(text).parse().expect(text),
            reason: words.next().expect(text).to_owned(),
            fields: lines
                .take_while(|line| !line.is_empty())
                .map(parse_field)
                .collect(),
        };
        head.check(text);
        head
    }

    fn check(&self, text: &str) {
        assert!(
            matches!(self.version.as_str(), "HTTP/1.0" | "HTTP/1.1"),
            "{text}"
        );
        let is_control = |c: char| c.is_control() && !matches!(c, '\r' | '\n');
        assert!(!text.contains(is_control), "{text:?}");
        assert!(!text.replace("\r\n", "").contains(['\r', '\n']), "{text:?}");
        if self.status >= 200 {
            assert_eq!(self.all("Date").len(), 1, "{text}");
        }
        assert!(self.all("Content-Length").len() <= 1, "{text}");
        if self.all("Transfer-Encoding").len() == 1 {
            assert_eq!(self.content_length(), None, "{text}");
        }
        if matches!(self.status, 100..200 | 204) {
            assert!(
                self.content_length().is_none() && !self.is_chunked(),
                "{text}"
            );
        }
    }

    /// The value of a field, which may not occur twice.
    #[track_caller]
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        let all = self.all(name);
        assert!(all.len() <= 1, "{name} comes {} times", all.len());
        all.first().copied()
    }

    pub(crate) fn all(&self, name: &str) -> Vec<&str> {
        let same = |(key, _): &&(String, String)| key.eq_ignore_ascii_case(name);
        let fields = self.fields.iter().filter(same);
        fields.map(|(_, value)| value.as_str()).collect()
    }

    pub(crate) fn content_length(&self) -> Option<u64> {
        self.field("Content-Length")
            .map(|value| value.parse().unwrap())
    }

    pub(crate) fn is_chunked(&self) -> bool {
        self.field("Transfer-Encoding") == Some("chunked")
    }

    /// Whether the reply announces that the connection closes after it.
    pub(crate) fn closes(&self) -> bool {
        self.field("Connection") == Some("close")
    }

    pub(crate) fn allows_body(&self) -> bool {
        !matches!(self.status, 100..200 | 204 | 304)
    }
}

impl Reply {
    pub(crate) fn status(&self) -> u16 {
        self.head.status
    }

    #[track_caller]
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        self.head.field(name)
    }

    pub(crate) fn text(&self) -> &str {
        str::from_utf8(&self.body).expect("a body that is not UTF-8")
    }
}

fn parse_field(line: &str) -> (String, String) {
    let (name, value) = line.split_once(": ").expect(line);
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    assert!(!name.is_empty() && name.bytes().all(is_token), "{line}");
    assert_eq!(value, value.trim(), "{line}");
    (name.to_owned(), value.to_owned())
}

/// The length in the first line of a chunk.
pub(crate) fn decode_chunk(line: &[u8]) -> usize {
    let digits = str::from_utf8(line).unwrap().trim_end_matches("\r\n");
    assert!(
        digits.bytes().all(|digit| digit.is_ascii_hexdigit()),
        "{digits}"
    );
    usize::from_str_radix(digits, 16).expect(digits)
}
