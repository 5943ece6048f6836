//! The counts against a model that keeps every stanza, from any starting point on: also where 32 bits wrap.

use super::*;

/// One entry a stanza: (what became of it, its number at the sender, its number at the receiver).
#[derive(Default)]
struct Model {
    all: Vec<(Event, u32, u32)>,
    /// Numbers before the first.
    start: (u32, u32),
}

impl Model {
    fn add(&mut self, event: Event) {
        let (_, inn, out) = self.all.last().copied().unwrap_or((event, self.start.0, self.start.1));
        let inn = if event == Event::Injected { inn } else { inn.wrapping_add(1) };
        let out = if event == Event::Swallowed { out } else { out.wrapping_add(1) };
        self.all.push((event, inn, out));
    }

    fn sent(&self) -> u32 {
        self.all.last().map_or(self.start.1, |last| last.2)
    }

    /// B9.1 to the letter.
    fn told(&self, h: u32) -> u32 {
        let done = |out: u32| out.wrapping_sub(self.start.1) <= h.wrapping_sub(self.start.1);
        self.all.iter().take_while(|(_, _, out)| done(*out)).last().map_or(self.start.0, |(_, inn, _)| *inn)
    }
}

struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % n
    }
}

fn apply(ledger: &mut SmLedger, event: Event, looks: u64) {
    match event {
        Event::Forwarded => ledger.forwarded(|| looks),
        Event::Swallowed => ledger.swallowed(|| looks),
        Event::Injected => ledger.injected(Bytes::from(looks.to_string())),
    }
}

/// A stanza comes, and what was to become of it does.
fn comes(ledger: &mut SmLedger, looks: u64) -> Arrival {
    let arrival = ledger.arrives(|| looks);
    if arrival == Arrival::Settled {
        ledger.swallowed(|| looks)
    } else {
        ledger.forwarded(|| looks)
    }
    arrival
}

fn event(random: &mut Random) -> Event {
    [Event::Forwarded, Event::Forwarded, Event::Swallowed, Event::Injected][random.below(4) as usize]
}

#[test]
fn the_worked_example() {
    let (mut up, mut down) = (SmLedger::default(), SmLedger::default());
    use Event::{Forwarded, Injected, Swallowed};
    for event in [Forwarded, Swallowed, Forwarded, Injected, Forwarded] {
        apply(&mut up, event, 1);
    }
    for event in [Injected, Swallowed, Forwarded, Swallowed] {
        apply(&mut down, event, 1);
    }
    assert_eq!([2, 3, 4].map(|h| up.ack(h)), [3, 3, 4].map(Ack::Told));
    assert_eq!([1, 2].map(|h| down.ack(h)), [1, 3].map(Ack::Told));
    assert_eq!(up.ack(3), Ack::Backwards { heard: 4, told: 4 });
    assert_eq!(up.ack(5), Ack::TooHigh { sent: 4 });
}

#[test]
fn every_acknowledgement_is_the_models() {
    for seed in 1..400_u64 {
        let mut random = Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        let near_the_end = |random: &mut Random| 0_u32.wrapping_sub(random.below(30) as u32);
        let start = (near_the_end(&mut random), near_the_end(&mut random));
        let mut model = Model { start, ..Model::default() };
        let mut ledger = SmLedger { told: start.0, heard: start.1, sent: start.1, ..SmLedger::default() };
        let mut heard = start.1;
        for step in 0..200 {
            if random.below(3) > 0 {
                let event = event(&mut random);
                model.add(event);
                apply(&mut ledger, event, step);
                continue;
            }
            let open = model.sent().wrapping_sub(heard);
            let h = heard.wrapping_add(random.below(u64::from(open) + 1) as u32);
            assert_eq!(ledger.preview(h), Ack::Told(model.told(h)), "seed {seed}, step {step}");
            assert_eq!(ledger.ack(h), Ack::Told(model.told(h)), "seed {seed}, step {step}");
            heard = h;
            assert_eq!(ledger.ack(model.sent().wrapping_add(1)), Ack::TooHigh { sent: model.sent() });
            let told = model.told(heard);
            assert_eq!(ledger.ack(heard.wrapping_sub(1)), Ack::Backwards { heard, told }, "seed {seed}");
        }
    }
}

#[test]
fn what_was_in_flight_comes_again_and_what_was_settled_stays_settled() {
    for seed in 1..400_u64 {
        let mut random = Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        let mut model = Model::default();
        let mut ledger = SmLedger::default();
        for looks in 1..=random.below(40) {
            let event = event(&mut random);
            model.add(event);
            apply(&mut ledger, event, looks);
        }
        let h = random.below(u64::from(model.sent()) + 1) as u32;
        let told = model.told(h);
        ledger.resume(h, told);
        let mut due = VecDeque::from(ledger.due());
        for ((event, inn, out), looks) in model.all.iter().zip(1_u64..) {
            let arrival = match event {
                Event::Injected if *out <= h => continue,
                Event::Injected => {
                    let bytes = due.pop_front().unwrap();
                    assert_eq!(bytes, looks.to_string(), "seed {seed}");
                    ledger.injected(bytes);
                    continue;
                }
                _ if *inn <= told => continue,
                Event::Forwarded => Arrival::Again,
                Event::Swallowed => Arrival::Settled,
            };
            assert!(due.is_empty(), "seed {seed}: sent again before its turn");
            assert_eq!(comes(&mut ledger, looks), arrival, "seed {seed}");
            due.extend(ledger.due());
        }
        assert!(due.is_empty(), "seed {seed}");
        // All numbers are as they were.
        let h = h.wrapping_add(random.below(u64::from(model.sent() - h) + 1) as u32);
        assert_eq!(ledger.ack(h), Ack::Told(model.told(h)), "seed {seed}");
        assert_eq!(ledger.arrives(|| 99), Arrival::New, "seed {seed}");
    }
}

