//! Processor facts: model, frequency policy, SMT, NUMA, clock source.

use super::text;
use serde::{Deserialize, Serialize};

/// The processor as the kernel sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Cpu {
    /// Model name.
    pub model: Option<String>,
    /// Logical cores this process may use.
    pub cores: Option<usize>,
    /// The hypervisor bit: this is a virtual machine.
    pub virtual_machine: Option<bool>,
    /// Frequency governor of core 0.
    pub governor: Option<String>,
    /// `on`, `off`, `notsupported`…
    pub smt: Option<String>,
    /// NUMA nodes, as `0-1`.
    pub numa_nodes: Option<String>,
    /// The kernel's clock source.
    pub clocksource: Option<String>,
    /// Cores isolated from the scheduler.
    pub isolated: Option<String>,
    /// Deepest sleep state allowed: names of the enabled states of core 0.
    pub idle_driver: Option<String>,
}

impl Cpu {
    /// Reads this host.
    #[must_use]
    pub fn collect() -> Self {
        let info = text("/proc/cpuinfo");
        Self {
            model: info.as_deref().and_then(model),
            cores: std::thread::available_parallelism().ok().map(usize::from),
            virtual_machine: info.as_deref().map(virtual_machine),
            governor: text("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
            smt: text("/sys/devices/system/cpu/smt/control"),
            numa_nodes: text("/sys/devices/system/node/online"),
            clocksource: text("/sys/devices/system/clocksource/clocksource0/current_clocksource"),
            isolated: text("/sys/devices/system/cpu/isolated"),
            idle_driver: text("/sys/devices/system/cpu/cpuidle/current_driver"),
        }
    }
}

fn field<'a>(cpuinfo: &'a str, name: &str) -> Option<&'a str> {
    let line = cpuinfo
        .lines()
        .find(|line| line.split(':').next().is_some_and(|key| key.trim() == name))?;
    line.split_once(':').map(|(_, value)| value.trim())
}

/// The model name; ARM kernels say less and get their implementer and part.
fn model(cpuinfo: &str) -> Option<String> {
    let arm = || {
        Some(format!(
            "ARM implementer {} part {}",
            field(cpuinfo, "CPU implementer")?,
            field(cpuinfo, "CPU part")?
        ))
    };
    field(cpuinfo, "model name").map(str::to_owned).or_else(arm)
}

fn virtual_machine(cpuinfo: &str) -> bool {
    field(cpuinfo, "flags")
        .is_some_and(|flags| flags.split_whitespace().any(|flag| flag == "hypervisor"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn model_and_hypervisor_come_from_the_fixture() {
        let info = include_str!("../../tests/fixtures/cpuinfo-vm.txt");
        assert_eq!(model(info).as_deref(), Some("Intel(R) Xeon(R) Processor"));
        assert!(virtual_machine(info));
        let arm = include_str!("../../tests/fixtures/cpuinfo-arm.txt");
        assert_eq!(model(arm).as_deref(), Some("ARM implementer 0x41 part 0xd0c"));
        assert!(!virtual_machine(arm));
        assert_eq!(model("garbage"), None);
    }
}
