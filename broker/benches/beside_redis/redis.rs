//! A Redis server on a free port of loopback, killed when dropped.

use crate::client::ask_redis;
use crate::servers::Server;
use rt::real::available_cores;
use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};

pub(crate) struct Redis {
    pub server: Server,
    process: Child,
}

impl Redis {
    /// Starts it on the first core with its file in `folder`; `None` when there is no such program.
    pub(crate) fn start(program: &str, folder: &Path) -> Option<Self> {
        match Command::new(program).arg("--version").stdout(Stdio::null()).status() {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                eprintln!("{program} is not here (apt-get install redis-server): RingMQ alone");
                return None;
            }
            found => assert!(found.unwrap().success()),
        }
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let core = available_cores()[0].to_string();
        let process = Command::new("taskset")
            .args(["-c", &core, program, "--port", &port.to_string(), "--bind", "127.0.0.1"])
            .args(["--appendonly", "yes", "--appendfsync", "everysec", "--save", ""])
            // No rewrite of the file beside what is measured.
            .args(["--auto-aof-rewrite-percentage", "0", "--dir"])
            .arg(folder)
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let addr = SocketAddr::from(([127, 0, 0, 1], port));
        let server = Server::also(&format!("Redis={addr},{}", process.id()));
        crate::servers::wait_until_up(addr);
        Some(Self { server, process })
    }

    /// Deletes all messages.
    pub(crate) fn forget(&self) {
        ask_redis(self.server.addr, b"*1\r\n$8\r\nFLUSHALL\r\n");
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        _ = self.process.kill();
        _ = self.process.wait();
    }
}
