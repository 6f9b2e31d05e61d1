//! Bytes of the application that were taken out of records.

/// Room for decrypted bytes: that of the read, and memory of the connection for the rest.
#[derive(Debug)]
pub(super) struct Plain<'a> {
    pub(super) room: &'a mut [u8],
    /// How many bytes of the room are filled.
    pub(super) filled: usize,
    pub(super) rest: &'a mut Vec<u8>,
}

impl Plain<'_> {
    /// Appends `bytes`.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        let free = self.room.get_mut(self.filled..).unwrap_or_default();
        let length = bytes.len().min(free.len());
        let (now, later) = bytes.split_at(length);
        if let Some(free) = free.get_mut(..length) {
            free.copy_from_slice(now);
        }
        self.filled += length;
        self.rest.extend_from_slice(later);
    }
}
