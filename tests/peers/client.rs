//! slixmpp, driven by `client.py`: steps in, one line of JSON a step out.

use super::DOMAIN;
use super::child::Guarded;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// A running client.
pub(crate) struct Client {
    process: Guarded,
    lines: Vec<Line>,
}

/// What the client saw in one step.
#[derive(Clone)]
pub(crate) struct Line(Value);

/// The Python that has slixmpp: `IQTAP_PYTHON`, `python3`, or the one of `target/venv`.
pub(crate) fn python() -> Option<&'static Path> {
    static PYTHON: OnceLock<Option<PathBuf>> = OnceLock::new();
    let find = || {
        let named = std::env::var_os("IQTAP_PYTHON").map(PathBuf::from);
        let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/venv/bin/python");
        let all = named.into_iter().chain([PathBuf::from("python3"), own]);
        all.into_iter().find(|python| super::runs(&python.to_string_lossy(), &["-c", "import slixmpp"]))
    };
    PYTHON.get_or_init(find).as_deref()
}

/// How a client connects, and as whom.
pub(crate) struct Login<'a> {
    pub(crate) port: u16,
    /// `off`, `starttls`, `direct`
    pub(crate) tls: &'a str,
    pub(crate) user: &'a str,
    pub(crate) password: &'a str,
    pub(crate) ca: &'a Path,
    /// Which SASL mechanism; `None` leaves it to slixmpp.
    pub(crate) mechanism: Option<&'a str>,
}

impl<'a> Login<'a> {
    /// Over STARTTLS, by name and password.
    pub(crate) fn starttls(port: u16, (user, password): &'a (String, String), ca: &'a Path) -> Self {
        Self { port, tls: "starttls", user, password, ca, mechanism: None }
    }
}

impl Client {
    /// Starts it; the steps run one after the other from now on.
    pub(crate) fn start(login: &Login<'_>, steps: &Value) -> Self {
        Self::start_with(login, &json!({}), steps)
    }

    /// The same with more of what `client.py` understands: `sm` (stream management), `answers` (more plugins), `resource`.
    pub(crate) fn start_with(login: &Login<'_>, more: &Value, steps: &Value) -> Self {
        let program = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/peers/client.py");
        let resource = more["resource"].as_str().map(|resource| format!("/{resource}")).unwrap_or_default();
        let jid = format!("{}@{DOMAIN}{resource}", login.user);
        let orders = json!({
            "host": "127.0.0.1", "port": login.port, "tls": login.tls, "jid": jid,
            "password": login.password, "cafile": login.ca, "mechanism": login.mechanism, "sm": more["sm"],
            "answers": more["answers"], "steps": steps,
        });
        let mut command = Command::new(python().expect("checked by `have`"));
        let process = Guarded::listening(command.args(["-B", program, &orders.to_string()])).unwrap();
        Self { process, lines: Vec::new() }
    }

    /// Runs all steps and gives what was seen in each, by label.
    pub(crate) fn run(login: &Login<'_>, steps: &Value) -> Seen {
        let mut client = Self::start(login, steps);
        client.rest()
    }

    /// Ends its step `go`, which waits for this.
    pub(crate) fn go(&mut self) {
        self.process.say("go");
    }

    /// What was seen in the next step, as soon as it is done.
    pub(crate) fn next(&mut self) -> Line {
        let Some(line) = self.process.out.nth(self.lines.len()) else {
            panic!("the client said no more after line {}:\n{}", self.lines.len(), self.log());
        };
        let line = Line(serde_json::from_str(&line).unwrap_or_else(|e| panic!("{e}: {line}")));
        self.lines.push(line.clone());
        line
    }

    /// Waits until it has done this step; all up to it must come out well.
    #[track_caller]
    pub(crate) fn reach(&mut self, step: &str) -> Value {
        loop {
            let line = self.next();
            let there = line.step() == step;
            assert!(there || line.step() != "end", "no step {step}:\n{}", self.log());
            let value = line.ok();
            if there {
                return value;
            }
        }
    }

    /// Waits for its end; what was seen in all steps.
    pub(crate) fn rest(&mut self) -> Seen {
        while self.lines.last().is_none_or(|line| line.step() != "end") {
            self.next();
        }
        Seen { lines: self.lines.clone(), log: self.process.err.text() }
    }

    fn log(&self) -> String {
        format!("{}\n{}", self.process.out.text(), self.process.err.text())
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("--- what a client said\n{}", self.log());
        }
    }
}

/// What passed on one connection, decrypted.
pub(crate) struct Stream {
    pub(crate) received: String,
    pub(crate) sent: String,
}

/// What a client saw, from its first step to its end.
pub(crate) struct Seen {
    lines: Vec<Line>,
    log: String,
}

impl Seen {
    /// The line of a step that must have come out well.
    #[track_caller]
    pub(crate) fn ok(&self, step: &str) -> &Value {
        let line = self.line(step);
        assert!(line["ok"] == true, "step {step}: {line}\n{}", self.log);
        line
    }

    /// The line of a step that must have failed.
    #[track_caller]
    pub(crate) fn failed(&self, step: &str) -> &Value {
        let line = self.line(step);
        assert!(line["ok"] == false, "step {step} should fail: {line}\n{}", self.log);
        line
    }

    /// The line of a step.
    #[track_caller]
    pub(crate) fn line(&self, step: &str) -> &Value {
        let line = self.lines.iter().find(|line| line.step() == step);
        let steps = || self.lines.iter().map(|line| line.0.to_string() + "\n").collect::<String>();
        &line.unwrap_or_else(|| panic!("no step {step} in:\n{}{}", steps(), self.log)).0
    }

    /// All the client received and sent on each of its connections.
    pub(crate) fn streams(&self) -> Vec<Stream> {
        let text = |stream: &Value, way: &str| stream[way].as_str().unwrap().to_owned();
        let streams = self.line("end")["streams"].as_array().unwrap();
        streams.iter().map(|s| Stream { received: text(s, "received"), sent: text(s, "sent") }).collect()
    }

    /// The bodies of all messages, in order.
    pub(crate) fn bodies(&self) -> Vec<&str> {
        let messages = self.line("end")["messages"].as_array().unwrap();
        messages.iter().map(|message| message[2].as_str().unwrap()).collect()
    }

    /// All the client received, decrypted.
    pub(crate) fn received(&self) -> &str {
        self.line("end")["received"].as_str().unwrap()
    }

    /// All the client sent, before encryption.
    pub(crate) fn sent(&self) -> &str {
        self.line("end")["sent"].as_str().unwrap()
    }
}

impl Line {
    fn step(&self) -> &str {
        self.0["step"].as_str().unwrap_or_default()
    }

    /// The value, if the step came out well.
    #[track_caller]
    pub(crate) fn ok(self) -> Value {
        assert!(self.0["ok"] == true, "{}", self.0);
        self.0
    }
}
