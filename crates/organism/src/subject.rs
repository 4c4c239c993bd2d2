//! What a method sees: the network, its task and nothing of the truth.

use crate::{Error, Specimen, Task};
use flyroom_network::{Network, Runner};
use flyroom_tensor::Context;

/// A specimen on its task, ready to be run.
#[derive(Debug)]
pub struct Subject<'a> {
    /// Name for people.
    pub label: String,
    /// The specimen's id.
    pub id: String,
    /// Registry entry of its organism.
    pub organism: String,
    /// The network on the task's inputs.
    pub runner: Runner<'a>,
    /// The task.
    pub task: &'a Task,
    /// Kernels and threads.
    pub context: Context,
}

impl<'a> Subject<'a> {
    /// Puts a specimen to its task.
    pub fn new(specimen: &'a Specimen, task: &'a Task, cx: &Context) -> Result<Self, Error> {
        Ok(Self {
            label: specimen.label(),
            id: specimen.id(),
            organism: specimen.spec.organism.clone(),
            runner: Runner::new(&specimen.network, &task.inputs, cx)?,
            task,
            context: cx.clone(),
        })
    }

    /// The network.
    pub fn network(&self) -> &Network {
        self.runner.network()
    }
}
