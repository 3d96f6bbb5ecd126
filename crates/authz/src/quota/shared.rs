//! The bucket that several nodes draw from, and what a node asks of it.
//!
//! A node spends what it has drawn without asking anyone. It draws about as much as it uses in a second, so that a bucket is
//! written about once a second and node, and only by nodes that are asked something. What a node has not used two seconds after
//! it was last asked lapses; it is missing from the burst, not from the rate.

use super::{Account, Rate};

/// Points as all nodes see them. A new one is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SharedBucket {
    /// In thousandths of points; negative where it owes.
    pub level: i64,
    /// As of when, in milliseconds since 1970 by the clock of the node that drew last.
    pub at_ms: i64,
}

/// What a node asks of a shared bucket, in thousandths of points.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Draw {
    /// The bucket's rate.
    pub rate: Rate,
    /// Spent already: taken in any case.
    pub owed: i64,
    /// Nothing is given where less than this is there.
    pub needed: i64,
    /// No more than this is given.
    pub wanted: i64,
    /// Now, in milliseconds since 1970.
    pub now_ms: i64,
}

/// What came of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Drawn {
    /// What was given beside what was owed, in thousandths of points.
    pub given: i64,
    /// What is left to all.
    pub left: SharedBucket,
}

/// A draw that a request waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shortage {
    /// Whose points.
    pub account: Account,
    /// What to ask for.
    pub draw: Draw,
}

impl SharedBucket {
    /// A full one. It holds a second's worth at least: nodes draw about once a second, and what flows over between is lost.
    pub fn full(rate: Rate, now_ms: i64) -> Self {
        Self { level: capacity(rate), at_ms: now_ms }
    }

    /// Gives a node what it asks for, as far as it is there. A clock that is behind another's gets nothing for the time between.
    pub fn draw(&mut self, draw: &Draw) -> i64 {
        self.refill(draw.rate, draw.now_ms);
        self.level = self.level.saturating_sub(draw.owed.max(0));
        let given = match self.level >= draw.needed {
            true => draw.wanted.clamp(0, self.level.max(0)),
            false => 0,
        };
        self.level -= given;
        given
    }

    /// When it is full again, in milliseconds since 1970; it may be forgotten then.
    pub fn full_at_ms(&self, rate: Rate) -> i64 {
        let missing = capacity(rate).saturating_sub(self.level).max(0) as u64;
        self.at_ms.saturating_add_unsigned(missing.div_ceil(u64::from(rate.points_per_s.max(1))))
    }

    fn refill(&mut self, rate: Rate, now_ms: i64) {
        let elapsed_ms = now_ms.saturating_sub(self.at_ms).max(0);
        // Points a second are thousandths a millisecond.
        self.level = self.level.saturating_add(elapsed_ms.saturating_mul(i64::from(rate.points_per_s))).min(capacity(rate));
        self.at_ms = self.at_ms.max(now_ms);
    }
}

fn capacity(rate: Rate) -> i64 {
    i64::from(rate.burst_points.max(rate.points_per_s)) * 1000
}

/// What a node knows of the shared bucket behind one of its own.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Lease {
    /// What was asked for last.
    portion: i64,
    drawn_at_ms: i64,
    /// Before this nothing is drawn: there was less than was asked for.
    not_before_ms: i64,
    asked_at_ms: i64,
    /// What was left to all.
    left: Option<SharedBucket>,
}

/// Whether a request can go on from what a node has drawn.
pub(super) enum Verdict {
    /// It can.
    Enough,
    /// Something must be drawn first.
    Draw(Draw),
    /// It cannot for so long, in milliseconds.
    Wait(u64),
}

impl Lease {
    /// What was drawn and not used lapses after this.
    const LAPSE_MS: i64 = 2000;
    /// A portion is to last about so long.
    const PORTION_MS: i64 = 1000;
    /// An empty bucket is drawn from again after this and a random part of [`Self::SPREAD_MS`], which keeps nodes from drawing in
    /// step. Together they stay below a second, in which even the smallest bucket does not flow over.
    const EMPTY_MS: i64 = 700;
    const SPREAD_MS: i64 = 200;
    /// A node that cannot reach the shared buckets keeps this part of a rate.
    const SAFE_PART: i64 = 8;
    /// The first portion is this part of a second's worth, or what the request needs.
    const FIRST_PART: i64 = 64;

