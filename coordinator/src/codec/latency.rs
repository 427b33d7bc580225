//! How quickly queries are answered.

use skein_core::spec::{Bound, Ceiling, Latency, Quantile, Quantiles};
use skein_proto::v1;

use super::{Malformed, required};

pub(super) fn latency(wire: v1::Latency) -> Result<Latency, Malformed> {
    Ok(Latency {
        queries: wire.queries,
        runs: wire.runs,
        ceilings: wire.ceilings.into_iter().map(ceiling).collect::<Result<_, _>>()?,
    })
}

fn ceiling(wire: v1::Ceiling) -> Result<Ceiling, Malformed> {
    let quantile = match wire.quantile() {
        v1::Quantile::P50 => Quantile::P50,
        v1::Quantile::P95 => Quantile::P95,
        v1::Quantile::P99 => Quantile::P99,
        v1::Quantile::Unspecified => {
            return Err(Malformed::new("of which answers a latency is", "is missing"));
        }
    };
    let bound = match required(wire.bound, "how long an answer may take")? {
        v1::ceiling::Bound::Thousandths(thousandths) => Bound::Thousandths(thousandths),
        v1::ceiling::Bound::Micros(micros) => Bound::Micros(micros),
    };
    Ok(Ceiling { quantile, bound })
}

pub(super) fn latency_out(latency: &Latency) -> v1::Latency {
    v1::Latency {
        queries: latency.queries.clone(),
        runs: latency.runs,
        ceilings: latency.ceilings.iter().map(ceiling_out).collect(),
    }
}

fn ceiling_out(ceiling: &Ceiling) -> v1::Ceiling {
    v1::Ceiling {
        quantile: match ceiling.quantile {
            Quantile::P50 => v1::Quantile::P50,
            Quantile::P95 => v1::Quantile::P95,
            Quantile::P99 => v1::Quantile::P99,
        }
        .into(),
        bound: Some(match ceiling.bound {
            Bound::Thousandths(thousandths) => v1::ceiling::Bound::Thousandths(thousandths),
            Bound::Micros(micros) => v1::ceiling::Bound::Micros(micros),
        }),
    }
}

pub(crate) fn quantiles(wire: Vec<v1::Quantiles>) -> Vec<Quantiles> {
    let one = |it: v1::Quantiles| Quantiles { p50: it.p50_us, p95: it.p95_us, p99: it.p99_us };
    wire.into_iter().map(one).collect()
}

pub(crate) fn quantiles_out(queries: &[Quantiles]) -> Vec<v1::Quantiles> {
    let one = |it: &Quantiles| v1::Quantiles { p50_us: it.p50, p95_us: it.p95, p99_us: it.p99 };
    queries.iter().map(one).collect()
}
