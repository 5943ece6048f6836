//! How long answers took, in few numbers: how many fell into each of a hundred or so spans of time.
//!
//! Takes times in microseconds, gives quantiles that are at most 10 % off. Must not keep the times themselves: what it
//! holds is bounded, and nothing is allocated for a span seen before.

/// The first span ends a quarter of an octave above this; what is shorter falls into it as well.
const FIRST_OCTAVE: u32 = 4; // 2^4 = 16 us
/// Spans to an octave: each is 19 % longer than the one before.
const QUARTERS: u8 = 4;
/// Up to 2^37 us, a day and a half: more than an IQ may be waited for. What is longer falls into the last.
const SPANS: u8 = 33 * QUARTERS;
/// 2^(1/4), 2^(2/4), 2^(3/4): where the quarters of an octave begin. In units of 2^-63.
const BOUNDS: [u64; 3] = [0x9837_f051_8db8_a96f, 0xb504_f333_f9de_6484, 0xd744_fcca_d69d_6af4];
/// 2^(1/8), 2^(3/8), 2^(5/8), 2^(7/8): the middle of each quarter. In units of 2^-16.
const MIDDLES: [u64; QUARTERS as usize] = [71_468, 84_990, 101_070, 120_194];

/// A histogram of times on a logarithmic scale. Empty it is small, full it is about two kilobytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Latency {
    /// Spans that something fell into, in order, and how much did.
    spans: Vec<(u8, u64)>,
    /// The shortest and the longest time.
    ends: (u64, u64),
}

impl Latency {
    /// Counts one time.
    pub fn note(&mut self, micros: u64) {
        self.reach((micros, micros));
        self.count_in(span(micros), 1);
    }

    /// Adds another's counts.
    pub fn add(&mut self, other: &Self) {
        if !other.spans.is_empty() {
            self.reach(other.ends);
        }
        for (span, count) in &other.spans {
            self.count_in(*span, *count);
        }
    }

    /// How many times were counted.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.spans.iter().map(|(_, count)| count).sum()
    }

    /// The time, in microseconds, that a share `q` (0 to 1) of all did not exceed; `None` if there were none.
    #[must_use]
    pub fn quantile(&self, q: f64) -> Option<u64> {
        let rank = (q.clamp(0.0, 1.0) * self.count() as f64).ceil().max(1.0) as u64;
        let mut before = 0;
        let reaches = |(_, count): &&(u8, u64)| {
            before += count;
            before >= rank
        };
        self.spans
            .iter()
            .find(reaches)
            .or_else(|| self.spans.last())
            .map(|(span, _)| middle(*span).clamp(self.ends.0, self.ends.1))
    }

    /// Spans in use: what it keeps allocated.
    pub(super) const fn spans(&self) -> usize {
        self.spans.len()
    }

    fn reach(&mut self, (least, most): (u64, u64)) {
        self.ends = if self.spans.is_empty() { (least, most) } else { (self.ends.0.min(least), self.ends.1.max(most)) };
    }

    fn count_in(&mut self, span: u8, count: u64) {
        match self.spans.binary_search_by_key(&span, |(known, _)| *known) {
            Ok(at) => self.spans[at].1 += count,
            Err(at) => self.spans.insert(at, (span, count)),
        }
    }
}

/// The number of the span a time falls into.
fn span(micros: u64) -> u8 {
    let micros = micros.max(1 << FIRST_OCTAVE);
    let octave = micros.ilog2() - FIRST_OCTAVE;
    let within = micros << micros.leading_zeros();
    let quarter = BOUNDS.iter().filter(|bound| within >= **bound).count();
    u8::try_from(octave as usize * usize::from(QUARTERS) + quarter).map_or(SPANS - 1, |span| span.min(SPANS - 1))
}

/// The time that stands for a span: by ratio, as far from its beginning as from its end.
fn middle(span: u8) -> u64 {
    let (octave, quarter) = (u32::from(span / QUARTERS), usize::from(span % QUARTERS));
    ((MIDDLES[quarter] << (FIRST_OCTAVE + octave)) + (1 << 15)) >> 16
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(times: impl IntoIterator<Item = u64>) -> Latency {
        let mut latency = Latency::default();
        times.into_iter().for_each(|micros| latency.note(micros));
        latency
    }

    /// To ten per cent, and half a microsecond for rounding.
    fn is_near(shown: Option<u64>, micros: u64) -> bool {
        shown.is_some_and(|shown| shown.abs_diff(micros) * 10 <= micros + 5)
    }

    #[test]
    fn of_nothing_there_is_no_quantile() {
        assert_eq!((Latency::default().count(), Latency::default().quantile(0.5)), (0, None));
    }

    #[test]
    fn one_time_is_its_own_median_within_ten_per_cent() {
        let mut micros = 16;
        while micros < 1 << 37 {
            let latency = of([micros]);
            for q in [0.0, 0.5, 0.99, 1.0] {
                let shown = latency.quantile(q);
                assert!(is_near(shown, micros), "{micros} us are shown as {shown:?}");
            }
            micros += micros / 97 + 1;
        }
    }

    #[test]
    fn quantiles_are_those_of_the_times() {
        let latency = of((1..=1000).map(|n| n * 1000).rev());
        assert_eq!(latency.count(), 1000);
        for (q, micros) in [(0.0, 1_000), (0.001, 1_000), (0.5, 500_000), (0.99, 990_000), (1.0, 1_000_000)] {
            let shown = latency.quantile(q);
            assert!(is_near(shown, micros), "{q} of them: {shown:?}, not {micros}");
        }
        let mut rare = of([20_000; 99]);
        rare.note(5_000_000);
        assert!(is_near(rare.quantile(0.99), 20_000) && is_near(rare.quantile(0.991), 5_000_000), "{rare:?}");
    }

    #[test]
    fn a_quantile_never_falls_as_q_grows() {
        let latency = of([3, 17, 500, 500, 80_000, 1 << 40, u64::MAX]);
        let shown: Vec<_> = (0..=100).map(|q| latency.quantile(f64::from(q) / 100.0)).collect();
        assert!(shown.is_sorted(), "{shown:?}");
        assert_eq!((latency.quantile(-3.0), latency.quantile(7.0)), (shown[0], shown[100]));
    }

    #[test]
    fn added_is_as_if_counted_together() {
        let (one, other) = ([5_u64, 70_000, 70_001, 9_000_000], [16_u64, 70_002, 1 << 50]);
        let mut sum = of(one);
        sum.add(&of(other));
        assert_eq!(sum, of(one.into_iter().chain(other)));
        sum.add(&Latency::default());
        assert_eq!(sum.count(), 7);
    }

    #[test]
    fn what_is_too_short_or_too_long_falls_into_the_outermost_spans() {
        assert_eq!((span(0), span(16), span(19), span(20)), (0, 0, 0, 1));
        assert_eq!((span((1 << 37) - 1), span(1 << 37), span(u64::MAX)), (SPANS - 1, SPANS - 1, SPANS - 1));
        assert_eq!([0, 18, u64::MAX].map(|one| of([one]).quantile(0.5)), [Some(0), Some(18), Some(u64::MAX)]);
    }

    #[test]
    fn it_holds_no_more_than_its_spans() {
        let mut micros = 1_u64;
        let latency = of(std::iter::from_fn(|| {
            micros = micros.checked_add(micros / 50 + 1)?;
            Some(micros)
        }));
        assert_eq!(latency.spans(), usize::from(SPANS));
        let before = latency.spans.capacity();
        let mut again = latency;
        again.note(123_456);
        assert_eq!(again.spans.capacity(), before, "a span seen before costs no allocation");
    }
}
