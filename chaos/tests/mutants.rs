//! The bugs that are planted in the core's sources still fit them: a list that no longer does would
//! find out only when somebody runs it.

use skein_chaos::mutants::{MUTANTS, broken};

#[test]
fn every_mutant_fits_the_sources() {
    let wrong: Vec<String> = MUTANTS
        .iter()
        .filter_map(|mutant| broken(mutant).err())
        .map(|one| one.to_string())
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(MUTANTS.len() >= 20);
}
