//! `[coordinator]`.

use serde::Deserialize;
use toml::Spanned;

/// Where the coordinator's nodes listen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Coordinator {
    /// `http://host:port`, any node in any order: whichever answers leads to the one that decides.
    pub addresses: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Raw {
    addresses: Spanned<Vec<Spanned<String>>>,
}

/// What is wrong, and where.
pub(super) type Wrong = (std::ops::Range<usize>, String);

impl Raw {
    pub(super) fn read(self) -> Result<Coordinator, Wrong> {
        let span = self.addresses.span();
        let mut addresses = Vec::new();
        for address in self.addresses.into_inner() {
            let span = address.span();
            let text = address.into_inner();
            check(&text).map_err(|why| (span, why))?;
            addresses.push(text);
        }
        if addresses.is_empty() {
            let why = "no address is given; name a node, or leave [coordinator] out to run one \
                       inside this process";
            return Err((span, why.to_owned()));
        }
        Ok(Coordinator { addresses })
    }
}

/// Whether `text` can be dialled.
pub(crate) fn check(text: &str) -> Result<(), String> {
    let wrong =
        |what: &str| Err(format!("a coordinator's address {what}; write it as http://host:port"));
    let Ok(uri) = text.parse::<tonic::transport::Uri>() else {
        return wrong("cannot be parsed");
    };
    match uri.scheme_str() {
        Some("http") if uri.host().is_some() => Ok(()),
        Some("https") => wrong(
            "asks for TLS, which this program leaves to the network between (a tunnel, a mesh)",
        ),
        _ => wrong("has no scheme http"),
    }
}
