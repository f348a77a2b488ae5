//! Assigns cores: first to the broker's shards, then to the generators, so that neither takes the
//! other's time.

use crate::cli::Spin;

/// Cores by role.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CorePlan {
    /// The broker's, one per shard; empty leaves them to the broker.
    pub broker: Vec<usize>,
    /// The generators', one per thread.
    pub generators: Vec<Option<usize>>,
}

impl CorePlan {
    /// The plan for the program's own broker beside the generators.
    #[must_use]
    pub(crate) fn for_quick(shards: u32, threads: u32) -> Self {
        Self::deal(&available(), shards as usize, threads as usize)
    }

    /// The plan for generators alone. They get the last cores, because core 0 takes most
    /// interrupts. The no-op target gets the first core.
    #[must_use]
    pub(crate) fn for_run(threads: u32) -> Self {
        let cores = available();
        let threads = threads as usize;
        let free = cores.len() > threads;
        let generators = (0..threads)
            .map(|index| cores.iter().rev().nth(index).copied().filter(|_| free))
            .collect();
        Self { broker: cores.first().copied().filter(|_| free).into_iter().collect(), generators }
    }

    /// The plan of one of several generator processes: `skip` of the `whole` cores are the others'.
    #[must_use]
    pub(crate) fn for_part(threads: u32, skip: u32, whole: u32) -> Self {
        let mut plan = Self::for_run(whole.max(threads));
        plan.generators =
            plan.generators.into_iter().skip(skip as usize).take(threads as usize).collect();
        plan
    }

    /// The same with one more thread beside the generators, where one consumes, and its core.
    #[must_use]
    pub(crate) fn with_consumers(threads: u32, consumes: bool) -> (Self, Option<usize>) {
        let mut plan = Self::for_run(threads + u32::from(consumes));
        let core = if consumes { plan.generators.pop().flatten() } else { None };
        (plan, core)
    }

    fn deal(cores: &[usize], shards: usize, threads: usize) -> Self {
        if cores.len() < shards + threads {
            let broker = cores
                .iter()
                .copied()
                .take(shards.min(cores.len().saturating_sub(1)))
                .collect::<Vec<_>>();
            let rest = cores.iter().copied().skip(broker.len().min(cores.len().saturating_sub(1)));
            // Too few cores: share what is left after the broker, or leave all to the scheduler on
            // one core.
            let rest: Vec<Option<usize>> =
                if cores.len() < 2 { vec![None] } else { rest.map(Some).collect() };
            let generators = (0..threads).map(|index| rest[index % rest.len()]).collect();
            return Self { broker, generators };
        }
        let generators = cores[shards..shards + threads].iter().copied().map(Some).collect();
        Self { broker: cores[..shards].to_vec(), generators }
    }

    /// The broker's cores as its configuration wants them.
    #[must_use]
    pub(crate) fn broker_list(&self) -> Option<String> {
        let list: Vec<String> = self.broker.iter().map(usize::to_string).collect();
        (!list.is_empty()).then(|| list.join(","))
    }

    /// Whether every generator has a core to itself.
    #[must_use]
    pub(crate) fn generators_alone(&self) -> bool {
        let mut seen = self.broker.clone();
        self.generators.iter().all(|core| {
            let alone = core.is_some_and(|core| !seen.contains(&core));
            seen.extend(core);
            alone
        })
    }

    /// Whether generators spin, given the user's choice.
    #[must_use]
    pub(crate) fn spins(&self, wish: Spin) -> bool {
        match wish {
            Spin::Always => true,
            Spin::Never => false,
            Spin::Auto => self.generators_alone(),
        }
    }

    /// One line for the user, printed before the run.
    #[must_use]
    pub(crate) fn sentence(&self) -> String {
        let list = |cores: &[Option<usize>]| {
            let names: Vec<String> = cores
                .iter()
                .map(|core| core.map_or_else(|| "any".into(), |core| core.to_string()))
                .collect();
            names.join(",")
        };
        let broker: Vec<Option<usize>> = self.broker.iter().copied().map(Some).collect();
        format!(
            "broker on core {}, generator on core {}",
            if broker.is_empty() { "any".into() } else { list(&broker) },
            list(&self.generators)
        )
    }

    /// A note for the result when there were too few cores.
    #[must_use]
    pub(crate) fn note(&self) -> Option<String> {
        (!self.generators_alone()).then(|| {
            "too few cores: broker and generator share them, so \
            both the rate and the times are worse than the broker's own"
                .into()
        })
    }
}

fn available() -> Vec<usize> {
    core_affinity::get_core_ids().unwrap_or_default().into_iter().map(|core| core.id).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn broker_and_generators_get_cores_of_their_own_when_there_are_enough() {
        let plan = CorePlan::deal(&[0, 1, 2, 3], 2, 2);
        assert_eq!(
            (plan.broker.clone(), plan.generators.clone()),
            (vec![0, 1], vec![Some(2), Some(3)])
        );
        assert!(plan.generators_alone() && plan.spins(Spin::Auto) && plan.note().is_none());
        assert_eq!(plan.broker_list().as_deref(), Some("0,1"));
    }

    #[test]
    fn two_cores_are_one_each() {
        assert_eq!(
            CorePlan::deal(&[0, 1], 1, 1),
            CorePlan { broker: vec![0], generators: vec![Some(1)] }
        );
    }

    #[test]
    fn one_core_is_shared_without_spinning() {
        let plan = CorePlan::deal(&[0], 1, 1);
        assert_eq!(plan.generators, [None]);
        assert!(!plan.spins(Spin::Auto) && plan.note().is_some());
    }

    #[test]
    fn too_many_threads_share_what_is_left() {
        let plan = CorePlan::deal(&[0, 1], 1, 3);
        assert_eq!(plan.generators, [Some(1), Some(1), Some(1)]);
        assert!(!plan.generators_alone());
    }
}