    /// Takes notice of a request, and lets lapse what was not used for long.
    pub fn ask(&mut self, level: &mut i64, now_ms: i64) {
        if now_ms.saturating_sub(self.asked_at_ms) > Self::LAPSE_MS {
            *level = (*level).min(0);
        }
        self.asked_at_ms = self.asked_at_ms.max(now_ms);
    }

    /// Whether so much can be taken from a level, or what to do about it.
    pub fn verdict(&self, rate: Rate, level: i64, needed: i64, now_ms: i64) -> Verdict {
        if level >= needed {
            return Verdict::Enough;
        }
        if now_ms < self.not_before_ms {
            let until_drawn = self.not_before_ms.saturating_sub(now_ms);
            let until_there = self.missing_ms(rate, needed.saturating_sub(level), now_ms);
            return Verdict::Wait(until_drawn.max(until_there).max(1) as u64);
        }
        let needed = needed.saturating_sub(level.max(0));
        Verdict::Draw(Draw { rate, owed: level.min(0).saturating_neg(), needed, wanted: self.portion(rate, now_ms).max(needed), now_ms })
    }

    /// How much to draw: twice the last portion where that was used up early, half of it where it lasted long.
    fn portion(&self, rate: Rate, now_ms: i64) -> i64 {
        let second = i64::from(rate.points_per_s) * 1000;
        let portion = match now_ms.saturating_sub(self.drawn_at_ms) {
            ..Self::PORTION_MS => self.portion.saturating_mul(2),
            lasted if lasted < 2 * Self::PORTION_MS => self.portion,
            lasted if lasted < 4 * Self::PORTION_MS => self.portion / 2,
            _ => 0,
        };
        portion.clamp(second / Self::FIRST_PART, second)
    }

    /// Takes up what came of a draw; gives what the level grows by. `None`: the shared bucket could not be reached.
    pub fn settle(&mut self, draw: &Draw, drawn: Option<Drawn>, random: u64) -> i64 {
        let now_ms = draw.now_ms;
        let pause_ms = Self::EMPTY_MS + (random % Self::SPREAD_MS.unsigned_abs()) as i64;
        let Some(Drawn { given, left }) = drawn else {
            self.left = None;
            // A second's worth of the safe part, once a second.
            self.not_before_ms = now_ms.saturating_add(1000);
            return i64::from(draw.rate.points_per_s) * 1000 / Self::SAFE_PART;
        };
        self.left = Some(left);
        if draw.wanted > 0 {
            (self.portion, self.drawn_at_ms) = (draw.wanted, now_ms);
            if given < draw.wanted {
                self.not_before_ms = now_ms.saturating_add(pause_ms);
            }
        }
        draw.owed.saturating_add(given)
    }

    /// How long until so much is in the shared bucket, as far as this node knows.
    fn missing_ms(&self, rate: Rate, needed: i64, now_ms: i64) -> i64 {
        let missing = needed.saturating_sub(self.left_level(rate, now_ms)).max(0) as u64;
        i64::try_from(missing.div_ceil(u64::from(rate.points_per_s.max(1)))).unwrap_or(i64::MAX)
    }

    /// What is left to all, as far as this node knows; others may have drawn since.
    pub fn left_level(&self, rate: Rate, now_ms: i64) -> i64 {
        let Some(mut left) = self.left else { return 0 };
        left.refill(rate, now_ms);
        left.level
    }

    /// Whether the shared bucket could not be reached, and is not to be tried yet.
    pub fn is_cut_off(&self, now_ms: i64) -> bool {
        self.left.is_none() && now_ms < self.not_before_ms
    }

    /// Whether nothing is lost where this is forgotten.
    pub fn is_idle(&self, now_ms: i64) -> bool {
        now_ms.saturating_sub(self.asked_at_ms) > 4 * Self::PORTION_MS
    }
}
