//! Restarts of applications, without a new version.

use openmesh_blueprint::document::Name;
use openmesh_xnode::XnodeError;
use openmesh_xnode::open;
use openmesh_xnode::restarts::{NoRestart, Restart, Way, Wished};

use super::{Asked, Service, names};
use crate::error::AgentError;
use crate::views::{self, EventKind};

impl Service {
    /// Lets instances of an application be started anew: the one that is named, or all of them. Blocks: not for an asynchronous task.
    ///
    /// # Errors
    /// It is not there, stopped, paused, held, or another version of it is on its way: each with what helps, and nothing has changed.
    pub fn restart(&self, name: &Name, instance: Option<&str>, asked: &Asked) -> Result<views::Restarting, AgentError> {
        let _change = self.change.blocking_lock();
        self.check_expected(asked)?;
        let look = self.agent.look()?;
        // A step that fails is tried again as it is: an instance that cannot be started once is not started anew either.
        let trouble = self.work().troubles.into_iter().find(|one| one.application.as_deref() == Some(name.as_str()));
        let wished = Wished { by: &asked.by, reason: &asked.reason, instance };
        openmesh_xnode::restarts::meant(&look, name, instance).map_err(XnodeError::from)?;
        if let Some(trouble) = trouble {
            return Err(XnodeError::from(NoRestart::Held { name: name.clone(), cause: trouble.cause }).into());
        }
        let (_, events) = self.history.since(u64::MAX);
        let Restart { number, instances, way } = self.agent.restart(&look, name, wished, &open)?;
        let how = match way {
            Way::Rolling => "one instance after another, while the others have its traffic",
            Way::Held => "requests wait meanwhile",
        };
        let (by, reason, all) = (&asked.by, &asked.reason, names(instances.iter()));
        let text = format!("restart {number} of {name} is asked for by {by}: {reason}; {all}, {how}");
        let generation = look.wanted.map_or(0, |wanted| wanted.number);
        self.history.note(EventKind::Restart, generation, Some(name.to_string()), text);
        self.wake.notify_one();
        let instances = instances.iter().map(ToString::to_string).collect();
        Ok(views::Restarting { application: name.to_string(), number, instances, way: way.into(), events })
    }
}

impl From<Way> for views::RestartWay {
    fn from(way: Way) -> views::RestartWay {
        match way {
            Way::Rolling => views::RestartWay::Rolling,
            Way::Held => views::RestartWay::Held,
        }
    }
}
