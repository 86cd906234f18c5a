"""The documents of the API, made from the list of namespaces: OpenAPI and AsyncAPI.

Decision: nothing is written twice. Commands, answers and pushes are structs, and these are what is
described; roles, rate limits and errors are read from the operations. The tests check every answer
and push that they see against the same types.
"""
