//! The store of images.
//!
//! ```text
//! <root>/images/
//!   refs.json           which images there are and their names (refs)
//!   blobs/sha256/<hex>  image configs, byte for byte
//!   layers/<key>/       unpacked layers (layer)
//!   tmp/<pid>-<n>/      what is being made, locked by who makes it (scratch)
//!   trash/<n>           what is being removed
//!   damaged/<key>.<n>   layers that `fsck` could not mend
//! ```
//!
//! An image comes in by parts: layers are unpacked in `tmp` and synced; then, under the images
//! lock, they are renamed to `layers`, the config is written, and at last `refs.json` says that
//! there is an image. It goes the other way round. So whatever moment a crash picks, `refs.json`
//! names whole images only, and the rest is what `sweep` removes: unlocked directories in `tmp`,
//! everything in `trash`, layers and blobs that no image refers to.
//!
//! Lock order: the images lock only. Readers take none.

use super::compare;
use super::config::ImageConfig;
use super::layer::{self, Layer, LayerInfo, LayerKey};
use super::recipe::{self, Emit};
use super::refs::Refs;
use super::scratch::{self, Scratch};
use super::tar::EndMarker;
use super::tree;
use super::unpack::{self, Limits, Unpacked};
use super::v1;
use crate::error::{Cause, Context, Error, OsContext, Result};
use crate::sys::atomic::{self, Durability};
use crate::sys::fs;
use crate::sys::lock::{self, Guard, Mode};
use crate::types::{Digest, ImageRef};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

/// Where `<root>/locks` is locked for changes of the images.
const LOCK_OFFSET: u64 = 3;

#[derive(Clone, Debug)]
pub struct Store {
    dir: PathBuf,
    locks: PathBuf,
}

#[derive(Clone, Debug)]
pub struct Image {
    pub id: Digest,
    pub config: ImageConfig,
}

/// A layer that was unpacked into a scratch directory and is not in the store yet.
#[derive(Clone, Debug)]
pub struct NewLayer {
    pub dir: PathBuf,
    pub unpacked: Unpacked,
}

/// An image to be added.
#[derive(Debug)]
pub struct NewImage {
    /// The bytes of its config.
    pub config: Vec<u8>,
    pub names: Vec<ImageRef>,
    /// Bottom first: the last of the config's `diff_ids`, as many as there are here. Those below
    /// are in the store. Images may share some.
    pub layers: Vec<NewLayer>,
}

impl Store {
    /// The store below `root`, made where there is none.
    pub fn open(root: &Path) -> Result<Store> {
        use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
        let dir = root.join("images");
        if !dir.join("layers").is_dir() {
            // Nobody but us may reach the suid files of the layers.
            let mut builder = std::fs::DirBuilder::new();
            builder.recursive(true).mode(0o700).create(&dir).on("create", &dir)?;
            std::fs::set_permissions(&dir, PermissionsExt::from_mode(0o700)).on("chmod", &dir)?;
            for sub in ["blobs/sha256", "tmp", "trash", "layers"] {
                let sub = dir.join(sub);
                builder.create(&sub).on("create", &sub)?;
            }
        }
        Ok(Store { dir, locks: root.join("locks") })
    }

    pub fn refs(&self) -> Result<Refs> {
        Refs::read(&self.dir.join("refs.json"))
    }

    /// The same, for who is going to write them: where all names are names.
    pub fn refs_to_change(&self) -> Result<Refs> {
        let refs = self.refs()?;
        Error::collect(refs.odd()).map(|()| refs)
    }

    /// The id that `text` stands for: an id, whole or its first digits, a name, or the id that
    /// Docker of 2014 gave the image.
    pub fn resolve(&self, text: &str) -> Result<Digest> {
        let refs = self.refs()?;
        match resolve(&refs, text) {
            Err(missing) if missing.is_not_found() => v1::resolve(self, &refs, text, missing),
            other => other,
        }
    }

    pub fn image(&self, id: &Digest) -> Result<Image> {
        let bytes = self.config_bytes(id)?;
        let config = ImageConfig::parse(&bytes).doing(|| format!("image {}", id.short()))?;
        Ok(Image { id: *id, config })
    }

