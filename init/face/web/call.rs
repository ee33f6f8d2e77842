//! Which of supervisor's methods is called, with what. Pure.

use super::fault::{Fault, Kind};
use super::xml::Value;
use crate::log::Channel;

#[derive(Clone, PartialEq, Debug)]
pub enum Call {
    ApiVersion,
    Version,
    Identification,
    State,
    Pid,
    ReadLog(i64, i64),
    ClearLog,
    Shutdown,
    Restart,
    Reread,
    Add(String),
    Remove(String),
    Start(Whom, bool),
    Stop(Whom, bool),
    Signal(Whom, String),
    Info(String),
    AllInfo,
    AllConfig,
    ReadOutput(Channel, String, i64, i64),
    TailOutput(Channel, String, i64, i64),
    ClearOutput(String),
    ClearAllOutputs,
    SendInput(String, String),
    SendEvent(String, String),
    Methods,
    Help(String),
    Signature(String),
    Several(Vec<Value>),
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Whom {
    /// A process, or as `group:*` a group.
    One(String),
    Group(String),
    All,
}

/// The types of what a method returns and is called with; those behind `required` may be left out.
struct Method {
    name: &'static str,
    returns: &'static str,
    takes: &'static [&'static str],
    required: usize,
    help: &'static str,
}

const fn method(
    name: &'static str,
    returns: &'static str,
    takes: &'static [&'static str],
    required: usize,
    help: &'static str,
) -> Method {
    Method { name, returns, takes, required, help }
}

const NAME: &[&str] = &["string"];
const NAME_WAIT: &[&str] = &["string", "boolean"];
const READ: &[&str] = &["string", "int", "int"];
const NAME_TEXT: &[&str] = &["string", "string"];

/// In order of their names.
const METHODS: &[Method] = &[
    method(
        "supervisor.addProcessGroup",
        "boolean",
        NAME,
        1,
        "Starts to run a group of the configuration.",
    ),
    method("supervisor.clearAllProcessLogs", "array", &[], 0, "Empties all log files."),
    method("supervisor.clearLog", "boolean", &[], 0, "Empties supervisord's own log."),
    method("supervisor.clearProcessLog", "boolean", NAME, 1, "As clearProcessLogs."),
    method(
        "supervisor.clearProcessLogs",
        "boolean",
        NAME,
        1,
        "Empties the log files of a process.",
    ),
    method("supervisor.getAPIVersion", "string", &[], 0, "The version of this interface."),
    method(
        "supervisor.getAllConfigInfo",
        "array",
        &[],
        0,
        "What is configured about each process.",
    ),
    method("supervisor.getAllProcessInfo", "array", &[], 0, "How each process stands."),
    method(
        "supervisor.getIdentification",
        "string",
        &[],
        0,
        "The identifier of the configuration.",
    ),
    method("supervisor.getPID", "int", &[], 0, "The process id of supervisord."),
    method("supervisor.getProcessInfo", "struct", NAME, 1, "How a process stands."),
    method("supervisor.getState", "struct", &[], 0, "How supervisord stands."),
    method("supervisor.getSupervisorVersion", "string", &[], 0, "The version of supervisor."),
    method("supervisor.getVersion", "string", &[], 0, "As getAPIVersion."),
    method("supervisor.readLog", "string", &["int", "int"], 2, "A part of supervisord's own log."),
    method("supervisor.readMainLog", "string", &["int", "int"], 2, "As readLog."),
    method("supervisor.readProcessLog", "string", READ, 3, "As readProcessStdoutLog."),
    method("supervisor.readProcessStderrLog", "string", READ, 3, "A part of the log of a stderr."),
    method("supervisor.readProcessStdoutLog", "string", READ, 3, "A part of the log of a stdout."),
    method(
        "supervisor.reloadConfig",
        "array",
        &[],
        0,
        "Reads the configuration again; which groups are new, changed and gone.",
    ),
    method(
        "supervisor.removeProcessGroup",
        "boolean",
        NAME,
        1,
        "Forgets a group that has stopped.",
    ),
    method("supervisor.restart", "boolean", &[], 0, "Stops all, and begins anew."),
    method(
        "supervisor.sendProcessStdin",
        "boolean",
        NAME_TEXT,
        2,
        "Writes to the stdin of a process.",
    ),
    method(
        "supervisor.sendRemoteCommEvent",
        "boolean",
        NAME_TEXT,
        2,
        "Sends an event to those that listen.",
    ),
    method("supervisor.shutdown", "boolean", &[], 0, "Stops all, and ends."),
    method("supervisor.signalAllProcesses", "array", NAME, 1, "Sends a signal to all processes."),
    method("supervisor.signalProcess", "boolean", NAME_TEXT, 2, "Sends a signal to a process."),
    method("supervisor.signalProcessGroup", "array", NAME_TEXT, 2, "Sends a signal to a group."),
    method("supervisor.startAllProcesses", "array", &["boolean"], 0, "Starts all processes."),
    method("supervisor.startProcess", "boolean", NAME_WAIT, 1, "Starts a process."),
    method("supervisor.startProcessGroup", "array", NAME_WAIT, 1, "Starts a group."),
    method("supervisor.stopAllProcesses", "array", &["boolean"], 0, "Stops all processes."),
    method("supervisor.stopProcess", "boolean", NAME_WAIT, 1, "Stops a process."),
    method("supervisor.stopProcessGroup", "array", NAME_WAIT, 1, "Stops a group."),
    method("supervisor.tailProcessLog", "array", READ, 3, "As tailProcessStdoutLog."),
    method("supervisor.tailProcessStderrLog", "array", READ, 3, "The end of the log of a stderr."),
    method("supervisor.tailProcessStdoutLog", "array", READ, 3, "The end of the log of a stdout."),
    method("system.listMethods", "array", &[], 0, "The names of all methods."),
    method("system.methodHelp", "string", NAME, 1, "What a method does."),
    method("system.methodSignature", "array", NAME, 1, "The types of a method."),
    method("system.multicall", "array", &["array"], 1, "Several calls at once."),
];

