//! The tasks of one process, which live and die together.

use std::cell::RefCell;
use std::future::Future;
use std::rc::{Rc, Weak};

use tokio::task::{AbortHandle, JoinHandle, LocalSet};

/// The tasks of one process.
///
/// Cloning shares the group. [`Tasks::kill`] drops every task where it stands,
/// as SIGKILL does: their sockets close without a farewell at the application
/// level.
#[derive(Clone, Default)]
pub struct Tasks {
    group: Rc<RefCell<Group>>,
    ground: Ground,
}

/// Where tasks run.
#[derive(Clone, Default)]
enum Ground {
    /// Where the task runs that starts them: all of a world run together.
    #[default]
    Here,
    /// On this one, whoever starts them. Its machine owns it: tasks that hold
    /// their own group must not keep it alive.
    On(Weak<LocalSet>),
}

#[derive(Default)]
struct Group {
    handles: Vec<AbortHandle>,
    killed: bool,
    /// Length of `handles` at which finished tasks are swept out next.
    sweep_at: usize,
}

impl Tasks {
    /// An empty group.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty group of tasks that run on `machine`, whoever starts them.
    #[must_use]
    pub fn on(machine: &Rc<LocalSet>) -> Self {
        Self {
            group: Rc::default(),
            ground: Ground::On(Rc::downgrade(machine)),
        }
    }

    /// An empty group of tasks that run where those of this one do.
    #[must_use]
    pub fn beside(&self) -> Self {
        Self {
            group: Rc::default(),
            ground: self.ground.clone(),
        }
    }

    /// Starts a task in this process. After [`Tasks::kill`] it never runs.
    ///
    /// # Panics
    ///
    /// If the process's machine no longer exists.
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the one place that starts tasks, so that each belongs to a process"
    )]
    pub fn spawn<F>(&self, future: F) -> JoinHandle<F::Output>
    where
        F: Future + 'static,
        F::Output: 'static,
    {
        let task = match &self.ground {
            Ground::Here => tokio::task::spawn_local(future),
            Ground::On(machine) => machine
                .upgrade()
                .expect("programs end with their machine")
                .spawn_local(future),
        };
        let mut group = self.group.borrow_mut();
        if group.killed {
            task.abort();
        } else {
            group.remember(task.abort_handle());
        }
        task
    }

    /// Ends every task of the process, now and in future.
    pub fn kill(&self) {
        let handles = {
            let mut group = self.group.borrow_mut();
            group.killed = true;
            std::mem::take(&mut group.handles)
        };
        for handle in handles {
            handle.abort();
        }
    }

    /// Whether [`Tasks::kill`] was called.
    #[must_use]
    pub fn is_killed(&self) -> bool {
        self.group.borrow().killed
    }
}

impl Group {
    /// Sweeping at doubling lengths keeps the list proportional to the tasks
    /// alive, at constant cost per task.
    fn remember(&mut self, handle: AbortHandle) {
        if self.handles.len() >= self.sweep_at {
            self.handles.retain(|h| !h.is_finished());
            self.sweep_at = (self.handles.len() * 2).max(64);
        }
        self.handles.push(handle);
    }
}

impl std::fmt::Debug for Tasks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let group = self.group.borrow();
        f.debug_struct("Tasks")
            .field("killed", &group.killed)
            .finish_non_exhaustive()
    }
}
