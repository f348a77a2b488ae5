//! How a name server and a broker of either target are started, and with which configuration.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::artifacts::{Artifacts, seed_config};
use crate::options::Against;
use crate::ports::Ports;
use crate::process::Stop;

/// Where a broker's configuration comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Config {
    /// Written by us for the cluster's ports; with this many shards.
    Generated {
        /// RingMQ's `shardCount`; of Apache, so many brokers, each the master of its own name.
        shards: u16,
    },
    /// The same for the fixture: without the time wheel, 38 MB of zeros.
    FixtureFiles,
    /// Written by us, with store files so small that a few hundred messages fill several of each
    /// kind.
    SmallFiles,
    /// The same, but for the files, with lite topics.
    Lite,
    /// The seed's `broker-a.properties`.
    Seed,
    /// Bound to 127.0.0.1, advertised as 127.0.0.2, where a recording proxy listens on the same
    /// port.
    BehindProxy,
}

/// One server's surroundings.
#[derive(Debug)]
pub(crate) struct Target<'a> {
    /// Whose servers.
    pub(crate) against: Against,
    /// What was built.
    pub(crate) artifacts: &'a Artifacts,
    /// This cluster's folder: configurations, stores, logs, and the home of its processes.
    pub(crate) dir: PathBuf,
    /// `ROCKETMQ` or nothing: what Apache's servers write their headers in.
    pub(crate) serialize: Option<&'static str>,
}

/// Small heaps, quick start: these JVMs live for seconds.
pub(crate) const JVM_QUICK: [&str; 3] =
    ["-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto"];

impl Target<'_> {
    /// A name server on this port.
    pub(crate) fn namesrv(&self, port: u16, config: Config) -> Result<Command, Stop> {
        let file = self.dir.join(format!("namesrv-{port}.properties"));
        let home = self.home(&format!("namesrv-{port}"))?;
        let bind = if config == Config::BehindProxy { "bindAddress=127.0.0.1\n" } else { "" };
        write(
            &file,
            &format!(
                "listenPort={port}\nkvConfigPath={}\n{bind}",
                home.join("kvConfig.json").display()
            ),
        )?;
        let mut command = if self.against.our_namesrv() {
            Command::new(self.artifacts.ringmq("mqnamesrv")?)
        } else {
            self.java(&home, "-Xmx128m", "org.apache.rocketmq.namesrv.NamesrvStartup")
        };
        command.arg("-c").arg(file).env("HOME", &home).env("ROCKETMQ_HOME", &home);
        Ok(command)
    }

    /// The broker process of the cluster on these ports; `nth` counts Apache's masters from 0.
    pub(crate) fn broker(&self, ports: Ports, config: Config, nth: u16) -> Result<Command, Stop> {
        let home = self.home(broker_home(nth))?;
        let file = self.broker_config(ports.of_broker(nth), config, nth, &home)?;
        self.broker_of(&home, &file)
    }

    fn broker_of(&self, home: &Path, file: &Path) -> Result<Command, Stop> {
        let mut command = if self.against.our_broker() {
            Command::new(self.artifacts.ringmq("mqbroker")?)
        } else {
            self.java(home, "-Xmx1g", "org.apache.rocketmq.broker.BrokerStartup")
        };
        command.arg("-c").arg(file).env("HOME", home).env("ROCKETMQ_HOME", home);
        Ok(command)
    }

    /// The slave of the broker with small files, or the master that it has become; `role` are the
    /// lines of its configuration that say which.
    pub(crate) fn second(&self, ports: Ports, role: &str) -> Result<Command, Stop> {
        let file = self.second_config(ports, role)?;
        self.broker_of(&self.home(SLAVE_HOME)?, &file)
    }

    /// Its configuration file.
    pub(crate) fn second_config(&self, ports: Ports, role: &str) -> Result<PathBuf, Stop> {
        let home = self.home(SLAVE_HOME)?;
        let file = self.dir.join(format!("{SLAVE_HOME}.properties"));
        let text = small_files(self.against, ports, &home).replace("brokerId=0\n", role);
        write(&file, &text)?;
        Ok(file)
    }

    /// Apache's `mqadmin` as a command line without spaces in its words.
    pub(crate) fn mqadmin(&self) -> String {
        let options = [JVM_QUICK.join(" "), "-Xmx128m".to_owned()].join(" ");
        let home = self.dir.display();
        format!(
            "java {options} -Duser.home={home} -Drocketmq.home.dir={home} -cp {} \
             org.apache.rocketmq.tools.command.MQAdminStartup",
            self.artifacts.apache_classpath()
        )
    }

    fn home(&self, name: &str) -> Result<PathBuf, Stop> {
        let home = self.dir.join(name);
        fs::create_dir_all(&home)
            .map_err(Stop::while_doing(format!("creating {}", home.display())))?;
        Ok(home)
    }

    fn java(&self, home: &Path, heap: &str, main_class: &str) -> Command {
        let mut command = Command::new("java");
        command
            .args(JVM_QUICK)
            .args([heap, "-XX:MaxDirectMemorySize=512m"])
            .arg(format!("-Duser.home={}", home.display()))
            .args(self.serialize.map(|name| format!("-Drocketmq.serialize.type={name}")))
            .args([
                "--add-opens=java.base/java.nio=ALL-UNNAMED",
                "--add-opens=java.base/sun.nio.ch=ALL-UNNAMED",
            ])
            .args([
                "--add-opens=java.base/java.lang=ALL-UNNAMED",
                "--add-exports=java.base/jdk.internal.ref=ALL-UNNAMED",
            ])
            .args(["-cp", &self.artifacts.apache_classpath(), main_class]);
        command
    }

    fn broker_config(
        &self,
        ports: Ports,
        config: Config,
        nth: u16,
        home: &Path,
    ) -> Result<PathBuf, Stop> {
        let name = master_name(nth);
        let file = self.dir.join(format!("{name}.properties"));
        let text = match config {
            Config::Generated { shards } => generated(self.against, ports, shards, home, DIRECT)
                .replace("brokerName=broker-a\n", &format!("brokerName={name}\n")),
            Config::SmallFiles => small_files(self.against, ports, home),
            Config::Lite => generated(self.against, ports, 1, home, DIRECT) + LITE,
            // Without the 38 MB of a timer wheel.
            Config::FixtureFiles => {
                small_files(self.against, ports, home) + "timerWheelEnable=false\n"
            }
            Config::BehindProxy => generated(self.against, ports, 1, home, PROXIED),
            Config::Seed if self.against.our_broker() => return Ok(seed_config()),
            Config::Seed => {
                let seed = seed_config();
                let printed = fs::read_to_string(&seed)
                    .map_err(Stop::while_doing(format!("reading {}", seed.display())))?;
                without_comments(&printed)
            }
        };
        write(&file, &text)?;
        Ok(file)
    }
}

