"""The playbooks, run as people run them."""
