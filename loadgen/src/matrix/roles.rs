//! Cores for the three roles on one machine: master, slave, generators.

use crate::cores::CorePlan;

/// Who runs where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Roles {
    /// The master's core; `None`: the scheduler's choice.
    pub master: Option<usize>,
    /// The slave's.
    pub slave: Option<usize>,
    /// The generators', and the servers' as the floor and the result know them.
    pub plan: CorePlan,
    /// What the reader has to know when there were too few cores.
    pub note: Option<String>,
}

impl Roles {
    /// For servers of its own beside so many generators.
    pub(super) fn of_own(threads: u32) -> Self {
        Self::deal(&available(), threads as usize)
    }

    /// For clusters that run already: the generators' cores alone.
    pub(super) fn of_others(threads: u32) -> Self {
        Self { master: None, slave: None, plan: CorePlan::for_run(threads), note: None }
    }

    /// A core for each role; with too few, master and slave are kept apart as far as there are two,
    /// and the generators go where the scheduler puts them, without spinning.
    fn deal(cores: &[usize], threads: usize) -> Self {
        let (master, slave) = match cores {
            [] | [_] => (None, None),
            [master, slave, ..] => (Some(*master), Some(*slave)),
        };
        let servers: Vec<usize> = [master, slave].into_iter().flatten().collect();
        let enough = cores.len() >= threads + 2;
        let generators =
            (0..threads).map(|at| cores.get(at + 2).copied().filter(|_| enough)).collect();
        let note = (!enough).then(|| {
            format!(
                "too few cores: master, slave and {threads} generator thread{} share {}; rates are \
                 lower and times longer than with a core each, and a slave takes from the \
                 generator what it needs",
                if threads == 1 { "" } else { "s" },
                cores.len()
            )
        });
        Self { master, slave, plan: CorePlan { broker: servers, generators }, note }
    }

    /// One line for the user, before the run.
    pub(super) fn sentence(&self) -> String {
        let name = |core: Option<usize>| core.map_or_else(|| "any".into(), |at| at.to_string());
        let generators: Vec<String> = self.plan.generators.iter().map(|at| name(*at)).collect();
        format!(
            "master on core {}, slave on core {}, generator on core {}",
            name(self.master),
            name(self.slave),
            generators.join(",")
        )
    }
}

fn available() -> Vec<usize> {
    core_affinity::get_core_ids().unwrap_or_default().into_iter().map(|core| core.id).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_role_has_a_core_of_its_own_when_there_are_enough() {
        let roles = Roles::deal(&[0, 1, 2, 3], 2);
        assert_eq!((roles.master, roles.slave), (Some(0), Some(1)));
        assert_eq!(roles.plan.generators, [Some(2), Some(3)]);
        assert!(roles.note.is_none() && roles.plan.generators_alone());
    }

    #[test]
    fn too_few_cores_are_said_and_the_generator_does_not_spin() {
        for cores in [&[0, 1][..], &[0], &[]] {
            let roles = Roles::deal(cores, 1);
            assert!(roles.note.as_ref().is_some_and(|note| note.starts_with("too few cores")));
            assert!(!roles.plan.generators_alone(), "{cores:?}");
            assert_eq!(roles.master.is_some(), cores.len() == 2);
        }
    }
}
