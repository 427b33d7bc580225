//! What a web server answers. Redirections are answers, and not followed.

use std::path::Path;
use std::sync::LazyLock;

use reqwest::{Client, Response};

use crate::config::{Address, Url};

/// `None`: this host's TLS cannot be used.
static CLIENT: LazyLock<Option<Client>> = LazyLock::new(|| {
    let client = Client::builder().redirect(reqwest::redirect::Policy::none()).no_proxy();
    client.user_agent(concat!("skein-agent/", env!("CARGO_PKG_VERSION"))).build().ok()
});

/// The status, as a number.
pub(super) async fn status(address: &Address, directory: &Path) -> Result<String, String> {
    let response = get(address, directory, |url| Some(url.to_owned())).await?;
    Ok(response.status().as_u16().to_string())
}

/// Asks an address, as `of` makes it. No error holds it: it may have a secret in it.
pub(super) async fn get(
    address: &Address,
    directory: &Path,
    of: impl FnOnce(&str) -> Option<String>,
) -> Result<Response, String> {
    let client = CLIENT.as_ref().ok_or("this host's TLS certificates cannot be read")?;
    let url = read(&address.url, directory).await?;
    let url = of(&url).ok_or("its address is no URL")?;
    let mut request = client.get(url);
    if let Some(bearer) = &address.bearer {
        request = request.bearer_auth(read(bearer, directory).await?);
    }
    let why = |error: reqwest::Error| crate::text::chain(&error.without_url());
    request.send().await.map_err(why)
}

async fn read(url: &Url, directory: &Path) -> Result<String, String> {
    let read = url.read(directory).await;
    // The errors speak of targets' URLs.
    let why =
        |error| crate::text::chain(&error).replace("the target's URL", "its address or token");
    read.map(|secret| secret.expose().trim().to_owned()).map_err(why)
}