    /// The config as it came in.
    pub fn config_bytes(&self, id: &Digest) -> Result<Vec<u8>> {
        let path = self.blob(id);
        let bytes = match std::fs::read(&path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                return Err(Error::not_found(format!("no such image: {}", id.short())));
            }
            other => other.on("read", &path)?,
        };
        if Digest::of(&bytes) != *id {
            let text = format!("{} is not what it was: its digest is another", path.display());
            return Err(Error::damaged(text));
        }
        Ok(bytes)
    }

    /// The layers, bottom first.
    pub fn layers(&self, image: &Image) -> Result<Vec<Layer>> {
        self.find_layers(&image.config.rootfs.diff_ids)
            .doing(|| format!("image {}", image.id.short()))
    }

    fn find_layers(&self, diff_ids: &[Digest]) -> Result<Vec<Layer>> {
        let find = |(diff_id, below): (&Digest, Option<Digest>)| {
            let keys = [LayerKey::alone(diff_id), LayerKey::on(diff_id, below.as_ref())];
            for key in keys {
                let dir = self.layer_dir(&key);
                if dir.is_dir() {
                    return Ok(Layer { dir, diff_id: *diff_id });
                }
            }
            let text = format!("its layer {diff_id} is not in the store");
            Err(Error::damaged(text).hint("load or import the image again"))
        };
        layer::chain(diff_ids).map(find).collect()
    }

    /// The trees of the layers, in overlayfs form, bottom first. One that the image has twice is
    /// there once, at its upper place: the lower one shows nothing and hides nothing that the
    /// upper does not, and overlayfs takes none twice.
    pub fn layer_dirs(&self, image: &Image) -> Result<Vec<PathBuf>> {
        let mut seen = BTreeSet::new();
        let mut trees: Vec<_> = self.layers(image)?.iter().map(Layer::tree).collect();
        trees.reverse();
        trees.retain(|tree| seen.insert(tree.clone()));
        trees.reverse();
        Ok(trees)
    }

    pub fn names(&self, id: &Digest) -> Result<Vec<ImageRef>> {
        Ok(self.refs()?.names_of(id))
    }

    /// Bytes of all files of the image.
    pub fn size(&self, image: &Image) -> Result<u64> {
        let sizes = self.layer_sizes(image)?;
        Ok(sizes.iter().fold(0, |total, (_, size)| total.saturating_add(*size)))
    }

    /// The directories of the layers, bottom first, each with the bytes of its files.
    pub fn layer_sizes(&self, image: &Image) -> Result<Vec<(PathBuf, u64)>> {
        let sized = |layer: Layer| LayerInfo::read(&layer.dir).map(|info| (layer.dir, info.size));
        self.layers(image)?.into_iter().map(sized).collect()
    }

    /// Excludes everybody else who changes which images there are. Whoever makes a container
    /// holds it (shared) from `resolve` until its record is written, so that no image is removed
    /// in between.
    pub fn lock(&self, mode: Mode) -> Result<Guard> {
        lock::lock(&self.locks, LOCK_OFFSET, mode).on("lock", &self.locks)
    }

    pub fn scratch(&self) -> Result<Scratch> {
        Scratch::create(&self.tmp())
    }

    /// Adds all the images, or none. Gives their ids.
    pub fn add(&self, scratch: &Scratch, images: Vec<NewImage>) -> Result<Vec<Digest>> {
        let mut ready = BTreeMap::new();
        let mut bases = Vec::new();
        for image in &images {
            let mut base = ImageConfig::parse(&image.config)?.rootfs.diff_ids;
            let new: Vec<_> = image.layers.iter().map(|layer| layer.unpacked.diff_id).collect();
            if !base.ends_with(&new) {
                let text = "the layers are not those that the image config lists";
                return Err(Error::invalid(text));
            }
            layer::few_enough(base.len())?;
            base.truncate(base.len() - new.len());
            let below = self.find_layers(&base)?.iter().map(Layer::tree).collect();
            prepare(scratch, &base, below, &image.layers, &mut ready)?;
            bases.push(base);
        }
        scratch.sync()?;

        let _lock = self.lock(Mode::Exclusive)?;
        for base in &bases {
            // Its image may have been removed meanwhile.
            self.find_layers(base)?;
        }
        let mut refs = self.refs_to_change()?;
        for (key, dir) in &ready {
            let to = self.layer_dir(key);
            match std::fs::rename(dir, &to) {
                // The store has it already; ours goes with the scratch directory.
                Err(e) if e.kind() == io::ErrorKind::DirectoryNotEmpty => {}
                other => other.on("rename", &to)?,
            }
        }
        let layers = self.layers_dir();
        File::open(&layers).and_then(|dir| dir.sync_all()).on("sync", &layers)?;
        let mut ids = Vec::new();
        for image in images {
            let id = Digest::of(&image.config);
            let path = self.blob(&id);
            atomic::replace(&path, &image.config, Durability::PowerLoss).on("write", &path)?;
            refs.add(id);
            for name in image.names {
                refs.set(name, id);
            }
            ids.push(id);
        }
        self.write_refs(&refs)?;
        Ok(ids)
    }

    /// Replaces `refs.json` by what was made of `refs_to_change`. The caller holds the lock.
    pub fn write_refs(&self, refs: &Refs) -> Result<()> {
        refs.write(&self.dir.join("refs.json"))
    }

    /// Writes the tar of a layer; its digest is checked at the end.
    pub fn emit(&self, layer: &Layer, out: &mut dyn io::Write) -> Result<()> {
        match recipe::emit(&layer.dir, &layer.diff_id, out) {
            Ok(()) => Ok(()),
            Err(Emit::Out(e)) => Err(Error::os("write", "the archive", e)),
            Err(Emit::Layer(e)) => Err(Error::damaged(format!("layer {}: {e}", layer.diff_id))
                .hint("load or import the image again")),
        }
    }

    /// Compares a layer with what its recipe makes of it, in `scratch`; `below` are the trees of
    /// the layers below. Contents are told by the digest, all else by comparison.
    pub fn verify(&self, scratch: &Scratch, layer: &Layer, below: &[PathBuf]) -> Result<Verified> {
        let (fresh, unpacked) = match unpack_again(scratch, &layer.dir, &layer.diff_id) {
            Ok(again) => again,
            Err(error) if matches!(error.root(), Cause::Damaged(_)) => {
                return Ok(Verified { wrong: vec![error.to_string()], fresh: None });
            }
            Err(error) => return Err(error),
        };
        if unpacked.implied > 0 {
            tree::adopt(&fresh, below)?;
        }
        let Unpacked { diff_id, tar_size, size, .. } = unpacked;
        let told = LayerInfo::read(&layer.dir);
        let info = LayerInfo { diff_id, tar_size, size };
        info.write(&fresh)?;
        let mut wrong = match told {
            Ok(told) if told == info => Vec::new(),
            Ok(_) => vec!["layer.json: is not what the layer says".to_string()],
            Err(error) => vec![error.to_string()],
        };
        wrong.extend(compare::differences(&layer.tree(), &fresh.join("fs"))?);
        Ok(Verified { wrong, fresh: Some(fresh) })
    }

    /// Puts `fresh` in the place of a layer that no container uses. The caller holds the lock.
    pub fn replace_layer(&self, layer: &Layer, fresh: &Path) -> Result<()> {
        let trash = Scratch::create(&self.trash())?;
        std::fs::rename(&layer.dir, trash.fresh()).on("discard", &layer.dir)?;
        trash.leave();
        std::fs::rename(fresh, &layer.dir).on("rename", &layer.dir)
    }

    /// Moves a layer that cannot be mended to `damaged/`, where nothing but a user touches it, so
    /// that it can be loaded again. The caller holds the lock.
    pub fn set_aside(&self, layer: &Layer) -> Result<PathBuf> {
        let damaged = self.dir.join("damaged");
        std::fs::create_dir_all(&damaged).on("create", &damaged)?;
        let name = layer.dir.file_name().unwrap_or_default().to_string_lossy();
        let free = |n: &u32| !damaged.join(format!("{name}.{n}")).exists();
        let to = damaged.join(format!("{name}.{}", (0..).find(free).unwrap_or_default()));
        std::fs::rename(&layer.dir, &to).on("rename", &layer.dir)?;
        Ok(to)
    }

    /// Moves everything to the trash that no image of `refs.json` refers to; gives the bytes of
    /// the files of those layers. The caller holds the lock. Where an image cannot be read nothing
    /// is moved.
    pub fn discard_unreferenced(&self) -> Result<u64> {
        let (mut blobs, mut keys) = (BTreeSet::new(), BTreeSet::new());
        for id in self.refs()?.images() {
            let Ok(image) = self.image(&id) else {
                return Ok(0);
            };
            blobs.insert(id.hex());
            for (diff_id, below) in layer::chain(&image.config.rootfs.diff_ids) {
                keys.insert(LayerKey::alone(diff_id).as_str().to_string());
                keys.insert(LayerKey::on(diff_id, below.as_ref()).as_str().to_string());
            }
        }
        let bytes = self.discard_others(&self.layers_dir(), &keys)?;
        self.discard_others(&self.dir.join("blobs/sha256"), &blobs)?;
        Ok(bytes)
    }

    fn discard_others(&self, dir: &Path, keep: &BTreeSet<String>) -> Result<u64> {
        let mut bytes = 0_u64;
        for entry in std::fs::read_dir(dir).on("read", dir)? {
            let entry = entry.on("read", dir)?;
            let name = entry.file_name();
            if name.to_str().is_some_and(|name| keep.contains(name)) {
                continue;
            }
            // What is no layer, or cannot be read, counts nothing.
            let info = LayerInfo::read(&entry.path());
            bytes = bytes.saturating_add(info.map_or(0, |info| info.size));
            let trash = Scratch::create(&self.trash())?;
            std::fs::rename(entry.path(), trash.fresh()).on("discard", entry.path())?;
            trash.leave();
        }
        Ok(bytes)
    }

    /// Removes what crashes left and what was discarded. Every verb that adds to the store begins
    /// with it, and so is told here already if it cannot; it is safe beside others that do.
    pub fn sweep(&self) -> Result<()> {
        self.refs_to_change()?;
        self.discard()?;
        self.remove_discarded()
    }

    /// The first half of the sweep: what nobody needs is on its way out.
    pub fn discard(&self) -> Result<()> {
        let _lock = self.lock(Mode::Exclusive)?;
        self.discard_unreferenced()?;
        for entry in std::fs::read_dir(&self.dir).on("read", &self.dir)? {
            let entry = entry.on("read", &self.dir)?;
            if atomic::is_leftover(&entry.file_name()) {
                fs::remove_tree(&entry.path()).on("remove", entry.path())?;
            }
        }
        Ok(())
    }

    /// The second half, which takes no lock.
    pub fn remove_discarded(&self) -> Result<()> {
        scratch::sweep(&self.trash())?;
        scratch::sweep(&self.tmp())
    }

    /// Where what comes in is made, and what a crash left of it.
    pub fn tmp(&self) -> PathBuf {
        self.dir.join("tmp")
    }

    /// Where what is removed waits for the next sweep.
    pub fn trash(&self) -> PathBuf {
        self.dir.join("trash")
    }

    /// Where the layers lie.
    fn layers_dir(&self) -> PathBuf {
        self.dir.join("layers")
    }

    fn blob(&self, digest: &Digest) -> PathBuf {
        self.dir.join("blobs/sha256").join(digest.hex())
    }

    fn layer_dir(&self, key: &LayerKey) -> PathBuf {
        self.layers_dir().join(key.as_str())
    }
}

