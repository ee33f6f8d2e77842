//! The small grammars of the command line, tried with tests/corpus.

use super::corpus::{Verdict, fuzz};
use super::{PortBinding, Signal, parse_filter, parse_ports, parse_publish, parse_size};
use crate::error::Result;

fn each(corpus: &str, words: &[&str], read: impl Fn(&str) -> Result<()>) {
    fuzz(corpus, words, 10_000, |bytes| -> Verdict {
        read(&String::from_utf8_lossy(bytes)).map_err(|e| e.to_string())
    });
}

#[test]
fn the_small_grammars_take_and_refuse_what_the_corpus_says() {
    each("port", &["-", "/tcp", "/udp", "65535", "0"], |text| {
        // A range may have 65,536 of them.
        let ports = parse_ports(text)?;
        for port in ports.iter().take(10).chain(ports.last()) {
            assert_eq!(parse_ports(&port.to_string()).unwrap(), [*port]);
        }
        Ok(())
    });
    each("publish", &[":", "-", "/udp", "[::1]", "127.0.0.1", "65535"], |text| {
        for binding in parse_publish(text)?.into_iter().take(3) {
            assert_eq!(binding.to_string().parse::<PortBinding>().unwrap(), binding);
        }
        Ok(())
    });
    each("size", &["k", "m", "g", "ib", "9999999999"], |text| {
        let bytes = parse_size(text)?;
        assert_eq!(parse_size(&bytes.to_string()).unwrap(), bytes);
        Ok(())
    });
    each("signal", &["SIG", "RTMIN", "RTMAX", "+", "-", "9"], |text| {
        let signal: Signal = text.parse()?;
        assert!((1..=64).contains(&signal.number()));
        Ok(())
    });
    each("filter", &["=", "label", "reference"], |text| {
        let (key, value) = parse_filter(text, &["label", "reference"])?;
        assert_eq!(format!("{key}={value}"), text);
        Ok(())
    });
}
