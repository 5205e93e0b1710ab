//! Who is next: inquiries that wait, fair between tenants.

use std::collections::{BTreeMap, HashMap, VecDeque};

use crate::journal::InquiryId;

/// An inquiry that waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Waiting {
    pub(super) inquiry: InquiryId,
    pub(super) tenant: String,
    /// How often driving it has failed.
    pub(super) failures: u32,
}

/// Waiting inquiries by tenant, each tenant's in the order in which they came. Tenants take turns.
#[derive(Debug, Default)]
pub(super) struct Queue {
    by_tenant: BTreeMap<String, VecDeque<Waiting>>,
    /// Tenants with waiting inquiries, the next one first.
    turns: VecDeque<String>,
    /// The tenant of each waiting inquiry.
    tenants: HashMap<InquiryId, String>,
}

impl Queue {
    pub(super) fn len(&self) -> usize {
        self.tenants.len()
    }

    pub(super) fn contains(&self, inquiry: &str) -> bool {
        self.tenants.contains_key(inquiry)
    }

    /// Add one at the end of its tenant's line. One that waits already keeps its place.
    pub(super) fn push(&mut self, waiting: Waiting) {
        if self.contains(&waiting.inquiry) {
            return;
        }
        self.tenants.insert(waiting.inquiry.clone(), waiting.tenant.clone());
        let line = self.by_tenant.entry(waiting.tenant.clone()).or_default();
        if line.is_empty() {
            self.turns.push_back(waiting.tenant.clone());
        }
        line.push_back(waiting);
    }

    /// The next one, of the tenant whose turn it is.
    pub(super) fn pop(&mut self) -> Option<Waiting> {
        let tenant = self.turns.pop_front()?;
        let line = self.by_tenant.get_mut(&tenant)?;
        let waiting = line.pop_front()?;
        if line.is_empty() {
            self.by_tenant.remove(&tenant);
        } else {
            self.turns.push_back(tenant);
        }
        self.tenants.remove(&waiting.inquiry);
        Some(waiting)
    }

    /// Take one out of its turn.
    pub(super) fn take(&mut self, inquiry: &str) -> Option<Waiting> {
        let tenant = self.tenants.remove(inquiry)?;
        let line = self.by_tenant.get_mut(&tenant)?;
        let position = line.iter().position(|waiting| waiting.inquiry == inquiry)?;
        let waiting = line.remove(position);
        if line.is_empty() {
            self.by_tenant.remove(&tenant);
            self.turns.retain(|turn| *turn != tenant);
        }
        waiting
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queue(inquiries: &[(&str, &str)]) -> Queue {
        let mut queue = Queue::default();
        for (tenant, inquiry) in inquiries {
            queue.push(Waiting { inquiry: (*inquiry).to_owned(), tenant: (*tenant).to_owned(), failures: 0 });
        }
        queue
    }

    fn drain(queue: &mut Queue) -> Vec<String> {
        std::iter::from_fn(|| queue.pop()).map(|waiting| waiting.inquiry).collect()
    }

    #[test]
    fn tenants_take_turns_and_each_keeps_its_order() {
        let mut queue =
            queue(&[("a", "a1"), ("a", "a2"), ("a", "a3"), ("b", "b1"), ("c", "c1"), ("c", "c2")]);
        assert_eq!(drain(&mut queue), ["a1", "b1", "c1", "a2", "c2", "a3"]);
        assert_eq!((queue.len(), queue.turns.len(), queue.by_tenant.len()), (0, 0, 0));
    }

    #[test]
    fn one_waits_once_and_can_be_taken_out() {
        let mut queue = queue(&[("a", "a1"), ("a", "a1"), ("b", "b1")]);
        assert_eq!(queue.len(), 2);
        assert_eq!(queue.take("a1").map(|waiting| waiting.inquiry).as_deref(), Some("a1"));
        assert_eq!(queue.take("a1"), None);
        assert_eq!(drain(&mut queue), ["b1"]);
    }
}
