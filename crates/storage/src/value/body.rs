//! Compression of bodies. Contexts are kept per thread, for making one costs more than a body.

use std::cell::RefCell;

use zstd::bulk::{Compressor, Decompressor};
use zstd::zstd_safe::CParameter;

use super::{DictionaryId, damaged, dictionary};
use crate::Result;

thread_local! {
    static COMPRESSORS: RefCell<Vec<(DictionaryId, Compressor<'static>)>> = const { RefCell::new(Vec::new()) };
    static DECOMPRESSORS: RefCell<Vec<(DictionaryId, Decompressor<'static>)>> = const { RefCell::new(Vec::new()) };
}

/// A zstd block of this many bytes can stand for at most [`BLOCK_RAW_BYTES_MAX`].
const BLOCK_BYTES_MIN: u64 = 4;
const BLOCK_RAW_BYTES_MAX: u64 = 128 * 1024;

/// No body is longer than this.
const RAW_LENGTH_MAX: u64 = 4 * 1024 * 1024 * 1024 - 1;

pub(super) fn compressed_length_max(raw_length: usize) -> usize {
    zstd::zstd_safe::compress_bound(raw_length)
}

/// Appends the text, compressed if that is shorter (`true`), else as it is.
pub(super) fn compress(dictionary: DictionaryId, text: &str, out: &mut Vec<u8>) -> bool {
    let start = out.len();
    let bound = compressed_length_max(text.len());
    out.resize(start + bound, 0);
    let written = COMPRESSORS.with_borrow_mut(|compressors| {
        let compressor = find_or_insert(compressors, dictionary, || compressor(dictionary));
        compressor.compress_to_buffer(text.as_bytes(), &mut out[start..])
    });
    match written {
        Ok(length) if length < text.len() => {
            out.truncate(start + length);
            true
        }
        _ => {
            out.truncate(start);
            out.extend_from_slice(text.as_bytes());
            false
        }
    }
}

pub(super) fn decompress(dictionary: DictionaryId, frame: &[u8], raw_length: u64) -> Result<String> {
    let possible = (frame.len() as u64 / BLOCK_BYTES_MIN + 1) * BLOCK_RAW_BYTES_MAX;
    if raw_length > possible.min(RAW_LENGTH_MAX) {
        return Err(damaged("length of the body"));
    }
    let mut text = Vec::with_capacity(raw_length as usize);
    DECOMPRESSORS
        .with_borrow_mut(|decompressors| {
            let decompressor = find_or_insert(decompressors, dictionary, || decompressor(dictionary));
            decompressor.decompress_to_buffer(frame, &mut text)
        })
        .map_err(|_| damaged("compressed body"))?;
    String::from_utf8(text).map_err(|_| damaged("text"))
}

fn compressor(dictionary: DictionaryId) -> Compressor<'static> {
    let compressor = match dictionary.prepared() {
        Some(prepared) => Compressor::with_prepared_dictionary(&prepared.encoder),
        None => Compressor::new(dictionary::LEVEL),
    };
    let mut compressor = compressor.expect("a context can be made while there is memory");
    // The value says all of this itself.
    for parameter in [CParameter::ContentSizeFlag(false), CParameter::DictIdFlag(false), CParameter::ChecksumFlag(false)] {
        compressor.set_parameter(parameter).expect("every level takes these");
    }
    compressor
}

fn decompressor(dictionary: DictionaryId) -> Decompressor<'static> {
    match dictionary.prepared() {
        Some(prepared) => Decompressor::with_prepared_dictionary(&prepared.decoder),
        None => Decompressor::new(),
    }
    .expect("a context can be made while there is memory")
}

fn find_or_insert<T>(contexts: &mut Vec<(DictionaryId, T)>, dictionary: DictionaryId, make: impl FnOnce() -> T) -> &mut T {
    let place = contexts.iter().position(|(id, _)| *id == dictionary).unwrap_or_else(|| {
        contexts.push((dictionary, make()));
        contexts.len() - 1
    });
    &mut contexts[place].1
}
