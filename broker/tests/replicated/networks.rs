//! Networks of a test's own: the test starts itself again in a namespace, and each broker gets one
//! behind a cable.
//!
//! ```text
//!   this process: name server, senders, checks          routes between the two
//!     10.77.0.1 ──cable── 10.77.0.2  place 0
//!     10.77.1.1 ──cable── 10.77.1.2  place 1
//! ```
//!
//! A cut is a rule of the router: what comes from one place to another is dropped in silence, as by
//! a broken switch. A slow or lossy cable has a token bucket (tbf): bytes queue in it, and are
//! dropped behind its limit.

use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Child, Command, Stdio};

/// Set inside the namespace.
const INSIDE: &str = "REPLICATED_INSIDE";
/// Ways of getting a namespace: as root, and as a user who may be root of one.
const WAYS: [&[&str]; 2] = [
    &["--net", "--mount", "--pid", "--fork", "--mount-proc"],
    &["--map-root-user", "--net", "--mount", "--pid", "--fork", "--mount-proc"],
];

/// Runs `test` in a namespace: this test program again, with the test of this name. Where none can
/// be made the test says so and ends.
pub(crate) fn in_namespace(name: &str, test: impl FnOnce()) {
    if std::env::var(INSIDE).is_ok_and(|inside| inside == name) {
        run("ip", &["link", "set", "lo", "up"]).unwrap();
        let forward = std::fs::write("/proc/sys/net/ipv4/ip_forward", "1");
        forward.expect("a namespace's own switch");
        return test();
    }
    let possible = WAYS.iter().find(|way| can("unshare", &[way, &["ip", "link"][..]].concat()));
    let Some(way) = possible else {
        eprintln!(
            "SKIPPED {name}: this host lets a test make no network namespace (it takes root, or \
             user namespaces, and the programs unshare, nsenter, ip and tc)"
        );
        return;
    };
    let this = std::env::current_exe().unwrap();
    let mut again = Command::new("unshare");
    again.args(*way).arg(this).args(["--exact", name, "--nocapture"]).env(INSIDE, name);
    let status = again.status().unwrap();
    assert!(status.success(), "{name}, in its namespace: {status}");
}

fn can(program: &str, args: &[&str]) -> bool {
    let mut command = Command::new(program);
    command.args(args).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

fn run(program: &str, args: &[&str]) -> Result<(), String> {
    let output = Command::new(program).args(args).output();
    let output = output.map_err(|error| format!("{program}: {error}"))?;
    match output.status.success() {
        true => Ok(()),
        false => {
            Err(format!("{program} {args:?}: {}", String::from_utf8_lossy(&output.stderr).trim()))
        }
    }
}

fn must(line: &str) {
    let words: Vec<&str> = line.split_whitespace().collect();
    run(words[0], &words[1..]).unwrap();
}

/// A namespace behind a cable; it ends with its holder.
pub(crate) struct Place {
    nth: u8,
    holder: Child,
}

impl Place {
    /// Makes it.
    pub(crate) fn new(nth: u8) -> Self {
        let mut holder = Command::new("unshare");
        holder.args(["--net", "--", "sleep", "infinity"]).stdin(Stdio::null());
        let place = Self { nth, holder: holder.spawn().unwrap() };
        // Its namespace is there once it is another one than ours.
        let ours = std::fs::read_link("/proc/self/ns/net").unwrap();
        testkit::eventually("a namespace", || {
            std::fs::read_link(place.path()).is_ok_and(|its| its != ours)
        });
        let (cable, pid) = (place.cable(), place.holder.id());
        must(&format!("ip link add {cable} type veth peer name far{nth}"));
        must(&format!("ip link set far{nth} netns {pid}"));
        must(&format!("ip addr add 10.77.{nth}.1/24 dev {cable}"));
        must(&format!("ip link set {cable} up"));
        for line in [
            "ip link set lo up".to_owned(),
            format!("ip addr add 10.77.{nth}.2/24 dev far{nth}"),
            format!("ip link set far{nth} up"),
            format!("ip route add default via 10.77.{nth}.1"),
        ] {
            must(&format!("{} {line}", place.through().join(" ")));
        }
        place
    }

    fn path(&self) -> String {
        format!("/proc/{}/ns/net", self.holder.id())
    }

    fn cable(&self) -> String {
        format!("near{}", self.nth)
    }

    /// What starts a program in it.
    pub(crate) fn through(&self) -> Vec<String> {
        ["nsenter".to_owned(), format!("--net={}", self.path()), "--".to_owned()].to_vec()
    }

    /// Its address.
    pub(crate) fn ip(&self) -> Ipv4Addr {
        Ipv4Addr::new(10, 77, self.nth, 2)
    }

    /// A port of it.
    pub(crate) fn addr(&self, port: u16) -> SocketAddr {
        (self.ip(), port).into()
    }

    /// Nothing from it arrives at `other` any more.
    pub(crate) fn cut_towards(&self, other: &Self) {
        must(&format!("ip rule add from {} to {} blackhole", self.ip(), other.ip()));
        // Connections have their route; they look again.
        must("ip route flush cache");
    }

    /// The other way round of [`Place::cut_towards`].
    pub(crate) fn mend_towards(&self, other: &Self) {
        must(&format!("ip rule del from {} to {} blackhole", self.ip(), other.ip()));
        must("ip route flush cache");
    }

    /// Both ends of its cable carry `rate`, with `queue` bytes that wait; what comes beyond is
    /// dropped.
    pub(crate) fn throttle(&self, rate: &str, queue: &str) {
        let bucket = format!("root tbf rate {rate} burst 4000 limit {queue}");
        must(&format!("tc qdisc replace dev {} {bucket}", self.cable()));
        let enter = self.through().join(" ");
        must(&format!("{enter} tc qdisc replace dev far{} {bucket}", self.nth));
    }

    /// Its cable is as good as new.
    pub(crate) fn unthrottle(&self) {
        must(&format!("tc qdisc del dev {} root", self.cable()));
        must(&format!("{} tc qdisc del dev far{} root", self.through().join(" "), self.nth));
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _gone_already = self.holder.kill();
        let _gone_already = self.holder.wait();
    }
}
