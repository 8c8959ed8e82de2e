"""Videos in tar shards, on a disk or in an object store."""
