//! What peers can make a core hold is bounded, and only those who hold it feel the bound.

use crate::server::{SOON, Server, read_frame, read_some, resident_bytes, say, write_frame};
use rt::{MemoryAccount, MemoryUse};
use std::io::Write as _;
use std::net::TcpStream;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

const MIB: usize = 1 << 20;
/// What else of this process may grow meanwhile: other tests, the allocator's reserves.
const OTHER_BYTES: usize = 256 * MIB;
/// Tests that look at this process's memory run one after the other.
static ALONE: Mutex<()> = Mutex::new(());

/// Asks and is answered, small and not so small, until `done`. Any error fails the test.
fn behaves_well(server: &Server, done: &AtomicBool) -> usize {
    let mut peer = server.connect();
    let mut rounds = 0;
    while !done.load(Ordering::Relaxed) || rounds < 20 {
        for bytes in [16, 1_000, 50_000] {
            let payload = vec![u8::try_from(rounds % 251).unwrap(); bytes];
            say(&mut peer, &payload);
            assert!(read_frame(&mut peer) == payload, "round {rounds}, {bytes} bytes");
        }
        rounds += 1;
        std::thread::sleep(Duration::from_millis(2));
    }
    rounds
}

/// Lets `attack` go on in four threads beside a peer that behaves well, which must see no error.
fn beside_a_good_peer(server: &Server, attack: impl Fn(usize) -> Vec<TcpStream> + Sync) {
    let (done, attack) = (AtomicBool::new(false), &attack);
    std::thread::scope(|scope| {
        let good = scope.spawn(|| behaves_well(server, &done));
        let attackers: Vec<_> = (0..4).map(|thread| scope.spawn(move || attack(thread))).collect();
        let held: Vec<_> = attackers.into_iter().map(|thread| thread.join().unwrap()).collect();
        std::thread::sleep(Duration::from_millis(500));
        done.store(true, Ordering::Relaxed);
        assert!(good.join().unwrap() >= 20);
        drop(held);
    });
}

fn half_frames_are_bounded(
    limit_bytes: usize,
    change: impl Fn(&mut netcore::NetConfig) + Clone + Send + 'static,
) {
    let _alone = ALONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let server = Server::start(change);
    let before = resident_bytes();
    let mut half = u32::try_from(16 * MIB).unwrap().to_be_bytes().to_vec();
    half.resize(14 * MIB, 1);
    beside_a_good_peer(&server, |_| {
        let mut peers: Vec<_> = (0..50).map(|_| server.connect()).collect();
        for part in half.chunks(MIB) {
            // A peer that was closed does not stop the others.
            peers.iter_mut().for_each(|peer| _ = peer.write_all(part));
        }
        peers
    });
    let grown = resident_bytes().saturating_sub(before);
    let held = server.held_bytes_max();
    assert!(held > limit_bytes / 2, "only {held} bytes were held: this was no attack");
    // One turn's bytes, and the doubling of the Vec that they met.
    assert!(held <= limit_bytes + 33 * MIB, "{held} bytes were held, the limit is {limit_bytes}");
    assert!(grown <= limit_bytes * 2 + OTHER_BYTES, "the process grew by {grown} bytes");
    server.wait_for("closed to make room");
    server.stop();
}

#[test]
fn half_frames_of_200_peers_stay_under_their_total_and_a_good_peer_sees_no_error() {
    half_frames_are_bounded(64 * MIB, |config| config.half_frames_bytes_max = 64 * MIB);
}

#[test]
fn half_frames_of_200_peers_stay_under_the_account_and_a_good_peer_sees_no_error() {
    half_frames_are_bounded(96 * MIB, |config| config.memory = MemoryAccount::new(96 * MIB));
}

/// 300 peers ask for an answer each and read nothing of it.
fn untaken_answers_are_bounded(
    limit_bytes: usize,
    change: impl Fn(&mut netcore::NetConfig) + Clone + Send + 'static,
) {
    const ANSWER_BYTES: usize = 12 * MIB;
    let _alone = ALONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let server = Server::start(change);
    let before = resident_bytes();
    beside_a_good_peer(&server, |_| {
        let mut peers: Vec<_> = (0..75).map(|_| server.connect_with_small_buffer()).collect();
        let mut ask = Vec::new();
        write_frame(&mut ask, format!("answer with {ANSWER_BYTES}").as_bytes());
        peers.iter_mut().for_each(|peer| _ = peer.write_all(&ask.repeat(3)));
        peers
    });
    let grown = resident_bytes().saturating_sub(before);
    let held = server.held_bytes_max();
    assert!(held > limit_bytes / 2, "only {held} bytes were held: this was no attack");
    let bound = limit_bytes + ANSWER_BYTES + MIB;
    assert!(held <= bound, "{held} bytes were held, the limit is {limit_bytes}");
    assert!(grown <= bound * 2 + OTHER_BYTES, "the process grew by {grown} bytes");
    server.wait_for("closed to make room");
    server.stop();
}

#[test]
fn answers_that_300_deaf_peers_ask_for_stay_under_their_total_and_a_good_peer_is_answered() {
    untaken_answers_are_bounded(128 * MIB, |config| config.out_total_bytes_max = 128 * MIB);
}

#[test]
fn answers_that_300_deaf_peers_ask_for_stay_under_the_account_and_a_good_peer_is_answered() {
    untaken_answers_are_bounded(128 * MIB, |config| config.memory = MemoryAccount::new(128 * MIB));
}

