//! `ps`: the table of containers, in Docker's columns and words.

use super::command::{Command, number};
use super::table::{ellipsis, table};
use super::template::{Template, quote};
use super::{output, port};
use crate::container::{HealthStatus, MountKind};
use crate::engine::report::Container;
use crate::engine::usage::ContainerSize;
use crate::engine::{Engine, image};
use crate::error::{Error, Result};
use crate::types::{
    Digest, LabelFilter, Port, Timestamp, all_match, human_ago, human_duration, human_size,
    parse_filter, parse_ports, parse_switch,
};
use argh::{ArgsInfo, FromArgs};
use serde_json::{Value, json};

/// List containers
#[derive(FromArgs, ArgsInfo)]
#[argh(help_triggers("--help"))]
pub struct Args {
    /// show all containers, not only those that run
    #[argh(switch, short = 'a')]
    all: bool,
    /// show those created before this one, in any state
    #[argh(option, arg_name = "container", hidden_help)]
    before_id: Option<String>,
    /// show those that match: ancestor=, before=, exited=, expose=, health=, id=, is-task=,
    /// label=, name=, network=, publish=, since=, status=, volume=
    #[argh(option, short = 'f', arg_name = "list")]
    filter: Vec<String>,
    /// print by a template: json, '{{.Names}}' or 'table {{.ID}}\t{{.Status}}'
    #[argh(option, arg_name = "string")]
    format: Option<String>,
    /// show so many of the last created, in any state
    #[argh(option, short = 'n', arg_name = "int")]
    last: Option<String>,
    /// show the last created, in any state
    #[argh(switch, short = 'l')]
    latest: bool,
    /// show ids and commands whole
    #[argh(switch)]
    no_trunc: bool,
    /// show ids only
    #[argh(switch, short = 'q')]
    quiet: bool,
    /// show those created after this one, in any state
    #[argh(option, arg_name = "container", hidden_help)]
    since_id: Option<String>,
    /// show the bytes that each wrote, and with its image's
    #[argh(switch, short = 's')]
    size: bool,
}

pub struct Ps {
    all: bool,
    last: Option<usize>,
    filters: Vec<Filter>,
    format: Option<Template>,
    no_trunc: bool,
    quiet: bool,
    size: bool,
}

impl Command for Ps {
    type Args = Args;
    const NAME: &'static str = "ps";
    const USAGE: &'static str = "";

    fn new(args: Args) -> Result<Ps> {
        let last = match &args.last {
            Some(text) => usize::try_from(number::<i64>("--last", text)?).ok(),
            None => args.latest.then_some(1),
        };
        let mut filters: Vec<Filter> =
            args.filter.iter().map(|text| Filter::parse(text)).collect::<Result<_>>()?;
        let format = Template::wanted(args.format)?.map(|it| it.titled([("ID", "CONTAINER ID")]));
        let of_2014 = args.before_id.is_some() || args.since_id.is_some();
        filters.extend(args.before_id.map(Filter::before));
        filters.extend(args.since_id.map(Filter::since));
        let in_any_state = last.is_some() || of_2014 || filters.iter().any(Filter::asks_for_state);
        Ok(Ps {
            all: args.all || in_any_state,
            last,
            filters,
            // It takes a look at every file, so only where it is shown.
            size: !args.quiet && (args.size || format.as_ref().is_some_and(|f| f.names("Size"))),
            format,
            no_trunc: args.no_trunc,
            quiet: args.quiet,
        })
    }

    fn run(mut self, engine: &Engine) -> Result<u8> {
        for filter in &mut self.filters {
            filter.find(engine)?;
        }
        let size = |container: &Container| engine.container_size(container);
        let text = self.render(&engine.containers()?, &size, Timestamp::now())?;
        output::rendered(self.format.as_ref(), &text)?;
        Ok(0)
    }
}

