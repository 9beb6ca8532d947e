"""Jobs to read, to run and to copy from, with all that they need; only the demo and `tests/samples` use this folder.

| job | does | shows |
|---|---|---|
| `sleep` | takes its time | progress, cancelling, bounds of what a job is given |
| `flaky`, `broken` | fail | retries, back-off, dead letters |
| `email` | sends text and HTML, with files by reference | idempotency where the other side has none; secrets |
| `webhook` | sends JSON to a URL that others gave | which failures are worth another attempt, and when |
| `data_processing` | makes a file and computes | a child process |
| `report` | reports what became of all jobs | progress and a checkpoint |
| `film` | a script, its scenes painted in parallel, an animated film | a pipeline, files by reference |
| `tidy` | deletes old files, each night | a schedule, a job that is safe to let alone |

`make remove-samples` deletes this folder and what belongs to it.
"""
