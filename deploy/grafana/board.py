"""What all dashboards share: where the figures come from, what narrows them, and the way from one to the other."""

from grafana_foundation_sdk.builders import dashboard
from grafana_foundation_sdk.models import dashboard as models

from deploy.grafana.panels import SOURCE, Panels, row

TAG = "rota"
#: The series from which a variable reads its values, because it always has the label.
FLEET, TASKS = "arq_queue_jobs", "arq_jobs_started_total"


def board(uid: str, title: str, description: str, *narrowed_by: str) -> dashboard.Dashboard:
    """Make an empty dashboard. `narrowed_by`: the labels, of queue and task, whose values can be chosen."""
    made = (
        dashboard.Dashboard(f"rota / {title}")
        .uid(uid)
        .description(description)
        .tags([TAG])
        .timezone("browser")
        .time("now-6h", "now")
        .refresh("30s")
        .readonly()
        .tooltip(models.DashboardCursorSync.CROSSHAIR)
        .link(_links())
        .with_variable(dashboard.DatasourceVariable("datasource").label("Source").type("prometheus"))
        .with_variable(_choice("namespace", f"label_values({FLEET}, namespace)"))
    )
    narrowed = 'namespace=~"$namespace"'
    for label in narrowed_by:
        source = TASKS if label == "task" else FLEET
        made.with_variable(_choice(label, f"label_values({source}{{{narrowed}}}, {label})"))
        narrowed += f',{label}=~"${label}"'
    return made


def add_rows(made: dashboard.Dashboard, *rows: tuple[str, Panels]) -> None:
    """Rows of panels, each under its heading."""
    for heading, panels in rows:
        made.with_row(row(heading))
        for panel in panels:
            made.with_panel(panel)


def _choice(label: str, query: str) -> dashboard.QueryVariable:
    return (
        dashboard.QueryVariable(label)
        .label(label.capitalize())
        .datasource(SOURCE)
        .query(query)
        .refresh(models.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(models.VariableSort.ALPHABETICAL_ASC)
        .multi(True)
        .include_all(True)
        # Series without the label match too: on Compose they have no namespace.
        .all_value(".*")
        .current(models.VariableOption(text="All", value="$__all", selected=True))
    )


def _links() -> dashboard.DashboardLink:
    return (
        dashboard.DashboardLink("rota")
        .type(models.DashboardLinkType.DASHBOARDS)
        .tags([TAG])
        .include_vars(True)
        .keep_time(True)
    )
