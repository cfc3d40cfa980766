"""Alembic's entry: runs inside the transaction that `service.database.database.Database` has begun."""

from alembic import context

from service.database.tables import METADATA

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=METADATA,
    transactional_ddl=True,  # of SQLite too, since the transaction is begun by us and not by its driver
)
with context.begin_transaction():
    context.run_migrations()
