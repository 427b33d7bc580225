//! What a condition holds of in a small fleet, what is refused and where, and what it may cost.

use skein_core::spec::{Condition, Selector};

use super::sample::sample;
use super::{Expression, settle};

fn ask(text: &str) -> Result<Vec<String>, String> {
    let mut selector =
        Selector { condition: Some(Condition::new(text.to_owned())), ..Selector::default() };
    let (fleet, presence) = sample();
    settle(&mut selector, &fleet, &presence).map_err(|refusal| refusal.what)?;
    let holds = selector.condition.expect("it was given").holds;
    Ok(holds.iter().map(ToString::to_string).collect())
}

#[test]
fn what_a_condition_holds_of() {
    for (text, expect) in [
        ("true", "eu-1 eu-2 us-1"),
        (r#"region == "eu""#, "eu-1 eu-2"),
        ("labels.region == 'us'", "us-1"),
        (r#"labels["app.tier"] == "1" && id != "eu-2""#, "eu-1 us-1"),
        (r#"ring == """#, "us-1"),
        (r#"ring != "canary""#, "eu-2 us-1"),
        ("has(labels.ring)", "eu-1 eu-2"),
        (r#"!("ring" in labels)"#, "us-1"),
        (r#"engine == "postgres""#, "eu-1"),
        (r#"engine in ["mysql", "sqlite"]"#, "eu-2 us-1"),
        (r#"kind == "database" && group == "rack-1""#, "eu-1 eu-2 us-1"),
        (r#"engine_version.at_least("15")"#, "eu-1"),
        (r#"engine_version.contains("MariaDB") && engine_version.at_least("10.6")"#, "eu-2"),
        (r#"version == "0042""#, "eu-1"),
        (r#"version.at_least("42")"#, "eu-1"),
        (r#"!version.at_least("0041")"#, "us-1"),
        (r#""0041" in versions"#, "eu-1 eu-2"),
        ("size(versions) == 1", "eu-2"),
        ("versions.size() + 1 > 2", "eu-1"),
        (r#"versions.exists(v, v.startsWith("004") && v != "0041")"#, "eu-1"),
        (r#"["eu", "us"].exists(r, r == region)"#, "eu-1 eu-2 us-1"),
        (r#"versions.all(v, v == "0041")"#, "eu-2 us-1"),
        ("held", "eu-2"),
        ("reachable", "eu-1 eu-2"),
        (r#"reachable ? id.endsWith("-2") : true"#, "eu-2 us-1"),
        (r#"fingerprint.startsWith("0707")"#, "eu-1"),
        (r#"rollout == "" && fingerprint == """#, "eu-2 us-1"),
        ("size(class) == 8", "eu-1 eu-2"),
        (r#"versions.exists(id, id == "0042")"#, "eu-1"),
    ] {
        assert_eq!(ask(text).as_deref(), Ok(&*split(expect)), "{text}");
    }
}

fn split(text: &str) -> Vec<String> {
    text.split(' ').map(str::to_owned).collect()
}

#[test]
fn what_is_wrong_is_shown_at_its_place() {
    for (text, what, caret) in [
        (
            r#"regoin == "eu""#,
            "there is no name `regoin`, and no target has such a label; the names are id, kind,",
            "^^^^^^",
        ),
        (
            r#"region == "eu" && labels.rnig == "x""#,
            "no target has a label `rnig`; the labels are app.tier, region, ring",
            "^",
        ),
        (
            r#"engine == "mariadb""#,
            "there is no engine `mariadb`; it is one of postgres, mysql, sqlite (mysql is MariaDB, too)",
            "^^^^^^^^^",
        ),
        (r#""pg" != engine"#, "there is no engine `pg`", "^^^^"),
        (r#"kind in ["database", "git"]"#, "there is no kind `git`", "^^^^^"),
        (r#"region = "eu""#, "Syntax error", "^"),
        (r#"region == "eu"#, "Syntax error", "^"),
        (
            "region",
            "a condition is true or false, and this one is a value of type string",
            "^^^^^^",
        ),
        ("size(versions)", "a value of type int", "^^^^^^^^^^^^^^"),
        ("version > 3", "`>` cannot be applied to string and int", "^"),
        (
            r#"id.matches("(a*)*b")"#,
            "`matches` is not offered here; the functions are at_least, contains",
            "^",
        ),
        ("versions.map(v, v + v) == []", "exists and all are offered", "^"),
        ("versions.exists(v, versions.all(w, w == v))", "cannot stand inside of another", "^"),
        ("versions.exists(v, v.exists(w, true))", "cannot stand inside of another", "^"),
        ("[versions].exists(v, true)", "go through `versions` or a list of values", "^"),
        ("(true ? versions : []) + [id] == []", "lists cannot be added", "^"),
        ("versions + versions == []", "lists cannot be added", "^"),
        ("{1: 2} == {}", "maps are not offered here", "^"),
        ("id.x == 1", "only `labels` has parts", "^"),
        ("1 / 0 == 1", "on target eu-1: Division by zero", "^"),
        ("", "it says nothing", "^"),
        ("é == 1 && wrong == 2", "", "^"),
    ] {
        let error = ask(text).expect_err(text);
        assert!(error.contains(what), "{text}: {error}");
        let last = error.lines().last().unwrap_or_default().trim_start_matches([' ', '|']);
        let carets = last.trim();
        assert!(carets.starts_with('^') && carets.chars().all(|c| c == '^'), "{text}: {error}");
        assert!(caret == "^" || carets == caret, "{text}: {error}");
    }
}

#[test]
fn the_caret_is_counted_in_characters() {
    let error = ask("\"ä€\" == id ||\n  wrong == \"x\"").expect_err("no such label");
    let lines: Vec<&str> = error.lines().collect();
    assert_eq!(lines[lines.len() - 2..], ["  |   wrong == \"x\"", "  |   ^^^^^"], "{error}");
}

/// Whatever the parser could get lost in, on a thread with as little room as a runtime's.
#[test]
fn nothing_takes_the_stack_or_the_day() {
    let deep = |open: &str, close: &str, times: usize| {
        format!("{}id{} == id", open.repeat(times), close.repeat(times))
    };
    let many = |part: &str, times: usize| format!("id{} == id", part.repeat(times));
    let mut texts = vec!["x".repeat(3_000), "\"".to_owned(), "'\\".to_owned()];
    for times in [20, 24, 80, 150, 700] {
        texts.extend([
            deep("(", ")", times),
            deep("[", "]", times),
            deep("{1:", "}", times),
            deep("size(", ")", times),
            deep("!", "", times),
            deep("-", "", times),
            deep("true ? true : ", "", times),
            deep("versions.all(v, ", ")", times),
            many(".a", times),
            many("[0]", times),
            many(" + id", times),
            many(" == id", times),
            many(" && true", times),
            many(" in [id]", times),
        ]);
    }
    let done = std::thread::Builder::new()
        .stack_size(2 << 20)
        .spawn(move || texts.iter().filter(|text| ask(text).is_ok()).count());
    let understood = done.expect("a thread").join().expect("no panic");
    assert!(understood > 5, "{understood} of them are fine");
}

#[test]
fn what_it_may_cost_is_known_before() {
    let read = |text: &str| Expression::read(text).map_err(|refusal| refusal.what);
    let cheap = read(r#""0042" in versions"#).expect("it is fine");
    let dear = read("versions.exists(v, v in versions)").expect("it is fine");
    assert!(cheap.work(1_000) * 100_000 < super::WORK_MAX, "{}", cheap.work(1_000));
    assert!(dear.work(1_000) * 1_000 > super::WORK_MAX, "{}", dear.work(1_000));
}
