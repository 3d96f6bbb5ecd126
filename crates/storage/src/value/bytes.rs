//! Reading and writing of small things.

use super::damaged;
use crate::Result;

/// No varint is longer.
pub(super) const VARINT_LENGTH_MAX: usize = 10;

/// Appends seven bits a byte, the least significant first; the top bit says that more follow.
pub(super) fn write_varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Reads from the front of bytes that may be damaged.
pub(super) struct Reader<'a> {
    bytes: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes }
    }

    pub(super) fn rest(&self) -> &'a [u8] {
        self.bytes
    }

    pub(super) fn byte(&mut self) -> Result<u8> {
        self.array::<1>().map(|[byte]| byte)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let (array, rest) = self.bytes.split_first_chunk().ok_or_else(|| damaged("too short"))?;
        self.bytes = rest;
        Ok(*array)
    }

    pub(super) fn varint(&mut self) -> Result<u64> {
        let mut value = 0;
        for place in 0..VARINT_LENGTH_MAX {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7F);
            if place == VARINT_LENGTH_MAX - 1 && bits > 1 {
                break;
            }
            value |= bits << (7 * place);
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(damaged("number"))
    }
}
