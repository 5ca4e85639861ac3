//! The status of a job.

use crate::string_enum::string_enum;

string_enum! {
    /// The status of a job.
    JobStatus {
        /// Accepted, but its entrypoint has not started.
        Pending = "PENDING",
        /// Its entrypoint runs.
        Running = "RUNNING",
        /// Stopped by a call to stop it.
        Stopped = "STOPPED",
        /// Its entrypoint ended with exit code 0.
        Succeeded = "SUCCEEDED",
        /// Its entrypoint failed, or could not be started.
        Failed = "FAILED",
    }
}

impl JobStatus {
    /// Whether the job is over: stopped, succeeded or failed. A status that is not known is not
    /// taken for an end.
    pub fn is_terminal(&self) -> bool {
        matches!(self, Self::Stopped | Self::Succeeded | Self::Failed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_stopped_succeeded_and_failed_are_terminal() {
        for (text, terminal) in [
            ("PENDING", false),
            ("RUNNING", false),
            ("STOPPED", true),
            ("SUCCEEDED", true),
            ("FAILED", true),
            ("PAUSED", false),
        ] {
            let status = JobStatus::from(text.to_owned());
            assert_eq!((status.as_str(), status.is_terminal()), (text, terminal));
        }
    }
}
