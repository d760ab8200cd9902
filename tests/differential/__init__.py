"""The request corpus of tests/conformance against servers of others."""
