"""The report document as tables in a reader's language; Markdown and HTML write the same ones."""
