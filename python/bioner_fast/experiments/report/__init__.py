"""The report of a results folder: what to say (tables), how to draw it (pictures), and two renderings."""
