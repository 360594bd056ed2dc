"""The examiner process: connections, workers, the examination of samples, findings, self-test and kernel warm-up."""
