//! A name as one segment of a URL's path (RFC 3986 §2.1).

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, PercentEncode};

/// Every byte but the unreserved ones (RFC 3986 §2.3). As `:` is among them, no name can be taken for a URL with a scheme.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// Returns `name` with all bytes encoded that are not unreserved, so that it is one segment of a path and nothing more.
pub(crate) fn percent_encode(name: &[u8]) -> PercentEncode<'_> {
    percent_encoding::percent_encode(name, RESERVED)
}

/// Returns whether every byte of `name` is unreserved: then the name is written as it is in a URL, in HTML and in JSON.
pub(crate) fn is_unreserved(name: &[u8]) -> bool {
    const UNRESERVED: [bool; 256] = {
        let mut table = [false; 256];
        let mut byte = 0;
        while byte < 128 {
            table[byte] = (byte as u8).is_ascii_alphanumeric();
            byte += 1;
        }
        table[b'-' as usize] = true;
        table[b'.' as usize] = true;
        table[b'_' as usize] = true;
        table[b'~' as usize] = true;
        table
    };
    name.iter().all(|byte| UNRESERVED[usize::from(*byte)])
}
