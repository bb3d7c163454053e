use super::*;

/// A case of draft-mcgrew-gcm-test-01 "Test Cases for the use of GCM and GMAC in IPsec ESP".
struct Vector {
    key: &'static str,
    salt: &'static str,
    spi: u32,
    number: u64,
    esn: bool,
    iv: &'static str,
    plain: &'static str,
    encrypted: &'static str,
    icv: &'static str,
}

const VECTORS: [Vector; 4] = [
    Vector {
        key: "4c80cdefbb5d10da906ac73c3613a634",
        salt: "2e443b68",
        spi: 0x4321,
        number: 0x8765_4321_0000_0000,
        esn: true,
        iv: "4956ed7e3b244cfe",
        plain: "45000048699a000080114db7c0a80102c0a801010a9bf15638d301000001000000000000\
                045f736970045f756470037369700963796265726369747902646b000021000101020201",
        encrypted: "fecf537e729d5b07dc30df528dd22b768d1b98736696a6fd348509fa13ceac34cfa2436f\
                    14a3f3cf65925bf1f4a13c5d15b21e1884f5ff6247aeabb786b93bce61bc17d768fd9732",
        icv: "459018148f6cbe722fd04796562dfdb4",
    },
    Vector {
        key: "feffe9928665731c6d6a8f9467308308",
        salt: "cafebabe",
        spi: 0xa5f8,
        number: 10,
        esn: false,
        iv: "facedbaddecaf888",
        plain: "4500003e698f000080114dccc0a80102c0a801010a980035002a2343b2d0010000010000\
                00000000037369700963796265726369747902646b00000100010001",
        encrypted: "deb22cd9b07c72c16e3a65beeb8df304a5a5897d33ae530f1ba76d5d114d2a5c3de81827\
                    c10e9a4f51330d0eec416642cfbb85a5b47e48a4ec3b9ba95d918bd1",
        icv: "83b70d3aa8bc6ee4c309e9d85a41ad4a",
    },
    Vector {
        key: "abbccddef00112233445566778899aab",
        salt: "decaf888",
        spi: 0x100,
        number: 1,
        esn: true,
        iv: "cafedebaceface74",
        plain: "746f016265016f72016e6f7401746f0162650001",
        encrypted: "29c9fc69a197d038ccdd14e2ddfcaa0543332164",
        icv: "412503524303ed3c6c5f283843af8c3e",
    },
    Vector {
        key: "7d773d00c144c525ac619d18c84a3f47",
        salt: "d9664267",
        spi: 0x3354_67ae,
        number: 0xffff_ffff,
        esn: false,
        iv: "43457e9182443bc6",
        plain: "01020201",
        encrypted: "437f866b",
        icv: "cb3f699fe9b0822bac961c4504bef270",
    },
];

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u32> = hex.chars().filter_map(|c| c.to_digit(16)).collect();
    let byte = |pair: &[u32]| (pair[0] * 16 + pair[1]) as u8;
    digits.chunks_exact(2).map(byte).collect()
}

impl Vector {
    fn cipher(&self) -> Cipher {
        let keying_material = [bytes(self.key), bytes(self.salt)].concat();
        Cipher::new(self.spi, &keying_material, self.esn).unwrap()
    }

    /// The packet as it is on the wire.
    fn packet(&self) -> Vec<u8> {
        let header = [self.spi.to_be_bytes(), (self.number as u32).to_be_bytes()].concat();
        [
            header,
            bytes(self.iv),
            bytes(self.encrypted),
            bytes(self.icv),
        ]
        .concat()
    }
}

#[test]
fn known_answers_of_the_draft() {
    for vector in VECTORS {
        let mut packet = vector.packet();
        packet[HEADROOM..].fill(0);
        let plain = bytes(vector.plain);
        packet[HEADROOM..HEADROOM + plain.len()].copy_from_slice(&plain);
        let iv: [u8; IV_LEN] = bytes(vector.iv).try_into().unwrap();
        let cipher = vector.cipher();
        cipher.encrypt(vector.number, iv, &mut packet).unwrap();
        assert_eq!(packet, vector.packet());
        let opened = cipher.decrypt(vector.number, &mut packet).unwrap();
        assert_eq!(opened, plain);
    }
}

#[test]
fn a_whole_packet_of_the_draft_opens() {
    // Of the four only this one is a tunnel's: the others end in next header 1.
    let vector = &VECTORS[1];
    let mut packet = vector.packet();
    // Its padding is 00 01 00 01 in the draft's reading: payload, then length 0, next header 1.
    let opened = vector.cipher().open(vector.number, &mut packet);
    assert_eq!(opened, Err(OpenError::NextHeader(1)));
}

fn cipher(esn: bool) -> Cipher {
    Cipher::new(0x1234_5678, &[7; KEYING_MATERIAL_LEN], esn).unwrap()
}

fn inner(len: usize) -> Vec<u8> {
    let mut inner: Vec<u8> = (0..len).map(|at| at as u8).collect();
    inner[0] = 0x45;
    inner
}

fn sealed(cipher: &Cipher, number: u64, inner: &[u8]) -> Vec<u8> {
    let mut buffer = vec![0xee; HEADROOM + inner.len() + TAILROOM];
    buffer[HEADROOM..HEADROOM + inner.len()].copy_from_slice(inner);
    let len = cipher.seal(number, &mut buffer, inner.len()).unwrap();
    buffer.truncate(len);
    buffer
}

