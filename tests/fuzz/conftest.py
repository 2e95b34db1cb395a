"""What pytest leaves alone: the fuzzer instruments every module it imports, and needs Atheris, which is no requirement."""

collect_ignore = ["run_fuzzer.py"]
