"""Tables, summaries and comparisons."""
