//! Users: `user[:group]` against passwd(5) and group(5). Pure: the files come as text, empty where
//! there is none.

use crate::error::{Error, Result};

/// Who a program runs as.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Account {
    pub uid: u32,
    pub gid: u32,
    /// All groups, the primary one first.
    pub groups: Vec<u32>,
    /// Where there is an entry.
    pub name: Option<String>,
    pub home: Option<String>,
}

impl Account {
    /// Looks `text` up; empty for root. Docker's rules: a number needs no entry; a name does.
    /// Without a group the primary one and all memberships count; with one, only that.
    pub fn look_up(text: &str, passwd: &str, group: &str) -> Result<Account> {
        let (user, wanted_group) = match text.split_once(':') {
            Some((user, group)) => (user, Some(group).filter(|g| !g.is_empty())),
            None => (text, None),
        };
        let user = if user.is_empty() { "0" } else { user };
        let number = user.parse::<u32>().ok();
        let entry = passwd.lines().map(|line| line.split(':').collect::<Vec<_>>()).find(|fields| {
            let uid = fields.get(2).and_then(|uid| uid.parse::<u32>().ok());
            fields.first() == Some(&user) || (number.is_some() && uid == number)
        });
        let field = |i: usize| entry.as_ref().and_then(|fields| fields.get(i).copied());
        let id = |i: usize| field(i).and_then(|text| text.parse::<u32>().ok());
        let uid = id(2).or(number).ok_or_else(|| {
            Error::invalid(format!("unable to find user {user}: no matching entry in passwd file"))
                .hint("give a number, or add the user to the image")
        })?;
        let (gid, more) = match wanted_group {
            Some(wanted) => (find_group(wanted, group)?, Vec::new()),
            None => (id(3).unwrap_or(0), memberships(field(0).unwrap_or(user), group)),
        };
        for id in [uid, gid] {
            // -1 means "leave as it is" to the kernel: such a program would stay root.
            if i32::try_from(id).is_err() {
                return Err(Error::invalid(format!("user \"{text}\": {id} is no id"))
                    .hint("ids go from 0 to 2147483647"));
            }
        }
        // The primary group is among them, or a file that denies it access would let it in by its
        // other bits (CVE-2022-36109).
        let others = more.into_iter().filter(|g| *g != gid);
        Ok(Account {
            uid,
            gid,
            groups: [gid].into_iter().chain(others).collect(),
            name: field(0).map(String::from),
            home: field(5).filter(|home| !home.is_empty()).map(String::from),
        })
    }
}

/// The number of a group, by its name or number.
pub fn find_group(wanted: &str, group: &str) -> Result<u32> {
    let named = group.lines().map(|line| line.split(':').collect::<Vec<_>>()).find_map(|fields| {
        (fields.first() == Some(&wanted)).then(|| fields.get(2)?.parse().ok()).flatten()
    });
    named.or_else(|| wanted.parse().ok()).ok_or_else(|| {
        Error::invalid(format!("unable to find group {wanted}: no matching entry in group file"))
            .hint("give a number, or add the group to the image")
    })
}

fn memberships(name: &str, group: &str) -> Vec<u32> {
    let lines = group.lines().map(|line| line.split(':').collect::<Vec<_>>());
    let member = |fields: &Vec<&str>| {
        fields.get(3).is_some_and(|members| members.split(',').any(|m| m == name))
    };
    lines.filter(member).filter_map(|fields| fields.get(2)?.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\nweb:x:33:44:Web:/srv:/bin/false\n";
    const GROUP: &str = "root:x:0:\nmail:x:8:web,root\nweb:x:44:\ndata:x:50:web\n";

    fn ids(text: &str) -> (u32, u32, Vec<u32>, Option<String>) {
        let account = Account::look_up(text, PASSWD, GROUP).unwrap();
        (account.uid, account.gid, account.groups, account.home)
    }

    #[test]
    fn users_are_found_by_name_and_number() {
        let home = |text: &str| Some(text.to_string());
        assert_eq!(ids(""), (0, 0, vec![0, 8], home("/root")));
        assert_eq!(ids("web"), (33, 44, vec![44, 8, 50], home("/srv")));
        assert_eq!(ids("33"), ids("web"));
        assert_eq!(ids("web:data"), (33, 50, vec![50], home("/srv")));
        assert_eq!(ids("1000"), (1000, 0, vec![0], None));
        assert_eq!(ids("1000:1001"), (1000, 1001, vec![1001], None));
        assert!(Account::look_up("nobody", PASSWD, GROUP).is_err());
        assert!(Account::look_up("web:nogroup", PASSWD, GROUP).is_err());
        assert!(Account::look_up("web", "", "").is_err());
        assert!(Account::look_up("4294967295", "", "").is_err());
        assert!(Account::look_up("1:4294967295", "", "").is_err());
    }
}
