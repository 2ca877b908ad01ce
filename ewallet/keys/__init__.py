"""What signs and verifies bytes: suites, keys, signers."""
