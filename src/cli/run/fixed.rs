//! Flags of Docker's by which one chooses what here is always the same: taken where they ask for
//! that, refused with a word why where they ask for anything else.

use super::Args;
use crate::cli::version::platform;
use crate::error::{Error, Result};

pub fn check(args: &Args) -> Result<()> {
    let (os, arch) = platform();
    let own = format!("{os}/{arch}");
    let platform_hint = format!("this machine is {own}");
    for (flag, asked, is, hint) in [
        ("--isolation", &args.isolation, &["default"][..], "leave it away, or say default"),
        ("--platform", &args.platform, &[os, arch, &own, std::env::consts::ARCH], &platform_hint),
        (
            "--pull",
            &args.pull,
            &["missing", "never"],
            "get the image with load or import: registries are not spoken to yet",
        ),
        (
            "--runtime",
            &args.runtime,
            &["coracle", "runc", "crun"],
            "coracle runs containers itself",
        ),
        ("--volume-driver", &args.volume_driver, &["local"], "all volumes are local"),
    ] {
        if let Some(text) = asked
            && !text.is_empty()
            && !is.contains(&text.as_str())
        {
            return Err(Error::invalid(format!("{flag}: there is no \"{text}\" here")).hint(hint));
        }
    }
    match args.disable_content_trust {
        true => Ok(()),
        false => Err(Error::invalid("--disable-content-trust=false: signatures are not looked at")
            .hint("leave it away")),
    }
}
