//! Random operations: the store and the naive program give the same answers, count the same, and
//! have the same state hash exactly when their states are the same.

use proptest::prelude::*;
use xfeed_core::ids::Id;
use xfeed_core::thunder::{PostStore, Record, StoreSettings};

use crate::naive::{Naive, State};
use crate::operations::{DENSE, FAR_APART, Operation, Reading, Spread, WIDE, config, settings};

struct Pair {
    settings: StoreSettings,
    store: PostStore,
    naive: Naive,
    sent: Vec<Record>,
    seen: Vec<(State, String)>,
}

impl Pair {
    fn new(settings: StoreSettings) -> Self {
        let mut store = PostStore::new(settings.clone());
        store.remember_gone();
        Self {
            store,
            naive: Naive::new(settings.clone()),
            settings,
            sent: Vec::new(),
            seen: Vec::new(),
        }
    }

    fn insert(&mut self, record: &Record) {
        let (got, want) = (self.store.insert(record), self.naive.insert(record));
        assert_eq!(got, want, "{record:?}");
    }

    fn apply(&mut self, operation: &Operation) {
        match operation {
            Operation::Insert(record) => {
                self.sent.push(*record);
                self.insert(record);
            }
            Operation::InsertAll(records) => {
                self.sent.extend(records);
                let mut got = Vec::new();
                self.store.insert_all(records, &mut got);
                let want: Vec<_> = records.iter().map(|post| self.naive.insert(post)).collect();
                assert_eq!(got, want);
            }
            Operation::Repeat(index) => {
                if !self.sent.is_empty() {
                    let record = self.sent[index % self.sent.len()];
                    self.insert(&record);
                }
            }
            Operation::SetDeleted(id, at_ms, deleted) => {
                self.store.set_deleted(*id, *at_ms, *deleted);
                self.naive.set_deleted(*id, *at_ms, *deleted);
            }
            Operation::Trim(now_ms) => {
                let gone = self.store.trim(*now_ms);
                let gone = gone.into_iter().map(|(id, author)| (id.0, author.0));
                let gone: std::collections::BTreeMap<u64, u64> = gone.collect();
                assert_eq!(gone, self.naive.trim(*now_ms));
            }
            Operation::Clear => {
                self.store.clear();
                self.naive.clear();
            }
            Operation::Restart => self.restart(),
            Operation::Read(reading) => self.read(reading),
        }
    }

    fn restart(&mut self) {
        let mut bytes = Vec::new();
        self.store.encode(&mut bytes).expect("a vector takes all");
        self.store = PostStore::decode(&mut bytes.as_slice(), self.settings.clone())
            .expect("what was written can be read");
        self.store.remember_gone();
    }

    fn read(&self, reading: &Reading) {
        let request = reading.request();
        assert_eq!(self.store.newest(&request), self.naive.newest(&request));
    }

    fn compare(&self, ids: impl Iterator<Item = u64>) {
        assert_eq!(self.store.counts(), self.naive.counts());
        assert_eq!(self.store.live(), self.naive.live());
        for id in ids.map(Id) {
            assert_eq!(self.store.get(id), self.naive.get(id));
            let record = self.naive.record(id);
            assert_eq!(self.store.record(id), record);
            assert_eq!(self.store.author_of(id), record.map(|record| record.author));
            assert_eq!(self.store.was_deleted(id), self.naive.was_deleted(id));
        }
    }

    /// Equal states have equal hashes, different ones different hashes.
    fn compare_digests(&mut self) {
        let (state, digest) = (self.naive.shown(), self.store.digest());
        for (before, its_digest) in &self.seen {
            assert_eq!(*before == state, *its_digest == digest);
        }
        self.seen.push((state, digest));
    }

    /// What can be asked without knowing what was done.
    fn ask(&self, spread: Spread) {
        let everybody: Vec<u64> = (0..spread.authors).chain([u64::MAX]).collect();
        let all = Reading::of(&everybody);
        self.read(&all);
        self.read(&Reading {
            videos_only: true,
            viewer: Some(Id(0)),
            ..all
        });
    }
}

fn ids_of(spread: Spread) -> impl Iterator<Item = u64> {
    let ends = [i64::MAX as u64, 1 << 63, u64::MAX - 1, u64::MAX];
    (0..spread.posts).chain(ends)
}

fn compare_every_step(spread: Spread, settings: StoreSettings, operations: &[Operation]) {
    let mut pair = Pair::new(settings);
    for operation in operations {
        pair.apply(operation);
        pair.compare(ids_of(spread));
        pair.compare_digests();
        pair.ask(spread);
    }
}

proptest! {
    #![proptest_config(config(250))]

    #[test]
    fn few_ids_every_step_is_compared(
        settings in settings(),
        operations in prop::collection::vec(DENSE.operation(), 1..70),
    ) {
        compare_every_step(DENSE, settings, &operations);
    }

    #[test]
    fn times_far_apart_every_step_is_compared(
        settings in settings(),
        operations in prop::collection::vec(FAR_APART.operation(), 1..70),
    ) {
        compare_every_step(FAR_APART, settings, &operations);
    }
}

proptest! {
    #![proptest_config(config(12))]

    #[test]
    fn long_lists_are_compared_now_and_then(
        settings in settings(),
        operations in prop::collection::vec(WIDE.operation(), 1500..3000),
    ) {
        let mut pair = Pair::new(settings);
        for (step, operation) in operations.iter().enumerate() {
            // A list that is emptied all the time never gets long.
            let is_rare = matches!(operation, Operation::Clear | Operation::Trim(_));
            if !is_rare || step % 16 == 0 {
                pair.apply(operation);
            }
            if step % 500 == 0 {
                pair.compare(ids_of(WIDE));
                pair.ask(WIDE);
            }
        }
        pair.compare(ids_of(WIDE));
        pair.compare_digests();
        pair.ask(WIDE);
    }
}
