//! Frames come back whole, whatever the peers do.

use crate::server::{Server, read_frame, say, write_frame};
use rt::ring::RingConfig;
use std::io::{Read as _, Write as _};

#[test]
fn frames_of_all_sizes_come_back_in_order() {
    let server = Server::start(|_| ());
    let mut stream = server.connect();
    let sizes = [4, 5, 100, 1024, 65_535, 65_536, 65_537, 300_000, 2_000_000, 4];
    for (i, size) in sizes.iter().enumerate() {
        let payload = vec![u8::try_from(i).unwrap(); *size];
        say(&mut stream, &payload);
        assert!(read_frame(&mut stream) == payload, "frame of {size} bytes");
    }
    let mut pipelined = Vec::new();
    (0..5000u32).for_each(|i| write_frame(&mut pipelined, &i.to_be_bytes()));
    let mut reader = stream.try_clone().unwrap();
    let writer = std::thread::spawn(move || stream.write_all(&pipelined).map(|()| stream));
    for i in 0..5000u32 {
        assert_eq!(read_frame(&mut reader), i.to_be_bytes());
    }
    drop((writer.join().unwrap().unwrap(), reader));
    assert!(server.wait_for("close").contains("closed by the peer"));
    server.stop();
}

#[test]
fn many_connections_are_served_at_once() {
    let server = Server::start(|_| ());
    let mut streams: Vec<_> = (0..200).map(|_| server.connect()).collect();
    for round in 0..3u32 {
        streams.iter_mut().for_each(|stream| say(stream, &round.to_be_bytes()));
        for stream in &mut streams {
            assert_eq!(read_frame(stream), round.to_be_bytes());
        }
    }
    server.stop();
}

#[test]
fn frames_are_whole_wherever_what_arrives_is_cut() {
    for receive_buf_bytes in [1, 9, 64 * 1024] {
        let server =
            Server::start_on(RingConfig { receive_buf_bytes, ..RingConfig::default() }, |_| ());
        let mut stream = server.connect();
        let (first, second) = (b"the one before".to_vec(), b"cut at every byte".to_vec());
        let mut both = Vec::new();
        write_frame(&mut both, &first);
        let begins = both.len();
        write_frame(&mut both, &second);
        for cut in begins..=both.len() {
            stream.write_all(&both[..cut]).unwrap();
            // The server has read once it answers, so the rest is a read of its own.
            assert_eq!(read_frame(&mut stream), first);
            stream.write_all(&both[cut..]).unwrap();
            assert_eq!(
                read_frame(&mut stream),
                second,
                "cut at {cut}, buffer of {receive_buf_bytes}"
            );
        }
        server.stop();
    }
}

#[test]
fn a_peer_that_never_stops_sending_delays_nobody_for_ever() {
    let server = Server::start(|_| ());
    let mut loud = server.connect();
    let mut echoes = loud.try_clone().unwrap();
    let mut flood = Vec::new();
    (0..1000_u32).for_each(|_| write_frame(&mut flood, &[7; 1000]));
    let writer = std::thread::spawn(move || while loud.write_all(&flood).is_ok() {});
    let reader =
        std::thread::spawn(
            move || while echoes.read(&mut [0; 65_536]).is_ok_and(|bytes| bytes > 0) {},
        );
    let mut other = server.connect();
    for i in 0..200_u32 {
        say(&mut other, &i.to_be_bytes());
        assert_eq!(read_frame(&mut other), i.to_be_bytes());
    }
    server.stop();
    writer.join().unwrap();
    reader.join().unwrap();
}

#[test]
fn garbage_and_wrong_lengths_end_only_their_connection() {
    let server = Server::start(|config| config.frame_bytes_max = 1000);
    let mut good = server.connect();
    for (bytes, said) in [
        (&b"GET / HTTP/1.1\r\n"[..], "first byte 0x47"),
        (&[0x16, 3, 1, 0, 5][..], "TLS"),
        (&[0, 0, 4, 0, 1][..], "1024 bytes announced, at most 1000"),
        (&[0, 0, 0, 1, 1][..], "1 bytes announced"),
    ] {
        let mut bad = server.connect();
        bad.write_all(bytes).unwrap();
        let mut rest = Vec::new();
        let _reset_or_end = bad.read_to_end(&mut rest);
        assert!(rest.is_empty());
        server.wait_for(said);
    }
    say(&mut good, b"undisturbed");
    assert_eq!(read_frame(&mut good), b"undisturbed");
    server.stop();
}

#[test]
fn a_peer_that_closes_in_mid_frame_is_named_so() {
    let server = Server::start(|_| ());
    let mut stream = server.connect();
    stream.write_all(&[0, 0, 0, 200, 1, 2, 3]).unwrap();
    drop(stream);
    server.wait_for("in the middle of a frame, after 7 bytes");
    server.stop();
}

#[test]
fn a_dial_that_fails_is_reported_with_its_tag() {
    let server = Server::start(|_| ());
    let mut stream = server.connect();
    say(&mut stream, b"dial me");
    server.wait_for("dial 7 failed ConnectionRefused");
    server.stop();
}