/// What `Store::verify` found.
#[derive(Debug, Default)]
pub struct Verified {
    /// What is wrong, a line each.
    pub wrong: Vec<String>,
    /// The layer made anew, where that can be.
    pub fresh: Option<PathBuf>,
}

/// Makes the layers of one image ready to be renamed: gives implied directories the attributes
/// they have below, writes the facts down, and notes each in `ready` by its key. `base` are the
/// layers that are in the store, `below_dirs` their trees.
fn prepare(
    scratch: &Scratch,
    base: &[Digest],
    mut below_dirs: Vec<PathBuf>,
    layers: &[NewLayer],
    ready: &mut BTreeMap<LayerKey, PathBuf>,
) -> Result<()> {
    let new = layers.iter().map(|layer| layer.unpacked.diff_id);
    let diff_ids: Vec<Digest> = base.iter().copied().chain(new).collect();
    for (new, (diff_id, below)) in layers.iter().zip(layer::chain(&diff_ids).skip(base.len())) {
        let implies = new.unpacked.implied > 0;
        let key = match implies {
            true => LayerKey::on(diff_id, below.as_ref()),
            false => LayerKey::alone(diff_id),
        };
        if !ready.contains_key(&key) {
            let mut dir = new.dir.clone();
            if implies {
                if ready.values().any(|used| *used == dir) {
                    dir = unpack_again(scratch, &new.dir, diff_id)?.0;
                }
                tree::adopt(&dir, &below_dirs)?;
            }
            let Unpacked { tar_size, size, .. } = new.unpacked;
            LayerInfo { diff_id: *diff_id, tar_size, size }.write(&dir)?;
            ready.insert(key.clone(), dir);
        }
        below_dirs.extend(ready.get(&key).map(|dir| dir.join("fs")));
    }
    Ok(())
}

