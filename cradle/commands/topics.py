"""`cradle topics`: the flow, drawn, and made so on a broker."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from cradle.commands.terminal import Json, out, print_json, run, say, table
from cradle.commands.terminal import show as show_table

if TYPE_CHECKING:
    from schemas.topology import Topology

app = typer.Typer(help="The flow: its topics and stages.", no_args_is_help=True)


@app.command("show")
def show(json: Json = False) -> None:
    """Draw the flow of topics.yaml."""
    from cradle.flow import read_flow
    from operations.topics import draw

    flow = read_flow()
    if json:
        print_json(_shape(flow))
        return
    out.print(draw(flow))
    out.print()
    show_table(_topics(flow))


@app.command("apply")
def apply(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the difference and change nothing.")] = False,
    json: Json = False,
) -> None:
    """Create the topics on the broker, or alter them to what topics.yaml says."""
    changes = run(_apply(dry_run))
    if json:
        print_json({"dry_run": dry_run, "changes": changes})
        return
    for change in changes:
        say(f"[yellow]~[/yellow] {change}" if dry_run else f"[green]✓[/green] {change}")
    if not changes:
        say("The broker's topics are as topics.yaml says.")


async def _apply(dry_run: bool) -> list[str]:
    from cradle.compose import open_adapters, replication
    from cradle.flow import read_flow
    from cradle.settings import load_settings
    from operations.topics import apply as apply_topics

    settings, flow = load_settings(), read_flow()
    async with open_adapters(settings) as adapters:
        changes = await apply_topics(await adapters.broker(), flow, replication=replication(settings), dry_run=dry_run)
    return [str(change) for change in changes]


def _topics(flow: "Topology") -> Any:
    made = table("topic", "carries", "keyed by", "partitions", "kept", right=("partitions",), folds=("carries",))
    for name, topic in flow.topics.items():
        style = "dim" if topic.reserved else ""
        label = name if topic.reserved else f"[cyan]{name}[/cyan]"
        kept = f"{topic.retention // 3600} h"
        made.add_row(label, topic.type, str(topic.key), str(topic.partitions), kept, style=style)
    return made


def _shape(flow: "Topology") -> dict[str, Any]:
    topics = {name: topic.model_dump(mode="json") for name, topic in flow.topics.items()}
    stages = {name: stage.model_dump(mode="json") for name, stage in flow.stages.items()}
    return {"topics": topics, "stages": stages}
