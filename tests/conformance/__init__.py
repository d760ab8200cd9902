"""A black-box suite of HTTP/1.1 and ASGI behaviour, for any server.

    APP = tests.conformance.app:app
    python -m tests.conformance --address HOST:PORT
"""
