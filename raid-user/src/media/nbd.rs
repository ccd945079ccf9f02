//! NBD URIs (NetworkBlockDevice `doc/uri.md`), and the hook an NBD client is connected by. Speaks no NBD itself.

use std::fmt;
use std::io;
use std::path::PathBuf;

use super::SharedMedia;

/// The port that IANA gave to NBD.
pub const DEFAULT_PORT: u16 = 10809;

/// Opens an export for reading. The NBD client is one; [`Options::connect_nbd`](super::Options) holds it.
pub type Connect = fn(&Uri) -> io::Result<SharedMedia>;

/// An NBD export: where the server listens and what the export is called.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Uri {
    /// Where the server listens.
    pub address: Address,
    /// The export's name; often empty.
    pub export: String,
}

/// Where an NBD server listens.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Address {
    /// A TCP port of a host: a name, an IPv4 address, or an IPv6 address without brackets.
    Tcp {
        /// The host.
        host: String,
        /// The port.
        port: u16,
    },
    /// A Unix socket.
    Unix {
        /// Its path.
        socket: PathBuf,
    },
}

impl Uri {
    /// True if the text is meant as an NBD URI, valid or not.
    #[must_use]
    pub fn is_one(text: &str) -> bool {
        text.split_once("://").is_some_and(|(scheme, _)| {
            scheme == "nbd" || scheme.starts_with("nbd+") || scheme == "nbds" || scheme.starts_with("nbds+")
        })
    }

    /// Reads a URI without its fragment.
    ///
    /// # Errors
    /// What is wrong with it, for people.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (scheme, rest) = text.split_once("://").ok_or("is not an NBD URI")?;
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, export) = rest.split_once('/').unwrap_or((rest, ""));
        let export = decode(export)?;
        let address = match scheme {
            "nbd" => {
                if !query.is_empty() {
                    return Err(format!("an nbd:// URI takes no parameters, but has {query:?}"));
                }
                tcp(authority)?
            }
            "nbd+unix" => {
                if !authority.is_empty() {
                    return Err("an nbd+unix:// URI names no host: it goes on with a third slash".to_owned());
                }
                let socket = query.strip_prefix("socket=").ok_or("an nbd+unix:// URI ends with ?socket=PATH")?;
                if socket.is_empty() || socket.contains('&') {
                    return Err("an nbd+unix:// URI has the one parameter socket=PATH".to_owned());
                }
                Address::Unix { socket: decode(socket)?.into() }
            }
            "nbds" | "nbds+unix" => return Err("NBD over TLS is not supported yet".to_owned()),
            other => return Err(format!("{other}:// is not supported (nbd:// and nbd+unix:// are)")),
        };
        Ok(Self { address, export })
    }
}

impl fmt::Display for Uri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let export = encode(&self.export);
        match &self.address {
            Address::Tcp { host, port } => {
                if host.contains(':') {
                    write!(f, "nbd://[{host}]")?
                } else {
                    write!(f, "nbd://{host}")?
                }
                if *port != DEFAULT_PORT {
                    write!(f, ":{port}")?;
                }
                write!(f, "/{export}")
            }
            Address::Unix { socket } => write!(f, "nbd+unix:///{export}?socket={}", encode(&socket.to_string_lossy())),
        }
    }
}

/// `host`, `host:port`, `[v6]`, `[v6]:port`.
fn tcp(authority: &str) -> Result<Address, String> {
    if authority.contains('@') {
        return Err("an nbd:// URI with a user name needs TLS, which is not supported yet".to_owned());
    }
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => {
            let (host, rest) = rest.split_once(']').ok_or("the bracket around the IPv6 address is not closed")?;
            (
                host,
                if rest.is_empty() {
                    None
                } else {
                    Some(rest.strip_prefix(':').ok_or("only :PORT may follow the address")?)
                },
            )
        }
        None => authority.split_once(':').map_or((authority, None), |(host, port)| (host, Some(port))),
    };
    let port = match port {
        None | Some("") => DEFAULT_PORT,
        Some(port) => port.parse().map_err(|_| format!("{port:?} is not a port"))?,
    };
    let host = decode(host)?;
    if host.is_empty() {
        return Err("an nbd:// URI names a host".to_owned());
    }
    Ok(Address::Tcp { host, port })
}

/// Resolves `%XX` (RFC 3986, 2.1).
fn decode(text: &str) -> Result<String, String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        rest = tail;
        if first != b'%' {
            bytes.push(first);
            continue;
        }
        let (digits, tail) = rest.split_at_checked(2).ok_or("a % is not followed by two hex digits")?;
        let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|value| u8::try_from(value).ok());
        let value = match digits {
            [high, low] => digit(*high).zip(digit(*low)).map(|(high, low)| (high << 4) | low),
            _ => None,
        };
        bytes.push(value.ok_or("a % is not followed by two hex digits")?);
        rest = tail;
    }
    String::from_utf8(bytes).map_err(|_| "is not UTF-8 once its %XX are resolved".to_owned())
}

/// Puts `%XX` for what has a meaning in a URI or is not printable ASCII.
fn encode(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~/:@!$'()*+,;=".contains(&byte);
    text.bytes().map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tcp_of(text: &str) -> (String, u16, String) {
        match Uri::parse(text).unwrap() {
            Uri { address: Address::Tcp { host, port }, export } => (host, port, export),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn hosts_ports_and_exports_are_read() {
        assert_eq!(tcp_of("nbd://h"), ("h".into(), 10809, "".into()));
        assert_eq!(tcp_of("nbd://h:1/a/b"), ("h".into(), 1, "a/b".into()));
        assert_eq!(tcp_of("nbd://[::1]:2/x%20y"), ("::1".into(), 2, "x y".into()));
        assert_eq!(tcp_of("nbd://[fe80::1]/"), ("fe80::1".into(), 10809, "".into()));
    }

    #[test]
    fn a_unix_socket_is_read() {
        let uri = Uri::parse("nbd+unix:///disk?socket=/run/a%23b").unwrap();
        assert_eq!(uri, Uri { address: Address::Unix { socket: "/run/a#b".into() }, export: "disk".into() });
    }

    #[test]
    fn what_is_printed_reads_back() {
        for text in ["nbd://h/", "nbd://[::1]:5/a%23b", "nbd+unix:///?socket=/run/x%26y", "nbd+unix:///%C3%A4?socket=s"]
        {
            let uri = Uri::parse(text).unwrap();
            assert_eq!(uri.to_string(), text);
            assert_eq!(Uri::parse(&uri.to_string()).unwrap(), uri);
        }
    }

    #[test]
    fn a_wrong_uri_says_what_is_wrong() {
        for (text, says) in [
            ("nbd://", "names a host"),
            ("nbd://h:x/", "not a port"),
            ("nbd://h:70000/", "not a port"),
            ("nbd://[::1/", "not closed"),
            ("nbd://h/%zz", "hex digits"),
            ("nbd://h/%2", "hex digits"),
            ("nbd://h/%ff", "UTF-8"),
            ("nbd://h/?a=b", "no parameters"),
            ("nbd+unix://h/?socket=s", "third slash"),
            ("nbd+unix:///", "socket=PATH"),
            ("nbd+unix:///?socket=", "socket=PATH"),
            ("nbds://h/", "TLS"),
            ("nbd+vsock://1/", "not supported"),
        ] {
            let error = Uri::parse(text).unwrap_err();
            assert!(error.contains(says), "{text}: {error}");
        }
    }
}