impl Call {
    pub fn parse(name: &str, params: &[Value]) -> Result<Call, Fault> {
        let method = METHODS.iter().find(|method| method.name == name);
        let method = method.ok_or(Kind::UnknownMethod)?;
        if params.len() < method.required || params.len() > method.takes.len() {
            return Err(Kind::IncorrectParameters.into());
        }
        let given = Given { params, takes: method.takes };
        let (_, short) = name.split_once('.').unwrap_or_default();
        Ok(match short {
            "addProcessGroup" => Call::Add(given.text(0)?),
            "clearAllProcessLogs" => Call::ClearAllOutputs,
            "clearLog" => Call::ClearLog,
            "clearProcessLog" | "clearProcessLogs" => Call::ClearOutput(given.text(0)?),
            "getAPIVersion" | "getVersion" => Call::ApiVersion,
            "getAllConfigInfo" => Call::AllConfig,
            "getAllProcessInfo" => Call::AllInfo,
            "getIdentification" => Call::Identification,
            "getPID" => Call::Pid,
            "getProcessInfo" => Call::Info(given.text(0)?),
            "getState" => Call::State,
            "getSupervisorVersion" => Call::Version,
            "readLog" | "readMainLog" => Call::ReadLog(given.number(0)?, given.number(1)?),
            "readProcessLog" | "readProcessStdoutLog" => {
                given.part(Channel::Out, Call::ReadOutput)?
            }
            "readProcessStderrLog" => given.part(Channel::Err, Call::ReadOutput)?,
            "reloadConfig" => Call::Reread,
            "removeProcessGroup" => Call::Remove(given.text(0)?),
            "restart" => Call::Restart,
            "sendProcessStdin" => Call::SendInput(given.text(0)?, given.text(1)?),
            "sendRemoteCommEvent" => Call::SendEvent(given.text(0)?, given.text(1)?),
            "shutdown" => Call::Shutdown,
            "signalAllProcesses" => Call::Signal(Whom::All, given.text(0)?),
            "signalProcess" => Call::Signal(Whom::One(given.text(0)?), given.text(1)?),
            "signalProcessGroup" => Call::Signal(Whom::Group(given.text(0)?), given.text(1)?),
            "startAllProcesses" => Call::Start(Whom::All, given.flag(0)?),
            "startProcess" => Call::Start(Whom::One(given.text(0)?), given.flag(1)?),
            "startProcessGroup" => Call::Start(Whom::Group(given.text(0)?), given.flag(1)?),
            "stopAllProcesses" => Call::Stop(Whom::All, given.flag(0)?),
            "stopProcess" => Call::Stop(Whom::One(given.text(0)?), given.flag(1)?),
            "stopProcessGroup" => Call::Stop(Whom::Group(given.text(0)?), given.flag(1)?),
            "tailProcessLog" | "tailProcessStdoutLog" => {
                given.part(Channel::Out, Call::TailOutput)?
            }
            "tailProcessStderrLog" => given.part(Channel::Err, Call::TailOutput)?,
            "listMethods" => Call::Methods,
            "methodHelp" => Call::Help(given.text(0)?),
            "methodSignature" => Call::Signature(given.text(0)?),
            _ => match params.first() {
                Some(Value::Array(calls)) => Call::Several(calls.clone()),
                _ => return Err(Kind::IncorrectParameters.into()),
            },
        })
    }

