//! The gate's state: its number, and what threads that come to it do.
//!
//! ```text
//!                 close: the next gate
//!        ┌───────────────────────────────────┐
//!        │                                   ▼
//!      Back ◀──────────────────────────── Closed ────────────────▶ Out
//!        │   open: it was refused            │   open: for good     │
//!   who comes returns                  who comes waits         who comes ends
//! ```
//!
//! A thread comes when the signal reaches it. This may be long after the signal was sent: at another gate than the one that
//! it was called to, or at none. The thread waits while the state is the one that it saw, so that the next gate, if it is
//! closed meanwhile, is not taken for the one that was opened: the thread comes to that one anew.

/// The whole state in one word, for a futex: the direction in the two lowest bits, the number of the gate above.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct State(u32);

/// What threads that come do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Direction {
    /// They return from the handler and continue as before.
    Back,
    /// They wait.
    Closed,
    /// They end.
    Out,
}

const DIRECTION: u32 = 3;
const NEXT: u32 = 4;

impl State {
    /// The state before any gate was closed.
    pub(super) const FIRST: Self = Self(Direction::Back as u32);

    pub(super) const fn from_bits(bits: u32) -> Self {
        Self(bits)
    }

    pub(super) const fn bits(self) -> u32 {
        self.0
    }

    pub(super) const fn direction(self) -> Direction {
        match self.0 & DIRECTION {
            1 => Direction::Closed,
            2 => Direction::Out,
            _ => Direction::Back,
        }
    }

    /// The next gate, closed.
    pub(super) const fn next(self) -> Self {
        Self((self.0 & !DIRECTION).wrapping_add(NEXT) | Direction::Closed as u32)
    }

    /// This gate, open.
    pub(super) const fn opened(self, direction: Direction) -> Self {
        Self(self.0 & !DIRECTION | direction as u32)
    }

    /// The entry in the roll for a thread that came to this gate, open or not.
    pub(super) fn place(self, thread: i32) -> u64 {
        u64::from(self.0 & !DIRECTION) << 32 | u64::from(thread as u32)
    }
}

#[cfg(test)]
mod tests {
    //! The test tries every order of the steps of a thread that closes gates and of the threads that come.

    use std::collections::HashSet;

    use super::*;

    const THREADS: usize = 2;
    const ROOM: usize = 3;
    const ROUNDS: u8 = 3;

    /// The step that a thread is at: see `stop_here` and `wait_at`.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
    enum Thread {
        Runs,
        Enters,
        Counts(State),
        Writes(State, usize),
        Waits(State),
        Ended,
    }

    /// The step that the closer is at: see `Gate` and `Parked`.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
    enum Closer {
        Resets,
        Clears(usize),
        Closes,
        Calls(usize),
        Looks,
        /// All threads have been seen.
        Holds,
        Done,
    }

    #[derive(Clone, Debug, PartialEq, Eq, Hash)]
    struct World {
        state: State,
        arrived: usize,
        places: [u64; ROOM],
        threads: [Thread; THREADS],
        /// Signals that were sent and have not arrived.
        pending: [u8; THREADS],
        closer: Closer,
        rounds: u8,
    }

    impl World {
        fn has(&self, thread: usize) -> bool {
            let place = self.state.place(thread as i32 + 1);
            self.places
                .iter()
                .take(self.arrived)
                .any(|&found| found == place)
        }

        /// All worlds that one step of one thread can lead to.
        fn next(&self) -> Vec<Self> {
            let mut next = Vec::new();
            for thread in 0..THREADS {
                next.extend(self.step_of(thread));
            }
            self.steps_of_closer(&mut next);
            next
        }

