//! Ledgers set right by an agent, on orders from a coordinator in the test's hands: evidence first, nothing
//! twice, nothing under an old fence.

#![expect(clippy::indexing_slicing, reason = "a report that is missing fails the test")]

mod session_support;

use session_support::{Fake, Fleet, bundle, forward, outcome, words};
use skein_agent::db::Direction;
use skein_bundle::{Bundle, Script};
use skein_proto::agent::v1::report::Outcome;
use skein_proto::agent::v1::{Leg, LegKind, Verdict};
use skein_proto::v1::{self, Evidence};

/// Rows for the first migrations of a bundle.
fn mend((fence, target): (u64, &str), digest: &[u8], bundle: &Bundle, to: usize) -> Leg {
    let mut leg = forward((fence, target), digest, bundle, 0..to);
    leg.kind = LegKind::Mend.into();
    for (step, migration) in leg.steps.iter_mut().zip(&bundle.migrations) {
        step.probe = migration.probe.is_some();
    }
    leg
}

/// The same, taken away again.
fn unmend(mut leg: Leg, bundle: &Bundle) -> Leg {
    leg.expected = session_support::entries(bundle, 0..leg.steps.len());
    leg.steps.reverse();
    for step in &mut leg.steps {
        step.script = v1::Direction::Down.into();
    }
    leg
}

fn is_end(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Mended(_) | Outcome::Failed(_) | Outcome::Stuck(_))
}

/// Two tables and a row; the row has a probe.
fn migrations() -> Bundle {
    let mut bundle = bundle(&[
        ("CREATE TABLE one (a)", "DROP TABLE one"),
        ("CREATE TABLE two (a)", "DROP TABLE two"),
        ("INSERT INTO one VALUES (7)", "DELETE FROM one"),
    ]);
    let probe = Script {
        text: "SELECT count(*) FROM one WHERE a = 7".to_owned(),
        ..bundle.migrations[2].up.clone()
    };
    bundle.migrations[2].probe = Some(probe);
    bundle
}

fn evidence(outcome: &Outcome) -> Vec<Evidence> {
    let Outcome::Mended(mended) = outcome else { panic!("{outcome:?}") };
    mended.evidence().collect()
}

#[tokio::test]
async fn rows_are_written_on_evidence_and_nothing_is_run() {
    let fleet = Fleet::new(&["a"]).await;
    let mut fake = Fake::start().await;
    let migrations = migrations();
    let digest = fake.put(&migrations);
    let _agent = fleet.agent("agent-1", &["a"], &fake).await;
    let mut talk = fake.greet().await;

    // Nothing proves it: nothing is written.
    talk.hand_out(&mend((10, "a"), &digest, &migrations, 2)).await;
    let reports = talk.reports_until(is_end).await;
    let Outcome::Failed(failed) = outcome(&reports[0]) else { panic!("{reports:?}") };
    assert_eq!(failed.verdict(), Verdict::Never);
    assert!(failed.message.contains("1, 2") && failed.message.contains("--waive"), "{failed:?}");
    let before = fleet.observe("a").await;
    assert_eq!((before.ledger.len(), before.fence), (0, None));

    // By the schema for what changes it; by the probe for the row, which is not there.
    fleet.run("a", "CREATE TABLE one (a); CREATE TABLE two (a);").await;
    let schema = fleet.observe("a").await.fingerprint;
    let mut leg = mend((11, "a"), &digest, &migrations, 3);
    leg.schemas = vec![schema.0.to_vec().into()];
    leg.waived = true;
    talk.hand_out(&leg).await;
    let reports = talk.reports_until(is_end).await;
    let Outcome::Failed(failed) = outcome(&reports[0]) else { panic!("{reports:?}") };
    assert!(failed.message.contains("its probe says that it is not"), "{failed:?}");
    fleet.run("a", "INSERT INTO one VALUES (7)").await;
    leg.fence = 12;
    talk.hand_out(&leg).await;
    let reports = talk.reports_until(is_end).await;
    assert_eq!(words(&reports), ["mended"]);
    let by = [Evidence::Schema, Evidence::Schema, Evidence::Probe];
    assert_eq!(evidence(outcome(&reports[0])), by);
    let after = fleet.observe("a").await;
    assert_eq!(fleet.in_force("a").await, ["1", "2", "3"]);
    assert_eq!((after.fence.unwrap().0, after.fingerprint), (12, schema));
    assert!(after.ledger.iter().all(|row| row.direction == Direction::Up && row.token.0 == 12));

    // Somebody else's turn, who finds everything done; and one who comes late.
    leg.fence = 14;
    talk.hand_out(&leg).await;
    let reports = talk.reports_until(is_end).await;
    assert_eq!(evidence(outcome(&reports[0])), by);
    assert_eq!(fleet.observe("a").await.ledger, after.ledger, "no row is written twice");

    // Taken away: by waiver where nothing proves it, and never against the probe.
    let mut back = unmend(mend((15, "a"), &digest, &migrations, 3), &migrations);
    back.waived = true;
    talk.hand_out(&back).await;
    let reports = talk.reports_until(is_end).await;
    let Outcome::Failed(failed) = outcome(&reports[0]) else { panic!("{reports:?}") };
    assert!(failed.message.contains("its probe says that it is;"), "{failed:?}");
    fleet.run("a", "DELETE FROM one").await;
    back.fence = 16;
    talk.hand_out(&back).await;
    let reports = talk.reports_until(is_end).await;
    let by = [Evidence::Probe, Evidence::Waiver, Evidence::Waiver];
    assert_eq!(evidence(outcome(&reports[0])), by);
    assert!(fleet.in_force("a").await.is_empty());
    assert_eq!(fleet.observe("a").await.ledger.len(), 6, "the ledger is a history");
}

#[tokio::test]
async fn a_ledger_that_is_another_one_is_left_alone() {
    let fleet = Fleet::new(&["a"]).await;
    let mut fake = Fake::start().await;
    let migrations = migrations();
    let digest = fake.put(&migrations);
    let _agent = fleet.agent("agent-1", &["a"], &fake).await;
    let mut talk = fake.greet().await;
    let mut leg = mend((10, "a"), &digest, &migrations, 1);
    leg.waived = true;
    talk.hand_out(&leg).await;
    talk.reports_until(is_end).await;
    // The log that orders this knows of nothing in force.
    let mut other = mend((11, "a"), &digest, &migrations, 2);
    other.waived = true;
    other.steps.remove(0);
    talk.hand_out(&other).await;
    let reports = talk.reports_until(is_end).await;
    let Outcome::Failed(failed) = outcome(&reports[0]) else { panic!("{reports:?}") };
    assert!(failed.message.contains("the log does not know"), "{failed:?}");
    assert_eq!(fleet.in_force("a").await, ["1"]);
    // An order under a fence that the target has passed.
    fleet.run("a", "UPDATE _skein_fence SET token = 50").await;
    let mut late = mend((20, "a"), &digest, &migrations, 2);
    late.waived = true;
    late.expected = session_support::entries(&migrations, 0..1);
    late.steps.remove(0);
    talk.hand_out(&late).await;
    let reports = talk.reports_until(is_end).await;
    assert!(matches!(outcome(&reports[0]), Outcome::Stuck(_)), "{reports:?}");
    assert_eq!(fleet.in_force("a").await, ["1"]);
}
