//! Questions to one peer and their answers: metadata, logs, addresses. Each
//! topic is a protocol of its own, under the workgroup's name.

use std::io;
use std::time::Duration;

use futures::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use libp2p::StreamProtocol;
use libp2p::request_response::{self, ProtocolSupport};
use manifest::admission::workgroup::WorkgroupId;

/// What can be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Topic {
    /// Newer metadata than the asker has.
    Metadata,
    /// Entries of a log; auditors only.
    Log,
    /// Where other members may be met.
    Peers,
    /// How members that networks hide reach each other; the swarm's own.
    Reach,
}

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// How long a question may take; less than an answer, or nobody would hear of
/// one that takes longer.
const QUESTION_PATIENCE: Duration = Duration::from_secs(12);

/// Questions and answers under way with one connection, each way.
const AT_ONCE: usize = 8;

impl Topic {
    /// Every topic there is.
    pub const ALL: [Self; 4] = [Self::Metadata, Self::Log, Self::Peers, Self::Reach];

    const fn name(self) -> &'static str {
        match self {
            Self::Metadata => "metadata",
            Self::Log => "log",
            Self::Peers => "peers",
            Self::Reach => "reach",
        }
    }

    /// The longest question, in bytes.
    #[must_use]
    pub const fn longest_question(self) -> usize {
        match self {
            Self::Reach => 512,
            Self::Metadata | Self::Log | Self::Peers => 16 * 1024,
        }
    }

    /// The longest answer, in bytes.
    #[must_use]
    pub const fn longest_answer(self) -> usize {
        match self {
            Self::Metadata => 4 * 1024 * 1024,
            Self::Log => 2 * 1024 * 1024,
            Self::Peers => 64 * 1024,
            Self::Reach => 512,
        }
    }

    fn protocol(self, workgroup: &WorkgroupId) -> StreamProtocol {
        StreamProtocol::try_from_owned(format!("/updraft/{workgroup}/{}/1", self.name()))
            .expect("it begins with a slash")
    }

    /// The behaviour that asks and answers on this topic.
    #[must_use]
    pub fn behaviour(self, workgroup: &WorkgroupId) -> request_response::Behaviour<Codec> {
        let protocols = [(self.protocol(workgroup), ProtocolSupport::Full)];
        let config = request_response::Config::default()
            .with_request_timeout(PATIENCE)
            .with_max_concurrent_streams(AT_ONCE);
        request_response::Behaviour::with_codec(Codec { topic: self }, protocols, config)
    }
}

/// The first byte of an answer: refused, or what follows.
const REFUSED: u8 = 0;
const ANSWERED: u8 = 1;

/// A question as it is asked, or was heard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Question {
    /// All of it.
    Whole(Vec<u8>),
    /// It goes on where the longest one would have ended.
    TooLong,
    /// Its end did not come in time.
    Unfinished,
}

/// Questions and answers as they are: a stream each way, to its end. An answer
/// begins with a byte that says whether it is one.
#[derive(Debug, Clone, Copy)]
pub struct Codec {
    topic: Topic,
}

/// Reads to the end, and not beyond `longest`.
async fn read(io: &mut (impl AsyncRead + Unpin + Send), longest: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    io.take(longest as u64 + 1).read_to_end(&mut bytes).await?;
    if bytes.len() > longest {
        return Err(io::Error::other(format!("more than the {longest} bytes that are allowed")));
    }
    Ok(bytes)
}

async fn write(io: &mut (impl AsyncWrite + Unpin + Send), bytes: &[u8]) -> io::Result<()> {
    io.write_all(bytes).await?;
    io.close().await
}

impl request_response::Codec for Codec {
    type Protocol = StreamProtocol;
    type Request = Question;
    /// Nothing if the question is refused.
    type Response = Option<Vec<u8>>;

    /// What is wrong with a question is a value: an error here would be heard
    /// of by nobody.
    async fn read_request<T>(&mut self, _: &StreamProtocol, io: &mut T) -> io::Result<Question>
    where
        T: AsyncRead + Unpin + Send,
    {
        let longest = self.topic.longest_question();
        let mut question = Vec::new();
        let mut io = io.take(longest as u64 + 1);
        let read = io.read_to_end(&mut question);
        let Ok(read) = tokio::time::timeout(QUESTION_PATIENCE, read).await else {
            return Ok(Question::Unfinished);
        };
        read?;
        Ok(if question.len() > longest { Question::TooLong } else { Question::Whole(question) })
    }

    async fn read_response<T>(
        &mut self,
        _: &StreamProtocol,
        io: &mut T,
    ) -> io::Result<Option<Vec<u8>>>
    where
        T: AsyncRead + Unpin + Send,
    {
        let mut first = [REFUSED];
        io.read_exact(&mut first).await?;
        match first {
            [ANSWERED] => Ok(Some(read(io, self.topic.longest_answer()).await?)),
            _ => Ok(None),
        }
    }

    async fn write_request<T>(
        &mut self,
        _: &StreamProtocol,
        io: &mut T,
        question: Question,
    ) -> io::Result<()>
    where
        T: AsyncWrite + Unpin + Send,
    {
        let Question::Whole(question) = question else {
            return Err(io::Error::other("what was not heard whole is not asked"));
        };
        write(io, &question).await
    }

    async fn write_response<T>(
        &mut self,
        _: &StreamProtocol,
        io: &mut T,
        answer: Option<Vec<u8>>,
    ) -> io::Result<()>
    where
        T: AsyncWrite + Unpin + Send,
    {
        match answer {
            Some(answer) => {
                io.write_all(&[ANSWERED]).await?;
                write(io, &answer).await
            }
            None => write(io, &[REFUSED]).await,
        }
    }
}