        fn step_of(&self, thread: usize) -> Option<Self> {
            let mut world = self.clone();
            world.threads[thread] = match self.threads[thread] {
                // Signals are blocked in the handler, so a signal arrives only here.
                Thread::Runs if self.pending[thread] > 0 => {
                    world.pending[thread] -= 1;
                    Thread::Enters
                }
                Thread::Enters => match self.state.direction() {
                    Direction::Closed => Thread::Counts(self.state),
                    Direction::Out => Thread::Ended,
                    Direction::Back => Thread::Runs,
                },
                Thread::Counts(gate) => {
                    world.arrived += 1;
                    Thread::Writes(gate, self.arrived)
                }
                Thread::Writes(gate, index) => {
                    if let Some(place) = world.places.get_mut(index) {
                        *place = gate.place(thread as i32 + 1);
                    }
                    Thread::Waits(gate)
                }
                Thread::Waits(gate) if self.state != gate => Thread::Enters,
                Thread::Runs | Thread::Waits(_) | Thread::Ended => return None,
            };
            Some(world)
        }

        fn steps_of_closer(&self, next: &mut Vec<Self>) {
            let mut world = self.clone();
            let open = |direction| {
                let mut world = self.clone();
                world.state = self.state.opened(direction);
                world.closer = match direction {
                    Direction::Back if self.rounds < ROUNDS => Closer::Resets,
                    _ => Closer::Done,
                };
                world
            };
            world.closer = match self.closer {
                Closer::Resets => {
                    world.arrived = 0;
                    world.rounds += 1;
                    Closer::Clears(0)
                }
                Closer::Clears(index) => {
                    world.places[index] = 0;
                    match index + 1 {
                        ROOM => Closer::Closes,
                        index => Closer::Clears(index),
                    }
                }
                Closer::Closes => {
                    world.state = self.state.next();
                    Closer::Calls(0)
                }
                Closer::Calls(thread) => {
                    if !self.has(thread) {
                        world.pending[thread] += 1;
                    }
                    match thread + 1 {
                        THREADS => Closer::Looks,
                        thread => Closer::Calls(thread),
                    }
                }
                Closer::Looks => {
                    // The closer may give up at any time.
                    next.push(open(Direction::Back));
                    if !(0..THREADS).all(|thread| self.has(thread)) {
                        return;
                    }
                    Closer::Holds
                }
                Closer::Holds => {
                    next.extend([open(Direction::Back), open(Direction::Out)]);
                    return;
                }
                Closer::Done => return,
            };
            next.push(world);
        }

        fn check(&self) {
            if self.closer == Closer::Holds {
                let waits = |thread: &Thread| *thread == Thread::Waits(self.state);
                assert!(self.threads.iter().all(waits), "somebody runs: {self:?}");
            }
        }

        /// When nothing happens any more, every thread is where the last gate led.
        fn check_end(&self) {
            let expected = match self.state.direction() {
                Direction::Back => Thread::Runs,
                Direction::Out => Thread::Ended,
                Direction::Closed => panic!("it stays closed: {self:?}"),
            };
            assert!(
                self.threads.iter().all(|thread| *thread == expected),
                "{self:?}"
            );
        }
    }

    #[test]
    fn however_the_steps_follow_one_another_nobody_runs_while_all_are_held() {
        let first = World {
            state: State::FIRST,
            arrived: 0,
            places: [0; ROOM],
            threads: [Thread::Runs; THREADS],
            pending: [0; THREADS],
            closer: Closer::Resets,
            rounds: 0,
        };
        let mut seen = HashSet::from([first.clone()]);
        let mut open = vec![first];
        let mut ends = 0;
        while let Some(world) = open.pop() {
            world.check();
            let next = world.next();
            if next.is_empty() {
                world.check_end();
                ends += 1;
            }
            open.extend(next.into_iter().filter(|world| seen.insert(world.clone())));
        }
        assert!(
            seen.len() > 10_000 && ends > 1,
            "{} worlds, {ends} ends",
            seen.len()
        );
    }

    #[test]
    fn gates_have_numbers_that_come_round() {
        let last = State::from_bits(!DIRECTION);
        assert_eq!(last.next().opened(Direction::Back), State::FIRST);
        assert_ne!(last.place(7), last.next().place(7));
    }
}
