//! The readers of this layer, tried with tests/corpus; that of tar is tried in tests/image.

use super::{ImageConfig, RunConfig};
use super::{archive, change, compression, refs, run_json, v1};
use crate::error::{Error, Result};
use crate::types::Digest;
use crate::types::corpus::{Verdict, fuzz};
use std::io::{self, Read};

fn verdict<T>(read: Result<T>) -> Verdict {
    read.map(drop).map_err(|e| e.to_string())
}

#[test]
fn compressed_streams_of_the_corpus_are_read_to_a_bound() {
    fuzz("compressed", &[], 5_000, |bytes| {
        let mut input = bytes;
        let plain = compression::plain(&mut input).map_err(|e| e.to_string())?;
        let read = io::copy(&mut plain.take(16 << 20), &mut io::sink());
        read.map(drop).map_err(|e| e.to_string())
    });
}

const JSON: [&str; 22] = [
    "{",
    "}",
    "[",
    "]",
    "\"",
    ",",
    ":",
    "null",
    "true",
    "-1",
    "1e999",
    "\\u0000",
    "\\ud800",
    "\\u001b[2J",
    "\u{1b}",
    "\"\"",
    "{}",
    "[]",
    "sha256:",
    "../",
    "\u{e9}",
    "18446744073709551616",
];

#[test]
fn manifests_and_indexes_of_the_corpus_are_read_or_told() {
    fuzz("manifest", &JSON, 6_000, |bytes| {
        verdict(archive::parse::<Vec<archive::SavedImage>>("manifest.json", bytes))
    });
    fuzz("index", &JSON, 6_000, |bytes| {
        let _ = verdict(archive::parse::<archive::Manifest>("blobs/sha256/x", bytes));
        verdict(archive::parse::<archive::Index>("index.json", bytes))
    });
    fuzz("refs", &JSON, 10_000, |bytes| {
        let refs: refs::Refs =
            serde_json::from_slice(bytes).map_err(|e| Error::damaged(e.to_string()).to_string())?;
        let images = refs.images();
        let mut mended = refs.clone();
        mended.drop_odd();
        let again = serde_json::from_slice(&serde_json::to_vec(&mended).unwrap());
        assert_eq!((again.unwrap(), mended.images()), (mended, images));
        verdict(Error::collect(refs.odd()))
    });
}

#[test]
fn image_configs_of_the_corpus_are_the_same_when_they_are_written_and_read_again() {
    fuzz("image-config", &JSON, 6_000, |bytes| {
        let config = ImageConfig::parse(bytes).map_err(|e| e.to_string())?;
        let written = config.to_bytes().unwrap();
        assert_eq!(known(ImageConfig::parse(&written).unwrap()), known(config.clone()));
        // As the layout of 2014 wants it.
        verdict(v1::add_members(&written, &config, &mut Default::default()))
    });
    fuzz("v1-json", &JSON, 6_000, |bytes| {
        let image = v1::V1Image::parse(bytes.to_vec()).map_err(|e| e.to_string())?;
        let config = v1::config(&[(&image, Digest::of(b""))]).unwrap();
        let again = ImageConfig::parse(&config.to_bytes().unwrap()).unwrap();
        let (head, text) = v1::kept(&again.history[0]).unwrap();
        assert_eq!((head, text.as_bytes()), (image.head, bytes));
        assert_eq!(known(again.clone()), known(config));
        Ok(())
    });
}

/// Without the fields that are only carried along: of a fraction there the last bit may change.
fn known(mut config: ImageConfig) -> ImageConfig {
    config.unknown.clear();
    config.config.unknown.clear();
    config.history.iter_mut().for_each(|entry| entry.unknown.clear());
    config
}

#[test]
fn changes_of_a_config_from_the_corpus_are_made_or_told() {
    fuzz("run-json", &JSON, 6_000, |bytes| {
        let run = run_json::parse(&String::from_utf8_lossy(bytes)).map_err(|e| e.to_string())?;
        let mut config = RunConfig::default();
        run_json::merge(&mut config, run);
        Ok(())
    });
    let words =
        ["ENV ", "EXPOSE ", "[\"", "\"]", "${", "}", "$A", "\\", "'", "\"", "=", "-", "/tcp"];
    fuzz("change", &words, 10_000, |bytes| {
        let mut config = RunConfig { env: vec!["A=1".into()], ..RunConfig::default() };
        verdict(change::apply(&mut config, &String::from_utf8_lossy(bytes)))
    });
}
