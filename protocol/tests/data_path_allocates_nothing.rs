//! A send or pull request in steady state: parse, decode, encode the record, write the answer,
//! without an allocation.

mod samples;

use allocation_counter::measure;
use protocol::headers::{PullHeader, PullResponseHeader, Scratch, SendHeader, SendResponseHeader};
use protocol::record::{RecordDraft, RecordView};
use protocol::remoting::{CommandHead, CommandView, write_command, write_command_head};
use protocol::{batch, properties};

fn send(frame: &[u8], scratch: &mut Scratch, log: &mut [u8], out: &mut Vec<u8>) -> usize {
    let view = CommandView::parse(frame).expect("frame");
    let header = SendHeader::decode(&view.ext, scratch).expect("header");
    let tag =
        properties::get(header.properties.as_bytes(), properties::names::TAGS).unwrap_or_default();
    let code = protocol::tags::tags_code(tag);
    let pieces = [header.properties.as_bytes(), b"CLUSTER\x01c\x02"];
    let draft = RecordDraft {
        body: view.body,
        properties: &pieces,
        ..samples::draft(header.topic, "10.0.0.9:1", "10.0.0.1:2")
    };
    let length = draft.encoded_len().expect("length");
    draft.encode_into(&mut log[..length]).expect("record");
    assert_eq!(RecordView::parse(&log[..length]).expect("record").topic(), header.topic);
    let answer = SendResponseHeader {
        msg_id: "7F00000100002A9F0000000000000000",
        queue_offset: code,
        ..Default::default()
    };
    out.clear();
    write_command(out, &CommandHead::answer(&view, 0), |ext| answer.write(ext), b"");
    length
}

#[test]
fn a_send_in_steady_state() {
    let (mut scratch, mut log, mut out) = (Scratch::new(), vec![0; 4096], Vec::with_capacity(1024));
    let frames = samples::frames();
    let sends: Vec<_> = frames
        .iter()
        .filter(|frame| CommandView::parse(frame).is_ok_and(|view| matches!(view.code, 10 | 310)))
        .collect();
    assert_eq!(sends.len(), 4);
    sends.iter().for_each(|frame| assert!(send(frame, &mut scratch, &mut log, &mut out) > 91));
    let info = measure(|| {
        sends.iter().for_each(|frame| assert!(send(frame, &mut scratch, &mut log, &mut out) > 91))
    });
    assert_eq!(info.count_total, 0, "{info:?}");
}

#[test]
fn a_pull_in_steady_state() {
    let (mut scratch, mut out) = (Scratch::new(), Vec::with_capacity(1024));
    let frames = samples::frames();
    let pulls: Vec<_> = frames
        .iter()
        .filter(|frame| {
            CommandView::parse(frame).is_ok_and(|view| !view.ext.is_empty() && view.code == 11)
        })
        .collect();
    let mut answered = 0;
    let info = measure(|| {
        for frame in &pulls {
            let view = CommandView::parse(frame).expect("frame");
            let Ok(header) = PullHeader::decode(&view.ext, &mut scratch) else { continue };
            let answer =
                PullResponseHeader { next_begin_offset: header.queue_offset, ..Default::default() };
            out.clear();
            write_command_head(
                &mut out,
                &CommandHead::answer(&view, 0).with_remark("FOUND"),
                |ext| answer.write(ext),
                1 << 20,
            );
            answered += 1;
        }
    });
    assert_eq!(answered, 2);
    assert_eq!(info.count_total, 0, "{info:?}");
}

#[test]
fn a_batch_in_steady_state() {
    let body = samples::batches().swap_remove(0);
    let info = measure(|| assert_eq!(batch::entries(&body).filter(Result::is_ok).count(), 3));
    assert_eq!(info.count_total, 0, "{info:?}");
}
