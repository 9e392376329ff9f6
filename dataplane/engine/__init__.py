"""The local engine: llama.cpp in a process of its own, OpenAI-compatible over a Unix socket.

Only this package imports llama_cpp, and only as `python -m dataplane.engine`: a native fault
ends this process and not the gateway.
"""
