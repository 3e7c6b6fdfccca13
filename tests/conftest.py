"""The example of a plugin by somebody else is not part of the workspace: ``test_third_party`` installs and tests it."""

collect_ignore = ["third_party"]
