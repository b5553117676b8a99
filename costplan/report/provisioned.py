"""Provisioned units beside pay-as-you-go, as lines for the terminal and a section for Markdown."""

from costplan.report import numbers
from costplan.report.numbers import markdown_text, plain
from costplan.results import Provisioned


def sentence(found: Provisioned) -> str:
    """What to buy, what it saves and what that hangs on."""
    name, saving = plain(found.model, 40), found.saving_usd_month
    if found.units is None:
        return f"{name}: not sized, {saving.note}"
    least = found.break_even_utilisation
    even = "pay-as-you-go is free" if least is None else f"break-even at {numbers.percent(least)} utilisation"
    even += ", which no unit reaches" if least is not None and least > 1 else ""
    if not found.units:
        today = numbers.money(found.pay_as_you_go_usd_month.value)
        return f"{name}: no units, pay-as-you-go is cheapest ({today}/month); {even}"
    spread = numbers.interval(saving)
    return (
        f"{name}: {numbers.count(found.units)} units, {numbers.money(found.cost_usd_month.value)}/month against "
        f"{numbers.money(found.pay_as_you_go_usd_month.value)} by pay-as-you-go, saves "
        f"{numbers.money(saving.value)}{f' {spread}' if spread else ''}; "
        f"used {numbers.percent(found.utilisation)}, {even}; "
        f"{numbers.count(found.spill_minutes)} of {numbers.count(found.minutes)} minutes spill over "
        f"({numbers.percent(found.spill_token_share)} of the tokens); {found.note}"
    )


def markdown_section(offers: list[Provisioned]) -> list[str]:
    """Blocks: a sentence for each offer, the numbers compared, utilisation by hour."""
    blocks: list[str] = []
    for found in offers:
        blocks.append(markdown_text(sentence(found), 800))
        if found.curve:
            rows = [
                f"| {numbers.count(row.units)} | {numbers.money(row.cost_usd_month)} "
                f"| {numbers.percent(row.spill_token_share)} |"
                for row in found.curve
            ]
            blocks.append("\n".join(["| Units | USD a month | Spill-over |", "|---:|---:|---:|", *rows]))
        if found.utilisation_by_hour:
            hours = ", ".join(f"{h:02d}h {numbers.percent(share)}" for h, share in enumerate(found.utilisation_by_hour))
            blocks.append(f"Utilisation by hour of the day, UTC: {hours}.")
    return blocks
