"""The HTML page about the rows that a trimmer dropped."""
