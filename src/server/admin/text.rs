//! The two formats of metrics: Prometheus text 0.0.4 and OpenMetrics 1.0.
//!
//! Invariant: each family has its comments once, before all of its samples.

use std::fmt::{self, Display, Write as _};
use std::time::Duration;

use crate::http::accept;
use crate::http::headers::Headers;

/// A format of metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    Prometheus,
    OpenMetrics,
}

impl Format {
    /// Returns the format that a client asks for. OpenMetrics is only for clients that prefer it to plain text.
    pub(super) fn of(headers: Headers<'_>) -> Self {
        let quality = |media_type| accept::quality(headers.get_all("accept"), media_type);
        if quality("application/openmetrics-text") > quality("text/plain") {
            Self::OpenMetrics
        } else {
            Self::Prometheus
        }
    }

    pub(super) fn media_type(self) -> &'static str {
        match self {
            Self::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// The type of a family of metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Counter,
    Gauge,
    Histogram,
}

/// Metrics as text, made family by family.
#[derive(Debug)]
pub(super) struct Exposition {
    text: String,
    format: Format,
    family: &'static str,
}

impl Exposition {
    pub(super) fn new(format: Format) -> Self {
        let text = String::with_capacity(8 * 1024);
        let family = "";
        Self {
            text,
            format,
            family,
        }
    }

    /// Begins the family called `name`; `help` is one line.
    pub(super) fn family(&mut self, kind: Kind, name: &'static str, help: &str) {
        self.family = name;
        // OpenMetrics has `_total` only in the name of the sample.
        let name = match self.format {
            Format::OpenMetrics => name.strip_suffix("_total").unwrap_or(name),
            Format::Prometheus => name,
        };
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        self.line(format_args!("# HELP {name} {help}\n# TYPE {name} {kind}"));
    }

    /// Adds a sample of the family.
    pub(super) fn sample(&mut self, labels: &[(&str, &str)], value: impl Display) {
        let name = self.family;
        self.line(format_args!("{name}{} {value}", Labels(labels)));
    }

    /// Adds a sample of the family under its name with `suffix`.
    pub(super) fn part(&mut self, suffix: &str, labels: &[(&str, &str)], value: impl Display) {
        let name = self.family;
        self.line(format_args!("{name}{suffix}{} {value}", Labels(labels)));
    }

    fn line(&mut self, line: fmt::Arguments<'_>) {
        // Writing to memory cannot fail.
        let _ = writeln!(self.text, "{line}");
    }

    pub(super) fn finish(mut self) -> String {
        if self.format == Format::OpenMetrics {
            self.text.push_str("# EOF\n");
        }
        self.text
    }
}

/// The labels of a sample.
struct Labels<'l>(&'l [(&'l str, &'l str)]);

impl Display for Labels<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, (name, value)) in self.0.iter().enumerate() {
            f.write_str(if number == 0 { "{" } else { "," })?;
            write!(f, "{name}=\"")?;
            for letter in value.chars() {
                match letter {
                    '\\' | '"' => write!(f, "\\{letter}")?,
                    '\n' => f.write_str("\\n")?,
                    _ => f.write_char(letter)?,
                }
            }
            f.write_str("\"")?;
        }
        f.write_str(if self.0.is_empty() { "" } else { "}" })
    }
}

/// A duration in seconds, with a decimal point as OpenMetrics wants it for `le`. Printing floating point would add 20 KiB of code.
pub(super) struct Seconds(pub(super) Duration);

impl Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let decimals = format!("{:06}", self.0.subsec_micros());
        let decimals = decimals.trim_end_matches('0');
        let decimals = if decimals.is_empty() { "0" } else { decimals };
        write!(f, "{}.{decimals}", self.0.as_secs())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_family_is_written_in_both_formats() {
        let text = |format| {
            let mut exposition = Exposition::new(format);
            exposition.family(Kind::Counter, "a_total", "All of it.");
            exposition.sample(&[("b", "\"\\\n"), ("c", "d")], 5);
            exposition.family(Kind::Gauge, "e", "Now.");
            exposition.sample(&[], 0);
            exposition.finish()
        };
        let samples = "a_total{b=\"\\\"\\\\\\n\",c=\"d\"} 5\n";
        assert_eq!(
            text(Format::Prometheus),
            format!(
                "# HELP a_total All of it.\n# TYPE a_total counter\n{samples}# HELP e Now.\n# TYPE e gauge\ne 0\n"
            )
        );
        assert_eq!(
            text(Format::OpenMetrics),
            format!(
                "# HELP a All of it.\n# TYPE a counter\n{samples}# HELP e Now.\n# TYPE e gauge\ne 0\n# EOF\n"
            )
        );
    }

    #[test]
    fn seconds_are_decimal() {
        let table = [
            (0, "0.0"),
            (100, "0.0001"),
            (2_500_000, "2.5"),
            (10_000_000, "10.0"),
        ];
        for (micros, text) in table {
            assert_eq!(Seconds(Duration::from_micros(micros)).to_string(), text);
        }
    }
}
