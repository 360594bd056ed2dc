"""The examiner process: connections, workers, the examination of a sample, findings, self-test and kernel warm-up."""
