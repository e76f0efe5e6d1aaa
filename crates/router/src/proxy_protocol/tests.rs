//! Headers as proxies send them, and everything that is none.

use proptest::prelude::*;

use super::*;

fn v2(command: u8, family: u8, addresses: &[u8]) -> Vec<u8> {
    let mut header = SIGNATURE.to_vec();
    header.extend([command, family]);
    header.extend((addresses.len() as u16).to_be_bytes());
    header.extend(addresses);
    header
}

fn whole(header: &[u8], ends: Option<(&str, &str)>) -> Result<Parsed, Malformed> {
    let ends = ends.map(|(client, server)| Ends {
        client: client.parse().unwrap(),
        server: server.parse().unwrap(),
    });
    let length = header.len();
    Ok(Parsed::Whole { length, ends })
}

#[test]
fn version_1() {
    let four = Some(("192.0.2.1:56324", "192.0.2.9:443"));
    let six = Some(("[2001:db8::1]:1", "[2001:db8::9]:65535"));
    let longest = format!(
        "PROXY TCP6 {0} {0} 65535 65535\r\n",
        "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"
    );
    let end = "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535";
    for (text, ends) in [
        ("PROXY TCP4 192.0.2.1 192.0.2.9 56324 443\r\n", four),
        ("PROXY TCP6 2001:db8::1 2001:db8::9 1 65535\r\n", six),
        (&longest, Some((end, end))),
        ("PROXY UNKNOWN\r\n", None),
        ("PROXY UNKNOWN ffff::1 what ever\r\n", None),
    ] {
        assert_eq!(
            parse(text.as_bytes()),
            whole(text.as_bytes(), ends),
            "{text}"
        );
        // What follows is the client's.
        let more = format!("{text}GET / HTTP/1.1\r\n\r\n");
        assert_eq!(
            parse(more.as_bytes()),
            whole(text.as_bytes(), ends),
            "{text}"
        );
    }
}

#[test]
fn version_1_malformed() {
    let too_long = format!("PROXY UNKNOWN {}\r\n", "x".repeat(LINE));
    for text in [
        "GET / HTTP/1.1\r\n",
        "proxy TCP4 192.0.2.1 192.0.2.9 56324 443\r\n",
        "PROXY  TCP4 192.0.2.1 192.0.2.9 56324 443\r\n",
        "PROXY TCP4  192.0.2.1 192.0.2.9 56324 443\r\n",
        "PROXY TCP4 192.0.2.1 192.0.2.9 56324 443 \r\n",
        "PROXY TCP4 192.0.2.1 192.0.2.9 56324 443\n",
        "PROXY TCP4 192.0.2.1 192.0.2.9 56324\r\n",
        "PROXY TCP4 192.0.2.1 192.0.2.9 56324 65536\r\n",
        "PROXY TCP4 192.0.2.1 192.0.2.9 56324 -1\r\n",
        "PROXY TCP4 192.0.2.1 192.0.2.9 +1 443\r\n",
        "PROXY TCP4 192.0.2.1 192.0.2.9 01 443\r\n",
        "PROXY TCP4 192.0.2 192.0.2.9 56324 443\r\n",
        "PROXY TCP4 2001:db8::1 2001:db8::9 1 2\r\n",
        "PROXY TCP6 192.0.2.1 192.0.2.9 56324 443\r\n",
        "PROXY UDP4 192.0.2.1 192.0.2.9 56324 443\r\n",
        "PROXY \r\n",
        "PROXY TCP4 \u{fc}\r\n",
        &too_long,
    ] {
        assert_eq!(parse(text.as_bytes()), Err(Malformed), "{text}");
    }
}

