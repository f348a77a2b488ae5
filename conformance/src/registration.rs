//! Is a broker registered at a name server? Asked with one remoting request, written by hand here:
//! the suite must not depend on the code it judges.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};

use crate::limits::{ANSWER_MAX, FRAME_BYTES_MAX};

/// GET_BROKER_CLUSTER_INFO.
const HEADER: &[u8] = concat!(
    r#"{"code":106,"extFields":{},"flag":0,"language":"JAVA","opaque":1,"#,
    r#""serializeTypeCurrentRPC":"JSON","version":513}"#
)
.as_bytes();

/// True when the name server on this port knows every one of these broker names.
pub fn knows(namesrv_port: u16, brokers: &[String]) -> bool {
    cluster_info(namesrv_port)
        .is_ok_and(|answer| brokers.iter().all(|name| answer.contains(&format!("\"{name}\""))))
}

/// True when something accepts connections there.
pub fn accepts(port: u16) -> bool {
    TcpStream::connect_timeout(&SocketAddr::from((Ipv4Addr::LOCALHOST, port)), ANSWER_MAX).is_ok()
}

fn cluster_info(port: u16) -> std::io::Result<String> {
    let mut stream =
        TcpStream::connect_timeout(&SocketAddr::from((Ipv4Addr::LOCALHOST, port)), ANSWER_MAX)?;
    stream.set_read_timeout(Some(ANSWER_MAX))?;
    stream.write_all(&request())?;
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let length = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
    if length > FRAME_BYTES_MAX {
        return Err(std::io::Error::other(format!(
            "port {port} answers with a frame of {length} bytes"
        )));
    }
    let mut frame = vec![0; length];
    stream.read_exact(&mut frame)?;
    Ok(String::from_utf8_lossy(&frame).into_owned())
}

fn request() -> Vec<u8> {
    let header_len = u32::try_from(HEADER.len()).unwrap_or(0);
    let mut frame = Vec::with_capacity(8 + HEADER.len());
    frame.extend_from_slice(&(header_len + 4).to_be_bytes());
    frame.extend_from_slice(&header_len.to_be_bytes());
    frame.extend_from_slice(HEADER);
    frame
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_request_is_one_whole_frame() {
        let frame = request();
        assert_eq!(frame.len(), 4 + usize::from(frame[3]));
        assert_eq!(frame[4], 0, "JSON header");
        assert_eq!(usize::from(frame[7]), HEADER.len());
        assert!(serde_json::from_slice::<serde_json::Value>(&frame[8..]).is_ok());
    }
}