impl Ps {
    /// `containers` come with the last created first.
    fn render(
        &self,
        containers: &[Container],
        size: &dyn Fn(&Container) -> ContainerSize,
        now: Timestamp,
    ) -> Result<String> {
        let shown = containers.iter().filter(|c| self.all || c.is_up());
        let shown = shown.filter(|c| Filter::all_match(&self.filters, c));
        let rows: Vec<Row> = shown
            .take(self.last.unwrap_or(usize::MAX))
            .map(|c| Row::new(c, self.no_trunc, self.size.then(|| size(c)), now))
            .collect();
        if let (Some(template), false) = (&self.format, self.quiet) {
            let fields: Vec<Value> = rows.iter().map(Row::fields).collect();
            return template.render_all(&fields, &|at| Some(&rows[at].container.config.labels));
        }
        if self.quiet {
            return Ok(rows.iter().map(|row| format!("{}\n", row.id)).collect());
        }
        let titles =
            ["CONTAINER ID", "IMAGE", "COMMAND", "CREATED", "STATUS", "PORTS", "NAMES", "SIZE"];
        let mut lines = vec![titles.map(String::from).to_vec()];
        lines.extend(rows.into_iter().map(|row| {
            let names = row.names();
            let Row { id, image, command, running_for, status, ports, size, .. } = row;
            vec![id, image, command, running_for, status, ports, names, size]
        }));
        if !self.size {
            lines.iter_mut().for_each(|line| drop(line.pop()));
        }
        Ok(table(&lines))
    }
}

/// What is shown of one container.
pub struct Row<'a> {
    container: &'a Container,
    no_trunc: bool,
    pub id: String,
    pub image: String,
    pub command: String,
    pub running_for: String,
    pub status: String,
    ports: String,
    pub name: String,
    /// Empty where nobody asked.
    size: String,
}

impl Row<'_> {
    pub fn new(
        container: &Container,
        no_trunc: bool,
        size: Option<ContainerSize>,
        now: Timestamp,
    ) -> Row<'_> {
        let config = &container.config;
        let id = if no_trunc { config.id.as_str() } else { config.id.short() };
        let command = command_line(container);
        let command = if no_trunc { command } else { ellipsis(&command, 20) };
        Row {
            container,
            no_trunc,
            id: id.to_string(),
            image: container.image_name.clone(),
            command: quote(&command),
            running_for: human_ago(config.created, now),
            status: status(container, now),
            ports: port::column(container),
            name: container.settings.name.to_string(),
            size: size.map(size_text).unwrap_or_default(),
        }
    }

    /// Its name, and those by the links of others: `redis,webapp/db`.
    fn names(&self) -> String {
        let paths = self.container.paths.iter().map(String::as_str);
        [self.name.as_str()].into_iter().chain(paths).collect::<Vec<_>>().join(",")
    }

    fn fields(&self) -> Value {
        let config = &self.container.config;
        let labels = config.labels.iter().map(|(key, value)| format!("{key}={value}"));
        let on_disk = config.mounts.iter().filter(|m| m.kind != MountKind::Tmpfs);
        let mounts = on_disk.map(|mount| match self.no_trunc {
            true => mount.source.clone(),
            false => ellipsis(&mount.source, 15),
        });
        json!({
            "ID": self.id,
            "Image": self.image,
            "Command": self.command,
            "CreatedAt": config.created.whole_seconds().in_go(),
            "RunningFor": self.running_for,
            "Status": self.status,
            "State": self.container.status(),
            "Ports": self.ports,
            "Names": if self.no_trunc { self.names() } else { self.name.clone() },
            "Labels": labels.collect::<Vec<_>>().join(","),
            "LocalVolumes": self.container.volumes().count().to_string(),
            "Mounts": mounts.collect::<Vec<_>>().join(","),
            "Networks": self.container.networks().collect::<Vec<_>>().join(","),
            "Size": self.size,
        })
    }
}

/// What it wrote, and all that it sees.
fn size_text(size: ContainerSize) -> String {
    format!("{} (virtual {})", human_size(size.written), human_size(size.whole))
}

