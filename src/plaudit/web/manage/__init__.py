"""Pages of owners and reviewers: how the work goes, items, people, rules, and the API in words."""
