"""The review page: a server on this machine only, over one run and its catalog."""
