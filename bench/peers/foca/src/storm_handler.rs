use std::{cell::RefCell, rc::Rc, time::Instant};

use foca::{BroadcastHandler, Invalidates};

use crate::identity::Id;

pub const PAYLOAD_BYTES: usize = 256;

/// What is common to all nodes: when which broadcast was sent, and how long it took to whom.
#[derive(Default)]
pub struct Tally {
    pub sent_at: Vec<Instant>,
    pub latency_ms: Vec<f64>,
    pub duplicates: u64,
}

/// Which broadcasts a node has got. Foca leaves that to its user.
pub struct Receipts {
    pub tally: Rc<RefCell<Tally>>,
    got: Vec<bool>,
}

impl Receipts {
    pub fn new(tally: Rc<RefCell<Tally>>) -> Self {
        Self { tally, got: Vec::new() }
    }
}

/// Nothing replaces a broadcast of the storm.
pub struct Key;

impl Invalidates for Key {
    fn invalidates(&self, _other: &Self) -> bool {
        false
    }
}

impl BroadcastHandler<Id> for Receipts {
    type Key = Key;
    type Error = std::io::Error;

    fn receive_item(&mut self, data: &[u8], sender: Option<&Id>) -> Result<Option<Key>, Self::Error> {
        let Some(head) = data.first_chunk::<4>() else {
            return Err(std::io::Error::other("a broadcast without a number"));
        };
        let index = u32::from_be_bytes(*head) as usize;
        if self.got.len() <= index {
            self.got.resize(index + 1, false);
        }
        let mut tally = self.tally.borrow_mut();
        if std::mem::replace(&mut self.got[index], true) {
            tally.duplicates += 1;
            return Ok(None);
        }
        if sender.is_some() {
            let age = tally.sent_at[index].elapsed().as_secs_f64();
            tally.latency_ms.push(1000.0 * age);
        }
        Ok(Some(Key))
    }
}
