//! Who a container's program runs as: its user in the image's own passwd(5) and group(5), as the
//! runtime spec has it.

use crate::error::Result;
use crate::oci::spec::User;
use crate::types;

/// What the engine needs to know of a user.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Account {
    pub user: User,
    pub home: String,
}

pub fn look_up(text: &str, passwd: &str, group: &str) -> Result<Account> {
    let found = types::Account::look_up(text, passwd, group)?;
    let (uid, gid, additional_gids) = (found.uid, found.gid, found.groups);
    let home = found.home.unwrap_or_else(|| "/".to_string());
    Ok(Account { user: User { uid, gid, umask: None, additional_gids }, home })
}
