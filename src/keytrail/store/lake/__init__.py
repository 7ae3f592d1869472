"""The lake: events in Parquet segments, found again by column, by text and in the order of arrival."""
