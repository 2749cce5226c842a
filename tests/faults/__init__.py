"""The fault suite: real processes, a real broker and a real database are killed, stopped and emptied under load."""
