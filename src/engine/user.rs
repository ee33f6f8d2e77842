//! Who a container's program runs as: its user in the image's own passwd(5) and group(5), as the
//! runtime spec has it.

use crate::container::Config;
use crate::error::{Context, Result};
use crate::oci::spec::User;
use crate::types;

/// What the engine needs to know of a user.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Account {
    pub user: User,
    pub home: String,
}

/// `text` is `user[:group]`; more groups are those of the container.
pub fn look_up(config: &Config, text: &str, passwd: &str, group: &str) -> Result<Account> {
    let found = types::Account::look_up(text, passwd, group)?;
    let (uid, gid, mut additional_gids) = (found.uid, found.gid, found.groups);
    for name in &config.isolation.groups {
        let more = types::find_group(name, group).doing(|| "--group-add".into())?;
        if !additional_gids.contains(&more) {
            additional_gids.push(more);
        }
    }
    let home = found.home.unwrap_or_else(|| "/".to_string());
    Ok(Account { user: User { uid, gid, umask: None, additional_gids }, home })
}
