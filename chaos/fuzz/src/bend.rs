//! Bending: seeds become cases.

use skein_chaos_disk::Dice;

/// No case is longer than this.
pub const LEN_MAX: usize = 64 * 1024;

const NUMBERS: [u64; 8] = [0, 1, 0x7f, 0x80, 0xff, 0x7fff_ffff, 0xffff_ffff, 0xffff_ffff_ffff_ffff];

fn below(dice: &mut Dice, end: usize) -> usize {
    usize::try_from(dice.below(u64::try_from(end).unwrap_or(u64::MAX))).unwrap_or(0)
}

fn any<'a, T>(dice: &mut Dice, of: &'a [T]) -> Option<&'a T> {
    of.get(below(dice, of.len()))
}

/// A case from `seeds` and the words of their format.
pub fn case(dice: &mut Dice, seeds: &[Vec<u8>], words: &[&str]) -> Vec<u8> {
    let mut bytes = any(dice, seeds).cloned().unwrap_or_default();
    // One in twenty stays as it was: a door that understands nothing is no door.
    let times = if dice.one_in(20) { 0 } else { 1 + dice.below(6) };
    for _ in 0..times {
        once(dice, &mut bytes, seeds, words);
    }
    bytes.truncate(LEN_MAX);
    bytes
}

fn once(dice: &mut Dice, bytes: &mut Vec<u8>, seeds: &[Vec<u8>], words: &[&str]) {
    let at = below(dice, bytes.len() + 1);
    let len = below(dice, 1 + (bytes.len() - at).min(64));
    match dice.below(10) {
        0 => {
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= 1 << dice.below(8);
            }
        }
        1 => {
            if let Some(byte) = bytes.get_mut(at) {
                *byte = dice.next_u64().to_le_bytes()[0];
            }
        }
        2 => bytes.truncate(at),
        3 => drop(bytes.drain(at..at + len)),
        4 => {
            let piece: Vec<u8> = bytes.iter().skip(at).take(len).copied().collect();
            let repeated = piece.repeat(1 + below(dice, 40));
            drop(bytes.splice(at..at, repeated));
        }
        5 => {
            let word = any(dice, words).copied().unwrap_or("");
            drop(bytes.splice(at..at, word.bytes()));
        }
        6 => {
            let word = any(dice, words).copied().unwrap_or("");
            drop(bytes.splice(at..at + len, word.bytes()));
        }
        7 => {
            let number = any(dice, &NUMBERS).copied().unwrap_or(0).to_le_bytes();
            let width = 1 << dice.below(4);
            for (byte, new) in bytes.iter_mut().skip(at).take(width).zip(number) {
                *byte = new;
            }
        }
        8 => {
            let other = any(dice, seeds).cloned().unwrap_or_default();
            let from = below(dice, other.len() + 1);
            bytes.truncate(at);
            bytes.extend_from_slice(other.get(from..).unwrap_or_default());
        }
        _ => {
            let noise: Vec<u8> = (0..len).map(|_| dice.next_u64().to_le_bytes()[0]).collect();
            drop(bytes.splice(at..at, noise));
        }
    }
}
