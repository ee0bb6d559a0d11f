"""What all dashboards have in common, so that they look and behave alike."""

import json
from urllib.parse import quote

from grafana_foundation_sdk.builders import common, stat, timeseries
from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.builders import prometheus as prom
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models import dashboard as model
from grafana_foundation_sdk.models.common import (
    BigValueColorMode,
    BigValueGraphMode,
    GraphDrawStyle,
    LegendDisplayMode,
    LegendPlacement,
    SortOrder,
    StackingMode,
    TooltipDisplayMode,
    VisibilityMode,
)

PROMETHEUS = model.DataSourceRef(type_val="prometheus", uid="prometheus")
TAG = "calendly-pipeline"
SERVICES = 'job=~"ingest|processor|retrier"'

GREEN, ORANGE, RED, BLUE = "green", "orange", "red", "blue"

Link = Builder[model.DashboardLink]
Panel = Builder[model.Panel]
# An expression and the name of its series.
Query = tuple[str, str]
# A value, and the colour from there on.
Step = tuple[float, str]


def explore(pane: dict[str, object]) -> str:
    """Address of Grafana's Explore with this pane, for the time that the dashboard shows."""
    pane["range"] = {"from": "@from@", "to": "@to@"}
    text = quote(json.dumps({"a": pane}, separators=(",", ":")), safe="@")
    text = text.replace("@from@", "${__from}").replace("@to@", "${__to}").replace("@logs@", "${logs}")
    return f"/explore?schemaVersion=1&orgId=1&panes={text}"


def traces(service: str, operation: str) -> Link:
    """Link to the traces of a service that contain this span."""
    jaeger = {"type": "jaeger", "uid": "jaeger"}
    query = {"refId": "A", "datasource": jaeger, "queryType": "search", "service": service, "operation": operation}
    return _link(f"Traces of {service}: {operation}", explore({"datasource": "jaeger", "queries": [query]}))


def logs(service: str) -> Link:
    """Link to what a service logged of level warn and above, in the Loki that the variable `logs` names."""
    loki = {"type": "loki", "uid": "@logs@"}
    expression = f'{{service_name="{service}"}} | json | level=~"WARN|ERROR"'
    query = {"refId": "A", "datasource": loki, "queryType": "range", "expr": expression}
    return _link(f"Logs of {service}", explore({"datasource": "@logs@", "queries": [query]}))


def go(title: str, uid: str) -> Link:
    """Link to another of our dashboards, with time and variables kept."""
    return _link(title, f"/d/{uid}?${{__url_time_range}}&${{__all_variables}}")


def _link(title: str, url: str) -> Link:
    return build.DashboardLink(title).type(model.DashboardLinkType.LINK).url(url).target_blank(True)


def _thresholds(steps: list[Step], base: str) -> build.ThresholdsConfig:
    first = model.Threshold(value=None, color=base)
    rest = [model.Threshold(value=value, color=color) for value, color in steps]
    return build.ThresholdsConfig().mode(model.ThresholdsMode.ABSOLUTE).steps([first, *rest])


def graph(
    title: str,
    description: str,
    unit: str,
    queries: list[Query],
    links: list[Link],
    *,
    width: int = 12,
    empty: str = "nothing in this time",
    stacked: bool = False,
    most: float | None = None,
) -> Panel:
    """Values over time."""
    panel = (
        timeseries.Panel()
        .title(title)
        .description(description)
        .datasource(PROMETHEUS)
        .unit(unit)
        .min(0)
        .no_value(empty)
        .height(8)
        .span(width)
        .links(links)
        .fill_opacity(25 if stacked else 8)
        .line_width(1)
        .draw_style(GraphDrawStyle.LINE)
        .show_points(VisibilityMode.AUTO)
        .legend(
            common.VizLegendOptions()
            .display_mode(LegendDisplayMode.LIST)
            .placement(LegendPlacement.BOTTOM)
            .show_legend(True)
        )
        .tooltip(common.VizTooltipOptions().mode(TooltipDisplayMode.MULTI).sort(SortOrder.DESCENDING))
    )
    if stacked:
        panel.stacking(common.StackingConfig().mode(StackingMode.NORMAL).group("A"))
    if most is not None:
        panel.max(most)
    for letter, (expression, legend) in zip("ABCDEFGH", queries):
        panel.with_target(
            prom.Dataquery().ref_id(letter).datasource(PROMETHEUS).expr(expression).range().legend_format(legend)
        )
    return panel


