//! Which of supervisor's methods is called, with what. Pure.

use super::fault::{Fault, Kind};
use super::xml::Value;
use crate::log::Channel;

#[derive(Clone, PartialEq, Eq, Debug)]
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
    Several(Vec<Value>),
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Whom {
    /// A process, or as `group:*` a group.
    One(String),
    Group(String),
    All,
}

/// How they are called, and how many values they take: at least, and at most. In order.
static METHODS: [(&str, u8, u8); 41] = [
    ("supervisor.addProcessGroup", 1, 1),
    ("supervisor.clearAllProcessLogs", 0, 0),
    ("supervisor.clearLog", 0, 0),
    ("supervisor.clearProcessLog", 1, 1),
    ("supervisor.clearProcessLogs", 1, 1),
    ("supervisor.getAPIVersion", 0, 0),
    ("supervisor.getAllConfigInfo", 0, 0),
    ("supervisor.getAllProcessInfo", 0, 0),
    ("supervisor.getIdentification", 0, 0),
    ("supervisor.getPID", 0, 0),
    ("supervisor.getProcessInfo", 1, 1),
    ("supervisor.getState", 0, 0),
    ("supervisor.getSupervisorVersion", 0, 0),
    ("supervisor.getVersion", 0, 0),
    ("supervisor.readLog", 2, 2),
    ("supervisor.readMainLog", 2, 2),
    ("supervisor.readProcessLog", 3, 3),
    ("supervisor.readProcessStderrLog", 3, 3),
    ("supervisor.readProcessStdoutLog", 3, 3),
    ("supervisor.reloadConfig", 0, 0),
    ("supervisor.removeProcessGroup", 1, 1),
    ("supervisor.restart", 0, 0),
    ("supervisor.sendProcessStdin", 2, 2),
    ("supervisor.sendRemoteCommEvent", 2, 2),
    ("supervisor.shutdown", 0, 0),
    ("supervisor.signalAllProcesses", 1, 1),
    ("supervisor.signalProcess", 2, 2),
    ("supervisor.signalProcessGroup", 2, 2),
    ("supervisor.startAllProcesses", 0, 1),
    ("supervisor.startProcess", 1, 2),
    ("supervisor.startProcessGroup", 1, 2),
    ("supervisor.stopAllProcesses", 0, 1),
    ("supervisor.stopProcess", 1, 2),
    ("supervisor.stopProcessGroup", 1, 2),
    ("supervisor.tailProcessLog", 3, 3),
    ("supervisor.tailProcessStderrLog", 3, 3),
    ("supervisor.tailProcessStdoutLog", 3, 3),
    ("system.listMethods", 0, 0),
    ("system.methodHelp", 1, 1),
    ("system.methodSignature", 1, 1),
    ("system.multicall", 1, 1),
];

impl Call {
    pub fn parse(name: &str, params: &[Value]) -> Result<Call, Fault> {
        let method = METHODS.iter().find(|(known, ..)| *known == name);
        let (_, least, most) = *method.ok_or(Kind::UnknownMethod)?;
        if params.len() < usize::from(least) || params.len() > usize::from(most) {
            return Err(Kind::IncorrectParameters.into());
        }
        let given = Given { params };
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
            // Nobody is told more of them than their names.
            "methodHelp" | "methodSignature" => return Err(Kind::SignatureUnsupported.into()),
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
    Value::Array(METHODS.iter().map(|(name, ..)| Value::from(*name)).collect())
}

struct Given<'a> {
    params: &'a [Value],
}

impl Given<'_> {
    fn text(&self, at: usize) -> Result<String, Fault> {
        match self.params.get(at) {
            Some(Value::Text(text)) => Ok(text.clone()),
            // A signal may be given by its number.
            Some(Value::Int(number)) => Ok(number.to_string()),
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
    use super::super::xml::Members;
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
        assert!(METHODS.is_sorted());
    }

    #[test]
    fn every_method_is_known_by_its_name() {
        for (name, _, most) in METHODS {
            let kind = |call: Result<Call, Fault>| call.err().map(|fault| fault.kind);
            let no_values = kind(Call::parse(name, &[]));
            assert_ne!(no_values, Some(Kind::UnknownMethod), "{name}");
            let many = vec![Value::from("1"); usize::from(most) + 1];
            assert_eq!(kind(Call::parse(name, &many)), Some(Kind::IncorrectParameters), "{name}");
        }
    }

    #[test]
    fn several_calls_hold_no_several_calls() {
        let call = |name: &str| Members::default().text("methodName", name).end();
        assert_eq!(Call::of_several(&call("supervisor.getPID")), Ok(Call::Pid));
        let text = |value: &Value| Call::of_several(value).unwrap_err().text();
        assert_eq!(
            text(&call("system.multicall")),
            "INCORRECT_PARAMETERS: Recursive system.multicall forbidden"
        );
        assert_eq!(text(&Members::default().end()), "INCORRECT_PARAMETERS: No methodName");
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
