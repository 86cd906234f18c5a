"""The realtime benchmark: our server and a Node peer under the same load on the same stores."""
