//! The memory of all listings of one loop: its limit, and the blocks that it consists of.
//!
//! Invariant: blocks and leases together never exceed the limit. All blocks are in one reservation, which is freed with the last
//! block. Single blocks on the heap would stay with the process while a later allocation lies behind them.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Size of a block, in bytes.
pub(crate) const BLOCK: usize = 16 * 1024;
/// glibc always gives an allocation of more than 32 MiB a mapping of its own (mallopt(3), M_MMAP_THRESHOLD). Its pages use no
/// memory until they are written, and go back to the system as soon as it is freed.
const RESERVATION: usize = 33 * 1024 * 1024;

/// The memory that the listings of one loop share.
pub(crate) struct ListingMemory {
    pool: Mutex<Pool>,
}

/// The blocks, and how many are in use.
pub(crate) struct Pool {
    limit: usize,
    /// Bytes of blocks and leases in use.
    used: usize,
    bytes: Vec<u8>,
    free: Vec<u32>,
    blocks_in_use: usize,
}

/// No memory is left for another listing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Full;

impl ListingMemory {
    pub(crate) fn new(limit: usize) -> Arc<Self> {
        let pool = Mutex::new(Pool {
            limit,
            used: 0,
            bytes: Vec::new(),
            free: Vec::new(),
            blocks_in_use: 0,
        });
        Arc::new(Self { pool })
    }

    /// Bytes of blocks and leases.
    #[cfg(test)]
    pub(crate) fn used(&self) -> usize {
        self.pool().used
    }

    /// Locks the blocks. Until the guard is dropped, no [`Blocks`] and no [`Lease`] may be changed or dropped: that would lock them
    /// again.
    pub(crate) fn pool(&self) -> MutexGuard<'_, Pool> {
        // After a panic a block may be lost, and nothing worse, so poison is ignored.
        self.pool.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pool {
    fn take(&mut self, bytes: usize) -> Result<(), Full> {
        let used = self.used.checked_add(bytes).ok_or(Full)?;
        if used > self.limit {
            return Err(Full);
        }
        self.used = used;
        Ok(())
    }

    fn take_block(&mut self) -> Result<u32, Full> {
        self.take(BLOCK)?;
        let block = self.free.pop().or_else(|| self.add_block());
        self.blocks_in_use += usize::from(block.is_some());
        block.ok_or_else(|| {
            self.used -= BLOCK;
            Full
        })
    }

    /// Adds a block to the reservation; `None` if the system has no more memory.
    fn add_block(&mut self) -> Option<u32> {
        let length = self.bytes.len();
        let block = u32::try_from(length / BLOCK).ok()?;
        let reserved = if self.bytes.capacity() == 0 {
            self.bytes.try_reserve_exact(RESERVATION)
        } else {
            self.bytes.try_reserve(BLOCK)
        };
        reserved.ok()?;
        self.bytes.resize(length + BLOCK, 0);
        Some(block)
    }

    fn give_back(&mut self, blocks: &[u32]) {
        self.used -= blocks.len() * BLOCK;
        self.blocks_in_use -= blocks.len();
        if self.blocks_in_use == 0 {
            (self.bytes, self.free) = (Vec::new(), Vec::new());
        } else {
            self.free.extend_from_slice(blocks);
        }
    }

    /// Appends `parts` as one piece, and returns its place.
    ///
    /// # Errors
    /// No memory is left, the blocks have 4 GiB, or the piece is longer than a block.
    pub(crate) fn push(&mut self, blocks: &mut Blocks, parts: &[&[u8]]) -> Result<u32, Full> {
        let length: usize = parts.iter().map(|part| part.len()).sum();
        if blocks.numbers.is_empty() || blocks.filled + length > BLOCK {
            blocks.numbers.push(self.take_block()?);
            blocks.filled = 0;
        }
        let last = blocks.numbers.len() - 1;
        let at = u32::try_from(last * BLOCK + blocks.filled).map_err(|_| Full)?;
        let block = blocks.numbers[last] as usize * BLOCK;
        let room = block + blocks.filled..block + BLOCK;
        let mut room = self.bytes.get_mut(room).unwrap_or_default();
        for part in parts {
            let (to, rest) = room.split_at_mut_checked(part.len()).ok_or(Full)?;
            to.copy_from_slice(part);
            room = rest;
        }
        blocks.filled += length;
        Ok(at)
    }

    /// Returns the bytes from place `at` to the end of its block.
    pub(crate) fn get(&self, blocks: &Blocks, at: u32) -> &[u8] {
        let (block, offset) = (at as usize / BLOCK, at as usize % BLOCK);
        let bytes = blocks.numbers.get(block).and_then(|number| {
            let start = *number as usize * BLOCK;
            self.bytes.get(start + offset..start + BLOCK)
        });
        bytes.unwrap_or_default()
    }
}

/// A sequence of pieces of bytes. No piece crosses the end of a block.
#[derive(Debug)]
pub(crate) struct Blocks {
    memory: Arc<ListingMemory>,
    numbers: Vec<u32>,
    /// Bytes of the last block that are used.
    filled: usize,
}

impl Blocks {
    pub(crate) fn new(memory: &Arc<ListingMemory>) -> Self {
        Self {
            memory: Arc::clone(memory),
            numbers: Vec::new(),
            filled: 0,
        }
    }
}

impl Drop for Blocks {
    fn drop(&mut self) {
        if !self.numbers.is_empty() {
            self.memory.pool().give_back(&self.numbers);
        }
    }
}

/// Memory of a listing outside of the blocks, counted against the limit.
#[derive(Debug)]
pub(crate) struct Lease {
    memory: Arc<ListingMemory>,
    bytes: usize,
}

impl Lease {
    /// Makes a lease of 0 bytes.
    pub(crate) fn new(memory: &Arc<ListingMemory>) -> Self {
        Self {
            memory: Arc::clone(memory),
            bytes: 0,
        }
    }

