//! Verbs that need nobody: no project, no coordinator, no terminal.

#![expect(clippy::unwrap_used, reason = "a test that cannot run the binary has failed")]

use std::process::Command;

use tempfile::TempDir;

fn run(words: &[&str]) -> (Option<i32>, String, String) {
    let nowhere = TempDir::new().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_skein"));
    command.args(words).current_dir(nowhere.path());
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("SKEIN_")) {
        command.env_remove(name);
    }
    let output = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[test]
fn completions_for_every_shell() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let (code, out, err) = run(&["completions", shell]);
        assert_eq!(code, Some(0), "{shell}: {err}");
        for word in ["rollback", "detailed-exitcode", "waive"] {
            assert!(out.contains(word), "{shell} does not know {word}");
        }
    }
}

#[test]
fn a_page_for_every_verb() {
    let dir = TempDir::new().unwrap();
    let place = dir.path().to_str().unwrap();
    assert_eq!(run(&["man", place]).0, Some(0));
    for page in ["skein.1", "skein-apply.1", "skein-backup-restore.1", "skein-history-verify.1"] {
        let page = std::fs::read_to_string(dir.path().join(page)).unwrap();
        assert!(page.contains(".SH NAME"), "{page}");
    }
    assert!(run(&["man"]).1.contains("Carries one migration across a fleet"));
}

#[test]
fn codes_are_explained() {
    let (code, out, _) = run(&["explain", "exit", "31"]);
    assert_eq!(code, Some(0));
    assert!(out.contains("an operator is needed"), "{out}");
    let (code, out, _) = run(&["explain", "exit", "-o", "json"]);
    assert_eq!(code, Some(0));
    let all: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(all["codes"].as_array().unwrap().len(), 17);
    let (code, _, err) = run(&["explain", "exit", "99"]);
    assert_eq!(code, Some(2));
    assert!(err.contains("skein explain exit"), "{err}");
}

#[test]
fn wrong_words_exit_with_two() {
    for words in [
        &["migrat"][..],
        &["apply", "--plan", "7c1e", "--on", "eu-1"],
        &["migrate", "--step", "0"],
        &["migrate", "--type", "api"],
        &["plan"],
        &["agent"],
        &["coordinator"],
    ] {
        let (code, _, err) = run(words);
        assert_eq!(code, Some(2), "{words:?}: {err}");
        assert!(!err.is_empty(), "{words:?} says nothing");
    }
}

#[test]
fn the_release_is_the_first_line_of_every_stream() {
    let (code, out, _) = run(&["version", "-o", "jsonl"]);
    assert_eq!(code, Some(0));
    let version: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(version["schema"], "1.0");
    assert_eq!(version["skein"], env!("CARGO_PKG_VERSION"));
    assert!(out.starts_with(r#"{"type":"version","schema":"1.0","#), "{out}");
}
