"""The back office: operations of administrators. No other package of the domain imports it."""
