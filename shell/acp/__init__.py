"""`loop acp`: a run as an agent of the Agent Client Protocol (ACP), for an editor or a benchmark harness."""
