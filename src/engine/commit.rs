//! `commit`: a container's changes become a layer, and its configuration an image's.

use super::Engine;
use crate::container::{Config, MountKind};
use crate::error::{Context, Error, Result};
use crate::image::changes::{self, Change, For, Kind};
use crate::image::config::{Empty, History, ImageConfig, RunConfig};
use crate::image::pack::Packer;
use crate::image::store::NewImage;
use crate::image::{Image, change, new_layer, run_json};
use crate::types::{Digest, ImageRef, Signal, Timestamp};

#[derive(Clone, Debug)]
pub struct CommitOptions {
    pub name: Option<ImageRef>,
    pub message: String,
    pub author: String,
    /// Dockerfile instructions for the config.
    pub changes: Vec<String>,
    /// What `--run` says of the config (`image::run_json`).
    pub run: RunConfig,
    /// Have the container stand still meanwhile.
    pub pause: bool,
    /// When the image was made; else now.
    pub created: Option<Timestamp>,
}

impl Engine {
    /// Makes an image of the container as it is now, and gives its id.
    pub fn commit(&self, name: &str, options: CommitOptions) -> Result<Digest> {
        self.begin()?;
        let dir = self.find(name)?;
        let config = dir.config()?;
        let store = self.images()?;
        let image = store.image(&config.image)?;
        let mut run = run_config(&image, &config);
        run_json::merge(&mut run, options.run);
        for instruction in &options.changes {
            change::apply(&mut run, instruction)?;
        }
        store.sweep()?;
        let scratch = store.scratch()?;
        let place = scratch.fresh_directory()?;
        let mut warnings = Vec::new();
        let layer = self.hold(&dir, "commit", options.pause, || {
            let compared = self.compared(&dir)?;
            new_layer::make(place, |packer| {
                changes::changes(compared, For::Layer, &mut |change| pack(packer, change))?;
                warnings = packer.warnings();
                Ok(())
            })
        });
        let layer = layer.doing(|| format!("commit {name}"))?;
        self.troubles.borrow_mut().extend(warnings);

        let created = Some(options.created.unwrap_or_else(Timestamp::now));
        let command = if config.command.is_empty() { &config.entrypoint } else { &config.command };
        let comment = options.message.clone();
        let history = History {
            created,
            created_by: command.join(" "),
            author: options.author.clone(),
            comment: options.message,
            ..History::default()
        };
        let image = image.config.with_layer(layer.unpacked.diff_id, history);
        let image = ImageConfig { author: options.author, config: run, ..image };
        let config = image.to_bytes()?;
        let name = options.name.as_ref().map(ToString::to_string).unwrap_or_default();
        let names = options.name.into_iter().collect();
        let ids = store.add(&scratch, vec![NewImage { config, names, layers: vec![layer] }])?;
        let id = ids.first().copied().ok_or_else(|| Error::conflict("no image was made"))?;
        let words = id.to_string();
        self.tell_of(
            &dir,
            "commit",
            &[("comment", &comment), ("imageID", &words), ("imageRef", &name)],
        );
        Ok(id)
    }
}

fn pack(packer: &mut Packer, change: &Change) -> Result<()> {
    let path = change.entry.path;
    if change.kind == Kind::Deleted {
        return packer.whiteout(path);
    }
    new_layer::pack(packer, &change.entry)?;
    if change.opaque { packer.opaque(path) } else { Ok(()) }
}

/// The image's configuration with what the container was created with.
fn run_config(image: &Image, config: &Config) -> RunConfig {
    let base = &image.config.config;
    let words = |words: &[String]| Some(words.to_vec()).filter(|words| !words.is_empty());
    let set = |texts: &[String]| texts.iter().map(|text| (text.clone(), Empty {})).collect();
    let anonymous = config
        .mounts
        .iter()
        .filter(|mount| mount.kind == MountKind::Volume && mount.source.parse::<Digest>().is_ok());
    let mut volumes = base.volumes.clone();
    volumes.extend(anonymous.map(|mount| (mount.target.clone(), Empty {})));
    // The container has a value for what its image leaves open.
    let signal = base.stop_signal.as_ref().map_or(Ok(Signal::TERM), |text| text.parse());
    let stop_signal = match signal {
        Ok(signal) if signal == config.stop_signal => base.stop_signal.clone(),
        _ => Some(config.stop_signal.to_string()),
    };
    let timeout = i64::from(config.stop_timeout);
    let stop_timeout = match base.stop_timeout {
        None if config.stop_timeout == super::create::DEFAULT_STOP_TIMEOUT => None,
        _ => Some(timeout),
    };
    let working_dir = match config.working_dir.as_str() {
        "/" if base.working_dir.is_empty() => String::new(),
        dir => dir.to_string(),
    };
    RunConfig {
        user: config.user.clone(),
        exposed_ports: set(&config.exposed_ports),
        env: config.env.clone(),
        entrypoint: words(&config.entrypoint),
        cmd: words(&config.command),
        volumes,
        working_dir,
        labels: config.labels.clone(),
        stop_signal,
        stop_timeout,
        healthcheck: config.health.check.clone(),
        // Its triggers were for the images made directly of it.
        on_build: Vec::new(),
        ..base.clone()
    }
}
