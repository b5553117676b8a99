"""What a request costs, at the price valid on its date: keys in, compiled rate table out; it reads no log.

table = compile_rates([PriceKey("openai", "gpt-4o", "", "chat")], price_file=None)
row = table.lookup(key_index, time_us, input_tokens)
usd = table.cost_usd(row, input_tokens, cache_read, cache_write, cache_write_1h, output, reasoning).total
"""

from costplan.prices.book import Costs, PriceKey, PriceNote, RateRow, RateTable, compile_rates
from costplan.prices.catalog import nearest

__all__ = ["Costs", "PriceKey", "PriceNote", "RateRow", "RateTable", "compile_rates", "nearest"]
