//! Pools, four channels at a time.

use core::arch::asm;

use super::super::pool::{Pool, WIDEST};
use super::Dsp;

// SAFETY: see the functions.
unsafe impl Pool for Dsp {
    const COLUMN: usize = 4;

    fn larger(best: &mut [u8], other: &[u8]) {
        let (words, best_rest) = best.as_chunks_mut::<4>();
        let (other, other_rest) = other.as_chunks::<4>();
        for (best, other) in words.iter_mut().zip(other) {
            let (a, b) = (u32::from_ne_bytes(*best), u32::from_ne_bytes(*other));
            let larger: u32;
            // SAFETY: pure arithmetic, and `thumb_dsp` says that the core has it.
            unsafe {
                asm!(
                    "ssub8 {larger}, {a}, {b}",
                    "sel {larger}, {a}, {b}", // of each byte, by the sign of the difference
                    larger = out(reg) larger,
                    a = in(reg) a,
                    b = in(reg) b,
                    options(pure, nomem, nostack),
                );
            }
            *best = larger.to_ne_bytes();
        }
        // Where `other` goes on, its next bytes are of another position.
        let other = other.get(words.len()).map_or(other_rest, |word| word);
        for (best, other) in best_rest.iter_mut().zip(other) {
            *best = (*best as i8).max(*other as i8) as u8;
        }
    }

    unsafe fn column(from: *const u8, next: usize, positions: usize) -> [i16; WIDEST] {
        let (even, odd): (u32, u32);
        // SAFETY: the caller's; `thumb_dsp` says that the core has the instructions.
        unsafe {
            asm!(
                "2:",
                "ldr {word}, [{from}]",
                "add {from}, {from}, {next}",
                "sxtab16 {even}, {even}, {word}",
                "sxtab16 {odd}, {odd}, {word}, ror #8",
                "subs {positions}, {positions}, #1",
                "bne 2b",
                from = inout(reg) from => _,
                next = in(reg) next,
                positions = inout(reg) positions => _,
                word = out(reg) _,
                even = inout(reg) 0u32 => even,
                odd = inout(reg) 0u32 => odd,
                options(readonly, nostack),
            );
        }
        let half = |word: u32, half: u32| (word >> (16 * half)) as i16;
        [half(even, 0), half(odd, 0), half(even, 1), half(odd, 1), 0, 0, 0, 0]
    }
}
