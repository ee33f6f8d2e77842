//! What `--link` asks for: `name[:alias]`, another container and what it is to be called. Docker's
//! `inspect` writes it `/db:/webapp/db`, which is taken too.

use super::ContainerName;
use crate::error::Error;
use std::fmt;
use std::str::FromStr;

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LinkSpec {
    /// A name, an id, or the path of a link; as the user wrote it.
    pub target: String,
    pub alias: ContainerName,
}

impl FromStr for LinkSpec {
    type Err = Error;
    fn from_str(text: &str) -> Result<LinkSpec, Error> {
        let (target, alias) = text.split_once(':').unwrap_or((text, last_name(text)));
        // An alias cannot have a slash: this is the path that `inspect` tells.
        let alias = if target.starts_with('/') { last_name(alias) } else { alias };
        match alias.parse() {
            Ok(alias) if !target.is_empty() => Ok(LinkSpec { target: target.to_string(), alias }),
            _ => Err(Error::invalid(format!("cannot link to \"{text}\": it is not name[:alias]"))
                .hint("an alias is letters, digits, '_', '.' or '-': it is a host name and begins variables")),
        }
    }
}

fn last_name(path: &str) -> &str {
    path.rsplit_once('/').map_or(path, |(_, name)| name)
}

/// `db:redis`
impl fmt::Display for LinkSpec {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{}:{}", self.target, self.alias)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_has_an_alias_even_where_none_is_given() {
        for (text, expected) in [
            ("db:redis", "db:redis"),
            ("db", "db:db"),
            ("/redis:redis", "/redis:redis"),
            ("/db:/webapp/cache", "/db:cache"),
            ("webapp/db", "webapp/db:db"),
            ("webapp/db:cache", "webapp/db:cache"),
        ] {
            assert_eq!(text.parse::<LinkSpec>().unwrap().to_string(), expected);
        }
    }

    #[test]
    fn what_is_no_link_is_quoted() {
        for bad in ["", ":", "db:", ":db", "a:b:c", "db:a b", "db:a/b", "db:-a", "db:ä", "/"] {
            let error = bad.parse::<LinkSpec>().unwrap_err();
            assert!(error.to_string().contains(&format!("\"{bad}\"")), "{error}");
        }
    }
}
