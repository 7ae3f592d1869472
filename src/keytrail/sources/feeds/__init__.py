"""New objects and records as they arrive: folders, buckets, queues, LookupEvents, standard input."""