    /// One of those that system.multicall is given.
    pub fn of_several(value: &Value) -> Result<Call, Fault> {
        let Value::Struct(members) = value else { return Err(Kind::IncorrectParameters.into()) };
        let member = |name: &str| members.iter().find(|(known, _)| known == name);
        let name = match member("methodName") {
            Some((_, Value::Text(name))) => name,
            _ => return Err(Kind::IncorrectParameters.of("No methodName")),
        };
        if name == "system.multicall" {
            return Err(Kind::IncorrectParameters.of("Recursive system.multicall forbidden"));
        }
        match member("params") {
            Some((_, Value::Array(params))) => Call::parse(name, params),
            None => Call::parse(name, &[]),
            Some(_) => Err(Kind::IncorrectParameters.into()),
        }
    }
}

/// The names of all methods.
pub fn names() -> Value {
    Value::Array(METHODS.iter().map(|method| method.name.into()).collect())
}

pub fn help(name: &str) -> Result<Value, Fault> {
    let method = METHODS.iter().find(|method| method.name == name);
    method.map(|method| method.help.into()).ok_or(Kind::SignatureUnsupported.into())
}

/// The type that a method returns, and those that it takes.
pub fn signature(name: &str) -> Result<Value, Fault> {
    let method = METHODS.iter().find(|method| method.name == name);
    let method = method.ok_or(Kind::SignatureUnsupported)?;
    let types = std::iter::once(&method.returns).chain(method.takes);
    Ok(Value::Array(types.map(|of| Value::from(*of)).collect()))
}

struct Given<'a> {
    params: &'a [Value],
    takes: &'static [&'static str],
}

