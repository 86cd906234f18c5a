"""HTTP: routes of the operations, uploads, downloads and the address of a client behind proxies."""