/// `Up 3 seconds`, `Exited (0) About a minute ago`.
fn status(container: &Container, now: Timestamp) -> String {
    let state = &container.state;
    let code = state.exit_code;
    match container.status() {
        status @ ("running" | "paused") => {
            let lost = if container.monitored { "" } else { " (monitor lost)" };
            let paused = if status == "paused" { " (Paused)" } else { "" };
            let health = match &container.health {
                Some(health) if !state.paused => match health.status {
                    HealthStatus::Starting => " (health: starting)".to_string(),
                    status => format!(" ({})", status.word()),
                },
                _ => String::new(),
            };
            let network = if container.lacks_network() { " (network lost)" } else { "" };
            let since = human_duration(state.started.until(now));
            format!("Up {since}{paused}{health}{network}{lost}")
        }
        "restarting" => format!("Restarting ({code}) {}", human_ago(state.finished, now)),
        "exited" => format!("Exited ({code}) {}", human_ago(state.finished, now)),
        "removing" => "Removal In Progress".to_string(),
        _ => "Created".to_string(),
    }
}

/// Program and arguments on one line; those with blanks in quotes.
fn command_line(container: &Container) -> String {
    let words = container.argv().enumerate().map(|(at, word)| match word.contains(' ') && at > 0 {
        true => format!("'{word}'"),
        false => word.to_string(),
    });
    words.collect::<Vec<_>>().join(" ")
}

/// One `--filter`. Of those with the same key one must match, labels all.
#[derive(Debug, PartialEq, Eq)]
enum Filter {
    Name {
        text: String,
        at_start: bool,
        at_end: bool,
    },
    Id(String),
    Status(String),
    Label(LabelFilter),
    Exited(i32),
    Publish(Vec<Port>),
    Expose(Vec<Port>),
    Network(String),
    /// The images of the ancestor that was named, and of those made from it.
    Ancestor {
        name: String,
        images: Vec<Digest>,
    },
    /// Created before the container that is named.
    Before {
        name: String,
        time: Timestamp,
    },
    Since {
        name: String,
        time: Timestamp,
    },
    /// A volume's name, or where something is mounted.
    Volume(String),
    Health(String),
    IsTask(bool),
}

const HEALTHS: [&str; 4] = ["healthy", "none", "starting", "unhealthy"];

const STATES: [&str; 7] =
    ["created", "restarting", "running", "removing", "paused", "exited", "dead"];

impl Filter {
    fn parse(text: &str) -> Result<Filter> {
        const KEYS: [&str; 14] = [
            "ancestor", "before", "exited", "expose", "health", "id", "is-task", "label", "name",
            "network", "publish", "since", "status", "volume",
        ];
        let (key, value) = parse_filter(text, &KEYS)?;
        let ports = || parse_ports(value).map_err(|e| e.doing(format!("--filter {key}")));
        match key {
            "name" => Filter::name(value),
            "id" => Ok(Filter::Id(value.to_string())),
            "status" if STATES.contains(&value) => Ok(Filter::Status(value.to_string())),
            "status" => {
                let error = Error::invalid(format!("--filter: unknown status \"{value}\""));
                Err(error.hint(format!("use one of {}", STATES.join(", "))))
            }
            "label" => Ok(Filter::Label(LabelFilter::new(value))),
            "network" => Ok(Filter::Network(value.to_string())),
            "ancestor" => Ok(Filter::Ancestor { name: value.to_string(), images: Vec::new() }),
            "before" => Ok(Filter::before(value.to_string())),
            "since" => Ok(Filter::since(value.to_string())),
            "volume" => Ok(Filter::Volume(value.to_string())),
            "is-task" => parse_switch("is-task", value).map(Filter::IsTask),
            "health" if HEALTHS.contains(&value) => Ok(Filter::Health(value.to_string())),
            "health" => {
                let error = Error::invalid(format!("--filter: unknown health \"{value}\""));
                Err(error.hint(format!("use one of {}", HEALTHS.join(", "))))
            }
            "publish" => Ok(Filter::Publish(ports()?)),
            "expose" => Ok(Filter::Expose(ports()?)),
            _ => Ok(Filter::Exited(number("--filter exited", value)?)),
        }
    }