impl Given<'_> {
    fn text(&self, at: usize) -> Result<String, Fault> {
        match self.params.get(at) {
            Some(Value::Text(text)) => Ok(text.clone()),
            // A signal may be given by its number.
            Some(Value::Int(number)) if self.takes.get(at) == Some(&"string") => {
                Ok(number.to_string())
            }
            _ => Err(Kind::IncorrectParameters.into()),
        }
    }

    fn number(&self, at: usize) -> Result<i64, Fault> {
        match self.params.get(at) {
            Some(Value::Int(number)) => Ok(*number),
            Some(Value::Text(text)) => text.trim().parse().map_err(|_| Kind::BadArguments.into()),
            _ => Err(Kind::IncorrectParameters.into()),
        }
    }

    /// Whether to wait: so, unless it is said.
    fn flag(&self, at: usize) -> Result<bool, Fault> {
        match self.params.get(at) {
            None => Ok(true),
            Some(Value::Flag(flag)) => Ok(*flag),
            Some(Value::Int(number)) => Ok(*number != 0),
            Some(_) => Err(Kind::IncorrectParameters.into()),
        }
    }

    fn part(
        &self,
        channel: Channel,
        call: impl FnOnce(Channel, String, i64, i64) -> Call,
    ) -> Result<Call, Fault> {
        Ok(call(channel, self.text(0)?, self.number(1)?, self.number(2)?))
    }
}

/// A group and a process in it: `group:process`; `name` is both; `group:*` or `group:` is all of
/// the group.
pub fn split(name: &str) -> (&str, Option<&str>) {
    match name.split_once(':') {
        Some((group, "" | "*")) => (group, None),
        Some((group, process)) => (group, Some(process)),
        None => (name, Some(name)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn methods_are_those_of_supervisor() {
        let one = |name: &str| Value::from(name);
        assert_eq!(
            Call::parse("supervisor.startProcess", &[one("web")]),
            Ok(Call::Start(Whom::One("web".into()), true))
        );
        assert_eq!(
            Call::parse("supervisor.stopAllProcesses", &[Value::Flag(false)]),
            Ok(Call::Stop(Whom::All, false))
        );
        assert_eq!(
            Call::parse(
                "supervisor.readProcessStdoutLog",
                &[one("w"), Value::Int(-5), Value::Int(0)]
            ),
            Ok(Call::ReadOutput(Channel::Out, "w".into(), -5, 0))
        );
        let code =
            |name: &str, params: &[Value]| Call::parse(name, params).unwrap_err().kind.code();
        assert_eq!(code("supervisor.startProces", &[]), 1);
        assert_eq!(code("supervisor.__init__", &[]), 1);
        assert_eq!(code("startProcess", &[]), 1);
        assert_eq!(code("supervisor.startProcess", &[]), 2);
        assert_eq!(code("supervisor.getPID", &[one("x")]), 2);
        assert_eq!(code("supervisor.startProcess", &[Value::Array(Vec::new())]), 2);
        let named: Vec<&str> = METHODS.iter().map(|method| method.name).collect();
        assert!(named.is_sorted());
    }

    #[test]
    fn every_method_is_made_of_what_it_takes() {
        for method in METHODS {
            let params: Vec<Value> = method
                .takes
                .iter()
                .map(|of| match *of {
                    "int" => Value::Int(1),
                    "boolean" => Value::Flag(true),
                    "array" => Value::Array(Vec::new()),
                    _ => Value::from("x"),
                })
                .collect();
            assert!(Call::parse(method.name, &params).is_ok(), "{}", method.name);
            assert!(help(method.name).is_ok() && signature(method.name).is_ok());
        }
    }

    #[test]
    fn several_calls_hold_no_several_calls() {
        let call = |name: &str| Value::members([("methodName", name.into())]);
        assert_eq!(Call::of_several(&call("supervisor.getPID")), Ok(Call::Pid));
        let text = |value: &Value| Call::of_several(value).unwrap_err().text();
        assert_eq!(
            text(&call("system.multicall")),
            "INCORRECT_PARAMETERS: Recursive system.multicall forbidden"
        );
        assert_eq!(text(&Value::members([])), "INCORRECT_PARAMETERS: No methodName");
    }

    #[test]
    fn a_name_is_that_of_a_group_and_of_a_process() {
        for (name, expected) in [
            ("web", ("web", Some("web"))),
            ("g:web", ("g", Some("web"))),
            ("g:*", ("g", None)),
            ("g:", ("g", None)),
            ("g:a:b", ("g", Some("a:b"))),
        ] {
            assert_eq!(split(name), expected);
        }
    }
}
