"""``ablate factors``: what can be varied."""

from ablate.cli.options import PluginOption, Printout, PrintoutOption, all_factors


def factors(output: PrintoutOption = Printout.TABLE, plugin: PluginOption = None) -> None:
    """List what can be varied, its levels, and when it is inert."""
    from ablate.cli.console import print_json, print_table
    from ablate.config import FIELDS
    from ablate.design.conditions import show

    table = all_factors(plugin)
    if output is Printout.JSON:
        print_json(
            {
                "factors": [
                    {
                        "name": factor.name,
                        "field": factor.field,
                        "levels": factor.levels,
                        "help": factor.help,
                        "inert_when": factor.inert_when or None,
                    }
                    for factor in table.values()
                ],
                "settings": {name: field.description for name, field in FIELDS.items()},
            }
        )
        return
    print_table(
        ["factor", "default levels", "what it varies", "inert when"],
        [
            [factor.name, ", ".join(map(show, factor.levels)), factor.help, factor.inert_when or "never"]
            for factor in table.values()
        ],
    )
    swept = [name for name in FIELDS if name not in {factor.field for factor in table.values()}]
    print(f"\nAny other setting can be varied by its name: {', '.join(swept)}.")
    print("For example: ablate grid --factors grl_pos --levels optim.lr=0.001,0.004")