#[test]
fn every_length_of_padding_survives() {
    for esn in [false, true] {
        for len in 1..=70 {
            let inner = inner(len);
            let mut packet = sealed(&cipher(esn), 9, &inner);
            assert!(packet.len() <= HEADROOM + len + TAILROOM);
            assert_eq!((packet.len() - HEADROOM - ICV_LEN) % 4, 0);
            let header = Header::parse(&packet).unwrap();
            assert_eq!((header.spi, header.sequence), (0x1234_5678, 9));
            assert_eq!(cipher(esn).open(9, &mut packet).unwrap(), inner);
        }
    }
}

#[test]
fn no_byte_can_be_changed() {
    let packet = sealed(&cipher(false), 9, &inner(64));
    for at in 0..packet.len() {
        let mut forged = packet.clone();
        forged[at] ^= 1;
        let error = cipher(false).open(9, &mut forged).unwrap_err();
        match at {
            0..4 => assert_eq!(error, OpenError::Spi(word(&forged, 0))),
            4..8 => assert!(matches!(error, OpenError::Sequence(_))),
            _ => assert_eq!(error, OpenError::Integrity),
        }
        let mut cut = packet[..at].to_vec();
        assert!(cipher(false).open(9, &mut cut).is_err(), "cut at {at}");
    }
}

#[test]
fn the_high_half_is_authenticated_with_extended_numbers_only() {
    let number = (3 << 32) + 9;
    let packet = sealed(&cipher(true), number, &inner(64));
    assert!(cipher(true).open(number, &mut packet.clone()).is_ok());
    assert_eq!(
        cipher(true).open(9, &mut packet.clone()),
        Err(OpenError::Integrity)
    );
    assert_eq!(
        cipher(false).open(9, &mut packet.clone()),
        Err(OpenError::Integrity)
    );
}

#[test]
fn a_changed_number_in_the_header_is_a_forgery() {
    let mut packet = sealed(&cipher(false), 9, &inner(64));
    packet[7] = 10;
    assert_eq!(
        cipher(false).open(10, &mut packet),
        Err(OpenError::Integrity)
    );
}

#[test]
fn numbers_that_cannot_be_sent() {
    let mut buffer = vec![0x45; 200];
    let seal = |esn, number, buffer: &mut [u8]| cipher(esn).seal(number, buffer, 64);
    assert_eq!(seal(false, 0, &mut buffer), Err(SealError::SequenceZero));
    let max = u64::from(u32::MAX);
    assert!(seal(false, max, &mut buffer).is_ok());
    buffer.fill(0x45);
    let over = seal(false, max + 1, &mut buffer);
    assert_eq!(over, Err(SealError::SequenceExhausted(max + 1)));
    assert!(seal(true, max + 1, &mut buffer).is_ok());
}

#[test]
fn what_is_no_packet_is_not_sealed() {
    let mut small = vec![0x45; HEADROOM + 64 + TRAILER_LEN + ICV_LEN];
    let (len, need) = (small.len(), small.len() + 2);
    let room = cipher(false).seal(1, &mut small, 64);
    assert_eq!(room, Err(SealError::Room { len, need }));
    let mut buffer = vec![0x25; 200];
    let other = cipher(false).seal(1, &mut buffer, 64);
    assert_eq!(other, Err(SealError::NotIp(Some(0x25))));
    let empty = cipher(false).seal(1, &mut buffer, 0);
    assert_eq!(empty, Err(SealError::NotIp(None)));
}

/// What `open` says to an authentic packet with this plaintext.
fn opened(plain: &[u8]) -> Result<Vec<u8>, OpenError> {
    let mut packet = vec![0; HEADROOM + plain.len() + ICV_LEN];
    packet[HEADROOM..HEADROOM + plain.len()].copy_from_slice(plain);
    cipher(false).encrypt(1, [0; 8], &mut packet).unwrap();
    cipher(false)
        .open(1, &mut packet)
        .map(|inner| inner.to_vec())
}

#[test]
fn the_trailer_is_checked() {
    assert_eq!(
        opened(&[0x45, 1, 2, 3, 1, 2, 2, 4]),
        Ok(vec![0x45, 1, 2, 3])
    );
    assert_eq!(opened(&[0x60, 1, 0, 41]), Ok(vec![0x60, 1]));
    assert_eq!(opened(&[0x45, 1, 0, 59]), Err(OpenError::Dummy));
    assert_eq!(opened(&[0x45, 1, 0, 6]), Err(OpenError::NextHeader(6)));
    assert_eq!(opened(&[0x45, 1, 3, 4]), Err(OpenError::Padding(3)));
    assert_eq!(
        opened(&[0x45, 0, 0, 0, 1, 3, 2, 4]),
        Err(OpenError::Padding(2))
    );
    assert_eq!(opened(&[0x45, 0, 0, 0, 4]), Err(OpenError::Alignment(5)));
}

#[test]
fn keys_that_cannot_be() {
    let error = |spi, key: &[u8]| Cipher::new(spi, key, false).map(drop).unwrap_err();
    assert_eq!(error(9, &[0; 16]), KeyError::Length { len: 16 });
    assert_eq!(error(9, &[0; 36]), KeyError::Length { len: 36 });
    assert_eq!(error(0, &[0; 20]), KeyError::Spi);
}
