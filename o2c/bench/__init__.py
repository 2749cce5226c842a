"""How fast it goes: generated orders through the whole cycle, beside a bare chain on the same machine."""
