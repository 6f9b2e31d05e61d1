//! Random numbers of the handshake that the peer gets to see: that of the hello, and the nonce and the age of a ticket.
//!
//! Invariant: no number is given out twice. None has to be secret: ring and graviola ask the system themselves for what becomes a key.

use std::cell::RefCell;

use rustls::crypto::{GetRandomFailed, SecureRandom};

use super::provider::fill_with_random;

/// Bytes that are asked for at a time: enough for fifteen handshakes, each of which would otherwise ask three times.
const POOL: usize = 1024;

/// Random numbers of the system for all that rustls itself draws as a server.
#[derive(Debug)]
pub(super) struct PublicNumbers;

/// Numbers that were asked for in advance.
struct Pool {
    bytes: [u8; POOL],
    /// Where the numbers begin that were not given out.
    used: usize,
}

thread_local! {
    static NUMBERS: RefCell<Pool> = const {
        RefCell::new(Pool {
            bytes: [0; POOL],
            used: POOL,
        })
    };
}

impl SecureRandom for PublicNumbers {
    fn fill(&self, room: &mut [u8]) -> Result<(), GetRandomFailed> {
        NUMBERS.with_borrow_mut(|numbers| numbers.fill(room))
    }
}

impl Pool {
    fn fill(&mut self, room: &mut [u8]) -> Result<(), GetRandomFailed> {
        for piece in room.chunks_mut(POOL) {
            if piece.len() > POOL - self.used {
                // If the system fails half-way, none of these bytes may be given out.
                self.used = POOL;
                fill_with_random(&mut self.bytes)?;
                self.used = 0;
            }
            let end = self.used + piece.len();
            if let Some(numbers) = self.bytes.get_mut(self.used..end) {
                piece.copy_from_slice(numbers);
                numbers.fill(0);
            }
            self.used = end;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn no_number_is_given_out_twice() {
        let mut given = HashSet::new();
        for length in [32, 4, 32, POOL, 3 * POOL + 8, POOL - 1, 32].repeat(50) {
            let mut room = vec![0; length];
            PublicNumbers.fill(&mut room).unwrap();
            let (numbers, _) = room.as_chunks::<8>();
            for number in numbers {
                assert!(given.insert(*number), "{number:?} of {length} bytes");
            }
        }
        assert!(!given.contains(&[0; 8]));
    }

    #[test]
    fn numbers_that_were_given_out_are_gone() {
        let mut pool = Pool {
            bytes: [0; POOL],
            used: POOL,
        };
        pool.fill(&mut [0; 32]).unwrap();
        assert_eq!(pool.bytes[..32], [0; 32]);
        assert_ne!(pool.bytes[32..64], [0; 32]);
    }
}
