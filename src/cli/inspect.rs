//! `inspect`: all about containers, images, networks and volumes, in Docker's JSON.

use super::command::Command;
use super::template::Template;
use super::{json, output};
use crate::engine::Engine;
use crate::engine::image::{ImageInspect, inspect_image};
use crate::engine::report::{InspectContainer, InspectNetwork, InspectVolume};
use crate::error::{Error, Result};
use argh::{ArgsInfo, FromArgs};
use serde::Serialize;

/// Show all about one or more containers, images, networks or volumes
#[derive(FromArgs, ArgsInfo)]
#[argh(help_triggers("--help"))]
pub struct Args {
    /// print by a template: json or '{{.State.Pid}}'
    #[argh(option, short = 'f', arg_name = "string")]
    format: Option<String>,
    /// tell the bytes that a container wrote, and with its image's
    #[argh(switch, short = 's')]
    size: bool,
    /// look among containers, images, networks or volumes only
    #[argh(option, arg_name = "container|image|network|volume")]
    r#type: Option<String>,
    #[argh(positional)]
    names: Vec<String>,
}

/// The things that there are, in the order in which they are looked for.
const KINDS: [&str; 4] = ["container", "image", "network", "volume"];

#[derive(Debug)]
pub struct Inspect {
    format: Option<Template>,
    /// Else any.
    kind: Option<&'static str>,
    size: bool,
    names: Vec<String>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Thing {
    Container(Box<InspectContainer>),
    Image(Box<ImageInspect>),
    Network(Box<InspectNetwork>),
    Volume(InspectVolume),
}

impl Command for Inspect {
    type Args = Args;
    const NAME: &'static str = "inspect";
    const USAGE: &'static str = "NAME|ID [NAME|ID...]";

    fn new(args: Args) -> Result<Inspect> {
        let kind = match args.r#type.as_deref() {
            None | Some("") => None,
            Some(text) => Some(KINDS.into_iter().find(|kind| *kind == text).ok_or_else(|| {
                Error::invalid(format!("--type: there are no things called {text}"))
                    .hint("use container, image, network or volume")
            })?),
        };
        let format = Template::wanted(args.format)?;
        Ok(Inspect { format, kind, size: args.size, names: args.names })
    }

    fn run(self, engine: &Engine) -> Result<u8> {
        show(self.format.as_ref(), &self.names, |name| self.find(engine, name))
    }
}

impl Inspect {
    fn find(&self, engine: &Engine, name: &str) -> Result<Thing> {
        for kind in KINDS.into_iter().filter(|kind| self.kind.is_none_or(|only| only == *kind)) {
            match self.find_one(engine, kind, name) {
                Err(e) if e.is_not_found() => {}
                found => return found,
            }
        }
        let what = self.kind.unwrap_or("object");
        Err(Error::not_found(format!("no such {what}: {name}")))
    }

    fn find_one(&self, engine: &Engine, kind: &str, name: &str) -> Result<Thing> {
        Ok(match kind {
            "container" => {
                let container = engine.container(name)?;
                let size = self.size.then(|| engine.container_size(&container));
                Thing::Container(Box::new(InspectContainer::new(&container, size)))
            }
            "image" => {
                let (store, driver) = (engine.images()?, engine.driver()?);
                Thing::Image(Box::new(inspect_image(&store, driver.name(), name)?))
            }
            "network" => Thing::Network(Box::new((&engine.inspect_network(name)?).into())),
            _ => Thing::Volume((&engine.volume(name)?).into()),
        })
    }
}

/// Looks up each name and prints what was found. What there is, is shown, whatever else there is
/// not.
pub fn show<T: Serialize>(
    format: Option<&Template>,
    names: &[String],
    look: impl Fn(&str) -> Result<T>,
) -> Result<u8> {
    let (mut found, mut errors) = (Vec::new(), Vec::new());
    for name in names {
        match look(name) {
            Ok(thing) => found.push(thing),
            Err(e) => errors.push(e),
        }
    }
    output::rendered(format, &render(format, &found)?)?;
    Error::collect(errors).map(|()| 0)
}

