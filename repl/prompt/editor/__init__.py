"""The line editor of the prompt: its keys, its looks, its history, and completion in prompt_toolkit's form.

editing.py binds our keys and says where a line goes on; own_keys.py binds those that a person has chosen, which take
precedence.
completer.py offers what repl/completing/ suggests, alias_completer.py adds aliases around it, history.py keeps lines,
discretion.py knows which of them tell a secret, and style.py has the colours. Only here does prompt_toolkit's way of doing
things show: nothing in repl/completing/ knows it, and nothing here asks QEMU by itself.
"""
