"""The scenarios, a file for each subject. See ../README.md for how to add one."""