    /// Changes the size of the lease to `bytes`.
    ///
    /// # Errors
    /// No memory is left; the lease stays as it was.
    pub(crate) fn resize(&mut self, bytes: usize) -> Result<(), Full> {
        let mut pool = self.memory.pool();
        pool.take(bytes.saturating_sub(self.bytes))?;
        pool.used -= self.bytes.saturating_sub(bytes);
        self.bytes = bytes;
        Ok(())
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.memory.pool().used -= self.bytes;
    }
}

impl fmt::Debug for ListingMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ListingMemory").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the bytes in use, and the bytes reserved.
    fn figures(memory: &ListingMemory) -> (usize, usize) {
        let pool = memory.pool();
        (pool.used, pool.bytes.capacity())
    }

    fn push(blocks: &mut Blocks, bytes: &[u8]) -> Result<u32, Full> {
        let memory = Arc::clone(&blocks.memory);
        memory.pool().push(blocks, &[bytes])
    }

    #[test]
    fn pieces_come_out_unchanged_and_cross_no_block() {
        let memory = ListingMemory::new(usize::MAX);
        let (mut odd, mut even) = (Blocks::new(&memory), Blocks::new(&memory));
        let piece = |number: usize| vec![number as u8; number % 300];
        let places: Vec<_> = (0..3000)
            .map(|number| {
                let blocks = if number % 2 == 0 { &mut even } else { &mut odd };
                push(blocks, &piece(number)).unwrap()
            })
            .collect();
        let pool = memory.pool();
        for (number, at) in places.into_iter().enumerate() {
            let blocks = if number % 2 == 0 { &even } else { &odd };
            assert_eq!(pool.get(blocks, at)[..number % 300], piece(number));
        }
        assert!(pool.get(&even, u32::MAX).is_empty());
        drop(pool);
    }

    #[test]
    fn no_memory_is_given_beyond_the_limit_and_all_is_given_back() {
        let memory = ListingMemory::new(4 * BLOCK);
        let mut lease = Lease::new(&memory);
        assert_eq!(lease.resize(4 * BLOCK + 1), Err(Full));
        lease.resize(BLOCK + 1).unwrap();
        let mut blocks = Blocks::new(&memory);
        for _ in 0..2 {
            push(&mut blocks, &[1; BLOCK]).unwrap();
        }
        assert_eq!(push(&mut blocks, &[1]), Err(Full));
        assert!(figures(&memory).1 >= RESERVATION);
        lease.resize(BLOCK).unwrap();
        push(&mut blocks, &[1; BLOCK]).unwrap();
        assert_eq!(figures(&memory).0, 4 * BLOCK);
        drop(lease);
        assert_eq!(figures(&memory).0, 3 * BLOCK);
        drop(blocks);
        assert_eq!(figures(&memory), (0, 0));
    }

    #[test]
    fn blocks_are_used_again() {
        let memory = ListingMemory::new(4 * BLOCK);
        let mut kept = Blocks::new(&memory);
        push(&mut kept, b"kept").unwrap();
        for _ in 0..9 {
            let mut blocks = Blocks::new(&memory);
            for _ in 0..3 {
                push(&mut blocks, &[1; BLOCK]).unwrap();
            }
            assert_eq!(push(&mut blocks, b"1"), Err(Full));
        }
        assert!(memory.pool().bytes.len() <= 4 * BLOCK);
        assert_eq!(&memory.pool().get(&kept, 0)[..4], b"kept");
    }

    #[test]
    fn more_than_the_reservation_is_given_if_the_limit_allows_it() {
        let memory = ListingMemory::new(usize::MAX);
        let mut blocks = Blocks::new(&memory);
        let last = RESERVATION / BLOCK + 1;
        for number in 0..=last {
            push(&mut blocks, &[number as u8; BLOCK]).unwrap();
        }
        let at = (last * BLOCK) as u32;
        assert_eq!(memory.pool().get(&blocks, at)[0], last as u8);
        assert!(memory.pool().get(&blocks, at + BLOCK as u32).is_empty());
    }
}
