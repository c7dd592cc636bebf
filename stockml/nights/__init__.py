"""A night's record, its words, many nights side by side. Never here: arithmetic on prices."""
