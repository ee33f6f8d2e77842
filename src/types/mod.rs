//! Values parsed once, at the edge: whoever holds one needs not check it again.

mod account;
mod capability;
// Test code of the whole crate: here it can be reached from every layer.
#[cfg(test)]
#[path = "../../tests/common/corpus.rs"]
pub mod corpus;
mod device;
mod digest;
mod filter;
mod glob;
#[cfg(test)]
mod grammar_tests;
mod healthcheck;
mod home;
mod human;
mod id;
mod image_ref;
mod link;
mod mac;
mod moment;
mod naming;
mod nearest;
mod pid;
mod port;
mod publish;
mod restart;
mod sdnotify;
mod signal;
mod size;
mod timestamp;
mod ulimit;
mod user_mode;

pub use account::{Account, find_group};
pub use capability::{CAPABILITIES, Capability};
pub use device::{DeviceLine, DeviceMapping};
pub use digest::Digest;
pub use filter::{LabelFilter, all_match, parse_filter, parse_switch};
pub use glob::Glob;
pub use healthcheck::{Healthcheck, OnFailure, Pace};
pub use home::Home;
pub use human::{human_ago, human_duration, human_memory, human_size};
pub use id::{ContainerId, ContainerName};
pub use image_ref::ImageRef;
pub use link::LinkSpec;
pub use mac::MacAddress;
pub use moment::parse_moment;
pub use naming::{ExtraHost, Resolver, is_host_name};
pub use nearest::{nearest, slips};
pub use pid::Pid;
pub use port::{Port, PortRange, Protocol, parse_ports};
pub use publish::{PortBinding, Published, parse_publish};
pub use restart::RestartPolicy;
pub use sdnotify::{SdNotify, passed_on, says_ready};
pub use signal::Signal;
pub use size::parse_size;
pub use timestamp::Timestamp;
pub use ulimit::{RESOURCES, Ulimit, resource_number};
pub use user_mode::UserMode;

/// Implements serde by way of `Display` and `FromStr`.
macro_rules! serde_by_text {
    ($type:ty) => {
        impl serde::Serialize for $type {
            fn serialize<S: serde::Serializer>(
                &self,
                s: S,
            ) -> ::std::result::Result<S::Ok, S::Error> {
                s.collect_str(self)
            }
        }
        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(
                d: D,
            ) -> ::std::result::Result<Self, D::Error> {
                let text = <std::borrow::Cow<'de, str>>::deserialize(d)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}
pub(crate) use serde_by_text;
