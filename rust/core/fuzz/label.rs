//! Whatever the labels and the metadata: each charge is booked under its own, to the byte.
#![no_main]

use std::collections::HashMap;
use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use outlay_core::{Config, Labels, Ledger, NewWallet};

type Call<'a> = ([Option<&'a str>; 4], Option<&'a [u8]>);

fuzz_target!(|calls: Vec<Call<'_>>| {
    let ledger = Ledger::new(Config::default());
    let new = NewWallet {
        parent: None,
        name: "task",
        budget: calls.len() as u64,
        shared: false,
        hard: true,
        metadata: None,
    };
    let task = ledger.create(new).expect("a task wallet");
    let mut counts = HashMap::new();
    for (labels, blob) in &calls {
        let [service, agent, run, model] = labels.map(|label| label.map(Arc::from));
        let labels = Labels { service, agent, run, model };
        let id = ledger.labels(labels.clone()).expect("room for a label set");
        assert_eq!(*ledger.labels_of(id), labels);
        ledger.spend(task, 1, id, blob.map(Into::into)).expect("a charge");
        *counts.entry(labels).or_insert(0) += 1;
    }
    let charges = ledger.charges(task, u64::MAX);
    assert_eq!(charges.len(), calls.len());
    for (charge, (labels, blob)) in charges.iter().zip(&calls) {
        let booked = ledger.labels_of(charge.labels);
        let booked = [&booked.service, &booked.agent, &booked.run, &booked.model];
        assert_eq!(booked.map(Option::as_deref), *labels);
        assert_eq!(charge.blob.as_deref(), *blob);
    }
    let rows = ledger.statement(task);
    let lines: HashMap<_, _> = rows[0]
        .lines
        .iter()
        .map(|line| (ledger.labels_of(line.labels).clone(), line.spent))
        .collect();
    assert_eq!(lines, counts);
    assert_eq!(ledger.audit(), []);
});