#[test]
fn an_account_that_others_filled_costs_the_deaf_their_connection_and_nobody_else() {
    let server = Server::start(|config| {
        config.memory = MemoryAccount::new(16 * MIB);
        std::mem::forget(config.memory.charge(MemoryUse::LentChunks, 17 * MIB));
    });
    let mut deaf = server.connect_with_small_buffer();
    say(&mut deaf, format!("answer with {}", 12 * MIB).as_bytes());
    server.wait_for("closed to make room");
    let mut half = server.connect();
    half.write_all(&[0, 0, 1, 0, 7, 7]).unwrap();
    let rounds = behaves_well(&server, &AtomicBool::new(true));
    assert!(rounds >= 20);
    half.write_all(&[7; 254]).unwrap();
    assert_eq!(read_frame(&mut half), [7; 256]);
    server.stop();
}

#[test]
fn half_frames_of_100_peers_delay_nobody() {
    let server = Server::start(|_| ());
    let mut half = u32::try_from(MIB).unwrap().to_be_bytes().to_vec();
    half.resize(MIB / 2, 1);
    let slow: Vec<_> = (0..100)
        .map(|_| {
            let mut peer = server.connect();
            peer.write_all(&half).unwrap();
            peer
        })
        .collect();
    let mut quick = server.connect();
    for round in 0..50_u32 {
        say(&mut quick, &round.to_be_bytes());
        assert_eq!(read_frame(&mut quick), round.to_be_bytes());
    }
    // All of what came is still there: each frame is completed and comes back.
    for mut peer in slow {
        peer.write_all(&vec![1; MIB + 4 - half.len()]).unwrap();
        assert_eq!(read_frame(&mut peer).len(), MIB);
    }
    server.stop();
}

#[test]
fn a_frame_that_stands_still_or_trickles_is_ended_and_a_slow_one_is_not() {
    let server = Server::start(|config| config.half_frame_stall_ms_max = 2_000);
    let mut standing = server.connect();
    standing.write_all(&[0, 0, 0, 200, 1, 2, 3]).unwrap();
    let mut trickling = server.connect();
    trickling.write_all(&[0, 1, 0, 0]).unwrap();
    let mut slow = server.connect();
    let mut frame = Vec::new();
    write_frame(&mut frame, &[9; 200_000]);
    let started = Instant::now();
    for part in frame.chunks(10_000) {
        slow.write_all(part).unwrap();
        let _closed_at_last = trickling.write_all(&[1]);
        std::thread::sleep(Duration::from_millis(250));
    }
    assert!(started.elapsed() > Duration::from_secs(4), "both limits have passed");
    assert_eq!(read_frame(&mut slow), [9; 200_000]);
    server.wait_for("a frame stands still");
    server.wait_for("a frame stands still");
    for mut ended in [standing, trickling] {
        assert!(!matches!(read_some(&mut ended, &mut [0]), Ok(1..)), "it was closed");
    }
    server.stop();
}

#[test]
fn a_peer_that_never_reads_is_paused_and_memory_stays_bounded() {
    let server = Server::start(|config| {
        config.out_pause_bytes = 256 * 1024;
        config.out_bytes_max = 1024 * 1024;
    });
    let mut deaf = server.connect();
    deaf.set_write_timeout(Some(Duration::from_millis(500))).unwrap();
    let mut frame = Vec::new();
    write_frame(&mut frame, &vec![7; 64 * 1024]);
    let mut written = 0;
    while written < 4096 && deaf.write_all(&frame).is_ok() {
        written += 1;
    }
    assert!(written < 4096, "256 MiB were taken although nothing was read back");
    let held = server.held_bytes_max();
    assert!(held < 2 * MIB, "{held} bytes were held for one peer");
    let mut other = server.connect();
    say(&mut other, b"still here");
    assert_eq!(read_frame(&mut other), b"still here");
    drop(deaf);
    server.wait_for("close");
    server.stop();
}

#[test]
fn many_requests_in_one_read_are_answered_one_after_the_other_as_the_peer_takes_them() {
    let server = Server::start(|_| ());
    let mut peer = server.connect();
    let mut ask = Vec::new();
    write_frame(&mut ask, format!("answer with {}", 5 * MIB).as_bytes());
    let mut asks = ask.repeat(20);
    write_frame(&mut asks, b"and this at last");
    peer.write_all(&asks).unwrap();
    for nth in 0..20 {
        assert_eq!(read_frame(&mut peer).len(), 5 * MIB, "answer {nth}");
    }
    assert_eq!(read_frame(&mut peer), b"and this at last");
    let held = server.held_bytes_max();
    assert!(held < 12 * MIB, "{held} bytes were held: 100 MiB were asked for in one read");
    server.stop();
}

#[test]
fn a_slow_reader_of_a_large_answer_gets_it_and_a_deaf_one_is_ended() {
    let server = Server::start(|config| config.send_stall_ms_max = 3_000);
    let mut ask = Vec::new();
    write_frame(&mut ask, format!("answer with {}", 12 * MIB).as_bytes());
    let mut deaf = server.connect_with_small_buffer();
    let mut slow = server.connect_with_small_buffer();
    deaf.write_all(&ask).unwrap();
    slow.write_all(&ask).unwrap();
    let (started, mut got, mut piece) = (Instant::now(), 0, vec![0; 64 * 1024]);
    while got < 12 * MIB + 4 {
        let bytes = read_some(&mut slow, &mut piece).unwrap();
        assert!(bytes > 0, "closed after {got} bytes and {:?}", started.elapsed());
        got += bytes;
        if started.elapsed() < Duration::from_secs(7) {
            std::thread::sleep(Duration::from_millis(20));
        }
        assert!(started.elapsed() < SOON);
    }
    assert!(started.elapsed() > Duration::from_secs(6), "longer than a send may stand still");
    server.wait_for("took nothing of a send");
    drop(deaf);
    server.stop();
}