/// Swallowed and forwarded in turn, looking like 1, 11, 2, 12, 3, 13; something is injected behind the first pair.
fn lost() -> SmLedger {
    let mut ledger = SmLedger::default();
    for looks in 1..=3 {
        ledger.swallowed(|| looks);
        ledger.forwarded(|| looks + 10);
        if looks == 1 {
            ledger.injected(Bytes::from_static(b"i"));
        }
    }
    ledger.resume(0, 0);
    ledger
}

#[test]
fn a_sender_may_leave_something_out_or_begin_with_something_new() {
    use Arrival::{Again, New, Settled};
    let mut ledger = lost();
    // Two new ones; then the first pair is left out, and what was injected behind it still comes.
    assert_eq!([70, 71].map(|looks| comes(&mut ledger, looks)), [New, New]);
    assert!(ledger.due().is_empty());
    assert_eq!(comes(&mut ledger, 2), Settled);
    assert_eq!(ledger.due(), [Bytes::from_static(b"i")]);
    assert_eq!([12, 3, 11, 13, 13].map(|looks| comes(&mut ledger, looks)), [Again, Settled, New, Again, New]);
}

#[test]
fn a_sender_that_sends_nothing_again_is_not_waited_for_without_end() {
    let mut ledger = lost();
    for looks in 100..100 + (PATIENCE as u64) + 6 {
        assert_eq!(comes(&mut ledger, looks), Arrival::New);
    }
    assert_eq!(ledger.due(), [Bytes::from_static(b"i")]);
    assert_eq!(comes(&mut ledger, 2), Arrival::New, "forgotten by now");
}

#[test]
fn a_loss_in_the_middle_of_sending_again() {
    use Arrival::{Again, New, Settled};
    let mut ledger = lost();
    assert_eq!(comes(&mut ledger, 1), Settled);
    // This one waits, for a script wants it so, and is lost.
    assert_eq!(ledger.arrives(|| 11), Again);
    ledger.resume(0, 0);
    assert_eq!(
        [1, 11, 2, 12, 3, 13].map(|looks| comes(&mut ledger, looks)),
        [Settled, Again, Settled, Again, Settled, Again]
    );
    assert_eq!(ledger.arrives(|| 11), New);
}

#[test]
fn a_ledger_that_can_be_resumed_is_exact_afterwards_though_lost_again_and_again() {
    let mut ledger = SmLedger::default();
    let mut looks = 0;
    let mut said = Vec::new();
    // Nothing is acknowledged: each time half of what was lost is sent again, and much is made here meanwhile.
    for lost in 0..20 {
        while said.len() < 500 * (lost + 1) {
            looks += 2;
            said.push(looks);
            ledger.swallowed(|| looks);
            ledger.forwarded(|| looks + 1);
        }
        if !ledger.is_exact() {
            assert!(ledger.weight() < 2 * MOST_BYTES && lost > 2, "{lost} {}", ledger.weight());
            return;
        }
        ledger.resume(0, 0);
        assert!(ledger.is_exact(), "lost {lost} times");
        for looks in &said {
            assert_eq!(comes(&mut ledger, *looks), Arrival::Settled, "lost {lost} times");
            ledger.due().into_iter().for_each(|bytes| ledger.injected(bytes));
            assert_eq!(comes(&mut ledger, looks + 1), Arrival::Again, "lost {lost} times");
            ledger.injected(Bytes::from_static(b"<message/>"));
            ledger.due().into_iter().for_each(|bytes| ledger.injected(bytes));
        }
    }
    panic!("it grows without bound");
}

#[test]
fn what_was_settled_behind_our_back_is_settled() {
    let mut ledger = SmLedger::default();
    ledger.forwarded(|| 4);
    ledger.swallowed(|| 5);
    ledger.swallowed(|| 6);
    assert_eq!(ledger.ack(1), Ack::Told(3));
    ledger.forwarded(|| 7);
    // The sender heard of one of them only.
    ledger.resume(1, 2);
    assert_eq!([6, 7, 8].map(|looks| comes(&mut ledger, looks)), [Arrival::Settled, Arrival::Again, Arrival::New]);
}

#[test]
fn a_receiver_that_never_acknowledges_costs_bounded_memory() {
    let mut ledger = SmLedger::default();
    let mut asked = 0;
    for looks in 0..200_000 {
        ledger.forwarded(|| looks);
        ledger.swallowed(|| looks);
        ledger.injected(Bytes::from_static(&[0; 300]));
        asked += u32::from(ledger.asks());
        assert!(ledger.weight() < 2 * MOST_BYTES, "{}", ledger.weight());
    }
    assert_eq!(asked, 1, "asked for once, not for each stanza");
    assert!(!ledger.is_exact());
    // Late, but never early: in truth it is one for one.
    let mut last = 0;
    for h in (0..=400_000).step_by(1000) {
        let Ack::Told(told) = ledger.ack(h) else { panic!("{h}") };
        assert!(last <= told && told <= h, "{h}: {told}");
        last = told;
    }
    assert_eq!(last, 400_000);
}
