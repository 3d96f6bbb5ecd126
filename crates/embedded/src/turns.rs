//! Tenants take turns: whoever asks for much waits behind their own, not others behind them.
//!
//! [`Turns`] is a queue for each tenant, served by deficit round robin: in each turn a tenant may spend a portion more, and what it
//! does not spend it keeps only while something of it waits. What costs more than a portion waits for several turns, and so behind
//! the small things of others. [`Permits`] hands out a fixed number of permits in that order.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::oneshot;

/// What waits, by whom it is of.
pub(crate) struct Turns<K, T> {
    /// What each may spend in a turn.
    portion: usize,
    queues: HashMap<K, Queue<T>>,
    /// Those with something waiting, the next first.
    order: VecDeque<K>,
}

struct Queue<T> {
    waiting: VecDeque<(usize, T)>,
    /// What may still be spent.
    left: usize,
    has_turn: bool,
}

/// Nothing waits for more turns than this.
const TURNS_MAX: usize = 16;

impl<K: Clone + Eq + Hash, T> Turns<K, T> {
    pub(crate) fn new(portion: usize) -> Self {
        Self { portion: portion.max(1), queues: HashMap::new(), order: VecDeque::new() }
    }

    /// Adds something that costs so much.
    pub(crate) fn push(&mut self, of: &K, cost: usize, what: T) {
        let cost = cost.min(TURNS_MAX * self.portion);
        match self.queues.get_mut(of) {
            Some(queue) => queue.waiting.push_back((cost, what)),
            None => {
                self.order.push_back(of.clone());
                self.queues.insert(of.clone(), Queue { waiting: [(cost, what)].into(), left: 0, has_turn: false });
            }
        }
    }

    /// Takes what is next.
    pub(crate) fn pop(&mut self) -> Option<T> {
        loop {
            let of = self.order.front()?;
            let queue = self.queues.get_mut(of)?;
            if !queue.has_turn {
                queue.left += self.portion;
                queue.has_turn = true;
            }
            if let Some((_, what)) = queue.waiting.pop_front_if(|(cost, _)| *cost <= queue.left).inspect(|(cost, _)| queue.left -= cost) {
                if queue.waiting.is_empty() {
                    self.queues.remove(of);
                    self.order.pop_front();
                }
                return Some(what);
            }
            queue.has_turn = false;
            self.order.rotate_left(1);
        }
    }

    /// Takes everything, in no certain order.
    pub(crate) fn drain(&mut self) -> impl Iterator<Item = T> + use<K, T> {
        self.order.clear();
        std::mem::take(&mut self.queues).into_values().flat_map(|queue| queue.waiting).map(|(_, what)| what)
    }
}

/// A number of permits that tenants take turns at.
pub(crate) struct Permits<K: Clone + Eq + Hash>(Mutex<State<K>>);

struct State<K: Clone + Eq + Hash> {
    free: usize,
    waiting: Turns<K, oneshot::Sender<Permit<K>>>,
}

/// Leave to do something; given back when dropped.
pub(crate) struct Permit<K: Clone + Eq + Hash>(Option<Arc<Permits<K>>>);

impl<K: Clone + Eq + Hash> Permits<K> {
    pub(crate) fn new(count: usize) -> Self {
        Self(Mutex::new(State { free: count.max(1), waiting: Turns::new(1) }))
    }

    /// Waits for a permit. Who stops waiting gets none.
    pub(crate) async fn acquire(self: &Arc<Self>, of: &K) -> Permit<K> {
        let turn = {
            let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            if state.free > 0 {
                state.free -= 1;
                return Permit(Some(Arc::clone(self)));
            }
            let (sender, turn) = oneshot::channel();
            state.waiting.push(of, 1, sender);
            turn
        };
        turn.await.expect("a permit that is given back goes to who waits")
    }

    fn give_back(self: Arc<Self>) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some(next) = state.waiting.pop() {
            match next.send(Permit(Some(Arc::clone(&self)))) {
                Ok(()) => return,
                // It does not wait any more. Dropped as it is, the permit would come back here.
                Err(mut permit) => drop(permit.0.take()),
            }
        }
        state.free += 1;
    }
}

impl<K: Clone + Eq + Hash> Drop for Permit<K> {
    fn drop(&mut self) {
        if let Some(permits) = self.0.take() {
            permits.give_back();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tenants_take_turns_and_keep_their_own_order() {
        let mut turns = Turns::new(1);
        (0..5).for_each(|number| turns.push(&"busy", 1, ("busy", number)));
        turns.push(&"quiet", 1, ("quiet", 0));
        turns.push(&"other", 1, ("other", 0));
        turns.push(&"quiet", 1, ("quiet", 1));
        let order: Vec<_> = std::iter::from_fn(|| turns.pop()).collect();
        let expected = [("busy", 0), ("quiet", 0), ("other", 0), ("busy", 1), ("quiet", 1), ("busy", 2), ("busy", 3), ("busy", 4)];
        assert_eq!(order, expected);
        assert!(turns.queues.is_empty() && turns.order.is_empty());
    }

    #[test]
    fn what_costs_much_waits_behind_what_costs_little() {
        let mut turns = Turns::new(100);
        turns.push(&"bulk", 950, "large");
        (0..30).for_each(|_| turns.push(&"quiet", 50, "small"));
        let order: Vec<_> = std::iter::from_fn(|| turns.pop()).collect();
        assert_eq!(order.iter().position(|what| *what == "large"), Some(18), "two small ones in each of nine turns");
        // Alone it goes at once, however much it costs, and what is behind it is of its own tenant.
        turns.push(&"bulk", usize::MAX, "large");
        turns.push(&"bulk", 1, "small");
        assert_eq!((turns.pop(), turns.pop(), turns.pop()), (Some("large"), Some("small"), None));
    }

    #[test]
    fn everything_can_be_taken_out() {
        let mut turns = Turns::new(1);
        [("a", 1), ("b", 2), ("a", 3)].iter().for_each(|(of, what)| turns.push(of, 1, *what));
        let mut all: Vec<_> = turns.drain().collect();
        all.sort_unstable();
        assert_eq!((all, turns.pop()), (vec![1, 2, 3], None));
    }

    #[tokio::test]
    async fn permits_go_round() {
        let (permits, told) = (Arc::new(Permits::new(1)), Mutex::new(Vec::new()));
        let first = permits.acquire(&"busy").await;
        let wait = async |of: &'static str| {
            let _permit = permits.acquire(&of).await;
            told.lock().unwrap_or_else(PoisonError::into_inner).push(of);
        };
        // One that stops waiting gets none.
        tokio::select! { biased; () = wait("busy") => panic!("there is none to be had"), () = async {} => {} }
        tokio::join!(wait("busy"), wait("busy"), wait("quiet"), async { drop(first) });
        assert_eq!(told.into_inner().unwrap_or_else(PoisonError::into_inner), ["quiet", "busy", "busy"]);
        assert_eq!(permits.0.lock().unwrap_or_else(PoisonError::into_inner).free, 1);
    }
}
