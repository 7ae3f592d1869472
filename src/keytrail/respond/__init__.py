"""From an alert to a remedy: plans that are proved before they are shown, and shown before they are applied."""
