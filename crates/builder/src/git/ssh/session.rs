//! What one client may ask for: to log in by a key, and to run a command of git on each channel.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use russh::keys::HashAlg;
use russh::server::{
    Auth, ChannelOpenHandle, Handler, Msg, PublicKeyOffer, Session, VerifiedPublicKey,
};
use russh::{Channel, ChannelId, ChannelOpenFailure, Pty};
use tokio::sync::{OwnedSemaphorePermit, mpsc, watch};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::auth::owner;
use super::exec;
use super::serve::{self, Client};
use crate::context::Context;
use crate::git::exchange::Service;

/// Channels open at once on a connection that clients share among several gits.
const MAX_CHANNELS: usize = 8;
/// Pieces of input on their way to git; a slow git slows its own client.
const INPUT_AHEAD: usize = 16;

/// How far a connection has come; whoever ends idle ones looks at it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Stage {
    pub(super) logged_in: bool,
    /// Commands under way.
    pub(super) running: usize,
}

/// The account whose key was shown.
struct Known {
    fingerprint: String,
    email: String,
}

/// A channel.
enum Held {
    /// No command yet.
    Waiting { version: Option<&'static str> },
    /// Dropping it ends the command.
    Running {
        /// `None` once the client has said everything.
        input: Option<mpsc::Sender<Bytes>>,
        _gone: DropGuard,
    },
}

/// One connection. Dropping it ends what runs for it.
pub(super) struct Connection {
    context: Arc<Context>,
    stage: Arc<watch::Sender<Stage>>,
    known: Option<Known>,
    channels: HashMap<ChannelId, Held>,
    _place: OwnedSemaphorePermit,
}

/// A command under way, counted.
struct Counted(Arc<watch::Sender<Stage>>);

impl Counted {
    fn new(stage: &Arc<watch::Sender<Stage>>) -> Self {
        stage.send_modify(|stage| stage.running += 1);
        Self(Arc::clone(stage))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0
            .send_modify(|stage| stage.running = stage.running.saturating_sub(1));
    }
}

impl Connection {
    pub(super) fn new(
        context: Arc<Context>,
        stage: Arc<watch::Sender<Stage>>,
        place: OwnedSemaphorePermit,
    ) -> Self {
        Self {
            context,
            stage,
            known: None,
            channels: HashMap::new(),
            _place: place,
        }
    }

    /// Says why not and ends the channel with status 1.
    fn refuse(&mut self, channel: ChannelId, text: &str, session: &mut Session) -> Answer {
        session.channel_success(channel)?;
        session.extended_data(channel, 1, format!("{text}\n"))?;
        session.exit_status_request(channel, 1)?;
        session.eof(channel)?;
        session.close(channel)
    }

    async fn owner(&self, key: &russh::keys::PublicKey) -> Result<Option<Known>, russh::Error> {
        let fingerprint = key.fingerprint(HashAlg::Sha256).to_string();
        let user = owner(&self.context, &fingerprint)
            .await
            .map_err(|_| russh::Error::Disconnect)?;
        Ok(user.map(|user| Known {
            fingerprint,
            email: user.email,
        }))
    }
}

type Answer = Result<(), russh::Error>;

impl Handler for Connection {
    type Error = russh::Error;

    async fn auth_publickey_offered(
        &mut self,
        _user: &str,
        offer: PublicKeyOffer<'_>,
    ) -> Result<Auth, russh::Error> {
        Ok(match self.owner(offer.public_key).await? {
            Some(_) => Auth::Accept,
            None => Auth::reject(),
        })
    }

    async fn auth_publickey(
        &mut self,
        _user: &str,
        key: VerifiedPublicKey<'_>,
    ) -> Result<Auth, russh::Error> {
        self.known = self.owner(key.public_key).await?;
        Ok(match self.known {
            Some(_) => Auth::Accept,
            None => Auth::reject(),
        })
    }

    async fn auth_succeeded(&mut self, _session: &mut Session) -> Answer {
        self.stage.send_modify(|stage| stage.logged_in = true);
        Ok(())
    }

