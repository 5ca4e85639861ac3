//! The status of a job.

use crate::string_enum::string_enum;

string_enum! {
    /// The status of a job.
    JobStatus {
        /// Accepted, but its entrypoint has not started.
        Pending = "PENDING",
        /// Its entrypoint is running.
        Running = "RUNNING",
        /// Stopped on request, for example by [`stop_job`](crate::RayClient::stop_job).
        Stopped = "STOPPED",
        /// Its entrypoint exited with code 0.
        Succeeded = "SUCCEEDED",
        /// Its entrypoint failed or could not be started.
        Failed = "FAILED",
    }
}

impl JobStatus {
    /// Returns whether the job has finished: stopped, succeeded or failed. An unknown status does
    /// not count as finished.
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
