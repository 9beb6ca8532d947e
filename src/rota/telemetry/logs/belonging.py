"""Says on every line that is written within an attempt which job it belongs to, through any logger.

The attempt is found by the context, which the coroutines, the tasks and the threads of a handler have, and its child
process too. A line outside of attempts, and a logger that is off, cost nothing.
"""

import logging

from rota.model.run import current_run


class Belonging(logging.Filter):
    """A filter that adds the fields of the attempt to each record, and lets all records pass."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Add the fields. What a call gave by the same names stays beside them, as `<name>_`."""
        run = current_run()
        if run is not None and not _is_ours(record):
            have = vars(record)
            for name, value in run.log_fields.items():
                given = have.setdefault(name, value)
                if given != value:
                    have[f"{name}_"], have[name] = given, value
        return True


def _is_ours(record: logging.LogRecord) -> bool:
    """Tell whether the engine wrote the line about a job that it names itself."""
    return record.name.startswith("rota.") and hasattr(record, "job_id")
