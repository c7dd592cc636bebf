"""Prefect's own vacuum of its database, for who has no lasting server: that of `stockml up` does it every hour."""

import asyncio


def vacuum() -> None:
    """Delete the runs that ended longer ago than Prefect's settings keep them, with their logs and artifacts.

    To be called where Prefect's settings name the database, as within `prefect_api()`.
    """
    from prefect.server.database import provide_database_interface
    from prefect.server.services.db_vacuum import vacuum_old_flow_runs

    asyncio.run(vacuum_old_flow_runs(db=provide_database_interface()))
