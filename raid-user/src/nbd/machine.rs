//! The server's side of a connection, without a socket: bytes in, steps out.
//!
//! The host reads exactly [`Machine::want`] bytes, hands them to [`Machine::got`], and does what the step says. So a client's bytes
//! are never buffered beyond the limits, and how they were cut on the wire cannot matter.
//!
//! ```text
//!  ClientFlags ──> OptionHeader ──> OptionData ──┐
//!                    ^   └──────(no data)────────┤
//!                    └──────(answered)───────────┤
//!                                                └─(go, export name)─> Request ──> Payload
//!        any state ──(violation, abort, disconnect)──> Closed            ^ └──(no payload)─┤
//!                                                                        └─────────────────┘
//! ```

use super::protocol::{
    BASE_ALLOCATION, BASE_ALLOCATION_ID, Command, CommandFlags, Errno, ExportFlags, HandshakeFlags, IHAVEOPT, NBDMAGIC,
    OPTION_HEADER_BYTES, OPTION_REPLY_MAGIC, REQUEST_BYTES, REQUEST_MAGIC, info, option, rep,
};

/// What a client may cost. Each is there so that no client can hold more of the server than this.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Longest option: names are at most 4096 bytes by the document, contexts a few more.
    pub option_bytes: usize,
    /// Longest read or write; the document says that 32 MiB is what clients may rely on.
    pub payload_bytes: u32,
    /// Options before a client must choose; more is no negotiation.
    pub options: u32,
    /// Requests in flight on one connection; the host stops reading until one is answered.
    pub in_flight: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { option_bytes: 16 << 10, payload_bytes: 32 << 20, options: 256, in_flight: 32 }
    }
}

/// What is served.
#[derive(Clone, Debug)]
pub struct Export {
    /// Its name; clients may also ask for the empty name.
    pub name: String,
    /// A line for people.
    pub description: String,
    /// Its size.
    pub size_bytes: u64,
    /// Preferred block.
    pub block_bytes: u32,
    /// What it can do.
    pub flags: ExportFlags,
}

/// What a client and the server agreed on, as far as replies depend on it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Agreed {
    /// Replies come in chunks.
    pub structured: bool,
    /// The client asked for `base:allocation`.
    pub allocation: bool,
}

/// A request to be done. Its range lies in the export, its length within the limits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// What to do; never `Disconnect`.
    pub command: Command,
    /// How.
    pub flags: CommandFlags,
    /// The client's name for it.
    pub cookie: u64,
    /// Where it starts.
    pub offset_bytes: u64,
    /// How long it is.
    pub len_bytes: u32,
    /// What to write.
    pub payload: Vec<u8>,
}

/// What the host does next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Read on.
    Read,
    /// Send this, then read on.
    Send(Vec<u8>),
    /// Do this and send a reply when it is done; read on meanwhile.
    Do(Request),
    /// Refuse this with an error, then read on.
    Refuse {
        /// The request's name.
        cookie: u64,
        /// Why.
        errno: Errno,
        /// Why, for people.
        why: &'static str,
    },
    /// Send what is given, answer what is in flight, and close.
    Close {
        /// Last words.
        send: Vec<u8>,
        /// Why, for people.
        why: &'static str,
    },
}