def number(
    title: str,
    description: str,
    unit: str,
    expression: str,
    links: list[Link],
    *,
    steps: list[Step] | None = None,
    base: str = GREEN,
    width: int = 4,
    empty: str = "0",
    legend: str = "",
    decimals: int | None = None,
) -> Panel:
    """One value, or a few, now."""
    panel = (
        stat.Panel()
        .title(title)
        .description(description)
        .datasource(PROMETHEUS)
        .unit(unit)
        .no_value(empty)
        .height(4)
        .span(width)
        .links(links)
        .graph_mode(BigValueGraphMode.AREA)
        .color_mode(BigValueColorMode.VALUE)
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]).values(False).fields(""))
        .thresholds(_thresholds(steps or [], base))
        .with_target(
            prom.Dataquery().ref_id("A").datasource(PROMETHEUS).expr(expression).range().legend_format(legend)
        )
    )
    if decimals is not None:
        panel.decimals(decimals)
    return panel


def quantiles(metric: str, labels: str, by: str = "") -> list[Query]:
    """Median, 95th and 99th percentile of a histogram; `by` names one more label to keep."""
    keep, name = (f"le, {by}", f" {{{{{by}}}}}") if by else ("le", "")
    inner = f"sum by ({keep}) (rate({metric}_bucket{{{labels}}}[$__rate_interval]))"
    return [(f"histogram_quantile({q}, {inner})", f"p{round(q * 100)}{name}") for q in (0.5, 0.95, 0.99)]


class Deploys(model.AnnotationQuery):
    """A mark at the start of each process. The schema does not know the fields that are Prometheus' own."""

    def to_json(self) -> dict[str, object]:
        own = {
            "useValueForTime": "on",
            "titleFormat": "{{job}} {{version}} started",
            "textFormat": "{{instance}}",
            "tagKeys": "job",
            "step": "60s",
        }
        return {**super().to_json(), **own}


class DeploysBuilder(Builder[model.AnnotationQuery]):
    """Makes `Deploys`."""

    def build(self) -> model.AnnotationQuery:
        started = f"process_start_time_seconds{{{SERVICES}}}"
        return Deploys(
            name="Deploys",
            datasource=PROMETHEUS,
            enable=True,
            icon_color=BLUE,
            expr=f"1000 * {started} * on (job, instance) group_left (version) build_info",
        )


def _variables() -> list[Builder[model.VariableModel]]:
    def values(name: str, label: str, description: str, query: str) -> build.QueryVariable:
        everything = model.VariableOption(selected=True, text="All", value="$__all")
        return (
            build.QueryVariable(name)
            .label(label)
            .description(description)
            .datasource(PROMETHEUS)
            .query(query)
            .refresh(model.VariableRefresh.ON_TIME_RANGE_CHANGED)
            .sort(model.VariableSort.ALPHABETICAL_ASC)
            .multi(True)
            .include_all(True)
            .all_value(".*")
            .current(everything)
        )

    return [
        values(
            "event_type",
            "Event type",
            "What happened, as the processor names it.",
            "label_values(events_processed_total, event_type)",
        ),
        values(
            "instance",
            "Instance",
            "Processes, by the address that Prometheus reads.",
            f"label_values(up{{{SERVICES}}}, instance)",
        ),
        build.DatasourceVariable("logs").label("Logs").description("The Loki that panels link to.").type("loki"),
    ]


def board(uid: str, title: str, description: str, panels: list[Panel]) -> build.Dashboard:
    """A dashboard with these panels, from left to right and top to bottom."""
    dashboard = (
        build.Dashboard(title)
        .uid(uid)
        .description(description)
        .tags([TAG])
        .timezone("browser")
        .time("now-6h", "now")
        .refresh("30s")
        .tooltip(model.DashboardCursorSync.CROSSHAIR)
        .annotation(DeploysBuilder())
        .link(
            build.DashboardLink("Dashboards")
            .type(model.DashboardLinkType.DASHBOARDS)
            .tags([TAG])
            .keep_time(True)
            .include_vars(True)
        )
    )
    for variable in _variables():
        dashboard.with_variable(variable)
    for panel in panels:
        dashboard.with_panel(panel)
    return dashboard
