"""Documents that are made from the code and kept beside it: message schemas, who hears whom, AsyncAPI and OpenAPI, and
the alerts as Kubernetes wants them.

`python -m o2c.documents` writes them, `python -m o2c.documents --check` says which are out of date.
"""
