"""Which model fits a question and its data: look (numbers), judge (statements that rest on them), say (text and HTML)."""