/// The name of an Apache master, the first one's being that of RingMQ's broker.
pub(crate) fn master_name(nth: u16) -> &'static str {
    if nth == 0 { "broker-a" } else { "broker-b" }
}

/// The folder of a broker process, below the cluster's; also the name of its log.
pub(crate) fn broker_home(nth: u16) -> &'static str {
    if nth == 0 { "broker" } else { master_name(nth) }
}

/// The folder of a broker's slave, below the cluster's; also the name of its log.
pub(crate) const SLAVE_HOME: &str = "slave";

/// Facts of the drop-in store, the same for both makers.
const SMALL_FILES: &str = "mappedFileSizeCommitLog=81920\nmaxMessageSize=4096\n\
    mappedFileSizeConsumeQueue=400\nmaxHashSlotNum=200\nmaxIndexNum=300\n";

/// Lite topics are off by default, in both brokers. Clients that do not come are looked for sooner.
const LITE: &str = "enableLmq=true\nenableMultiDispatch=true\nliteEventCheckInterval=1000\n";

fn small_files(against: Against, ports: Ports, home: &Path) -> String {
    generated(against, ports, 1, home, DIRECT)
        .replace("mappedFileSizeCommitLog=67108864\n", SMALL_FILES)
}

/// How the broker is reached: (its address in the configuration, the host of the name servers).
type Reached = (&'static str, &'static str);
const DIRECT: Reached = ("brokerIP1=127.0.0.1\n", "127.0.0.1");
const PROXIED: Reached =
    ("bindAddress=127.0.0.1\nbrokerIP1=127.0.0.2\nbrokerIP2=127.0.0.2\n", "127.0.0.2");

/// Keys that both targets know; Apache's extras keep its files and start-up small.
fn generated(
    against: Against,
    ports: Ports,
    shards: u16,
    home: &Path,
    (address, host): Reached,
) -> String {
    let store = home.join("store");
    let mut text = format!(
        "brokerClusterName=DefaultCluster\nbrokerName=broker-a\nbrokerId=0\nnamesrvAddr={}\n\
         listenPort={}\n{address}storePathRootDir={}\nautoCreateTopicEnable=true\n\
         mappedFileSizeCommitLog=67108864\nregisterNameServerPeriod=10000\n",
        ports.namesrv_addr(host),
        ports.broker,
        store.display(),
    );
    if !against.our_broker() {
        text += &format!("storePathCommitLog={}\n", store.join("commitlog").display());
    } else if shards > 1 {
        text += &format!("shardCount={shards}\n");
    }
    // Apache's defaults are off, and so are RingMQ's.
    text += "enablePropertyFilter=true\nrecallMessageEnable=true\n";
    // By default every 30 s: no scenario waits that long. Apache keeps op messages for 3 s by
    // default; who is asked meanwhile about what has ended commits it a second time.
    text += "transactionTimeOut=5000\ntransactionCheckInterval=3000\ntransactionCheckMax=200\n";
    if !against.our_broker() {
        text += "transactionOpBatchInterval=300\n";
    }
    text
}

/// Apache takes a trailing `// …` as part of the value and refuses `brokerId`, so the oracle gets
/// the seed without them.
fn without_comments(printed: &str) -> String {
    printed
        .lines()
        .map(|line| format!("{}\n", line.split("//").next().unwrap_or("").trim_end()))
        .collect()
}

fn write(file: &Path, text: &str) -> Result<(), Stop> {
    fs::write(file, text).map_err(Stop::while_doing(format!("writing {}", file.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_seed_without_comments_keeps_its_values() {
        let printed = fs::read_to_string(seed_config()).unwrap();
        assert_eq!(
            without_comments(&printed),
            "brokerClusterName=DefaultCluster\nbrokerName=broker-a\nbrokerId=0\n\
             namesrvAddr=localhost:9876;localhost:9877\n"
        );
    }

    #[test]
    fn only_ringmq_is_told_of_shards() {
        let home = Path::new("home");
        assert!(
            generated(Against::Ringmq, Ports::SEED, 2, home, DIRECT).contains("shardCount=2\n")
        );
        assert!(!generated(Against::Ringmq, Ports::SEED, 1, home, DIRECT).contains("shardCount"));
        assert!(!generated(Against::Apache, Ports::SEED, 2, home, DIRECT).contains("shardCount"));
    }
}
