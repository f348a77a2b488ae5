//! Which frames become fixtures.

/// `CLIENT SERIALIZE CODE KIND [RESPONSE_CODE]`, one line a fixture; `resp` without a code means
/// SUCCESS.
///
/// `4.9.8` and `5.5.0` are the Java clients (and what they were answered), `broker5.5.0` is
/// Apache's broker talking to its name server, `v300` and `v399` are hand-written route requests of
/// older versions.
const WANTED: &str = "
4.9.8 json 105 req
4.9.8 json 34 req
4.9.8 json 310 req
4.9.8 json 320 req
4.9.8 json 11 req
4.9.8 json 15 req
4.9.8 json 41 req
4.9.8 json 35 req
4.9.8 json 105 resp
4.9.8 json 310 resp
4.9.8 json 11 resp
4.9.8 json 40 req
5.5.0 json 105 req
5.5.0 json 34 req
5.5.0 json 310 req
5.5.0 json 320 req
5.5.0 json 11 req
5.5.0 json 38 req
5.5.0 json 14 req
5.5.0 json 15 req
5.5.0 json 30 req
5.5.0 json 31 req
5.5.0 json 29 req
5.5.0 json 33 req
5.5.0 json 41 req
5.5.0 json 35 req
5.5.0 json 106 req
5.5.0 json 105 resp
5.5.0 json 105 resp 17
5.5.0 json 310 resp
5.5.0 json 320 resp
5.5.0 json 11 resp
5.5.0 json 11 resp 19
5.5.0 json 11 resp 21
5.5.0 json 38 resp
5.5.0 json 14 resp
5.5.0 json 14 resp 22
5.5.0 json 34 resp
5.5.0 json 41 resp
5.5.0 json 106 resp
5.5.0 json 40 req
4.9.8 rocketmq 310 req
4.9.8 rocketmq 11 req
5.5.0 rocketmq 105 req
5.5.0 rocketmq 34 req
5.5.0 rocketmq 310 req
5.5.0 rocketmq 320 req
5.5.0 rocketmq 11 req
5.5.0 rocketmq 105 resp
5.5.0 rocketmq 310 resp
5.5.0 rocketmq 11 resp
5.5.0 rocketmq 40 req
broker5.5.0 json 103 req
broker5.5.0 json 103 resp
broker5.5.0 rocketmq 103 req
v300 json 105 resp
v399 json 105 resp
";

/// Names of the request codes in file names.
const NAMES: [(i32, &str); 18] = [
    (11, "pull-message"),
    (14, "query-consumer-offset"),
    (15, "update-consumer-offset"),
    (29, "search-offset-by-timestamp"),
    (30, "get-max-offset"),
    (31, "get-min-offset"),
    (33, "view-message-by-id"),
    (34, "heart-beat"),
    (35, "unregister-client"),
    (38, "get-consumer-list-by-group"),
    (40, "notify-consumer-ids-changed"),
    (41, "lock-batch-mq"),
    (103, "register-broker"),
    (105, "get-routeinfo-by-topic"),
    (106, "get-broker-cluster-info"),
    (310, "send-message-v2"),
    (320, "send-batch-message"),
    (10, "send-message"),
];

/// What a frame is, as far as choosing goes. `code` is the request's, for an answer too.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Kind {
    /// Who asked.
    pub(crate) client: String,
    /// `json` or `rocketmq`.
    pub(crate) serialize: &'static str,
    /// Of the request.
    pub(crate) code: i32,
    /// Of the answer; none for a request.
    pub(crate) response: Option<i32>,
}

impl Kind {
    /// `<client>-<serialize>-<code>-<name>-<req|resp>.frame`; an answer other than SUCCESS has its
    /// code in the name.
    pub(crate) fn file_name(&self) -> String {
        let name =
            NAMES.iter().find(|(code, _)| *code == self.code).map_or("unnamed", |(_, name)| name);
        let (client, serialize, code) = (&self.client, self.serialize, self.code);
        match self.response {
            None => format!("{client}-{serialize}-{code}-{name}-req.frame"),
            Some(0) => format!("{client}-{serialize}-{code}-{name}-resp.frame"),
            Some(other) => {
                format!("{client}-{serialize}-{code}-{name}-answered-{other}-resp.frame")
            }
        }
    }

    fn line(&self) -> String {
        let head = format!("{} {} {}", self.client, self.serialize, self.code);
        match self.response {
            None => format!("{head} req"),
            Some(0) => format!("{head} resp"),
            Some(other) => format!("{head} resp {other}"),
        }
    }

    /// True for a kind in the list.
    pub(crate) fn is_wanted(&self) -> bool {
        lines().any(|line| line == self.line())
    }
}

/// The list, line by line.
pub(crate) fn lines() -> impl Iterator<Item = &'static str> {
    WANTED.lines().filter(|line| !line.is_empty())
}

/// The file name that a line of the list stands for.
pub(crate) fn file_name(line: &str) -> Option<String> {
    let mut words = line.split(' ');
    let client = words.next()?.to_owned();
    let serialize = if words.next()? == "json" { "json" } else { "rocketmq" };
    let code = words.next()?.parse().ok()?;
    let response = match (words.next()?, words.next()) {
        ("req", _) => None,
        (_, None) => Some(0),
        (_, Some(code)) => Some(code.parse().ok()?),
    };
    Some(Kind { client, serialize, code, response }.file_name())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_names_one_file() {
        let mut names: Vec<String> = lines().map(|line| file_name(line).unwrap()).collect();
        let count = names.len();
        assert!(names.iter().all(|n| !n.contains("unnamed")));
        names.sort();
        names.dedup();
        assert_eq!(names.len(), count);
        assert!(names.contains(&"5.5.0-json-11-pull-message-answered-19-resp.frame".to_owned()));
    }
}