    fn before(name: String) -> Filter {
        Filter::Before { name, time: Timestamp::default() }
    }

    fn since(name: String) -> Filter {
        Filter::Since { name, time: Timestamp::default() }
    }

    /// Docker takes a regular expression. We take what is written in practice: a part of the
    /// name, with `^` and `$` for its ends.
    fn name(pattern: &str) -> Result<Filter> {
        let (at_start, text) = match pattern.strip_prefix('^') {
            Some(rest) => (true, rest),
            None => (false, pattern),
        };
        let (at_end, text) = match text.strip_suffix('$') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        if text.contains(['*', '+', '?', '[', '(', '|', '\\', '{', '^', '$']) {
            return Err(Error::invalid(format!("--filter: cannot use name={pattern}"))
                .hint("write a part of the name, with ^ for its start and $ for its end"));
        }
        let text = text.strip_prefix('/').unwrap_or(text).to_string();
        Ok(Filter::Name { text, at_start, at_end })
    }

    /// Looks up what is named. No container is on a network that is not there, or of an image.
    fn find(&mut self, engine: &Engine) -> Result<()> {
        match self {
            Filter::Network(text) => match engine.find_network(text) {
                Ok(network) => *text = network.definition.name,
                Err(error) if error.is_not_found() => {}
                Err(error) => return Err(error),
            },
            Filter::Before { name, time } | Filter::Since { name, time } => {
                *time = engine.container(name)?.config.created;
            }
            Filter::Ancestor { name, images } => {
                let store = engine.images()?;
                match store.resolve(name) {
                    Ok(id) => *images = image::descendants(&store, &id)?,
                    Err(error) if error.is_not_found() => {}
                    Err(error) => return Err(error),
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn asks_for_state(&self) -> bool {
        matches!(self, Filter::Status(_) | Filter::Exited(_))
    }

    fn matches(&self, container: &Container) -> bool {
        match self {
            Filter::Name { text, at_start, at_end } => {
                let matches = |name: &str| match (at_start, at_end) {
                    (true, true) => name == text,
                    (true, false) => name.starts_with(text),
                    (false, true) => name.ends_with(text),
                    (false, false) => name.contains(text),
                };
                // A part of a name must not mean those that a container of that name links to.
                match text.contains('/') {
                    true => container.paths.iter().any(|path| matches(path)),
                    false => matches(container.settings.name.as_str()),
                }
            }
            Filter::Ancestor { images, .. } => images.contains(&container.config.image),
            Filter::Before { time, .. } => container.config.created < *time,
            Filter::Since { time, .. } => container.config.created > *time,
            Filter::Volume(text) => container.config.mounts.iter().any(|mount| {
                mount.target.trim_end_matches('/') == text.trim_end_matches('/')
                    || (mount.kind == MountKind::Volume && mount.source == *text)
            }),
            Filter::Health(health) => {
                let own = container.health.as_ref().map_or("none", |health| health.status.word());
                own == health
            }
            // None is of a swarm.
            Filter::IsTask(is) => !is,
            Filter::Network(name) => container.networks().any(|network| network == name),
            Filter::Id(id) => container.config.id.as_str().starts_with(id.as_str()),
            Filter::Status(status) => container.status() == status,
            // The documentation asks for the container's port, Docker itself for the host's.
            Filter::Publish(ports) => container.published().iter().any(|one| {
                let outside = Port { number: one.host, ..one.port };
                ports.contains(&one.port) || ports.contains(&outside)
            }),
            Filter::Expose(ports) => {
                let exposed = &container.config.exposed_ports;
                ports.iter().any(|port| exposed.contains(&port.to_string()))
            }
            Filter::Label(label) => label.matches(&container.config.labels),
            Filter::Exited(code) => {
                container.status() == "exited" && container.state.exit_code == *code
            }
        }
    }

    fn all_match(filters: &[Filter], container: &Container) -> bool {
        all_match(filters, |f| matches!(f, Filter::Label(_)), |f| f.matches(container))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::container::Status;
    use crate::engine::report::sample;

    const NOW: i64 = 1_700_000_000;

    fn ps(args: &[&str]) -> Result<Ps> {
        let mut line: Vec<&str> = args.to_vec();
        line.push("--");
        Ps::new(Args::from_args(&["ps"], &line).unwrap())
    }

    fn rendered(args: &[&str], containers: &[Container]) -> String {
        let size = |_: &Container| ContainerSize { written: 12, whole: 1_984_012, taken: 12 };
        ps(args).unwrap().render(containers, &size, Timestamp::from_unix(NOW)).unwrap()
    }

    /// One that runs, one that ended, one that was never started.
    fn three() -> Vec<Container> {
        let mut web = sample("web", "6");
        web.config.created = Timestamp::from_unix(NOW - 5);
        web.config.command = ["sh", "-c", "echo out; httpd -f"].map(String::from).to_vec();
        web.config.exposed_ports = vec!["80/tcp".to_string()];
        web.config.labels.insert("tier".into(), "front".into());
        web.state.ports = vec!["0.0.0.0:8080->80/tcp".parse().unwrap()];
        web.state.status = Status::Running;
        web.state.started = Timestamp::from_unix(NOW - 3);
        let mut job = sample("nightly_job", "0");
        job.config.created = Timestamp::from_unix(NOW - 7200);
        job.state.status = Status::Exited;
        job.state.exit_code = 137;
        job.state.finished = Timestamp::from_unix(NOW - 60);
        let mut new = sample("new", "a");
        new.config.created = Timestamp::from_unix(NOW - 90_000);
        new.settings.networks.push(crate::container::Membership::new("data"));
        vec![web, job, new]
    }

    #[test]
    fn the_table_is_dockers() {
        let expected = "\
CONTAINER ID   IMAGE     COMMAND                  CREATED         STATUS         PORTS                  NAMES
666666666666   busybox   \"sh -c 'echo out; ht…\"   5 seconds ago   Up 3 seconds   0.0.0.0:8080->80/tcp   web
";
        assert_eq!(rendered(&[], &three()), expected);
        let all = rendered(&["--all"], &three());
        let lines: Vec<&str> = all.lines().collect();
        assert_eq!(lines.len(), 4);
        assert!(lines[2].contains(
            "   2 hours ago     Exited (137) About a minute ago                          nightly_job"
        ));
        assert!(lines[3].contains("   25 hours ago    Created"), "{}", lines[3]);
    }

    #[test]
    fn states_are_said_in_dockers_words() {
        let mut web = three().remove(0);
        web.monitored = false;
        let now = Timestamp::from_unix(NOW);
        assert_eq!(status(&web, now), "Up 3 seconds (monitor lost)");
        (web.monitored, web.state.paused) = (true, true);
        assert_eq!(status(&web, now), "Up 3 seconds (Paused)");
        web.state.status = Status::Restarting;
        web.state.exit_code = 1;
        web.state.finished = Timestamp::from_unix(NOW - 4);
        assert_eq!(status(&web, now), "Restarting (1) 4 seconds ago");
        web.state.status = Status::Removing;
        assert_eq!(status(&web, now), "Removal In Progress");
    }

    #[test]
    fn containers_are_chosen_by_number_and_filter() {
        let ids = |args: &[&str]| {
            let args = [args, &["--quiet"]].concat();
            rendered(&args, &three()).replace('\n', " ")
        };
        assert_eq!(ids(&[]), "666666666666 ");
        assert_eq!(ids(&["--all"]), "666666666666 000000000000 aaaaaaaaaaaa ");
        assert_eq!(ids(&["--latest"]), "666666666666 ");
        assert_eq!(ids(&["--last", "2"]), "666666666666 000000000000 ");
        assert_eq!(ids(&["--filter", "status=exited"]), "000000000000 ");
        assert_eq!(ids(&["--filter", "exited=137"]), "000000000000 ");
        assert_eq!(ids(&["--all", "--filter", "name=e"]), "666666666666 aaaaaaaaaaaa ");
        assert_eq!(ids(&["--all", "--filter", "name=^/new$"]), "aaaaaaaaaaaa ");
        assert_eq!(
            ids(&["--all", "--filter", "name=web", "--filter", "name=new"]),
            "666666666666 aaaaaaaaaaaa "
        );
        assert_eq!(ids(&["--all", "--filter", "id=00"]), "000000000000 ");
        assert_eq!(ids(&["--filter", "label=tier"]), "666666666666 ");
        assert_eq!(ids(&["--filter", "label=tier=back"]), "");
        assert_eq!(ids(&["--filter", "expose=79-80"]), "666666666666 ");
        assert_eq!(ids(&["--filter", "expose=80/udp"]), "");
        for publish in ["80", "8080", "8000-9000/tcp"] {
            assert_eq!(ids(&["--filter", &format!("publish={publish}")]), "666666666666 ");
        }
        assert_eq!(ids(&["--filter", "publish=81"]), "");
        assert_eq!(ids(&["--all", "--filter", "network=data"]), "aaaaaaaaaaaa ");
        assert_eq!(rendered(&["--all", "--no-trunc", "--quiet"], &three()).len(), 3 * 65);
    }

    #[test]
    fn a_template_replaces_the_table() {
        let line = rendered(&["--format", "{{.ID}} {{.Names}} {{.State}} {{.Labels}}"], &three());
        assert_eq!(line, "666666666666 web running tier=front\n");
        let table = rendered(&["--format", "table {{.Names}}\\t{{.Status}}"], &three());
        assert_eq!(table, "NAMES     STATUS\nweb       Up 3 seconds\n");
    }

    #[test]
    fn a_label_is_found_by_its_key() {
        let text = rendered(&["--format", "{{.Names}} {{.Label \"tier\"}}"], &three());
        assert_eq!(text, "web front\n");
        let table =
            rendered(&["--format", "table {{upper .Names}}\\t{{.Label \"tier\"}}"], &three());
        assert_eq!(table, "NAMES     TIER\nWEB       front\n");
    }

    #[test]
    fn names_by_links_are_shown() {
        let mut containers = three();
        containers[0].paths = vec!["app/db".to_string(), "front/web".to_string()];
        let of = |args: &[&str]| rendered(args, &containers);
        assert!(of(&[]).ends_with("   web,app/db,front/web\n"), "{}", of(&[]));
        // Scripts of today take it for one name.
        assert_eq!(of(&["--format", "{{.Names}}"]), "web\n");
        assert_eq!(of(&["--no-trunc", "--format", "{{.Names}}"]), "web,app/db,front/web\n");
        assert_eq!(of(&["-q", "--filter", "name=/app/db"]), "666666666666\n");
        assert_eq!(of(&["-q", "--filter", "name=app"]), "");
    }

    #[test]
    fn sizes_are_shown_when_asked_for() {
        let table = rendered(&["--size"], &three());
        assert!(table.contains("   NAMES     SIZE\n"), "{table}");
        assert!(table.contains("   web       12B (virtual 1.98MB)\n"), "{table}");
        assert_eq!(rendered(&["--format", "{{.Size}}"], &three()), "12B (virtual 1.98MB)\n");
        assert!(!ps(&["--size", "--quiet"]).unwrap().size);
        assert!(!ps(&["--format", "{{.Names}}"]).unwrap().size);
    }

    #[test]
    fn bad_filters_are_named() {
        for (filter, text) in [
            ("web", "--filter: \"web\" is not key=value"),
            ("status=up", "--filter: unknown status \"up\""),
            ("volumes=x", "--filter: there is no filter \"volumes\""),
            ("health=ill", "--filter: unknown health \"ill\""),
            ("is-task=x", "--filter: is-task is true or false, not \"x\""),
            ("publish=x", "--filter publish: \"x\" is not port[-port][/protocol]"),
            ("name=a.*b", "--filter: cannot use name=a.*b"),
        ] {
            let error = ps(&["--filter", filter]).err().unwrap();
            assert_eq!(error.to_string(), text);
        }
    }
}
