"""Facts of public recordings of Stripe's test mode, as tables that are replayed on the sandbox.

Projects that test against Stripe's test mode keep what it answered, as VCR cassettes. Each table
names the repository, the commit and the cassette. Taken are facts only: status codes, states, error
codes, and which fields changed to what; ids and names are ours. A fact that a later API version
changed is left out.
"""
