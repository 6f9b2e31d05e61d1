//! Numbers as text. `itoa` avoids the cost of `core::fmt`, because every log line has several numbers.

/// Appends `number` in decimal digits.
pub(crate) fn push_decimal(out: &mut Vec<u8>, number: u64) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}
