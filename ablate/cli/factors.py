"""``ablate factors``: what can be varied."""

from ablate.cli.console import print_json, print_table, say, say_command
from ablate.cli.options import PluginOption, Printout, PrintoutOption
from ablate.cli.subjects import Chosen, ModuleOption


def factors(
    output: PrintoutOption = Printout.TABLE, plugin: PluginOption = None, module: ModuleOption = None
) -> None:
    """List what can be varied, its levels, and when it is inert."""
    from ablate.analysis.layout import Column
    from ablate.api.subjects import all_factors, choose_subject
    from ablate.design.conditions import show
    from ablate.ground import documents

    table = all_factors(choose_subject(Chosen(module=module), levels={}, settings={}), plugin)
    if output is Printout.JSON:
        print_json(
            documents.Factors(
                schema="ablate.factors/1",
                factors=[
                    documents.Factor(
                        name=factor.name,
                        field=factor.field,
                        levels=factor.levels,
                        help=factor.help,
                        inert_when=factor.inert_when or None,
                    )
                    for factor in table.values()
                ],
                settings=dict(table.settings),
            )
        )
        return
    columns = {
        "default levels": [", ".join(map(show, factor.levels)) for factor in table.values()],
        "what it varies": [factor.help for factor in table.values()],
        "inert when": [factor.inert_when or "never" for factor in table.values()],
    }
    print_table(
        Column(("factor",), tuple(table), text=True),
        [[Column((title,), tuple(texts), text=True)] for title, texts in columns.items()],
    )
    swept = [name for name in table.settings if name not in {factor.field for factor in table.values()}]
    if swept:
        print()
        say(f"Any other setting can be varied by its name: {', '.join(swept)}.")
    if module is None:
        say_command("ablate grid --factors grl_pos --levels optim.lr=0.001,0.004", before="For example:")
