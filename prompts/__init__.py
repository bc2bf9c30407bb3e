"""The prompt file: its manifest, its verification and its safe writing; imports no torch."""