/// A second copy of the layer in `dir`, unpacked from the tar that its recipe makes.
fn unpack_again(scratch: &Scratch, dir: &Path, diff_id: &Digest) -> Result<(PathBuf, Unpacked)> {
    let copy = scratch.fresh_directory()?;
    let (mut tar, mut out) = io::pipe().on("make", "a pipe")?;
    let (emitted, unpacked) = std::thread::scope(|scope| {
        let emitter = scope.spawn(move || recipe::emit(dir, diff_id, &mut out));
        let unpacked = unpack::unpack(&mut tar, &copy, Limits::default(), EndMarker::Optional);
        // Whoever still writes is to see that nobody reads.
        drop(tar);
        (emitter.join(), unpacked)
    });
    // What is wrong with the layer explains what is wrong with its tar.
    if let Ok(Err(Emit::Layer(error))) = emitted {
        return Err(Error::damaged(error.to_string()));
    }
    Ok((copy, unpacked?))
}

fn resolve(refs: &Refs, text: &str) -> Result<Digest> {
    let missing = || Error::not_found(format!("no such image: {text}"));
    if let Ok(id) = text.parse::<Digest>() {
        return if refs.contains(&id) { Ok(id) } else { Err(missing()) };
    }
    let name = text.parse::<ImageRef>();
    if let Some(id) = name.as_ref().ok().and_then(|name| refs.get(name)) {
        return Ok(id);
    }
    let digits = text.strip_prefix("sha256:");
    let prefix = digits.unwrap_or(text);
    let is_hex = |b: u8| matches!(b, b'0'..=b'9' | b'a'..=b'f');
    if !prefix.is_empty() && prefix.bytes().all(is_hex) {
        let images = refs.images();
        let mut fitting = images.into_iter().filter(|id| id.hex().starts_with(prefix));
        match (fitting.next(), fitting.next()) {
            (Some(id), None) => return Ok(id),
            (Some(a), Some(b)) => {
                let (a, b) = (a.short(), b.short());
                let text = format!("image id \"{text}\" is ambiguous: {a}, {b} and maybe more");
                return Err(Error::invalid(text).hint("give more digits"));
            }
            _ => {}
        }
    }
    // No image is called so, and none can be.
    if digits.is_some() {
        return Err(missing());
    }
    name.and_then(|_| Err(missing()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_ids_and_their_beginnings_are_resolved() {
        let mut refs = Refs::default();
        // e3b0… and ca97…, and two that begin alike.
        let (empty, a) = (Digest::of(b""), Digest::of(b"a"));
        refs.set("team/app:v1".parse().unwrap(), empty);
        refs.set("e3:latest".parse().unwrap(), a);
        for (text, id) in [
            ("team/app:v1", empty),
            (empty.to_string().as_str(), empty),
            (empty.hex().as_str(), empty),
            ("sha256:e3b0", empty),
            ("e3", a),
            ("e", empty),
            ("c", a),
        ] {
            assert_eq!(resolve(&refs, text).unwrap(), id, "{text}");
        }
        let told = |text| resolve(&refs, text).unwrap_err().to_string();
        assert_eq!(told("busybox"), "no such image: busybox");
        assert_eq!(told("team/app"), "no such image: team/app");
        assert_eq!(told("sha256:xyz"), "no such image: sha256:xyz");
        assert!(resolve(&refs, &Digest::of(b"x").hex()).unwrap_err().is_not_found());
        assert!(told("Bad!").starts_with("invalid reference format"));
        for text in ["1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11", "12", "13", "14"] {
            refs.add(Digest::of(text.as_bytes()));
        }
        let first = |id: &Digest| id.hex().chars().next();
        let images = refs.images();
        let twice =
            images.iter().find(|a| images.iter().filter(|b| first(a) == first(b)).count() > 1);
        let digit = first(twice.unwrap()).unwrap().to_string();
        assert!(resolve(&refs, &digit).unwrap_err().to_string().contains("ambiguous"));
    }
}
