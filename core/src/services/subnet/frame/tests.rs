use proptest::prelude::*;

use super::{
    super::packet::tests::{make_fit, packet, tcp, udp},
    *,
};

fn frame(packet: &[u8], segment: u16, checksum: Checksum) -> Frame {
    Frame {
        length: packet.len() as u16,
        segment,
        checksum,
    }
}

#[test]
fn a_frame_is_read_as_it_was_written() {
    for checksum in [Checksum::Complete, Checksum::Partial] {
        let frame = Frame {
            length: 60_000,
            segment: 1448,
            checksum,
        };
        assert_eq!(Frame::decode(frame.encode()), frame);
    }
}

#[test]
fn many_segments_stay_one_and_the_kernel_makes_their_checksums() {
    let mut large = tcp("10.0.0.1", "10.0.0.2", &[1; 4000]);
    let header = Header::read(&large).unwrap();
    let said = FromDevice {
        flags: 1,
        kind: GSO_TCP4,
        segment: 1460,
        checksum_start: 20,
        checksum_offset: 16,
    };
    let kind = said.kind(&mut large, &header);
    assert_eq!(
        kind,
        Some(Kind::Tcp {
            segment: 1460,
            checksum: Checksum::Partial
        })
    );
    let told = frame(&large, 1460, Checksum::Partial)
        .for_device(&mut large, &header)
        .unwrap();
    let (read, _) = FromDevice::read(&told).unwrap();
    assert_eq!(read, said);
    assert_eq!(u16::from_ne_bytes([told[2], told[3]]), 40);
    assert_eq!(large[36..38], pseudo(&header, 4020).to_be_bytes());
}

#[test]
fn a_checksum_that_the_kernel_left_is_made_for_what_goes_alone() {
    let whole = udp("10.0.0.1", "10.0.0.2", b"query");
    let mut left = whole.clone();
    let header = Header::read(&left).unwrap();
    left[26..28].copy_from_slice(&pseudo(&header, 13).to_be_bytes());
    let said = FromDevice {
        flags: 1,
        kind: 0,
        segment: 0,
        checksum_start: 20,
        checksum_offset: 6,
    };
    assert_eq!(said.kind(&mut left, &header), Some(Kind::Single));
    assert_eq!(left, whole);
}

#[test]
fn the_kernel_is_not_told_to_make_packets_of_what_has_none() {
    let mut datagram = udp("10.0.0.1", "10.0.0.2", &[0; 3000]);
    let header = Header::read(&datagram).unwrap();
    for checksum in [Checksum::Complete, Checksum::Partial] {
        assert_eq!(
            frame(&datagram, 1000, checksum).for_device(&mut datagram, &header),
            None
        );
    }
    let mut large = tcp("10.0.0.1", "10.0.0.2", &[1; 4000]);
    let header = Header::read(&large).unwrap();
    assert_eq!(
        frame(&large, 1, Checksum::Partial).for_device(&mut large, &header),
        None
    );
    let mut lies = packet("10.0.0.1", "10.0.0.2", TCP, &[0xf0; 30]);
    let header = Header::read(&lies).unwrap();
    assert_eq!(
        frame(&lies, 500, Checksum::Partial).for_device(&mut lies, &header),
        None
    );
}

proptest! {
    #[test]
    fn anything_may_come(
        head in any::<[u8; FRAME_HEADER]>(),
        said in any::<[u8; DEVICE_HEADER]>(),
        mut bytes in prop::collection::vec(any::<u8>(), 0..200),
        v6 in any::<bool>(),
    ) {
        make_fit(&mut bytes, v6);
        if let Some(header) = Header::read(&bytes) {
            let _ = Frame::decode(head).for_device(&mut bytes, &header);
            let (said, _) = FromDevice::read(&said).unwrap();
            let _ = said.kind(&mut bytes, &header);
        }
    }
}
