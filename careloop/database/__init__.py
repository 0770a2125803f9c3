"""PostgreSQL or TimescaleDB: connections, migrations, named SQL, and what the server can do."""