    async fn channel_open_session(
        &mut self,
        channel: Channel<Msg>,
        reply: ChannelOpenHandle,
        _session: &mut Session,
    ) -> Answer {
        if self.channels.len() >= MAX_CHANNELS {
            reply.reject(ChannelOpenFailure::ResourceShortage).await;
            return Ok(());
        }
        self.channels
            .insert(channel.id(), Held::Waiting { version: None });
        reply.accept().await;
        Ok(())
    }

    async fn env_request(
        &mut self,
        channel: ChannelId,
        name: &str,
        value: &str,
        session: &mut Session,
    ) -> Answer {
        match self.channels.get_mut(&channel) {
            Some(Held::Waiting { version }) if (name, value) == ("GIT_PROTOCOL", "version=2") => {
                *version = Some("version=2");
                session.channel_success(channel)
            }
            _ => session.channel_failure(channel),
        }
    }

    async fn exec_request(
        &mut self,
        channel: ChannelId,
        command: &[u8],
        session: &mut Session,
    ) -> Answer {
        let (Some(Held::Waiting { version }), Some(known)) =
            (self.channels.get(&channel), &self.known)
        else {
            return session.channel_failure(channel);
        };
        let version = *version;
        let Some(asked) = exec::parse(command) else {
            let text = "Ropewalk runs only git here: git push and git fetch.";
            return self.refuse(channel, text, session);
        };
        session.channel_success(channel)?;
        let client = Client {
            handle: session.handle(),
            channel,
        };
        let (input, received) = mpsc::channel(INPUT_AHEAD);
        let gone = CancellationToken::new();
        let (left, counted) = (gone.clone(), Counted::new(&self.stage));
        let context = Arc::clone(&self.context);
        let fingerprint = known.fingerprint.clone();
        let version = version.filter(|_| asked.service == Service::Upload);
        let running = serve::run(context, client, fingerprint, asked, version, received);
        self.context.tasks.spawn(async move {
            let _counted = counted;
            tokio::select! {
                () = running => {}
                () = left.cancelled() => {}
            }
        });
        let held = Held::Running {
            input: Some(input),
            _gone: gone.drop_guard(),
        };
        self.channels.insert(channel, held);
        Ok(())
    }

    async fn shell_request(&mut self, channel: ChannelId, session: &mut Session) -> Answer {
        let (Some(Held::Waiting { .. }), Some(known)) = (self.channels.get(&channel), &self.known)
        else {
            return session.channel_failure(channel);
        };
        let text = format!("Hi {}, Ropewalk does not give shell access.", known.email);
        self.refuse(channel, &text, session)
    }

    async fn data(&mut self, channel: ChannelId, data: &[u8], _session: &mut Session) -> Answer {
        if let Some(Held::Running { input, .. }) = self.channels.get_mut(&channel)
            && let Some(sender) = input
            && sender.send(Bytes::copy_from_slice(data)).await.is_err()
        {
            *input = None;
        }
        Ok(())
    }

    async fn channel_eof(&mut self, channel: ChannelId, _session: &mut Session) -> Answer {
        if let Some(Held::Running { input, .. }) = self.channels.get_mut(&channel) {
            *input = None;
        }
        Ok(())
    }

    async fn channel_close(&mut self, channel: ChannelId, _session: &mut Session) -> Answer {
        self.channels.remove(&channel);
        Ok(())
    }

    async fn subsystem_request(
        &mut self,
        channel: ChannelId,
        _name: &str,
        session: &mut Session,
    ) -> Answer {
        session.channel_failure(channel)
    }

    async fn pty_request(
        &mut self,
        channel: ChannelId,
        _term: &str,
        _columns: u32,
        _rows: u32,
        _width: u32,
        _height: u32,
        _modes: &[(Pty, u32)],
        session: &mut Session,
    ) -> Answer {
        session.channel_failure(channel)
    }

    async fn x11_request(
        &mut self,
        channel: ChannelId,
        _single: bool,
        _protocol: &str,
        _cookie: &str,
        _screen: u32,
        session: &mut Session,
    ) -> Answer {
        session.channel_failure(channel)
    }
}
