"""The kinds of panels that dashboards are made of, and what is the same on all of them."""

from collections.abc import Mapping, Sequence

from grafana_foundation_sdk.builders import common, dashboard, heatmap, prometheus, stat, table, timeseries
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models import common as common_models
from grafana_foundation_sdk.models import dashboard as models
from grafana_foundation_sdk.models import heatmap as heatmap_models
from grafana_foundation_sdk.models import prometheus as prometheus_models

#: Prometheus, as chosen by the first variable of each dashboard.
SOURCE = models.DataSourceRef(type_val="prometheus", uid="$datasource")
PER_SECOND = "suffix: /s"
GREEN, ORANGE, RED = "green", "orange", "red"
#: The widths of panels, in columns of the grid, which has 24.
NARROW, HALF, WIDE = 4, 12, 24

#: A query, and the names of its lines.
Line = tuple[str, str]
Panels = list[Builder[models.Panel]]


def graph(
    title: str, unit: str, description: str, *lines: Line, span: int = HALF, stacked: bool = False
) -> timeseries.Panel:
    """Lines over time; `stacked` where their sum means something."""
    panel = (
        timeseries.Panel()
        .title(title)
        .description(description)
        .datasource(SOURCE)
        .unit(unit)
        .min(0)
        .span(span)
        .height(8)
        .fill_opacity(40 if stacked else 8)
        .show_points(common_models.VisibilityMode.NEVER)
        .legend(_legend())
        .tooltip(common.VizTooltipOptions().mode(common_models.TooltipDisplayMode.MULTI))
    )
    if stacked:
        panel.stacking(common.StackingConfig().mode(common_models.StackingMode.NORMAL))
    for at, (expr, called) in enumerate(lines):
        panel.with_target(_query(at, expr).legend_format(called).range())
    return panel


def number(
    title: str,
    unit: str,
    description: str,
    expr: str,
    *,
    orange: float | None = None,
    red: float | None = None,
    fine: float = 0,
    said: Mapping[str, str] | None = None,
) -> stat.Panel:
    """Make a panel of one figure now, which is green from `fine` on, orange from `orange` and red from `red`.

    `said` puts words in place of values.
    """
    panel = (
        stat.Panel()
        .title(title)
        .description(description)
        .datasource(SOURCE)
        .unit(unit)
        .span(NARROW)
        .height(4)
        .no_value("-")
        .color_mode(common_models.BigValueColorMode.BACKGROUND)
        .graph_mode(common_models.BigValueGraphMode.NONE)
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
        .thresholds(_thresholds(fine, orange, red))
        .with_target(_query(0, expr).instant())
    )
    if said:
        words = {value: models.ValueMappingResult(text=text) for value, text in said.items()}
        panel.mappings([models.ValueMap(options=words)])
    return panel


def rows(
    title: str, description: str, columns: Sequence[tuple[str, str, str]], by: Sequence[str]
) -> table.Panel:
    """Make a table with a line for each value of the labels `by`; a column is its heading, unit and query."""
    panel = (
        table.Panel()
        .title(title)
        .description(description)
        .datasource(SOURCE)
        .unit("short")
        .span(WIDE)
        .height(9)
    )
    for at, (heading, unit, expr) in enumerate(columns):
        panel.with_target(_query(at, expr).instant().format(prometheus_models.PromQueryFormat.TABLE))
        named = [models.DynamicConfigValue("displayName", heading), models.DynamicConfigValue("unit", unit)]
        # The name that Grafana gives the column of a query when there are several.
        panel.override_by_name(f"Value #{_letter(at)}" if len(columns) > 1 else "Value", named)
    if len(columns) > 1:
        panel.with_transformation(_transformed("joinByField", {"byField": by[0], "mode": "outer"}))
    kept = {"include": {"pattern": f"^({'|'.join(by)}|Value.*)$"}}
    return panel.with_transformation(_transformed("filterFieldsByName", kept))


def spread(title: str, unit: str, description: str, expr: str) -> heatmap.Panel:
    """Make a heatmap of a histogram, which shows all its observations over time, where a quantile shows one."""
    return (
        heatmap.Panel()
        .title(title)
        .description(description)
        .datasource(SOURCE)
        .unit(unit)
        .span(WIDE)
        .height(9)
        .calculate(False)
        .color(
            heatmap.HeatmapColorOptions()
            .mode(heatmap_models.HeatmapColorMode.SCHEME)
            .scheme("Oranges")
            .exponent(0.5)
            .steps(64)
        )
        .y_axis(heatmap.YAxisConfig().unit(unit))
        .with_target(
            _query(0, expr).format(prometheus_models.PromQueryFormat.HEATMAP).legend_format("{{le}}").range()
        )
    )


def row(title: str) -> dashboard.Row:
    """Make a heading above the panels that follow."""
    return dashboard.Row(title)


def _query(at: int, expr: str) -> prometheus.Dataquery:
    return prometheus.Dataquery().ref_id(_letter(at)).datasource(SOURCE).expr(expr)


def _transformed(kind: str, options: Mapping[str, object]) -> models.DataTransformerConfig:
    return models.DataTransformerConfig(id_val=kind, options=options)


def _letter(at: int) -> str:
    return chr(ord("A") + at)


def _legend() -> common.VizLegendOptions:
    return (
        common.VizLegendOptions()
        .show_legend(True)
        .display_mode(common_models.LegendDisplayMode.TABLE)
        .placement(common_models.LegendPlacement.BOTTOM)
        .calcs(["lastNotNull", "max"])
    )


def _thresholds(fine: float, orange: float | None, red: float | None) -> dashboard.ThresholdsConfig:
    # Below `fine` (which is nothing by default) the figure is red as well.
    steps = [models.Threshold(value=None, color=RED if fine else GREEN)]
    for value, color in ((fine or None, GREEN), (orange, ORANGE), (red, RED)):
        if value is not None:
            steps.append(models.Threshold(value=value, color=color))
    return dashboard.ThresholdsConfig().mode(models.ThresholdsMode.ABSOLUTE).steps(steps)
