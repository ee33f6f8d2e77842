//! `insert`: one more layer on an image, with one file in it that a URL names.
//!
//! The size of a file comes before it in a tar, and a server need not say it: so the file is
//! gathered in a scratch directory, and packed from there.

use super::Engine;
use super::image::fetch;
use crate::error::{Context, Error, OsContext, Result};
use crate::http::Url;
use crate::image::config::History;
use crate::image::merged::Merged;
use crate::image::new_layer;
use crate::image::pack::Packer;
use crate::image::place::{self, Place};
use crate::image::room::Room;
use crate::image::store::NewImage;
use crate::image::tree::join;
use crate::image::walk::{Entry, display};
use crate::sys::fs::{self, Open, Time};
use crate::types::{Digest, Timestamp};
use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

const BUFFER: usize = 256 << 10;
/// What the new layer is made of, in the scratch directory.
const NEW_FILE: &[u8] = b"file";
const NEW_DIRECTORY: &[u8] = b"directory";

#[derive(Clone, Debug)]
pub struct InsertOptions {
    pub url: Url,
    /// In the image; absolute or not.
    pub path: String,
    /// When the image and the file were made; else now.
    pub created: Option<Timestamp>,
}

impl Engine {
    /// Makes an image of the image `name` and the file, and gives its id.
    pub fn insert(&self, name: &str, options: &InsertOptions) -> Result<Digest> {
        self.begin()?;
        let InsertOptions { url, path, .. } = options;
        let store = self.images()?;
        let image = store.image(&store.resolve(name)?)?;
        let tree = Merged::layers(store.layer_dirs(&image)?);
        let place = place::find(&tree, path.as_bytes(), &|| file_name(url))?;

        let created = options.created.unwrap_or_else(Timestamp::now);
        store.sweep()?;
        let scratch = store.scratch()?;
        let new = scratch.fresh_directory()?;
        gather(url, &new, Time(created.0)).doing(|| format!("insert {url}"))?;
        let new = fs::open_directory(&new).on("open", &new)?;
        // An image without layers says nothing of its root.
        let root = (!image.config.rootfs.diff_ids.is_empty()).then_some(&tree);
        let layer = new_layer::make(scratch.fresh_directory()?, |packer| {
            pack_directories(packer, root, &place)?;
            pack_new(packer, new.as_fd(), &place)
        });
        let layer = layer.doing(|| format!("insert {url}"))?;

        let history = History {
            created: Some(created),
            created_by: format!("insert {url} {path}"),
            author: image.config.author.clone(),
            ..History::default()
        };
        let config = image.config.with_layer(layer.unpacked.diff_id, history).to_bytes()?;
        let id = Digest::of(&config);
        store.add(&scratch, vec![NewImage { config, names: Vec::new(), layers: vec![layer] }])?;
        Ok(id)
    }
}

fn file_name(url: &Url) -> Result<Vec<u8>> {
    url.file_name().ok_or_else(|| {
        Error::invalid(format!("{url}: a URL that does not end in a file's name"))
            .hint("give the name with PATH")
    })
}

/// Gets the file, and makes a directory as it is to be where there is none.
fn gather(url: &Url, new: &Path, mtime: Time) -> Result<()> {
    let mut body = fetch(url)?;
    let dir = fs::open_directory(new).on("open", new)?;
    let dir = dir.as_fd();
    let file = fs::open_at(dir, NEW_FILE, Open::CreateNew).on("create", new)?;
    let mut file = fs::file(file);
    copy(&mut *body, &mut file, Room::at(new)?)?;
    fs::fchmod(file.as_fd(), 0o644).on("chmod", new)?;
    fs::futimens(file.as_fd(), mtime).on("set the time of", new)?;
    fs::mkdir_at(dir, NEW_DIRECTORY, 0o755).on("create", new)?;
    fs::chmod_at(dir, NEW_DIRECTORY, 0o755).on("chmod", new)?;
    fs::utimens_at(dir, NEW_DIRECTORY, mtime).on("set the time of", new)
}

fn copy(from: &mut dyn Read, to: &mut File, mut room: Room) -> Result<()> {
    let mut buffer = vec![0; BUFFER];
    loop {
        let n = match from.read(&mut buffer) {
            Err(e) if e.kind() == ErrorKind::Interrupted => continue,
            other => other.on("read", "the answer")?,
        };
        if n == 0 {
            return Ok(());
        }
        room.take(n as u64)?;
        to.write_all(buffer.get(..n).unwrap_or_default()).on("write", "it")?;
    }
}

/// Packs the directories on the way that are there, as they are: a layer that leaves some out
/// leaves it to its reader what they are like.
fn pack_directories(packer: &mut Packer, root: Option<&Merged>, place: &Place) -> Result<()> {
    let Some(root) = root else {
        return Ok(());
    };
    let ends = place.dir.iter().enumerate().filter(|(_, b)| **b == b'/').map(|(at, _)| at);
    let below = ends.chain(Some(place.dir.len())).filter(|end| *end > 0);
    for end in std::iter::once(0).chain(below) {
        let path = place.dir.get(..end).unwrap_or_default();
        let gone = || Error::conflict("the image was removed meanwhile");
        let dir = root.open(path)?.ok_or_else(gone)?;
        let dir = dir.top().ok_or_else(gone)?;
        let stat = Some(fs::fstat(dir).on("look at", display(path))?);
        packer.entry(&Entry { dir, name: b".", path, stat })?;
    }
    Ok(())
}

/// Packs what is new, out of the directory `new`.
fn pack_new(packer: &mut Packer, new: BorrowedFd, place: &Place) -> Result<()> {
    let mut path = place.dir.clone();
    for (at, name) in place.missing.iter().enumerate() {
        path = join(&path, name);
        let is_file = at + 1 == place.missing.len();
        let name = if is_file { NEW_FILE } else { NEW_DIRECTORY };
        let stat = fs::stat_at(new, name).on("look at", display(&path))?;
        new_layer::pack(packer, &Entry { dir: new, name, path: &path, stat })?;
    }
    Ok(())
}
