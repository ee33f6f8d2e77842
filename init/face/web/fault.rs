//! Supervisor's faults: their codes, which its clients know, and their words (supervisord.org/api.html).

use super::xml::{Members, Value};

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Fault {
    pub kind: Kind,
    /// What it is about.
    pub of: Option<String>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    UnknownMethod = 1,
    IncorrectParameters = 2,
    BadArguments = 3,
    SignatureUnsupported = 4,
    ShutdownState = 6,
    BadName = 10,
    BadSignal = 11,
    NoFile = 20,
    NotExecutable = 21,
    Failed = 30,
    AbnormalTermination = 40,
    SpawnError = 50,
    AlreadyStarted = 60,
    NotRunning = 70,
    Success = 80,
    AlreadyAdded = 90,
    StillRunning = 91,
    CantReread = 92,
}

impl Kind {
    pub fn code(self) -> i64 {
        self as i64
    }

    fn word(self) -> &'static str {
        match self {
            Kind::UnknownMethod => "UNKNOWN_METHOD",
            Kind::IncorrectParameters => "INCORRECT_PARAMETERS",
            Kind::BadArguments => "BAD_ARGUMENTS",
            Kind::SignatureUnsupported => "SIGNATURE_UNSUPPORTED",
            Kind::ShutdownState => "SHUTDOWN_STATE",
            Kind::BadName => "BAD_NAME",
            Kind::BadSignal => "BAD_SIGNAL",
            Kind::NoFile => "NO_FILE",
            Kind::NotExecutable => "NOT_EXECUTABLE",
            Kind::Failed => "FAILED",
            Kind::AbnormalTermination => "ABNORMAL_TERMINATION",
            Kind::SpawnError => "SPAWN_ERROR",
            Kind::AlreadyStarted => "ALREADY_STARTED",
            Kind::NotRunning => "NOT_RUNNING",
            Kind::Success => "SUCCESS",
            Kind::AlreadyAdded => "ALREADY_ADDED",
            Kind::StillRunning => "STILL_RUNNING",
            Kind::CantReread => "CANT_REREAD",
        }
    }

    #[inline(never)]
    pub fn of(self, what: &str) -> Fault {
        Fault { kind: self, of: Some(what.to_string()) }
    }
}

impl From<Kind> for Fault {
    fn from(kind: Kind) -> Fault {
        Fault { kind, of: None }
    }
}

impl Fault {
    pub fn text(&self) -> String {
        match &self.of {
            Some(of) => format!("{}: {of}", self.kind.word()),
            None => self.kind.word().to_string(),
        }
    }

    pub fn value(&self) -> Value {
        let mut members = Members::default();
        members.number("faultCode", self.kind.code()).text("faultString", &self.text()).end()
    }
}