/// By the template, else as JSON.
pub fn render<T: Serialize>(format: Option<&Template>, things: &[T]) -> Result<String> {
    let Some(template) = format else { return Ok(json::pretty(&things) + "\n") };
    let values = things.iter().map(serde_json::to_value);
    let values: std::result::Result<Vec<_>, _> = values.collect();
    template.render(&values.map_err(|e| Error::invalid(e.to_string()))?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::container::{Endpoint, Mount, MountKind, Status};
    use crate::engine::report::sample;

    fn inspect(format: Option<&str>) -> Inspect {
        let format = format.map(str::to_string);
        let args = Args { format, size: false, r#type: None, names: Vec::new() };
        Inspect::new(args).unwrap()
    }

    fn web() -> Thing {
        let mut web = sample("web", "6");
        web.state.status = Status::Running;
        web.config.entrypoint = vec!["/init".to_string()];
        web.config.command = ["-c", "a>b"].map(String::from).to_vec();
        web.config.mounts = vec![Mount {
            kind: MountKind::Volume,
            source: "cache".to_string(),
            target: "/cache".to_string(),
            read_only: true,
            anonymous: false,
            inherited: false,
            nocopy: false,
            options: Vec::new(),
            subpath: String::new(),
            labels: Default::default(),
            must_exist: false,
            by_mount: false,
        }];
        web.config.exposed_ports = vec!["80/tcp".to_string()];
        web.state.endpoints = vec![Endpoint {
            network: "bridge".to_string(),
            network_id: "5".repeat(64),
            upon: "coracle0".to_string(),
            number: 0,
            address: [10, 88, 0, 2].into(),
            prefix: 16,
            gateway: Some([10, 88, 0, 1].into()),
            ipv6: None,
            leads_out: true,
            mac: "02:42:0a:58:00:02".parse().unwrap(),
        }];
        Thing::Container(Box::new(InspectContainer::new(&web, None)))
    }

    #[test]
    fn a_container_has_dockers_keys() {
        let fields = r"{{.Name}} {{.Path}} {{.Args}} {{.State.Status}} {{.State.Running}}
{{.NetworkSettings.IPAddress}} {{.NetworkSettings.Networks.bridge.Gateway}} {{json .NetworkSettings.Ports}}
{{json .Config.Entrypoint}} {{json .Config.Volumes}} {{json .HostConfig.Binds}} {{.HostConfig.RestartPolicy.Name}}
{{json .Mounts}} {{.LogPath}} {{.State.FinishedAt}}";
        let text = render(inspect(Some(fields)).format.as_ref(), &[web()]).unwrap();
        let expected = r#"/web /init [-c a>b] running true
10.88.0.2 10.88.0.1 {"80/tcp":null}
["/init"] null ["cache:/cache:ro"] no
[{"Destination":"/cache","Driver":"local","Mode":"ro","Name":"cache","Propagation":"","RW":false,"Source":"/root/volumes/cache/data","Type":"volume"}] /root/containers/x/log 0001-01-01T00:00:00Z
"#;
        assert_eq!(text, expected);
    }

    #[test]
    fn without_a_template_it_is_a_list_in_dockers_order() {
        let text = render(None, &[web()]).unwrap();
        let start = format!("[\n    {{\n        \"Id\": \"{}\",\n", "6".repeat(64));
        assert!(text.starts_with(&start), "{text}");
        assert!(text.contains("\"a\\u003eb\""));
        let place = |key: &str| text.find(&format!("\n        \"{key}\":")).unwrap();
        let keys = [
            "Id",
            "Created",
            "Path",
            "State",
            "Image",
            "Name",
            "HostConfig",
            "Mounts",
            "Config",
            "NetworkSettings",
        ];
        assert!(keys.is_sorted_by_key(|key| place(key)));
        assert_eq!(render::<Thing>(None, &[]).unwrap(), "[]\n");
    }
}