/// Where a connection stands.
#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    ClientFlags,
    OptionHeader,
    OptionData { option: u32, len: usize },
    Request,
    Payload { request: Request, refused: Option<(Errno, &'static str)> },
    Closed,
}

/// One connection.
#[derive(Debug)]
pub struct Machine {
    export: Export,
    limits: Limits,
    state: State,
    no_zeroes: bool,
    options: u32,
    agreed: Agreed,
}

impl Machine {
    /// A new connection, and the greeting to send on it.
    #[must_use]
    pub fn new(export: Export, limits: Limits) -> (Self, Vec<u8>) {
        let flags = HandshakeFlags::FIXED_NEWSTYLE | HandshakeFlags::NO_ZEROES;
        let greeting =
            [NBDMAGIC.to_be_bytes().as_slice(), &IHAVEOPT.to_be_bytes(), &flags.bits().to_be_bytes()].concat();
        let state = State::ClientFlags;
        (Self { export, limits, state, no_zeroes: false, options: 0, agreed: Agreed::default() }, greeting)
    }

    /// How many bytes to read next. Its answer changes after [`got`](Self::got). Zero when closed.
    #[must_use]
    pub fn want(&self) -> usize {
        match &self.state {
            State::ClientFlags => 4,
            State::OptionHeader => OPTION_HEADER_BYTES,
            State::OptionData { len, .. } => *len,
            State::Request => REQUEST_BYTES,
            State::Payload { request, .. } => request.len_bytes as usize,
            State::Closed => 0,
        }
    }

    /// What was agreed on. Its answer changes only before the first request.
    #[must_use]
    pub const fn agreed(&self) -> Agreed {
        self.agreed
    }

    /// True once requests can come.
    #[must_use]
    pub const fn transmitting(&self) -> bool {
        matches!(self.state, State::Request | State::Payload { .. })
    }

    /// The write whose payload comes next, unless it is refused.
    #[must_use]
    pub const fn next_write(&self) -> Option<&Request> {
        match &self.state {
            State::Payload { request, refused: None } => Some(request),
            _ => None,
        }
    }

    /// The same, its payload taken by whoever asks; the next request comes then. Its own payload is empty.
    pub fn take_write(&mut self) -> Option<Request> {
        match std::mem::replace(&mut self.state, State::Request) {
            State::Payload { request, refused: None } => Some(request),
            state => {
                self.state = state;
                None
            }
        }
    }

    /// Takes the bytes that were wanted. Any other number of them closes the connection.
    #[must_use]
    pub fn got(&mut self, bytes: Vec<u8>) -> Step {
        if bytes.len() != self.want() {
            return self.close("the connection ended in the middle of a message");
        }
        match std::mem::replace(&mut self.state, State::Closed) {
            State::ClientFlags => self.client_flags(&bytes),
            State::OptionHeader => self.option_header(&bytes),
            State::OptionData { option, .. } => self.option(option, &bytes),
            State::Request => self.request(&bytes),
            State::Payload { mut request, refused } => {
                self.state = State::Request;
                match refused {
                    Some((errno, why)) => Step::Refuse { cookie: request.cookie, errno, why },
                    None => {
                        request.payload = bytes;
                        Step::Do(request)
                    }
                }
            }
            State::Closed => self.close("closed"),
        }
    }

    fn close(&mut self, why: &'static str) -> Step {
        self.state = State::Closed;
        Step::Close { send: Vec::new(), why }
    }

    fn client_flags(&mut self, bytes: &[u8]) -> Step {
        let Ok(flags) = bytes.try_into().map(u32::from_be_bytes) else { return self.close("short") };
        let known = u16::try_from(flags).ok().and_then(HandshakeFlags::from_bits);
        let Some(flags) = known else { return self.close("unknown handshake flags") };
        if !flags.contains(HandshakeFlags::FIXED_NEWSTYLE) {
            return self.close("the client does not speak fixed newstyle");
        }
        self.no_zeroes = flags.contains(HandshakeFlags::NO_ZEROES);
        self.state = State::OptionHeader;
        Step::Read
    }

    fn option_header(&mut self, bytes: &[u8]) -> Step {
        let mut fields = Fields(bytes);
        let (Some(magic), Some(option), Some(len)) = (fields.u64(), fields.u32(), fields.u32()) else {
            return self.close("short");
        };
        if magic != IHAVEOPT {
            return self.close("an option without its magic number");
        }
        self.options += 1;
        if self.options > self.limits.options {
            return self.close("too many options");
        }
        let len = len as usize;
        if len > self.limits.option_bytes {
            self.state = State::Closed;
            return Step::Close {
                send: option_reply(option, rep::ERR_TOO_BIG, &[]),
                why: "an option that is too long",
            };
        }
        if len == 0 {
            return self.option(option, &[]);
        }
        self.state = State::OptionData { option, len };
        Step::Read
    }

    fn option(&mut self, option: u32, data: &[u8]) -> Step {
        self.state = State::OptionHeader;
        let just = |reply| Step::Send(option_reply(option, reply, &[]));
        match option {
            option::EXPORT_NAME => self.export_name(data),
            option::ABORT => {
                self.state = State::Closed;
                Step::Close { send: option_reply(option, rep::ACK, &[]), why: "the client went away" }
            }
            option::LIST if data.is_empty() => {
                let name = self.export.name.as_bytes();
                let entry = [&length(name), name].concat();
                Step::Send([option_reply(option, rep::SERVER, &entry), option_reply(option, rep::ACK, &[])].concat())
            }
            option::STRUCTURED_REPLY if data.is_empty() => {
                self.agreed.structured = true;
                just(rep::ACK)
            }
            option::LIST | option::STRUCTURED_REPLY => just(rep::ERR_INVALID),
            option::INFO | option::GO => self.info(option, data),
            option::LIST_META_CONTEXT | option::SET_META_CONTEXT => self.meta_context(option, data),
            _ => just(rep::ERR_UNSUP),
        }
    }

    fn serves(&self, name: &[u8]) -> bool {
        name.is_empty() || name == self.export.name.as_bytes()
    }

    /// The old way to choose: no answer but the export, and no way to say no but to hang up.
    fn export_name(&mut self, name: &[u8]) -> Step {
        if !self.serves(name) {
            return self.close("the client asked for an export that is not here");
        }
        let mut reply = self.export_fields();
        reply.resize(reply.len() + if self.no_zeroes { 0 } else { 124 }, 0);
        self.state = State::Request;
        Step::Send(reply)
    }

    fn export_fields(&self) -> Vec<u8> {
        [self.export.size_bytes.to_be_bytes().as_slice(), &self.export.flags.bits().to_be_bytes()].concat()
    }

    fn info(&mut self, option: u32, data: &[u8]) -> Step {
        let mut fields = Fields(data);
        let just = |reply| Step::Send(option_reply(option, reply, &[]));
        let (Some(name), Some(count)) = (fields.string(), fields.u16()) else { return just(rep::ERR_INVALID) };
        let wanted: Vec<u16> = std::iter::from_fn(|| fields.u16()).collect();
        if wanted.len() != usize::from(count) || !fields.0.is_empty() {
            return just(rep::ERR_INVALID);
        }
        if !self.serves(name) {
            return just(rep::ERR_UNKNOWN);
        }
        let item = |kind: u16, body: &[u8]| option_reply(option, rep::INFO, &[&kind.to_be_bytes(), body].concat());
        let mut reply = item(info::EXPORT, &self.export_fields());
        for kind in [info::NAME, info::DESCRIPTION, info::BLOCK_SIZE].into_iter().filter(|kind| wanted.contains(kind)) {
            reply.extend(match kind {
                info::NAME => item(kind, self.export.name.as_bytes()),
                info::DESCRIPTION => item(kind, self.export.description.as_bytes()),
                _ => {
                    let sizes = [1, self.export.block_bytes.max(512), self.limits.payload_bytes];
                    item(kind, &sizes.map(u32::to_be_bytes).concat())
                }
            });
        }
        reply.extend(option_reply(option, rep::ACK, &[]));
        if option == option::GO {
            self.state = State::Request;
        }
        Step::Send(reply)
    }

    fn meta_context(&mut self, option: u32, data: &[u8]) -> Step {
        let just = |reply| Step::Send(option_reply(option, reply, &[]));
        let mut fields = Fields(data);
        let (Some(name), Some(count)) = (fields.string(), fields.u32()) else { return just(rep::ERR_INVALID) };
        let queries: Vec<&[u8]> = std::iter::from_fn(|| fields.string()).collect();
        if queries.len() != count as usize || !fields.0.is_empty() || !self.agreed.structured {
            return just(rep::ERR_INVALID);
        }
        if !self.serves(name) {
            return just(rep::ERR_UNKNOWN);
        }
        let listing = option == option::LIST_META_CONTEXT;
        let asks = |query: &&[u8]| *query == BASE_ALLOCATION.as_bytes() || listing && *query == b"base:";
        let chosen = queries.iter().any(asks) || listing && queries.is_empty();
        let mut reply = Vec::new();
        if chosen {
            let id = if listing { 0 } else { BASE_ALLOCATION_ID };
            let body = [&id.to_be_bytes(), BASE_ALLOCATION.as_bytes()].concat();
            reply.extend(option_reply(option, rep::META_CONTEXT, &body));
        }
        if !listing {
            self.agreed.allocation = chosen;
        }
        reply.extend(option_reply(option, rep::ACK, &[]));
        Step::Send(reply)
    }

    fn request(&mut self, bytes: &[u8]) -> Step {
        let mut fields = Fields(bytes);
        let head = (fields.u32(), fields.u16(), fields.u16(), fields.u64(), fields.u64(), fields.u32());
        let (Some(magic), Some(flags), Some(number), Some(cookie), Some(offset_bytes), Some(len_bytes)) = head else {
            return self.close("short");
        };
        if magic != REQUEST_MAGIC {
            return self.close("a request without its magic number");
        }
        let command = Command::from_number(number);
        let request = Request {
            command: command.unwrap_or(Command::Flush),
            flags: CommandFlags::from_bits_retain(flags),
            cookie,
            offset_bytes,
            len_bytes,
            payload: Vec::new(),
        };
        let refused = self.refusal(command, &request);
        match command {
            Some(Command::Disconnect) => self.close("the client went away"),
            Some(Command::Write) if len_bytes > self.limits.payload_bytes => self.close("a write that is too long"),
            Some(Command::Write) if len_bytes > 0 => {
                self.state = State::Payload { request, refused };
                Step::Read
            }
            _ => {
                self.state = State::Request;
                match refused {
                    Some((errno, why)) => Step::Refuse { cookie, errno, why },
                    None => Step::Do(request),
                }
            }
        }
    }

    /// Why a request cannot be done, by the document's rules.
    fn refusal(&self, command: Option<Command>, request: &Request) -> Option<(Errno, &'static str)> {
        let Some(command) = command else { return Some((Errno::Inval, "unknown command")) };
        if !command.flags().contains(request.flags)
            || request.flags.contains(CommandFlags::DF) && !self.agreed.structured
        {
            return Some((Errno::Inval, "a flag that does not go with the command"));
        }
        if matches!(command, Command::Flush | Command::Disconnect) {
            return None;
        }
        if command.writes() && self.export.flags.contains(ExportFlags::READ_ONLY) {
            return Some((Errno::Perm, "the export is read-only"));
        }
        if request.flags.contains(CommandFlags::FAST_ZERO) {
            return Some((Errno::NotSup, "zeros may not be faster than data"));
        }
        let end = request.offset_bytes.checked_add(u64::from(request.len_bytes));
        if end.is_none_or(|end| end > self.export.size_bytes) {
            return Some((if command.writes() { Errno::NoSpc } else { Errno::Inval }, "past the end of the export"));
        }
        match command {
            Command::Read if request.len_bytes > self.limits.payload_bytes => {
                Some((Errno::Overflow, "a read that is too long"))
            }
            Command::BlockStatus if !self.agreed.allocation => Some((Errno::Inval, "no metadata context was chosen")),
            Command::BlockStatus | Command::Read if request.len_bytes == 0 => Some((Errno::Inval, "a length of zero")),
            _ => None,
        }
    }
}

/// A reply to an option.
fn option_reply(option: u32, reply: u32, data: &[u8]) -> Vec<u8> {
    let head = [OPTION_REPLY_MAGIC.to_be_bytes().as_slice(), &option.to_be_bytes(), &reply.to_be_bytes()].concat();
    [&head, length(data).as_slice(), data].concat()
}

/// The length of something short, as it goes on the wire.
fn length(data: &[u8]) -> [u8; 4] {
    u32::try_from(data.len()).unwrap_or(u32::MAX).to_be_bytes()
}

/// Big-endian fields from the front of a message.
pub(super) struct Fields<'a>(pub(super) &'a [u8]);

impl<'a> Fields<'a> {
    pub(super) fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (first, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*first)
    }

    pub(super) fn u16(&mut self) -> Option<u16> {
        self.take().map(u16::from_be_bytes)
    }

    pub(super) fn u32(&mut self) -> Option<u32> {
        self.take().map(u32::from_be_bytes)
    }

    pub(super) fn u64(&mut self) -> Option<u64> {
        self.take().map(u64::from_be_bytes)
    }

    /// Bytes behind their 32-bit length.
    fn string(&mut self) -> Option<&'a [u8]> {
        let (len, rest) = self.0.split_first_chunk::<4>()?;
        let (string, rest) = rest.split_at_checked(u32::from_be_bytes(*len) as usize)?;
        self.0 = rest;
        Some(string)
    }
}
