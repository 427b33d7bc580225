//! The value of an expression, as a Prometheus server (or one that speaks its language) has it now.

use std::path::Path;

use serde_json::Value;

use super::http;
use crate::config::Address;

/// Of one answer, bytes.
const BYTES_MAX: usize = 1 << 20;

pub(super) async fn ask(
    address: &Address,
    directory: &Path,
    query: &str,
) -> Result<String, String> {
    let whole = |base: &str| {
        let mut url = url::Url::parse(base).ok()?;
        url.path_segments_mut().ok()?.pop_if_empty().extend(["api", "v1", "query"]);
        url.query_pairs_mut().append_pair("query", query);
        Some(url.to_string())
    };
    let mut response = http::get(address, directory, whole).await?;
    let status = response.status();
    let mut body = Vec::new();
    let why = |error: reqwest::Error| crate::text::chain(&error.without_url());
    while let Some(part) = response.chunk().await.map_err(why)? {
        body.extend_from_slice(&part);
        if body.len() > BYTES_MAX {
            return Err("it answers more than 1 MiB".to_owned());
        }
    }
    let answer: Value = serde_json::from_slice(&body)
        .map_err(|_not_json| format!("it answers {status}, and no JSON"))?;
    value(&answer)
}

/// The one value of an answer. No series is no answer, and of several nobody knows which is meant.
fn value(answer: &Value) -> Result<String, String> {
    let result = &answer["data"]["result"];
    let sample = match answer["data"]["resultType"].as_str() {
        Some("scalar") => result,
        Some("vector") => match result.as_array().map(Vec::as_slice) {
            Some([one]) => &one["value"],
            Some([]) | None => return Err("it has no data for the query".to_owned()),
            Some(many) => {
                let many = many.len();
                return Err(format!("the query answers {many} series: aggregate them to one"));
            }
        },
        Some(other) => return Err(format!("the query answers a {other}, and no single value")),
        None => {
            let error = answer["error"].as_str().unwrap_or("it is no answer of Prometheus'");
            return Err(error.to_owned());
        }
    };
    match sample[1].as_str() {
        Some(number) if number.parse::<f64>().is_ok_and(f64::is_finite) => Ok(number.to_owned()),
        Some(number) => Err(format!("the value is {number}")),
        None => Err("it is no answer of Prometheus'".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::value;

    #[test]
    fn one_number_is_an_answer_and_nothing_else() {
        let vector = |series: Vec<&str>| {
            let series = series.into_iter().map(|one| json!({ "metric": {}, "value": [1.5, one] }));
            json!({ "status": "success", "data": {
                "resultType": "vector", "result": series.collect::<Vec<_>>(),
            } })
        };
        assert_eq!(value(&vector(vec!["0.25"])), Ok("0.25".to_owned()));
        let scalar = json!({ "data": { "resultType": "scalar", "result": [1.5, "7"] } });
        assert_eq!(value(&scalar), Ok("7".to_owned()));
        for (answer, expect) in [
            (vector(vec![]), "no data"),
            (vector(vec!["1", "2"]), "2 series"),
            (vector(vec!["NaN"]), "NaN"),
            (json!({ "data": { "resultType": "matrix", "result": [] } }), "matrix"),
            (json!({ "status": "error", "error": "parse error" }), "parse error"),
            (json!([1]), "no answer of Prometheus"),
        ] {
            let why = value(&answer).unwrap_err();
            assert!(why.contains(expect), "{answer}: {why}");
        }
    }
}
