//! `run --commit`: a container whose program ends with 0 becomes an image.
//!
//! It is committed by whoever stands in the foreground, so that a failure is heard; and with
//! `--rm` it is removed only then, by the same: killed in between, the container is still there.

use crate::cli::attach::exit_code;
use crate::cli::import::source_date;
use crate::cli::output;
use crate::engine::session::End;
use crate::engine::{CommitOptions, Engine};
use crate::error::{Error, Result};
use crate::image::config::RunConfig;
use crate::types::{ContainerId, ImageRef, Timestamp};

#[derive(Clone, Debug)]
pub struct Harvest {
    pub name: ImageRef,
    pub created: Option<Timestamp>,
    /// `--rm`, which is then our work.
    pub removes: bool,
}

impl Harvest {
    /// `text` is what `--commit` says, `epoch` SOURCE_DATE_EPOCH.
    pub fn parse(text: &str, epoch: Option<String>, removes: bool) -> Result<Harvest> {
        let name = text.parse().map_err(|error: Error| error.doing("--commit"))?;
        Ok(Harvest { name, created: source_date(epoch)?, removes })
    }

    /// What is to be done at the end of a session; our exit code.
    pub fn gather(&self, engine: &Engine, id: &ContainerId, end: End) -> Result<u8> {
        let short = id.short();
        match end {
            End::Exited(0) => {
                engine.commit(id.as_str(), self.options()).map_err(|error| {
                    let again = format!("coracle commit {short} {}", self.name);
                    error.hint(format!("the container is still there: {again}"))
                })?;
            }
            End::Exited(_) => {}
            End::Detached | End::Signalled(_) => {
                output::diagnostic(&format!("coracle: container {short} runs on, uncommitted"));
                return Ok(exit_code(end));
            }
        }
        self.remove(engine, id)?;
        Ok(exit_code(end))
    }

    /// The container has ended, or its program could not be executed.
    pub fn remove(&self, engine: &Engine, id: &ContainerId) -> Result<()> {
        if self.removes { engine.remove(id.as_str(), false, true) } else { Ok(()) }
    }

    fn options(&self) -> CommitOptions {
        CommitOptions {
            name: Some(self.name.clone()),
            message: String::new(),
            author: String::new(),
            changes: Vec::new(),
            run: RunConfig::default(),
            pause: true,
            created: self.created,
        }
    }
}
