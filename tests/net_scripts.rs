//! Scripts that try to hurt, in living sessions: whoever triggers them suffers, nobody else does.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on must stop")]

mod net_support;

use iqtap::policy::Policy;
use iqtap::script::{ScriptLimits, ScriptSet};
use net_support::{Lab, Peer};
use std::path::Path;
use std::time::{Duration, Instant};

/// What hurts, by the body of a message.
const HURTS: &str = r#"
fn on_message(stanza, session) {
    switch stanza.text("body") {
        "loop" => { loop {} }
        "slow" => { let s = "x"; s.pad(60000, "y"); loop { s.to_upper(); } }
        "deep" => deep(),
        "text" => { let s = "x"; loop { s += s; } }
        "map" => { let m = #{}; loop { m = #{ a: m, b: m }; } }
        "flood" => { for n in 0..1000000 { session.to_client(stanza); } }
        "timers" => { for n in 0..1000 { after(0.001, "deep"); } }
        "state" => { for n in 0..1000000 { state[`${n}`] = "0123456789012345678901234567890123456789"; } }
        "throw" => { throw "no" }
        _ => pass(),
    }
}

fn deep() { deep() }
"#;
const WORDS: [&str; 9] = ["loop", "slow", "deep", "text", "map", "flood", "timers", "state", "throw"];

fn policy() -> Policy {
    // Without a limit of operations, so that only the watch can end a loop.
    let limits = ScriptLimits { operations: 1 << 40, millis: 150, failures: 0, ..ScriptLimits::default() };
    let scripts = ScriptSet::from_text(Path::new("hurts.rhai"), HURTS, limits).unwrap();
    Policy { scripts, ..Policy::default() }
}

/// Sends a message through the proxy and waits for it.
async fn passes(client: &mut Peer, server: &mut Peer, body: &str) {
    client.send(&format!("<message to='romeo@example.org'><body>{body}</body></message>")).await;
    let said = server.expect("</message>").await;
    assert!(said.contains(&format!("<body>{body}</body>")), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_runs_wild_does_so_alone() {
    let lab = Lab::start(|setup, _| setup.policy = policy()).await;
    let (mut wild_client, mut wild_server) = lab.joined().await;
    let wild = tokio::spawn(async move {
        for word in WORDS {
            // What fails in report mode passes as if there were no script.
            passes(&mut wild_client, &mut wild_server, word).await;
        }
        passes(&mut wild_client, &mut wild_server, "still there").await;
    });
    let (mut client, mut server) = lab.joined().await;
    let (mut trips, mut worst) = (0, Duration::ZERO);
    while !wild.is_finished() {
        let begun = Instant::now();
        passes(&mut client, &mut server, "hi").await;
        worst = worst.max(begun.elapsed());
        trips += 1;
    }
    wild.await.unwrap();
    assert!(trips > 20, "the other session stood still: {trips} round trips");
    // It may wait once for a loop on its own thread, which is given up after 150 ms and a look (50 ms).
    assert!(worst < Duration::from_secs(3), "{worst:?}");
    lab.stopped().await;
}
