//! Hardware profiles: what each kind of network card can do, what a machine has, and the plan that follows from
//! both: ports to roles, queues to cores, cores to signaling, huge pages for each node, the kernel's command line.
//!
//! [`Profiles`] are TOML with the source of each figure. [`Machine`] is read from a file system's root ([`detect`]),
//! so that a recorded machine ([`Recording`]) can be replayed. [`plan`](fn@plan) is pure: profiles, machine and [`Wishes`] in, a
//! [`Plan`] out that explains every choice and every shortfall. [`verify`](fn@verify) says where a machine differs from its plan,
//! and [`files`] are what carries a plan out.
#![forbid(unsafe_code)]

mod apply;
mod detect;
mod explain;
mod machine;
mod plan;
mod profile;
mod recording;
mod verify;

pub use apply::{File, files};
pub use detect::{DetectError, detect};
pub use machine::{Core, Iommu, Machine, Nic, Node, NodePages, PageSize, PciAddress};
pub use plan::{
    HugePages, Note, Plan, PlanError, PlannedPort, PlannedWorker, Pool, Role, Weight, Wishes,
    management_port, plan,
};
pub use profile::{
    Binding, Descriptors, Figure, Idle, PciId, Profile, ProfileError, Profiles, Range, Steering,
};
pub use recording::{Recording, RecordingError};
pub use verify::{Difference, verify};
