//! Numbers as text, by `itoa`: it costs fewer instructions than `core::fmt`, and every log line has a few numbers.

/// Appends `number` in decimal digits.
pub(crate) fn push_decimal(out: &mut Vec<u8>, number: u64) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}
