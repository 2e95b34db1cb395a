"""Other people's runtimes, each of which runs a program in a form of its own and tells where its integers differ."""
