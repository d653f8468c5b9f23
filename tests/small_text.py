"""Text written for the tests: Python code that no training set holds."""

HELD_OUT = '''
def interval_overlap(first, second):
    """Return the part that two closed intervals share, or None if they are apart."""
    if first is None or second is None:
        return None
    start = max(first[0], second[0])
    stop = min(first[1], second[1])
    if start > stop:
        return None
    return start, stop


class Calendar:
    """Keeps a sorted list of appointments."""

    def __init__(self, owner, entries=()):
        self.owner = owner
        self.entries = list(entries)
        self.entries.sort(key=lambda entry: entry.start)

    def add(self, entry):
        for other in self.entries:
            if interval_overlap(entry.span, other.span) is not None:
                raise ValueError("the appointment %r overlaps with %r" % (entry, other))
        self.entries.append(entry)
        self.entries.sort(key=lambda entry: entry.start)

    def __len__(self):
        return len(self.entries)

    def __iter__(self):
        return iter(self.entries)
'''
