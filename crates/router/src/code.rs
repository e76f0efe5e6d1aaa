//! The H-codes: what failed, in the words that Heroku's users look for.
//!
//! Says nothing about when a code is given; `docs/lifecycles/request.md` names the place for each.

/// Why a request was not simply relayed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Code {
    /// Every web dyno is crashed.
    H10,
    /// More requests wait for this app than the router is willing to hold.
    H11,
    /// The dyno had the whole request and sent no byte of a response in time.
    H12,
    /// The dyno closed the connection before the head of its response.
    H13,
    /// No web dyno is wanted: scaled to zero.
    H14,
    /// Neither side sent a byte for too long.
    H15,
    /// The head of the dyno's response does not parse.
    H17,
    /// The dyno closed the connection in the middle of the request or of its response.
    H18,
    /// No dyno accepted a connection in time.
    H19,
    /// The dynos were still booting when the request's patience ended.
    H20,
    /// No dyno accepted a connection.
    H21,
    /// The head of the dyno's response is larger than allowed.
    H25,
    /// The request breaks HTTP; [`Code::cause`] cannot tell how, the log line does.
    H26,
    /// The client left before it had its response.
    H27,
    /// The client stopped sending its request.
    H28,
    /// The app is in maintenance mode.
    H80,
    /// Nothing was ever deployed.
    H81,
    /// The router itself cannot do its work.
    H99,
}

impl Code {
    /// Every code, in order.
    pub const ALL: [Code; 18] = [
        Code::H10,
        Code::H11,
        Code::H12,
        Code::H13,
        Code::H14,
        Code::H15,
        Code::H17,
        Code::H18,
        Code::H19,
        Code::H20,
        Code::H21,
        Code::H25,
        Code::H26,
        Code::H27,
        Code::H28,
        Code::H80,
        Code::H81,
        Code::H99,
    ];

    /// The dyno did badly, and not the client or the router.
    pub(crate) fn is_of_the_dyno(self) -> bool {
        matches!(
            self,
            Code::H12 | Code::H13 | Code::H17 | Code::H18 | Code::H25
        )
    }

    /// `H12`.
    pub fn name(self) -> &'static str {
        match self {
            Code::H10 => "H10",
            Code::H11 => "H11",
            Code::H12 => "H12",
            Code::H13 => "H13",
            Code::H14 => "H14",
            Code::H15 => "H15",
            Code::H17 => "H17",
            Code::H18 => "H18",
            Code::H19 => "H19",
            Code::H20 => "H20",
            Code::H21 => "H21",
            Code::H25 => "H25",
            Code::H26 => "H26",
            Code::H27 => "H27",
            Code::H28 => "H28",
            Code::H80 => "H80",
            Code::H81 => "H81",
            Code::H99 => "H99",
        }
    }

    /// The `desc` of the log line.
    pub fn desc(self) -> &'static str {
        match self {
            Code::H10 => "App crashed",
            Code::H11 => "Backlog too deep",
            Code::H12 => "Request timeout",
            Code::H13 => "Connection closed without response",
            Code::H14 => "No web processes running",
            Code::H15 => "Idle connection",
            Code::H17 => "Poorly formatted HTTP response",
            Code::H18 => "Server Request Interrupted",
            Code::H19 => "Backend connection timeout",
            Code::H20 => "App boot timeout",
            Code::H21 => "Backend connection refused",
            Code::H25 => "HTTP restriction: oversized header",
            Code::H26 => "Request Error",
            Code::H27 => "Client Request Interrupted",
            Code::H28 => "Client Connection Idle",
            Code::H80 => "Maintenance mode",
            Code::H81 => "Blank app",
            Code::H99 => "Platform error",
        }
    }

    /// The status sent (or, for a client that left, only logged).
    pub fn status(self) -> u16 {
        match self {
            Code::H25 => 502,
            Code::H26 => 400,
            Code::H27 | Code::H28 => 499,
            _ => 503,
        }
    }

    /// The `at` of the log line.
    pub(crate) fn at(self) -> &'static str {
        match self {
            Code::H27 | Code::H28 => "warning",
            Code::H80 | Code::H81 => "info",
            _ => "error",
        }
    }

    /// The `sock` of the log line: which side's socket ended it.
    pub(crate) fn sock(self) -> Option<&'static str> {
        match self {
            Code::H18 => Some("backend"),
            Code::H27 => Some("client"),
            _ => None,
        }
    }
}
