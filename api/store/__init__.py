"""The database: tables, transactions, and every query there is, by noun."""
