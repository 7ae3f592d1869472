"""The continuous service: takes in records, runs rules over them, investigates alerts, tells people."""
