//! The demo, run as a user runs it: the real binary, its exit code and what it prints.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on must stop")]

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpStream;
use std::process::{Child, ChildStdout, Command, Output, Stdio};

fn iqtap(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_iqtap"));
    command.arg("demo").args(arguments).env_remove("RUST_LOG").stdin(Stdio::null());
    command
}

fn once(arguments: &[&str]) -> Output {
    let output = iqtap(&["--once"]).args(arguments).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{errors}\n{}", String::from_utf8_lossy(&output.stdout));
    assert_eq!(errors, "", "nothing to complain about");
    output
}

#[test]
fn every_exchange_is_shown_with_its_verdict() {
    let output = once(&[]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(!text.contains('\x1b'), "no colours where there is no terminal");
    let steps: Vec<&str> = text.split("\n\n").collect();
    // A piece of the heading, pieces of what was said, what iqtap did.
    let wanted: [(&str, &[&str], &str); 10] = [
        (
            "1. What can the server do?",
            &["C: <iq type='get' id='disco-1'", "category='server'"],
            "passed on, untouched",
        ),
        ("2. A nickname for the vCard", &["<NICKNAME>Jule</NICKNAME>", "S: <iq type='result'"], "passed on, untouched"),
        ("3. The block list", &["code='501'", "<feature-not-implemented"], "passed on, untouched"),
        (
            "4. An iq without an id (rule 1)",
            &["id=''", "<bad-request"],
            "held back by rule1, answered with bad-request",
        ),
        ("5. A result without an id (rule 1)", &["C: <iq type='result'"], "dropped by rule1"),
        ("6. An iq of a type that does not exist (rule 2)", &["<bad-request"], "held back by rule2, answered with"),
        ("7. A get with two children (rule 5)", &["<bad-request"], "held back by rule5, answered with bad-request"),
        (
            "8. A result with two children (rule 6)",
            &["romeo's C:", "S:", "romeo's S:"],
            "turned into an error by rule6 (undefined-condition) and passed on",
        ),
        (
            "9. An error that does not say which (rule 7)",
            &["<undefined-condition"],
            "error added by rule7 (undefined-condition) and passed on",
        ),
        (
            "10. A request that a script rejects",
            &["fn on_iq(iq)", "<not-allowed", "private storage is read-only here"],
            "held back by no-private-storage.rhai:2, answered with not-allowed",
        ),
    ];
    for (heading, said, verdict) in wanted {
        let step = steps.iter().find(|step| step.starts_with(heading)).unwrap_or_else(|| panic!("{heading}: {text}"));
        assert!(said.iter().all(|piece| step.contains(piece)), "{step}");
        let last = step.lines().last().unwrap().trim();
        assert!(last.strip_prefix("iqtap: ").is_some_and(|said| said.starts_with(verdict)), "{step}");
    }
    assert!(steps.last().unwrap().starts_with("In all: 2 sessions;"), "{text}");
}

#[test]
fn programs_get_a_line_of_json_for_each_exchange() {
    let output = once(&["--json"]);
    let text = String::from_utf8(output.stdout).unwrap();
    let steps: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(steps.len(), 10);
    for (step, number) in steps.iter().zip(1..) {
        assert_eq!((step["event"].as_str(), step["step"].as_i64()), (Some("demo"), Some(number)));
    }
    let verdict =
        |number: usize| (steps[number - 1]["fate"].as_str().unwrap(), steps[number - 1]["by"].as_str().unwrap());
    assert_eq!([verdict(1), verdict(5), verdict(8)], [("passed", ""), ("dropped", "rule1"), ("rewritten", "rule6")]);
}

#[test]
fn a_capture_is_written() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("demo.pcapng");
    once(&["--record", path.to_str().unwrap()]);
    let capture = std::fs::read(&path).unwrap();
    let holds = |needle: &str| capture.windows(needle.len()).any(|window| window == needle.as_bytes());
    assert!(capture.starts_with(&[0x0a, 0x0d, 0x0d, 0x0a]), "a pcapng section header");
    assert!(holds("<iq type='get' id='disco-1'") && holds("<undefined-condition"));
    assert!(!holds("AGp1bGlldABzZWNyZXQ="), "the password stays out of it");
}

#[test]
fn it_listens_on_loopback_only() {
    let output = iqtap(&["--once", "--listen", "0.0.0.0:0"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8(output.stderr).unwrap().contains("loopback"));
}

/// Stops it whatever happens.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn until(lines: &mut std::io::Lines<BufReader<ChildStdout>>, piece: &str) -> String {
    lines.map(Result::unwrap).find(|line| line.contains(piece)).unwrap()
}

#[cfg(unix)]
#[test]
fn it_stays_for_the_users_own_client() {
    let directory = tempfile::tempdir().unwrap();
    let mut command = iqtap(&["--listen", "127.0.0.1:0", "--data-dir", directory.path().to_str().unwrap()]);
    let mut demo = Running(command.stdout(Stdio::piped()).spawn().unwrap());
    let mut lines = BufReader::new(demo.0.stdout.take().unwrap()).lines();
    let connect = until(&mut lines, "port ");
    let port = connect.split("port ").nth(1).unwrap().split(',').next().unwrap().parse().unwrap();
    let mut client = TcpStream::connect(("127.0.0.1", port)).unwrap();
    let header = "<stream:stream to='localhost' version='1.0' xmlns='jabber:client' \
                  xmlns:stream='http://etherx.jabber.org/streams'>";
    client.write_all(header.as_bytes()).unwrap();
    until(&mut lines, "joined to localhost");
    drop(client);
    until(&mut lines, "#3");
    let kill = Command::new("kill").args(["-INT", &demo.0.id().to_string()]).status().unwrap();
    assert!(kill.success());
    until(&mut lines, "In all, juliet and romeo included: 3 sessions;");
    assert_eq!(demo.0.wait().unwrap().code(), Some(0));
}
