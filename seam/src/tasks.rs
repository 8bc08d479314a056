//! The tasks of one process, which live and die together.

use std::cell::{Cell, RefCell};
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
    /// Where they run; absent where all of a world run together, wherever the
    /// task runs that starts them. Whoever made it owns it: tasks that hold
    /// their own group must not keep it alive.
    ground: Option<Weak<Ground>>,
}

/// Where the tasks of one machine run, under an engine that keeps machines
/// apart.
#[derive(Debug, Default)]
pub struct Ground {
    programs: LocalSet,
    inhabited: Cell<bool>,
}

impl Ground {
    /// Ground on which nothing runs yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The tasks.
    #[must_use]
    pub fn programs(&self) -> &LocalSet {
        &self.programs
    }

    /// Whether somebody has a process here, or will: see [`Tasks::settle`].
    #[must_use]
    pub fn is_inhabited(&self) -> bool {
        self.inhabited.get()
    }
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

    /// An empty group of tasks that run on `ground`, whoever starts them.
    #[must_use]
    pub fn on(ground: &Rc<Ground>) -> Self {
        Self {
            group: Rc::default(),
            ground: Some(Rc::downgrade(ground)),
        }
    }

    /// Says that a process will run where these tasks do. Before anybody has
    /// said so, an engine may leave the machine out.
    pub fn settle(&self) {
        if let Some(ground) = self.ground.as_ref().and_then(Weak::upgrade) {
            ground.inhabited.set(true);
        }
    }

    /// An empty group, for another process that runs where this one does.
    #[must_use]
    pub fn beside(&self) -> Self {
        self.settle();
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
            None => tokio::task::spawn_local(future),
            Some(ground) => ground
                .upgrade()
                .expect("programs end with their machine")
                .programs
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
