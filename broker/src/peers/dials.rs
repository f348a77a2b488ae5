//! Why the broker dials a peer. The purpose travels through the network as the dial's tag.
//!
//! ```text
//!   63          32 31             0
//!   | purpose u32 | index u32       |   index: which of that purpose, in the configuration's order
//! ```

/// See the module's text. More purposes come with what needs them: a controller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// To register with a name server.
    NameServer {
        /// Which of `namesrvAddr`.
        index: usize,
    },
    /// A slave: to ask its master.
    Master,
    /// A slave: for its master's log.
    MasterStream,
}

const NAME_SERVER: u64 = 1;
const MASTER: u64 = 2;
const MASTER_STREAM: u64 = 3;

impl Purpose {
    /// The tag of a dial.
    pub(crate) fn tag(self) -> u64 {
        let (purpose, index) = match self {
            Self::NameServer { index } => (NAME_SERVER, index),
            Self::Master => (MASTER, 0),
            Self::MasterStream => (MASTER_STREAM, 0),
        };
        let index = u32::try_from(index).expect("peers to dial are a few");
        purpose << 32 | u64::from(index)
    }

    /// The purpose of a dial with this tag.
    pub(crate) fn of_tag(tag: u64) -> Self {
        let index = usize::try_from(tag & u64::from(u32::MAX)).expect("32 bits fit a usize");
        match tag >> 32 {
            NAME_SERVER => Self::NameServer { index },
            MASTER => Self::Master,
            MASTER_STREAM => Self::MasterStream,
            other => unreachable!("a dial with purpose {other} was never begun"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_purpose_comes_back_from_its_tag() {
        let name_servers = [0, 7, 63].map(|index| Purpose::NameServer { index });
        for purpose in name_servers.into_iter().chain([Purpose::Master, Purpose::MasterStream]) {
            assert_eq!(Purpose::of_tag(purpose.tag()), purpose);
        }
    }
}
