//! The heap of a process that forks often: small blocks lie close together, so that there is
//! little to copy when it does.
//!
//! After a fork, each page that the parent writes to is copied, and each it has ever written to
//! lengthens the fork. musl's heap has pages of its own for each size, one more for what it knows
//! about them, and gives them back to take them again: a dozen pages a start. Here blocks of up
//! to 2 KiB come from one run of pages, without headers, in steps of 16 bytes; a freed one is the
//! next of its size to be handed out. What is larger is musl's. Small blocks are never given back
//! to the kernel: cox holds what its services took at most.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::UnsafeCell;
use std::ptr;
use std::sync::atomic::{AtomicBool, Ordering};

const STEP: usize = 16;
const LARGEST: usize = 2048;
/// So much is asked of the kernel at a time; only what is used becomes real.
const RUN: usize = 256 * 1024;

pub struct Heap {
    busy: AtomicBool,
    blocks: UnsafeCell<Blocks>,
}

struct Blocks {
    /// The free blocks of each size, each with the address of the next in its first word.
    free: [*mut u8; LARGEST / STEP],
    /// What was not handed out yet of the last run of pages.
    next: *mut u8,
    left: usize,
}

// SAFETY: `blocks` is touched only by whoever has set `busy`.
unsafe impl Sync for Heap {}

impl Heap {
    #[allow(clippy::new_without_default)]
    pub const fn new() -> Heap {
        let free = [ptr::null_mut(); LARGEST / STEP];
        let blocks = UnsafeCell::new(Blocks { free, next: ptr::null_mut(), left: 0 });
        Heap { busy: AtomicBool::new(false), blocks }
    }

    fn with<T>(&self, work: impl FnOnce(&mut Blocks) -> T) -> T {
        while self.busy.swap(true, Ordering::Acquire) {
            std::hint::spin_loop();
        }
        // SAFETY: nobody else is here until `busy` is false again.
        let result = work(unsafe { &mut *self.blocks.get() });
        self.busy.store(false, Ordering::Release);
        result
    }
}

/// Which list a block is of; `None` for those that are musl's.
fn class(layout: Layout) -> Option<usize> {
    let fits = layout.size() <= LARGEST && layout.align() <= STEP;
    fits.then(|| layout.size().saturating_sub(1) / STEP)
}

impl Blocks {
    fn take(&mut self, class: usize) -> *mut u8 {
        let size = (class + 1) * STEP;
        let Some(free) = self.free.get_mut(class) else { return ptr::null_mut() };
        if !free.is_null() {
            let block = *free;
            // SAFETY: a free block is ours, and holds the address of the next.
            *free = unsafe { block.cast::<*mut u8>().read() };
            return block;
        }
        if self.left < size {
            // The rest is lost: less than the largest block of each run.
            let (access, kind) =
                (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
            // SAFETY: new pages, wherever the kernel has room.
            let run = unsafe { libc::mmap(ptr::null_mut(), RUN, access, kind, -1, 0) };
            if run == libc::MAP_FAILED {
                return ptr::null_mut();
            }
            (self.next, self.left) = (run.cast(), RUN);
        }
        let block = self.next;
        // SAFETY: `left` bytes follow `next`, and they are enough.
        self.next = unsafe { block.add(size) };
        self.left -= size;
        block
    }

    /// # Safety
    /// `block` is one of this class, and nobody uses it any more.
    unsafe fn put(&mut self, class: usize, block: *mut u8) {
        let Some(free) = self.free.get_mut(class) else { return };
        // SAFETY: the block is ours again, at least `STEP` long, and aligned to that.
        unsafe { block.cast::<*mut u8>().write(*free) };
        *free = block;
    }
}

// SAFETY: a block belongs to one owner from `alloc` to `dealloc`, and is as large and aligned as
// its class says; which of the two heaps it is of follows from its layout alone.
unsafe impl GlobalAlloc for Heap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        match class(layout) {
            Some(class) => self.with(|blocks| blocks.take(class)),
            // SAFETY: the caller's promise is handed on.
            None => unsafe { System.alloc(layout) },
        }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        match class(layout) {
            // SAFETY: `alloc` took it from this class.
            Some(class) => self.with(|blocks| unsafe { blocks.put(class, block) }),
            // SAFETY: the caller's promise is handed on.
            None => unsafe { System.dealloc(block, layout) },
        }
    }

    unsafe fn realloc(&self, block: *mut u8, old: Layout, size: usize) -> *mut u8 {
        // SAFETY: the caller promises that this is a layout.
        let new = unsafe { Layout::from_size_align_unchecked(size, old.align()) };
        match (class(old), class(new)) {
            (Some(a), Some(b)) if a == b => block,
            // SAFETY: the caller's promise is handed on.
            (None, None) => unsafe { System.realloc(block, old, size) },
            // SAFETY: the new block is at least as long as what is copied, and another.
            _ => unsafe {
                let moved = self.alloc(new);
                if !moved.is_null() {
                    ptr::copy_nonoverlapping(block, moved, old.size().min(size));
                    self.dealloc(block, old);
                }
                moved
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_keep_their_content_through_every_change_of_size() {
        let heap = Heap::new();
        let layout = |size| Layout::from_size_align(size, 8).unwrap();
        let mut blocks: Vec<(*mut u8, usize, u8)> = Vec::new();
        let mut seed = 1u32;
        let mut random = |most: usize| {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (seed >> 8) as usize % most
        };
        for round in 0..20_000u32 {
            let size = 1 + random(1500);
            // SAFETY: each block is written within its size, and freed with the size it has.
            unsafe {
                if blocks.len() < 100 {
                    let block = heap.alloc(layout(size));
                    block.write_bytes(round as u8, size);
                    blocks.push((block, size, round as u8));
                    continue;
                }
                let (block, old, byte) = blocks.swap_remove(random(100));
                let same = |block: *mut u8, len| {
                    std::slice::from_raw_parts(block, len).iter().all(|b| *b == byte)
                };
                assert!(same(block, old));
                if round % 3 == 0 {
                    heap.dealloc(block, layout(old));
                    continue;
                }
                let moved = heap.realloc(block, layout(old), size);
                assert!(same(moved, old.min(size)) && moved.addr() % 8 == 0);
                moved.write_bytes(byte, size);
                blocks.push((moved, size, byte));
            }
        }
    }

    #[test]
    fn what_was_freed_is_handed_out_next() {
        let heap = Heap::new();
        let layout = Layout::from_size_align(40, 8).unwrap();
        // SAFETY: blocks of one layout, each freed once.
        unsafe {
            let (a, b) = (heap.alloc(layout), heap.alloc(layout));
            assert_eq!(b.addr() - a.addr(), 48);
            heap.dealloc(a, layout);
            assert_eq!(heap.alloc(layout), a);
        }
    }
}
