//! Is a broker registered at a name server? Asked with one remoting request, written by hand here:
//! the suite must not depend on the code it judges.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};

use crate::limits::{ANSWER_MAX, FRAME_BYTES_MAX};

/// GET_BROKER_CLUSTER_INFO.
const HEADER: &str = r#"{"code":106,"extFields":{},"flag":0,"language":"JAVA","opaque":1,"#;
/// The rest of any header: JSON, from a client of 5.5.0.
const REST: &str = r#""serializeTypeCurrentRPC":"JSON","version":513}"#;

/// True when the name server on this port knows every one of these broker names.
pub(crate) fn knows(namesrv_port: u16, brokers: &[String]) -> bool {
    cluster_info(namesrv_port)
        .is_ok_and(|answer| brokers.iter().all(|name| answer.contains(&format!("\"{name}\""))))
}

/// True when what the name server on this port says of its brokers has this text.
pub(crate) fn names(namesrv_port: u16, text: &str) -> bool {
    cluster_info(namesrv_port).is_ok_and(|answer| answer.contains(text))
}

/// True when something accepts connections there.
pub(crate) fn accepts(port: u16) -> bool {
    TcpStream::connect_timeout(&SocketAddr::from((Ipv4Addr::LOCALHOST, port)), ANSWER_MAX).is_ok()
}

fn cluster_info(port: u16) -> std::io::Result<String> {
    let answer = exchange(port, &request(&format!("{HEADER}{REST}"), b"")?)?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

/// Sends a frame to a server on this machine; its answer without the frame's length.
pub(crate) fn exchange(port: u16, request: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut stream =
        TcpStream::connect_timeout(&SocketAddr::from((Ipv4Addr::LOCALHOST, port)), ANSWER_MAX)?;
    stream.set_read_timeout(Some(ANSWER_MAX))?;
    stream.write_all(request)?;
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let length = usize::try_from(u32::from_be_bytes(length)).map_err(std::io::Error::other)?;
    if length > FRAME_BYTES_MAX {
        return Err(std::io::Error::other(format!(
            "port {port} answers with a frame of {length} bytes"
        )));
    }
    let mut frame = vec![0; length];
    stream.read_exact(&mut frame)?;
    Ok(frame)
}

/// A request: the frame's length, the header's length and kind (JSON), the header, the body.
pub(crate) fn request(header: &str, body: &[u8]) -> std::io::Result<Vec<u8>> {
    let header_len = u32::try_from(header.len()).map_err(std::io::Error::other)?;
    let body_len = u32::try_from(body.len()).map_err(std::io::Error::other)?;
    let mut frame = Vec::with_capacity(8 + header.len() + body.len());
    frame.extend_from_slice(&(4 + header_len + body_len).to_be_bytes());
    frame.extend_from_slice(&header_len.to_be_bytes());
    frame.extend_from_slice(header.as_bytes());
    frame.extend_from_slice(body);
    Ok(frame)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_request_is_one_whole_frame() {
        let header = format!("{HEADER}{REST}");
        let frame = request(&header, b"").unwrap();
        assert_eq!(frame.len(), 4 + usize::from(frame[3]));
        assert_eq!(frame[4], 0, "JSON header");
        assert_eq!(usize::from(frame[7]), header.len());
        assert!(serde_json::from_slice::<serde_json::Value>(&frame[8..]).is_ok());
    }
}
