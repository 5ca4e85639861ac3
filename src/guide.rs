//! The guide. Each module is one chapter.
//!
//! Start with [following logs](logs) and [errors].

// Doc tests compile the chapters' examples.

#[doc = include_str!("../docs/tailing.md")]
pub mod logs {}

#[doc = include_str!("../docs/errors.md")]
pub mod errors {}

#[doc = include_str!("../docs/cluster.md")]
pub mod cluster {}

#[doc = include_str!("../docs/serve.md")]
pub mod serve {}

#[cfg_attr(feature = "packages", doc = include_str!("../docs/packages.md"))]
#[cfg_attr(not(feature = "packages"), doc = "Sending code requires the feature `packages`.")]
pub mod packages {}

#[doc = include_str!("../docs/security.md")]
pub mod security {}

#[doc = include_str!("../docs/testing.md")]
pub mod testing {}

#[doc = include_str!("../docs/compatibility.md")]
pub mod compatibility {}
