"""The line editor of the prompt: its keys, its looks, its history, and completion as prompt_toolkit wants it."""
