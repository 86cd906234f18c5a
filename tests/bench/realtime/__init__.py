"""Our server and a peer in Node under the same load, in turn on the same stores."""
