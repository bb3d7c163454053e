//! Redundancy notifications to clients that asked for them.

use ha_core::id::{ClientId, GroupId};
use ha_core::redundancy::{Answer, NotificationToken, RfState};
use tokio::sync::mpsc;

use super::driver::Command;

/// A step of the redundancy facility that a client must answer, within the client notification
/// timer.
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub struct Notification {
    /// The group.
    pub group: GroupId,
    /// The client.
    pub client: ClientId,
    /// The state that the unit is in now.
    pub state: RfState,
    pub(crate) token: NotificationToken,
}

/// Gives a client's answer, at once or later, from any thread.
#[derive(Debug)]
pub struct Responder {
    notification: Notification,
    commands: mpsc::WeakSender<Command>,
}

impl Responder {
    /// The client has done its part.
    pub fn done(self) {
        self.answer(Answer::Done);
    }

    /// The client cannot do its part; the text goes to the log.
    pub fn failed(self, cause: impl Into<String>) {
        self.answer(Answer::Failed(cause.into()));
    }

    fn answer(self, answer: Answer) {
        let Some(commands) = self.commands.upgrade() else {
            return;
        };
        let (group, token) = (self.notification.group, self.notification.token);
        let command: Command = Box::new(move |node, now| {
            if let Err(error) = node.handle_client_answer(group, token, answer, now) {
                tracing::info!(%group, %error, "late answer of a client");
            }
        });
        if let Err(mpsc::error::TrySendError::Full(command)) = commands.try_send(command) {
            // An answer must not get lost. On a thread without a runtime it can wait on the spot.
            match tokio::runtime::Handle::try_current() {
                Ok(runtime) => drop(runtime.spawn(async move { commands.send(command).await })),
                // It only fails when the node is gone, and nobody asks any more.
                Err(_) => drop(commands.blocking_send(command)),
            }
        }
    }
}

/// What is called with each notification.
pub(crate) type Handler = Box<dyn FnMut(&Notification, Responder) + Send>;

/// Hands notifications to the application.
pub(crate) struct Notifier {
    pub(crate) handler: Option<Handler>,
    pub(crate) commands: mpsc::WeakSender<Command>,
}

impl Notifier {
    pub(crate) fn notify(&mut self, notification: Notification) {
        let responder = Responder {
            notification: notification.clone(),
            commands: self.commands.clone(),
        };
        match &mut self.handler {
            Some(handler) => handler(&notification, responder),
            None => responder.done(),
        }
    }
}