#[test]
fn version_2() {
    let four = [192, 0, 2, 1, 192, 0, 2, 9, 0xdc, 4, 1, 0xbb];
    let mut with_more = four.to_vec();
    with_more.extend([4, 0, 3, 1, 2, 3]);
    let mut six = vec![0; 36];
    six[15] = 1;
    six[31] = 2;
    six[33] = 3;
    six[35] = 4;
    let ends = Some(("192.0.2.1:56324", "192.0.2.9:443"));
    for (header, ends) in [
        (v2(0x21, 0x11, &four), ends),
        (v2(0x21, 0x11, &with_more), ends),
        (v2(0x21, 0x21, &six), Some(("[::1]:3", "[::2]:4"))),
        (
            v2(0x21, 0x11, &vec![0; MOST - FIXED]),
            Some(("0.0.0.0:0", "0.0.0.0:0")),
        ),
        // The proxy's own connection, whatever it says of it.
        (v2(0x20, 0x00, &[]), None),
        (v2(0x20, 0x11, &four), None),
        (v2(0x20, 0x11, &[1]), None),
        // Nothing that it can name, datagrams, a unix socket.
        (v2(0x21, 0x00, &[]), None),
        (v2(0x21, 0x12, &four), None),
        (v2(0x21, 0x31, &[0; 216]), None),
    ] {
        assert_eq!(parse(&header), whole(&header, ends), "{header:?}");
        let more = [header.as_slice(), b"\x16\x03\x01"].concat();
        assert_eq!(parse(&more), whole(&header, ends), "{header:?}");
    }
}

#[test]
fn version_2_malformed() {
    for header in [
        v2(0x11, 0x11, &[0; 12]),
        v2(0x22, 0x11, &[0; 12]),
        v2(0x21, 0x41, &[0; 12]),
        v2(0x21, 0x13, &[0; 12]),
        v2(0x21, 0x11, &[0; 11]),
        v2(0x21, 0x21, &[0; 35]),
        v2(0x21, 0x11, &vec![0; MOST - FIXED + 1]),
    ] {
        assert_eq!(parse(&header), Err(Malformed), "{header:?}");
    }
}

/// Headers as they come, and odd ones.
fn headers() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        (
            any::<[u8; 4]>(),
            any::<[u8; 4]>(),
            any::<u16>(),
            any::<u16>()
        )
            .prop_map(|(client, server, from, to)| {
                let (client, server) = (Ipv4Addr::from(client), Ipv4Addr::from(server));
                format!("PROXY TCP4 {client} {server} {from} {to}\r\n").into_bytes()
            }),
        (
            0x20..=0x21_u8,
            0..0x40_u8,
            prop::collection::vec(any::<u8>(), 0..300)
        )
            .prop_map(|(command, family, addresses)| v2(command, family, &addresses)),
    ]
}

proptest! {
    #[test]
    fn any_bytes_are_a_header_or_none(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let _ = parse(&bytes);
    }

    #[test]
    fn whatever_follows_a_beginning(
        start in prop_oneof![Just(SIGNATURE.to_vec()), Just(WORD.to_vec()), Just(b"PROXY TCP6 ".to_vec())],
        rest in prop::collection::vec(any::<u8>(), 0..400),
    ) {
        if let Ok(Parsed::Whole { length, .. }) = parse(&[start, rest].concat()) {
            prop_assert!(length <= MOST);
        }
    }

    /// However it comes in: each beginning is one, until it is whole, and what follows changes nothing.
    #[test]
    fn any_split_gives_the_same(header in headers(), tail in prop::collection::vec(any::<u8>(), 0..50)) {
        let all = [header.clone(), tail].concat();
        let parsed = parse(&all);
        for end in 0..all.len() {
            match parse(&all[..end]) {
                Ok(Parsed::Partial) => prop_assert!(end < header.len() || parsed == Err(Malformed)),
                found => {
                    prop_assert_eq!(found, parsed);
                    if let Ok(Parsed::Whole { length, .. }) = found {
                        prop_assert_eq!(length, header.len());
                        prop_assert!(end >= length);
                    }
                }
            }
        }
    }
}
